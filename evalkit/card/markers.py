"""Markers in a card's body: where evalkit's parts are, and comments that only look like markers.

    <!-- evalkit:chat -->        the chat table
    <!-- evalkit:academic -->    the academic tables
    <!-- evalkit:all -->         both
    <!-- evalkit:results -->     tables, what may be said, settings

Each ends with its own `<!-- /evalkit:... -->`, on a line of its own as the beginning is; blanks
inside count for nothing.  Markers in code are text.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast, get_args

from evalkit.card.render import Part
from evalkit.draw import one_line, visible
from evalkit.errors import CardError

__all__ = ["Line", "Markers", "Place", "find_markers", "text_lines"]

_MARKER = re.compile(r" {0,3}<!--[ \t]*(?P<end>/?)[ \t]*evalkit:(?P<part>[^\s>]*)[ \t]*-->[ \t]*")
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}(?=[^`]*$)|~{3,})")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_CODE = re.compile(r"(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`)")
_COMMENT = re.compile(r"(?<!\\)<!-+(?P<said>.*?)(?:-->|$)")
_WORD = re.compile(r"[a-z]+", re.IGNORECASE)
_ALIKE = 0.8
"""Likeness of two words from which one may be the other misspelt."""
_MOST_WORDS = 4
"""Of a comment that may be meant as a marker; longer ones are prose."""
_SHOWN = 80


@dataclass(frozen=True)
class Line:
    """A line of a body."""

    number: int
    """In the card, 1 is the first."""
    start: int
    end: int
    """Behind its line end."""
    text: str
    """Without it."""

    @property
    def said(self) -> str:
        """Its text for messages."""
        return repr(one_line(visible(self.text.strip()), _SHOWN))


@dataclass(frozen=True)
class Place:
    """Where a part's text goes: between the lines of its markers."""

    part: Part
    start: int
    end: int


@dataclass(frozen=True)
class Markers:
    """What was found."""

    places: tuple[Place, ...]
    near: tuple[Line, ...]
    """Lines with comments that look like markers and are none."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of them, a sentence each."""
        return tuple(f"{_looks(line)}; {_FORM}" for line in self.near)


_FORM = (
    "a marker stands on a line of its own, as <!-- evalkit:results --> and "
    "<!-- /evalkit:results --> do"
)


def find_markers(body: str, before: int = 0) -> Markers:
    """The parts of a body.

    Args:
        body: A card below its front matter.
        before: Lines above it.

    Raises:
        CardError: markers without their partner, of an unknown part or one in another; or
            comments that look like markers, where taking them for text would put a part into
            the wrong place or lose what others wrote.
    """
    marked, near = [], []
    for line, is_open in _lines_read(body, before):
        match = None if is_open else _MARKER.fullmatch(line.text)
        if match is not None:
            marked.append((match["end"], match["part"], line))
        elif _is_near(line.text):
            near.append(line)
    places = tuple(_places(marked, near))
    inside = [n for n in near if any(p.start <= n.start < p.end for p in places)]
    if inside:
        raise CardError(
            f"{_looks(inside[0])}, and what stands between the markers around it is written anew; "
            f"{_FORM}: correct it, or take it away"
        )
    if near and not places:
        raise CardError(f"{_looks(near[0])}; {_FORM}: correct it, or take it away")
    return Markers(places, tuple(near))


def text_lines(body: str) -> Iterator[Line]:
    """Lines outside of code blocks and comments of several lines."""
    return (line for line, is_open in _lines_read(body, 0) if not is_open)


def _places(marked: Sequence[tuple[str, str, Line]], near: Sequence[Line]) -> Iterator[Place]:
    opened: tuple[str, Line] | None = None
    for end, name, line in marked:
        where = f"line {line.number}: {line.said}"
        if name not in get_args(Part):
            raise CardError(f"{where}: no such part; expected one of {', '.join(get_args(Part))}")
        if not end:
            if opened is not None:
                raise CardError(
                    f"{where} begins inside of evalkit:{opened[0]} (line {opened[1].number}); end "
                    f"that first: <!-- /evalkit:{opened[0]} -->{_perhaps(near, opened[1], line)}"
                )
            opened = name, line
        elif opened is None or opened[0] != name:
            raise CardError(
                f"{where} ends what did not begin; put <!-- evalkit:{name} --> before it, or take "
                f"it away{_perhaps(near, None, line)}"
            )
        else:
            yield Place(cast("Part", name), opened[1].end, line.start)
            opened = None
    if opened is not None:
        raise CardError(
            f"line {opened[1].number}: <!-- evalkit:{opened[0]} --> has no end; put "
            f"<!-- /evalkit:{opened[0]} --> below it, on a line of its own"
            f"{_perhaps(near, opened[1], None)}"
        )


def _perhaps(near: Sequence[Line], after: Line | None, before: Line | None) -> str:
    """A comment between two lines that was perhaps meant as the missing marker."""
    for line in near:
        is_after = after is None or after.start < line.start
        if is_after and (before is None or line.start < before.start):
            return f" ({_looks(line)})"
    return ""


def _looks(line: Line) -> str:
    return f"line {line.number}: {line.said} looks like a marker and is none"


def _is_near(text: str) -> bool:
    """Whether a comment of a line was perhaps meant as a marker."""
    plain = _CODE.sub("", text)
    return any(_is_meant(match["said"]) for match in _COMMENT.finditer(plain))


def _is_meant(said: str) -> bool:
    """`evalkt:results`, `Evalkit: chat`, `BEGIN evalkit results`; not "made by evalkit"."""
    words = [word.lower() for word in _WORD.findall(said)]
    if not 1 < len(words) <= _MOST_WORDS:
        return False
    pairs = pairwise(words)
    triples = zip(words, words[1:], words[2:], strict=False)
    named = [*pairs, *((a + b, c) for a, b, c in triples)]
    if any(_is_like(a, ("evalkit",)) and _is_like(b, get_args(Part)) for a, b in named):
        return True
    name, colon, rest = said.partition(":")
    return bool(colon) and _is_like(name.strip(" /\t").lower(), ("evalkit",)) and " " not in rest


def _is_like(word: str, wanted: Sequence[str]) -> bool:
    return bool(difflib.get_close_matches(word, wanted, n=1, cutoff=_ALIKE))


def _lines_read(body: str, before: int) -> Iterator[tuple[Line, bool]]:
    """Lines that are neither code nor inside of a comment; whether a comment goes on after one."""
    fence = ""
    in_comment = False
    for line in _lines(body, before):
        match = _FENCE.match(line.text)
        if fence:
            closes = match is not None and match["fence"].startswith(fence)
            if closes and match is not None and line.text.strip() == match["fence"]:
                fence = ""
        elif in_comment:
            in_comment = "-->" not in line.text
        elif match is not None:
            fence = match["fence"]
        else:
            in_comment = "<!--" in line.text and "-->" not in line.text.rpartition("<!--")[2]
            yield line, in_comment


def _lines(body: str, before: int) -> Iterator[Line]:
    for number, match in enumerate(_LINE.finditer(body), before + 1):
        if match[0]:
            yield Line(number, match.start(), match.end(), match[0].rstrip("\r\n"))
