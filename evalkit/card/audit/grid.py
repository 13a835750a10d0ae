"""One HTML table to a grid of cells, spans filled: GFM tables come here too, rendered.

Cells keep their text on one line.  Superscripts, footnote marks, struck-out text, pictures and
comments are left out; nested tables are read as text of their cell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

from evalkit.card.audit.shapes import Cell
from evalkit.draw import one_line, visible

__all__ = ["Grid", "read_grid"]

_BOLD = frozenset({"b", "strong"})
_LEFT_OUT = frozenset({"sup", "s", "del", "strike", "script", "style", "svg"})
_NOTE = re.compile(r"\[\^[^\]\s]+\]|[⁰¹²³⁴-⁹ªº]+")
_MOST_COLUMNS, _MOST_ROWS = 200, 2_000
"""Beyond this it is no table of results; spans are cut to it."""


@dataclass(frozen=True)
class Grid:
    """Rows of equal width."""

    head: tuple[tuple[Cell, ...], ...]
    """Rows of `thead`, or of header cells only at the top."""
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""


@dataclass
class _Open:
    """A cell that is being read."""

    header: bool
    colspan: int
    rowspan: int
    text: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    bold: int = 0
    plain: int = 0
    """Characters of it that are bold, and that are not."""

    def cell(self) -> Cell:
        text = one_line(visible(_NOTE.sub("", "".join(self.text))))
        bold = self.bold > 0 and self.plain == 0
        return Cell(text, bold, tuple(dict.fromkeys(self.links)), self.header)


@dataclass
class _Row:
    in_head: bool
    cells: list[_Open] = field(default_factory=list)


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: list[_Row] = []
        self.caption: list[str] = []
        self._open: _Open | None = None
        self._depth = 0
        self._in_head = False
        self._in_caption = False
        self._bold = 0
        self._left_out = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "table":
            self._depth += 1
        elif self._depth > 1:
            pass
        elif tag in ("thead", "tbody", "tfoot"):
            self._in_head = tag == "thead"
        elif tag == "caption":
            self._in_caption = True
        elif tag == "tr":
            self._start_row()
        elif tag in ("td", "th"):
            self._start_cell(tag, given)
        self._inline(tag, given)

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._depth -= 1
        elif tag == "caption":
            self._in_caption = False
        elif tag == "thead":
            self._in_head = False
        elif tag in ("td", "th", "tr") and self._depth <= 1:
            self._open, self._bold, self._left_out = None, 0, 0
        elif tag in _BOLD:
            self._bold = max(0, self._bold - 1)
        elif tag in _LEFT_OUT:
            self._left_out = max(0, self._left_out - 1)
        elif tag in ("p", "div", "li"):
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        if self._left_out:
            return
        if self._in_caption:
            self.caption.append(data)
        elif self._open is not None:
            self._open.text.append(data)
            size = len(_NOTE.sub("", data).strip())
            if self._bold:
                self._open.bold += size
            else:
                self._open.plain += size

    def _start_row(self) -> None:
        self.rows.append(_Row(self._in_head))
        self._open, self._bold, self._left_out = None, 0, 0

    def _start_cell(self, tag: str, given: dict[str, str]) -> None:
        if not self.rows:
            self._start_row()
        self._bold = self._left_out = 0
        self._open = _Open(
            tag == "th",
            _span(given.get("colspan"), _MOST_COLUMNS),
            _span(given.get("rowspan"), _MOST_ROWS),
        )
        self.rows[-1].cells.append(self._open)

    def _inline(self, tag: str, given: dict[str, str]) -> None:
        if tag in _BOLD:
            self._bold += 1
        elif tag in _LEFT_OUT:
            self._left_out += 1
        elif tag == "br":
            self.handle_data(" ")
        elif tag == "a" and self._open is not None and given.get("href"):
            self._open.links.append(given["href"])


def read_grid(html: str) -> Grid | None:
    """The first table of `html`; None where it has no cells."""
    parser = _Parser()
    try:
        parser.feed(html)
        parser.close()
    except AssertionError:
        # html.parser's way of refusing declarations such as `<![x`.
        return None
    rows = [row for row in parser.rows if row.cells][:_MOST_ROWS]
    if not rows:
        return None
    grid = _filled(rows)
    width = max(len(row) for row in grid)
    even = [(*row, *(Cell() for _ in range(width - len(row)))) for row in grid]
    in_head = [row.in_head for row in rows]
    if not any(in_head):
        in_head = [_is_head(row) for row in rows]
    top = next((i for i, is_head in enumerate(in_head) if not is_head), len(even))
    return Grid(tuple(even[:top]), tuple(even[top:]), one_line(visible("".join(parser.caption))))


def _is_head(row: _Row) -> bool:
    """All header cells, but for empty ones: the corner is often a plain cell."""
    filled = [cell for cell in row.cells if cell.header or cell.cell().text]
    return bool(filled) and all(cell.header for cell in filled)


def _filled(rows: list[_Row]) -> list[tuple[Cell, ...]]:
    """Cells at their places, each repeated where it spans."""
    reaching: dict[int, tuple[Cell, int]] = {}
    found: list[tuple[Cell, ...]] = []
    for row in rows:
        line: list[Cell] = []
        waiting = [(cell.cell(), cell) for cell in row.cells]
        while (waiting or len(line) in reaching) and len(line) < _MOST_COLUMNS:
            if len(line) in reaching:
                cell, left = reaching.pop(len(line))
                if left > 1:
                    reaching[len(line)] = (cell, left - 1)
                line.append(cell)
                continue
            cell, made = waiting.pop(0)
            for i in range(min(made.colspan, _MOST_COLUMNS - len(line))):
                if made.rowspan > 1:
                    reaching[len(line)] = (replace(cell, copy=True), made.rowspan - 1)
                line.append(replace(cell, copy=i > 0))
        found.append(tuple(line))
    return found


def _span(said: str | None, most: int) -> int:
    text = (said or "1").strip()
    return min(max(1, int(text)), most) if text.isascii() and text.isdecimal() else 1
