"""Lines and tables for a terminal: within its width, and in colours that repeat what words say.

    to_text([Cell.text("Gate passed: ...", tone="better"), table, "warning: ..."], width=80)

A table that is too wide leaves out columns, those of the highest `Column.rank` first, then folds
headings and texts at blanks; where that is not enough each row becomes lines of heading and value.
What is left out is named.  Everything may be hostile text: what a terminal would obey is spelled
out, and a line stays one line.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from rich.cells import cell_len, chop_cells

from evalkit.draw.tables import Cell, Column, Table
from evalkit.draw.text import one_line, visible
from evalkit.draw.words import Tone

__all__ = ["Line", "to_text"]

Line: TypeAlias = str | Cell | Table
"""What is shown: a line, a line with a tone, a table."""
_GAP = 2
_LONGEST = 300
"""Longest cell, in characters."""
_WHOLE = 20
"""Widest text that is folded last, in columns of the terminal."""
_WORD = 8
"""Narrowest column that texts are folded into."""
_SGR: dict[Tone, str] = {"better": "32", "worse": "31", "unclear": "33", "warning": "35"}
"""ECMA-48's colours: green, red, yellow, magenta."""
_BOLD, _FAINT = "1", "2"


def to_text(lines: Iterable[Line], *, width: int | None = 80, colour: bool = False) -> str:
    """What a terminal shows, without an end of line.

    Args:
        lines: In order.  A note that several tables have stands below the first of them.
        width: Columns of the terminal; None: no table leaves out or folds anything.
        colour: Whether tones are shown as colours.
    """
    screen = _Screen(width, colour)
    return "\n".join(text for line in lines for text in screen.shown(line))


def _plain(text: str) -> str:
    return " ".join(visible(text).expandtabs(1).split("\n")).rstrip()


@dataclass
class _Screen:
    width: int | None
    colour: bool
    said: set[str] = field(default_factory=set)
    """Notes, and names of columns, shown so far."""

    def shown(self, line: Line) -> Iterator[str]:
        if isinstance(line, Table):
            yield from self._table(line)
        elif isinstance(line, Cell):
            yield self._painted(_plain(line.shown), _SGR.get(line.tone, ""))
        else:
            yield _plain(line)

    def _painted(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code and text else text

    def _wrapped(self, text: str) -> list[str]:
        if self.width is None:
            return [text]
        return textwrap.wrap(text, self.width, break_on_hyphens=False)

    def _table(self, table: Table) -> Iterator[str]:
        table = table.written
        if table.caption:
            yield self._painted(_plain(table.caption), _BOLD)
        texts = [[one_line(visible(c.shown), _LONGEST) for c in row] for row in table.rows]
        kept, widths = _fitting(table.columns, texts, self.width)
        columns = [table.columns[n] for n in kept]
        heads = [column.label for column in columns]
        if not table.rows:
            yield "Nothing to show."
        elif widths:
            yield from self._row(columns, widths, heads, [_BOLD] * len(heads))
        rows = iter(zip(table.rows, texts, strict=True))
        for group in table.groups:
            if group.label:
                yield self._painted(_plain(group.label), _BOLD)
            for _ in group.rows:
                cells, text = next(rows)
                own, codes = [text[n] for n in kept], [_SGR.get(cells[n].tone, "") for n in kept]
                if widths:
                    yield from self._row(columns, widths, own, codes)
                else:
                    yield from self._block(heads, own, codes)
        yield from self._below(table, [c for c in table.columns if c not in columns])

    def _row(
        self,
        columns: Sequence[Column],
        widths: Sequence[int],
        texts: Sequence[str],
        codes: Sequence[str],
    ) -> Iterator[str]:
        folded = [_folded(text, width) for text, width in zip(texts, widths, strict=True)]
        for n in range(max(map(len, folded))):
            line, gap = "", 0
            for column, width, code, own in zip(columns, widths, codes, folded, strict=True):
                text = own[n] if n < len(own) else ""
                blank = width - cell_len(text)
                before = blank if column.align == "right" else 0
                if text:
                    line += " " * (gap + before) + self._painted(text, code)
                    gap = _GAP + blank - before
                else:
                    gap += _GAP + width
            yield line

    def _block(
        self, heads: Sequence[str], texts: Sequence[str], codes: Sequence[str]
    ) -> Iterator[str]:
        """A row as lines of heading and value."""
        room = max(map(cell_len, heads)) + _GAP
        for head, text, code in zip(heads, texts, codes, strict=True):
            before = head + " " * (room - cell_len(head))
            for line in _folded(text, max(_WORD, (self.width or 0) - room)):
                yield before + self._painted(line, code)
                before = " " * room
        yield ""

    def _below(self, table: Table, left_out: Sequence[Column]) -> Iterator[str]:
        note = table.note
        for column in left_out:
            note = note.replace(column.note, "") if column.note else note
        note = one_line(visible(note))
        if note and note not in self.said:
            self.said.add(note)
            yield from (self._painted(line, _FAINT) for line in self._wrapped(note))
        names = ", ".join(dict.fromkeys(column.label for column in left_out))
        if names and names not in self.said:
            self.said.add(names)
            yield from self._wrapped(f"Not shown: {names}; --wide shows all columns.")


def _fitting(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None
) -> tuple[list[int], list[int]]:
    """Places of the columns that are shown, and their widths; no widths: they do not fit."""
    cells = [[column.label, *(row[n] for row in rows)] for n, column in enumerate(columns)]
    whole = [max(map(cell_len, own)) for own in cells]
    kept = list(range(len(columns)))
    if width is None:
        return kept, whole
    least = []
    for column, own, full in zip(columns, cells, whole, strict=True):
        words = [word for text in own for word in text.split(" ")]
        # Numbers are folded only where their column is wider than any number is.
        numbers = own[1:] if column.align == "right" and full <= _WHOLE else []
        least.append(min(max(map(cell_len, words + numbers)), _WHOLE))
    easy = [max(n, min(full, _WHOLE)) for n, full in zip(least, whole, strict=True)]

    def fits(sizes: list[int]) -> bool:
        return sum(sizes[n] + _GAP for n in kept) - _GAP <= width

    while not fits(easy) and any(columns[n].rank for n in kept):
        kept.remove(max(kept, key=lambda n: (columns[n].rank, n)))
    if not fits(least):
        return [*range(len(columns))], []
    for most in range(max(whole), 0, -1):
        sizes = [max(n, min(full, most)) for n, full in zip(least, whole, strict=True)]
        if fits(sizes):
            break
    return kept, [sizes[n] for n in kept]


def _folded(text: str, width: int) -> list[str]:
    """`text` in lines of `width` columns at most, between words where they allow it."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines += chop_cells(word, width) if cell_len(word) > width else [word]
    return [line for line in lines if line] or [""]
