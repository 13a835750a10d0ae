"""What speaks against a run's figures: judges that are local or not fit, limits, damage.

Whoever compares, publishes, gates or claims asks here; the words are `draw`'s.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence

from evalkit import catalogue
from evalkit.comparison.health import unfit, unvalidated
from evalkit.comparison.resolve import Part
from evalkit.core import Json
from evalkit.core.contests import Caution, Damaged, Limited, LocalJudge, SettingsDiffer, Unfinished
from evalkit.core.figures import Figure, FigureKey, Metric, Unit
from evalkit.core.run import Run, tasks_below
from evalkit.draw import count, figure

__all__ = ["Cautions", "damages", "disagreements", "doubts"]

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
            if catalogue.unit(unit).has_direction:
                if judge := unvalidated(run, part.benchmark):
                    found[LocalJudge(judge)] = None
                found |= dict.fromkeys(unfit(run, part.benchmark))
            if run.manifest.limit is not None:
                found[Limited(run.manifest.limit)] = None
            for damaged in self._damages[id(run)][1]:
                if (damaged.model, damaged.benchmark) == (part.model, part.benchmark):
                    found[damaged] = None
        return tuple(found)


UNFINISHED = 0.05
"""Share of unfinished samples up to which a comparison has a verdict."""


def of_thinking(
    mine: Sequence[Part], others: Sequence[Part], key: FigureKey
) -> Iterator[Unfinished | SettingsDiffer]:
    """Where one side's models think otherwise, or do not come to an end."""
    for part in (*mine, *others):
        averages = part.entry.averages
        below = (tasks_below(a, averages) for a in averages if a.task == key.task)
        tasks = next(below, {key.task: ""})
        statuses = [r.outcome.status for r in part.records if r.task in tasks]
        share = statuses.count("unfinished") / len(statuses) if statuses else 0.0
        if share > UNFINISHED:
            yield Unfinished(part.model, part.benchmark, share)
    ours, theirs = (_generation(part, tasks) for part in (mine[0], others[0]))
    for name in dict.fromkeys([*ours, *theirs]):
        if ours.get(name) != theirs.get(name):
            yield SettingsDiffer(name, ours.get(name), theirs.get(name))


def _generation(part: Part, tasks: Collection[str]) -> dict[str, Json]:
    """What a model's own settings say of how it generates, by dotted name."""
    entry, about = part.run.model(part.model), part.description
    if entry is None:
        return {}
    said = {"thinking": entry.thinking, "chat_template_kwargs": entry.chat_template_kwargs}
    generated = {about.task(task).output_type for task in tasks} <= {None, "generate_until"}
    if generated and about.generation_config != "none":
        said["generation"] = entry.generation
    return {f"{name}.{k}": v for name, fields in said.items() for k, v in fields.items()}


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
    computed from them.  Where this finds nothing, but a file is not the one that was sealed, that
    is the damage.
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
            yield Damaged(row.model, key.benchmark, message, after_sealing=True)
    if run.changed:
        for model, benchmark in sorted(left):
            yield Damaged(model, benchmark, "; ".join(run.changed), after_sealing=True)


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
