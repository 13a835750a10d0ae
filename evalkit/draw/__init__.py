"""Table, Cell, and the one place where numbers are rounded.

`table.py` holds the types, `numbers.py` turns numbers into text, `text.py` makes hostile text
showable, `spreadsheet.py` knows what a spreadsheet would take for a formula, `markdown.py` writes
a table as GitHub-flavoured Markdown, `terminal.py` as aligned columns.
"""

from __future__ import annotations

from evalkit.draw.markdown import escape_markdown, fenced, table_to_markdown
from evalkit.draw.numbers import (
    MISSING,
    count,
    difference,
    figure,
    interval,
    p_value,
    percent,
    points,
    share,
    significant,
)
from evalkit.draw.spreadsheet import defused, formula_note, is_formula
from evalkit.draw.table import Cell, Column, Group, Table, Tone
from evalkit.draw.terminal import table_to_text
from evalkit.draw.text import one_line, visible

__all__ = [
    "MISSING",
    "Cell",
    "Column",
    "Group",
    "Table",
    "Tone",
    "count",
    "defused",
    "difference",
    "escape_markdown",
    "fenced",
    "figure",
    "formula_note",
    "interval",
    "is_formula",
    "one_line",
    "p_value",
    "percent",
    "points",
    "share",
    "significant",
    "table_to_markdown",
    "table_to_text",
    "visible",
]
