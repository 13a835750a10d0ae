"""Pure functions from scores to numbers with their uncertainty.

One file per family of estimators or tests; each says what it is for in its first lines.  Undefined
is None, and `method` says why; randomness, where a method needs it, is a seed among the parameters.
Effects are in the unit of the values, shares and levels from 0 to 1, larger is better: callers
flip the sign of metrics where lower is better.
"""

from __future__ import annotations

from evalkit.stats.bootstrap import Bootstrap, Statistic, bootstrap, bootstrap_mean
from evalkit.stats.bradley_terry import (
    BradleyTerry,
    Game,
    Strength,
    bradley_terry,
    strength_difference,
)
from evalkit.stats.intersection_union import IntersectionUnion, intersection_union, one_sided
from evalkit.stats.length_control import Games, LengthControlled, Pair, length_controlled
from evalkit.stats.mcnemar import McNemar, mcnemar, mcnemar_exact
from evalkit.stats.means import Mean, mean_estimate
from evalkit.stats.multiple import benjamini_hochberg, holm
from evalkit.stats.noise import (
    ErrorParts,
    Noise,
    Widened,
    error_parts,
    judge_noise,
    run_noise,
    widened,
)
from evalkit.stats.noninferiority import (
    MarginRule,
    NonInferiority,
    Verdict,
    non_inferiority,
    units_for_margin,
)
from evalkit.stats.paired import PairedDifference, paired_difference
from evalkit.stats.permutation import SignFlip, sign_flip
from evalkit.stats.power import (
    minimum_detectable_effect,
    power_at,
    required_n,
    unit_variance,
    worst_case_variance,
)
from evalkit.stats.ppi import PredictionPowered, ppi_difference, ppi_mean
from evalkit.stats.proportions import is_binary, proportion_estimate
from evalkit.stats.selection import Selection, selection_optimism
from evalkit.stats.sequential import Looks, alpha_spending, spent
from evalkit.stats.stratified import (
    Stratified,
    average_of_tasks,
    stratified_difference,
    stratified_mean,
)

__all__ = [
    "Bootstrap",
    "BradleyTerry",
    "ErrorParts",
    "Game",
    "Games",
    "IntersectionUnion",
    "LengthControlled",
    "Looks",
    "MarginRule",
    "McNemar",
    "Mean",
    "Noise",
    "NonInferiority",
    "Pair",
    "PairedDifference",
    "PredictionPowered",
    "Selection",
    "SignFlip",
    "Statistic",
    "Stratified",
    "Strength",
    "Verdict",
    "Widened",
    "alpha_spending",
    "average_of_tasks",
    "benjamini_hochberg",
    "bootstrap",
    "bootstrap_mean",
    "bradley_terry",
    "error_parts",
    "holm",
    "intersection_union",
    "is_binary",
    "judge_noise",
    "length_controlled",
    "mcnemar",
    "mcnemar_exact",
    "mean_estimate",
    "minimum_detectable_effect",
    "non_inferiority",
    "one_sided",
    "paired_difference",
    "power_at",
    "ppi_difference",
    "ppi_mean",
    "proportion_estimate",
    "required_n",
    "run_noise",
    "selection_optimism",
    "sign_flip",
    "spent",
    "stratified_difference",
    "stratified_mean",
    "strength_difference",
    "unit_variance",
    "units_for_margin",
    "widened",
    "worst_case_variance",
]
