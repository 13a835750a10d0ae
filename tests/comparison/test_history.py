"""Figures over checkpoints: order, splits, steps within their family, and what is written."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from evalkit.cli.compare import history as command
from evalkit.comparison import contests, history
from evalkit.comparison.figures import figures
from evalkit.comparison.history import Checkpoint, Options, Series, step_of
from evalkit.core.figures import Average, Figure, FigureKey, Interval
from evalkit.core.run import Run
from evalkit.draw import MISSING, NOT_SIGNIFICANT, svg
from evalkit.errors import DataError
from evalkit.store import natural_key
from tests.support.leaderboards import ENTRY, SUBJECTS, V1_SIZES, V2_SIZES, board_run
from tests.support.runs import Plan, build_run, training_run, with_manifest, write_run
from tests.support.terminal import screen

STEPS = [(f"step-{n}", 5 + i, 0.1 * i) for i, n in enumerate((1000, 100, 200))]


def series_of(folder: Path, made: Sequence[tuple[Any, ...]]) -> list[Series]:
    for number, one in enumerate(made):
        training_run(folder / f"r{number}", *one)
    runs, left_out = history.find_runs([folder])
    assert left_out == []
    return history.history(history.checkpoints(runs).checkpoints)


def rates(every: list[Series]) -> Series:
    return next(s for s in every if s.key.benchmark == "alpaca_eval")


# --- order --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("out/checkpoint-500", "500"),
        ("global_step1200", "1,200"),
        ("runs/epoch=3-step=1000.ckpt", "1,000"),
        ("model-epoch-2", "epoch 2"),
        ("step-10k", "10,000"),
        ("iter_0005000/model", "5,000"),
        *((name, "None") for name in
          ("llama-7b", "footstep", "steps", "v2", "checkpoint-final", "")),
    ],
)  # fmt: skip
def test_names_tell_steps_or_none(name: str, said: str) -> None:
    assert str(step_of([name])) == said


@given(st.lists(st.text(max_size=12), max_size=8), st.integers(0, 10**6), st.integers(0, 10**6))
def test_natural_order_is_total_and_numbers_sort_as_numbers(
    names: list[str], a: int, b: int
) -> None:
    keys = {name: natural_key(name) for name in names}
    assert len(set(keys.values())) == len(set(names))
    assert sorted(keys, key=natural_key) == sorted(sorted(keys), key=natural_key)
    if a != b:
        first, second = natural_key(f"checkpoint-{a}"), natural_key(f"checkpoint-{b}")
        assert (first < second) == (a < b)


def test_order_by_time_where_names_tell_nothing(tmp_path: Path) -> None:
    training_run(tmp_path / "a", "late", 1, started=200.0)
    training_run(tmp_path / "b", "early", 2, started=100.0)
    runs, _ = history.find_runs([tmp_path])
    found = history.checkpoints(runs)
    assert [c.label for c in found.checkpoints] == ["early", "late"]
    assert any("ordered by time" in note for note in found.notes)


def test_what_is_no_finished_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no run"):
        history.find_runs([tmp_path])
    training_run(tmp_path / "a", "step-1", 1)
    training_run(tmp_path / "b", "step-2", 2, sealed=False)
    runs, notes = history.find_runs([tmp_path])
    assert len(runs) == 1
    assert "is not finished" in notes[0]
    with pytest.raises(DataError, match="expected one of: base, step-1"):
        history.checkpoints(runs, "nobody")


# --- series -------------------------------------------------------------------------------------


def test_differences_are_paired_with_the_first_and_the_one_before(tmp_path: Path) -> None:
    every = series_of(tmp_path, STEPS)
    for series in every:
        assert [p.checkpoint.label for p in series.points] == ["step-100", "step-200", "step-1000"]
    first, second, third = rates(every).points
    assert (first.first, first.previous) == (None, None)
    assert second.first is not None
    assert third.first is not None
    assert third.previous is not None
    baselines = third.first.baseline, third.previous.comparison.baseline
    assert baselines == ("step-100", "step-200")
    expected = (third.figure.value.point or 0) - (first.figure.value.point or 0)
    # Failed samples are left out of a pair, not of each side's mean.
    assert third.first.difference.point == pytest.approx(expected, abs=5)
    assert third.first.difference.low is not None


def test_a_setting_that_changed_splits_the_series(tmp_path: Path) -> None:
    training_run(tmp_path / "late", "step-3", 3, max_tokens=512)
    series = rates(series_of(tmp_path, [("step-1", 1), ("step-2", 2)]))
    assert [p.segment for p in series.points] == [0, 0, 1]
    last = series.points[2]
    assert (last.first, last.previous) == (None, None)
    assert "max_tokens: " in last.split
    assert "512" in last.split
    assert history.series_table(series).rows[2][-1].shown == "settings differ"
    assert any(
        line.startswith("not joined: step-3: ") for line in screen(history.series_lines(series))
    )
    joined = Options(allow_different=frozenset({"max_tokens"}))
    same = rates(history.history([p.checkpoint for p in series.points], joined))
    assert [p.segment for p in same.points] == [0, 0, 0]
    step = same.points[2].previous
    assert step is not None
    assert step.p_adjusted is not None
    assert "(settings differ" in history.series_table(same).rows[2][-1].shown


def test_best_of_says_how_optimistic_it_is_and_no_length_is_best(tmp_path: Path) -> None:
    every = series_of(tmp_path, STEPS)
    series = rates(every)
    selection = history.best_of(series)
    assert selection is not None
    assert "step-" in history.best_sentence(selection, series)
    points = [p.checkpoint for p in series.points]
    (length,) = history.history(points, Options(metric="avg_length"))
    assert history.best_of(length) is None
    assert "better" not in " ".join(screen(history.series_lines(length)))


# --- steps --------------------------------------------------------------------------------------

N_STEPS = 16


def checkpoints_of(runs: list[Run]) -> list[Series]:
    """One checkpoint a run."""
    found = [Checkpoint(f"step-{n}", run, "m", None, None) for n, run in enumerate(runs)]
    return history.history(found)


def training(folder: Path, n: int = N_STEPS, **plan: object) -> list[Run]:
    """Checkpoints that are all equally good, so that no step is one."""
    base = Plan(models=("m",), samples=(60, 20, 40), advantage=0.0)
    return [
        build_run(replace(base, seed=i + 1, **plan), folder / f"r{i}")  # type: ignore[arg-type]
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def equal(tmp_path_factory: pytest.TempPathFactory) -> list[Series]:
    return checkpoints_of(training(tmp_path_factory.mktemp("training"), local_judge=False))


@pytest.mark.slow
def test_steps_are_corrected_over_all_that_is_shown(equal: list[Series]) -> None:
    """Holm, as statsmodels computes it."""
    steps = [p.previous for series in equal for p in series.points if p.previous is not None]
    oracle = multipletests([step.comparison.p for step in steps], method="holm")[1]
    assert [step.p_adjusted for step in steps] == pytest.approx(list(oracle))
    assert {step.family for step in steps} == {"history"}
    assert {series.tests for series in equal} == {len(steps)} == {4 * (N_STEPS - 1)}


def test_first_to_last_with_its_direction(tmp_path: Path) -> None:
    (sums,) = [s for s in series_of(tmp_path, STEPS) if s.key.task == "sums"]
    first, last = sums.points[0], sums.points[-1]
    assert last.first is not None
    d = last.first.difference
    assert d.low is not None
    word = "better" if d.low > 0 else NOT_SIGNIFICANT
    said = history.change_sentence(sums)
    figures = [f"{p.figure.value.point:.2f}" for p in (first, last)]
    assert said.startswith(f"{figures[0]} → {figures[1]} from step-100 to step-1000: {word}, ")
    assert said in " ".join(screen(history.series_lines(sums)))
    alone = history.change_sentence(replace(sums, points=sums.points[:1]))
    assert alone == f"{figures[0]} at step-100"


def test_chance_is_called_no_step(equal: list[Series]) -> None:
    steps = [p.previous for series in equal for p in series.points if p.previous is not None]
    alone = {contests.verdict(step.comparison) for step in steps}
    assert {"better", "worse"} & alone, "no step looks like one by chance"
    assert {step.verdict for step in steps} == {"not_significant"}
    for series in equal:
        words = {row[-1].shown for row in history.series_table(series).rows}
        assert words <= {NOT_SIGNIFICANT, MISSING, "not significant after correcting for 60 tests"}
        assert any(
            "Holm's correction over the 60 steps" in x for x in screen(history.series_lines(series))
        )


def test_a_great_step_is_still_one(tmp_path: Path) -> None:
    plan = Plan(models=("m",), samples=(200, 40, 80), local_judge=False)
    runs = [
        build_run(replace(plan, advantage=n * 0.5, seed=7), tmp_path / str(n)) for n in range(2)
    ]
    assert history.series_table(rates(checkpoints_of(runs))).rows[1][-1].shown == "better"


def test_a_local_judge_and_a_limit_are_marked(tmp_path: Path) -> None:
    every = checkpoints_of(training(tmp_path, 3, limit=20))
    rate, accuracy = every[0], every[-1]
    marks = [history.series_table(s).rows[1][-1].shown for s in (rate, accuracy)]
    assert marks[0] == "not significant after correcting for 8 tests (local judge, limited run)"
    assert marks[1] == f"{NOT_SIGNIFICANT} (limited run)"
    notes = [history.series_table(s).note for s in (rate, accuracy)]
    assert "judged by base-judge, a model of the suite" in notes[0]
    assert "judged by" not in notes[1]
    rows = list(csv.DictReader(io.StringIO(history.history_csv(every))))
    assert rows[1]["flags"].startswith("Judged by base-judge: local judge")
    assert "Limited run: at most 20 samples" in rows[1]["flags"]
    assert [row["since_previous"] for row in rows[:2]] == ["", "not_significant"]
    data = json.loads(json.dumps(history.history_json(every, ())))
    assert data["series"][0]["points"][1]["flags"] == rows[1]["flags"]


def test_a_run_that_is_not_as_it_was_sealed_is_left_out(tmp_path: Path) -> None:
    first, second = (write_run(run, run.folder) for run in training(tmp_path, 2))
    path = second.folder / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    runs, (note,) = history.find_runs([tmp_path])
    assert [run.folder for run in runs] == [first.folder]
    assert note.startswith(f"left out: {second.folder}: Figures of this run are not what")


# --- averages: oracle is what `contests` says of the same two models within one run -------------

NAMES = ("step-100", "step-200", "step-300")
RATES = dict(zip(NAMES, (0.45, 0.55, 0.6), strict=True))


def boards(folder: Path, version: int = 1, sizes: dict[str, int] | None = None) -> list[Run]:
    """Three checkpoints of a leaderboard, each in a run of its own."""
    whole = board_run(folder / "whole", RATES, version=version, sizes=sizes)
    runs = []
    for number, name in enumerate(NAMES):
        records = tuple(r for r in whole.records if r.model == name)
        models = [{"name": name, "role": "candidate"}]
        suite = {"models": {name: {"role": "candidate"}}}
        own = replace(
            whole,
            records=records,
            figures=tuple(figures(records, whole.benchmarks, 0.95)),
        )
        own = with_manifest(own, run_id=f"{number}" * 12, models=models, suite=suite)
        runs.append(write_run(own, folder / f"r{number}"))
    return runs


AVERAGE = FigureKey(ENTRY, ENTRY, "average")


def shown(runs: list[Run], options: Options = Options()) -> dict[FigureKey, Series]:  # noqa: B008
    found = history.history(history.checkpoints(runs).checkpoints, options)
    return {series.key: series for series in found}


@pytest.mark.parametrize("version", [1, 2])
def test_an_average_has_an_interval_and_the_differences_of_compare(
    tmp_path: Path, version: int
) -> None:
    series = shown(boards(tmp_path, version))[AVERAGE]
    assert [p.checkpoint.label for p in series.points] == list(NAMES)
    sizes = V1_SIZES if version == 1 else V2_SIZES
    for point in series.points:
        value = point.figure.value
        assert value.low is not None
        assert value.point is not None
        assert value.high is not None
        assert value.low < value.point < value.high
        assert value.n == sum(sizes.values())
    whole = board_run(tmp_path / "again", RATES, version=version)
    last = series.points[2]
    assert last.previous is not None
    for base, found in ((NAMES[0], last.first), (NAMES[1], last.previous.comparison)):
        rows = contests.contests([whole], NAMES[2], [base], contests.Options())
        (c,) = (r.comparison for r in rows if r.key == AVERAGE)
        assert found is not None
        assert (found.difference, found.candidate, found.baseline) == (c.difference, NAMES[2], base)


def test_columns_are_shown_and_details_only_where_named(tmp_path: Path) -> None:
    runs = boards(tmp_path)
    tasks = [key.task for key in shown(runs)]
    assert tasks == ["arc_challenge", "hellaswag", "truthfulqa_mc2", "winogrande", "gsm8k", "mmlu",
                     ENTRY]  # fmt: skip
    detail = Options(benchmark=f"{ENTRY}/{SUBJECTS[0]}")
    assert list(shown(runs, detail)) == [FigureKey(ENTRY, SUBJECTS[0], "acc")]
    assert {key.task for key in shown(runs, Options(metric="acc"))} >= set(SUBJECTS)
    with pytest.raises(DataError, match="expected one of: open_llm_leaderboard/"):
        shown(runs, Options(benchmark="nothing"))


def test_a_stored_average_with_an_interval_is_kept(tmp_path: Path) -> None:
    runs = boards(tmp_path)
    own = shown(runs)[AVERAGE].points[0].figure
    mine = Figure(own.model, AVERAGE, "percent", replace(own.value, point=50.0))
    method = replace(own.value.method, interval=Interval.NONE)
    bare = replace(
        mine,
        value=replace(mine.value, standard_error=None, low=None, high=None, method=method),
    )
    for row, kept in ((mine, True), (bare, False)):
        first = replace(runs[0], figures=(*runs[0].figures, row))
        point = shown([first, *runs[1:]])[AVERAGE].points[0]
        assert (point.figure == row) is kept
        assert point.figure.value.low is not None


@pytest.mark.parametrize(
    ("of_average", "change", "said"),
    [
        ("average", lambda a: replace(a, of=a.of[:-1]), "over other tasks here"),
        ("acc (mean of tasks)", lambda a: replace(a, by_size=True), "declared otherwise here"),
    ],
)
def test_averages_that_are_made_otherwise_are_not_joined(
    tmp_path: Path, of_average: str, change: Callable[[Average], Average], said: str
) -> None:
    """As `compare` does not compare them, be it what an average of averages is made of."""
    runs = boards(tmp_path / "all")
    entry = runs[2].benchmark(ENTRY)
    averages = tuple(change(a) if a.metric.name == of_average else a for a in entry.averages)
    changed = entry.model_copy(update={"averages": averages})
    manifest = runs[2].manifest.model_copy(update={"benchmarks": (changed,)})
    series = shown([*runs[:2], replace(runs[2], manifest=manifest)])
    last = series[AVERAGE].points[2]
    assert (last.segment, last.first) == (1, None)
    assert said in last.split
    assert series[FigureKey(ENTRY, "hellaswag", "acc_norm")].points[2].first is not None


# --- what is written ----------------------------------------------------------------------------


def test_csv_comes_back_as_it_was_and_has_no_formulas_for_a_spreadsheet(tmp_path: Path) -> None:
    """The same rule as `evalkit export --format csv`; numbers below 0 are no formulas."""
    every = series_of(tmp_path, [("=cmd|calc-1", 5), ("@SUM(A1)-2", 6)])
    rows = list(csv.DictReader(io.StringIO(history.history_csv(every))))
    assert list(rows[0]) == list(history.CSV_COLUMNS)
    points = [p.figure.value.point for series in every for p in series.points]
    assert [float(row["point"]) if row["point"] else None for row in rows] == points
    plain = list(csv.reader(io.StringIO(history.history_csv(every))))
    safe = list(csv.reader(io.StringIO(history.history_csv(every, spreadsheet=True))))
    changed = [
        (a, b)
        for x, y in zip(plain, safe, strict=True)
        for a, b in zip(x, y, strict=True)
        if a != b
    ]
    assert {a for a, _ in changed} == {"=cmd|calc-1", "@SUM(A1)-2"}
    assert all(b == f"'{a}" for a, b in changed)
    assert history.formula_cells(every) == len(changed) > 0


def test_charts_and_lines_hold_hostile_names(tmp_path: Path) -> None:
    first = rates(series_of(tmp_path, STEPS))
    hostile = 'x"><script>alert(1)</script>&step-7'
    spoilt = [replace(p.checkpoint, label=hostile) for p in first.points[:2]]
    for series in (first, rates(history.history(spoilt))):
        root = ET.fromstring(svg.trend(history.series_trend(series)))
        names = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert {"title", "desc"} <= names
        assert "script" not in names
        assert len(history.sparkline(series).replace(" ", "")) == len(series.points)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = series_of(tmp_path / "runs", STEPS)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(command, ["runs", "--csv", "h.csv", "--svg", "h.svg"])
    assert done.exit_code == 0, done.output
    assert "AlpacaEval, win rate (percent)" in done.output
    assert (tmp_path / "h.csv").read_bytes() == history.history_csv(every).encode()
    titles = [e.text for e in ET.parse("h.svg").getroot().iter() if e.tag.endswith("title")]
    assert "AlpacaEval, win rate (percent)" in titles
    for option, file in (("--csv", "h.csv"), ("--svg", "h.svg")):
        to_stdout = CliRunner().invoke(command, ["runs", option, "-"])
        assert to_stdout.stdout_bytes == (tmp_path / file).read_bytes()
    as_json = CliRunner().invoke(command, ["runs", "--json"])
    assert len(json.loads(as_json.stdout)["series"]) == 4
    both = CliRunner().invoke(command, ["runs", "--csv", "-", "--json"])
    assert both.exit_code == 2
    assert "--csv - and --json all go to standard output" in both.output
    with pytest.raises(DataError):
        CliRunner().invoke(command, ["nowhere"], standalone_mode=False, catch_exceptions=False)
