"""A model card's Markdown to tables and prose.

GFM tables by markdown-it; HTML tables are cut out before, since Markdown ends an HTML block at
the first blank line.  Tables in code and comments are no tables.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.card.audit.grid import Grid, read_grid
from evalkit.card.audit.printed import parse_number
from evalkit.card.audit.shapes import Block, Card, CardTable, Cell
from evalkit.core import Json
from evalkit.draw import one_line, visible
from evalkit.errors import DataError

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

__all__ = ["parse_card", "read_card"]

_FRONT = re.compile(r"\A\ufeff?---[ \t]*\n(?P<yaml>.*?)(?:^|\n)---[ \t]*(?:\n|\Z)", re.DOTALL)
_TABLE = re.compile(r"<table\b(?:(?!<table\b).)*?</table\s*>", re.DOTALL | re.IGNORECASE)
"""The innermost: a table around tables is layout."""
_TAG = re.compile(r"<[^<>]*>")
_HREF = re.compile(r"""href\s*=\s*["']?([^"'\s>]+)""", re.IGNORECASE)
_HEADINGS = {f"h{n}": n for n in range(1, 7)}
_PLACE = "evalkit-table-{}-here"
_PLACES = re.compile(r"evalkit-table-(\d+)-here")
_NEAR = 3
"""Paragraphs above and below a table that are taken to speak of it."""


def read_card(path: Path) -> Card:
    """A card from its file, or from the README.md of a folder.

    Raises:
        DataError: it is missing, or no UTF-8 text.
    """
    file = path / "README.md" if path.is_dir() else path
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(
            f"{str(file)!r} does not exist; expected a model card, such as README.md"
        ) from None
    except OSError as error:
        raise DataError(f"{str(file)!r} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{str(file)!r} is no UTF-8 text (byte {error.start}); expected a model card in "
            f"Markdown, such as README.md"
        ) from error
    return parse_card(text)


def parse_card(text: str) -> Card:
    """A card from its text.  Whatever the text, there is a card, if an empty one."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "�")
    front, front_error, skipped = _front(text)
    body = "\n" * text[:skipped].count("\n") + text[skipped:]
    body, found = _without_html_tables(body)
    reader = _Reader(found)
    reader.read(_markdown().parse(body))
    links = (*re.findall(r"\]\(\s*<?([^\s)>]+)", body), *_HREF.findall(body))
    return Card(front, front_error, tuple(reader.blocks), tuple(reader.tables()), links)


@functools.cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


# --- front matter -------------------------------------------------------------------------------


def _front(text: str) -> tuple[Mapping[str, Json], str, int]:
    """(front matter, what is wrong with it, where it ends)."""
    match = _FRONT.match(text)
    if match is None:
        return {}, "", 0
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        loaded = YAML(typ="safe", pure=True).load(match["yaml"])
    except (YAMLError, ValueError, TypeError, RecursionError, AttributeError, KeyError) as error:
        first = str(error).strip().partition("\n")[0]
        return {}, f"{type(error).__name__}: {first}", match.end()
    if loaded is None:
        return {}, "", match.end()
    if not isinstance(loaded, Mapping):
        return {}, f"a {type(loaded).__name__} where fields were expected", match.end()
    return loaded, "", match.end()


# --- tables in HTML -----------------------------------------------------------------------------


def _without_html_tables(body: str) -> tuple[str, dict[int, tuple[int, Grid]]]:
    """The body with a word of its own in each HTML table's place, and their grids by number."""
    masked = list(body)
    for first, last in _code(body):
        masked[first:last] = ["\n" if c == "\n" else " " for c in masked[first:last]]
    plain = _without_comments("".join(masked))
    found: dict[int, tuple[int, Grid]] = {}
    made: list[str] = []
    end = 0
    for match in _TABLE.finditer(plain):
        grid = read_grid(plain[match.start() : match.end()])
        line = body.count("\n", 0, match.start()) + 1
        lines = body.count("\n", match.start(), match.end())
        word = ""
        if grid is not None:
            word = _PLACE.format(len(found))
            found[len(found)] = (line, grid)
        made += [body[end : match.start()], f"\n\n{word}\n\n", "\n" * max(0, lines - 4)]
        end = match.end()
    return "".join([*made, body[end:]]), found


def _code(body: str) -> Iterator[tuple[int, int]]:
    """Where fenced and indented code stands."""
    starts = [0]
    for i, char in enumerate(body):
        if char == "\n":
            starts.append(i + 1)
    starts.append(len(body))
    for token in _markdown().parse(body):
        if token.type == "fence" and token.map is not None:
            last = min(token.map[1], len(starts) - 1)
            yield starts[token.map[0]], starts[last]


def _without_comments(text: str) -> str:
    """Comments as blanks, so that every place stays where it was."""
    made: list[str] = []
    at = 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start)) >= 0:
        inside = text[start : end + 3]
        made += [text[at:start], "".join("\n" if c == "\n" else " " for c in inside)]
        at = end + 3
    return "".join([*made, text[at:]])


# --- Markdown -----------------------------------------------------------------------------------


@dataclass
class _Found:
    grid: Grid
    line: int
    headings: tuple[str, ...]
    before: list[str]
    after: list[str] = field(default_factory=list)


class _Reader:
    """Walks the tokens once, with the headings above and the paragraphs around each table."""

    def __init__(self, html: Mapping[int, tuple[int, Grid]]) -> None:
        self.blocks: list[Block] = []
        self._html = html
        self._found: list[_Found] = []
        self._headings: list[tuple[int, str]] = []
        self._near: list[str] = []
        self._open = False
        """The paragraphs now coming stand below the last table."""

    def read(self, tokens: Sequence[Token]) -> None:
        level = 0
        for i, token in enumerate(tokens):
            if token.type == "heading_open":
                level = _HEADINGS.get(token.tag, 6)
            elif token.type == "heading_close":
                level = 0
            elif token.type == "table_open":
                self._table(tokens, i)
            elif token.type == "inline" and not _in_table(tokens, i):
                self._inline(token, level)
            elif token.type == "html_block":
                self._text(_TAG.sub(" ", _without_comments(token.content)), _line(token))

    def _inline(self, token: Token, level: int) -> None:
        text = one_line(visible(_prose(token)))
        if level:
            self._headings = [h for h in self._headings if h[0] < level]
            self._headings.append((level, text))
            self._near, self._open = [], False
            self.blocks.append(Block("heading", _line(token), text))
        else:
            self._text(text, _line(token))

    def _text(self, text: str, line: int) -> None:
        for part in re.split(r"(evalkit-table-\d+-here)", text):
            place = _PLACES.fullmatch(part)
            if place is not None and int(place[1]) in self._html:
                at, grid = self._html[int(place[1])]
                self._add(grid, at)
            elif one_line(part):
                said = one_line(visible(part))
                self.blocks.append(Block("text", line, said))
                self._near.append(said)
                if self._open and len(self._found[-1].after) < _NEAR:
                    self._found[-1].after.append(said)

    def _table(self, tokens: Sequence[Token], start: int) -> None:
        end = next(i for i in range(start, len(tokens)) if tokens[i].type == "table_close")
        md = _markdown()
        grid = read_grid(md.renderer.render(list(tokens[start : end + 1]), md.options, {}))
        if grid is not None:
            self._add(grid, _line(tokens[start]))

    def _add(self, grid: Grid, line: int) -> None:
        headings = tuple(text for _, text in self._headings)
        self._found.append(_Found(grid, line, headings, self._near[-_NEAR:]))
        self._near, self._open = [], True

    def tables(self) -> Iterator[CardTable]:
        for number, found in enumerate(self._found, 1):
            head, rows = _split(found.grid)
            before = [found.grid.caption, *found.before] if found.grid.caption else found.before
            yield CardTable(
                number,
                found.line,
                head,
                rows,
                found.headings,
                "\n".join(before),
                "\n".join(found.after),
            )


def _in_table(tokens: Sequence[Token], i: int) -> bool:
    return i > 0 and tokens[i - 1].type in ("th_open", "td_open")


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map is not None else 1


def _prose(token: Token) -> str:
    """Inline text without its markup."""
    parts: list[str] = []
    left_out = 0
    for child in token.children or ():
        if child.type in ("text", "code_inline"):
            parts.append("" if left_out else child.content)
        elif child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif child.type == "s_open":
            left_out += 1
        elif child.type == "s_close":
            left_out -= 1
        elif child.type == "html_inline" and child.content.lower().startswith("<br"):
            parts.append(" ")
    return re.sub(r"\[\^[^\]\s]+\]", "", "".join(parts))


# --- headers that a grid does not mark ----------------------------------------------------------


def _split(grid: Grid) -> tuple[tuple[tuple[Cell, ...], ...], tuple[tuple[Cell, ...], ...]]:
    """Head and rows, where the grid does not mark them.

    A first row without numbers heads a table that has no head; a row of second headings below an
    empty corner belongs to the head.
    """
    head, rows = list(grid.head), list(grid.rows)
    if not any(cell.text for row in head for cell in row):
        head = []
    if not head and len(rows) > 1 and not _has_number(rows[0]):
        head.append(rows.pop(0))
    while head and len(rows) > 1 and _is_second_heading(rows[0], rows[1]):
        head[-1] = _spread(head[-1], rows[0])
        head.append(rows.pop(0))
    return tuple(head), tuple(tuple(replace(c, header=False) for c in row) for row in rows)


def _is_second_heading(row: Sequence[Cell], below: Sequence[Cell]) -> bool:
    if row[0].text and not row[0].copy:
        return False
    filled = sum(bool(cell.text) for cell in row)
    return filled >= 2 and not _has_number(row) and _has_number(below)


def _spread(row: Sequence[Cell], below: Sequence[Cell]) -> tuple[Cell, ...]:
    """Headings over the empty places on their right, where second headings stand below."""
    found: list[Cell] = []
    for cell, under in zip(row, below, strict=True):
        is_open = not cell.text and under.text and found and found[-1].text
        found.append(replace(found[-1], copy=True) if is_open else cell)
    return tuple(found)


def _has_number(row: Sequence[Cell]) -> bool:
    return any(parse_number(cell.text) is not None for cell in row)
