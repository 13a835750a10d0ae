"""What each number of a table is of: models and benchmarks found on either axis.

Columns are told apart first: which ones name rows (models, tasks, metrics, sizes), which hold
numbers.  A number's labels are those of its column and of its row together; whatever text on one
axis is no label of a measurement names a model.  A table without a benchmark is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from evalkit.card.audit.benchmarks import BENCHMARKS, CATEGORIES, GROUPS
from evalkit.card.audit.labels import Vocabulary, judge_of, merged, plain_words
from evalkit.card.audit.models import is_own
from evalkit.card.audit.printed import parse_number
from evalkit.card.audit.shapes import CardTable, Cell, Label, Number

__all__ = ["Column", "Layout", "lay_out"]

_BOARD = ("1", "2")
_MOSTLY = 0.5
_ASIDE = re.compile(
    r"\b(?:unlike|instead|internal|inspired|similar|except|besides)\b", re.IGNORECASE
)
"""Words beside which a benchmark is named that the table is not of."""
_ALPACA_ONLY = ("avg_length", "length_controlled_win_rate")


@dataclass(frozen=True)
class Column:
    """One column and what its heading says."""

    kind: str
    """`model`, `task`, `metric`, `measure`, `value`, `rank`, `size`, `shots`, `stderr`, `other`,
    or `named`: numbers below the name of a model."""
    heading: str
    label: Label
    model: str = ""
    """`named`: as printed."""
    links: tuple[str, ...] = ()


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
    columns = _columns(table, words, context)
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


# --- columns ------------------------------------------------------------------------------------


def _columns(table: CardTable, words: Vocabulary, context: Label) -> list[Column]:
    width = len(table.head[0]) if table.head else len(table.rows[0]) if table.rows else 0
    found = [_column(table, j, words, context) for j in range(width)]
    if not any(c.kind == "task" for c in found):
        found = _with_tasks(table, found, words)
    tasks = [j for j, c in enumerate(found) if c.kind == "task"]
    if not any(c.kind == "model" for c in found):
        before = tasks[0] if tasks else width
        texts = [j for j, c in enumerate(found) if c.kind == "text" and _has_words(table, j)]
        for j in texts[:1] if texts and texts[0] < before else ():
            found[j] = replace(found[j], kind="model")
    settled = [_settled(column, has_task=bool(tasks)) for column in found]
    return [_of_alpaca_eval(column, settled) for column in settled]


def _of_alpaca_eval(column: Column, columns: Sequence[Column]) -> Column:
    """A length or a length-controlled win rate beside the one AlpacaEval of a table is its own."""
    versions = {c.label.version for c in columns if c.label.bench == "alpaca_eval"}
    label = column.label
    if label.bench is None and label.metric in _ALPACA_ONLY and len(versions) == 1:
        return replace(column, label=replace(label, bench="alpaca_eval", version=versions.pop()))
    return column


def _column(table: CardTable, j: int, words: Vocabulary, context: Label) -> Column:
    path = _path(table, j)
    heading = " ".join(cell.text for cell in path)
    labels = _labels(path, words)
    kind = next((label.kind for label in labels if label.kind not in ("", "part")), "")
    cells = [row[j].text for row in table.rows if row[j].text and not row[j].copy]
    numeric = sum(parse_number(text) is not None for text in cells)
    measured = [label for label in labels if label.measures]
    whole = merged(measured) if measured else Label()
    if kind and not any(label.bench for label in measured):
        return Column(kind, heading, Label(kind=kind))
    if not cells or numeric < _MOSTLY * len(_filled(cells)):
        return Column("text", heading, Label())
    if whole is None:
        doubt = Label(unknown=(heading,))
        return Column("measure", heading, doubt)
    unnamed = [
        cell
        for cell, label in zip(path, labels, strict=True)
        if not label.measures and label.kind != "part" and not _groups(cell.text)
    ]
    if whole.unknown and not whole.bench and not context.bench:
        return Column("named", heading, Label(), heading, path[0].links if path else ())
    if whole.measures:
        name = unnamed[0] if len(unnamed) == 1 else Cell()
        return Column("measure", heading, whole, name.text, name.links)
    if len(unnamed) == 1 and not is_own(unnamed[0].text):
        return Column("named", heading, Label(), unnamed[0].text, unnamed[0].links)
    return Column("value" if not unnamed or is_own(heading) else "other", heading, Label())


def _labels(path: Sequence[Cell], words: Vocabulary) -> list[Label]:
    """What each heading of a column says; together they may say more (a benchmark's judge)."""
    labels = [words.read(cell.text) for cell in path]
    together = words.read(" ".join(cell.text for cell in path))
    if len(path) > 1 and together.bench and not together.unknown:
        return [together, *(Label(kind="part") for _ in path[1:])]
    return labels


def _has_words(table: CardTable, j: int) -> bool:
    return any(c.isalpha() for row in table.rows for c in row[j].text)


def _groups(heading: str) -> bool:
    """Whether a heading only says what the ones below it have in common."""
    return all(word in GROUPS for word in plain_words(heading))


def _filled(cells: Sequence[str]) -> list[str]:
    """Cells that say something: dashes and "N/A" do not."""
    return [
        c
        for c in cells
        if c.strip("-\u2013\u2014? ").casefold() not in ("", "n/a", "na", "none", "tbd")
    ]


def _path(table: CardTable, j: int) -> list[Cell]:
    """The headings above a column, each once."""
    found: list[Cell] = []
    for row in table.head:
        if row[j].text and row[j].text not in [cell.text for cell in found]:
            found.append(row[j])
    return found


def _with_tasks(table: CardTable, columns: list[Column], words: Vocabulary) -> list[Column]:
    """The first column of text whose cells are benchmarks, whatever its heading."""
    for j, column in enumerate(columns):
        if column.kind not in ("text", "model", "metric", "named"):
            continue
        cells = [row[j].text for row in table.rows if row[j].text]
        named = [label for c in cells if (label := words.read(c)).bench and not label.unknown]
        averages = sum(words.read(c).average for c in cells)
        categories = sum(words.read(c).category is not None for c in cells)
        if named and len(named) + averages > _MOSTLY * len(cells):
            return [replace(c, kind="task") if c is column else c for c in columns]
        if categories >= len(CATEGORIES) // 2:
            return [replace(c, kind="task") if c is column else c for c in columns]
    return columns


def _settled(column: Column, *, has_task: bool) -> Column:
    """A column, knowing whether rows are benchmarks.

    Only then do numbers below a model's name mean something, and a "Score" is not a benchmark's.
    """
    if column.kind == "named" and not has_task:
        return replace(column, kind="other")
    if column.kind == "measure" and column.model and not has_task:
        unknown = (*column.label.unknown, column.model)
        return replace(column, label=replace(column.label, unknown=unknown), model="")
    is_score = column.label.metric == "score" and not column.label.bench
    if column.kind == "measure" and has_task and (is_score or column.label.unknown):
        if is_score:
            return replace(column, kind="value", label=Label(), model="")
        return replace(column, kind="named", label=Label(), model=column.heading)
    return column


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
        if column.kind == "method" and _filled([cell.text]):
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
