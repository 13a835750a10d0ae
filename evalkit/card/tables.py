"""A card's tables: the chat table and the academic ones, as Markdown with their footnotes.

Rows are models, the card's own in bold.  A table is sorted by one column, which it names; that
says nothing of neighbours, so it says that too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from evalkit.card import headlines, hub
from evalkit.card.figures import Block, Figure, Material
from evalkit.card.footnotes import Footnotes, Markdown, remarks
from evalkit.compare.words import metric_words
from evalkit.core import Estimate
from evalkit.draw import MISSING, count, escape_markdown, figure, one_line, visible

__all__ = ["CardTable", "academic_tables", "chat_table"]

_LC = "length_controlled_win_rate"
_CAPPED = "length_capped_win_rate"
_N = "n of "
"""How the columns of sample counts begin, where there are several."""
_WIDE = 12
"""Most tasks that stand side by side; more stand one below the other."""


@dataclass(frozen=True)
class CardTable:
    """One table."""

    title: Markdown
    lines: tuple[str, ...]
    """Rows of Markdown, heading first."""
    notes: tuple[Markdown, ...]
    """How to read it, then its footnotes."""

    def __str__(self) -> str:
        below = "<br>\n".join(self.notes)
        return "\n".join([f"**{self.title}**", "", *self.lines, "", below]).rstrip()


@dataclass(frozen=True)
class _Column:
    """A heading, and what a model's cell in it is."""

    name: str
    unit: str
    """Follows the name in the heading."""
    find: Callable[[str], Figure | None]
    render: Callable[[Figure], str]
    key: bool = False
    """The table may be sorted by it."""
    remarks: tuple[str, ...] = ()
    """What holds of all its published figures."""

    @property
    def heading(self) -> str:
        """Name and unit."""
        return self.name + self.unit


def chat_table(material: Material) -> CardTable | None:
    """MT-Bench and AlpacaEval, one row a model; None where neither was measured."""
    notes = Footnotes()
    blocks = [b for kind in headlines.CHAT for b in material.blocks if b.kind == kind]
    columns = [column for block in blocks for column in _chat_columns(block, notes)]
    if sum(column.name.startswith(_N) for column in columns) == 1:
        columns = [replace(c, name="n") if c.name.startswith(_N) else c for c in columns]
    models = list(dict.fromkeys(m for b in blocks for m in b.models))
    if not list(_estimates(columns, models)):
        return None
    key = next((c for c in columns if c.key and "AlpacaEval" in c.name), columns[0])
    return _table("Chat benchmarks", (columns, key), models, material, notes)


def academic_tables(material: Material) -> list[CardTable]:
    """One table for each benchmark entry of tasks with right answers."""
    blocks = [b for b in material.blocks if b.kind not in headlines.CHAT]
    return [table for block in blocks if (table := _academic(block, material)) is not None]


# --- columns ------------------------------------------------------------------------------------


def _chat_columns(block: Block, notes: Footnotes) -> Iterator[_Column]:
    for task in block.tasks:
        metric = headlines.headline(block, task)
        if metric is None:
            continue
        if block.kind == "mt_bench":
            name = block.title if metric == "score" else f"{block.title} {metric_words(metric)}"
            yield _stated(block, (task, metric), (name, _unit(block, task, metric)), notes)
        else:
            yield from _alpaca_columns(block, (task, metric), notes)


def _alpaca_columns(block: Block, place: tuple[str, str], notes: Footnotes) -> Iterator[_Column]:
    task, metric = place
    name = f"{block.title} {metric_words(metric)}"
    yield _stated(block, place, (name, _unit(block, task, metric)), notes)
    yield _Column(f"{_N}{block.title}", "", _finder(block, *place), lambda f: _count(f.estimate))
    if any(f.metric.name == _LC for f in block.figures):
        yield _lc(block, task, notes)
    if any(f.metric.name == "avg_length" for f in block.figures):
        length = f"{block.title} length", " (mean, characters)"
        yield _stated(block, (task, "avg_length"), length, notes)


def _unit(block: Block, task: str, metric: str) -> str:
    """What follows a chat column's name."""
    units = {f.estimate.unit for f in block.figures if _place(f) == (task, metric)}
    return {"percent": ", %", "points": " (1 to 10)"}.get(units.pop(), "") if units else ""


def _place(f: Figure) -> tuple[str, str]:
    return f.estimate.task, f.metric.name


def _stated(
    block: Block, place: tuple[str, str], heading: tuple[str, str], notes: Footnotes
) -> _Column:
    """A column whose figures may be others': those that are bear a mark."""
    name, unit = heading
    of_column = [f for f in block.figures if _place(f) == place]
    said = [set(remarks(f)) for f in of_column if f.is_published]
    common = frozenset(set.intersection(*said)) if len(said) > 1 else frozenset()

    def render(f: Figure) -> str:
        marks = notes.weak_judge(f) + notes.source(f, name, common)
        if f.estimate.n_missing and f.estimate.n:
            text = f"{f.estimate.model}: {count(f.estimate.n_missing)}"
            marks += notes.mark(f"{name} leaves out samples without a score", text)
        return _value(f.estimate) + marks

    shared = dict.fromkeys(r for f in of_column for r in remarks(f) if r in common)
    return _Column(name, unit, _finder(block, *place), render, True, tuple(shared))


def _lc(block: Block, task: str, notes: Footnotes) -> _Column:
    name = f"{block.title} LC win rate"

    def render(f: Figure) -> str:
        marks = notes.weak_judge(f) + notes.source(f, name)
        if not f.is_published:
            marks += notes.mark(f"{name}: {_without_fit(f.estimate.method)}")
            capped = block.find(f.estimate.model, task, _CAPPED)
            if capped is not None:
                value = f"{f.estimate.model}: {_value(capped.estimate)}"
                marks += notes.mark("LC win rate with lengths capped at their 99% quantile", value)
        return _value(f.estimate) + marks

    return _Column(name, ", %", _finder(block, task, _LC), render)


def _without_fit(method: str) -> str:
    """Without the penalty, which differs from model to model."""
    parts = [part.removesuffix(" at that C") for part in method.split("; ")]
    return "; ".join(part for part in parts if not part.startswith("C "))


def _finder(block: Block, task: str, metric: str) -> Callable[[str], Figure | None]:
    return lambda model: block.find(model, task, metric)


def _value(e: Estimate) -> str:
    shown = figure(e.point, e.unit)
    # Where no sample differs from another the error is 0, which measures nothing.
    if not e.standard_error or e.unit == "characters":
        return shown
    return f"{shown} ± {figure(e.standard_error, e.unit)}"


def _count(e: Estimate) -> str:
    return count(e.n) if e.n else MISSING


# --- academic -----------------------------------------------------------------------------------


def _academic(block: Block, material: Material) -> CardTable | None:
    notes = Footnotes()
    average = [_average(block, metric, notes) for metric in headlines.averages(block)]
    columns = [c for c in average if list(_estimates([c], block.models))]
    shown = headlines.tasks(block)
    units = {f.estimate.unit for f in block.figures if f.estimate.task in shown}
    columns += [_task_column(block, task, notes, mixed=len(units) > 1) for task in shown]
    if not list(_estimates(columns, block.models)):
        return None
    key = columns[0] if columns[0] in average or len(columns) == 1 else None
    return _table(block.title, (columns, key), list(block.models), material, notes)


def _average(block: Block, metric: str, notes: Footnotes) -> _Column:
    def render(f: Figure) -> str:
        method = f.stated.source if f.is_published and f.stated else f.estimate.method
        return _value(f.estimate) + notes.mark(f"Average: {method}")

    return _Column("Average", "", _finder(block, headlines.WHOLE, metric), render, key=True)


def _task_column(block: Block, task: str, notes: Footnotes, *, mixed: bool) -> _Column:
    """`mixed`: figures in other units than percent stand beside it."""
    metric = headlines.headline(block, task) or ""
    known = [f for f in block.figures if _place(f) == (task, metric)]
    said = {headlines.shots(f, block) for f in known} - {None}
    unit = f" ({said.pop()}-shot)" if len(said) == 1 else ""
    unit += ", %" if mixed and any(f.estimate.unit == "percent" for f in known) else ""
    if any(not f.metric.higher_is_better for f in known):
        unit += ", lower is better"
    return _stated(block, (task, metric), (hub.label_of(task), unit), notes)


# --- setting out --------------------------------------------------------------------------------


def _table(
    title: str,
    columns: tuple[Sequence[_Column], _Column | None],
    models: Sequence[str],
    material: Material,
    notes: Footnotes,
) -> CardTable:
    shown, key = columns
    ordered = _sorted(models, key, shown)
    rows = [[_name(m, material.candidate), *(_cell(c, m) for c in shown)] for m in ordered]
    head = ["Model", *(escape_markdown(c.heading) for c in shown)]
    aligned = ["---", *("---:" for _ in shown)]
    if len(shown) > _WIDE:
        rows = [[head[i], *(row[i] for row in rows)] for i in range(1, len(head))]
        head = ["Task", *(_name(m, material.candidate) for m in ordered)]
        aligned = ["---", *("---:" for _ in ordered)]
    lines = [_row(head), _row(aligned), *(_row(row) for row in rows)]
    how = [] if key is None or len(ordered) < 2 else [_order(key)]
    in_heading = any("%" in column.unit for column in shown)
    if not in_heading and all(e.unit == "percent" for e in _estimates(shown, ordered)):
        how.append("In percent.")
    how += [f"{c.name}: {'; '.join(c.remarks)}." for c in shown if c.remarks]
    if any(" ± " in cell for row in rows for cell in row):
        how.append("± is one standard error.")
    if len(ordered) > 1 and material.candidate in ordered:
        how.append("Bold: the model of this card.")
    read = [Markdown(escape_markdown(" ".join(how)))] if how else []
    name = Markdown(escape_markdown(title))
    return CardTable(name, tuple(lines), (*read, *notes.lines()))


def _sorted(models: Sequence[str], key: _Column | None, shown: Sequence[_Column]) -> list[str]:
    """Best first, models without that figure last; rows without any figure are left out."""
    known = [m for m in models if any(c.find(m) is not None for c in shown)]
    if key is None:
        return known

    def rank(model: str) -> tuple[bool, float]:
        f = key.find(model)
        if f is None or f.estimate.point is None:
            return True, 0.0
        sign = -1 if f.metric.higher_is_better else 1
        return False, sign * f.estimate.point

    return sorted(known, key=rank)


def _estimates(columns: Sequence[_Column], models: Sequence[str]) -> Iterator[Estimate]:
    found = (column.find(model) for column in columns for model in models)
    yield from (f.estimate for f in found if f is not None)


def _order(key: _Column) -> str:
    return (
        f"Sorted by {key.name}; rows beside each other are not necessarily told apart by the data."
    )


def _name(model: str, candidate: str) -> str:
    name = escape_markdown(one_line(visible(model)))
    return f"**{name}**" if model == candidate else name


def _cell(column: _Column, model: str) -> str:
    f = column.find(model)
    return MISSING if f is None else column.render(f)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
