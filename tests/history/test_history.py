"""Figures over checkpoints: order, splits, differences, and what is written of them."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from evalkit import history
from evalkit.cli.history import command
from evalkit.errors import DataError
from evalkit.history import Checkpoint, Options, Series, natural_key, step_of
from tests.support.training import Made, make_run

HOSTILE = 'x"><script>alert(1)</script>&step-7'


def series_of(folder: Path, made: list[Made]) -> list[Series]:
    for number, one in enumerate(made):
        make_run(folder / f"r{number}", one)
    runs, left_out = history.find_runs([folder])
    assert left_out == []
    return history.history(history.checkpoints(runs).checkpoints, Options())


STEPS = [Made(f"step-{n}", 5 + i, 0.1 * i) for i, n in enumerate((1000, 100, 200))]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("out/checkpoint-500", "500"),
        ("global_step1200", "1,200"),
        ("runs/epoch=3-step=1000.ckpt", "1,000"),
        ("model-epoch-2", "epoch 2"),
        ("step-10k", "10,000"),
        ("iter_0005000/model", "5,000"),
    ],
)
def test_names_tell_steps(name: str, said: str) -> None:
    assert str(step_of([name])) == said


@pytest.mark.parametrize("name", ["llama-7b", "footstep", "steps", "v2", "checkpoint-final", ""])
def test_other_names_tell_none(name: str) -> None:
    assert step_of([name]) is None


@given(st.lists(st.text(max_size=12), max_size=8))
def test_natural_order_is_total(names: list[str]) -> None:
    keys = {name: natural_key(name) for name in names}
    assert len(set(keys.values())) == len(set(names))
    assert sorted(keys, key=natural_key) == sorted(sorted(keys), key=natural_key)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_numbers_sort_as_numbers(a: int, b: int) -> None:
    if a != b:
        first, second = natural_key(f"checkpoint-{a}"), natural_key(f"checkpoint-{b}")
        assert (first < second) == (a < b)


def test_checkpoints_stand_in_the_order_of_their_steps(tmp_path: Path) -> None:
    every = series_of(tmp_path, STEPS)
    for series in every:
        assert [p.checkpoint.label for p in series.points] == ["step-100", "step-200", "step-1000"]


def test_differences_are_paired_with_the_first_and_the_one_before(tmp_path: Path) -> None:
    every = series_of(tmp_path, STEPS)
    series = next(s for s in every if s.benchmark == "alpaca_eval")
    first, second, third = series.points
    assert first.first is first.previous is None
    assert second.first is not None
    assert third.first is not None
    assert third.previous is not None
    assert (third.first.baseline, third.previous.baseline) == ("step-100", "step-200")
    expected = (third.estimate.point or 0) - (first.estimate.point or 0)
    # Failed samples are left out of a pair, not of each side's mean.
    assert third.first.difference == pytest.approx(expected, abs=5)
    assert third.first.low is not None


def test_a_setting_that_changed_splits_the_series(tmp_path: Path) -> None:
    made = [Made("step-1", 1), Made("step-2", 2), Made("step-3", 3, changed={"max_tokens": 512})]
    series = next(s for s in series_of(tmp_path, made) if s.benchmark == "alpaca_eval")
    assert [p.segment for p in series.points] == [0, 0, 1]
    assert series.points[2].first is None
    assert "max_tokens: " in series.points[2].split
    assert "512" in series.points[2].split
    joined = Options(allow_different=frozenset({"max_tokens"}))
    again = history.history([p.checkpoint for p in series.points], joined)
    same = next(s for s in again if s.benchmark == "alpaca_eval")
    assert [p.segment for p in same.points] == [0, 0, 0]


def test_order_by_time_where_names_tell_nothing(tmp_path: Path) -> None:
    make_run(tmp_path / "a", Made("late", 1, started=200.0))
    make_run(tmp_path / "b", Made("early", 2, started=100.0))
    runs, _ = history.find_runs([tmp_path])
    found = history.checkpoints(runs)
    assert [c.label for c in found.checkpoints] == ["early", "late"]
    assert any("ordered by time" in note for note in found.notes)


def test_unfinished_runs_are_left_out_and_said(tmp_path: Path) -> None:
    make_run(tmp_path / "a", Made("step-1", 1))
    make_run(tmp_path / "b", Made("step-2", 2, sealed=False))
    runs, notes = history.find_runs([tmp_path])
    assert len(runs) == 1
    assert "is not finished" in notes[0]


def test_a_folder_without_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no run"):
        history.find_runs([tmp_path])


def test_csv_comes_back_as_it_was(tmp_path: Path) -> None:
    every = series_of(tmp_path, STEPS)
    rows = list(csv.DictReader(io.StringIO(history.history_csv(every))))
    assert list(rows[0]) == list(history.CSV_COLUMNS)
    assert len(rows) == sum(len(series.points) for series in every)
    points = [p.estimate.point for series in every for p in series.points]
    numbers = [next(v for k, v in row.items() if k == "point") for row in rows]
    assert [float(v) if v else None for v in numbers] == points


def test_csv_for_a_spreadsheet_has_no_formulas(tmp_path: Path) -> None:
    """The same rule as `evalkit export --format csv`; numbers below 0 are no formulas."""
    every = series_of(tmp_path, [Made("=cmd|calc-1", 5), Made("@SUM(A1)-2", 6)])
    plain = list(csv.reader(io.StringIO(history.history_csv(every))))
    safe = list(csv.reader(io.StringIO(history.history_csv(every, spreadsheet=True))))
    changed = [(a, b) for x, y in zip(plain, safe, strict=True) for a, b in zip(x, y, strict=True)]
    changed = [(a, b) for a, b in changed if a != b]
    assert {a for a, _ in changed} == {"=cmd|calc-1", "@SUM(A1)-2"}
    assert all(b == f"'{a}" for a, b in changed)
    assert history.formula_cells(every) == len(changed) > 0


def test_charts_are_xml_with_words_and_without_scripts(tmp_path: Path) -> None:
    every = series_of(tmp_path, STEPS)
    for svg in (history.chart_svg(every[0]), history.charts_svg(every)):
        root = ET.fromstring(svg)
        names = [element.tag.rpartition("}")[2] for element in root.iter()]
        assert "title" in names
        assert "desc" in names
        assert "script" not in names
    assert history.charts_svg(every) == history.charts_svg(every)


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    every = series_of(tmp_path, [Made("step-1", 1), Made("step-2", 2)])
    (first, *_) = every
    spoilt = [Checkpoint(**{**vars(point.checkpoint), "label": HOSTILE}) for point in first.points]
    series = next(s for s in history.history(spoilt, Options()) if s.benchmark == first.benchmark)
    root = ET.fromstring(history.chart_svg(series))
    assert not [e for e in root.iter() if e.tag.rpartition("}")[2] == "script"]
    assert "<script" not in history.chart_svg(series)


def test_sparklines_have_a_mark_a_checkpoint(tmp_path: Path) -> None:
    for series in series_of(tmp_path, STEPS):
        assert len(history.sparkline(series).replace(" ", "")) >= len(series.points)


def test_best_of_says_how_optimistic_it_is(tmp_path: Path) -> None:
    every = series_of(tmp_path, STEPS)
    series = next(s for s in every if s.benchmark == "alpaca_eval")
    selection = history.best_of(series)
    assert selection is not None
    assert "step-" in history.best_sentence(selection, series)


def test_a_dash_is_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = series_of(tmp_path / "runs", STEPS)
    monkeypatch.chdir(tmp_path)
    for option, text in (
        ("--csv", history.history_csv(every)),
        ("--svg", history.charts_svg(every)),
    ):
        done = CliRunner().invoke(command, ["runs", option, "-"])
        assert done.exit_code == 0
        assert done.stdout_bytes == text.encode()
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]
    both = CliRunner().invoke(command, ["runs", "--csv", "-", "--json"])
    assert both.exit_code == 2
    assert "--csv - and --json all go to standard output" in both.output


def test_the_command(tmp_path: Path) -> None:
    series_of(tmp_path / "runs", STEPS)
    done = subprocess.run(
        [sys.executable, "-m", "evalkit", "history", "runs", "--csv", "h.csv", "--svg", "h.svg"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "AlpacaEval" in done.stdout
    assert (tmp_path / "h.csv").exists()
    ET.parse(tmp_path / "h.svg")
    as_json = subprocess.run(
        [sys.executable, "-m", "evalkit", "history", "runs", "--json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert len(json.loads(as_json.stdout)["series"]) == 4
    wrong = subprocess.run(
        [sys.executable, "-m", "evalkit", "history", "nowhere"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert wrong.returncode == 2
