"""What each number of a table is of: models and benchmarks found on either axis.

`columns` tells the columns apart.  A number's labels are those of its column and of its row
together; whatever text on one axis is no label of a measurement names a model.  A table without a
benchmark is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from evalkit.card.audit.benchmarks import BENCHMARKS
from evalkit.card.audit.columns import Column, filled, read_columns
from evalkit.card.audit.labels import Vocabulary, judge_of, merged
from evalkit.card.audit.models import is_own
from evalkit.card.audit.printed import parse_number
from evalkit.card.audit.shapes import CardTable, Cell, Label, Number

__all__ = ["Layout", "lay_out"]

_BOARD = ("1", "2")
_ASIDE = re.compile(
    r"\b(?:unlike|instead|internal|inspired|similar|except|besides)\b", re.IGNORECASE
)
"""Words beside which a benchmark is named that the table is not of."""


@dataclass(frozen=True)
class Layout:
    """A table, understood."""

    table: CardTable
    columns: tuple[Column, ...]
    numbers: tuple[Number, ...]
    board: str | None
    """Which Open LLM Leaderboard its columns are; None: neither."""
    context: Label = field(default_factory=Label)
    """What the text above says of all its numbers."""
    ranks: tuple[tuple[int, int, int], ...] = ()
    """(row, column, rank) of a column of ranks."""


def lay_out(table: CardTable, words: Vocabulary, board_model: str = "") -> Layout:
    """Find the numbers of a table that are measurements.

    Args:
        table: of the card.
        words: names of benchmarks and metrics.
        board_model: whose the numbers are that the leaderboard puts into cards.
    """
    context = _context(table, words)
    columns = read_columns(table, words, context)
    rows = list(_filled_down(table, columns))
    benches = {c.label.bench for c in columns if c.label.bench}
    benches |= {_row_label(row, columns, words).bench or "" for row in rows}
    is_measured = bool((benches - {""}) or context.bench)
    board = _board(table, benches, words)
    numbers: list[Number] = []
    if context.bench == "mt_bench" and not benches - {"", "mt_bench"}:
        context = replace(context, average=True)
    if is_measured:
        shy = len(benches - {""}) < 2 and context.bench is None
        for index, row in enumerate(rows):
            numbers += _row_numbers(_Row(table, columns, row, index, context, shy=shy), words)
    if board_model and board is not None and _is_from_board(table):
        numbers = [n if n.model else replace(n, model=board_model) for n in numbers]
    ranks = tuple(
        (i, j, int(found.value))
        for j, column in enumerate(columns)
        if column.kind == "rank"
        for i, row in enumerate(rows)
        if (found := parse_number(row[j].text)) is not None and found.decimals == 0
    )
    return Layout(table, tuple(columns), tuple(numbers), board, context, ranks)


# --- around the table ---------------------------------------------------------------------------


def _context(table: CardTable, words: Vocabulary) -> Label:
    """The one benchmark that the nearest text above is about; version and judge it states."""
    paragraphs = table.before.split("\n")
    bench: str | None = None
    for text in (paragraphs[-1], paragraphs[0], *reversed(table.headings)):
        named = set() if _ASIDE.search(text) else set(words.benches(text))
        if named:
            bench = named.pop() if len(named) == 1 else None
            break
    near = "\n".join((*table.headings[-2:], table.before))
    versions = set(words.versions(near))
    version = versions.pop() if len(versions) == 1 else None
    judge = judge_of("\n".join((*table.headings[-1:], table.before)))
    return Label(bench=bench, version=version, judge=judge)


def _is_from_board(table: CardTable) -> bool:
    """Whether the leaderboard itself wrote the table into the card."""
    return "leaderboard evaluation results" in " ".join((*table.headings, table.before)).casefold()


def _board(table: CardTable, benches: set[str], words: Vocabulary) -> str | None:
    near = " ".join((*table.headings, table.before)).casefold()
    for board in _BOARD:
        columns = {key for key, bench in BENCHMARKS.items() if bench.board == board}
        shared = len(columns & benches)
        if shared >= 5 or ("open llm leaderboard" in near and shared >= 1):
            return board
    return None


# --- rows ---------------------------------------------------------------------------------------


def _filled_down(table: CardTable, columns: Sequence[Column]) -> Iterator[tuple[Cell, ...]]:
    """Rows, where an empty task (as lm-eval prints a task's second metric) is the one above."""
    above: dict[int, Cell] = {}
    for row in table.rows:
        cells = list(row)
        for j, column in enumerate(columns):
            if column.kind in ("task", "model") and any(c.text for c in row):
                if cells[j].text:
                    above[j] = cells[j]
                elif column.kind == "task":
                    cells[j] = above.get(j, cells[j])
        yield tuple(cells)


def _row_label(row: Sequence[Cell], columns: Sequence[Column], words: Vocabulary) -> Label:
    labels = []
    for cell, column in zip(row, columns, strict=True):
        if column.kind == "task":
            labels.append(words.read(cell.text))
        elif column.kind == "metric":
            label = words.read(cell.text)
            exact = label.metric is not None and not label.unknown
            labels.append(replace(label, exact=exact, unknown=()) if exact else label)
        elif column.kind == "shots":
            shots = parse_number(cell.text)
            if shots is not None and shots.decimals == 0:
                labels.append(Label(shots=int(shots.value)))
    found = _filtered(merged(labels), row, columns, words)
    return Label(unknown=("its row names two benchmarks or settings",)) if found is None else found


def _filtered(
    label: Label | None, row: Sequence[Cell], columns: Sequence[Column], words: Vocabulary
) -> Label | None:
    """lm-eval's exact match is a metric for each filter, which it prints in its own column."""
    for cell, column in zip(row, columns, strict=True):
        if label is not None and column.kind == "filter" and label.metric == "exact_match":
            chosen = words.read(cell.text).metric
            if chosen is not None and chosen.startswith("exact_match,"):
                return replace(label, metric=chosen)
    return label


@dataclass(frozen=True)
class _Row:
    table: CardTable
    columns: Sequence[Column]
    cells: Sequence[Cell]
    index: int
    context: Label
    """Its `average` says whether the averages of the table are of its benchmark."""
    shy: bool


def _row_numbers(row: _Row, words: Vocabulary) -> Iterator[Number]:
    label = _row_label(row.cells, row.columns, words)
    name = next((c for c, k in zip(row.cells, row.columns, strict=True) if k.kind == "model"), None)
    size = next(
        (c.text for c, k in zip(row.cells, row.columns, strict=True) if k.kind == "size"), ""
    )
    loose = _looseness(row)
    for j, (cell, column) in enumerate(zip(row.cells, row.columns, strict=True)):
        if column.kind not in ("measure", "value", "named") or cell.copy:
            continue
        printed = parse_number(cell.text)
        if printed is None or (column.kind != "measure" and not label.measures):
            continue
        own = name or Cell()
        if column.model:
            own = Cell(column.model, links=column.links)
        whole = _whole(label, column.label, row.context)
        if whole is None or not whole.measures:
            continue
        doubt = "the rows and columns both name a model" if name and column.model else ""
        yield Number(
            table=row.table.number,
            line=row.table.line,
            row=row.index,
            column=j,
            model="" if is_own(own.text) else own.text,
            heading=_heading(row, column),
            printed=printed,
            text=cell.text,
            label=whole,
            links=own.links,
            size=size,
            bold=cell.bold,
            doubt=doubt or _doubt(whole, shy=row.shy),
            loose=loose,
        )


def _looseness(row: _Row) -> str:
    """Rows may differ by how the model was made or asked: "SimPO", "4 bits", "step 500"."""
    for cell, column in zip(row.cells, row.columns, strict=True):
        if column.kind == "method" and filled([cell.text]):
            return f"{column.heading} {cell.text!r} may change what was measured"
    return ""


def _whole(row: Label, column: Label, context: Label) -> Label | None:
    found = merged([row, column])
    if found is None:
        return Label(bench=row.bench or column.bench, unknown=("two benchmarks or settings",))
    is_other = found.average and not context.average
    if found.bench is None and not is_other and context.bench is not None:
        found = replace(found, bench=context.bench, version=found.version or context.version)
    elif found.bench == context.bench and found.version is None:
        found = replace(found, version=context.version)
    if found.bench == "mt_bench" and found.average:
        found = replace(found, average=False)
    if found.judge is None and found.bench in ("alpaca_eval", "mt_bench"):
        found = replace(found, judge=context.judge)
    return found


def _heading(row: _Row, column: Column) -> str:
    said = [
        cell.text
        for cell, kind in zip(row.cells, row.columns, strict=True)
        if kind.kind in ("task", "metric") and cell.text
    ]
    if column.kind == "measure" or not said:
        said.append(column.heading)
    return ", ".join(dict.fromkeys(s for s in said if s)) or "value"


def _doubt(label: Label, *, shy: bool) -> str:
    if label.unknown:
        return f"{', '.join(map(repr, label.unknown))} in its heading is not known"
    if label.bench is None and not label.average:
        return "no benchmark is named for it"
    bench = BENCHMARKS.get(label.bench or "")
    if shy and bench is not None and bench.shy:
        return f"{label.bench!r} alone may be no benchmark"
    return ""
