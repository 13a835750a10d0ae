"""Whether a printed number is a figure: unit, rounding, truncation.

A number agrees where the figure lies within half a unit of its last printed digit (rounded), or
up to a whole unit above it (cut off).  A share (0 to 1) is a percentage divided by 100.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from evalkit.card.audit.shapes import Fact, Label, Printed

__all__ = ["Agreement", "agree", "in_range", "is_share_of", "significant_digits", "tolerance"]

_FLOAT = 1e-9
_TELLING = 2
"""Significant digits at which a share is a percentage's and not its like by chance."""
_PUBLISHED_HALF_UNIT = 0.005
"""Leaderboards and cards print two decimals: more of a published figure is not known."""


@dataclass(frozen=True)
class Agreement:
    """How a printed number and a figure agree."""

    how: str
    is_share: bool = False
    """The figure is a percentage, the number a share of 1."""

    @staticmethod
    def reads_share(printed: Printed, label: Label) -> bool:
        """Whether a number of a percentage is printed as a share of 1."""
        return not printed.percent and not label.percent and printed.value <= 1


def agree(printed: Printed, fact: Fact, label: Label) -> Agreement | None:
    """How `printed` is `fact`; None where it is not."""
    slack = _slack(printed, fact)
    way = _rounding(printed.value, printed.unit, fact.value, slack)
    if way is not None:
        return Agreement(f"{way} {_digits(printed)}")
    if fact.unit == "percent" and Agreement.reads_share(printed, label):
        way = _rounding(printed.value, printed.unit, fact.value / 100, slack / 100)
        if way is not None:
            said = f"a share of 1 (percent / 100), {way} {_digits(printed)}"
            return Agreement(said, is_share=True)
    return None


def is_share_of(printed: Printed, fact: Fact) -> bool:
    """Whether a number is a percentage as a share of 1, whatever its heading says of units.

    One digit that tells ("0.05") is not enough to know it by.
    """
    plain = replace(printed, percent=False)
    found = agree(plain, fact, Label())
    return found is not None and found.is_share and significant_digits(printed) >= _TELLING


def significant_digits(printed: Printed) -> int:
    """Digits of a number as printed, without the zeros it begins with."""
    return len(f"{printed.value:.{printed.decimals}f}".replace(".", "").lstrip("0"))


def in_range(printed: Printed, fact: Fact, label: Label) -> bool:
    """Whether a number can be of the figure's unit at all."""
    if fact.unit == "points":
        return not printed.percent and 1 <= printed.value <= 10
    if fact.unit == "percent":
        return 0 <= printed.value <= 100
    return not printed.percent


def tolerance(printed: Printed) -> float:
    """Half a unit of the last printed digit."""
    return printed.unit / 2


def _rounding(value: float, unit: float, figure: float, slack: float) -> str | None:
    off = figure - value
    room = slack + _FLOAT * max(1.0, abs(figure))
    if abs(off) <= unit / 2 + room:
        return "rounded to"
    if math.copysign(1.0, figure) * off > 0 and abs(off) < unit + room:
        return "cut off at"
    return None


def _slack(printed: Printed, fact: Fact) -> float:
    is_short = math.isclose(fact.value, round(fact.value, 2), abs_tol=1e-9)
    if fact.kind == "figure" and is_short and printed.decimals > 2:
        return _PUBLISHED_HALF_UNIT
    return 0.0


def _digits(printed: Printed) -> str:
    if printed.decimals == 0:
        return "a whole number"
    return "1 decimal" if printed.decimals == 1 else f"{printed.decimals} decimals"
