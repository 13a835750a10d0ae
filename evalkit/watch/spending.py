"""What each look at a training run may spend, and what that buys.

A look is one checkpoint's gate.  Look k of a plan of N tests at the level that alpha spending
gives it (`stats.alpha_spending`): exactly what is spent there, so that the
levels of all looks add up to the policy's alpha at most.  By the union bound (a weighted
Bonferroni split), whatever the checkpoints, which answer the same questions, have in common:

- the probability that any test of any checkpoint is called a regression although that
  checkpoint is not worse there is at most alpha over the whole training run.  Within a look
  Holm's correction keeps it at the look's level (Holm 1979);
- the probability that any checkpoint passes although it is worse by its margin or more on some
  required test is at most alpha as well.  Within a look passing every test needs no correction
  (intersection-union; Berger 1982, "Multiparameter hypothesis testing and acceptance sampling").

Each of the two is kept at alpha; the probability of either error is at most twice that.  Both
hold if watching stops early, and no matter which checkpoints fail to load, since a look's level
depends on its number alone.  They do not hold for a training that is steered by the verdicts: what
learns from the answers to the test questions makes these no test any more (Dwork et al. 2015,
"The reusable holdout").  Nor is the plan to be changed once there was a look; the ledger keeps it.
"""

from __future__ import annotations

from evalkit.stats import alpha_spending
from evalkit.stats.sequential import Spending

__all__ = ["LEAST_LEVEL", "level_of"]

LEAST_LEVEL = 1e-9
"""A look that may spend less cannot decide anything: its bounds would have no finite width."""


def level_of(look: int, planned: int, alpha: float, spending: Spending) -> tuple[float, float]:
    """Level that a look tests at, and what is spent up to and with it.

    Args:
        look: Its number, from 1 to `planned`.
        planned: Looks in all; fraction 1 of the information.
        alpha: One-sided, over all looks.
        spending: How alpha is spread; see `stats.spent`.
    """
    fractions = [k / planned for k in range(1, look + 1)]
    found = alpha_spending(fractions, alpha, spending)
    return found.levels[-1], found.spent[-1]
