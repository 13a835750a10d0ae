"""Is an adapter served unmerged what its merged weights are, and is the base beside it untouched?

Asked once, before real work, with the prompts and log-probabilities that the models room kept of
the merged checkpoint:

    base, adapter, base again    the adapter agrees with the merged weights, and differs from the
                                 base; the base is the same before and after
    base and adapter in one batch    only noted: evalkit never mixes them
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.errors import EngineError
from evalkit.types import Json, UnmergedAdapter

__all__ = ["check_adapter", "lora_request"]

_TOLERANCES = {"float32": 2e-3, "bfloat16": 0.25, "float16": 0.05}
"""Largest difference of a log-probability to float32 arithmetic on the same weights, by the type
that is computed in.  In float32 it was at most 5e-4 over the adapters tried."""
_SAME = {"float32": 1e-4, "bfloat16": 0.1, "float16": 0.02}
"""Of the base with itself, which only the make-up of a batch may change."""

Found = list[dict[int, float]]
"""Log-probabilities of the wanted tokens, per probe."""


def lora_request(name: str, adapter: UnmergedAdapter) -> Any:
    """VLLM's handle of the adapter."""
    from vllm.lora.request import LoRARequest

    return LoRARequest(name, 1 + zlib.crc32(name.encode()) % (2**31 - 1), str(adapter.path))


def check_adapter(engine: Any, name: str, adapter: UnmergedAdapter, dtype: str) -> dict[str, Json]:
    """What was measured; for the report.

    Raises EngineError where the adapter does not agree with its merged weights, has no effect,
    or changes the base.
    """
    prober = _Prober(engine, adapter)
    request = lora_request(name, adapter)
    before = prober.ask([None] * len(adapter.probes))
    beside = prober.ask([request] * len(adapter.probes))
    after = prober.ask([None] * len(adapter.probes))
    wanted = [dict(expected) for _, expected in adapter.probes]
    tolerance = _TOLERANCES.get(dtype, _TOLERANCES["float32"]) + 2 * adapter.rounding
    error, effect, drift = (
        _largest(beside, wanted),
        _largest(beside, before),
        _largest(before, after),
    )
    advice = f"serve {name!r} merged (`serve: merged`)"
    if error > tolerance:
        raise EngineError(
            f"adapter {name!r} served unmerged differs from its merged weights: log-probabilities "
            f"by up to {error:.2g}, expected at most {tolerance:.2g} in {dtype}; {advice}"
        )
    if effect == 0:
        raise EngineError(
            f"adapter {name!r} served unmerged answers exactly as its base does: vLLM did not "
            f"apply it; {advice}"
        )
    if drift > _SAME.get(dtype, _SAME["float32"]):
        raise EngineError(
            f"the base beside adapter {name!r} is not untouched: its log-probabilities changed by "
            f"{drift:.2g} once the adapter had been used; {advice}"
        )
    return {
        "probes": len(adapter.probes),
        "max_abs_difference_merged": error,
        "tolerance": tolerance,
        "max_abs_change_by_adapter": effect,
        "max_abs_change_of_base": drift,
        "mixed_batches_right": _mixed(prober, request, before, beside),
    }


def _mixed(prober: _Prober, request: Any, base: Found, beside: Found) -> bool:
    """Whether base and adapter in one batch answer as apart."""
    turns = [None, request] * len(base)
    found = prober.ask(turns, repeat=2)
    apart = [values for pair in zip(base, beside, strict=True) for values in pair]
    allowed = _largest(base, beside) / 10
    return _largest(found, apart) <= allowed


def _largest(a: Found, b: Sequence[Mapping[int, float]]) -> float:
    return max(
        (abs(x[token] - y[token]) for x, y in zip(a, b, strict=True) for token in x), default=0.0
    )


class _Prober:
    """Asks a loaded vLLM the adapter's probes, without its prefix cache."""

    def __init__(self, engine: Any, adapter: UnmergedAdapter) -> None:
        self._engine = engine
        self._adapter = adapter
        self._numbers = itertools.count()

    def ask(self, owners: Sequence[Any], repeat: int = 1) -> Found:
        """One probe per owner (an adapter's handle, None: the base), each probe `repeat` times."""
        numbers: dict[str, int] = {}
        for place, owner in enumerate(owners):
            prompt, expected = self._adapter.probes[place // repeat]
            number = f"probe-{next(self._numbers)}"
            numbers[number] = place
            self._engine.add_request(
                number,
                {"prompt_token_ids": list(prompt)},
                _parameters(list(expected)),
                lora_request=owner,
            )
        found: Found = [{} for _ in owners]
        while self._engine.has_unfinished_requests():
            for output in self._engine.step():
                if output.finished:
                    place = numbers[output.request_id]
                    wanted = self._adapter.probes[place // repeat][1]
                    values = output.outputs[0].logprobs[0]
                    found[place] = {token: float(values[token].logprob) for token in wanted}
        return found


def _parameters(tokens: list[int]) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        max_tokens=1,
        temperature=0.0,
        detokenize=False,
        logprob_token_ids=tokens,
        skip_reading_prefix_cache=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
