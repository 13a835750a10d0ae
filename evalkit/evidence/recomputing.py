"""A figure computed again from records, and held against what results.json has."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

from evalkit import compare
from evalkit.compare.scores import Metrics
from evalkit.core import Comparison, Estimate, Json, Metric, Record, Run
from evalkit.errors import ComparisonError, EvalkitError
from evalkit.evidence.figures import Figure

__all__ = ["Extra", "Recomputed", "is_published", "is_recorded", "metrics_of_run", "recompute"]

Outcome: TypeAlias = Literal["same", "differs", "not recomputed", "nothing computed"]
Extra: TypeAlias = Callable[[Run, str, str], Sequence[Estimate]]
"""(run, model, benchmark entry) to the figures that are no means over samples, from records; may
raise EvalkitError where what they need besides is not here."""

_TOLERANCE = 1e-9
"""Relative: another machine may add in another order."""


@dataclass(frozen=True)
class Recomputed:
    """What came of it."""

    outcome: Outcome
    row: Estimate | Comparison | None
    """As computed now."""
    differences: tuple[str, ...]
    """Field by field, where it differs."""
    why: str
    """From what it was computed, or why not."""


def recompute(figure: Figure, extra: Extra | None = None) -> Recomputed:
    """Compute `figure` again.

    `differs` is a verdict against the stored figure: its records say something else.
    """
    row = figure.row
    if isinstance(row, Estimate):
        if is_published(row):
            return Recomputed("nothing computed", None, (), "the source says so")
        if is_recorded(row):
            why = "its files hold the figure, not the samples; it was taken as it is"
            return Recomputed("nothing computed", None, (), why)
        if not _has_records(figure.run, row):
            return _gone(f"of {row.model} there are none")
        return _held(row, *_estimate(figure.run, row, extra))
    if not figure.stored:
        why = "it stands in no run: computed just now from the records of both sides"
        return Recomputed("same", row, (), why)
    found = _comparison(figure.run, row)
    if found is None and _is_declared(figure.run, row):
        return _gone("no sample of it has a score from both sides")
    if found is None:
        return Recomputed("not recomputed", None, (), "it is no mean over samples of its task")
    return _held(row, found, f"from the {found.n} scores both sides have")


def _gone(what: str) -> Recomputed:
    return Recomputed("differs", None, (f"results.json has it, the records do not: {what}",), what)


def _has_records(run: Run, row: Estimate) -> bool:
    """Of its task; a figure of a group of tasks has none of its own, but its benchmark has."""
    mine = [r for r in run.records if (r.model, r.benchmark) == (row.model, row.benchmark)]
    return any(r.task == row.task for r in mine) if _is_declared(run, row) else bool(mine)


def _is_declared(run: Run, row: Estimate | Comparison) -> bool:
    """Whether its metric is one of its task's, and so a mean over the task's samples."""
    found = metrics_of_run(run).get(row.benchmark, {}).get(row.task, ())
    return row.metric in {metric.name for metric in found}


def is_published(row: Estimate | Comparison) -> bool:
    """Someone else measured it."""
    return isinstance(row, Estimate) and row.method == "published"


def is_recorded(row: Estimate | Comparison) -> bool:
    """It was read from result files without samples."""
    return isinstance(row, Estimate) and bool(row.source) and not is_published(row)


def metrics_of_run(run: Run) -> dict[str, dict[str, tuple[Metric, ...]]]:
    """By benchmark entry and task, as the manifest has them."""
    return {
        entry["name"]: {
            task: tuple(Metric(**_fields(m)) for m in about["metrics"])
            for task, about in entry.get("tasks", {}).items()
        }
        for entry in run.manifest.get("benchmarks", ())
    }


def _fields(described: Mapping[str, Json]) -> dict[str, Json]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in described.items()}


def _estimate(run: Run, row: Estimate, extra: Extra | None) -> tuple[Estimate | None, str]:
    records, metrics = _of_task(run, row)
    for found in compare.estimates(records, metrics, row.level):
        if _key(found) == _key(row):
            return found, f"from {found.n} scores"
    if extra is None:
        return None, "it is no mean over samples, and its benchmark was not asked"
    try:
        rows = extra(run, row.model, row.benchmark)
    except (EvalkitError, OSError) as error:
        return None, f"it is no mean over samples, and what it needs besides is not here: {error}"
    for found in rows:
        if _key(found) == _key(row):
            return found, f"from the answers and scores of {found.n} samples"
    return None, "its benchmark gives no such figure now"


def _comparison(run: Run, row: Comparison) -> Comparison | None:
    records, metrics = _of_task(run, row)
    roles = {row.candidate: "candidate", row.baseline: "baseline"}
    rows = compare.comparisons(records, metrics, roles, row.level)
    found = next((found for found in rows if _key(found) == _key(row)), None)
    return found or _over_tasks(run, row)


def _over_tasks(run: Run, row: Comparison) -> Comparison | None:
    """A difference that is not of one task's samples, as `evalkit compare` has it."""
    try:
        rows = compare.compare([run], row.candidate, [row.baseline], compare.Options(row.level))
    except ComparisonError:
        return None
    return next((r.comparison for r in rows if _key(r.comparison) == _key(row)), None)


def _of_task(run: Run, row: Estimate | Comparison) -> tuple[list[Record], Metrics]:
    """All models': whether a share gets a Wilson interval depends on all of them."""
    where = (row.benchmark, row.task)
    records = [r for r in run.records if (r.benchmark, r.task) == where]
    tasks = metrics_of_run(run).get(row.benchmark, {})
    return records, {row.benchmark: {task: m for task, m in tasks.items() if task == row.task}}


def _key(row: Estimate | Comparison) -> tuple[str | None, ...]:
    models = (row.model,) if isinstance(row, Estimate) else (row.candidate, row.baseline)
    return (*models, row.benchmark, row.task, row.metric, row.category)


def _held(
    stored: Estimate | Comparison, found: Estimate | Comparison | None, why: str
) -> Recomputed:
    if found is None:
        return Recomputed("not recomputed", None, (), why)
    differences = tuple(
        f"{field.name}: results.json has {ours!r}, the records give {theirs!r}"
        for field in fields(stored)
        if not _same(ours := getattr(stored, field.name), theirs := getattr(found, field.name))
        and not (ours is None and field.default is None)  # a field younger than the run
    )
    return Recomputed("differs" if differences else "same", found, differences, why)


def _same(a: object, b: object) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=1e-12)
    return a == b
