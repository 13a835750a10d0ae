"""Elements of SVG.  Names are ours; every text and every value of an attribute is escaped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from markupsafe import Markup, escape

from evalkit.draw import one_line, visible

__all__ = [
    "Place",
    "beside_and_below",
    "drawing",
    "label",
    "line",
    "node",
    "percent",
    "polygon",
    "short",
    "window",
]

Place = float | str
"""User units (CSS pixels here), or per cent as text."""


def node(name: str, attributes: Mapping[str, Place], inner: Iterable[Markup] = ()) -> Markup:
    """One element; `name` and the attributes' names must be constants of this package."""
    values = ((key, _value(value)) for key, value in attributes.items())
    # Only names pass unescaped, and they are constants.
    written = Markup("").join(
        Markup(' {}="{}"').format(Markup(key), value)  # noqa: S704
        for key, value in values
    )
    start = Markup("<{}{}").format(Markup(name), written)  # noqa: S704
    content = Markup("").join(inner)
    if not content:
        return start + Markup("/>")
    return start + Markup(">") + content + Markup("</{}>").format(Markup(name))  # noqa: S704


def label(x: Place, y: float, words: str, kind: str, anchor: str = "start") -> Markup:
    """A text on one line; `kind` is its class."""
    place = {"class": kind, "x": x, "y": y, "text-anchor": anchor}
    return node("text", place, [escape(visible(words))])


def line(start: tuple[Place, float], end: tuple[Place, float], kind: str) -> Markup:
    """A straight line; `kind` is its class."""
    ends: dict[str, Place] = {"x1": start[0], "y1": start[1], "x2": end[0], "y2": end[1]}
    return node("line", {"class": kind, **ends})


def polygon(points: Iterable[tuple[float, float]], kind: str) -> Markup:
    """A closed shape in user units."""
    path = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
    return node("polygon", {"class": kind, "points": path})


def window(x: Place, y: float, width: Place, inner: Iterable[Markup], kind: str = "at") -> Markup:
    """A coordinate system of its own; what leaves its frame stays visible (style.css)."""
    return node("svg", {"class": kind, "x": x, "y": y, "width": width}, inner)


def beside_and_below(
    y: float, beside: tuple[str, str], below: str, inner: Iterable[Markup]
) -> list[Markup]:
    """A plot twice: beside its labels (place, width), and below them (width).

    style.css shows one of them, by the room there is: a browser moves no coordinate system.
    """
    marks = list(inner)
    return [window(beside[0], y, beside[1], marks, "wide"), window(0, y, below, marks, "narrow")]


def drawing(
    said: tuple[str, str], kind: str, height: float, body: Iterable[Markup], view_box: str = ""
) -> Markup:
    """A whole chart.

    Args:
        said: title and description, which say all that is drawn.
        kind: its class.
        height: in user units.
        body: what is drawn.
        view_box: where places are in user units throughout; empty: the width is the page's.
    """
    title, description = said
    name = hashlib.sha256(
        "\n".join((kind, title, description)).encode("utf-8", "surrogatepass")
    ).hexdigest()[:10]
    size: dict[str, Place] = {"height": height, "width": "100%"}
    if view_box:
        size = {"viewBox": view_box}
    head = [
        node("title", {"id": f"t{name}"}, [escape(visible(title))]),
        node("desc", {"id": f"d{name}"}, [escape(visible(description))]),
    ]
    about = {"class": kind, "role": "img", "aria-labelledby": f"t{name}", **size}
    return node("svg", {**about, "aria-describedby": f"d{name}"}, [*head, *body])


def percent(share: float) -> str:
    """A place as per cent of the width, from a share of it."""
    return f"{_number(100 * share)}%"


def short(words: str, limit: int) -> str:
    """`words` on one line of at most `limit` characters; the table beside has them whole."""
    return one_line(visible(words), limit)


def _value(value: Place) -> str:
    return value if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    """A coordinate: two decimals, no negative zero."""
    return f"{round(value, 2) + 0.0:g}"
