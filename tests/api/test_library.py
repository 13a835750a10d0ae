"""The library's functions answer what the commands answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import evalkit
from evalkit.comparison.contests import contest_json
from evalkit.comparison.gate import gate_json, pin
from evalkit.core.run import Run
from evalkit.core.specs import GateSpec
from evalkit.errors import ComparisonError, SuiteError
from tests.support.cli import evalkit as command
from tests.support.runs import Plan, build_run, with_suite, write_run

GATE = {"baseline": "b", "margins": {"default": {"percent": 3.0, "points": 3.0}}}


@pytest.fixture
def stored(tmp_path: Path) -> Run:
    """A run on disk whose suite has a gate."""
    run = build_run(Plan(models=("a", "b", "c"), advantage=0.4))
    return write_run(with_suite(run, gate=GATE), tmp_path / "run")


def test_comparing_is_the_command(stored: Run) -> None:
    rows = evalkit.compare(stored, baselines=["b"])
    done = command(stored.folder.parent, "compare", "run", "--baseline", "b", "--json")
    assert [contest_json(row) for row in rows] == json.loads(done.out)["comparisons"]
    assert evalkit.compare(stored.folder, baselines=["b"]) == rows
    assert evalkit.compare(str(stored.folder), baselines=["b"], level=0.5) != rows


def test_a_claim_is_the_command(stored: Run) -> None:
    text = "a beats b and c on lm_eval/sums"
    done = command(stored.folder.parent, "claim", "run", text, "--json")
    assert evalkit.claim(text, stored).to_json() == json.loads(done.out)
    with pytest.raises(ComparisonError, match="no model is called 'x'"):
        evalkit.claim("x beats b", stored.folder)


def test_a_gate_is_the_command(stored: Run, tmp_path: Path) -> None:
    result = evalkit.gate(stored)
    done = command(stored.folder.parent, "gate", "run", "--json")
    # Notes name the folder, as it was given.
    assert {**gate_json(result), "notes": []} == {**json.loads(done.out), "notes": []}
    assert done.code == result.exit_code
    pinned = tmp_path / "baseline.json"
    pinned.write_bytes(pin(stored, "b"))
    again = evalkit.gate(stored, baseline_run=pinned)
    assert [t.bounds for t in again.tests] == [t.bounds for t in result.tests]
    assert evalkit.gate(stored, candidate="a", baseline_run=stored) == result


def test_a_gate_needs_a_policy(stored: Run) -> None:
    bare = with_suite(stored, gate=None)
    with pytest.raises(SuiteError, match="no gate section"):
        evalkit.gate(bare)
    with pytest.raises(SuiteError, match="suite 'quickstart' has no gate section"):
        evalkit.gate(stored, evalkit.load_suite("quickstart"))


def test_what_a_policy_requires_is_never_passed_in_silence(stored: Run) -> None:
    """Required by name, but in neither side's run."""
    demanding = GateSpec(
        baseline="b",
        margins={"default": {"percent": 99.0, "points": 99.0}},
        required=("lm_eval", "other/task"),
    )
    result = evalkit.gate(with_suite(stored, gate=demanding))
    assert (result.verdict, result.exit_code) == ("incomplete", 3)
    assert any("other" in reason and "no samples" in reason for reason in result.reasons)
