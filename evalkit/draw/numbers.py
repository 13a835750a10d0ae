"""Numbers to text and back: the only place where evalkit rounds.

A minus is U+2212, so that it is as wide as a plus and never starts a Markdown list.  Undefined
(None, or a number that is not finite) is `MISSING`; zero never carries a sign.

`read_number` reads a number as people print it, and `agreement` says whether it states a figure.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from evalkit.core.figures import Measured

__all__ = [
    "MISSING",
    "Agreement",
    "Printed",
    "agreement",
    "coordinate",
    "count",
    "difference",
    "figure",
    "interval",
    "level",
    "measured",
    "p_value",
    "percent",
    "read_number",
    "share",
    "significant",
    "size",
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


def share(value: float | None) -> str:
    """A share (0 to 1) as a percentage with its sign."""
    if value is None or not math.isfinite(value):
        return MISSING
    return percent(100 * value) + "%"


def level(value: float) -> str:
    """A confidence level (0 to 1) as `95%`."""
    return f"{100 * value:.6g}%"


def difference(value: float | None, unit: str) -> str:
    """A difference with its sign; one that would round to zero gets more digits."""
    return _fixed(value, _enough_digits((value,), unit), signed=True)


def size(value: float | None, unit: str) -> str:
    """How large a difference is, with the digits of a difference and no plus."""
    return difference(value, unit).removeprefix("+")


def interval(low: float | None, high: float | None, unit: str, *, signed: bool = False) -> str:
    """`low to high`; `signed` is for differences.

    A bound of a difference that is not zero never shows as zero: on which side of zero an
    interval ends is what a reader looks for.
    """
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return MISSING
    digits = _enough_digits((low, high), unit) if signed else _digits(unit)
    return f"{_fixed(low, digits, signed=signed)} to {_fixed(high, digits, signed=signed)}"


def measured(value: Measured, unit: str, *, signed: bool = False) -> str:
    """`57.30 (52.10 to 62.50)`; without an interval the point alone."""
    shown = difference(value.point, unit) if signed else figure(value.point, unit)
    if not value.has_width:
        return shown
    return f"{shown} ({interval(value.low, value.high, unit, signed=signed)})"


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


def coordinate(value: float) -> str:
    """A place in a drawing: two decimals at most, no negative zero, a plain minus."""
    return f"{round(value, 2) + 0.0:g}"


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


# --- printed numbers ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Printed:
    """A number as it is printed."""

    value: float
    decimals: int
    percent: bool = False
    """With a percent sign of its own."""
    approximate: bool = False
    """With a tilde: contradicts nothing."""
    has_error: bool = False
    """With a standard error or an interval."""

    @property
    def last_digit(self) -> float:
        """One unit of the last printed digit."""
        return float(10.0**-self.decimals)

    @property
    def significant_digits(self) -> int:
        """Digits as printed, without the zeros it begins with."""
        return len(f"{abs(self.value):.{self.decimals}f}".replace(".", "").lstrip("0"))


@dataclass(frozen=True)
class Agreement:
    """How a printed number states a figure."""

    how: Literal["rounded to", "cut off at"]
    decimals: int
    is_share: bool = False
    """The figure is a percentage, the number a share of 1."""

    def __str__(self) -> str:
        start = "a share of 1 (percent / 100), " if self.is_share else ""
        digits = {0: "a whole number", 1: "1 decimal"}
        return f"{start}{self.how} {digits.get(self.decimals, f'{self.decimals} decimals')}"


def agreement(
    printed: Printed, value: float, unit: str, *, slack: float = 0.0, may_be_share: bool = True
) -> Agreement | None:
    """How `printed` states the figure `value`; None where it does not.

    It does where the figure lies within half a unit of the last printed digit (rounded), or up to
    a whole unit beyond it, away from zero (cut off).

    Args:
        printed: The number.
        value: The figure, in its unit.
        unit: Of the figure, as `figure` takes it.
        slack: By how much the figure itself is uncertain, as one that is known to two decimals.
        may_be_share: A percentage may be printed as a share of 1 (".914" for 91.4).
    """
    how = _rounding(printed, value, slack)
    if how is not None:
        return Agreement(how, printed.decimals)
    if unit == "percent" and may_be_share and not printed.percent and abs(printed.value) <= 1:
        how = _rounding(printed, value / 100, slack / 100)
        if how is not None:
            return Agreement(how, printed.decimals, is_share=True)
    return None


def _rounding(
    printed: Printed, value: float, slack: float
) -> Literal["rounded to", "cut off at"] | None:
    off = value - printed.value
    # A half is not always exact in binary.
    room = slack + 1e-9 * max(1.0, abs(value))
    if abs(off) <= printed.last_digit / 2 + room:
        return "rounded to"
    if math.copysign(1.0, value) * off > 0 and abs(off) < printed.last_digit + room:
        return "cut off at"
    return None


_LATEX = (
    (re.compile(r"\\(?:textbf|mathbf|bf|underline|text|mathrm)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\pm"), "±"),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"[_^]\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\$"), ""),
)
_NUMBER = re.compile(
    r"""(?P<about>[~≈])?\s*
        (?P<number>\d{1,3}(?:[ ,'\u2019]\d{3})+(?!\d)(?:\.\d+)?|\d+(?:[.,]\d+)?|\.\d+)
        \s*(?P<percent>%)?
        (?P<tail>.*)""",
    re.VERBOSE | re.DOTALL,
)
_TAIL = re.compile(
    r"""\s*(?:
          (?:±|\+/-|\+-)\s*[\d.,]+\s*%?                       # an error
        | \(\s*(?:±|\+/-|[+\-\u2212])?\s*[\d.,]+\s*%?\s*\)          # an error, or a difference
        | [\[(]\s*[\d.,]+\s*%?\s*(?:[,;\u2013-]|to)\s*[\d.,]+\s*%?\s*[\])]   # an interval
        | \[\s*\d+\s*\] | \(\s*[a-z*†‡]\s*\)                   # a note
        | [*†‡§¶°✓★⭐↑↓▲▼🥇🥈🥉🏆🔥]+
        | /\s*10{1,2}(?!\d)                                    # of 10, of 100
        )*\s*""",
    re.VERBOSE,
)
_ERROR = re.compile(r"\s*(?:\(?\s*(?:±|\+/-|\+-)|[\[(]\s*[\d.]+\s*%?\s*(?:[,;\u2013-]|to)\s*\d)")
_DECORATION = "*†‡§¶🥇🥈🥉🏆🔥★⭐✅↑↓▲▼➡ \t"
_SMALL = re.compile("[⁰¹²³⁴-⁹₀-₉ªº]+")
"""Digits that are notes: NFKC would make them digits of the number."""
_LONGEST = 60


def read_number(text: str) -> Printed | None:
    """The number that a cell prints; None where it prints none, several, or an unclear one.

        91.42   **91.42%**   91.42 ± 0.99   91.42 (±0.99)   1,365   91,42   ~91   91.42*   .914

    Two numbers, a range, a difference with its sign, text: no number.  Where a comma may separate
    thousands or decimals (`7,300`), there is no telling: no number either.
    """
    if len(text) > _LONGEST:
        return None
    plain = unicodedata.normalize("NFKC", _SMALL.sub("", text))
    for pattern, by in _LATEX:
        plain = pattern.sub(by, plain)
    match = _NUMBER.fullmatch(plain.strip().strip(_DECORATION))
    if match is None or _TAIL.fullmatch(match["tail"]) is None or not match["number"].isascii():
        return None
    number = _with_a_point(match["number"])
    if number is None:
        return None
    return Printed(
        float(number),
        decimals=len(number.partition(".")[2]),
        percent=bool(match["percent"]) or match["tail"].rstrip().endswith("%"),
        approximate=bool(match["about"]),
        has_error=_ERROR.match(match["tail"]) is not None,
    )


def _with_a_point(number: str) -> str | None:
    """With a decimal point and no separators; None where a comma may be either."""
    whole, comma, rest = number.partition(",")
    if comma and "," not in rest and "." not in rest:
        if len(rest) != 3 or whole == "0":
            return f"{whole}.{rest}"
        if len(whole) < 2:
            return whole + rest if whole in ("1", "2") else None
    return re.sub(r"[ ,'\u2019]", "", number)
