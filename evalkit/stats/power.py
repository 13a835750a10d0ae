"""What a comparison can resolve: effects, sample sizes and power, before or after it is made.

Effects and standard errors share one unit.  "Detected" always means: claimed on the side where
the effect is.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

from evalkit.stats._distributions import (
    check_probability,
    normal_cdf,
    normal_quantile,
    t_cdf,
    t_quantile,
)

__all__ = [
    "minimum_detectable_effect",
    "power_at",
    "required_n",
    "unit_variance",
    "worst_case_variance",
]

Sides = Literal[1, 2]
_NORMAL_DF = 1e7
"""From here on the t test is the normal one to seven digits, and noncentral tails are not exact."""


def minimum_detectable_effect(
    standard_error: float | None,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    sides: Sides = 2,
    df: float | None = None,
) -> float | None:
    """Smallest true effect that a test finds with probability `power`.

    (z_{1-alpha/2} + z_power)·SE, with alpha for one side: Bloom (1995), "Minimum
    detectable effects: a simple way to report the statistical power of experimental designs".
    At 5% and 80% it is 2.80·SE.  With `df` it is the effect at which the t test with so many
    degrees of freedom has that power (noncentral t: Cohen 1988, "Statistical Power Analysis for
    the Behavioral Sciences", ch. 12), which is 1% more at 80 clusters and 12% more at 10.

    Args:
        standard_error: of the estimated difference.
        alpha: error level of the test, over both sides if there are two.
        power: wanted probability of detection.
        sides: of the test.
        df: degrees of freedom of a t test; None: normal.

    Returns:
        None without a standard error, or where it is 0 (no variation seen is no precision).

    Raises:
        ValueError: a probability outside 0 to 1, or a negative standard error.
    """
    _check(standard_error, alpha, df)
    check_probability("power", power)
    if not standard_error:
        return None
    return _shift(alpha / sides, power, df) * standard_error


def power_at(
    effect: float,
    standard_error: float | None,
    *,
    alpha: float = 0.05,
    sides: Sides = 2,
    df: float | None = None,
) -> float | None:
    """Probability that a true effect of that size is found, on its own side.

    Φ(|δ|/SE - z_{1-alpha/2}); with `df` P(T' > t_{1-alpha/2}) for noncentral T' with noncentrality
    |δ|/SE.  Cohen (1988), "Statistical Power Analysis for the Behavioral Sciences", ch. 2 and
    12, without the claims on the wrong side that a two-sided test makes too.

    Returns:
        None without a standard error, or where it is 0.  At effect 0: alpha/sides, the share of
        false claims on one side.

    Raises:
        ValueError: alpha outside 0 to 1, an effect that is not finite, a negative standard error.
    """
    _check(standard_error, alpha, df)
    if not math.isfinite(effect):
        raise ValueError(f"effect {effect!r}; expected a finite number")
    if not standard_error:
        return None
    shift = abs(effect) / standard_error
    if df is None:
        return normal_cdf(shift - normal_quantile(1 - alpha / sides))
    return _t_power(shift, t_quantile(1 - alpha / sides, df), df)


def required_n(
    effect: float,
    variance: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    sides: Sides = 2,
) -> int | None:
    """Units needed to find an effect: the least n with MDE(√(variance/n)) ≤ |effect|.

    n = (z_{1-alpha/2} + z_power)²·σ²/δ²: Miller (2024), "Adding error bars to evals",
    arXiv:2411.00640, eq. 9, with σ² the variance of one unit's difference.  Normal: below
    about 30 units the t test needs two more.

    Args:
        effect: in the unit of the values.
        variance: of one unit (cluster, where samples come in clusters): see `unit_variance` for
            a measured and `worst_case_variance` for an assumed one.
        alpha: error level of the test, over both sides if there are two.
        power: wanted probability of detection.
        sides: of the test.

    Returns:
        At least 2; None for an effect of 0, which no n finds.

    Raises:
        ValueError: a probability outside 0 to 1, a negative variance, numbers that are not finite.
    """
    check_probability("alpha", alpha)
    check_probability("power", power)
    if not (math.isfinite(effect) and math.isfinite(variance) and variance >= 0):
        raise ValueError(
            f"effect {effect!r}, variance {variance!r}; expected finite numbers, variance from 0 up"
        )
    if effect == 0:
        return None
    quantiles = normal_quantile(1 - alpha / sides) + normal_quantile(power)
    return max(2, _ceil_exactly((quantiles / effect) ** 2 * variance))


def unit_variance(standard_error: float | None, n_units: int) -> float | None:
    """Variance of one unit from the standard error of the mean of `n_units`: n·SE².

    None without a standard error.
    """
    return None if standard_error is None else n_units * standard_error**2


def worst_case_variance(
    low: float, high: float, *, paired: bool = False, share_different: float = 1.0
) -> float:
    """Largest variance of a score, or of a paired difference of scores, between two bounds.

    A score: (high - low)²/4 (Popoviciu 1935), reached by half at each end.  A paired difference
    lies within ±(high - low): its variance is at most its mean square, share·(high - low)², with
    the share of units on which the two sides differ at all (for right or wrong answers Connor
    1987, "Sample size for testing differences in proportions for the paired-sample design").
    Scores that differ everywhere are an unlikely worst case: on AlpacaEval, Notus and
    Zephyr-7B-beta differ on 70 of 802 prompts.

    Args:
        low: lower bound of a score.
        high: upper bound.
        paired: of the difference of two such scores on one unit.
        share_different: of units with another score on the other side, 0 to 1; paired only.

    Raises:
        ValueError: bounds in the wrong order or not finite, or a share outside 0 to 1.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"bounds {low!r} to {high!r}; expected finite numbers in ascending order")
    if not 0 <= share_different <= 1:
        raise ValueError(f"share_different {share_different!r}; expected a number from 0 to 1")
    width = high - low
    return share_different * width**2 if paired else width**2 / 4


def _ceil_exactly(x: float) -> int:
    """The next whole number, unless `x` exceeds one by rounding only."""
    nearest = round(x)
    return nearest if math.isclose(x, nearest, rel_tol=1e-12) else math.ceil(x)


@lru_cache(maxsize=4096)
def _shift(alpha: float, power: float, df: float | None) -> float:
    """The effect in standard errors, with alpha on the side where it is."""
    if df is None or df > _NORMAL_DF:
        return normal_quantile(1 - alpha) + normal_quantile(power)
    return _noncentrality(power, t_quantile(1 - alpha, df), df)


def _noncentrality(power: float, critical: float, df: float) -> float:
    from scipy.optimize import brentq

    def shortfall(shift: float) -> float:
        return _t_power(shift, critical, df) - power

    # At the critical value itself about half is found, so the root is within a few z of it.
    if shortfall(0.0) >= 0:
        return 0.0
    upper = critical + 1.0
    while shortfall(upper) < 0:
        upper *= 2
    return float(brentq(shortfall, 0.0, upper, xtol=1e-13, rtol=1e-13))


def _t_power(shift: float, critical: float, df: float) -> float:
    return 1 - t_cdf(critical, df, shift)


def _check(standard_error: float | None, alpha: float, df: float | None) -> None:
    check_probability("alpha", alpha)
    if standard_error is not None and not (math.isfinite(standard_error) and standard_error >= 0):
        raise ValueError(f"standard error {standard_error!r}; expected a number from 0 up, or None")
    if df is not None and not df > 0:
        raise ValueError(f"df {df!r}; expected a number above 0, or None for the normal")
