"""The comparisons that are read together: a claim must hold among those that its run shows.

A run's report corrects its headline comparisons together (`rows.stated`).  A claim picked from
among them is no single question any more, so it is judged within that same set, and within what
it asks for itself; details (tasks within an average, other metrics) are a set of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from evalkit.compare.headline import headline_of_entry
from evalkit.compare.old_ranking import Floor
from evalkit.compare.rows import Row, restated, stated
from evalkit.compare.sides import run_names
from evalkit.core import Comparison, Run
from evalkit.stats import holm

__all__ = ["Family", "family", "floors", "stated_rows"]

_Key: TypeAlias = tuple[frozenset[str], str, str, str, str | None]
"""Pair in any order, benchmark, task, metric, category."""


@dataclass(frozen=True)
class Family:
    """Two-sided p of every comparison, headline figures apart from details."""

    p: dict[bool, dict[_Key, float]]
    """By whether it is a headline figure."""

    def corrected(self, row: Row, p: float | None) -> tuple[float | None, int]:
        """Holm's p of a row of this family whose own p is `p`; of how many tests."""
        known = self.p[row.headline]
        if p is None:
            return None, len(known)
        others = [v for key, v in known.items() if key != _key(row.comparison)]
        return holm([p, *others])[0], len(others) + 1

    def judged(self, row: Row, level: float) -> Row:
        """The row as this family lets it be stated."""
        p, tests = self.corrected(row, row.comparison.p)
        return restated(replace(row, p_adjusted=p, tests=tests), level)


def family(runs: Sequence[Run], rows: Sequence[Row]) -> Family:
    """Of rows that were compared, with all that the runs of these pairs compare besides."""
    found: dict[bool, dict[_Key, float]] = {True: {}, False: {}}
    pairs = {frozenset((r.comparison.candidate, r.comparison.baseline)) for r in rows}
    for run in runs:
        labels = _labels(run, pairs)
        shown = [_labelled(row, labels) for row in stated_rows(run)]
        if any(_key(row.comparison)[0] in pairs for row in shown):
            _add(found, shown)
    _add(found, rows)
    return Family(found)


def _add(found: dict[bool, dict[_Key, float]], rows: Iterable[Row]) -> None:
    for row in rows:
        p = row.comparison.p
        if p is not None and not row.refused:
            found[row.headline][_key(row.comparison)] = p


def stated_rows(run: Run) -> list[Row]:
    """`rows.stated` with the headline figures that the run's manifest declares."""
    places = [
        (str(entry.get("name")), *place)
        for entry in run.manifest.get("benchmarks", ())
        for place in headline_of_entry(entry)
    ]
    return stated(run, frozenset(places))


def floors(rows: Iterable[Row]) -> dict[tuple[str, str, str], Floor]:
    """By benchmark, task and metric what a leaderboard's p of a pair may not fall below."""
    found: dict[tuple[str, str, str], dict[frozenset[str], float]] = {}
    for row in rows:
        c = row.comparison
        if c.category is None:
            pairs = found.setdefault((c.benchmark, c.task, c.metric), {})
            pair = frozenset((c.candidate, c.baseline))
            pairs[pair] = 1.0 if row.p_adjusted is None else row.p_adjusted
    return dict(found)


def _key(c: Comparison) -> _Key:
    return frozenset((c.candidate, c.baseline)), c.benchmark, c.task, c.metric, c.category


def _labels(run: Run, pairs: Iterable[frozenset[str]]) -> dict[str, str]:
    """`RUN:MODEL`, where that is how the rows name a model of this run."""
    return dict(_prefixed(run, {label for pair in pairs for label in pair}))


def _prefixed(run: Run, labels: Iterable[str]) -> Iterator[tuple[str, str]]:
    for label in sorted(labels):
        for place in run_names(run):
            if label.startswith(f"{place}:"):
                yield label.removeprefix(f"{place}:"), label


def _labelled(row: Row, labels: dict[str, str]) -> Row:
    c = row.comparison
    ours, theirs = (labels.get(name, name) for name in (c.candidate, c.baseline))
    return replace(row, comparison=replace(c, candidate=ours, baseline=theirs))
