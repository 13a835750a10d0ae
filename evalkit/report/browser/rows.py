"""The list: one row a sample, column by column, with everything a filter or an order needs.

Texts are spelled out (`visible`) and numbers formatted here, so that the page only places them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from evalkit.core import Json, Record
from evalkit.draw import MISSING, difference, figure, one_line, visible
from evalkit.report.browser.samples import (
    Task,
    difference_of,
    orders_disagree,
    scores_of,
)
from evalkit.report.browser.talk import shown_question
from evalkit.report.view import View
from evalkit.report.words import benchmark_label, metric_label, unit_text

__all__ = ["Column", "Pair", "Row", "columns", "models_of", "rows_of"]

_ABOUT = 110
"""Characters of a question that a row shows."""


@dataclass(frozen=True)
class Pair:
    """How candidate and baseline did on one sample."""

    verdict: str
    """`w`, `l`, `t` for the candidate; `n` where one of the two has no score."""
    shown: str
    """The difference, formatted."""
    size: float
    """Signed, positive where the candidate did better, as a share of the task's largest: what
    rows of different units are put in order by."""


@dataclass(frozen=True)
class Row:
    """One sample, all models."""

    task: int
    """Place of its `Task`."""
    id: str
    """Spelled out, unique within the task."""
    category: str
    about: str
    """How the question begins."""
    records: Mapping[str, Record]
    pairs: tuple[Pair, ...]


@dataclass
class Column:
    """Texts that repeat: each once, and which one each row has."""

    texts: dict[str, int] = field(default_factory=dict)
    at: list[int] = field(default_factory=list)

    def add(self, text: str) -> None:
        """The next row's."""
        self.at.append(self.texts.setdefault(text, len(self.texts)))

    def json(self) -> Json:
        """As the page reads it."""
        return {"texts": list(self.texts), "at": self.at}


def rows_of(view: View, tasks: Sequence[Task]) -> list[Row]:
    """Rows in the order of the run."""
    return [row for place, task in enumerate(tasks) for row in _rows(view, place, task)]


def _rows(view: View, place: int, task: Task) -> Iterable[Row]:
    compared = [_pairs(task, pair) for pair in view.pairs]
    seen: set[str] = set()
    for n, (sample, records) in enumerate(task.samples.items()):
        first = next(iter(records.values()))
        yield Row(
            task=place,
            id=_unique(visible(sample), seen),
            category=visible(first.category or ""),
            about=one_line(visible(shown_question(records)), _ABOUT),
            records=records,
            pairs=tuple(pairs[n] for pairs in compared),
        )


def _unique(name: str, seen: set[str]) -> str:
    """Ids that only differ in what cannot be seen must not share an address."""
    found, n = name, 1
    while found in seen:
        n += 1
        found = f"{name} ({n})"
    seen.add(found)
    return found


def _pairs(task: Task, pair: tuple[str, str]) -> list[Pair]:
    metric = task.primary
    candidate, baseline = pair
    found = [
        difference_of(records.get(candidate), records.get(baseline), metric)
        for records in task.samples.values()
    ]
    if metric is None:
        return [Pair("n", MISSING, 0.0) for _ in found]
    largest = max((abs(d) for d in found if d is not None), default=0.0) or 1.0
    sign = 1 if metric.higher_is_better else -1
    return [
        Pair("n", MISSING, 0.0)
        if d is None
        else Pair(_verdict(sign * d), difference(d, metric.unit), sign * d / largest)
        for d in found
    ]


def _verdict(better: float) -> str:
    return "w" if better > 0 else "l" if better < 0 else "t"


def columns(view: View, tasks: Sequence[Task], rows: Sequence[Row]) -> Json:
    """The list as the page reads it."""
    models = models_of(view, tasks)
    roles = {m.name: m.role for m in view.models}
    benchmarks = list(dict.fromkeys(task.benchmark for task in tasks))
    statuses, categories = Column(), Column()
    for row in rows:
        categories.add(row.category)
    by_model = [_of_model(name, tasks, rows, statuses) for name in models]
    return {
        "models": [
            {"name": visible(name), "role": visible(roles.get(name, ""))} for name in models
        ],
        "pairs": [[models.index(name) for name in pair] for pair in view.pairs],
        "benchmarks": [
            {"name": visible(name), "label": visible(benchmark_label(name))} for name in benchmarks
        ],
        "tasks": [_task(task, benchmarks.index(task.benchmark)) for task in tasks],
        "task": [row.task for row in rows],
        "id": [row.id for row in rows],
        "category": categories.json(),
        "about": [row.about for row in rows],
        "statuses": list(statuses.texts),
        "by_model": by_model,
        "by_pair": [_of_pair([row.pairs[i] for row in rows]) for i in range(len(view.pairs))],
    }


def models_of(view: View, tasks: Sequence[Task]) -> list[str]:
    """Models with records, and those compared though they have none, in report order."""
    found = {name for task in tasks for records in task.samples.values() for name in records}
    compared = dict.fromkeys(name for pair in view.pairs for name in pair)
    known = (m.name for m in view.models if m.name in found or m.name in compared)
    return list(dict.fromkeys([*known, *compared]))


def _task(task: Task, benchmark: int) -> Json:
    metric = task.primary
    return {
        "benchmark": benchmark,
        "name": visible(task.task),
        "metric": visible(metric_label(metric)) if metric else "",
        "unit": unit_text(metric.unit, of_difference=True) if metric else "",
        "primary": None if metric is None else [m.metric for m in task.measures].index(metric),
        "metrics": [visible(metric_label(m.metric)) for m in task.measures],
    }


def _of_model(name: str, tasks: Sequence[Task], rows: Sequence[Row], statuses: Column) -> Json:
    scores = Column()
    status, truncated, disagree = [], [], []
    for row in rows:
        record = row.records.get(name)
        metric = tasks[row.task].primary
        found = scores_of(record, metric)
        scores.add(figure(fmean(found.values()), metric.unit) if metric and found else MISSING)
        if record is None:
            status.append(-1)
        else:
            status.append(statuses.texts.setdefault(record.outcome.status, len(statuses.texts)))
        truncated.append("1" if record and record.outcome.truncated else "0")
        disagree.append("1" if record and orders_disagree(record) else "0")
    return {
        "score": scores.json(),
        "status": status,
        "truncated": "".join(truncated),
        "orders": "".join(disagree),
    }


def _of_pair(pairs: Sequence[Pair]) -> Json:
    shown = Column()
    for pair in pairs:
        shown.add(pair.shown)
    sizes = sorted({abs(pair.size) for pair in pairs})
    ranks = {size: rank for rank, size in enumerate(sizes if 0.0 in sizes else [0.0, *sizes])}
    return {
        "verdict": "".join(pair.verdict for pair in pairs),
        "shown": shown.json(),
        "rank": [ranks[abs(p.size)] if p.size > 0 else -ranks[abs(p.size)] for p in pairs],
    }
