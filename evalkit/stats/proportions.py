"""Shares of successes with an interval that stays between none and all."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace

from evalkit.stats._distributions import normal_quantile
from evalkit.stats.means import Mean, mean_estimate

__all__ = ["is_binary", "proportion_estimate"]


def is_binary(values: Sequence[float], clusters: Sequence[Hashable]) -> bool:
    """Only 0 and 1, each an independent unit: what a binomial interval assumes."""
    return len(set(clusters)) == len(values) and set(values) <= {0, 1}


def proportion_estimate(
    values: Sequence[float], clusters: Sequence[Hashable], level: float
) -> Mean:
    """Mean of 0/1 `values` with sd(ddof = 1)/√n and the Wilson score interval.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference":
    (p + z²/2n ± z·√(p(1 - p)/n + z²/4n²)) / (1 + z²/n).  Unlike a t interval it has a width
    when all samples agree, and never leaves 0 to 1.

    Returns:
        As `mean_estimate`; n = 0: all None; one value: no standard error, but an interval.

    Raises:
        ValueError: a value other than 0 and 1, or units that are not independent.
    """
    if not is_binary(values, clusters):
        raise ValueError("expected values 0 and 1, each in a cluster of its own")
    mean = mean_estimate(values, clusters, level)
    if mean.point is None:
        return mean
    z, n, p = normal_quantile(0.5 + level / 2), mean.n, mean.point
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    shrink = 1 + z * z / n
    return replace(
        mean,
        # At the ends the bound is exact, but its floating-point form is not.
        low=0.0 if p == 0 else (centre - spread) / shrink,
        high=1.0 if p == 1 else (centre + spread) / shrink,
        method="share; SE = sd/√n, independent samples; Wilson interval",
    )
