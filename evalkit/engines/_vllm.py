"""What the `vllm` engine says to vLLM and reads from it: parameters, answers, environment.

Everything here knows vLLM's API and nothing of queues or tickets.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from evalkit.core import Request
from evalkit.engines._context_plan import Answer, Ask
from evalkit.engines._keys import sampling_seed
from evalkit.engines._local import give_back_memory
from evalkit.errors import RequestFailed

__all__ = [
    "ask_parameters",
    "load_advice",
    "lora_arguments",
    "prepare_environment",
    "quiet_imports",
    "read_answer",
    "refused",
    "release",
    "sampling_parameters",
]


_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM's LoRA layers are made for."""


def sampling_parameters(request: Request, engine_seed: int) -> Any:
    """For one generation."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p if request.temperature > 0 else 1.0,
        stop=[s for s in request.stop if s],
        seed=sampling_seed(request, engine_seed),
        logprobs=request.top_logprobs or None,
        output_kind=RequestOutputKind.FINAL_ONLY,
        skip_clone=True,
    )


def read_answer(ask: Ask, output: Any, cached: int) -> Answer:
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


def ask_parameters(ask: Ask, *, uncached: bool) -> Any:
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


def refused(error: Exception) -> RequestFailed:
    """One request that vLLM would not take."""
    return RequestFailed("engine_error", f"vLLM refused the request: {error}")


def prepare_environment(cuda: bool) -> None:
    """Settings vLLM reads from the environment while it is imported."""
    defaults = {
        # vLLM logs a whole dump of its input when it fails; the error itself is raised.
        "VLLM_LOGGING_LEVEL": "CRITICAL",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_USE_V2_MODEL_RUNNER": "0",
        # A child process frees device memory for certain; on CPU it only costs a copy.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "1" if cuda else "0",
        # A fork of a process that has looked for a device cannot use one, and merging looks.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    _mend_llvmlite()
    # vLLM sets its logger up after its first warnings.
    logging.getLogger("vllm").setLevel(os.environ["VLLM_LOGGING_LEVEL"])


def _mend_llvmlite() -> None:
    """Let llvmlite's library handle say that it has no `__dict__`.

    Trap: on CPU vLLM looks through the attributes of all loaded modules while it starts, and
    where numba was imported before, this handle answers any name with a function of a library.
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


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Without the deprecation warnings that vLLM and torch cause in each other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def load_advice(error: Exception, name: str, dtype: str, kv_cache_gib: float) -> str:
    """What went wrong while loading, and what to change in the suite."""
    text = str(error)
    lowered = text.lower()
    if any(word in lowered for word in ("memory", "kv cache", "alloc")):
        advice = (
            f"lower max_model_len or max_num_seqs, raise kv_cache_gib (now {kv_cache_gib}) "
            f"on CPU, or use a smaller model"
        )
    elif "dtype" in lowered or "float" in lowered:
        advice = f"choose another dtype (now {dtype!r}): float32, bfloat16 or float16"
    else:
        advice = "check the checkpoint, or serve the model with engine type 'transformers'"
    if "root cause above" in lowered:
        advice = f"the child process printed its reason before this; {advice}"
    return f"vLLM cannot load model {name!r}: {text}; {advice}"


def lora_arguments(rank: int) -> dict[str, Any]:
    """Engine arguments for adapters of up to that rank; none for 0."""
    if not rank:
        return {}
    allowed = next((r for r in _RANKS if r >= rank), rank)
    return {"enable_lora": True, "max_loras": 1, "max_lora_rank": allowed}


def release(engine: Any) -> None:
    """Shut vLLM down and free what it holds.

    In process, the model hangs on vLLM's process-wide distributed state as well, and a second
    engine cannot start while that exists.
    """
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    if engine is not None:
        engine.engine_core.shutdown()
        del engine
    cleanup_dist_env_and_memory()
    give_back_memory()
