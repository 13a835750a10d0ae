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

Import from the file that has it: a package that imported all would cost `report` and `gate` modules
they do not use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what callers that are not moved yet take from here; goes with `_old`
    from evalkit.stats._old import (
        BradleyTerry,
        Game,
        MarginRule,
        Mean,
        NonInferiority,
        Verdict,
        bradley_terry,
        holm,
        is_binary,
        mean_estimate,
        minimum_detectable_effect,
        non_inferiority,
        paired_difference,
        proportion_estimate,
        strength_difference,
        unit_variance,
        units_for_margin,
    )

__all__ = [
    "BradleyTerry",
    "Game",
    "MarginRule",
    "Mean",
    "NonInferiority",
    "Verdict",
    "bradley_terry",
    "holm",
    "is_binary",
    "mean_estimate",
    "minimum_detectable_effect",
    "non_inferiority",
    "paired_difference",
    "proportion_estimate",
    "strength_difference",
    "unit_variance",
    "units_for_margin",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(name)
    return getattr(import_module("evalkit.stats._old"), name)
