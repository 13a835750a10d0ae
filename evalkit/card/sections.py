"""Marked parts of a card's body, filled in place.

    <!-- evalkit:chat -->        the chat table
    <!-- evalkit:academic -->    the academic tables
    <!-- evalkit:all -->         both
    <!-- evalkit:results -->     tables, what may be said, settings

Each ends with its own `<!-- /evalkit:... -->`, on a line of its own as the beginning is.  A card
without any gets one `results` part below the heading that speaks of results, else at its end.
Whatever stands outside stays as it is; markers in code blocks are text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast, get_args

from evalkit.card.render import Part
from evalkit.errors import CardError

__all__ = ["fill"]

_MARKER = re.compile(r" {0,3}<!-- (?P<end>/?)evalkit:(?P<part>[^ ]*) -->[ \t]*")
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}(?=[^`]*$)|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(?P<title>.*?)(?:[ \t]+#+)?[ \t]*")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_TITLES = (
    re.compile(r"(?:evaluation |benchmark )?results", re.IGNORECASE),
    re.compile(r"(?:model )?evaluations?(?: on .*)?", re.IGNORECASE),
    re.compile(r"(?:model )?performance|benchmarks?", re.IGNORECASE),
)
"""Headings below which results belong, the best first."""
_AROUND = re.compile(r"^[\W_]+|[\W_]+$")
"""Emoji, emphasis and colons around a heading's words."""


@dataclass(frozen=True)
class _Line:
    start: int
    end: int
    """Behind its line end."""
    text: str
    """Without it."""


@dataclass(frozen=True)
class _Place:
    """Where a part's text goes: between the lines of its markers."""

    part: Part
    start: int
    end: int


def fill(body: str, render: Callable[[Part], str], line_end: str) -> str:
    """The body with every marked part rendered anew.

    Args:
        body: A card below its front matter.
        render: Text of a part; its lines end with line feeds.
        line_end: For the lines that are added, where the body has none to follow.

    Raises:
        CardError: markers without their partner, of an unknown part or one in another.
    """
    found = re.search(r"\r\n|\r|\n", body)
    line_end = line_end if found is None else found[0]
    places = list(_places(body))
    if not places:
        made = _inserted(body, render("results"), line_end)
        if not list(_places(made)):
            raise CardError(
                "the card's body ends in a code block or comment that has no end; close it, then "
                "try again"
            )
        return made
    made, at = "", 0
    for place in places:
        text = f"\n{render(place.part)}\n\n".replace("\n", line_end)
        made += body[at : place.start] + text
        at = place.end
    return made + body[at:]


def _places(body: str) -> Iterator[_Place]:
    opened: tuple[str, _Line] | None = None
    for number, line in _text_lines(body):
        match = _MARKER.fullmatch(line.text)
        if match is None:
            continue
        where, name = f"line {number} of the card's body", match["part"]
        if name not in get_args(Part):
            raise CardError(
                f"{where}: {line.text.strip()!r}: no such part; expected one of "
                f"{', '.join(get_args(Part))}"
            )
        if not match["end"]:
            if opened is not None:
                raise CardError(
                    f"{where}: {line.text.strip()!r} begins inside of evalkit:{opened[0]}; end "
                    f"that first: <!-- /evalkit:{opened[0]} -->"
                )
            opened = name, line
        elif opened is None or opened[0] != name:
            raise CardError(
                f"{where}: {line.text.strip()!r} ends what did not begin; put "
                f"<!-- evalkit:{name} --> before it, or take it away"
            )
        else:
            yield _Place(cast("Part", name), opened[1].end, line.start)
            opened = None
    if opened is not None:
        raise CardError(
            f"<!-- evalkit:{opened[0]} --> has no end; put <!-- /evalkit:{opened[0]} --> below it, "
            f"on a line of its own"
        )


def _inserted(body: str, text: str, line_end: str) -> str:
    part = f"<!-- evalkit:results -->\n\n{text}\n\n<!-- /evalkit:results -->\n"
    heading = _best_heading(body)
    if heading is not None:
        ended = body[: heading.end].endswith(("\n", "\r"))
        before = "\n" if ended else "\n\n"
        added = f"{before}{part}".replace("\n", line_end)
        return body[: heading.end] + added + body[heading.end :]
    gap = "" if not body.strip() else "\n" if body.endswith(("\n", "\r")) else "\n\n"
    return body + f"{gap}## Evaluation\n\n{part}".replace("\n", line_end)


def _best_heading(body: str) -> _Line | None:
    headings = [
        (match["title"], line)
        for _, line in _text_lines(body)
        if (match := _HEADING.fullmatch(line.text)) is not None
    ]
    for wanted in _TITLES:
        for title, line in headings:
            if wanted.fullmatch(_AROUND.sub("", title)):
                return line
    return None


def _text_lines(body: str) -> Iterator[tuple[int, _Line]]:
    """Lines outside of code blocks and comments of several lines, with their numbers."""
    fence = ""
    in_comment = False
    for number, line in enumerate(_lines(body), 1):
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
            if not in_comment:
                yield number, line


def _lines(body: str) -> Iterator[_Line]:
    for match in _LINE.finditer(body):
        if match[0]:
            yield _Line(match.start(), match.end(), match[0].rstrip("\r\n"))
