"""Pure functions from scores to numbers with their uncertainty (`core.figures.Measured`).

means          ─ of scores, shares, paired differences, their p
averages       ─ over tasks: a leaderboard's, a group's, a score against chance
noise          ─ of whole runs, and an estimate widened by it
decisions      ─ Holm, margins (non-inferiority), minimum detectable effects, several looks
strengths      ─ strengths of several models from games between pairs
resampling     ─ the best of several on one test set, and its score on another
length_control ─ alpaca_eval's length-controlled win rate, with an honest error
ppi            ─ a few human labels and many judge labels

What a method adds to a Measured is a small class of its own that holds it.  Undefined is None, and
`Measured.how` says why; randomness, where a method needs it, is a seed among the parameters.
Effects are in the unit of the values, shares and levels from 0 to 1.  scipy is imported inside
functions.
"""

from __future__ import annotations

from evalkit.stats._old import (
    BradleyTerry,
    MarginRule,
    Mean,
    NonInferiority,
    PairedDifference,
    Stratified,
    Strength,
    average_of_tasks,
    bradley_terry,
    intersection_union,
    mean_estimate,
    non_inferiority,
    one_sided,
    paired_difference,
    proportion_estimate,
    strength_difference,
)
from evalkit.stats.decisions import (
    Looks,
    Spending,
    Verdict,
    alpha_spending,
    holm,
    minimum_detectable_effect,
    spent,
    unit_variance,
    units_for_margin,
    worst_case_variance,
)
from evalkit.stats.length_control import Games, Pair, length_controlled
from evalkit.stats.means import is_binary, mean, share
from evalkit.stats.noise import Noise, run_noise, widened
from evalkit.stats.ppi import PredictionPowered, ppi_difference, ppi_mean
from evalkit.stats.resampling import Selection, selection_optimism
from evalkit.stats.strengths import Game

__all__ = [
    "BradleyTerry",
    "Game",
    "Games",
    "Looks",
    "MarginRule",
    "Mean",
    "Noise",
    "NonInferiority",
    "Pair",
    "PairedDifference",
    "PredictionPowered",
    "Selection",
    "Spending",
    "Stratified",
    "Strength",
    "Verdict",
    "alpha_spending",
    "average_of_tasks",
    "bradley_terry",
    "holm",
    "intersection_union",
    "is_binary",
    "length_controlled",
    "mean",
    "mean_estimate",
    "minimum_detectable_effect",
    "non_inferiority",
    "one_sided",
    "paired_difference",
    "ppi_difference",
    "ppi_mean",
    "proportion_estimate",
    "run_noise",
    "selection_optimism",
    "share",
    "spent",
    "strength_difference",
    "unit_variance",
    "units_for_margin",
    "widened",
    "worst_case_variance",
]
