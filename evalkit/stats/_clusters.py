"""Values gathered into their units of resampling, in an order that does not depend on theirs.

Resampling draws positions; with the units sorted by what they hold, equal data and seed give
equal figures whatever the order of rows.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from evalkit.stats._distributions import check_finite

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]
else:
    Floats: TypeAlias = Any

__all__ = ["ELEMENTS", "Floats", "check_units", "cluster_totals", "drawn_weights"]

ELEMENTS = 2_000_000
"""Of one block of a large array: 16 MB."""


def check_units(values: Sequence[float], clusters: Sequence[Hashable]) -> None:
    """Refuse values without a cluster each, and values that are not finite.

    Raises:
        ValueError: says which.
    """
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values but {len(clusters)} clusters; expected one each")
    check_finite("score", values)


def cluster_totals(values: Sequence[float], clusters: Sequence[Hashable]) -> tuple[Floats, Floats]:
    """Sum and number of the values of each cluster, sorted by both.

    Raises:
        ValueError: `values` and `clusters` differ in length, or a value is not finite.
    """
    import numpy as np

    check_units(values, clusters)
    found: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        found.setdefault(cluster, []).append(value)
    totals = sorted((math.fsum(group), len(group)) for group in found.values())
    table = np.array(totals, dtype=float).reshape(len(totals), 2)
    return table[:, 0], table[:, 1]


def drawn_weights(n: int, replicates: int, seed: int) -> Iterator[Floats]:
    """How often each of `n` units is drawn in each bootstrap replicate, in blocks of rows.

    Rows have sum `n`; the blocks together have `replicates` rows.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    rows = max(1, ELEMENTS // n)
    for start in range(0, replicates, rows):
        size = min(rows, replicates - start)
        drawn = random.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n)
        yield counts.reshape(size, n).astype(float)
