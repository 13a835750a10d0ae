"""Standard errors of version 2's normalised scores and of their average.

Oracles: numpy's bootstrap of documents with the leaderboard's own figures, and the closed form
of a share's error.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from evalkit.benchmarks import open_llm_leaderboard as board
from evalkit.benchmarks._lm_eval_scores import Figure
from evalkit.core import Record
from evalkit.stats.averages import averages_of_records
from tests.support.leaderboards import ENTRY, V2_SIZES, averages, board_run


def figures(records: list[Record]) -> dict[str, list[Figure]]:
    found: dict[str, list[Figure]] = {}
    for task in dict.fromkeys(r.task for r in records):
        mine = [r for r in records if r.task == task]
        points = {mine[0].outcome.scores[0].metric: [r.outcome.scores[0].value for r in mine]}
        for metric in mine[0].outcome.data:
            points[metric] = [v for r in mine for v in r.outcome.data[metric]]
        found[task] = [
            Figure(m, float(np.mean(v)), None, len(mine), 0, "", True) for m, v in points.items()
        ]
    return found


def test_the_averages_error_is_that_of_a_bootstrap_of_documents(tmp_path: Path) -> None:
    """Well above chance, so that no floor bends the figure."""
    sizes = dict.fromkeys(V2_SIZES, 150)
    run = board_run(tmp_path, {"a": 0.75}, version=2, sizes=sizes)
    found = averages_of_records(run.records, averages(2, list(sizes)), 0.95)[ENTRY, "average"]
    point = board.average_v2(figures(list(run.records))).point
    assert point is not None
    assert found.point == pytest.approx(100 * point, abs=1e-9)
    by_task: dict[str, list[Record]] = {}
    for record in run.records:
        by_task.setdefault(record.task, []).append(record)
    rng = np.random.default_rng(11)
    draws = []
    for _ in range(400):
        drawn = [
            mine[i] for mine in by_task.values() for i in rng.integers(0, len(mine), len(mine))
        ]
        drawn_point = board.average_v2(figures(drawn)).point
        assert drawn_point is not None
        draws.append(100 * drawn_point)
    # The standard deviation of 400 draws is known to about 3.5%.
    assert found.standard_error == pytest.approx(float(np.std(draws)), rel=0.12)


def test_a_subtasks_error_is_its_shares_over_what_chance_leaves(tmp_path: Path) -> None:
    run = board_run(tmp_path, {"a": 0.8}, version=2)
    task = "leaderboard_gpqa_main"
    values = [r.outcome.scores[0].value for r in run.records if r.task == task]
    found = averages_of_records(run.records, averages(2, list(V2_SIZES)), 0.95)[task, "normalised"]
    share = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    assert found.standard_error == pytest.approx(100 * share / 0.75, abs=1e-9)


def test_a_figure_takes_the_error_where_there_is_one(tmp_path: Path) -> None:
    run = board_run(tmp_path, {"a": 0.8}, version=2)
    errors = averages_of_records(run.records, averages(2, list(V2_SIZES)), 0.95)
    plain = board.average_v2(figures(list(run.records)))
    whole = board.with_error(plain, errors[ENTRY, "average"])
    error = errors[ENTRY, "average"].standard_error
    assert error is not None
    assert whole.standard_error == pytest.approx(error / 100)
    assert whole.method.endswith("SE stratified by task, by the delta method")
    assert board.with_error(plain, None).method.endswith("no standard error")


def test_below_chance_there_is_no_error(tmp_path: Path) -> None:
    """The figure is cut to 0 there; an interval of no width would look like certainty."""
    run = board_run(tmp_path, {"a": 0.0}, version=2)
    errors = averages_of_records(run.records, averages(2, list(V2_SIZES)), 0.95)
    task = "leaderboard_bbh_navigate"
    flat = Figure("normalised", 0.0, None, 60, 0, "against chance 1/2", True)
    found = board.with_error(flat, errors[task, "normalised"])
    assert found.standard_error is None
    assert found.method == "against chance 1/2; no standard error"
