"""Numbers to text: the only place where evalkit rounds.

A minus is U+2212, so that it is as wide as a plus and never starts a Markdown list.  Undefined
(None, or a number that is not finite) is `MISSING`; zero never carries a sign.
"""

from __future__ import annotations

import math

__all__ = [
    "MISSING",
    "count",
    "difference",
    "figure",
    "interval",
    "p_value",
    "percent",
    "points",
    "share",
    "significant",
]

MISSING = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"

_DIGITS = {"percent": 2, "points": 2, "characters": 0, "raw": 3}
"""As leaderboards print figures, so that a reader finds the same digits."""
_DIFFERENCE_DIGITS = {**_DIGITS, "percent": 1}
_MOST_EXTRA_DIGITS = 3


def figure(value: float | None, unit: str) -> str:
    """A figure in its own unit (`percent`, `points`, `characters`, `raw`), without the unit."""
    return _fixed(value, _digits(unit))


def percent(value: float | None) -> str:
    """A percentage (0 to 100) with one decimal, without the sign."""
    return _fixed(value, 1)


def points(value: float | None) -> str:
    """A rating (1 to 10) with two decimals."""
    return figure(value, "points")


def share(value: float | None) -> str:
    """A share (0 to 1) as a percentage with its sign."""
    if value is None or not math.isfinite(value):
        return MISSING
    return percent(100 * value) + "%"


def difference(value: float | None, unit: str) -> str:
    """A difference with its sign; one that would round to zero gets more digits."""
    return _fixed(value, _enough_digits((value,), unit), signed=True)


def interval(low: float | None, high: float | None, unit: str, *, signed: bool = False) -> str:
    """`low to high`; `signed` is for differences.

    A bound of a difference that is not zero never shows as zero: on which side of zero an
    interval ends is what a reader looks for.
    """
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return MISSING
    digits = _enough_digits((low, high), unit) if signed else _digits(unit)
    return f"{_fixed(low, digits, signed=signed)} to {_fixed(high, digits, signed=signed)}"


def p_value(value: float | None) -> str:
    """Three decimals; the ends are given as bounds."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value < 0.001:
        return "<0.001"
    if 0.9995 <= value < 1:
        return ">0.999"
    return _fixed(value, 3)


def count(value: int | None) -> str:
    """A whole number with thousands separated by commas."""
    return MISSING if value is None else f"{value:,}".replace("-", _MINUS)


def significant(value: float | None, digits: int = 2) -> str:
    """`digits` significant digits, for quantities of unknown size (a logit difference)."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    return f"{value:.{digits}g}".replace("-", _MINUS)


def _digits(unit: str) -> int:
    return _DIGITS.get(unit, _DIGITS["raw"])


def _enough_digits(values: tuple[float | None, ...], unit: str) -> int:
    digits = _DIFFERENCE_DIGITS.get(unit, _DIFFERENCE_DIGITS["raw"])
    shown = [v for v in values if v is not None and math.isfinite(v) and v != 0]
    for extra in range(_MOST_EXTRA_DIGITS + 1):
        if all(float(f"{v:.{digits + extra}f}") != 0 for v in shown):
            return digits + extra
    return digits


def _fixed(value: float | None, digits: int, *, signed: bool = False) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{abs(value):,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        return text
    if value < 0:
        return _MINUS + text
    return f"+{text}" if signed else text
