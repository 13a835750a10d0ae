"""An axis: round numbers around the values, and where a value lies between its ends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from markupsafe import Markup

from evalkit.draw import significant
from evalkit.report.charts.svg import label, line, percent

__all__ = ["Scale", "axis", "scale"]

_SIDE = 0.02
"""Share of the width left free at either end, so that marks and numbers are whole."""
_LEAST = 1e-200
"""What is smaller has no fifth in floating point."""


@dataclass(frozen=True)
class Scale:
    """From the first tick to the last."""

    ticks: tuple[float, ...]
    """Rising, at least two."""

    def share(self, value: float) -> float:
        """Place of a value as a share of the width; what lies outside stands at the end."""
        low, high = self.ticks[0], self.ticks[-1]
        inside = min(max((value - low) / (high - low), 0.0), 1.0)
        return _SIDE + (1 - 2 * _SIDE) * inside

    def place(self, value: float) -> str:
        """The same as per cent."""
        return percent(self.share(value))


def scale(values: Iterable[float | None], steps: int = 5) -> Scale:
    """Ticks at 1, 2 or 5 times a power of ten around the values.

    Args:
        values: None and what is not finite is left out.
        steps: About so many steps between the ends.
    """
    known = [v for v in values if v is not None and math.isfinite(v)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    span, size = high - low, max(abs(low), abs(high))
    if span <= 1e-9 * size:
        span = size
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


def axis(found: Scale, bottom: float, *, signed: bool = False) -> Iterator[Markup]:
    """Grid lines from the top to `bottom`, and the numbers below them."""
    for tick in found.ticks:
        at = found.place(tick)
        yield line((at, 0), (at, bottom), "zero" if signed and tick == 0 else "grid")
        sign = "+" if signed and tick > 0 else ""
        yield label(at, bottom + 16, sign + significant(tick, 6), "tick", "middle")
