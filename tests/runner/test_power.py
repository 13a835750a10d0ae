"""What a suite can resolve: known answers, and where the numbers come from."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner
from statsmodels.stats.power import TTestPower

from evalkit import plugins, runner
from evalkit import suite as suites
from evalkit.cli.compare import power as command
from evalkit.comparison.power import ASSUMED_SHARE, Design, Power, power_of
from evalkit.core.figures import FigureKey
from evalkit.core.specs import GateSpec
from evalkit.errors import SuiteError
from evalkit.runner.powering import power
from tests.support.runs import Plan, build_run

SUITE = """
name: small
models:
  a: {role: candidate, engine: {type: fake}}
  b: {role: baseline, engine: {type: fake}}
judges:
  j: {type: openai, model: gpt-4-0613, base_url: "http://127.0.0.1:9/v1"}
benchmarks:
  - {type: alpaca_eval, version: 1, judge: j, data: mine.json}
gate: {baseline: b, margins: {default: 3.0}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        {"instruction": f"Do {n}.", "output": "Done.", "generator": "r", "dataset": "own"}
        for n in range(200)
    ]
    (tmp_path / "mine.json").write_text(json.dumps(rows))
    (tmp_path / "small.yaml").write_text(SUITE)
    return tmp_path


def rows_of(folder: Path, *past: Path, limit: int | None = None) -> list[Power]:
    suite = suites.load(folder / "small.yaml", (), plugins)
    origin = runner.Origin("small.yaml", folder, folder, ("evalkit", "power"))
    runs = [build_run(Plan(models=("a", "b")), place) for place in past]
    return power(suite, origin, limit, runs, lambda _: None)


def effect(n: int, alpha: float) -> float:
    """In standard deviations of one unit, found by a one-sided t test with power 0.8."""
    found = TTestPower().solve_power(nobs=n, alpha=alpha, power=0.8, alternative="larger")
    return float(found)


def test_without_a_past_run_the_variation_is_assumed_and_said_to_be(folder: Path) -> None:
    """Oracle: statsmodels' power of the t test."""
    (row,) = rows_of(folder)
    error = math.sqrt(ASSUMED_SHARE * 100**2 / 200)
    assert (row.design.n, row.design.n_units, row.design.n_available) == (200, 200, 200)
    assert row.variance_source.startswith("assumed")
    deviation = error * math.sqrt(200)
    assert row.mde == pytest.approx(effect(200, 0.025) * deviation, rel=1e-4)
    assert row.resolvable == pytest.approx(effect(200, 0.05) * deviation, rel=1e-4)
    assert row.worst_mde == pytest.approx(effect(200, 0.025) * 100, rel=1e-4)
    assert row.underpowered
    assert row.needed is not None
    assert effect(row.needed, 0.05) * deviation <= 3.0 < effect(row.needed - 1, 0.05) * deviation


def test_a_past_run_tells_how_much_samples_vary(folder: Path, tmp_path: Path) -> None:
    (row,) = rows_of(folder, tmp_path / "past")
    run = build_run(Plan(models=("a", "b")), tmp_path / "past")
    seen = next(c.difference for c in run.comparisons if c.key.metric == "win_rate")
    assert seen.standard_error is not None
    assert row.variance == pytest.approx(seen.n_units * seen.standard_error**2)
    assert row.variance_source == "past: a and b"


def test_a_limit_leaves_less_to_resolve_with(folder: Path) -> None:
    (all_of_them,) = rows_of(folder)
    (few,) = rows_of(folder, limit=50)
    assert (few.design.n, few.design.n_available) == (50, 200)
    more = effect(50, 0.025) / effect(200, 0.025)
    assert few.mde == pytest.approx(more * (all_of_them.mde or 0), rel=1e-4)
    assert more > 2


def test_data_that_is_not_here_counts_by_its_published_size(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVALKIT_DATA", raising=False)
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    text = (folder / "small.yaml").read_text().replace(", data: mine.json", "")
    (folder / "small.yaml").write_text(text)
    (row,) = rows_of(folder)
    design = row.design
    assert (design.n, design.source, design.key.metric) == (805, "published size", "win_rate")


def edited(folder: Path, *changes: tuple[str, str]) -> None:
    text = (folder / "small.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "small.yaml").write_text(text)


def test_where_only_figures_are_known_there_is_nothing_to_resolve(
    folder: Path, tmp_path: Path
) -> None:
    """Recorded models without answers, judgments or results; a past run would tell more."""
    recorded = ("engine: {type: fake}}\njudges", "engine: {type: recorded}}\njudges")
    edited(folder, recorded)
    (row,) = rows_of(folder)
    assert (row.design.n, row.mde, row.worst_mde, row.resolvable, row.needed) == (200, *4 * (None,))
    assert row.variance_source.startswith("no samples to compare")
    assert not row.underpowered
    (seen,) = rows_of(folder, tmp_path / "past")
    assert seen.mde is not None


def test_samples_that_share_a_text_are_one_unit() -> None:
    """Ten documents of five passages: both numbers, and which of them is resampled."""
    design = Design(FigureKey("b", "t", "acc"), "percent", 10, 5, 5, "its data")
    row = power_of(design, [], GateSpec(baseline="b"), 1.0)
    assert (row.to_json()["n"], row.to_json()["n_clusters"]) == (10, 5)
    assert "units differ in all their samples" in row.variance_source


def test_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    def invoked(*args: str) -> str:
        return (
            CliRunner().invoke(command, args, standalone_mode=False, catch_exceptions=False).output
        )

    shown = invoked("small.yaml")
    assert "AlpacaEval" in shown
    assert "warning: AlpacaEval: the margin 3.00 is under " in shown
    assert "samples, and the benchmark has only 200: allow a wider margin" in shown
    assert json.loads(invoked("small.yaml", "--json", "--limit", "20"))["power"][0]["n"] == 20
    with pytest.raises(SuiteError):
        invoked("nowhere.yaml")
