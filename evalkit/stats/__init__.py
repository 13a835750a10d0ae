"""Pure functions from scores to numbers with their uncertainty.

One file per family of estimators: `means` (one model's mean), `proportions` (a share of successes),
`paired` (two models on common samples), `length_control` (a win rate at equal length).
Undefined is None; randomness, where a method needs it, is a parameter.
"""

from __future__ import annotations

from evalkit.stats.length_control import Games, LengthControlled, Pair, length_controlled
from evalkit.stats.means import Mean, mean_estimate
from evalkit.stats.paired import PairedDifference, paired_difference
from evalkit.stats.proportions import is_binary, proportion_estimate

__all__ = [
    "Games",
    "LengthControlled",
    "Mean",
    "Pair",
    "PairedDifference",
    "is_binary",
    "length_controlled",
    "mean_estimate",
    "paired_difference",
    "proportion_estimate",
]
