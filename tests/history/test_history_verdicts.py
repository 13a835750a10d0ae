"""Steps between checkpoints: no word without the correction, no mark left out."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from statsmodels.stats.multitest import multipletests

from evalkit import compare, history
from evalkit.compare.words import WORDS, verdict
from evalkit.core import Run
from evalkit.draw import MISSING
from evalkit.history import Checkpoint, Options, Series
from tests.support.runs import Plan, build_run

STEPS = 16


def series_of(runs: list[Run]) -> list[Series]:
    """One checkpoint a run."""
    found = [Checkpoint(f"step-{n}", run, "m", None, None) for n, run in enumerate(runs)]
    return history.history(found, Options())


def training(folder: Path, **plan: object) -> list[Run]:
    """Checkpoints that are all equally good, so that no step is one."""
    base = Plan(models=("m",), samples=(60, 20, 40), advantage=0.0)
    return [
        build_run(folder / f"r{n}", replace(base, seed=n + 1, **plan))  # type: ignore[arg-type]
        for n in range(STEPS)
    ]


@pytest.fixture(scope="module")
def equal(tmp_path_factory: pytest.TempPathFactory) -> list[Series]:
    folder = tmp_path_factory.mktemp("training")
    return series_of(training(folder, local_judge=False))


def test_steps_are_corrected_over_all_that_is_shown(equal: list[Series]) -> None:
    """Holm, as statsmodels computes it."""
    points = [p for series in equal for p in series.points if p.previous is not None]
    p_values = [p.previous.p for p in points if p.previous is not None]
    assert all(p is not None for p in p_values)
    oracle = multipletests(p_values, method="holm")[1]
    assert [p.p_adjusted for p in points] == pytest.approx(list(oracle))
    assert {series.tests for series in equal} == {len(points)} == {4 * (STEPS - 1)}


def test_chance_is_called_no_step(equal: list[Series]) -> None:
    points = [p for series in equal for p in series.points]
    alone = {verdict(p.previous) for p in points if p.previous is not None}
    assert {"better", "worse"} & alone, "no step looks like one by chance"
    assert {p.verdict for p in points} == {None, "unclear"}
    for series in equal:
        words = {row[-1].shown for row in history.series_table(series).rows}
        assert words <= {WORDS["unclear"], MISSING}
        assert any("Holm's correction over the 60 steps" in x for x in history.series_lines(series))


def test_a_great_step_is_still_one(tmp_path: Path) -> None:
    plan = Plan(models=("m",), samples=(200, 40, 80), local_judge=False)
    runs = [
        build_run(tmp_path / str(n), replace(plan, advantage=n * 0.5, seed=7)) for n in range(2)
    ]
    (rate,) = (s for s in series_of(runs) if s.benchmark == "alpaca_eval")
    assert rate.points[1].verdict == "better"
    assert history.series_table(rate).rows[1][-1].shown == "better"


def test_a_weak_judge_and_a_limit_are_marked(tmp_path: Path) -> None:
    every = series_of(training(tmp_path, limit=20)[:3])
    rate, accuracy = every[0], every[-1]
    assert history.series_table(rate).rows[1][-1].shown.endswith("(weak judge, limited run)")
    assert history.series_table(accuracy).rows[1][-1].shown.endswith("told apart (limited run)")
    assert any("judged by base-judge, a model of the suite" in note for note in rate.notes)
    assert not any("judged by" in note for note in accuracy.notes)
    rows = list(csv.DictReader(io.StringIO(history.history_csv(every))))
    assert rows[1]["flags"].startswith("weak judge: base-judge; limited run: at most 20 samples")
    assert rows[1]["since_previous"] == "unclear"
    assert rows[0]["since_previous"] == ""
    data = json.loads(json.dumps(history.history_json(every, ())))
    assert data["series"][0]["points"][1]["flags"] == rows[1]["flags"]


def test_damage_is_said_once(tmp_path: Path) -> None:
    first, second, third = training(tmp_path, local_judge=False)[:3]
    second = replace(second, records=second.records[1:])
    (damage,) = compare.damages(second)
    rate = series_of([first, second, third])[0]
    said = [note for note in rate.notes if damage.message in note]
    assert len(said) == 1
    shown = [row[-1].shown for row in history.series_table(rate).rows]
    assert [text.endswith("(damaged evidence)") for text in shown] == [False, True, True]
