"""`evalkit evidence` as a reader of a card meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import evalkit
from tests.support.runs import Plan, stored_run

pytestmark = pytest.mark.slow


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    stored_run(tmp_path / "run", Plan(published=True))
    return tmp_path


def test_it_shows_the_chain_and_writes_the_samples(workspace: Path) -> None:
    done = evalkit(workspace, "evidence", "run", "quick-lora/lm_eval/sums", "--samples", "s.jsonl")
    assert done.code == 0, done.err
    assert "the same: from " in done.out
    rows = [json.loads(line) for line in (workspace / "s.jsonl").read_text().splitlines()]
    assert {(r["model"], r["task"]) for r in rows} == {("quick-lora", "sums")}
    printed = evalkit(workspace, "evidence", "run", "quick-lora/lm_eval/sums", "--json")
    assert json.loads(printed.out)["samples"]["n"] == sum(
        bool(r["outcome"]["scores"]) for r in rows
    )


def test_records_that_say_something_else_are_a_negative_verdict(workspace: Path) -> None:
    file = workspace / "run" / "results.json"
    results = json.loads(file.read_text())
    results["estimates"][0]["point"] += 1
    file.write_text(json.dumps(results))
    done = evalkit(workspace, "evidence", "run", "quick-lora/alpaca_eval")
    assert done.code == 1, done.err
    assert "DIFFERENT" in done.out
    assert "point: results.json has" in done.out


def test_what_is_not_there_is_an_input_error(workspace: Path) -> None:
    done = evalkit(workspace, "evidence", "run", "91.38")
    assert done.code == 2
    assert "expected MODEL/BENCHMARK" in done.err


def test_extra_figures_need_a_suite_that_can_be_built(workspace: Path) -> None:
    # The built run's suite names no benchmarks: what is no mean over samples is not recomputed.
    file = workspace / "run" / "results.json"
    results = json.loads(file.read_text())
    results["estimates"].append({**results["estimates"][0], "metric": "length_controlled"})
    file.write_text(json.dumps(results))
    done = evalkit(workspace, "evidence", "run", "quick-lora/alpaca_eval/length_controlled")
    assert done.code == 0, done.err
    assert "not recomputed" in done.out
