"""Quantiles and tails of the normal and t distributions, and checks of parameters.

From `scipy.special`, which loads in a quarter of a second; `scipy.stats` takes two thirds, and
statsmodels one, which `gate` and `report` would pay on every call.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite, isnan

__all__ = [
    "check_finite",
    "check_probability",
    "check_size",
    "normal_cdf",
    "normal_quantile",
    "t_cdf",
    "t_quantile",
]


def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal distribution."""
    from scipy.special import ndtri

    return float(ndtri(probability))


def normal_cdf(z: float) -> float:
    """P(Z ≤ z) for the standard normal distribution."""
    from scipy.special import ndtr

    return float(ndtr(z))


def t_cdf(t: float, df: float, noncentrality: float = 0.0) -> float:
    """P(T ≤ t) for Student's t, noncentral where `noncentrality` is not 0."""
    from scipy.special import nctdtr, stdtr

    if noncentrality == 0:
        return float(stdtr(df, t))
    found = float(nctdtr(df, noncentrality, t))
    if not isnan(found):
        return found
    # scipy has NaN where the tail is under about 1e-200; Abramowitz, Stegun 26.7.10.
    spread = (1 + t * t / (2 * df)) ** 0.5
    return normal_cdf((t * (1 - 1 / (4 * df)) - noncentrality) / spread)


def t_quantile(probability: float, df: float) -> float:
    """Quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(df, probability))


def check_probability(name: str, value: float) -> None:
    """Refuse a level, alpha or power that is no number between 0 and 1 (both excluded).

    Raises:
        ValueError: names the parameter and quotes the value.
    """
    if not 0 < value < 1:
        raise ValueError(f"{name} {value!r}; expected a number between 0 and 1")


def check_size(name: str, value: float) -> None:
    """Refuse a negative or infinite number.  Raises ValueError as above."""
    if not (isfinite(value) and value >= 0):
        raise ValueError(f"{name} {value!r}; expected a finite number from 0 up")


def check_finite(name: str, values: Iterable[float]) -> None:
    """Refuse values that are no finite numbers.

    Raises:
        ValueError: names the parameter and quotes the first bad value.
    """
    bad = next((v for v in values if not isfinite(v)), None)
    if bad is not None:
        raise ValueError(f"{name} {bad!r}; expected finite numbers (leave missing values out)")
