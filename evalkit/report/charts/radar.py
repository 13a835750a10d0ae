"""A radar: one spoke a category, one outline a model.

It shows a profile at a glance and no interval at all, so the table with intervals stands beside
it.  Outlines differ by dashes and marks as well as by colour.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from evalkit.draw import significant
from evalkit.report.charts.bars import KINDS
from evalkit.report.charts.scale import Scale
from evalkit.report.charts.svg import drawing, label, line, node, polygon, short

__all__ = ["Radar", "radar_svg"]

_MIDDLE = (220.0, 180.0)
_REACH = 130.0
_LABEL = 16
_KEY = 20


@dataclass(frozen=True)
class Radar:
    """The whole chart."""

    title: str
    spokes: tuple[str, ...]
    """At least three."""
    scale: Scale
    """From the middle to the rim."""
    models: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    """By model, one a spoke."""
    shown: tuple[tuple[str, ...], ...]
    """The same as text."""


def radar_svg(radar: Radar) -> Markup:
    """The drawing."""
    body = [*_web(radar)]
    for n, values in enumerate(radar.values):
        body += _outline(radar, values, n)
    top = 370.0
    for n, model in enumerate(radar.models):
        y = top + _KEY * n
        body.append(line((110, y - 4), (140, y - 4), f"edge s{n % KINDS}"))
        body.append(_dot(125, y - 4, n))
        body.append(label(150, y, short(model, 34), "key"))
    tall = top + _KEY * len(radar.models)
    said = ". ".join(
        f"{model}: " + ", ".join(f"{s} {v}" for s, v in zip(radar.spokes, shown, strict=True))
        for model, shown in zip(radar.models, radar.shown, strict=True)
    )
    return drawing((radar.title, f"{said}."), "radar", tall, body, f"0 0 440 {tall:g}")


def _point(radar: Radar, spoke: int, share: float) -> tuple[float, float]:
    angle = 2 * math.pi * spoke / len(radar.spokes) - math.pi / 2
    x, y = _MIDDLE
    return x + _REACH * share * math.cos(angle), y + _REACH * share * math.sin(angle)


def _share(radar: Radar, value: float) -> float:
    low, high = radar.scale.ticks[0], radar.scale.ticks[-1]
    return min(max((value - low) / (high - low), 0.0), 1.0)


def _web(radar: Radar) -> Iterator[Markup]:
    around = range(len(radar.spokes))
    for tick in radar.scale.ticks[1:]:
        share = _share(radar, tick)
        yield polygon([_point(radar, i, share) for i in around], "web")
        # Below its ring: above the outermost stands the name of the first spoke.
        x, y = _point(radar, 0, share)
        yield label(x + 3, y + 11, significant(tick, 6), "tick")
    for i, spoke in enumerate(radar.spokes):
        x, y = _point(radar, i, 1.0)
        yield line(_MIDDLE, (x, y), "web")
        away = x - _MIDDLE[0]
        anchor = "middle" if abs(away) < 5 else "start" if away > 0 else "end"
        out_x, out_y = _point(radar, i, 1.07)
        yield label(out_x, out_y + 4, short(spoke, _LABEL), "tick", anchor)


def _outline(radar: Radar, values: tuple[float | None, ...], n: int) -> Iterator[Markup]:
    """Between neighbours that both have a figure: what is missing leaves a gap."""
    places = [
        None if v is None else _point(radar, i, _share(radar, v)) for i, v in enumerate(values)
    ]
    for start, end in pairwise([*places, places[0]]):
        if start is not None and end is not None:
            yield line(start, end, f"edge s{n % KINDS}")
    for place in places:
        if place is not None:
            yield _dot(*place, n)


def _dot(x: float, y: float, n: int) -> Markup:
    kind = f"dot s{n % KINDS}"
    if n % 2:
        return polygon([(x - 4, y - 4), (x + 4, y - 4), (x + 4, y + 4), (x - 4, y + 4)], kind)
    return node("circle", {"class": kind, "cx": x, "cy": y, "r": 4})
