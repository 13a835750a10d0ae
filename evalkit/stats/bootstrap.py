"""Bootstrap intervals over units of resampling, for means and for any other statistic.

A mean has a t interval that is as good and needs no seed; this is for statistics without one
(ratios, ranks, medians) and for a second opinion on skewed scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from evalkit.stats._clusters import ELEMENTS, Floats, cluster_totals, drawn_weights
from evalkit.stats._distributions import check_probability, normal_cdf, normal_quantile

__all__ = ["Bootstrap", "Kind", "Statistic", "bootstrap", "bootstrap_mean"]

REPLICATES = 2000
"""Efron and Tibshirani (1993), section 14.3: intervals need 1000 or more."""
ENOUGH = 0.9
"""Share of replicates that must have a value, or there is no interval."""

_ROUNDING = 1e-12
"""Replicates closer than this share of the largest are equal."""

Kind: TypeAlias = Literal["percentile", "bca"]

Statistic: TypeAlias = Callable[[Floats], Floats]
"""From weights, shape (rows, units), how often each unit counts, to a value per row, NaN where
it is undefined.  All weights 1 is the sample itself; a row with one 0 leaves that unit out."""


@dataclass(frozen=True)
class Bootstrap:
    """A statistic with its bootstrap error and interval, in its own unit."""

    point: float | None
    """None where it is undefined; `method` says why."""
    standard_error: float | None
    """Standard deviation of the replicates."""
    low: float | None
    high: float | None
    n_clusters: int
    method: str


def bootstrap_mean(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    level: float,
    *,
    kind: Kind = "bca",
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Bootstrap:
    """Mean of all values, its interval from resampling whole clusters; see `bootstrap`.

    Where clusters differ in size a replicate's number of values varies, and its mean is a ratio.

    Raises:
        ValueError: lengths differ, a value is not finite, or a bad level.
    """
    sums, counts = cluster_totals(values, clusters)

    def mean(weights: Floats) -> Floats:
        found: Floats = (weights @ sums) / (weights @ counts)
        return found

    return bootstrap(mean, len(sums), level, kind=kind, replicates=replicates, seed=seed)


def bootstrap(
    statistic: Statistic,
    n_clusters: int,
    level: float,
    *,
    kind: Kind = "bca",
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Bootstrap:
    """Percentile or BCa interval of any statistic of units drawn with replacement.

    Percentile: the (1 ± level)/2 quantiles of the replicates (Efron and Tibshirani 1993, "An
    Introduction to the Bootstrap", eq. 13.4), linear between order statistics.  BCa: those
    quantiles moved for the bias and the skewness of the statistic (eq. 14.9 to 14.15), where
    the bias counts replicates equal to the point half, which matters for scores on few levels,
    and the acceleration comes from leaving each unit out.

    Both are too narrow with few units (a 95% interval of a mean of 20 normal values covers 92 to
    93%): prefer t intervals there.

    Args:
        statistic: see `Statistic`; called with blocks of rows.
        n_clusters: number of units.
        level: confidence level, between 0 and 1.
        kind: of interval.
        replicates: number of resamples.
        seed: of the draws; statistics of the same order of units give equal figures.

    Returns:
        No units or an undefined statistic: all None.  One unit, fewer than 90% of replicates
        defined, or a BCa whose bias or acceleration is undefined: no interval.  All replicates
        equal: SE 0 and no width, which `method` says is no evidence of precision.

    Raises:
        ValueError: a level outside 0 to 1, or fewer than two replicates.
    """
    import numpy as np

    check_probability("confidence level", level)
    if replicates < 2:
        raise ValueError(f"replicates {replicates!r}; expected at least 2")
    result = Bootstrap(None, None, None, None, n_clusters, "undefined: no units")
    if n_clusters == 0:
        return result
    point = float(statistic(np.ones((1, n_clusters)))[0])
    if math.isnan(point):
        return replace(result, method="undefined: the statistic has no value")
    result = replace(result, point=point, method="no standard error from one unit")
    if n_clusters < 2:
        return result
    found = np.concatenate([statistic(w) for w in drawn_weights(n_clusters, replicates, seed)])
    found = found[~np.isnan(found)]
    if len(found) < ENOUGH * replicates:
        return replace(result, method=f"{len(found)} of {replicates} replicates defined: too few")
    words = f"bootstrap over {n_clusters} units, {replicates} replicates"
    result = replace(result, standard_error=float(found.std(ddof=1)), method=words)
    return _with_interval(result, found, statistic, kind, level)


def _with_interval(
    result: Bootstrap, found: Floats, statistic: Statistic, kind: Kind, level: float
) -> Bootstrap:
    """`found`: the replicates; `result` has everything but the interval."""
    import numpy as np

    point, words = result.point, result.method
    assert point is not None
    if float(np.ptp(found)) <= _ROUNDING * float(abs(found).max()):
        note = "; all replicates agree, so the width 0 is no evidence of precision"
        return replace(result, standard_error=0.0, low=point, high=point, method=words + note)
    if kind == "percentile":
        ends: tuple[float, float] | str = (0.5 - level / 2, 0.5 + level / 2)
    else:
        ends = _bca_ends(found, point, _left_out(statistic, result.n_clusters), level)
    if isinstance(ends, str):
        return replace(result, method=f"{words}; no BCa interval: {ends}")
    low, high = np.quantile(found, ends)
    name = "percentile" if kind == "percentile" else "BCa"
    return replace(result, low=float(low), high=float(high), method=f"{words}; {name} interval")


def _left_out(statistic: Statistic, n: int) -> Floats:
    """The statistic without each unit in turn."""
    import numpy as np

    rows = max(1, ELEMENTS // n)
    blocks = []
    for start in range(0, n, rows):
        weights = np.ones((min(rows, n - start), n))
        weights[np.arange(len(weights)), start + np.arange(len(weights))] = 0
        blocks.append(statistic(weights))
    return np.concatenate(blocks)


def _bca_ends(
    found: Floats, point: float, left_out: Floats, level: float
) -> tuple[float, float] | str:
    """Which quantiles of the replicates are the ends, or why there are none."""
    import numpy as np

    same = abs(found - point) <= _ROUNDING * abs(found).max()
    below = float(((found < point) & ~same).mean() + same.mean() / 2)
    if not 0 < below < 1:
        return "all replicates are on one side of the point"
    pull = left_out.mean() - left_out
    squares = float((pull**2).sum())
    if not squares > 0 or not math.isfinite(squares):
        return "leaving one unit out changes nothing or is undefined"
    bias, acceleration = normal_quantile(below), float((pull**3).sum()) / (6 * squares**1.5)
    ends = []
    for probability in (0.5 - level / 2, 0.5 + level / 2):
        moved = bias + normal_quantile(probability)
        ends.append(normal_cdf(bias + moved / (1 - acceleration * moved)))
    return (ends[0], ends[1]) if np.isfinite(ends).all() else "the acceleration is too large"
