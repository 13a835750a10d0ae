"""What the gate says of a required test that one side, or both, were never asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evalkit import gate
from evalkit.core import Record
from evalkit.core.specs import GateSpec
from evalkit.draw import table_to_text
from evalkit.gate import GateResult
from evalkit.gate.table import gate_warnings
from tests.support.runs import Plan, build_run

SPEC = GateSpec(baseline="b", margins={"default": 5.0, "mt_bench": 0.3})


def gated(tmp_path: Path, task: str, *, without: tuple[str, ...]) -> GateResult:
    """Of a run in which `without` have no records of a task."""

    def is_there(record: Record) -> bool:
        return not (record.task == task and record.model in without)

    run = build_run(tmp_path / "r", Plan(models=("a", "b"), samples=(24, 16, 40)))
    kept = replace(run, records=tuple(r for r in run.records if is_there(r)), comparisons=())
    return gate.gate_run(kept, SPEC)


def scores(tmp_path: Path, task: str, metric: str) -> tuple[int, int]:
    """How many model `a` was asked, and how many it has; counted by hand from the records."""
    run = build_run(tmp_path / "r", Plan(models=("a", "b"), samples=(24, 16, 40)))
    mine = [r for r in run.records if (r.model, r.task) == ("a", task)]
    each = 2 if task == "mt_bench" else 1
    return each * len(mine), sum(s.metric == metric for r in mine for s in r.outcome.scores)


@pytest.mark.parametrize(
    ("task", "metric", "margin"), [("opposites", "acc", " 5.00 "), ("mt_bench", "score", " 0.30 ")]
)
def test_what_only_one_side_was_asked_is_counted_as_the_others(
    task: str, metric: str, margin: str, tmp_path: Path
) -> None:
    result = gated(tmp_path, task, without=("b",))
    (missing,) = (d for d in result.decisions if d.verdict == "missing")
    asked, have = scores(tmp_path, task, metric)
    assert (missing.metric, missing.n_missing) == (metric, (asked - have, asked))
    table = table_to_text(gate.gate_table(result)).splitlines()
    (line,) = (one for one in table if "MISSING" in one)
    assert margin in line
    assert f"{asked - have}, {asked}" in line
    assert not any("the rest" in w for w in gate_warnings(result) if missing.label in w)


def test_what_nobody_was_asked_is_not_counted(tmp_path: Path) -> None:
    result = gated(tmp_path, "opposites", without=("a", "b"))
    (missing,) = (d for d in result.decisions if d.verdict == "missing")
    assert (missing.metric, missing.unit, missing.n_missing) == ("acc", "percent", None)
    assert "0, 0  MISSING" not in "\n".join(gate.gate_lines(result))
    (found,) = (d for d in result.to_json()["decisions"] if d["verdict"] == "missing")
    assert found["n_missing"] is None
