"""Means and shares of scores, and the paired difference of two models: one set of samples.

Scores may come in clusters (questions with two turns, passages with several questions); the
cluster is the unit of resampling.  statsmodels has the same numbers (OLS on a constant with
clustered errors, `proportion_confint`), but needs a second to import, and its sums depend on
the order of the scores.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from evalkit.core.figures import Estimator, Interval, Measured, Method
from evalkit.stats._distributions import (
    check_finite,
    check_probability,
    normal_cdf,
    normal_quantile,
    t_cdf,
    t_quantile,
)

__all__ = ["Paired", "is_binary", "mean", "p_above", "p_value", "paired_difference", "share"]

K = TypeVar("K", bound=Hashable)

_ROUNDING = 1e-12
"""A standard error below this share of the largest value is rounding noise, hence 0."""


def mean(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    level: float,
    *,
    magnitude: float | None = None,
    scale: tuple[float, float] | None = None,
) -> Measured:
    """Mean of `values`, its cluster-robust standard error, and the two-sided t interval.

    SE = √(G/(G-1) · Σ_g (Σ_{i∈g} (x_i - x̄))²) / n with G clusters: the CR1 estimator for the
    mean (Cameron and Miller 2015, "A practitioner's guide to cluster-robust inference",
    eq. 11, for a regression on a constant).  Where every cluster has one value it equals
    sd(ddof = 1)/√n.  Interval: mean ± t(G - 1)·SE.  Sums are exact before the last rounding
    (`math.fsum`): the order of values does not matter.

    Args:
        values: finite scores.
        clusters: one per value; values of one cluster are not independent.
        level: confidence level, between 0 and 1.
        magnitude: size of the numbers `values` were computed from, to tell rounding noise
            from variation; default: the largest absolute value.
        scale: least and most that a value can be; where all values keep to it, the interval is
            cut to it.

    Returns:
        In the unit of the values; `n_missing` is 0, for the caller to say.  n = 0: all None.
        One cluster: the point only.  No variation between clusters: SE 0 and an interval of no
        width (`Method.no_variation`).

    Raises:
        ValueError: `values` and `clusters` differ in length, or a value is not finite.
    """
    check_probability("confidence level", level)
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values but {len(clusters)} clusters; expected one each")
    check_finite("score", values)
    n, units = len(values), len(set(clusters))
    method = Method(Estimator.MEAN, clustered=n != units)
    if n == 0:
        none = replace(method, detail="no scores")
        return Measured(None, None, None, None, level, 0, 0, 0, none)
    point = math.fsum(values) / n
    if units < 2:
        alone = replace(method, detail="no standard error from one unit")
        return Measured(point, None, None, None, level, n, units, 0, alone)
    residuals: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        residuals.setdefault(cluster, []).append(value - point)
    squares = math.fsum(math.fsum(rest) ** 2 for rest in residuals.values())
    error = math.sqrt(units / (units - 1) * squares) / n
    df = float(units - 1)
    if error <= _ROUNDING * (max(map(abs, values)) if magnitude is None else magnitude):
        flat = replace(method, interval=Interval.T, no_variation=True)
        return Measured(point, 0.0, point, point, level, n, units, 0, flat, df)
    half = t_quantile(0.5 + level / 2, df) * error
    low, high = point - half, point + half
    method = replace(method, interval=Interval.T)
    if scale is not None and scale[0] <= min(values) <= max(values) <= scale[1]:
        method = replace(method, cut_to_scale=low < scale[0] or high > scale[1])
        low, high = max(low, scale[0]), min(high, scale[1])
    return Measured(point, error, low, high, level, n, units, 0, method, df)


def is_binary(values: Sequence[float], clusters: Sequence[Hashable]) -> bool:
    """Only 0 and 1, each an independent unit: what a binomial interval assumes."""
    return len(set(clusters)) == len(values) and set(values) <= {0, 1}


def share(values: Sequence[float], clusters: Sequence[Hashable], level: float) -> Measured:
    """Mean of 0/1 `values` with sd(ddof = 1)/√n and the Wilson score interval, 0 to 1.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference":
    (p + z²/2n ± z·√(p(1 - p)/n + z²/4n²)) / (1 + z²/n).  Unlike a t interval it has a width
    when all samples agree, and never leaves 0 to 1.

    Returns:
        As `mean`; n = 0: all None; one value: no standard error, but an interval.

    Raises:
        ValueError: a value other than 0 and 1, or units that are not independent.
    """
    if not is_binary(values, clusters):
        raise ValueError("expected values 0 and 1, each in a cluster of its own")
    found = mean(values, clusters, level)
    if found.point is None:
        return replace(found, method=replace(found.method, estimator=Estimator.SHARE))
    z, n, p = normal_quantile(0.5 + level / 2), found.n, found.point
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    shrink = 1 + z * z / n
    return replace(
        found,
        # At the ends the bound is exact, but its floating-point form is not.
        low=0.0 if p == 0 else (centre - spread) / shrink,
        high=1.0 if p == 1 else (centre + spread) / shrink,
        method=Method(Estimator.SHARE, Interval.WILSON),
        df=None,
    )


@dataclass(frozen=True)
class Paired:
    """Two models on the samples both have."""

    measured: Measured
    """Of a - b, in the unit of the values; `n`: keys both have."""
    p: float | None
    """`p_value` of it."""
    wins: int
    """Pairs on which a is better by whatever amount."""
    losses: int
    ties: int


def paired_difference(
    a: Mapping[K, float],
    b: Mapping[K, float],
    clusters: Mapping[K, Hashable],
    level: float,
    *,
    higher_is_better: bool = True,
) -> Paired:
    """Difference a - b on common keys, with cluster-robust SE, t interval and t test.

    d_k = a_k - b_k on the keys both have; mean, SE and interval as `mean` of d.  With one key a
    cluster the test is the paired t test (scipy's `ttest_rel`).  Pairing removes the samples'
    difficulty from the error; a key only one side has is left out of both.

    Args:
        a: score per key (sample, and part where a sample has several).
        b: the same for the other side.
        clusters: unit of resampling of every common key.
        level: confidence level, between 0 and 1.
        higher_is_better: says what a win is; the difference keeps its sign.

    Returns:
        Nothing common: all None.  No variation between clusters: SE 0 and no p.

    Raises:
        ValueError: a value is not finite.
        KeyError: a common key has no cluster.
    """
    common = [key for key in a if key in b]
    size = max((max(abs(a[key]), abs(b[key])) for key in common), default=0.0)
    differences = [a[key] - b[key] for key in common]
    found = mean(differences, [clusters[key] for key in common], level, magnitude=size)
    detail = found.method.detail if common else "no common samples"
    method = replace(found.method, estimator=Estimator.PAIRED, paired=True, detail=detail)
    found = replace(found, method=method)
    above, below = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    wins, losses = (above, below) if higher_is_better else (below, above)
    return Paired(found, p_value(found), wins, losses, len(common) - wins - losses)


def p_value(value: Measured) -> float | None:
    """Two-sided p of the null that the true value (a difference, mostly) is 0.

    P(|T| ≥ |point|/SE) of Student's t with the value's degrees of freedom; of the normal
    distribution where it has none.

    Returns:
        None without a standard error, and where it is 0: the statistic would divide by 0, and a
        p of 0 would claim certainty from it.
    """
    if value.point is None or not value.standard_error:
        return None
    statistic = -abs(value.point / value.standard_error)
    return 2 * (normal_cdf(statistic) if value.df is None else t_cdf(statistic, value.df))


def p_above(value: Measured, amount: float = 0.0) -> float | None:
    """One-sided p of the null that the true value is at most `amount`; None as `p_value`."""
    if value.point is None or not value.standard_error:
        return None
    statistic = (amount - value.point) / value.standard_error
    return normal_cdf(statistic) if value.df is None else t_cdf(statistic, value.df)
