"""Is an adapter served unmerged what its merged weights are, and is the base beside it untouched?

Asked once, before real work, with prompts of which the models room knows what base and merged
model answer in float32:

    base, adapter, base again    both agree with what is known, the adapter differs from the
                                 base, and the base is the same before and after
    base and adapter in one batch, then the base once more    whether mixing is right is only
                                 noted, since evalkit never mixes; the base must be the same still

Every prompt is answered with a few greedy tokens: the first is read off the prompt, the others
are decoded, which other kernels do.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from evalkit.core import Json, KnownPrompt, UnmergedAdapter
from evalkit.errors import EngineError

__all__ = ["adapter_check", "lora_request"]

_TOLERANCES = {"float32": 2e-3, "bfloat16": 0.25, "float16": 0.05, "quantised": 1.0}
"""Largest difference of a log-probability to float32 arithmetic on the same weights, by the type
that is computed in: a few times what was measured in float32, generous in the others."""
_SAME = {"float32": 1e-4, "bfloat16": 0.1, "float16": 0.02, "quantised": 0.1}
"""Of the base with itself, which only the make-up of a batch may change."""
_NUMBERS = itertools.count(1)

Steps: TypeAlias = list[tuple[int, Mapping[int, float]]]
"""Per greedy step the token, and log-probabilities of some tokens before it."""


def lora_request(adapter: UnmergedAdapter) -> Any:
    """VLLM's handle of an adapter; no two are equal.

    VLLM finds adapters and cached blocks by number and name: another adapter under an old name
    would be answered by the old one.
    """
    from vllm.lora.request import LoRARequest

    number = next(_NUMBERS)
    return LoRARequest(f"adapter-{number}", number, str(adapter.path))


def adapter_check(
    engine: Any, name: str, adapter: UnmergedAdapter, handle: Any, dtype: str
) -> dict[str, Json]:
    """What was measured of adapter `name`, for the report.

    `handle` is its `lora_request`; `dtype` the type of arithmetic, or `quantised`.

    Raises EngineError where vLLM cannot serve it, where base or adapter do not agree with what
    is known of them, or where the adapter has no effect or changes the base.
    """
    try:
        found = _measure(_Prober(engine, adapter.known), adapter.known, handle)
    except Exception as error:
        raise EngineError(
            f"vLLM cannot serve adapter {name!r} unmerged: {error}; {_advice(name)}"
        ) from error
    tolerance = _TOLERANCES.get(dtype, _TOLERANCES["float32"])
    same = _SAME.get(dtype, _SAME["float32"])
    _require(found, name, tolerance, same)
    return {"probes": len(adapter.known), "tolerance": tolerance, **found}


def _measure(prober: _Prober, known: Sequence[KnownPrompt], handle: Any) -> dict[str, Json]:
    n = len(known)
    before = prober.ask([None] * n)
    beside = prober.ask([handle] * n)
    after = prober.ask([None] * n)
    both = prober.ask([None] * n + [handle] * n)
    # A mixed batch may have left wrong keys and values where the base's are looked up.
    prober.forget()
    last = prober.ask([None] * n)
    effect = _largest(_first(beside), _first(before))
    mixing = _largest(both, before + beside)
    return {
        "max_abs_difference_merged": _largest(beside, [_known(k.merged) for k in known]),
        "max_abs_difference_base": _largest(before, [_known(k.base) for k in known]),
        "max_abs_change_by_adapter": effect,
        "max_abs_change_of_base": max(_largest(before, after), _largest(before, last)),
        "max_abs_change_by_mixing": mixing,
        # Less than a tenth of what the adapter does cannot be the adapter on the wrong rows.
        "mixed_batches_right": mixing <= effect / 10,
    }


def _require(found: Mapping[str, Json], name: str, tolerance: float, same: float) -> None:
    differs = "log-probabilities differ by up to {:.2g}, expected at most {:.2g}"
    wrong: list[tuple[str, float, float, str]] = [
        (
            f"the base beside adapter {name!r} is not what its weights are",
            found["max_abs_difference_base"],
            tolerance,
            differs,
        ),
        (
            f"adapter {name!r} served unmerged differs from its merged weights",
            found["max_abs_difference_merged"],
            tolerance,
            differs,
        ),
        (
            f"the base beside adapter {name!r} is not untouched",
            found["max_abs_change_of_base"],
            same,
            "log-probabilities changed by {:.2g} once the adapter was used, allowed is {:.2g}",
        ),
    ]
    for what, value, allowed, text in wrong:
        if not value <= allowed:
            raise EngineError(f"{what}: {text.format(value, allowed)}; {_advice(name)}")
    if found["max_abs_change_by_adapter"] == 0:
        raise EngineError(
            f"adapter {name!r} served unmerged answers exactly as its base does: vLLM did not "
            f"apply it; {_advice(name)}"
        )


def _advice(name: str) -> str:
    return f"serve {name!r} merged (`serve: merged`)"


def _known(steps: Iterable[Mapping[int, float]]) -> Steps:
    return [(max(step, key=lambda token: step[token]), step) for step in steps]


def _first(found: Iterable[Steps]) -> list[Steps]:
    return [steps[:1] for steps in found]


def _largest(a: Sequence[Steps], b: Sequence[Steps]) -> float:
    """Largest difference of a log-probability that both name."""
    return max((d for x, y in zip(a, b, strict=True) for d in _differences(x, y)), default=0.0)


def _differences(a: Steps, b: Steps) -> Iterable[float]:
    """Step by step, as long as both go on with the same token.

    Where they part, two tokens were nearly as likely, or the step itself shows the difference.
    """
    for (token, x), (other, y) in zip(a, b, strict=True):
        yield from (abs(x[t] - y[t]) for t in x.keys() & y.keys())
        if token != other:
            return


class _Prober:
    """Asks a loaded vLLM the known prompts, without reading its prefix cache."""

    def __init__(self, engine: Any, known: Sequence[KnownPrompt]) -> None:
        self._engine = engine
        self._known = known
        self._numbers = itertools.count()

    def forget(self) -> None:
        """Empty the prefix cache."""
        self._engine.reset_prefix_cache()

    def ask(self, owners: Sequence[Any]) -> list[Steps]:
        """All in one batch: the prompts in turn, for each owner (a handle, or None: the base)."""
        asked: dict[str, int] = {}
        for place, owner in enumerate(owners):
            known = self._known[place % len(self._known)]
            number = f"probe-{next(self._numbers)}"
            asked[number] = place
            self._engine.add_request(
                number,
                {"prompt_token_ids": list(known.prompt)},
                _parameters(known),
                lora_request=owner,
            )
        found: list[Steps] = [[] for _ in owners]
        while self._engine.has_unfinished_requests():
            for output in self._engine.step():
                if output.finished:
                    found[asked[output.request_id]] = _read(output.outputs[0])
        return found


def _read(answer: Any) -> Steps:
    return [
        (token, {t: float(value.logprob) for t, value in row.items()})
        for token, row in zip(answer.token_ids, answer.logprobs, strict=True)
    ]


def _parameters(known: KnownPrompt) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    wanted = dict.fromkeys(t for step in (*known.base, *known.merged) for t in step)
    return SamplingParams(
        max_tokens=len(known.merged),
        temperature=0.0,
        ignore_eos=True,
        detokenize=False,
        logprob_token_ids=list(wanted),
        skip_reading_prefix_cache=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
