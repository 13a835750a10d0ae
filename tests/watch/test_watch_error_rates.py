"""What alpha spending buys over a whole training run, by simulation through the gate itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.comparison import gate
from evalkit.core.contests import Contest
from evalkit.core.figures import Comparison, Estimator, FigureKey, Measured, Method
from evalkit.core.specs import GateSpec
from evalkit.runner.watch_ledger import level_of
from evalkit.stats.decisions import Spending

pytestmark = pytest.mark.slow

ALPHA, LOOKS, UNITS, RUNS = 0.1, 5, 60, 400
TASKS = ("one", "two")


def contest(task: str, differences: NDArray[np.float64]) -> Contest:
    """Candidate minus baseline on `UNITS` samples."""
    n = len(differences)
    point, error = float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(n))
    method = Method(Estimator.PAIRED)
    measured = Measured(point, error, None, None, 0.95, n, n, 0, method, df=n - 1)
    key = FigureKey("bench", task, "acc")
    found = Comparison("c", "b", key, "raw", True, measured, None, 0, 0, 0, 0, 0)
    return Contest(found, "headline", 1, None, None, "not_significant")


def answer(contests: list[Contest], margin: float, alpha: float) -> str:
    """The gate's own tests, corrections and answer."""
    policy = gate.Policy(GateSpec(baseline="b", margins={"default": margin}, alpha=alpha), {})
    tests = [gate.gate_test(one, policy) for one in contests]
    return gate.decide("c", "b", tests, policy.spec).verdict


def verdicts(rng: np.random.Generator, truth: float, rho: float, levels: list[float]) -> set[str]:
    """Of all checkpoints of one training run, whose scores on the test set resemble each other."""
    found: set[str] = set()
    shared = rng.normal(size=(len(TASKS), UNITS))
    for level in levels:
        own = rng.normal(size=(len(TASKS), UNITS))
        scores = truth + np.sqrt(rho) * shared + np.sqrt(1 - rho) * own
        contests = [contest(task, scores[n]) for n, task in enumerate(TASKS)]
        found.add(answer(contests, max(0.0, -truth), level))
    return found


def share(wanted: str, truth: float, rho: float, levels: list[float]) -> float:
    """Of training runs with such a verdict at any look."""
    rng = np.random.default_rng(20240511)
    return sum(wanted in verdicts(rng, truth, rho, levels) for _ in range(RUNS)) / RUNS


def levels_of(spending: Spending) -> list[float]:
    return [level_of(k, LOOKS, ALPHA, spending)[0] for k in range(1, LOOKS + 1)]


MOST = ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / RUNS)
"""Three Monte Carlo standard errors above alpha."""


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_false_regressions_over_a_training_run_stay_under_alpha(rho: float) -> None:
    """No checkpoint differs from the baseline; with margin 0 anything worse is a regression."""
    spent = share("regression", 0.0, rho, levels_of("even"))
    unspent = share("regression", 0.0, rho, [ALPHA] * LOOKS)
    assert spent <= MOST
    if rho == 0:
        assert unspent > 2 * ALPHA, "looking so often without spending must show here"


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_false_passes_over_a_training_run_stay_under_alpha(rho: float) -> None:
    """Every checkpoint is worse by exactly the margin on both tasks."""
    assert share("pass", -0.5, rho, levels_of("even")) <= MOST


def test_false_passes_with_one_task_are_near_alpha_where_looks_share_nothing() -> None:
    """The bound is no empty one: with one test and independent looks 1 - (1 - alpha/5)^5."""
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(RUNS):
        found: set[str] = set()
        for level in levels_of("even"):
            found.add(answer([contest("one", rng.normal(-0.5, 1, UNITS))], 0.5, level))
        hits += "pass" in found
    expected = 1 - (1 - ALPHA / LOOKS) ** LOOKS
    assert hits / RUNS == pytest.approx(expected, abs=3 * np.sqrt(expected * 0.9 / RUNS))


@pytest.mark.parametrize("spending", ["pocock", "obrien_fleming"])
def test_other_spending_keeps_alpha_too(spending: Spending) -> None:
    assert share("regression", 0.0, 0.0, levels_of(spending)) <= MOST
