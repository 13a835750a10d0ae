"""What is known of a test that no sample of both answers: its metric, its unit, who lacks what.

Here belongs what the runs' manifests and the one side's records say of such a test; that it is
missing, `decisions` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from evalkit.compare import Side
from evalkit.compare.headline import averages_of_entry, headline_of_entry
from evalkit.compare.scores import Part as Sample
from evalkit.compare.scores import cells
from evalkit.core import Metric, Run
from evalkit.gate.decisions import Decision, GateResult
from evalkit.store.codec import decode

__all__ = ["described"]


def described(result: GateResult, runs: Sequence[Run], sides: tuple[Side, Side]) -> GateResult:
    """The result, its tests without a row told by what the runs know of them.

    Args:
        result: From `decide`.
        runs: Whose manifests declare the metrics.
        sides: Candidate and baseline.
    """
    found = tuple(d if d.metric else _described(d, runs, sides) for d in result.decisions)
    return replace(result, decisions=found)


def _described(d: Decision, runs: Sequence[Run], sides: tuple[Side, Side]) -> Decision:
    metrics = {m for run in runs for m in _metrics(run, d)}
    if len(metrics) != 1:
        units = {(m.unit, m.higher_is_better) for m in metrics}
        return replace(d, unit=units.pop()[0]) if len(units) == 1 else d
    (metric,) = metrics
    return replace(
        d,
        metric=metric.name,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        n_missing=_lacking(d, metric, sides),
    )


def _metrics(run: Run, d: Decision) -> Iterator[Metric]:
    """The headline metrics that a manifest declares of a place."""
    for entry in run.manifest.get("benchmarks", ()):
        if entry.get("name") != d.benchmark:
            continue
        known = {(a.task, a.metric.name): a.metric for a in averages_of_entry(entry)}
        for task, about in entry.get("tasks", {}).items():
            found = [decode(Metric, metric) for metric in about.get("metrics", ())]
            known |= {(task, metric.name): metric for metric in found}
        for task, name in headline_of_entry(entry):
            if d.task in (task, ""):
                yield known[task, name]


def _lacking(d: Decision, metric: Metric, sides: tuple[Side, Side]) -> tuple[int, int] | None:
    """How many of the scores that either side was asked for each side lacks; None: unknown."""
    asked: set[Sample] = set()
    scored: list[set[Sample]] = []
    for side in sides:
        mine, wanted = _scores(d, metric, side)
        scored.append(mine)
        asked |= wanted
    if not asked:
        return None
    ours, theirs = (len(asked - mine) for mine in scored)
    return ours, theirs


def _scores(d: Decision, metric: Metric, side: Side) -> tuple[set[Sample], set[Sample]]:
    """What a side has of a task, and what it was asked."""
    part = side.parts.get(d.benchmark)
    records = () if part is None else [r for r in part.records if r.task == d.task]
    mine: set[Sample] = set()
    absent: set[Sample] = set()
    for cell in cells(records, {d.benchmark: {d.task: (metric,)}}):
        if cell.category is None:
            mine |= {place for found in cell.scores.values() for place in found}
            absent |= {place for found in cell.absent.values() for place in found}
    return mine, {place for place in mine | absent if "#" not in place[1]}
