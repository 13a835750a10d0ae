"""Tables for a terminal: aligned columns, one line a row, nothing but text."""

from __future__ import annotations

from evalkit.draw.table import Column, Table
from evalkit.draw.text import one_line, visible

__all__ = ["table_to_text"]

_WIDTH = 48
"""Longest cell, in characters."""


def table_to_text(table: Table) -> str:
    """Headings, groups and rows, without an end of line; control characters are spelled out."""
    if not table.rows:
        return "Nothing to show."
    head = [column.label for column in table.columns]
    lines: list[list[str]] = [head]
    for group in table.groups:
        if group.label:
            lines.append([group.label])
        lines += [[cell.shown for cell in row] for row in group.rows]
    clean = [[one_line(visible(cell), _WIDTH) for cell in line] for line in lines]
    full = [line for line in clean if len(line) == len(head)]
    widths = [max(len(line[i]) for line in full) for i in range(len(head))]
    return "\n".join(_line(line, table.columns, widths) for line in clean)


def _line(cells: list[str], columns: tuple[Column, ...], widths: list[int]) -> str:
    if len(cells) < len(columns):
        return cells[0]
    shown = [
        cell.rjust(width) if column.align == "right" else cell.ljust(width)
        for cell, column, width in zip(cells, columns, widths, strict=True)
    ]
    return "  ".join(shown).rstrip()
