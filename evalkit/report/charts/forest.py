"""A forest plot: differences with their intervals on one axis, one row each.

A filled triangle up is better, down is worse; a hollow circle is a difference that is left open
(its interval is dashed), a question mark one of which nothing is known.  A dotted line is the
loss that the suite's gate allows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from evalkit.compare.words import Verdict
from evalkit.report.charts.scale import Scale, axis, scale
from evalkit.report.charts.svg import (
    beside_and_below,
    drawing,
    label,
    line,
    node,
    polygon,
    short,
    window,
)

__all__ = ["Forest", "ForestRow", "forest_svg"]

_ROW = 46
_LINE = 33
"""Of a row, where its interval lies."""
_TEXT = 17
"""Of a row, where its label stands where there is no room beside the plot."""
_CAP = 5
_LABEL = 38
_SHORT = 17
"""Characters of a label that leave room for the figures beside it on a phone."""
_NAME = 18


@dataclass(frozen=True)
class ForestRow:
    """One difference."""

    label: str
    verdict: Verdict
    point: float | None
    low: float | None
    high: float | None
    """None where there is no interval."""
    margin: float | None
    """Largest loss that the gate allows, as a place on the axis; None: no gate."""
    shown: str
    """The figures as text."""
    sentence: str
    """All of it in words."""


@dataclass(frozen=True)
class Forest:
    """Differences that share a unit and a direction."""

    candidate: str
    baseline: str
    unit: str
    """In words."""
    higher_is_better: bool
    level: str
    rows: tuple[ForestRow, ...]

    @property
    def title(self) -> str:
        """What is drawn."""
        return f"{self.candidate} minus {self.baseline}, {self.unit}"


def forest_svg(forest: Forest) -> Markup:
    """The drawing."""
    ends = [v for r in forest.rows for v in (r.low, r.point, r.high, r.margin)]
    found = scale([0.0, *ends])
    bottom = _ROW * len(forest.rows)
    said = f"{forest.title}, with {forest.level} intervals. " + " ".join(
        row.sentence for row in forest.rows
    )
    rules: list[Markup] = []
    texts: list[Markup] = []
    marks: list[Markup] = [*axis(found, bottom, signed=True)]
    for i, row in enumerate(forest.rows):
        top = _ROW * i
        if i:
            rules.append(line((0, top), ("100%", top), "rule"))
        texts.append(label(0, top + _TEXT, short(row.label, _LABEL), "name"))
        kind = "said" if len(row.label) <= _SHORT else "said long"
        texts.append(label("100%", top + _TEXT, row.shown, kind, "end"))
        marks += _marks(row, found, top)
    marks += _favours(forest, bottom + 36)
    # Labels last: on a narrow screen they stand on the grid.
    body = [*rules, *beside_and_below(0, ("27%", "46%"), "100%", marks), *texts]
    return drawing((forest.title, said), "forest", bottom + 44, body)


def _favours(forest: Forest, y: float) -> Iterator[Markup]:
    left, right = forest.baseline, forest.candidate
    if not forest.higher_is_better:
        left, right = right, left
    names = [short(name, _NAME) for name in (left, right)]
    if names[0] == names[1]:
        # Long names of one family begin alike.
        names = ["the baseline" if n == forest.baseline else "the candidate" for n in (left, right)]
    yield label(0, y, f"\N{LEFTWARDS ARROW} favours {names[0]}", "tick favours")
    right_words = f"favours {names[1]} \N{RIGHTWARDS ARROW}"
    yield label("100%", y, right_words, "tick favours second", "end")


def _marks(row: ForestRow, found: Scale, top: float) -> Iterator[Markup]:
    y = top + _LINE
    if row.margin is not None:
        at = found.place(row.margin)
        yield line((at, top + 2), (at, top + _ROW - 2), "margin")
    if row.low is not None and row.high is not None:
        low, high = found.place(row.low), found.place(row.high)
        yield line((low, y), (high, y), f"range {row.verdict}")
        yield from (line((x, y - _CAP), (x, y + _CAP), f"cap {row.verdict}") for x in (low, high))
    if row.point is not None:
        yield window(found.place(row.point), y, 1, [_mark(row)])


def _mark(row: ForestRow) -> Markup:
    kind = f"mark {row.verdict}"
    if row.verdict == "better":
        return polygon([(0, -8), (8, 6), (-8, 6)], kind)
    if row.verdict == "worse":
        return polygon([(0, 8), (8, -6), (-8, -6)], kind)
    if row.verdict == "unclear":
        return node("circle", {"class": kind, "cx": 0, "cy": 0, "r": 6})
    return label(0, 6, "?", kind, "middle")
