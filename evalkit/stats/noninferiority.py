"""Is a candidate not worse than a baseline by more than a margin?  The rule of the gate.

Here belongs the decision about one difference; which differences a gate decides on, and what
follows from several of them, is the caller's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from evalkit.stats._distributions import (
    check_finite,
    check_probability,
    t_cdf,
    t_quantile,
)
from evalkit.stats.power import minimum_detectable_effect

__all__ = ["MarginRule", "NonInferiority", "Verdict", "non_inferiority", "units_for_margin"]

Verdict = Literal["pass", "regression", "inconclusive"]
_MOST_UNITS = 2**50


@dataclass(frozen=True)
class NonInferiority:
    """A verdict with the bounds it follows from, in the unit of the difference."""

    verdict: Verdict
    low: float | None
    """One-sided lower bound of the difference at confidence 1 - alpha; None: undefined."""
    high: float | None
    """One-sided upper bound at confidence 1 - alpha."""
    p: float | None
    """One-sided, of the null "worse by the margin or more"; below alpha exactly on a pass.
    None where there is no standard error, or it is 0."""
    p_regression: float | None
    """One-sided, of the null "not worse at all"; below alpha exactly where `high` < 0.  For Holm
    over several regressions."""
    resolvable: float | None
    """Smallest margin at which an equal candidate passes with the wanted power; a smaller
    margin is under what so many units can resolve.  None where it is not known."""
    method: str


@dataclass(frozen=True)
class MarginRule:
    """What a gate demands of one difference, in the unit of the difference."""

    margin: float
    """Largest loss that does not matter, from 0 up (0: must be better beyond doubt)."""
    alpha: float = 0.05
    """One-sided error level."""
    power: float = 0.8
    """Wanted probability that an equal candidate passes."""
    span: float | None = None
    """Largest possible absolute difference of one unit (100 for percentage points)."""

    def __post_init__(self) -> None:
        check_probability("alpha", self.alpha)
        check_probability("power", self.power)
        _check_size("margin", self.margin)
        if self.span is not None:
            _check_size("span", self.span)


def non_inferiority(
    difference: float | None, standard_error: float | None, df: float | None, rule: MarginRule
) -> NonInferiority:
    """Three-way verdict on candidate minus baseline, larger being better.

    Non-inferiority by the confidence interval: Wellek (2010), "Testing Statistical Hypotheses
    of Equivalence and Noninferiority", ch. 2; Piaggio et al. (2012), CONSORT extension, JAMA
    308:2594.  With t the 1 - alpha quantile of Student's t:

    - pass: d - t·SE > -margin;
    - regression: no pass, and d + t·SE < 0;
    - inconclusive: anything else.

    A candidate that is worse beyond doubt but by less than the margin passes: that is what a
    margin means.  "Every benchmark passes" needs no correction for their number
    (`intersection_union`); "some benchmark regressed" does: use `multiple.holm` on
    `p_regression`.  Resolvable margin: `power.minimum_detectable_effect` of this one-sided test,
    by the noncentral t; an equal candidate passes with that probability.

    SE 0: every unit differs by the same amount d, most often because nothing changed.  The t
    bound then has no width, which proves nothing about units not drawn.  With `span` the
    bounds allow for them: with confidence 1 - alpha, at most a share q = 1 - alpha^(1/G) of
    units differs otherwise (the exact binomial bound for none in G = df + 1, Clopper and
    Pearson 1934), each by at most `span`, so the bounds are (1 - q)·d ± q·span.  Without `span`
    they are d itself, and `method` says what they are worth.

    Args:
        difference: candidate minus baseline; None: nothing to compare.
        standard_error: of the difference; None: fewer than two units.
        df: degrees of freedom: units (clusters) less one for a mean.
        rule: margin, alpha, power, span.

    Returns:
        Without difference or standard error: inconclusive, bounds None.

    Raises:
        ValueError: numbers that are not finite, a negative standard error; in `MarginRule` a
            negative margin or span, a probability outside 0 to 1.
    """
    nothing = NonInferiority("inconclusive", None, None, None, None, None, "")
    if difference is None:
        return replace(nothing, method="undefined: no difference")
    check_finite("difference", [difference])
    if standard_error is None:
        return replace(nothing, method="undefined: no standard error from fewer than two units")
    _check_size("standard error", standard_error)
    if standard_error == 0:
        low, high, method = _without_variation(difference, df, rule)
        verdict = _verdict(low, high, rule.margin)
        return replace(nothing, verdict=verdict, low=low, high=high, method=method)
    if df is None or not df > 0:
        raise ValueError(f"df {df!r} with standard error {standard_error!r}; expected above 0")
    t = t_quantile(1 - rule.alpha, df)
    low, high = difference - t * standard_error, difference + t * standard_error
    return NonInferiority(
        verdict=_verdict(low, high, rule.margin),
        low=low,
        high=high,
        p=t_cdf(-(difference + rule.margin) / standard_error, df),
        p_regression=t_cdf(difference / standard_error, df),
        resolvable=minimum_detectable_effect(
            standard_error, alpha=rule.alpha, power=rule.power, sides=1, df=df
        ),
        method=f"non-inferiority; one-sided t bounds at {1 - rule.alpha:.4g}, {df:.4g} df",
    )


def units_for_margin(
    variance: float, margin: float, *, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """Least number of units that resolve a margin: MDE(√(σ²/n), n - 1 df, one-sided) ≤ it.

    Args:
        variance: of one unit's difference (`power.unit_variance`).
        margin: from 0 up.
        alpha: one-sided error level.
        power: probability that an equal candidate passes.

    Returns:
        At least 2; None for margin 0, which an equal candidate passes with probability alpha
        only, however many units there are, and where more than 2**50 would be needed.

    Raises:
        ValueError: a negative margin or variance, a probability outside 0 to 1.
    """
    check_probability("alpha", alpha)
    check_probability("power", power)
    _check_size("margin", margin)
    _check_size("variance", variance)
    if margin == 0:
        return None

    def resolves(n: int) -> bool:
        error = math.sqrt(variance / n)
        found = minimum_detectable_effect(error, alpha=alpha, power=power, sides=1, df=n - 1)
        return found is None or found <= margin

    upper = 2
    while not resolves(upper):
        if upper > _MOST_UNITS:
            return None
        upper *= 2
    lower = max(1, upper // 2)
    while upper - lower > 1:
        middle = (lower + upper) // 2
        lower, upper = (lower, middle) if resolves(middle) else (middle, upper)
    return upper


def _verdict(low: float, high: float, margin: float) -> Verdict:
    if low > -margin:
        return "pass"
    return "regression" if high < 0 else "inconclusive"


def _without_variation(
    difference: float, df: float | None, rule: MarginRule
) -> tuple[float, float, str]:
    words = "non-inferiority; all units agree"
    if rule.span is None or df is None:
        return difference, difference, f"{words}, so the width 0 is no evidence of precision"
    share = 1 - rule.alpha ** (1 / (df + 1))
    low, high = ((1 - share) * difference + sign * share * rule.span for sign in (-1, 1))
    return low, high, f"{words}; exact binomial bound on units that would not ({share:.2%})"


def _check_size(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} {value!r}; expected a finite number from 0 up")
