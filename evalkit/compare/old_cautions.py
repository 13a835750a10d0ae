"""What must be said with a row's verdict: a weak judge, a limited run, damaged evidence.

`doubts` finds them run by run; here they become a row's flags, the words beside its verdict, the
sentences behind its own, and the notes below a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from evalkit.compare.doubts import Damage, damages, weak_judges
from evalkit.compare.sides import Part
from evalkit.compare.words import benchmark_label, has_direction
from evalkit.core import Run

__all__ = [
    "Cautions",
    "damage_remarks",
    "damage_text",
    "is_weak",
    "judge_of",
    "limit_text",
    "marks",
    "remarks",
    "weak_text",
]

_WEAK = "weak judge: "
_LIMITED = "limited run: "
_DAMAGED = "damaged evidence: "


class Cautions:
    """The flags of parts; what is wrong with a run is looked up once."""

    def __init__(self) -> None:
        """Knows no run yet."""
        self._known: dict[int, tuple[Run, dict[str, str], list[Damage]]] = {}

    def flags(self, parts: Iterable[Part], unit: str) -> tuple[str, ...]:
        """Of a row over these parts; a length is not judged."""
        found: dict[str, None] = {}
        for part in parts:
            found |= dict.fromkeys(self._of(part, unit))
        return tuple(found)

    def _of(self, part: Part, unit: str) -> Iterator[str]:
        run = part.run
        if id(run) not in self._known:
            self._known[id(run)] = run, weak_judges([run]), list(damages(run))
        _, judges, damaged = self._known[id(run)]
        if part.benchmark in judges and has_direction(unit):
            yield f"{_WEAK}{judges[part.benchmark]}"
        limit = run.manifest.get("limit")
        if isinstance(limit, int):
            yield f"{_LIMITED}{limit_text(limit)}"
        for damage in damaged:
            if (damage.model, damage.entry) == (part.model, part.benchmark):
                yield f"{_DAMAGED}{damage_text(damage)}"


def limit_text(limit: int) -> str:
    """What a limited run was asked."""
    return f"at most {limit:,} samples per task were asked; for trying out only"


def damage_text(damage: Damage) -> str:
    """Whose evidence is damaged, and how."""
    return f"{damage.model}, {damage.entry}: {damage.message}"


def is_weak(flag: str) -> bool:
    """Whether a flag says that a model of the suite judged."""
    return flag.startswith(_WEAK)


def judge_of(flag: str) -> str:
    """The judge that such a flag names."""
    return flag.removeprefix(_WEAK)


def weak_text(benchmarks: Sequence[str], judge: str = "a model of the suite") -> str:
    """What the scores of these benchmarks are worth."""
    labels = ", ".join(benchmark_label(name) for name in benchmarks)
    return (
        f"{labels}: judged by {judge}. Such scores say what a weak judge prefers, not which model "
        f"is better; do not publish them."
    )


def marks(flags: Sequence[str], *, different: bool = False) -> str:
    """As ` (weak judge, limited run)`, for the cell of a verdict."""
    words = ["measured differently"] if different else []
    for prefix in (_WEAK, _LIMITED, _DAMAGED):
        if any(flag.startswith(prefix) for flag in flags):
            words.append(prefix.removesuffix(": "))
    return f" ({', '.join(words)})" if words else ""


def remarks(flags: Sequence[str]) -> list[str]:
    """Sentences for what a row's own sentence does not say yet."""
    return _sentences(flags, (_LIMITED, _DAMAGED))


def damage_remarks(flags: Sequence[str]) -> list[str]:
    """Sentences for damage alone."""
    return _sentences(flags, (_DAMAGED,))


def _sentences(flags: Sequence[str], prefixes: tuple[str, ...]) -> list[str]:
    said = [flag for flag in flags if flag.startswith(prefixes)]
    return [f"{flag[0].upper()}{flag[1:].rstrip('.')}." for flag in said]
