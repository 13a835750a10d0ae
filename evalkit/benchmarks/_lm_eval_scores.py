"""lm-eval's per-document values become scores, and its aggregations become figures.

Metrics that are means are scores, whose statistics the rest of evalkit computes.  The others need
all documents at once: their values are kept in `Outcome.data`.  Groups are averaged here, too.

Names are lm-eval's own, `exact_match,strict-match` where the filter is not `none`.  Accuracies
and similar metrics are printed in percent, all others as lm-eval gives them.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from statistics import NormalDist
from typing import Any

from evalkit.core import Json, Record
from evalkit.core.figures import (
    Average,
    Estimator,
    Figure,
    FigureKey,
    Interval,
    Measured,
    Method,
    Metric,
    Unit,
)

BOOTSTRAP = 1000
"""Replicates where lm-eval bootstraps a standard error (its default is 100,000)."""

_PERCENT_WORDS = frozenset(
    {"acc", "accuracy", "average", "em", "exact", "f1", "mc1", "mc2", "normalised"}
)
_HUGE = 1e100
"""Squares and sums of smaller numbers stay finite."""
_PASSAGES = ("passage", "narrative", "article", "paragraph", "story", "context")
"""Fields in which lm-eval's data sets keep a text that several documents share."""
_CORPUS_SCORES = frozenset({"bleu", "chrf", "ter", "rouge", "meteor"})


@dataclass(frozen=True)
class Aggregate:
    """One aggregated metric of a task or group, in lm-eval's own scale."""

    metric: str
    point: float | None
    standard_error: float | None
    n: int
    n_missing: int
    method: str
    corpus: bool
    """Not the mean of per-sample scores; computed nowhere else."""


def display(metric: str, filter_name: str) -> str:
    """lm-eval's `metric,filter` as evalkit prints it."""
    return metric if filter_name == "none" else f"{metric},{filter_name}"


def is_mean(task: Any, metric: str) -> bool:
    """Whether lm-eval aggregates `metric` by the mean."""
    from lm_eval.api.metrics import mean, nanmean

    return task.aggregation().get(metric) in (mean, nanmean)


def filters(task: Any) -> list[str]:
    """Names of the task's filters, in order."""
    return [f.name for f in task._filters]  # noqa: SLF001 - lm-eval has no accessor


def declared(task: Any) -> list[tuple[str, str]]:
    """(metric, filter) of everything the task declares, in its order."""
    return [(metric, f) for metric in task.aggregation() for f in filters(task)]


def percent(metric: str) -> bool:
    """Whether values between 0 and 1 of this metric are printed in percent."""
    words = set(re.findall(r"[a-z0-9]+", metric.partition(",")[0].lower()))
    return bool(_PERCENT_WORDS & words) and not _CORPUS_SCORES & words


def metrics(task: Any) -> tuple[Metric, ...]:
    """The task's mean metrics; acc_norm first, else acc, else the first declared."""
    means = [(m, f) for m, f in declared(task) if is_mean(task, m)]
    order = sorted(means, key=lambda pair: {"acc_norm": 0, "acc": 1}.get(pair[0], 2))
    better = task.higher_is_better()
    first = order[:1]
    return tuple(
        Metric(
            name=display(metric, filter_name),
            unit="percent" if percent(metric) else "raw",
            scale=100.0 if percent(metric) else 1.0,
            higher_is_better=better.get(metric) is not False,
            primary=[(metric, filter_name)] == first,
        )
        for metric, filter_name in first + [pair for pair in means if [pair] != first]
    )


def passage_cluster(task: str, doc: Any) -> str:
    """The unit of resampling of a document with a passage; empty: the document itself.

    Answers to questions about one passage are correlated, so these documents are one unit.
    """
    fields = doc if isinstance(doc, Mapping) else {}
    text = next((t for f in _PASSAGES if isinstance(t := fields.get(f), str) and t.strip()), None)
    if text is None:
        return ""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{task}:{digest[:16]}"


def jsonable(value: Any) -> Json:
    """`value` in JSON types; what is undefined (NaN, infinity) becomes None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(v) for v in value]
    return str(value)


def number(value: Any) -> float | None:
    """`value` as a finite float; None where it is not one number, or too large to square."""
    value = jsonable(value)
    if not isinstance(value, bool | int | float) or abs(value) > _HUGE:
        return None
    return float(value)


def figures(task: Any, records: Sequence[Record]) -> list[Aggregate]:
    """Every metric of one task, means and corpus metrics alike, from its records."""
    means = [display(m, f) for m, f in declared(task) if is_mean(task, m)]
    made = [_mean_figure(name, records) for name in means]
    corpus = [display(m, f) for m, f in declared(task) if not is_mean(task, m)]
    found = (name for r in records for name in r.outcome.data)
    for name in dict.fromkeys([*corpus, *found]):
        if name not in means:
            made.append(_corpus_figure(task, name, records))
    return made


def _mean_figure(name: str, records: Sequence[Record]) -> Aggregate:
    values = [s.value for r in records for s in r.outcome.scores if s.metric == name]
    n = len(values)
    point = math.fsum(values) / n if n else None
    error = None
    if point is not None and n > 1:
        error = math.sqrt(math.fsum((v - point) ** 2 for v in values) / (n - 1) / n)
    return Aggregate(name, point, error, n, len(records) - n, "mean", corpus=False)


def _corpus_figure(task: Any, name: str, records: Sequence[Record]) -> Aggregate:
    from lm_eval.api.metrics import mean

    metric = name.partition(",")[0]
    aggregate = task.aggregation().get(metric, mean)
    items = [_item(r.outcome.data[name]) for r in records if name in r.outcome.data]
    missing = len(records) - len(items)
    label = getattr(aggregate, "__name__", "aggregation")
    try:
        point = number(aggregate(items)) if items else None
    except Exception as error:  # noqa: BLE001 - an aggregation is any task author's function
        return Aggregate(name, None, None, len(items), missing, f"undefined: {error}", corpus=True)
    error_of, method = _standard_error(aggregate, metric, items)
    if point is None:
        error_of, method = None, "undefined"
    return Aggregate(name, point, error_of, len(items), missing, f"{label}; {method}", corpus=True)


def _item(value: Json) -> Any:
    return math.nan if value is None else value


def _standard_error(aggregate: Any, metric: str, items: list[Any]) -> tuple[float | None, str]:
    """lm-eval's standard error of an aggregation, and its method."""
    from lm_eval.api.metrics import acc_all, mean, stderr_for_metric

    if len(items) < 2:
        return None, "no standard error from one sample"
    replicates = 100 if metric in ("bleu", "chrf", "chrf++", "ter") else BOOTSTRAP
    error_of = stderr_for_metric(metric=aggregate, bootstrap_iters=replicates)
    if error_of is None:
        return None, "lm-eval has no standard error for it"
    closed = aggregate in (mean, acc_all)
    try:
        with _in_this_process():
            error = number(error_of(items))
    except Exception as problem:  # noqa: BLE001 - a replicate may be degenerate (one class only)
        return None, f"no standard error: {problem}"
    return error, "lm-eval's closed form" if closed else f"bootstrap, {replicates} replicates"


@contextmanager
def _in_this_process() -> Iterator[None]:
    """lm-eval's bootstrap without its process pool and its prints."""
    before = os.environ.get("DISABLE_MULTIPROC")
    os.environ["DISABLE_MULTIPROC"] = "1"
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield
    finally:
        if before is None:
            del os.environ["DISABLE_MULTIPROC"]
        else:
            os.environ["DISABLE_MULTIPROC"] = before


def group_figures(group: Any, by_task: Mapping[str, Sequence[Aggregate]]) -> list[Aggregate]:
    """The figures lm-eval prints for a group, and the plain mean over tasks where it weights.

    Standard error: √(Σ w² SE²) over the tasks, which are independent strata with fixed weights
    w (n/N, or 1/k).  lm-eval pools the variances instead, which is the same for equal tasks.
    A group is undefined while one of its tasks is.
    """
    leaves = [t.task_name for t in group.get_all_tasks()]
    made = []
    for wanted in group.aggregate_metric_list or ():
        names = {f.metric for leaf in leaves for f in by_task.get(leaf, ())}
        for name in sorted(names):
            if not _aggregates(wanted, name):
                continue
            parts = [f for leaf in leaves for f in by_task.get(leaf, ()) if f.metric == name]
            made.append(combine(parts, name, by_size=wanted.weight_by_size))
            if wanted.weight_by_size:
                made.append(combine(parts, f"{name} (mean of tasks)", by_size=False))
    return made


def _aggregates(wanted: Any, name: str) -> bool:
    """Whether an entry of a group's `aggregate_metric_list` is about the metric `name`."""
    metric, _, filter_name = name.partition(",")
    filters = wanted.filter_list
    return metric == wanted.metric and (filters is None or (filter_name or "none") in filters)


def group_averages(
    groups: Mapping[str, Any], metrics: Mapping[str, Sequence[Metric]]
) -> list[Average]:
    """The averages that `group_figures` computes, for metrics that are means of documents.

    Headline figures are those of groups within no other group, of their tasks' primary metric.
    """
    leaves = {name: [t.task_name for t in g.get_all_tasks()] for name, g in groups.items()}
    made = []
    for name, group in groups.items():
        mine = leaves[name]
        outer = not any(n != name and set(mine) < set(other) for n, other in leaves.items())
        known = {m.name: m for leaf in mine for m in metrics.get(leaf, ())}
        for wanted in group.aggregate_metric_list or ():
            for metric in known.values():
                if not _aggregates(wanted, metric.name):
                    continue
                of = tuple((leaf, metric.name) for leaf in mine)
                headline = replace(metric, primary=metric.primary and outer)
                made.append(Average(name, headline, of, by_size=wanted.weight_by_size))
                if wanted.weight_by_size:
                    mean = replace(metric, name=f"{metric.name} (mean of tasks)", primary=False)
                    made.append(Average(name, mean, of))
    return made


def combine(parts: Sequence[Aggregate], name: str, *, by_size: bool) -> Aggregate:
    """The weighted mean of independent figures; undefined where one of them is."""
    n, missing = sum(p.n for p in parts), sum(p.n_missing for p in parts)
    points = [p.point for p in parts if p.point is not None]
    how = "weighted by size" if by_size else "equal weights"
    method = f"mean of {len(parts)} tasks, {how}; SE stratified by task"
    if not parts or len(points) < len(parts):
        return Aggregate(
            name, None, None, n, missing, "undefined: a task has no score", corpus=True
        )
    weights = [p.n / n if by_size else 1 / len(parts) for p in parts]
    point = math.fsum(w * p for w, p in zip(weights, points, strict=True))
    errors = [p.standard_error for p in parts if p.standard_error is not None]
    error = None
    if len(errors) == len(parts):
        error = math.sqrt(math.fsum((w * e) ** 2 for w, e in zip(weights, errors, strict=True)))
    return Aggregate(name, point, error, n, missing, method, corpus=True)


def figure(found: Aggregate, model: str, place: tuple[str, str], level: float) -> Figure:
    """`found` in the unit leaderboards print, with a normal interval.

    `place`: benchmark entry and task; `level`: confidence level, 0 to 1.
    """
    scale = 100.0 if percent(found.metric) else 1.0
    point = None if found.point is None else found.point * scale
    error = None if found.standard_error is None else found.standard_error * scale
    low = high = None
    method = found.method
    if point is not None and error is not None:
        half = NormalDist().inv_cdf(0.5 + level / 2) * error
        low, high = point - half, point + half
        method += "; normal interval"
    how = Method(Estimator.CORPUS, Interval.STATED, detail=method)
    value = Measured(point, error, low, high, level, found.n, found.n, found.n_missing, how)
    unit: Unit = "percent" if scale == 100 else "raw"
    return Figure(model, FigureKey(*place, found.metric), unit, value)
