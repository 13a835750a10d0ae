"""Pure functions from scores to numbers with their uncertainty.

One file per family of estimators: `means` (one model's mean), `paired` (two models on common
samples).  Undefined is None; randomness, where a method needs it, is a parameter.
"""

from __future__ import annotations

from evalkit.stats.means import Mean, mean_estimate
from evalkit.stats.paired import PairedDifference, paired_difference

__all__ = ["Mean", "PairedDifference", "mean_estimate", "paired_difference"]
