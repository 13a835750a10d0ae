"""A model card's text to tables, sentences and front matter, each with its line.

Tables are GFM's (by markdown-it), HTML's (cut out before, since Markdown ends an HTML block at the
first blank line), and GFM tables inside fences, as lm-eval prints them.  Comments are left out;
what stands between evalkit's markers is marked as its own.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.core.files import read_file
from evalkit.core.requests import Json
from evalkit.draw import one_line, visible
from evalkit.errors import DataError

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

__all__ = ["CardCell", "CardTable", "Row", "Sentence", "Text", "parse_card", "read_text"]


@dataclass(frozen=True, slots=True)
class CardCell:
    """One cell as a reader sees it."""

    text: str = ""
    """On one line, without superscripts, struck-out text and pictures."""
    bold: bool = False
    """All of it."""
    links: tuple[str, ...] = ()
    copy: bool = False
    """Another cell spans into this place."""


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    line: int
    """Of the card; 1 is the first."""
    cells: tuple[CardCell, ...]


@dataclass(frozen=True)
class CardTable:
    """A table and the text around it."""

    number: int
    """1 is the card's first."""
    head: tuple[Row, ...]
    rows: tuple[Row, ...]
    """As wide as the head."""
    headings: tuple[str, ...] = ()
    """Above it, the outermost first."""
    before: str = ""
    """Caption and the paragraph above it in its section; a line each."""
    after: str = ""
    """The paragraph below it."""
    own: bool = False
    """Between evalkit's markers."""
    fenced: bool = False

    @property
    def line(self) -> int:
        """Of its first row."""
        return (self.head or self.rows)[0].line


@dataclass(frozen=True)
class Sentence:
    """A sentence of the prose."""

    line: int
    text: str
    headings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Text:
    """A model card, read."""

    front: Mapping[str, Json] = field(default_factory=dict)
    """Its YAML; empty where there is none."""
    front_error: str = ""
    """Why the YAML cannot be read."""
    index_lines: tuple[int, ...] = ()
    """Line of each `value:` below `model-index`, in order."""
    title: str = ""
    """First heading."""
    tables: tuple[CardTable, ...] = ()
    sentences: tuple[Sentence, ...] = ()


_LARGEST = 1 << 24
"""Bytes of a card."""


def read_text(path: Path) -> str:
    """A card's text, of its file or of the README.md of a folder; raises DataError."""
    file = path / "README.md" if path.is_dir() else path
    try:
        return read_file(file, _LARGEST).decode("utf-8-sig")
    except FileNotFoundError:
        why = "does not exist"
    except OSError as error:
        why = f"cannot be read ({error.strerror or error})"
    except UnicodeDecodeError as error:
        why = f"is no UTF-8 text (byte {error.start})"
    raise DataError(f"{str(file)!r} {why}; expected a model card in Markdown, such as README.md")


_FRONT = re.compile(r"\A---[ \t]*\n(?P<yaml>.*?)(?:^|\n)---[ \t]*(?:\n|\Z)", re.DOTALL)
_FENCED = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)",
    re.DOTALL | re.MULTILINE,
)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_OWN = re.compile(r"<!--[ \t]*(?P<end>/?)[ \t]*evalkit:\w+[ \t]*-->")
_HTML = re.compile(r"<table\b(?:(?!<table\b).)*?</table\s*>", re.DOTALL | re.IGNORECASE)
"""The innermost: a table around tables is layout."""
_RULE = re.compile(r"\s*\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{1,}:?\s*)+\|?\s*")
_VALUE = re.compile(r"(?<![\w-])value\s*:")


def parse_card(text: str) -> Text:
    """A card from its text.  Whatever the text, there is a card, if an empty one."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    front, error, start = _front(text)
    lines = text[:start].split("\n")
    at = next((n for n, line in enumerate(lines) if line.startswith("model-index")), len(lines))
    index_lines = [n + 1 for n in range(at, len(lines)) for _ in _VALUE.finditer(lines[n])]
    body = "\n" * text[:start].count("\n") + text[start:]
    fences = [m.span() for m in _FENCED.finditer(body)]
    own = _own_lines(body, fences)
    body, html = _cut(body, fences)
    reader = _Reader(own)
    reader.read(_markdown().parse(body))
    for begin, source in html:
        reader.add_html(source, body[:begin].count("\n") + 1)
    tables = tuple(reader.finished())
    return Text(front, error, tuple(index_lines), reader.title, tables, tuple(reader.sentences()))


@functools.cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def _front(text: str) -> tuple[Mapping[str, Json], str, int]:
    """(front matter, what is wrong with it, where it ends)."""
    match = _FRONT.match(text)
    if match is None:
        return {}, "", 0
    import yaml

    try:
        found = yaml.safe_load(match["yaml"])
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError) as error:
        return {}, one_line(visible(str(error)), 200), match.end()
    if not isinstance(found, Mapping):
        said = "" if found is None else f"it is a {type(found).__name__}, not a mapping"
        return {}, said, match.end()
    return {str(k): v for k, v in found.items()}, "", match.end()


def _own_lines(body: str, fences: Sequence[tuple[int, int]]) -> range:
    """Lines from the first of evalkit's markers to the last."""
    found = [m for m in _OWN.finditer(body) if not any(a <= m.start() < b for a, b in fences)]
    if len(found) < 2:
        return range(0)
    first, last = (body[: m.start()].count("\n") + 1 for m in (found[0], found[-1]))
    return range(first, last)


def _cut(body: str, fences: Sequence[tuple[int, int]]) -> tuple[str, list[tuple[int, str]]]:
    """The body with comments and HTML tables blank, and those tables with where they began."""
    html: list[tuple[int, str]] = []
    for pattern in (_COMMENT, _HTML):
        for match in list(pattern.finditer(body)):
            if any(a <= match.start() < b for a, b in fences):
                continue
            blank = re.sub(r"[^\n]", " ", match[0])
            body = body[: match.start()] + blank + body[match.end() :]
            if pattern is _HTML:
                html.append((match.start(), match[0]))
    return body, html


# --- Markdown -----------------------------------------------------------------------------------


@dataclass
class _Piece:
    """A heading, paragraph or table, in the order of lines."""

    kind: str
    line: int
    text: str = ""
    level: int = 0
    rows: list[tuple[bool, Row]] = field(default_factory=list)
    """(is a heading, row)."""
    fenced: bool = False


class _Reader:
    """Collects the pieces of a card."""

    def __init__(self, own: range) -> None:
        self._own = own
        self._pieces: list[_Piece] = []

    @property
    def title(self) -> str:
        return next((p.text for p in self._sorted() if p.kind == "heading" and p.text), "")

    def read(self, tokens: Sequence[Token], offset: int = 0, *, fenced: bool = False) -> None:
        """Take in what markdown-it found; `offset`: lines above it."""
        opened, level = "", 0
        for n, token in enumerate(tokens):
            line = (token.map[0] if token.map else 0) + 1 + offset
            if token.type == "table_open":
                self._table(tokens, n, line, fenced=fenced)
            elif token.type in ("heading_open", "paragraph_open"):
                opened = "heading" if token.type == "heading_open" else "text"
                level = int(token.tag[1:]) if opened == "heading" else 0
            elif token.type in ("heading_close", "paragraph_close"):
                opened = ""
            elif token.type in ("fence", "code_block"):
                self._fence(token, line)
            elif token.type == "inline" and opened and not fenced:
                said = _cell(token.children or (), keep_lines=True).text
                self._pieces.append(_Piece(opened, line, said, level))
            elif token.type == "html_block" and not fenced:
                self._html_text(token.content, line)

    def _table(self, tokens: Sequence[Token], start: int, line: int, *, fenced: bool) -> None:
        """A GFM table: its heading, the line of dashes, its rows."""
        table = _Piece("table", line, fenced=fenced)
        row: list[CardCell] = []
        in_head = True
        for token in tokens[start:]:
            if token.type == "tr_open":
                row = []
            elif token.type == "inline":
                row.append(_cell(token.children or ()))
            elif token.type == "tr_close":
                at = line if in_head else line + 1 + len(table.rows)
                table.rows.append((in_head, Row(at, tuple(row))))
            elif token.type == "thead_close":
                in_head = False
            elif token.type == "table_close":
                break
        self._pieces.append(table)

    def _fence(self, token: Token, line: int) -> None:
        """Tables inside code, and the line below them, as harnesses print them."""
        lines = token.content.split("\n")
        if not any(_RULE.fullmatch(text) and "|" in text for text in lines):
            return
        plain = "\n".join(text.strip() for text in lines)
        offset = line if token.type == "fence" else line - 1
        self.read(_markdown().parse(plain), offset, fenced=True)

    def _html_text(self, html: str, line: int) -> None:
        match = re.fullmatch(r"\s*<h(\d)[^>]*>(.*?)</h\d>.*", html, re.DOTALL | re.IGNORECASE)
        plain = one_line(visible(re.sub(r"<[^>]*>", " ", match[2] if match else html)))
        if plain:
            kind = "heading" if match else "text"
            self._pieces.append(_Piece(kind, line, plain, int(match[1]) if match else 0))

    def add_html(self, source: str, line: int) -> None:
        """A table written in HTML, which begins in `line`."""
        parser = _HtmlTable(line)
        try:
            parser.feed(source)
            parser.close()
        except AssertionError:  # html.parser's way of refusing declarations such as `<![x`
            return
        piece = _Piece("table", line, one_line(visible("".join(parser.caption))))
        piece.rows = parser.grid()
        if piece.rows:
            self._pieces.append(piece)

    def _sorted(self) -> list[_Piece]:
        return sorted(self._pieces, key=lambda p: p.line)

    def finished(self) -> Iterator[CardTable]:
        """The tables, with the text around them."""
        number = 0
        pieces = [p for p in self._sorted() if p.text or p.rows]
        for n, (piece, headings) in enumerate(self._under(pieces)):
            if piece.kind != "table":
                continue
            head, rows = _parted(piece.rows)
            if not rows:
                continue
            number += 1
            above = pieces[n - 1] if n else None
            before = [piece.text] if piece.text else []
            before += [above.text] if above is not None and above.kind == "text" else []
            below = pieces[n + 1] if n + 1 < len(pieces) else None
            after = below.text if below is not None and below.kind == "text" else ""
            own = piece.line in self._own
            yield CardTable(
                number, head, rows, headings, "\n".join(before), after, own, piece.fenced
            )

    def sentences(self) -> Iterator[Sentence]:
        """The sentences of the prose that evalkit did not write."""
        for piece, headings in self._under(self._sorted()):
            if piece.kind == "text" and piece.line not in self._own:
                for offset, said in _sentences(piece.text):
                    yield Sentence(piece.line + offset, said, headings)

    @staticmethod
    def _under(pieces: Sequence[_Piece]) -> Iterator[tuple[_Piece, tuple[str, ...]]]:
        """Every piece, with the headings above it."""
        above: list[_Piece] = []
        for piece in pieces:
            if piece.kind == "heading":
                above = [h for h in above if h.level < piece.level] + [piece]
            yield piece, tuple(h.text for h in above)


_END = re.compile(r"(?<=[.!?])[\"')\]*]*\s+(?=[\"'(\[*]*(?:[A-Z0-9]|[a-z]+-?\d|[a-z]+-[a-z\d]))")
_NO_END = re.compile(r"(?:\b(?:e\.g|i\.e|et al|vs|cf|Fig|Tab|No|approx|resp|v\d*)\.|\b[A-Z]\.)$")


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """(lines above it in the paragraph, sentence)."""
    start = 0
    cuts = [m.span() for m in _END.finditer(text)] + [(len(text), len(text))]
    for begin, end in cuts:
        said = text[start:begin]
        if begin < len(text) and _NO_END.search(said):
            continue
        offset = text[: start + len(said) - len(said.lstrip())].count("\n")
        plain = one_line(said)
        if plain:
            yield offset, plain
        start = end


def _cell(tokens: Sequence[Token], *, keep_lines: bool = False) -> CardCell:
    text: list[str] = []
    bold = struck = 0
    plain_size = 0
    links: list[str] = []
    for token in tokens:
        if token.type == "strong_open":
            bold += 1
        elif token.type == "strong_close":
            bold -= 1
        elif token.type in ("s_open", "s_close"):
            struck += 1 if token.type == "s_open" else -1
        elif token.type == "link_open":
            links.append(str(token.attrGet("href") or ""))
        elif token.type in ("softbreak", "hardbreak"):
            text.append("\n" if keep_lines else " ")
        elif token.type == "html_inline":
            tag = token.content.lower().strip("</> ").partition(" ")[0]
            if tag in ("sup", "sub", "del", "s"):
                struck = max(0, struck + (-1 if token.content.startswith("</") else 1))
            elif tag in ("b", "strong"):
                bold = max(0, bold + (-1 if token.content.startswith("</") else 1))
            elif tag in ("br", "br/"):
                text.append(" ")
        elif token.type in ("text", "code_inline") and not struck:
            said = re.sub(r"\[\^[^\]]*\]", "", token.content)
            text.append(said)
            plain_size += 0 if bold else len(said.strip(" |*\u2020\u2021"))
    whole = visible("".join(text))
    shown = whole.strip() if keep_lines else one_line(whole)
    return CardCell(shown, bool(shown) and not plain_size, tuple(links))


def _parted(rows: Sequence[tuple[bool, Row]]) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Head and rows, all of one width; a first row without numbers may be a second heading."""
    width = max((len(row.cells) for _, row in rows), default=0)
    even = [
        (h, Row(row.line, (*row.cells, *(CardCell() for _ in range(width - len(row.cells))))))
        for h, row in rows
    ]
    top = next((n for n, (h, _) in enumerate(even) if not h), len(even))
    if top == 1 and len(even) > 2 and _is_heading(even[1][1]) and not _is_heading(even[2][1]):
        top = 2
    return tuple(r for _, r in even[:top]), tuple(r for _, r in even[top:])


def _is_heading(row: Row) -> bool:
    """Whether a row below the head goes on with it: no name, no number, but several texts."""
    filled = [c.text for c in row.cells if c.text]
    has_number = any(re.search(r"\d[.,]\d|^\d+$", text) for text in filled)
    return not row.cells[0].text and len(filled) > 1 and not has_number


# --- HTML ---------------------------------------------------------------------------------------

_MOST_COLUMNS, _MOST_ROWS = 200, 2000


@dataclass
class _Open:
    """A cell of HTML that is being read."""

    header: bool
    colspan: int
    rowspan: int
    text: list[str] = field(default_factory=list)
    plain: int = 0
    links: list[str] = field(default_factory=list)

    def cell(self, *, copy: bool = False) -> CardCell:
        text = one_line(visible("".join(self.text)))
        return CardCell(text, bool(text) and not self.plain, tuple(self.links), copy)


class _HtmlTable(HTMLParser):
    """Rows and cells of one `<table>`."""

    def __init__(self, line: int) -> None:
        super().__init__(convert_charrefs=True)
        self.caption: list[str] = []
        self._line = line
        self._rows: list[tuple[bool, int, list[_Open]]] = []
        self._open: _Open | None = None
        self._where = ""
        self._bold = self._left_out = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in ("thead", "tbody", "tfoot", "caption"):
            self._where = tag
        elif tag == "tr" or (tag in ("td", "th") and not self._rows):
            self._rows.append((self._where == "thead", self._line + self.getpos()[0] - 1, []))
        if tag in ("td", "th"):
            spans = (_span(given.get("colspan"), _MOST_COLUMNS), _span(given.get("rowspan"), 500))
            self._open, self._bold, self._left_out = _Open(tag == "th", *spans), 0, 0
            self._rows[-1][2].append(self._open)
        elif tag in ("b", "strong"):
            self._bold += 1
        elif tag in ("sup", "sub", "del", "s", "script", "style"):
            self._left_out += 1
        elif tag == "br":
            self.handle_data(" ")
        elif tag == "a" and self._open is not None and given.get("href"):
            self._open.links.append(given["href"])

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "tr"):
            self._open = None
        elif tag in ("thead", "tbody", "tfoot", "caption"):
            self._where = ""
        elif tag in ("b", "strong"):
            self._bold = max(0, self._bold - 1)
        elif tag in ("sup", "sub", "del", "s", "script", "style"):
            self._left_out = max(0, self._left_out - 1)
        elif tag in ("p", "div", "li"):
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        if self._left_out:
            return
        if self._where == "caption":
            self.caption.append(data)
        elif self._open is not None:
            self._open.text.append(data)
            self._open.plain += 0 if self._bold else len(data.strip())

    def grid(self) -> list[tuple[bool, Row]]:
        """Cells at their places, each repeated where it spans; whether each row is a heading."""
        filled = [row for row in self._rows if row[2]][:_MOST_ROWS]
        has_head = any(in_head for in_head, *_ in filled)
        found: list[tuple[bool, Row]] = []
        reaching: dict[int, tuple[_Open, int]] = {}
        still_head = True
        for in_head, line, opened in filled:
            cells: list[CardCell] = []
            waiting = list(opened)
            while (waiting or len(cells) in reaching) and len(cells) < _MOST_COLUMNS:
                if len(cells) in reaching:
                    one, left = reaching.pop(len(cells))
                    if left > 1:
                        reaching[len(cells)] = one, left - 1
                    cells.append(one.cell(copy=True))
                    continue
                one = waiting.pop(0)
                for n in range(min(one.colspan, _MOST_COLUMNS - len(cells))):
                    if one.rowspan > 1:
                        reaching[len(cells)] = one, one.rowspan - 1
                    cells.append(one.cell(copy=n > 0))
            named = [c for c in opened if c.header or "".join(c.text).strip()]
            is_head = in_head if has_head else bool(named) and all(c.header for c in named)
            first = not found and not has_head
            still_head = still_head and (is_head or first)
            found.append((still_head, Row(line, tuple(cells))))
        return found


def _span(said: str | None, most: int) -> int:
    text = (said or "1").strip()
    return min(max(1, int(text)), most) if text.isascii() and text.isdecimal() else 1
