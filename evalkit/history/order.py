"""How far training had come, as names tell it, and the order of names for people.

Trainers name checkpoints `checkpoint-500` (transformers), `global_step500` (DeepSpeed),
`epoch=3-step=1000.ckpt` (Lightning), `step_1000`, `step-10k`, `epoch-3`, `iter_0005000`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from evalkit.store import NaturalKey, natural_key

__all__ = ["NaturalKey", "Step", "natural_key", "step_of"]

_COUNTED = re.compile(
    r"(?<![a-z])(?P<word>checkpoints?|ckpt|steps?|iter(?:ation)?s?|epochs?)[-_=.: ]?"
    r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,3})?)(?P<times>[km]?)(?![0-9a-z])",
    re.IGNORECASE,
)
_TIMES = {"": 1, "k": 1_000, "m": 1_000_000}


@dataclass(frozen=True)
class Step:
    """A place in training."""

    kind: Literal["step", "epoch"]
    value: float
    """Optimizer steps (as far as the name says), or epochs."""

    def __str__(self) -> str:
        number = f"{self.value:,.15g}" if self.value.is_integer() else f"{self.value:g}"
        return number if self.kind == "step" else f"epoch {number}"


def step_of(names: Iterable[str]) -> Step | None:
    """The step that the first of `names` to tell one tells; None where none does.

    Of a path the last part that tells one counts, and within a part a step before an epoch.
    """
    for name in names:
        for part in reversed(re.split(r"[/\\]", name)):
            found = [_step(match) for match in _COUNTED.finditer(part)]
            steps = [step for step in found if step.kind == "step"]
            if found:
                return (steps or found)[-1]
    return None


def _step(match: re.Match[str]) -> Step:
    value = float(match["number"]) * _TIMES[match["times"].lower()]
    return Step("epoch" if match["word"].lower().startswith("epoch") else "step", value)
