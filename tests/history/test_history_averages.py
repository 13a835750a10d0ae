"""A leaderboard's average over checkpoints: with intervals and paired differences, everywhere.

Oracle: what `compare` says of the same two models within one run.
"""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from evalkit import compare, history
from evalkit.cli.history import command
from evalkit.compare.averages import average_estimates
from evalkit.compare.sides import Part, averages_of, metrics_of
from evalkit.core import Estimate, Json, Run
from evalkit.history import Options, Series
from tests.support.leaderboards import ENTRY, SUBJECTS, V1_SIZES, V2_SIZES, board_run
from tests.support.stored import seal

NAMES = ("step-100", "step-200", "step-300")
HEADLINES = Options()
RATES = dict(zip(NAMES, (0.45, 0.55, 0.6), strict=True))


def stored(folder: Path, version: int = 1, sizes: dict[str, int] | None = None) -> list[Run]:
    """Three checkpoints, each in a run of its own, and what each prints of its tasks."""
    whole = board_run(folder / "whole", RATES, version=version, sizes=sizes)
    runs = []
    for number, name in enumerate(NAMES):
        records = tuple(r for r in whole.records if r.model == name)
        metrics = {ENTRY: metrics_of(Part(whole, name, ENTRY))}
        run = replace(
            whole,
            records=records,
            estimates=tuple(compare.estimates(records, metrics, 0.95)),
        )
        about: dict[str, Json] = {
            "format": 1,
            "run_id": f"{number}" * 12,
            "models": [{"name": name, "role": "candidate"}],
            "suite": {"models": {name: {"role": "candidate"}}},
        }
        runs.append(seal(run, folder / f"r{number}", None, **about))
    return runs


def shown(runs: list[Run], options: Options = HEADLINES) -> dict[tuple[str, str], Series]:
    every = history.history(history.checkpoints(runs).checkpoints, options)
    return {(series.task, series.metric.name): series for series in every}


@pytest.mark.parametrize("version", [1, 2])
def test_the_average_is_a_figure_with_an_interval(tmp_path: Path, version: int) -> None:
    series = shown(stored(tmp_path, version))[ENTRY, "average"]
    assert [p.checkpoint.label for p in series.points] == list(NAMES)
    for point in series.points:
        row = point.estimate
        assert row.point is not None
        assert row.low is not None
        assert row.high is not None
        assert row.low < row.point < row.high
    sizes = V1_SIZES if version == 1 else V2_SIZES
    assert {p.estimate.n for p in series.points} == {sum(sizes.values())}


@pytest.mark.parametrize("version", [1, 2])
def test_its_differences_are_those_of_compare(tmp_path: Path, version: int) -> None:
    series = shown(stored(tmp_path, version))[ENTRY, "average"]
    whole = board_run(tmp_path / "again", RATES, version=version)
    for base, found in ((NAMES[0], series.points[2].first), (NAMES[1], series.points[2].previous)):
        rows = compare.compare([whole], NAMES[2], [base], compare.Options())
        (c,) = (
            r.comparison
            for r in rows
            if (r.comparison.task, r.comparison.metric) == (ENTRY, "average")
        )
        assert found is not None
        assert (found.difference, found.low, found.high) == (c.difference, c.low, c.high)
        assert (found.candidate, found.baseline) == (NAMES[2], base)


def test_columns_are_shown_and_details_only_where_named(tmp_path: Path) -> None:
    runs = stored(tmp_path)
    tasks = [task for task, _ in shown(runs)]
    assert tasks == ["arc_challenge", "hellaswag", "truthfulqa_mc2", "winogrande", "gsm8k", "mmlu",
                     ENTRY]  # fmt: skip
    detail = Options(benchmark=f"{ENTRY}/{SUBJECTS[0]}")
    assert list(shown(runs, detail)) == [(SUBJECTS[0], "acc")]
    assert {task for task, _ in shown(runs, Options(metric="acc"))} >= set(SUBJECTS)


def test_a_stored_average_with_an_interval_is_kept(tmp_path: Path) -> None:
    runs = stored(tmp_path)
    mine = Estimate(
        NAMES[0], ENTRY, ENTRY, "average", None, 50.0, 1.0, 48.0, 52.0, 0.95, 9, 9, 0,
        "percent", "as lm-eval prints it",
    )  # fmt: skip
    bare = replace(mine, standard_error=None, low=None, high=None)
    for row, kept in ((mine, True), (bare, False)):
        first = replace(runs[0], estimates=(*runs[0].estimates, row))
        point = shown([first, *runs[1:]])[ENTRY, "average"].points[0]
        assert (point.estimate == row) is kept
        assert point.estimate.low is not None


def test_an_average_over_other_tasks_is_not_joined(tmp_path: Path) -> None:
    runs = stored(tmp_path / "six")
    fewer = {task: n for task, n in V1_SIZES.items() if task != SUBJECTS[0]}
    other = stored(tmp_path / "five", sizes=fewer)
    series = shown([*runs[:2], other[2]])
    last = series[ENTRY, "average"].points[2]
    assert (last.segment, last.first) == (1, None)
    assert "over other tasks here" in last.split
    assert series["hellaswag", "acc_norm"].points[2].first is not None


def test_terminal_csv_and_svg_have_it(tmp_path: Path) -> None:
    stored(tmp_path / "runs")
    files = [str(tmp_path / name) for name in ("h.csv", "h.svg")]
    done = CliRunner().invoke(
        command,
        [*(str(tmp_path / "runs" / f"r{n}") for n in range(3)), "--csv", files[0], "--svg",
         files[1]],
        standalone_mode=False,
    )  # fmt: skip
    assert done.exception is None, done.output
    title = "Open LLM Leaderboard average (percent)"
    assert title in done.output
    rows = list(csv.DictReader(io.StringIO(Path(files[0]).read_text())))
    mine = [row for row in rows if row["metric"] == "average"]
    assert [row["checkpoint"] for row in mine] == list(NAMES)
    assert all(float(row["low"]) < float(row["point"]) < float(row["high"]) for row in mine)
    assert all(row["minus_previous_low"] for row in mine[1:])
    titles = [e.text for e in ET.parse(files[1]).getroot().iter() if e.tag.endswith("title")]
    assert title in titles


def test_no_length_is_the_best(tmp_path: Path) -> None:
    from tests.support.training import Made, make_run

    for number in (1, 2):
        make_run(tmp_path / f"r{number}", Made(f"step-{number}", number))
    runs, _ = history.find_runs([tmp_path])
    options = Options(metric="avg_length")
    (series,) = history.history(history.checkpoints(runs).checkpoints, options)
    assert history.best_of(series) is None
    assert "better" not in " ".join(history.series_lines(series))


def test_missing_documents_are_counted(tmp_path: Path) -> None:
    run = stored(tmp_path)[0]
    first = run.records[0]
    lost = replace(first, outcome=replace(first.outcome, status="engine_error", scores=()))
    records = [lost, *run.records[1:]]
    rows = average_estimates(records, averages_of(Part(run, NAMES[0], ENTRY)), 0.95)
    (whole,) = (row for row in rows if row.task == ENTRY)
    assert (whole.n, whole.n_missing) == (sum(V1_SIZES.values()) - 1, 1)
