"""Repeated runs (A/A): one side from several runs, and their noise in the interval.

Oracle of the coverage: the truth the simulation draws from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from evalkit import compare
from evalkit.core import Comparison, Metric, Outcome, Record, Run, Score
from evalkit.errors import ComparisonError
from tests.support.leaderboards import ENTRY, board_run
from tests.support.runs import Plan, build_run

METRIC = Metric("score", "points", primary=True)
REPEATS = compare.Options(repeats=True)


def run_of(number: int, scores: dict[str, Sequence[float]]) -> Run:
    """A run with these models' scores."""
    task = {"n_samples": 1, "metrics": [asdict(METRIC)]}
    entry = {"name": "b", "description": {"seed": number}, "tasks": {"t": task}}
    records = tuple(
        Record(model, "b", "t", str(i), None, "", Outcome("ok", scores=(Score("score", v),)))
        for model, values in scores.items()
        for i, v in enumerate(values)
    )
    return Run(Path(f"run{number}"), {"benchmarks": [entry]}, records, (), ())


def one(runs: Sequence[Run], options: compare.Options = REPEATS) -> Comparison:
    (row,) = compare.compare(runs, "a", ["b"], options)
    return row.comparison


def test_a_sample_is_the_mean_of_its_runs() -> None:
    runs = [run_of(1, {"a": [1.0, 4.0], "b": [1.0, 1.0]}), run_of(2, {"a": [3.0, 4.0]})]
    c = one(runs)
    assert c.difference == pytest.approx(2.0)
    assert c.n == 2
    assert "2 runs of the candidate, 1 of the baseline" in c.method


def test_what_one_run_could_not_score_another_can() -> None:
    first, second = run_of(1, {"a": [1.0, 4.0], "b": [1.0, 1.0]}), run_of(2, {"a": [3.0, 4.0]})
    failed = Outcome("engine_error")
    broken = replace(first.records[0], outcome=failed)
    first = replace(first, records=(broken, *first.records[1:]))
    c = one([first, second])
    assert (c.n, c.n_missing_candidate) == (2, 0)
    assert c.difference == pytest.approx(2.5)


def test_without_repeats_it_is_ambiguous_and_says_how_not() -> None:
    runs = [run_of(1, {"a": [1.0], "b": [1.0]}), run_of(2, {"a": [3.0]})]
    with pytest.raises(ComparisonError, match=r"run1:a or run2:a; or, if they repeat .* --repeats"):
        one(runs, compare.Options())


def test_repeats_are_guarded_but_for_their_seed(tmp_path: Path) -> None:
    runs = [run_of(1, {"a": [1.0, 2.0], "b": [1.0, 1.0]}), run_of(2, {"a": [3.0, 2.0]})]
    assert one(runs).n == 2
    (entry,) = runs[1].manifest["benchmarks"]
    changed = {**entry, "description": {"seed": 2, "version": "2"}}
    (first,) = runs[0].manifest["benchmarks"]
    runs[0] = replace(
        runs[0], manifest={"benchmarks": [{**first, "description": {"seed": 1, "version": "1"}}]}
    )
    runs[1] = replace(runs[1], manifest={"benchmarks": [changed]})
    with pytest.raises(ComparisonError, match="version: '1' against '2'"):
        one(runs)


def test_one_run_of_each_is_as_without(tmp_path: Path) -> None:
    run = build_run(tmp_path, Plan(models=("a", "b")))
    plain = compare.compare([run], "a", ["b"], compare.Options())
    assert compare.compare([run], "a", ["b"], REPEATS) == plain


def test_runs_that_shift_widen_the_interval_by_their_variance() -> None:
    """Runs of one side are exactly 1 apart on every sample: variance 1/2, over two runs 1/4."""
    rng = np.random.default_rng(1)
    base, other = rng.normal(6, 1, 200), rng.normal(6, 1, 200)
    apart = [run_of(1, {"a": list(base), "b": list(other)}), run_of(2, {"a": list(base + 1)})]
    c = one(apart)
    items = np.std(base + 0.5 - other, ddof=1) / math.sqrt(200)
    # The baseline has one run: the whole of the candidate's noise.
    assert c.standard_error == pytest.approx(math.sqrt(items**2 + 0.5 / 2 + 0.5), rel=1e-9)
    assert c.df is not None
    assert c.df < 2
    assert c.low is not None
    assert c.low < -3


def test_averages_are_widened_by_the_spread_of_runs(tmp_path: Path) -> None:
    runs = [board_run(tmp_path / str(seed), {"a": 0.6, "b": 0.5}, seed=seed) for seed in (1, 2, 3)]
    rows = compare.compare(runs, "a", ["b"], REPEATS)
    whole = next(
        r.comparison for r in rows if (r.comparison.task, r.comparison.metric) == (ENTRY, "average")
    )
    alone = [
        next(
            r.comparison.difference
            for r in compare.compare([run], "a", ["b"], compare.Options())
            if (r.comparison.task, r.comparison.metric) == (ENTRY, "average")
        )
        for run in runs
    ]
    assert whole.difference == pytest.approx(np.mean([d for d in alone if d is not None]), abs=1e-9)
    assert "3 runs of the candidate, 3 of the baseline" in whole.method


@pytest.mark.slow
@pytest.mark.parametrize(("n_runs", "shift"), [(4, 0.3), (4, 0.0)])
def test_differences_cover_the_truth_with_the_noise_of_runs(n_runs: int, shift: float) -> None:
    """60 samples, both models in every run; each run shifts each model by a normal draw.

    Nominal 95%; without the noise of runs far less where they shift.
    """
    rng = np.random.default_rng(n_runs)
    rounds, covered, bare = 400, 0, 0
    for _ in range(rounds):
        items = rng.normal(6, 1, (2, 60))
        drawn = [
            items + rng.normal(0, 0.5, (2, 60)) + rng.normal(0, shift, (2, 1))
            for _ in range(n_runs)
        ]
        runs = [run_of(i, {"a": list(d[0]), "b": list(d[1])}) for i, d in enumerate(drawn)]
        c = one(runs)
        assert None not in (c.low, c.high)
        covered += (c.low or 0) <= 0 <= (c.high or 0)
        if shift:
            first = one(runs[:1])
            bare += (first.low or 0) <= 0 <= (first.high or 0)
    assert covered / rounds == pytest.approx(0.95, abs=0.04)
    if shift:
        assert bare / rounds < 0.75
