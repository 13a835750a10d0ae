"""Randomisation test of paired differences: what if the two models' names had been swapped?"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from evalkit.stats._clusters import ELEMENTS, Floats, cluster_totals

__all__ = ["SignFlip", "sign_flip"]

EXACT = 20
"""Up to so many clusters that differ, all 2^19 distinct assignments are counted."""
_ROUNDING = 1e-12
"""Sums closer than this share of all differences together are equal."""


@dataclass(frozen=True)
class SignFlip:
    """A sign-flip test of the mean difference being 0."""

    difference: float | None
    """Mean, in the unit of the values; None where there are none."""
    p: float | None
    """Two-sided; None where there are no values."""
    n: int
    """Values."""
    n_clusters: int
    exact: bool
    """All assignments counted, not a sample of them."""
    method: str


def sign_flip(
    differences: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    draws: int = 9999,
    seed: int = 0,
) -> SignFlip:
    """Sign-flip permutation test: under equality a cluster's differences may change sign together.

    Fisher's (1935) randomisation test of paired data; Good (2005), "Permutation, Parametric
    and Bootstrap Tests of Hypotheses", ch. 3.  p is the share of the assignments of signs to
    clusters whose |mean| is at least the observed one.  Clusters whose differences sum to 0
    change nothing and are left out.  Up to 20 others: exact.  More: `draws` random assignments,
    p = (1 + hits)/(1 + draws), so that p is never 0 and the test keeps its level (Phipson and
    Smyth 2010, "Permutation p-values should never be zero", eq. 2); its Monte Carlo error is
    √(p(1 - p)/draws), 0.002 at p = 0.05.

    The null is that each cluster's sum is symmetric about 0, which equality of the two models on
    exchangeable answers implies; it holds for any number of clusters, where a t test needs many.

    Args:
        differences: a - b of each sample.
        clusters: unit of resampling of each.
        draws: random assignments where not all are counted.
        seed: of the random assignments; the order of rows does not matter.

    Returns:
        No values: None.  No cluster differs: p = 1.

    Raises:
        ValueError: lengths differ, a value is not finite, or `draws` is under 1.
    """
    if draws < 1:
        raise ValueError(f"draws {draws!r}; expected at least 1")
    sums, counts = cluster_totals(differences, clusters)
    n, n_clusters = len(differences), len(sums)
    if n == 0:
        return SignFlip(None, None, 0, 0, True, "undefined: no differences")
    mean = float(sums.sum() / counts.sum())
    # The sign of a sum is arbitrary; without it, swapping the sides draws the same signs.
    sizes = abs(sums[sums != 0])
    sizes.sort()
    least = abs(float(sums.sum())) - _ROUNDING * float(sizes.sum())
    if len(sizes) <= EXACT:
        words = f"exact sign-flip test over {n_clusters} clusters ({len(sizes)} differ)"
        return SignFlip(mean, _exact(sizes, least), n, n_clusters, True, words)
    hits = _hits(sizes, least, draws, seed)
    words = f"sign-flip test over {n_clusters} clusters, {draws} random assignments, +1 correction"
    return SignFlip(mean, (1 + hits) / (1 + draws), n, n_clusters, False, words)


def _exact(sizes: Floats, least: float) -> float:
    import numpy as np

    # An assignment and its opposite count alike: the first sign stays.
    sums = sizes[:1] if len(sizes) else np.zeros(1)
    for size in sizes[1:]:
        sums = np.concatenate([sums + size, sums - size])
    return float((abs(sums) >= least).mean())


def _hits(sizes: Floats, least: float, draws: int, seed: int) -> int:
    import numpy as np

    random = np.random.default_rng(seed)
    rows = max(1, ELEMENTS // len(sizes))
    hits = 0
    for start in range(0, draws, rows):
        flipped = random.integers(0, 2, (min(rows, draws - start), len(sizes)), dtype=np.int8)
        sums = sizes.sum() - 2 * (flipped @ sizes)
        hits += int((abs(sums) >= least).sum())
    return hits
