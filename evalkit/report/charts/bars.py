"""Bars with intervals: the figures of several models, group by group, on one axis.

Models differ by fill as well as by colour: filled, hollow, dotted outline, and again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from evalkit.report.charts.scale import Scale, axis
from evalkit.report.charts.svg import Place, beside_and_below, drawing, label, line, node, short

__all__ = ["KINDS", "Bar", "Bars", "BarsGroup", "bars_svg"]

KINDS = 4
"""Fills there are (style.css); a fifth model has the first one's again."""
_HEAD = 20
_BAR = 18
_GAP = 12
_THICK = 11
_CAP = 3
_LEGEND = 20
_LABEL = 40


@dataclass(frozen=True)
class Bar:
    """One model's figure."""

    point: float | None
    low: float | None
    high: float | None
    shown: str
    """The figure as text, or why there is none."""


@dataclass(frozen=True)
class BarsGroup:
    """What stands together."""

    label: str
    bars: tuple[Bar, ...]
    """One for each model."""


@dataclass(frozen=True)
class Bars:
    """The whole chart."""

    title: str
    models: tuple[str, ...]
    scale: Scale
    """Begins at zero, since the length of a bar is what is read."""
    groups: tuple[BarsGroup, ...]
    note: str
    """What the intervals are."""


def bars_svg(bars: Bars) -> Markup:
    """The drawing."""
    top = _LEGEND * len(bars.models) + 8
    tall = _HEAD + _BAR * len(bars.models) + _GAP
    bottom = tall * len(bars.groups)
    marks: list[Markup] = [*axis(bars.scale, bottom)]
    texts = list(_legend(bars.models))
    for i, group in enumerate(bars.groups):
        y = tall * i
        texts.append(label(0, top + y + 15, short(group.label, _LABEL), "name"))
        for n, bar in enumerate(group.bars):
            middle = y + _HEAD + _BAR * n + _BAR / 2
            texts.append(label("100%", top + middle + 4, bar.shown, "said", "end"))
            marks += _bar(bar, bars.scale, middle, n)
    # Labels last: on a narrow screen they stand on the grid.
    body = [*beside_and_below(top, ("18%", "74%"), "86%", marks), *texts]
    return drawing((bars.title, _description(bars)), "bars", top + bottom + 24, body)


def _legend(models: tuple[str, ...]) -> Iterator[Markup]:
    for n, model in enumerate(models):
        y = _LEGEND * n
        place: dict[str, Place] = {"x": 1, "y": y + 3, "width": 22, "height": _THICK}
        yield node("rect", {"class": f"bar s{n % KINDS}", **place})
        yield label(32, y + 13, short(model, _LABEL), "key")


def _bar(bar: Bar, found: Scale, middle: float, n: int) -> Iterator[Markup]:
    if bar.point is None:
        return
    start, end = found.share(found.ticks[0]), found.share(bar.point)
    place: dict[str, Place] = {
        "x": f"{round(100 * start, 2):g}%",
        "y": middle - _THICK / 2,
        "width": f"{round(100 * (end - start), 2):g}%",
        "height": _THICK,
    }
    yield node("rect", {"class": f"bar s{n % KINDS}", **place})
    if bar.low is not None and bar.high is not None:
        low, high = found.place(bar.low), found.place(bar.high)
        # In front of a dark bar it would not be seen.
        yield line((low, middle), (high, middle), "halo")
        yield line((low, middle), (high, middle), "whisker")
        ends = (middle - _CAP, middle + _CAP)
        yield from (line((x, ends[0]), (x, ends[1]), "whisker") for x in (low, high))


def _description(bars: Bars) -> str:
    groups = (
        f"{g.label}: "
        + ", ".join(f"{m} {b.shown}" for m, b in zip(bars.models, g.bars, strict=True))
        for g in bars.groups
    )
    return f"{bars.note} " + ". ".join(groups) + "."
