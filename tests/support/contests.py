"""Contests and gate tests with figures chosen by the test."""

from __future__ import annotations

from typing import Any

from evalkit.core.contests import Caution, Contest, Family, GateTest, GateVerdict, Verdict
from evalkit.core.figures import (
    Comparison,
    Estimator,
    FigureKey,
    Interval,
    Measured,
    Method,
    Unit,
)

__all__ = ["contest", "gate_test", "measured"]

_PAIRED = Method(Estimator.PAIRED, Interval.T, paired=True)


def measured(
    point: float | None,
    low: float | None,
    high: float | None,
    *,
    n: int = 805,
    units: int | None = None,
    method: Method = _PAIRED,
    error: float | None = 1.27,
    df: float | None = None,
) -> Measured:
    """A number with its interval, at level 0.95."""
    return Measured(
        point, error, low, high, 0.95, n, n if units is None else units, 0, method, df
    )  # fmt: skip


def contest(
    *,
    point: float | None = 2.9,
    low: float | None = 0.4,
    high: float | None = 5.4,
    error: float | None = 1.27,
    n: int = 805,
    units: int | None = None,
    ties: int = 1,
    benchmark: str = "alpaca_eval",
    task: str | None = None,
    metric: str = "win_rate",
    category: str | None = None,
    unit: Unit = "percent",
    higher_is_better: bool = True,
    verdict: Verdict = "better",
    mde: float | None = None,
    family: Family = "headline",
    tests: int = 1,
    p_adjusted: float | None = 0.02,
    cautions: tuple[Caution, ...] = (),
    primary: bool = True,
    candidate: str = "a",
    baseline: str = "b",
) -> Contest:
    """`a` against `b` on AlpacaEval: +2.9 (+0.4 to +5.4) on 805 samples."""
    key = FigureKey(benchmark, benchmark if task is None else task, metric, category)
    c = Comparison(
        candidate=candidate,
        baseline=baseline,
        key=key,
        unit=unit,
        higher_is_better=higher_is_better,
        difference=measured(point, low, high, n=n, units=units, error=error),
        p=p_adjusted,
        wins=400,
        losses=n - 400 - ties,
        ties=ties,
        n_missing_candidate=3,
        n_missing_baseline=0,
    )
    return Contest(c, family, tests, p_adjusted, mde, verdict, cautions, primary)


def gate_test(verdict: GateVerdict, **changes: Any) -> GateTest:
    """One test with margin 2 of `contest()`."""
    found: dict[str, Any] = {
        "key": FigureKey("alpaca_eval", "alpaca_eval", "win_rate"),
        "required": True,
        "margin": 2.0,
        "contest": contest(),
        "verdict": verdict,
        "bounds": measured(2.9, 0.8, 5.0),
        "p": 0.01,
        "p_regression": 0.99,
        "resolvable": None,
        "needed": None,
        "note": "",
    }
    return GateTest(**{**found, **changes})
