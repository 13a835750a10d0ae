"""Quantiles and tails of the normal, t and binomial distributions, and checks of their levels.

`scipy.special` has them all, and loads faster than `scipy.stats`.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite, isnan

__all__ = [
    "binomial_cdf",
    "check_finite",
    "check_probability",
    "normal_cdf",
    "normal_quantile",
    "t_cdf",
    "t_quantile",
    "t_two_sided",
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


def t_two_sided(t: float, df: float) -> float:
    """P(|T| ≥ |t|) for Student's t: a two-sided p value."""
    from scipy.special import stdtr

    return float(2 * stdtr(df, -abs(t)))


def binomial_cdf(k: int, n: int, probability: float = 0.5) -> float:
    """P(X ≤ k) for X of n trials with that probability of success."""
    from scipy.special import bdtr

    return float(bdtr(k, n, probability))


def check_probability(name: str, value: float) -> None:
    """Refuse a level, alpha or power that is no number between 0 and 1 (both excluded).

    Raises:
        ValueError: names the parameter and quotes the value.
    """
    if not 0 < value < 1:
        raise ValueError(f"{name} {value!r}; expected a number between 0 and 1")


def check_finite(name: str, values: Iterable[float]) -> None:
    """Refuse values that are no finite numbers.

    Raises:
        ValueError: names the parameter and quotes the first bad value.
    """
    bad = next((v for v in values if not isfinite(v)), None)
    if bad is not None:
        raise ValueError(f"{name} {bad!r}; expected finite numbers (leave missing values out)")
