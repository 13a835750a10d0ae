"""Marked parts of a card's body, filled in place; `markers` finds them.

A card without any gets one `results` part below the heading that speaks of results, else at its
end.  Whatever stands outside of the markers stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from evalkit.card.front_matter import LINE_END, Parts, line_end_of
from evalkit.card.markers import Line, find_markers, text_lines
from evalkit.card.render import Part
from evalkit.errors import CardError

__all__ = ["fill"]

_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(?P<title>.*?)(?:[ \t]+#+)?[ \t]*")
_TITLES = (
    re.compile(r"(?:evaluation |benchmark )?results", re.IGNORECASE),
    re.compile(r"(?:model )?evaluations?(?: on .*)?", re.IGNORECASE),
    re.compile(r"(?:model )?performance|benchmarks?", re.IGNORECASE),
)
"""Headings below which results belong, the best first."""
_AROUND = re.compile(r"^[\W_]+|[\W_]+$")
"""Emoji, emphasis and colons around a heading's words."""


def fill(parts: Parts, render: Callable[[Part], str]) -> tuple[str, tuple[str, ...]]:
    """The card's body with every marked part rendered anew, and notes on what looks like a marker.

    Args:
        parts: A card.
        render: Text of a part; its lines end with line feeds.

    Raises:
        CardError: markers that do not fit, or a body that has no end.
    """
    body = parts.body
    above = str(parts)[: -len(body)] if body else str(parts)
    before = len(LINE_END.findall(above))
    line_end = line_end_of(body, parts.line_end)
    markers = find_markers(body, before)
    if not markers.places:
        made = _inserted(body, render("results"), line_end)
        if not find_markers(made, before).places:
            raise CardError(
                "the card's body ends in a code block or comment that has no end; close it, then "
                "try again"
            )
        return made, ()
    made, at = "", 0
    for place in markers.places:
        text = f"\n{render(place.part)}\n\n".replace("\n", line_end)
        made += body[at : place.start] + text
        at = place.end
    return made + body[at:], markers.notes


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


def _best_heading(body: str) -> Line | None:
    headings = [
        (match["title"], line)
        for line in text_lines(body)
        if (match := _HEADING.fullmatch(line.text)) is not None
    ]
    for wanted in _TITLES:
        for title, line in headings:
            if wanted.fullmatch(_AROUND.sub("", title)):
                return line
    return None
