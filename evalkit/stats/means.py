"""The mean of scores that may come in clusters, with standard error and t interval.

Here belongs what concerns one set of scores; `paired.py` uses it on differences.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from evalkit.stats._clusters import check_units
from evalkit.stats._distributions import check_probability, t_quantile

__all__ = ["Mean", "mean_estimate"]

_ROUNDING = 1e-12
"""A standard error below this share of the largest value is rounding noise, hence 0."""


@dataclass(frozen=True)
class Mean:
    """A mean with its uncertainty, in the unit of the values."""

    point: float | None
    """None where there are no values."""
    standard_error: float | None
    """None where there are fewer than two clusters."""
    low: float | None
    high: float | None
    n: int
    """Values."""
    n_clusters: int
    """Units of resampling among them."""
    method: str
    """How standard error and interval were computed, in words."""


def mean_estimate(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    level: float,
    magnitude: float | None = None,
) -> Mean:
    """Mean of `values`, its cluster-robust standard error, and the two-sided t interval.

    SE = √(G/(G-1) · Σ_g (Σ_{i∈g} (x_i - x̄))²) / n with G clusters: the CR1 estimator for the
    mean (Cameron and Miller 2015, "A practitioner's guide to cluster-robust inference",
    eq. 11, for a regression on a constant).  Where every cluster has one value it equals
    sd(ddof = 1)/√n.  Interval: mean ± t(G - 1)·SE, not clipped to the range of the values,
    so that its centre stays the mean and equal widths mean equal precision.

    Sums are exact before the last rounding (`math.fsum`): the order of values does not matter.

    Args:
        values: finite scores.
        clusters: one per value; values of one cluster are not independent.
        level: confidence level, between 0 and 1.
        magnitude: size of the numbers `values` were computed from, to tell rounding noise
            from variation; default: the largest absolute value.

    Returns:
        n = 0: all None.  One cluster: the point only.  No variation between clusters: SE 0 and
        an interval of no width, which `method` says is no evidence of precision.

    Raises:
        ValueError: `values` and `clusters` differ in length, or a value is not finite.
    """
    check_units(values, clusters)
    check_probability("confidence level", level)
    n, n_clusters = len(values), len(set(clusters))
    if n == 0:
        return Mean(None, None, None, None, 0, 0, "undefined: no scores")
    point = math.fsum(values) / n
    if n_clusters < 2:
        return Mean(point, None, None, None, n, n_clusters, "mean; no standard error from one unit")
    size = max(map(abs, values)) if magnitude is None else magnitude
    error = _cluster_robust(values, clusters, point, n_clusters)
    if error <= _ROUNDING * size:
        return Mean(point, 0.0, point, point, n, n_clusters, _words(n, n_clusters) + _NO_VARIATION)
    half = t_quantile(0.5 + level / 2, n_clusters - 1) * error
    return Mean(point, error, point - half, point + half, n, n_clusters, _words(n, n_clusters))


_NO_VARIATION = "; all units agree, so the width 0 is no evidence of precision"


def _words(n: int, n_clusters: int) -> str:
    if n == n_clusters:
        return f"mean; SE = sd/√n, independent samples; t interval, {n - 1} df"
    return f"mean; SE clustered (CR1, {n_clusters} clusters); t interval, {n_clusters - 1} df"


def _cluster_robust(
    values: Sequence[float], clusters: Sequence[Hashable], point: float, n_clusters: int
) -> float:
    residuals: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        residuals.setdefault(cluster, []).append(value - point)
    squares = _sum_of_squares(math.fsum(r) for r in residuals.values())
    return math.sqrt(n_clusters / (n_clusters - 1) * squares) / len(values)


def _sum_of_squares(numbers: Iterable[float]) -> float:
    return math.fsum(x * x for x in numbers)
