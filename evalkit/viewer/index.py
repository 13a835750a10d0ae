"""The index: one row a run and candidate, in the order that the address asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from evalkit.compare.words import bounds, has_width, metric_words, task_label
from evalkit.core import Estimate
from evalkit.draw import MISSING, figure
from evalkit.store import natural_key
from evalkit.viewer.found import Entry, headline_metrics

__all__ = ["Cell", "Heading", "IndexPage", "Line", "index_page"]

_MOST = 12
"""Headline figures with a column of their own; reports have the others."""
_DEFAULT = "-date"
_FIXED = (
    ("run", "Run"),
    ("suite", "Suite"),
    ("model", "Model"),
    ("date", "First session"),
    ("marks", "Marks"),
)

_SortKey: TypeAlias = Callable[["_Row"], tuple[object, ...] | None]


@dataclass(frozen=True)
class Heading:
    """A column's title, which sorts by it."""

    label: str
    title: str
    """In full."""
    link: str
    """Value of `sort` that a click on it asks for."""
    order: str
    """`ascending` or `descending` where the rows are sorted by it, else empty."""
    right: bool = False


@dataclass(frozen=True)
class Cell:
    """A headline figure, or why there is none."""

    shown: str
    interval: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Line:
    """One model of one run."""

    choice: str
    """What the compare form sends."""
    slug: str
    suite: str
    model: str
    run_id: str
    folder: str
    date: str
    marks: tuple[str, ...]
    cells: tuple[Cell, ...]
    error: str


@dataclass(frozen=True)
class IndexPage:
    """Everything the index shows."""

    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]
    left_out: int
    """Headline figures without a column."""


@dataclass(frozen=True)
class _Row:
    entry: Entry
    model: str


def index_page(entries: Sequence[Entry], sort: str = "") -> IndexPage:
    """The index over `entries`.

    Args:
        entries: In the order in which equal rows stay.
        sort: A column's key, with `-` before it the other way round; anything else: newest first.
    """
    every = headline_metrics(entries)
    measures = every[:_MOST]
    keys = _keys(measures)
    key = sort if sort.removeprefix("-") in keys else _DEFAULT
    rows = _sorted([_Row(e, m) for e in entries for m in e.models or ("",)], keys, key)
    return IndexPage(
        headings=tuple(_headings(measures, key)),
        lines=tuple(_line(row, measures) for row in rows),
        left_out=len(every) - len(measures),
    )


def _keys(measures: Sequence[tuple[str, str, str]]) -> dict[str, _SortKey]:
    keys: dict[str, _SortKey] = {
        "suite": lambda row: (natural_key(row.entry.suite),),
        "model": lambda row: (natural_key(row.model),),
        "run": lambda row: (natural_key(str(row.entry.folder)),),
        "date": lambda row: None if row.entry.started is None else (row.entry.started,),
        "marks": lambda row: (row.entry.marks,),
    }
    return keys | {str(i): _by_figure(measure) for i, measure in enumerate(measures)}


def _by_figure(measure: tuple[str, str, str]) -> _SortKey:
    def key(row: _Row) -> tuple[object, ...] | None:
        found = row.entry.figure(row.model, measure)
        return None if found is None or found.point is None else (found.point,)

    return key


def _sorted(rows: Sequence[_Row], keys: dict[str, _SortKey], sort: str) -> list[_Row]:
    """What has no value comes last, whichever way round."""
    key = keys[sort.removeprefix("-")]
    known = [row for row in rows if key(row) is not None]
    known.sort(key=lambda row: key(row) or (), reverse=sort.startswith("-"))
    return [*known, *(row for row in rows if key(row) is None)]


def _headings(measures: Sequence[tuple[str, str, str]], sort: str) -> list[Heading]:
    found = [_heading(key, label, label, sort) for key, label in _FIXED]
    for i, (benchmark, task, metric) in enumerate(measures):
        label = task_label(benchmark, task)
        title = f"{label}, {metric_words(metric)}"
        found.append(_heading(str(i), label, title, sort, first="-", right=True))
    return found


def _heading(
    key: str, label: str, title: str, sort: str, *, first: str = "", right: bool = False
) -> Heading:
    """A second click turns the order round; figures begin with the highest."""
    if sort.removeprefix("-") != key:
        return Heading(label, title, f"{first}{key}", "", right)
    turned = sort.startswith("-")
    order = "descending" if turned else "ascending"
    return Heading(label, title, key if turned else f"-{key}", order, right)


def _line(row: _Row, measures: Sequence[tuple[str, str, str]]) -> Line:
    entry = row.entry
    return Line(
        choice="" if entry.error else f"{entry.slug}:{row.model}",
        slug=entry.slug,
        suite=entry.suite,
        model=row.model,
        run_id=entry.run_id or entry.folder.name,
        folder=str(entry.folder),
        date=entry.date,
        marks=entry.marks,
        cells=tuple(_cell(entry, entry.figure(row.model, measure)) for measure in measures),
        error=entry.error,
    )


def _cell(entry: Entry, e: Estimate | None) -> Cell:
    if e is None or e.point is None:
        return Cell(MISSING)
    shown = figure(e.point, e.unit)
    remark = "published" if e.method == "published" else "recorded" if e.source else ""
    remarks = [*([remark] if remark else []), *entry.doubts(e)]
    return Cell(shown, bounds(e) if has_width(e) else "", ", ".join(remarks))
