"""What two sides do not share: benchmarks and tasks that no row of a comparison stands for.

A row that is not there is easily overlooked, so what only one side was asked is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from evalkit.compare.rows import Options
from evalkit.compare.sides import Side, find, metrics_of
from evalkit.compare.words import benchmark_label
from evalkit.core import Json, Run
from evalkit.draw import count

__all__ = ["Uncompared", "uncompared"]

Has: TypeAlias = Literal["candidate", "baseline", "figures", "other metrics"]
_NAMED = 6
"""Tasks named in a sentence; the rest is counted."""


@dataclass(frozen=True)
class Uncompared:
    """A benchmark, or some of its tasks, that a candidate and a baseline cannot be compared on."""

    candidate: str
    baseline: str
    benchmark: str
    tasks: tuple[str, ...]
    """Empty: the whole benchmark."""
    has: Has
    """The side that has samples; `figures`: neither, though of both some figure is known; `other
    metrics`: both, but no metric in common."""
    sentence: str

    def to_json(self) -> dict[str, Json]:
        """By field name."""
        return asdict(self) | {"tasks": list(self.tasks)}


def uncompared(
    runs: Sequence[Run], candidate: str, baselines: Sequence[str], options: Options
) -> list[Uncompared]:
    """What `compare.compare`, asked the same, has no row of.

    Raises:
        ComparisonError: a name that is unknown or ambiguous.
    """
    ours = find(runs, candidate, repeats=options.repeats)
    found: list[Uncompared] = []
    for name in baselines:
        found += _between(ours, find(runs, name, repeats=options.repeats))
    return found


def _between(ours: Side, theirs: Side) -> Iterator[Uncompared]:
    mine, other = _asked(ours), _asked(theirs)
    for benchmark in dict.fromkeys([*mine, *other]):
        place = (ours, theirs, benchmark)
        if benchmark not in other:
            yield _made(place, (), "candidate")
        elif benchmark not in mine:
            yield _made(place, (), "baseline")
        else:
            yield from _tasks(place, mine[benchmark], other[benchmark])
    known = _figures(ours) & _figures(theirs)
    yield from (_made((ours, theirs, b), (), "figures") for b in sorted(known - {*mine, *other}))


def _tasks(
    place: tuple[Side, Side, str], mine: Sequence[str], other: Sequence[str]
) -> Iterator[Uncompared]:
    ours, theirs, benchmark = place
    shared = [task for task in mine if task in other]
    names = [
        {task: {m.name for m in found} for task, found in metrics_of(side.parts[benchmark]).items()}
        for side in (ours, theirs)
    ]
    apart = [t for t in shared if not names[0].get(t, set()) & names[1].get(t, set())]
    kinds: tuple[tuple[list[str], Has], ...] = (
        ([task for task in mine if task not in other], "candidate"),
        ([task for task in other if task not in mine], "baseline"),
        (apart, "other metrics"),
    )
    for tasks, has in kinds:
        if tasks:
            yield _made(place, tasks, has)


def _asked(side: Side) -> dict[str, list[str]]:
    """Tasks with records, by benchmark entry."""
    return {
        name: list(
            dict.fromkeys(r.task for p in side.repeats.get(name, (part,)) for r in p.records)
        )
        for name, part in side.parts.items()
    }


def _figures(side: Side) -> set[str]:
    """Benchmark entries that the side's runs have a figure of."""
    return {
        e.benchmark
        for part in side.parts.values()
        for e in part.run.estimates
        if e.model == part.model and e.point is not None
    }


def _made(place: tuple[Side, Side, str], tasks: Iterable[str], has: Has) -> Uncompared:
    ours, theirs, benchmark = place
    named = tuple(tasks)
    text = _sentence((ours.label, theirs.label), benchmark_label(benchmark), named, has)
    return Uncompared(ours.label, theirs.label, benchmark, named, has, text)


def _sentence(sides: tuple[str, str], label: str, tasks: Sequence[str], has: Has) -> str:
    where = f"{label}: {_listed(tasks)}" if tasks else label
    if has == "figures":
        return (
            f"Not compared: {where}: of {sides[0]} and {sides[1]} figures are known, but no scores "
            f"of single samples."
        )
    if has == "other metrics":
        return f"Not compared: {where}: {sides[0]} and {sides[1]} have no metric in common."
    one, none = sides if has == "candidate" else sides[::-1]
    return f"Not compared: {where}: {one} has samples, {none} has none."


def _listed(tasks: Sequence[str]) -> str:
    if len(tasks) <= _NAMED:
        return ", ".join(tasks)
    return f"{', '.join(tasks[: _NAMED - 1])} and {count(len(tasks) - _NAMED + 1)} more"
