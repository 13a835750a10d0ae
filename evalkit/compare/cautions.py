"""What speaks against a run's figures: local judges, limits, damage; and how its judges did.

Whoever compares, publishes, gates or claims asks here; the words are `draw`'s.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from evalkit import catalogue
from evalkit.compare.resolve import Part
from evalkit.core import Judgment, Record
from evalkit.core.contests import Caution, Damaged, Limited, LocalJudge
from evalkit.core.figures import Figure, Metric, Unit
from evalkit.core.run import Run
from evalkit.draw import count, figure
from evalkit.stats.means import mean

__all__ = [
    "Cautions",
    "JudgeHealth",
    "damages",
    "disagreements",
    "doubts",
    "judge_health",
]

_TOLERANCE = 1e-9
"""Relative: another machine may add in another order."""


class Cautions:
    """The cautions of parts; what is wrong with a run is looked up once."""

    def __init__(self) -> None:
        """Knows no run yet."""
        self._damages: dict[int, tuple[Run, list[Damaged]]] = {}

    def of(self, parts: Iterable[Part], unit: Unit) -> tuple[Caution, ...]:
        """Of a row over these parts; a length is not judged."""
        found: dict[Caution, None] = {}
        for part in parts:
            run = part.run
            if id(run) not in self._damages:
                self._damages[id(run)] = run, list(damages(run))
            judge = run.local_judges.get(part.benchmark)
            if judge is not None and catalogue.unit(unit).has_direction:
                found[LocalJudge(judge)] = None
            if run.manifest.limit is not None:
                found[Limited(run.manifest.limit)] = None
            for damaged in self._damages[id(run)][1]:
                if (damaged.model, damaged.benchmark) == (part.model, part.benchmark):
                    found[damaged] = None
        return tuple(found)


def damages(run: Run, models: Collection[str] = ()) -> Iterator[Damaged]:
    """Of the evidence of `models` (none: of any): what its import found, in the manifest's order.

    Then where records and stored figures say different things (`disagreements`).
    """
    for entry in run.manifest.evidence:
        for finding in entry.findings:
            if finding.damaged and (not models or entry.model in models):
                yield Damaged(entry.model, entry.entry, finding.message)
    yield from (d for d in disagreements(run) if not models or d.model in models)


def doubts(run: Run, models: Collection[str] = ()) -> list[str]:
    """Why figures of `models` (none: of any) should not be published; empty where they may be."""
    limit = run.manifest.limit
    found = [] if limit is None else [f"limited to {limit} samples per task"]
    found += [
        f"damaged evidence of {d.model}, {d.benchmark}: {d.message}" for d in damages(run, models)
    ]
    unsaid = not found and not run.manifest.publishable
    # Last, since it reads every record: damage of other models is why, and is said with theirs.
    if unsaid and not any(damages(run)):
        found.append("its manifest says that it is not publishable")
    return found


# --- do records still give the stored figures? ---------------------------------------------------


def disagreements(run: Run) -> Iterator[Damaged]:
    """Where results.json and records.jsonl say different things, the first such figure of each.

    Figures are read from results.json, comparisons are computed from records; where one of the two
    was changed by hand, or lines were lost, a run contradicts itself.  This is the cheap check that
    every reader makes: mean and number of the scores behind each stored figure.  Passed over are a
    run that is not sealed, which has no results yet, figures that are no means of scores, undefined
    ones, and those of a model without any records of the benchmark: it is plain that nothing can be
    computed from them.
    """
    if not run.manifest.sealed:
        return
    scores: dict[tuple[str, str, str, str], list[float]] = {}
    for record in run.records:
        if record.outcome.status != "excluded":
            for score in record.outcome.scores:
                place = (record.model, record.benchmark, record.task, score.metric)
                scores.setdefault(place, []).append(score.value)
    scored = {place[1:] for place in scores}
    answered = {(r.benchmark, r.task) for r in run.records if r.outcome.status == "ok"}
    left = {(r.model, r.benchmark) for r in run.records}
    for row in run.figures:
        key = row.key
        task = run.benchmark(key.benchmark).tasks.get(key.task)
        metric = next((m for m in task.metrics if m.name == key.metric), None) if task else None
        if (row.model, key.benchmark) not in left or metric is None or key.category is not None:
            continue
        if row.source is not None or row.value.point is None:
            continue
        place = (row.model, key.benchmark, key.task, key.metric)
        if place[1:] not in scored and place[1:3] in answered:
            continue  # no mean of scores: the benchmark computes it another way
        message = _contradiction(row, metric, scores.get(place, ()))
        if message:
            left.discard((row.model, key.benchmark))
            yield Damaged(row.model, key.benchmark, message)


def _contradiction(row: Figure, metric: Metric, values: Sequence[float]) -> str:
    """Empty where the records give the stored figure."""
    stored = row.value.point
    point = math.fsum(values) / len(values) * metric.scale if values else None
    if metric.whole and point is not None:
        point = float(int(point))
    same = None not in (point, stored) and math.isclose(
        point or 0.0, stored or 0.0, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE
    )
    if len(values) == row.value.n and same:
        return ""
    ours, theirs = figure(stored, row.unit), figure(point, row.unit)
    if ours == theirs and stored != point:
        ours, theirs = repr(stored), repr(point)
    return (
        f"results.json has {catalogue.metric(metric.name).words} {ours} from {count(row.value.n)} "
        f"scores, records.jsonl gives {theirs} from {count(len(values))}: one of the two files was "
        f"changed"
    )


# --- judges -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class JudgeHealth:
    """One judge on one benchmark, over all models it judged."""

    judge: str
    benchmark: str
    protocol: str
    asked: int
    """Judgments begun."""
    parsed: int
    unparsable: int
    """Replied, but not in the form the protocol asks for; never scored."""
    failed: int
    """Not answered (unreachable, refused, over-long, ...)."""
    pairs: int
    """Pairwise: parsed judgments with a vote in both orders; the figures below are of these."""
    position_bias: float | None
    """Percentage points: mean preference for whatever stands first, less 50.  0 is unbiased,
    +50 always prefers the first.  None: no pairs (a rating judge has none)."""
    position_bias_se: float | None
    """Standard error of `position_bias`, clustered by sample."""
    order_disagreement: float | None
    """Share of pairs (0 to 1) whose votes prefer different answers; an even vote prefers none."""
    vote_margin: float | None
    """Percentage points: mean distance of a vote from 50.  0 is undecided, 50 is certain."""


def judge_health(records: Sequence[Record]) -> list[JudgeHealth]:
    """A row per judge, benchmark and protocol, in order of first appearance.

    With votes v₁ (answer shown first) and v₂ (shown second), each the preference for the
    answer, the preference for what stands first is v₁ and 1 - v₂; a pair's bias is their mean
    less ½, (v₁ - v₂)/2, so the quality of the answers cancels.
    """
    found: dict[tuple[str, str, str], list[tuple[Hashable, Judgment]]] = {}
    for record in records:
        unit = (record.task, record.cluster or record.sample)
        for judgment in record.outcome.judgments:
            key = (judgment.judge, record.benchmark, judgment.protocol)
            found.setdefault(key, []).append((unit, judgment))
    return [_health(*key, rows) for key, rows in found.items()]


def _health(
    judge: str, benchmark: str, protocol: str, rows: Sequence[tuple[Hashable, Judgment]]
) -> JudgeHealth:
    parsed = [(unit, j) for unit, j in rows if j.status == "ok"]
    unparsable = sum(j.status == "unparsable" for _, j in rows)
    pairs = [(unit, j.votes) for unit, j in parsed if len(j.votes) == 2]
    biases = [100 * (first - second) / 2 for _, (first, second) in pairs]
    bias = mean(biases, [unit for unit, _ in pairs], 0.95, magnitude=100.0)
    disagree = sum((first - 0.5) * (second - 0.5) < 0 for _, (first, second) in pairs)
    margins = [100 * abs(vote - 0.5) for _, votes in pairs for vote in votes]
    return JudgeHealth(
        judge=judge,
        benchmark=benchmark,
        protocol=protocol,
        asked=len(rows),
        parsed=len(parsed),
        unparsable=unparsable,
        failed=len(rows) - len(parsed) - unparsable,
        pairs=len(pairs),
        position_bias=bias.point,
        position_bias_se=bias.standard_error,
        order_disagreement=disagree / len(pairs) if pairs else None,
        vote_margin=math.fsum(margins) / len(margins) if margins else None,
    )
