"""From figures to decisions: multiple tests, margins, power, several looks.

Effects and standard errors share one unit.  "Detected" means: significant in the direction of the
true effect.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, TypeAlias

from evalkit.core.figures import Estimator, Interval, Measured, Method
from evalkit.stats.means import (
    check_finite,
    check_probability,
    check_size,
    normal_cdf,
    normal_quantile,
    p_above,
    t_cdf,
    t_quantile,
)

__all__ = [
    "Looks",
    "NonInferiority",
    "Spending",
    "Verdict",
    "alpha_spending",
    "holm",
    "intersection_union",
    "minimum_detectable_effect",
    "non_inferiority",
    "spent",
    "unit_variance",
    "units_for_margin",
    "worst_case_variance",
]

Verdict: TypeAlias = Literal["pass", "regression", "inconclusive"]
Spending: TypeAlias = Literal["even", "obrien_fleming", "pocock"]

_NORMAL_DF = 1e7
"""From here on the t test is the normal one to seven digits, and noncentral tails are not exact."""
_MOST_UNITS = 2**50


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Holm's adjusted p values: those at most alpha are claims with family-wise error alpha.

    Holm (1979), "A simple sequentially rejective multiple test procedure"; in adjusted form
    (Wright 1992, "Adjusted p-values for simultaneous inference"): with p₍₁₎ ≤ ... ≤ p₍ₘ₎,
    p̃₍ᵢ₎ = max over j ≤ i of min(1, (m - j + 1)·p₍ⱼ₎).  Valid under any dependence of the tests.
    The caller decides which tests form a family, before the results are seen.
    (statsmodels' `multipletests` gives the same, but takes a second to import.)

    Args:
        p_values: in any order; None is a test that could not be made, and does not count in m
            (as R's `p.adjust` treats NA).

    Returns:
        In the order given, None where the p value is None.  Equal p values stay equal.

    Raises:
        ValueError: a p value outside 0 to 1.
    """
    _check_p(p_values)
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        adjusted[index] = largest
    return tuple(adjusted)


def intersection_union(p_values: Sequence[float | None]) -> float | None:
    """P of the claim that all of several one-sided claims hold: the largest of theirs.

    Berger (1982), "Multiparameter hypothesis testing and acceptance sampling", theorem 1: the
    null "at least one part fails" is rejected at alpha when every part is rejected at alpha.
    No correction for the number of parts is needed, under any dependence; for the claim "at least
    one part holds" see `holm`.

    Args:
        p_values: one-sided, of each part in its claimed direction (see `means.p_above`).

    Returns:
        No parts, or a part without p: None, because a part that could not be tested cannot be left
        out.

    Raises:
        ValueError: a p value outside 0 to 1.
    """
    _check_p(p_values)
    known = [p for p in p_values if p is not None]
    return max(known) if known and len(known) == len(p_values) else None


def _check_p(p_values: Sequence[float | None]) -> None:
    for p in p_values:
        if p is not None and not 0 <= p <= 1:
            raise ValueError(f"p value {p!r}; expected a number from 0 to 1, or None")


@dataclass(frozen=True)
class NonInferiority:
    """A verdict with the bounds it follows from."""

    verdict: Verdict
    bounds: Measured
    """The difference with its one-sided bounds, each at confidence 1 - alpha = `level`."""
    p: float | None
    """One-sided, of the null "worse by the margin or more"; below alpha exactly on a pass.
    None where there is no standard error, or it is 0."""
    p_regression: float | None
    """One-sided, of the null "not worse at all"; below alpha exactly where both bounds are on the
    worse side of 0.  For Holm over several regressions."""
    resolvable: float | None
    """Smallest margin at which an equal candidate passes with the target power: the minimum
    detectable effect of this test.  None: unknown."""


def non_inferiority(
    difference: Measured,
    margin: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    span: float | None = None,
    higher_is_better: bool = True,
) -> NonInferiority:
    """Is a candidate not worse than a baseline by more than a margin?  The rule of the gate.

    Non-inferiority by the confidence interval: Wellek (2010), "Testing Statistical Hypotheses
    of Equivalence and Noninferiority", ch. 2; Piaggio et al. (2012), CONSORT extension, JAMA
    308:2594.  With d the difference where larger is better, t the 1 - alpha quantile:

    - pass: d - t·SE > -margin;
    - regression: no pass, and d + t·SE < 0;
    - inconclusive: anything else.

    A candidate that is significantly worse, but by less than the margin, passes.  "Every benchmark
    passes" needs no correction for their number (`intersection_union`); "some benchmark regressed"
    does: use `holm` on `p_regression`.

    SE 0: every unit differs by the same amount d, usually because nothing changed.  The t bound
    then has no width, which proves nothing about units not drawn.  With `span` the bounds allow for
    them: with confidence 1 - alpha, at most a share q = 1 - alpha^(1/G) of units has another
    difference (the exact binomial bound for none in G units, Clopper and Pearson 1934), of at most
    `span`, so the bounds are (1 - q)·d ± q·span.  Without `span` they are d itself.

    Args:
        difference: candidate minus baseline.
        margin: largest tolerated loss, from 0 up (0: must be significantly better).
        alpha: one-sided error level.
        power: target probability that an equal candidate passes.
        span: largest possible absolute difference of one unit (100 for percentage points).
        higher_is_better: where False, bounds keep the difference's sign, and a loss is above 0.

    Returns:
        Without difference or standard error: inconclusive, bounds without low and high.

    Raises:
        ValueError: a negative margin or span, a probability outside 0 to 1, a standard error
            without degrees of freedom, numbers that are not finite.
    """
    check_probability("alpha", alpha)
    check_probability("power", power)
    check_size("margin", margin)
    check_size("span", 0.0 if span is None else span)
    sign = 1.0 if higher_is_better else -1.0
    d, error, df = difference.point, difference.standard_error, difference.df
    method = Method(Estimator.NON_INFERIORITY, paired=difference.method.paired)
    bounds = replace(difference, low=None, high=None, level=1 - alpha, method=method)
    if d is None or error is None:
        why = "difference" if d is None else "standard error from fewer than two units"
        bounds = replace(bounds, method=replace(method, detail=f"no {why}"))
        return NonInferiority("inconclusive", bounds, None, None, None)
    check_finite("difference", [d])
    check_size("standard error", error)
    if error == 0:
        q = 1 - alpha ** (1 / difference.n_units) if span is not None else 0.0
        low, high = ((1 - q) * d + side * q * (span or 0.0) for side in (-1, 1))
        detail = f"exact binomial bound on units that would not ({q:.2%})" if q else ""
        method = replace(method, no_variation=True, detail=detail)
    else:
        if df is None or not df > 0:
            raise ValueError(f"df {df!r} with standard error {error!r}; expected above 0")
        t = t_quantile(1 - alpha, df)
        low, high = d - t * error, d + t * error
        method = replace(method, interval=Interval.T)
    worst, best = (low, high) if higher_is_better else (-high, -low)
    better = difference.times(sign)
    return NonInferiority(
        verdict="pass" if worst > -margin else "regression" if best < 0 else "inconclusive",
        bounds=replace(bounds, low=low, high=high, method=method),
        p=p_above(better, -margin),
        p_regression=p_above(better.times(-1.0)),
        resolvable=minimum_detectable_effect(error, alpha=alpha, power=power, sides=1, df=df),
    )


def minimum_detectable_effect(
    standard_error: float | None,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    sides: Literal[1, 2] = 2,
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
        power: target probability of detection.
        sides: of the test.
        df: degrees of freedom of a t test; None: normal.

    Returns:
        None without a standard error, or where it is 0 (no observed variation).

    Raises:
        ValueError: a probability outside 0 to 1, or a negative standard error.
    """
    check_probability("alpha", alpha)
    check_probability("power", power)
    if df is not None and not df > 0:
        raise ValueError(f"df {df!r}; expected a number above 0, or None for the normal")
    check_size("standard error", standard_error or 0.0)
    return _shift(alpha / sides, power, df) * standard_error if standard_error else None


@lru_cache(maxsize=4096)
def _shift(alpha: float, power: float, df: float | None) -> float:
    """The effect in standard errors, with alpha on the side where it is."""
    if df is None or df > _NORMAL_DF:
        return normal_quantile(1 - alpha) + normal_quantile(power)
    # `scipy.special.nctdtrinc` would be the inverse, but is right to four digits only at few df.
    from scipy.optimize import brentq

    critical = t_quantile(1 - alpha, df)

    def shortfall(shift: float) -> float:
        return 1 - t_cdf(critical, df, shift) - power

    # At the critical value itself about half is found, so the root is within a few z of it.
    if shortfall(0.0) >= 0:
        return 0.0
    upper = critical + 1.0
    while shortfall(upper) < 0:
        upper *= 2
    return float(brentq(shortfall, 0.0, upper, xtol=1e-13, rtol=1e-13))


def unit_variance(standard_error: float | None, n_units: int) -> float | None:
    """Variance of one unit from the standard error of the mean of `n_units`: n·SE².

    None without a standard error.
    """
    return None if standard_error is None else n_units * standard_error**2


def worst_case_variance(low: float, high: float, *, share_different: float = 1.0) -> float:
    """Largest variance of a paired difference of scores between two bounds.

    The difference is within ±(high - low), and its variance at most its mean square,
    share·(high - low)², for the share of units on which the sides differ (for binary scores Connor
    1987, "Sample size for testing differences in proportions for the paired-sample design").
    Scores that differ everywhere are an unlikely case: on AlpacaEval, Notus and Zephyr-7B-beta
    differ on 70 of 802 prompts.

    Args:
        low: lower bound of a score.
        high: upper bound.
        share_different: share of units on which the sides differ, 0 to 1.

    Raises:
        ValueError: bounds in the wrong order or not finite, or a share outside 0 to 1.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"bounds {low!r} to {high!r}; expected finite numbers in ascending order")
    if not 0 <= share_different <= 1:
        raise ValueError(f"share_different {share_different!r}; expected a number from 0 to 1")
    return share_different * (high - low) ** 2


def units_for_margin(
    variance: float, margin: float, *, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """Smallest number of units at which an equal candidate passes a margin with that power.

    The least n with MDE(√(σ²/n), n - 1 df, one-sided) ≤ margin.

    Args:
        variance: of one unit's difference (`unit_variance`).
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
    check_size("margin", margin)
    check_size("variance", variance)
    if margin == 0:
        return None

    def enough(n: int) -> bool:
        error = math.sqrt(variance / n)
        found = minimum_detectable_effect(error, alpha=alpha, power=power, sides=1, df=n - 1)
        return found is None or found <= margin

    upper = 2
    while not enough(upper):
        if upper > _MOST_UNITS:
            return None
        upper *= 2
    lower = max(1, upper // 2)
    while upper - lower > 1:
        middle = (lower + upper) // 2
        lower, upper = (lower, middle) if enough(middle) else (middle, upper)
    return upper


def spent(fraction: float, alpha: float, spending: Spending) -> float:
    """Alpha spent at information fraction t = `fraction`, of a total one-sided `alpha`.

    Lan and DeMets (1983), "Discrete sequential boundaries for clinical trials":
    O'Brien-Fleming type 2(1 - Φ(z_{1-alpha/2}/√t)), which keeps nearly all for the end; Pocock
    type alpha·ln(1 + (e - 1)t), with about the same level at each look at a growing sample.  Kim
    and DeMets (1987), Biometrika 74:149, with exponent 1: `even`, alpha·t, equal for all looks.

    Returns:
        0 at fraction 0; alpha from fraction 1 on.

    Raises:
        ValueError: a negative fraction, or alpha outside 0 to 1.
    """
    check_probability("alpha", alpha)
    if not fraction >= 0:
        raise ValueError(f"fraction {fraction!r}; expected a number from 0 up")
    if fraction == 0:
        return 0.0
    if fraction >= 1:
        return alpha
    if spending == "even":
        return alpha * fraction
    if spending == "pocock":
        return alpha * math.log1p((math.e - 1) * fraction)
    return 2 * normal_cdf(normal_quantile(alpha / 2) / math.sqrt(fraction))


@dataclass(frozen=True)
class Looks:
    """Alpha spent and level of each look; one number per look."""

    spent: tuple[float, ...]
    """Alpha spent up to and with each look."""
    levels: tuple[float, ...]
    """Nominal one-sided level: significant at this look where p is at most this."""


def alpha_spending(fractions: Sequence[float], alpha: float, spending: Spending) -> Looks:
    """Nominal one-sided levels for looks at these fractions of the planned information.

    The level of look k is the alpha spent there, spent(t_k) - spent(t_{k-1}): a weighted
    Bonferroni split.  It is conservative, and valid under any dependence between looks, such as
    checkpoints of one training run on one test set.  A look's level depends only on earlier looks,
    so looks may be added as they come, but not because of results, and `spending` and the plan
    (what fraction 1 is) must stay fixed.

    Args:
        fractions: ascending, above 0, at most 1.
        alpha: one-sided, over all looks together.
        spending: see `spent`.

    Raises:
        ValueError: fractions that do not ascend within 0 to 1, or alpha outside 0 to 1.
    """
    check_probability("alpha", alpha)
    steps = [b - a for a, b in zip([0.0, *fractions], fractions, strict=False)]
    if any(not step > 0 for step in steps) or (fractions and not fractions[-1] <= 1):
        raise ValueError(f"fractions {list(fractions)!r}; expected ascending numbers above 0 to 1")
    total = [spent(fraction, alpha, spending) for fraction in fractions]
    levels = [max(0.0, b - a) for a, b in zip([0.0, *total], total, strict=False)]
    return Looks(tuple(total), tuple(levels))
