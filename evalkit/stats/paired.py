"""Two models on the samples both have: the paired difference of their means.

Other paired comparisons (exact tests on the discordant pairs, bootstraps) belong beside it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from evalkit.stats._distributions import t_two_sided
from evalkit.stats.means import Mean, mean_estimate

__all__ = ["PairedDifference", "paired_difference", "paired_mean"]

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a - b over common keys, in the unit of the values."""

    difference: float | None
    """None where nothing is common."""
    standard_error: float | None
    """None where there are fewer than two clusters."""
    low: float | None
    high: float | None
    p: float | None
    """Two-sided; None where the standard error is None or 0."""
    n: int
    """Keys both have."""
    n_clusters: int
    wins: int
    """Pairs with a > b by whatever amount (half a point counts as one win)."""
    losses: int
    """Pairs with a < b."""
    ties: int
    """Pairs with a = b."""
    method: str


def paired_difference(
    a: Mapping[K, float], b: Mapping[K, float], clusters: Mapping[K, Hashable], level: float
) -> PairedDifference:
    """Difference a - b on common keys, with cluster-robust SE, t interval and t test.

    d_k = a_k - b_k on the keys both have; mean, SE and interval as `mean_estimate` of d;
    p = P(|T| ≥ |d̄|/SE) with G - 1 degrees of freedom.  With one key a cluster this is the
    paired t test (scipy's `ttest_rel`).  Pairing removes the samples' difficulty from the
    error; a key only one side has is left out of both.

    Args:
        a: score per key (sample, and part where a sample has several).
        b: the same for the other side.
        clusters: unit of resampling of every common key.
        level: confidence level, between 0 and 1.

    Returns:
        Nothing common: all None.  No variation between clusters: SE 0, and p is None, because
        the t statistic would divide by 0 and a p of 0 would claim certainty from it.

    Raises:
        ValueError: a value is not finite.
        KeyError: a common key has no cluster.
    """
    common = [key for key in a if key in b]
    mean = paired_mean(a, b, clusters, level)
    wins = sum(a[key] > b[key] for key in common)
    losses = sum(a[key] < b[key] for key in common)
    p, note = None, ""
    if mean.point is not None and mean.standard_error:
        p = t_two_sided(mean.point / mean.standard_error, mean.n_clusters - 1)
        note = "; two-sided t test"
    return PairedDifference(
        difference=mean.point,
        standard_error=mean.standard_error,
        low=mean.low,
        high=mean.high,
        p=p,
        n=mean.n,
        n_clusters=mean.n_clusters,
        wins=wins,
        losses=losses,
        ties=mean.n - wins - losses,
        method=(f"paired {mean.method}{note}" if mean.n else "undefined: no common samples"),
    )


def paired_mean(
    a: Mapping[K, float], b: Mapping[K, float], clusters: Mapping[K, Hashable], level: float
) -> Mean:
    """`mean_estimate` of a - b on the keys both have; for what it takes see `paired_difference`."""
    common = [key for key in a if key in b]
    size = max((max(abs(a[key]), abs(b[key])) for key in common), default=0.0)
    differences = [a[key] - b[key] for key in common]
    return mean_estimate(differences, [clusters[key] for key in common], level, size)
