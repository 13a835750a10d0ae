"""Charts as SVG, by our own hand: no library, no script, the same bytes for the same figures.

    score_tables     a pair's scores and differences, their intervals drawn: tables with a drawing
    category_bars    figures of several models by category
    trend, trends    a figure over checkpoints

What colour says, shape says too, and `title` and `desc` say all of it in words.  The first two
stand in a page and look as its style sheet says: horizontal places are per cent of the width and
texts have a fixed size, so that a chart is as readable on a phone as on a desk; style.css moves
labels beside the plot where there is room.  A trend has a size of its own and can stand alone.

Sources of the form: SVG 1.1 (w3.org/TR/SVG11); for `role` and `aria-labelledby`, SVG accessibility
API mappings (w3.org/TR/svg-aam-1.0).
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from markupsafe import Markup

from evalkit import catalogue
from evalkit.core.contests import Contest, GateTest, Verdict
from evalkit.core.figures import Comparison, Figure, Measured
from evalkit.draw import words
from evalkit.draw.html import Value, element, escaped
from evalkit.draw.numbers import coordinate, count, figure, significant
from evalkit.draw.tables import (
    SUMMARY,
    Cell,
    Column,
    ColumnName,
    Item,
    Table,
    contest_of,
    contest_table,
)
from evalkit.draw.text import one_line, visible

__all__ = [
    "MODELS_DRAWN",
    "Drawing",
    "Scale",
    "Trend",
    "TrendPoint",
    "category_bars",
    "scale",
    "score_tables",
    "trend",
    "trends",
]


@dataclass(frozen=True)
class Drawing:
    """A chart, and the words around it."""

    title: str
    svg: Markup
    """Every text in it is escaped."""
    note: str = ""
    """How to read it."""


# --- axes ---------------------------------------------------------------------------------------

_SIDE = 0.02
"""Share of the width left free at either end, so that marks and numbers are whole."""
_LEAST = 1e-200
"""What is smaller has no fifth in floating point."""


@dataclass(frozen=True)
class Scale:
    """An axis from its first tick to its last."""

    ticks: tuple[float, ...]
    """Rising, at least two."""

    def share(self, value: float) -> float:
        """How far a value is from the first tick to the last; what lies outside is at the end."""
        low, high = self.ticks[0], self.ticks[-1]
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def place(self, value: float) -> str:
        """The same as per cent of the width, some of which is left free at either end."""
        return f"{coordinate(100 * (_SIDE + (1 - 2 * _SIDE) * self.share(value)))}%"


def scale(values: Iterable[float | None], steps: int = 5) -> Scale:
    """Ticks at 1, 2 or 5 times a power of ten around the values.

    Args:
        values: None and what is not finite is left out.
        steps: About so many steps between the ends.
    """
    known = [v for v in values if v is not None and math.isfinite(v)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    span, largest = high - low, max(abs(low), abs(high))
    if span <= 1e-9 * largest:
        span = largest
    if span < _LEAST:
        span = 1.0
    raw = span / steps
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    # A bound that is 2.0000001 by floating point must not add a step.
    first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
    if first == last:
        first, last = first - 1, last + 1
    return Scale(tuple(float(f"{i * step:.12g}") for i in range(first, last + 1)))


def _axis(found: Scale, bottom: float) -> Iterator[Markup]:
    """Grid lines from the top to `bottom`, and the numbers below them."""
    for tick in found.ticks:
        at = found.place(tick)
        yield _line((at, 0), (at, bottom), "grid")
        yield _label(at, bottom + 16, significant(tick, 6), "tick", "middle")


# --- elements -----------------------------------------------------------------------------------


def _label(x: Value, y: float, text: str, kind: str, anchor: str = "start") -> Markup:
    """A text on one line; `kind` is its class."""
    place = {"class": kind, "x": x, "y": y, "text-anchor": anchor}
    return element("text", place, [escaped(text)])


def _line(start: tuple[Value, float], end: tuple[Value, float], kind: str) -> Markup:
    ends: dict[str, Value] = {"x1": start[0], "y1": start[1], "x2": end[0], "y2": end[1]}
    return element("line", {"class": kind, **ends})


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in points)


def _polygon(points: Iterable[tuple[float, float]], kind: str) -> Markup:
    return element("polygon", {"class": kind, "points": _points(points)})


def _window(x: Value, y: float, width: Value, inner: Iterable[Markup], kind: str = "at") -> Markup:
    """A coordinate system of its own; what leaves its frame stays visible (style.css)."""
    return element("svg", {"class": kind, "x": x, "y": y, "width": width}, inner)


def _beside_and_below(
    y: float, beside: tuple[str, str], below: str, inner: Iterable[Markup]
) -> list[Markup]:
    """A plot twice: beside its labels (place, width), and below them (width).

    style.css shows one of them, by the room there is: a browser moves no coordinate system.
    """
    marks = list(inner)
    return [_window(beside[0], y, beside[1], marks, "wide"), _window(0, y, below, marks, "narrow")]


def _drawing(
    title: str, description: str, body: Iterable[Markup], attributes: dict[str, Value]
) -> Markup:
    """A whole chart; title and description say all that is drawn."""
    known = "\n".join((str(attributes.get("class")), title, description))
    name = hashlib.sha256(known.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    head = [
        element("title", {"id": f"t{name}"}, [escaped(title)]),
        element("desc", {"id": f"d{name}"}, [escaped(description)]),
    ]
    about = {"role": "img", "aria-labelledby": f"t{name}", "aria-describedby": f"d{name}"}
    return element("svg", {**attributes, **about}, [*head, *body])


def _short(text: str, limit: int) -> str:
    """On one line of at most `limit` characters; the table beside has it whole."""
    return one_line(visible(text), limit)


# --- differences --------------------------------------------------------------------------------

_ROW = 30
_CAP = 5
_STEPS = 4
_OWN_SAMPLES = (
    "Scores are over each model's own samples, differences over the samples that both have."
)


def score_tables(
    items: Sequence[Item],
    figures: Iterable[Figure],
    *,
    link: Callable[[Contest, ColumnName], str] | None = None,
) -> list[Table]:
    """Scores, differences and verdicts of one pair, with the intervals drawn on a common axis.

    A table for each unit and direction; what a local judge prefers stands behind, apart.  A filled
    triangle up is better, down is worse; a diamond is longer or shorter; a hollow circle is no
    significant difference (its interval is dashed), a question mark an undefined one.  A dotted
    line is the loss that the gate allows.

    Args:
        items: Contests of one candidate and one baseline, or gate tests of them.
        figures: Both sides'.
        link: As `contest_table` takes it.
    """
    known = list(figures)
    groups: dict[tuple[bool, str, bool], list[tuple[Contest, Item]]] = {}
    for item in items:
        if (contest := contest_of(item)) is not None:
            c = contest.comparison
            kind = (words.judged_locally(contest), c.unit, c.higher_is_better)
            groups.setdefault(kind, []).append((contest, item))
    tables = [_score_table(groups[k], known, link, apart=k[0]) for k in groups]
    tables.sort(key=lambda table: table.apart)  # stable: else as they come
    heading = f"Judged by a {words.LOCAL_JUDGE}"
    first = next((i for i, table in enumerate(tables) if table.apart), None)
    return [replace(t, caption=heading) if i == first else t for i, t in enumerate(tables)]


def _score_table(
    rows: Sequence[tuple[Contest, Item]],
    figures: Sequence[Figure],
    link: Callable[[Contest, ColumnName], str] | None,
    *,
    apart: bool,
) -> Table:
    contests = [contest for contest, _ in rows]
    first = contests[0].comparison
    plain = contest_table(contests, SUMMARY, figures=figures, link=link)
    found = _differences(rows)
    unit = catalogue.unit(first.unit)
    lower = ", lower is better" if unit.has_direction and not first.higher_is_better else ""
    heads = {
        1: f"{plain.columns[1].label}, {unit.words}{lower}",
        2: f"{plain.columns[2].label}, {unit.of_difference}",
    }
    columns = [
        replace(c, label=heads.get(i, c.label), chip=c.label == "Verdict")
        for i, c in enumerate(plain.columns)
    ]
    axis = Column(f"From {significant(found.ticks[0], 6)} to {significant(found.ticks[-1], 6)}")
    columns.insert(3, replace(axis, drawn=_difference_axis(found, first)))
    lines = []
    for (contest, item), cells in zip(rows, plain.rows, strict=True):
        label = replace(cells[0], shown=words.contest_label(contest))
        verdict = cells[4]
        if apart:
            verdict = replace(verdict, shown=words.preference_words(contest))
        bar = Cell("", "", drawn=_difference_bar(contest, _margin(item), found))
        lines.append((label, *cells[1:3], bar, cells[3], verdict, *cells[5:]))
    paired = {c.key: c.comparison.difference.n for c in contests}
    sides = (first.candidate, first.baseline)
    mine = (f for f in figures if f.model in sides and f.key in paired)
    note = _OWN_SAMPLES if any(f.value.n != paired[f.key] for f in mine) else ""
    return replace(Table.of("", columns, lines, note), apart=apart)


def _differences(rows: Sequence[tuple[Contest, Item]]) -> Scale:
    """An axis of differences: with a tick on either side of zero."""
    values: list[float | None] = [0.0]
    for contest, item in rows:
        c = contest.comparison
        values += [c.difference.point, *words.ends(c.difference, c.unit, signed=True)]
        values.append(_margin(item))
    ticks = scale(values, _STEPS).ticks
    step = ticks[1] - ticks[0]
    before = (-step,) if ticks[0] >= 0 else ()
    return Scale((*before, *ticks, *((step,) if ticks[-1] <= 0 else ())))


def _margin(item: Item) -> float | None:
    """On the axis of differences: a loss is left of zero, or right where lower is better."""
    if not isinstance(item, GateTest) or item.contest is None:
        return None
    return -item.margin if item.contest.comparison.higher_is_better else item.margin


def _difference_axis(found: Scale, c: Comparison) -> Markup:
    """Numbers of the ticks, and what either side of zero means."""
    labels = []
    for tick in found.ticks:
        sign = "+" if tick > 0 else ""
        labels.append(_label(found.place(tick), 30, sign + significant(tick, 6), "tick", "middle"))
    sides = ("worse", "better") if c.higher_is_better else ("better", "worse")
    if not catalogue.unit(c.unit).has_direction:
        sides = ("shorter", "longer")
    zero = coordinate(float(found.place(0.0)[:-1]))
    labels.append(
        _label(f"{zero}%", 14, f"\N{LEFTWARDS ARROW} {sides[0]}\N{NO-BREAK SPACE}", "tick", "end")
    )
    labels.append(
        _label(f"{zero}%", 14, f"\N{NO-BREAK SPACE}{sides[1]} \N{RIGHTWARDS ARROW}", "tick")
    )
    about: dict[str, Value] = {"class": "axis", "width": "100%", "height": 34}
    return element("svg", {**about, "aria-hidden": "true"}, labels)


def _difference_bar(contest: Contest, margin: float | None, found: Scale) -> Markup:
    """One difference; the cells beside it say the same in words."""
    d, kind, y = contest.comparison.difference, _class(contest.verdict), _ROW / 2
    marks = []
    for tick in found.ticks:
        at = found.place(tick)
        marks.append(_line((at, 0), (at, _ROW), "grid" if tick else "zero"))
    if margin is not None:
        at = found.place(margin)
        marks.append(_line((at, 2), (at, _ROW - 2), "margin"))
    low, high = words.ends(d, contest.comparison.unit, signed=True)
    if low is not None and high is not None:
        ends = found.place(low), found.place(high)
        marks.append(_line((ends[0], y), (ends[1], y), f"range {kind}"))
        marks += [_line((x, y - _CAP), (x, y + _CAP), f"cap {kind}") for x in ends]
    if d.point is not None:
        marks.append(_window(found.place(d.point), y, 1, [_mark(contest.verdict)]))
    about: dict[str, Value] = {"class": "difference", "width": "100%", "height": _ROW}
    return element("svg", {**about, "aria-hidden": "true"}, marks)


def _class(verdict: Verdict) -> str:
    return words.tone(verdict) or verdict


def _mark(verdict: Verdict) -> Markup:
    kind = f"mark {_class(verdict)}"
    if verdict == "better":
        return _polygon([(0, -8), (8, 6), (-8, 6)], kind)
    if verdict == "worse":
        return _polygon([(0, 8), (8, -6), (-8, -6)], kind)
    if verdict == "not_significant":
        return element("circle", {"class": kind, "cx": 0, "cy": 0, "r": 6})
    if verdict == "undefined":
        return _label(0, 6, "?", kind, "middle")
    return _polygon([(0, -7), (9, 0), (0, 7), (-9, 0)], kind)


# --- bars ---------------------------------------------------------------------------------------

MODELS_DRAWN = 4
"""Fills there are (style.css): filled, hollow, dotted outline, dark; a fifth model has none."""
_HEAD = 20
_BAR = 18
_GAP = 12
_THICK = 11
_WHISKER = 3
_LEGEND = 20
_GROUP_LABEL = 40
_FEW = 5
"""Units of resampling below which a category's interval is left out: it spans the scale."""
_ENDS = {"percent": (0.0, 100.0), "points": (0.0, 10.0)}
"""Bars of these units have the whole scale."""


def category_bars(title: str, figures: Sequence[Figure], models: Sequence[str]) -> Drawing:
    """Bars with intervals on one axis: a group a category, a bar a model.

    Args:
        title: Of the chart.
        figures: Of one metric, by category; a group's label is its category.
        models: At most MODELS_DRAWN, in order.

    Raises:
        ValueError: no model or no figure, or more models than can be drawn.
    """
    categories = list(dict.fromkeys(f.key.category or "" for f in figures))
    if not categories or not 0 < len(models) <= MODELS_DRAWN:
        raise ValueError(
            f"{len(figures)} figures of {len(models)} models; expected figures of 1 to "
            f"{MODELS_DRAWN} models"
        )
    by_place = {(f.key.category or "", f.model): f for f in figures}
    unit = figures[0].unit
    values = [v for f in figures for v in (f.value.point, *words.ends(f.value, unit))]
    found = scale(_ENDS.get(unit, [0.0, *values]))
    top = _LEGEND * len(models) + 8
    tall = _HEAD + _BAR * len(models) + _GAP
    bottom = tall * len(categories)
    marks, texts, said = [*_axis(found, bottom)], [*_legend(models)], []
    for i, category in enumerate(categories):
        y = tall * i
        texts.append(_label(0, top + y + 15, _short(category, _GROUP_LABEL), "name"))
        shown = []
        for n, model in enumerate(models):
            f = by_place.get((category, model))
            middle = y + _HEAD + _BAR * n + _BAR / 2
            has_none = f is None or f.value.point is None
            text = "no score" if f is None or has_none else figure(f.value.point, f.unit)
            shown.append(f"{model} {text}")
            texts.append(_label("100%", top + middle + 4, text, "said", "end"))
            if f is not None:
                marks += _bar(f, found, middle, n)
        said.append(f"{category}: {', '.join(shown)}")
    confidence = words.ci(figures[0].value.level)
    note = (
        f"Lines: {confidence}, where a category has at least {_FEW} samples that do not all agree."
    )
    body = [*_beside_and_below(top, ("18%", "74%"), "86%", marks), *texts]
    size: dict[str, Value] = {"class": "bars", "height": top + bottom + 24, "width": "100%"}
    return Drawing(title, _drawing(title, f"{note} {'. '.join(said)}.", body, size), note)


def _legend(models: Sequence[str]) -> Iterator[Markup]:
    for n, model in enumerate(models):
        y = _LEGEND * n
        place: dict[str, Value] = {"x": 1, "y": y + 3, "width": 22, "height": _THICK}
        yield element("rect", {"class": f"bar s{n}", **place})
        yield _label(32, y + 13, _short(model, _GROUP_LABEL), "key")


def _bar(f: Figure, found: Scale, middle: float, n: int) -> Iterator[Markup]:
    if f.value.point is None:
        return
    start, end = found.place(found.ticks[0]), found.place(f.value.point)
    place: dict[str, Value] = {
        "x": start,
        "y": middle - _THICK / 2,
        "width": f"{coordinate(float(end[:-1]) - float(start[:-1]))}%",
        "height": _THICK,
    }
    yield element("rect", {"class": f"bar s{n}", **place})
    bounds = words.ends(f.value, f.unit)
    if f.value.n_units < _FEW or f.value.standard_error == 0:
        return
    if bounds[0] is not None and bounds[1] is not None:
        low, high = found.place(bounds[0]), found.place(bounds[1])
        # In front of a dark bar it would not be seen.
        yield _line((low, middle), (high, middle), "halo")
        yield _line((low, middle), (high, middle), "whisker")
        ends = (middle - _WHISKER, middle + _WHISKER)
        yield from (_line((x, ends[0]), (x, ends[1]), "whisker") for x in (low, high))


# --- trends -------------------------------------------------------------------------------------

_WIDTH, _HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 34, 46
_X_LABELS = 8
_TICK_LABEL = 12
_TREND_CAP = 4
_NAMESPACE = "http://www.w3.org/2000/svg"


@dataclass(frozen=True)
class TrendPoint:
    """A figure of one checkpoint."""

    label: str
    value: Measured
    step: float | None = None
    """Place on the axis; where one has none, or they do not rise, points are evenly spaced."""
    step_label: str = ""
    """On the axis; empty: `label`."""
    split: bool = False
    """Its settings are not those of the point before: they are not joined."""


@dataclass(frozen=True)
class Trend:
    """A figure over checkpoints."""

    title: str
    unit: str
    points: tuple[TrendPoint, ...]
    axis: str = "checkpoint, in order"
    """What the horizontal axis is."""


def trend(of: Trend) -> Markup:
    """One chart: an `svg` element that can stand in a page or alone as a file."""
    return _trend(of, 0)


def trends(every: Sequence[Trend]) -> Markup:
    """One SVG document with a chart of each, one below the other."""
    height = _HEIGHT * max(1, len(every))
    inner = [_trend(one, _HEIGHT * i) for i, one in enumerate(every)]
    size: dict[str, Value] = {"viewBox": f"0 0 {_WIDTH} {height}", "width": _WIDTH}
    return element("svg", {"xmlns": _NAMESPACE, **size, "height": height}, inner)


def _trend(of: Trend, top: float) -> Markup:
    """Nothing is told by colour alone: all is drawn in the colour of the text around it."""
    points = of.points
    body = [_words((_WIDTH / 2, 18), _fitted(of.title, _WIDTH - 20, 13), "middle", 13)]
    if points:
        values = [v for p in points for v in (p.value.point, *words.ends(p.value, of.unit))]
        found, xs = scale(values, 4), _positions(points)
        body += [*_frame(found, of.axis), *_x_labels(points, xs), *_splits(points, xs)]
        number = 0
        segment: list[tuple[float, TrendPoint]] = []
        for x, point in zip(xs, points, strict=True):
            if point.split and segment:
                body += _segment(segment, found, of.unit, number)
                number, segment = number + 1, []
            segment.append((x, point))
        body += _segment(segment, found, of.unit, number)
    confidence = words.ci(points[0].value.level) if points else words.ci(0.95)
    changed = "Settings change here; not joined to what is before. "
    told = " ".join(f"{changed if p.split else ''}{_told(p, of.unit)}." for p in points)
    place: dict[str, Value] = {"x": 0, "y": top, "width": _WIDTH, "height": _HEIGHT}
    attributes: dict[str, Value] = {
        "xmlns": _NAMESPACE,
        **place,
        "viewBox": f"0 0 {_WIDTH} {_HEIGHT}",
        "font-family": "sans-serif",
        "fill": "currentColor",
        "stroke": "none",
    }
    return _drawing(of.title, f"Figures by checkpoint with {confidence}. {told}", body, attributes)


def _told(point: TrendPoint, unit: str) -> str:
    value = point.value
    interval = "no interval" if value.low is None else words.bounds(value, unit)
    return f"{point.label}: {figure(value.point, unit)} ({interval}), n {count(value.n)}"


def _y(found: Scale, value: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - found.share(value))


def _positions(points: Sequence[TrendPoint]) -> list[float]:
    """By step where all tell different ones, else evenly."""
    left, wide = _LEFT + 16, _WIDTH - _LEFT - _RIGHT - 32
    if len(points) == 1:
        return [left + wide / 2]
    steps = [p.step for p in points if p.step is not None]
    if len(steps) == len(points) and all(a < b for a, b in pairwise(steps)):
        return [left + wide * (s - steps[0]) / (steps[-1] - steps[0]) for s in steps]
    return [left + wide * i / (len(points) - 1) for i in range(len(points))]


def _frame(found: Scale, axis: str) -> Iterator[Markup]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    yield _stroke((_LEFT, _TOP), (_LEFT, bottom))
    yield _stroke((_LEFT, bottom), (right, bottom))
    for tick in found.ticks:
        y = _y(found, tick)
        yield _stroke((_LEFT, y), (right, y), {"stroke-opacity": "0.2"})
        yield _words((_LEFT - 6, y + 4), significant(tick, 6), "end")
    yield _words(((_LEFT + right) / 2, _HEIGHT - 10), axis, "middle")


def _x_labels(points: Sequence[TrendPoint], xs: Sequence[float]) -> Iterator[Markup]:
    """A tick a checkpoint; a label where there is room for it."""
    bottom = _HEIGHT - _BOTTOM
    every = math.ceil(len(points) / _X_LABELS)
    free = 0.0
    for i, (x, point) in enumerate(zip(xs, points, strict=True)):
        yield _stroke((x, bottom), (x, bottom + 4))
        text = _short(point.step_label or point.label, _TICK_LABEL)
        half = _wide(text, 11) / 2
        at = min(x, _WIDTH - half - 2)
        if i % every == 0 and at - half >= free:
            yield _words((at, bottom + 17), text, "middle")
            free = at + half + 8


def _splits(points: Sequence[TrendPoint], xs: Sequence[float]) -> Iterator[Markup]:
    text, free = "settings changed", 0.0
    half = _wide(text, 10) / 2
    for i, point in enumerate(points):
        if point.split and i:
            x = (xs[i - 1] + xs[i]) / 2
            yield _stroke((x, _TOP), (x, _HEIGHT - _BOTTOM), {"stroke-dasharray": "4 4"})
            if x - half >= free:
                yield _words((x, _TOP - 3), text, "middle", 10)
                free = x + half + 8


def _segment(
    segment: Sequence[tuple[float, TrendPoint]], found: Scale, unit: str, number: int
) -> Iterator[Markup]:
    """A segment's line, intervals and marks; every point says its figure when pointed at."""
    known = [(x, p.value.point, p) for x, p in segment if p.value.point is not None]
    path = _points((x, _y(found, value)) for x, value, _ in known)
    yield element(
        "polyline",
        {"points": path, "fill": "none", "stroke": "currentColor", "stroke-width": "1.5"},
    )
    for x, value, point in known:
        inner = [element("title", {}, [escaped(_told(point, unit))])]
        low, high = words.ends(point.value, unit)
        if low is not None and high is not None:
            ends = [_y(found, low), _y(found, high)]
            inner.append(_stroke((x, ends[0]), (x, ends[1])))
            inner += [_stroke((x - _TREND_CAP, y), (x + _TREND_CAP, y)) for y in ends]
        inner.append(_shape(x, _y(found, value), number))
        yield element("g", {}, inner)


def _shape(x: float, y: float, number: int) -> Markup:
    """A shape of its own for each segment: disc, square, diamond, triangle, and again."""
    shapes: tuple[tuple[tuple[float, float], ...], ...] = (
        (),
        ((-3, -3), (3, -3), (3, 3), (-3, 3)),
        ((0, -5), (5, 0), (0, 5), (-5, 0)),
        ((0, -5), (4.5, 3.5), (-4.5, 3.5)),
    )
    corners = shapes[number % 4]
    if not corners:
        return element("circle", {"cx": x, "cy": y, "r": 3.5})
    return element("polygon", {"points": _points((x + dx, y + dy) for dx, dy in corners)})


def _stroke(
    start: tuple[float, float], end: tuple[float, float], more: dict[str, Value] | None = None
) -> Markup:
    ends: dict[str, Value] = {"x1": start[0], "y1": start[1], "x2": end[0], "y2": end[1]}
    return element("line", {**ends, "stroke": "currentColor", **(more or {})})


def _words(at: tuple[float, float], text: str, anchor: str, size: float = 11) -> Markup:
    place: dict[str, Value] = {"x": at[0], "y": at[1], "text-anchor": anchor, "font-size": size}
    return element("text", place, [escaped(one_line(visible(text)))])


def _wide(text: str, size: float) -> float:
    """How wide a text is at most, about, in a sans-serif face: CJK and emoji fill a square."""
    full = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return size * (full + 0.62 * (len(text) - full))


def _fitted(text: str, room: float, size: float) -> str:
    """`text` cut to what fits."""
    text = one_line(visible(text), 120)
    while _wide(text, size) > room:
        text = one_line(text, len(text) - 1)
    return text
