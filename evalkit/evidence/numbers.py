"""A number as a reader found it printed, and whether a figure is it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from evalkit.core import Comparison
from evalkit.evidence.figures import Figure

__all__ = ["Printed", "printed"]

_MINUS = "\N{MINUS SIGN}"
_NUMBER = re.compile(
    rf"^(?:(?P<subject>.*\S)\s+)?"
    rf"(?P<text>(?P<sign>[-+{_MINUS}]?)(?P<digits>\d[\d,]*)(?:\.(?P<decimals>\d+))?)"
    r"\s?(?:%|pp)?$",
    re.DOTALL,
)
_HAIR = 1e-9
"""Relative: a half is not always exact in binary."""


@dataclass(frozen=True)
class Printed:
    """A number, and what was written before it."""

    subject: str
    text: str
    value: float
    decimals: int

    def is_of(self, figure: Figure) -> bool:
        """Whether it is the figure, rounded to these decimals or as reports print it."""
        return figure.value is not None and self._fits(figure, figure.value)

    def is_share_of(self, figure: Figure) -> bool:
        """Whether it is a percentage, written as a share of 1 with three digits or more."""
        if figure.value is None or figure.row.unit != "percent" or self.decimals < 3:
            return False
        return self._rounds(figure.value / 100)

    def _fits(self, figure: Figure, value: float) -> bool:
        signed = self.text[:1] in ("+", "-", _MINUS)
        if self.text.startswith("+") and not isinstance(figure.row, Comparison):
            return False
        shown = figure.shown if signed else figure.shown.removeprefix("+")
        return _plain(shown) == _plain(self.text) or self._rounds(value)

    def _rounds(self, value: float) -> bool:
        unit: float = 10.0**-self.decimals
        return abs(value - self.value) <= 0.5 * unit + _HAIR * max(unit, abs(value))


def printed(text: str) -> Printed | None:
    """The number that `text` ends in; None where it ends in none."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    decimals = match["decimals"] or ""
    number = float(_plain(match["text"]))
    return Printed(match["subject"] or "", match["text"], number, len(decimals))


def _plain(text: str) -> str:
    return text.replace(",", "").replace(_MINUS, "-")
