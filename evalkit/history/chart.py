"""A series as SVG: figures with their intervals over checkpoints, for a page or a file.

Written by hand, so that equal series give equal bytes.  Nothing is told by colour alone: all is
drawn in the colour of the text around it, segments differ by the shape of their marks, and the
same figures are in the text alternative (`title`, `desc`).  Sources of the form: SVG 1.1
(w3.org/TR/SVG11); for `role` and `aria-labelledby`, SVG accessibility API mappings
(w3.org/TR/svg-aam-1.0).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from evalkit.compare.words import level_text
from evalkit.draw import count, figure, interval, one_line, visible
from evalkit.history.series import Point, Series
from evalkit.history.table import series_title

__all__ = ["chart_svg", "charts_svg"]

_WIDTH, _HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 34, 46
_X_LABELS = 8
_CAP = 4
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to spell."""
_NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'


@dataclass(frozen=True)
class _Frame:
    """Where values lie, in user units."""

    x: tuple[float, ...]
    """Of each point."""
    y: Callable[[float], float]
    ticks: tuple[float, ...]
    unit: str


def charts_svg(every: Sequence[Series]) -> str:
    """One SVG document with a chart of each series, one below the other."""
    height = _HEIGHT * max(1, len(every))
    inner = "".join(_chart(series, _HEIGHT * i) for i, series in enumerate(every))
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    return f"<svg {_NAMESPACE} {size}>\n{inner}</svg>\n"


def chart_svg(series: Series) -> str:
    """One chart: an `svg` element that can stand in a page or alone."""
    return _chart(series, 0)


def _chart(series: Series, top: int) -> str:
    name = hashlib.sha256("\n".join(series.key).encode("utf-8", "surrogatepass")).hexdigest()[:10]
    body = [
        f'<title id="t{name}">{_text(series_title(series))}</title>',
        f'<desc id="d{name}">{_text(_description(series))}</desc>',
        _label(_WIDTH / 2, 18, one_line(visible(series_title(series)), 90), "middle", 13),
    ]
    if series.points:
        frame = _frame(series)
        body += [*_axes(series, frame), *_splits(series, frame)]
        start = 0
        for number, segment in enumerate(series.segments):
            body += _segment(segment, frame, start, number)
            start += len(segment)
    lines = "".join(f"{line}\n" for line in body)
    place = f'x="0" y="{top}" width="{_WIDTH}" height="{_HEIGHT}"'
    return (
        f'<svg {_NAMESPACE} {place} viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-labelledby="t{name} d{name}" font-family="sans-serif" fill="currentColor" '
        f'stroke="none">\n{lines}</svg>\n'
    )


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", one_line(visible(text))))


def _description(series: Series) -> str:
    parts = []
    for point in series.points:
        start = "Settings change here; not joined to what is before. " if point.split else ""
        parts.append(f"{start}{_said(point)}")
    level = level_text(series.points[0].estimate.level) if series.points else "95%"
    return f"Figures by checkpoint with {level} intervals. " + " ".join(f"{p}." for p in parts)


def _said(point: Point) -> str:
    row = point.estimate
    bounds = "no interval"
    if row.low is not None:
        bounds = interval(row.low, row.high, row.unit)
    return f"{point.checkpoint.label}: {figure(row.point, row.unit)} ({bounds}), n {count(row.n)}"


def _frame(series: Series) -> _Frame:
    values = [
        v
        for p in series.points
        for v in (p.estimate.point, p.estimate.low, p.estimate.high)
        if v is not None and math.isfinite(v)
    ]
    ticks = _ticks(min(values, default=0.0), max(values, default=1.0))
    low, high = ticks[0], ticks[-1]
    tall = _HEIGHT - _TOP - _BOTTOM

    def y(value: float) -> float:
        return _TOP + tall * (high - value) / (high - low)

    return _Frame(_positions(series.points), y, ticks, series.metric.unit)


def _ticks(low: float, high: float) -> tuple[float, ...]:
    """Round numbers around the values, four to seven of them."""
    span = high - low
    if span <= abs(high) * 1e-9:
        span = max(abs(high) * 0.1, 1e-6)
    raw = span / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    if first == last:
        first, last = first - 1, last + 1
    return tuple(round(i * step, 12) for i in range(first, last + 1))


def _positions(points: Sequence[Point]) -> tuple[float, ...]:
    """By step where all tell different ones, else evenly."""
    left, wide = _LEFT + 16, _WIDTH - _LEFT - _RIGHT - 32
    steps = [p.checkpoint.step.value for p in points if p.checkpoint.step is not None]
    if len(points) == 1:
        return (left + wide / 2,)
    rising = all(a < b for a, b in pairwise(steps))
    if len(steps) == len(points) and rising:
        return tuple(left + wide * (s - steps[0]) / (steps[-1] - steps[0]) for s in steps)
    return tuple(left + wide * i / (len(points) - 1) for i in range(len(points)))


def _axes(series: Series, frame: _Frame) -> list[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    lines = [_line((_LEFT, _TOP), (_LEFT, bottom)), _line((_LEFT, bottom), (right, bottom))]
    digits = max(0, -math.floor(math.log10(frame.ticks[1] - frame.ticks[0]) + 1e-9))
    for tick in frame.ticks:
        y = frame.y(tick)
        lines.append(_line((_LEFT, y), (right, y), 'stroke-opacity="0.2"'))
        shown = f"{tick:.{digits}f}".replace("-", "\N{MINUS SIGN}")
        lines.append(_label(_LEFT - 6, y + 4, shown, "end"))
    every = math.ceil(len(series.points) / _X_LABELS)
    last = -math.inf
    for i, (x, point) in enumerate(zip(frame.x, series.points, strict=True)):
        lines.append(_line((x, bottom), (x, bottom + 4)))
        if i % every == 0 and x - last >= 60:
            name = str(point.checkpoint.step or one_line(visible(point.checkpoint.label), 12))
            lines.append(_label(x, bottom + 17, name, "middle"))
            last = x
    kinds = {p.checkpoint.step.kind if p.checkpoint.step else None for p in series.points}
    axis = "checkpoint, in order"
    if kinds in ({"step"}, {"epoch"}):
        axis = "training step" if "step" in kinds else "epoch"
    lines.append(_label((_LEFT + right) / 2, _HEIGHT - 10, axis, "middle"))
    return lines


def _splits(series: Series, frame: _Frame) -> list[str]:
    lines = []
    for i, point in enumerate(series.points):
        if point.split and i:
            x = (frame.x[i - 1] + frame.x[i]) / 2
            dashes = 'stroke-dasharray="4 4"'
            lines.append(_line((x, _TOP), (x, _HEIGHT - _BOTTOM), dashes))
            lines.append(_label(x, _TOP - 3, "settings changed", "middle", 10))
    return lines


def _segment(points: Sequence[Point], frame: _Frame, start: int, number: int) -> list[str]:
    """A segment's line, intervals and marks; every point says its figure when pointed at."""
    xs = frame.x[start : start + len(points)]
    found = [
        (x, p.estimate.point, p)
        for x, p in zip(xs, points, strict=True)
        if p.estimate.point is not None
    ]
    path = " ".join(f"{_n(x)},{_n(frame.y(value))}" for x, value, _ in found)
    lines = [f'<polyline points="{path}" fill="none" stroke="currentColor" stroke-width="1.5"/>']
    for x, value, point in found:
        row = point.estimate
        inner = [f"<title>{_text(_said(point))}</title>"]
        if row.low is not None and row.high is not None:
            low, high = frame.y(row.low), frame.y(row.high)
            inner.append(_line((x, low), (x, high)))
            inner += [_line((x - _CAP, y), (x + _CAP, y)) for y in (low, high)]
        inner.append(_mark(x, frame.y(value), number))
        lines.append(f"<g>{''.join(inner)}</g>")
    return lines


def _mark(x: float, y: float, number: int) -> str:
    """A shape of its own for each segment: disc, square, diamond, triangle, and again."""
    shape = number % 4
    if shape == 0:
        return f'<circle cx="{_n(x)}" cy="{_n(y)}" r="3.5"/>'
    corners = {
        1: ((-3, -3), (3, -3), (3, 3), (-3, 3)),
        2: ((0, -5), (5, 0), (0, 5), (-5, 0)),
        3: ((0, -5), (4.5, 3.5), (-4.5, 3.5)),
    }[shape]
    path = " ".join(f"{_n(x + dx)},{_n(y + dy)}" for dx, dy in corners)
    return f'<polygon points="{path}"/>'


def _line(start: tuple[float, float], end: tuple[float, float], more: str = "") -> str:
    ends = f'x1="{_n(start[0])}" y1="{_n(start[1])}" x2="{_n(end[0])}" y2="{_n(end[1])}"'
    return f'<line {ends} stroke="currentColor"{" " + more if more else ""}/>'


def _label(x: float, y: float, text: str, anchor: str, size: int = 11) -> str:
    place = f'x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" font-size="{size}"'
    return f"<text {place}>{_text(text)}</text>"


def _n(value: float) -> str:
    """A coordinate: two decimals, no negative zero."""
    return f"{round(value, 2) + 0.0:g}"
