"""Pure functions from scores to numbers with their uncertainty.

One file per family of estimators or tests; each says what it is for in its first lines.  Undefined
is None, and `method` says why; randomness, where a method needs it, is a seed among the parameters.
Effects are in the unit of the values, shares and levels from 0 to 1, larger is better: callers
flip the sign of metrics where lower is better.
"""

from __future__ import annotations

from evalkit.stats.intersection_union import IntersectionUnion, intersection_union, one_sided
from evalkit.stats.length_control import Games, LengthControlled, Pair, length_controlled
from evalkit.stats.mcnemar import McNemar, mcnemar, mcnemar_exact
from evalkit.stats.means import Mean, mean_estimate
from evalkit.stats.multiple import benjamini_hochberg, holm
from evalkit.stats.paired import PairedDifference, paired_difference
from evalkit.stats.proportions import is_binary, proportion_estimate

__all__ = [
    "Games",
    "IntersectionUnion",
    "LengthControlled",
    "McNemar",
    "Mean",
    "Pair",
    "PairedDifference",
    "benjamini_hochberg",
    "holm",
    "intersection_union",
    "is_binary",
    "length_controlled",
    "mcnemar",
    "mcnemar_exact",
    "mean_estimate",
    "one_sided",
    "paired_difference",
    "proportion_estimate",
]
