"""What alpha spending buys over a whole training run, by simulation through the gate itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit import gate
from evalkit.compare import Row
from evalkit.core import Comparison
from evalkit.gate import Policy
from evalkit.runner.watch_ledger import level_of
from evalkit.stats.decisions import Spending

ALPHA, LOOKS, UNITS, RUNS = 0.1, 5, 60, 400
TASKS = ("one", "two")


def comparison(task: str, differences: NDArray[np.float64]) -> Comparison:
    """Candidate minus baseline on `UNITS` samples."""
    n = len(differences)
    point, error = float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(n))
    return Comparison(
        "c", "b", "bench", task, "acc", None, point, error, None, None, 0.95, None, n, n,
        0, 0, 0, 0, 0, "raw", True, "t",
    )  # fmt: skip


def verdicts(rng: np.random.Generator, truth: float, rho: float, levels: list[float]) -> set[str]:
    """Of all checkpoints of one training run, whose scores on the test set resemble each other."""
    found: set[str] = set()
    shared = rng.normal(size=(len(TASKS), UNITS))
    for level in levels:
        own = rng.normal(size=(len(TASKS), UNITS))
        scores = truth + np.sqrt(rho) * shared + np.sqrt(1 - rho) * own
        rows = [
            Row(comparison(task, scores[n]), True, None, None, "unclear", "")
            for n, task in enumerate(TASKS)
        ]
        policy = Policy(margins={"default": max(0.0, -truth)}, alpha=level)
        found.add(gate.decide(("c", "b"), rows, policy).verdict)
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
            row = Row(
                comparison("one", rng.normal(-0.5, 1, UNITS)), True, None, None, "unclear", ""
            )
            policy = Policy(margins={"default": 0.5}, alpha=level)
            found.add(gate.decide(("c", "b"), [row], policy).verdict)
        hits += "pass" in found
    expected = 1 - (1 - ALPHA / LOOKS) ** LOOKS
    assert hits / RUNS == pytest.approx(expected, abs=3 * np.sqrt(expected * 0.9 / RUNS))


@pytest.mark.parametrize("spending", ["pocock", "obrien_fleming"])
def test_other_spending_keeps_alpha_too(spending: Spending) -> None:
    assert share("regression", 0.0, 0.0, levels_of(spending)) <= MOST
