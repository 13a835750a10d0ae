"""The columns of a table, told apart by their headings and cells.

Some name rows (models, tasks, metrics, sizes), some hold numbers: of a benchmark that the heading
names, or of a model, where the rows are benchmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from evalkit.card.audit.benchmarks import CATEGORIES, GROUPS
from evalkit.card.audit.labels import Vocabulary, merged, plain_words
from evalkit.card.audit.models import is_own, size_of, spoken
from evalkit.card.audit.printed import parse_number
from evalkit.card.audit.shapes import CardTable, Cell, Label

__all__ = ["Column", "filled", "read_columns"]

_MOSTLY = 0.5
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


def read_columns(table: CardTable, words: Vocabulary, context: Label) -> list[Column]:
    """What each column of a table holds; `context` is what the text above says of all numbers."""
    width = len(table.head[0]) if table.head else len(table.rows[0]) if table.rows else 0
    found = [_column(table, j, words, context) for j in range(width)]
    if not any(c.kind == "task" for c in found):
        found = _with_tasks(table, found, words)
    tasks = [j for j, c in enumerate(found) if c.kind == "task"]
    if not any(c.kind == "model" for c in found):
        found = [_of_models(table, j, found) for j in range(width)]
    if not any(c.kind == "model" for c in found):
        before = tasks[0] if tasks else width
        texts = [j for j, c in enumerate(found) if c.kind == "text" and _has_words(table, j)]
        for j in texts[:1] if texts and texts[0] < before else ():
            found[j] = replace(found[j], kind="model")
    settled = [_settled(column, has_task=bool(tasks)) for column in found]
    return [_of_alpaca_eval(column, settled) for column in settled]


def _of_models(table: CardTable, j: int, columns: Sequence[Column]) -> Column:
    """A paper's column "Method": of models, where their sizes stand beside it or in it."""
    column = columns[j]
    if column.kind != "method" or plain_words(column.heading) not in (["method"], ["methods"]):
        return column
    cells = filled([row[j].text for row in table.rows])
    sized = sum(size_of(spoken(text)) is not None for text in cells)
    has_sizes = any(c.kind == "size" for c in columns) or sized > _MOSTLY * len(cells)
    return replace(column, kind="model") if has_sizes else column


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
    if not cells or numeric < _MOSTLY * len(filled(cells)):
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


def filled(cells: Sequence[str]) -> list[str]:
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
