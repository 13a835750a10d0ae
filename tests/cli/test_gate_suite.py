"""`evalkit gate SUITE`: a run that could not answer everything never ends as a pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from evalkit.cli.compare import gate as command
from evalkit.core.contests import GateResult
from evalkit.stats.decisions import Verdict

SUITE = """\
name: small
models:
  tuned: {{role: candidate, path: tuned}}
  plain: {{role: baseline, path: plain}}
engine: {{type: fake, exclusive: true, faults: faults.json}}
judges:
  local: {{type: engine, model: plain, protocol: text}}
benchmarks:
  - {{type: alpaca_eval, judge: local, data: alpaca.jsonl}}
gate: {{baseline: plain, margins: {{default: {margin}}}, on_inconclusive: {undecided}}}
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".evalkit").mkdir()
    rows = [
        {"instruction": f"Name {n} rivers.", "output": f"River {n}.", "generator": "reference"}
        for n in range(20)
    ]
    (tmp_path / "alpaca.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def write(workspace: Path, margin: float = 100.0, undecided: str = "warn") -> None:
    text = SUITE.format(margin=margin, undecided=undecided)
    (workspace / "small.yaml").write_text(text)


def broken(workspace: Path, every: int | None) -> None:
    path = workspace / "faults.json"
    if every is None:
        path.unlink()
    else:
        path.write_text(json.dumps({"fail_every": every}))


def gated(*more: str) -> Result:
    return CliRunner().invoke(command, ["small.yaml", *more], standalone_mode=False)


def test_all_answered_passes(workspace: Path) -> None:
    done = gated("--json")
    assert done.return_value == 0, done.output
    found = json.loads(done.stdout)
    assert (found["verdict"], found["unanswered"], found["exit_code"]) == ("pass", 0, 0)


def test_what_could_not_be_answered_ends_with_3_although_the_rest_passes(workspace: Path) -> None:
    broken(workspace, 4)
    done = gated("--junit", "g.xml", "--comment", "g.md", "--write-baseline", "b.json")
    assert done.return_value == 3, done.output
    assert "Gate passed: tuned against plain" in done.stdout
    assert "But the run is not complete:" in done.stdout
    assert "run the same command again to resume" in done.stdout
    assert "warning: " in done.stdout
    assert "samples were never answered" in done.stdout
    assert "incomplete: " in done.stderr
    assert "not written: b.json, since the run is not complete" in done.stderr
    assert not (workspace / "b.json").exists()
    assert "the run is not complete" in (workspace / "g.md").read_text()
    (suite,) = ET.fromstring((workspace / "g.xml").read_bytes())
    assert (suite.get("failures"), suite.get("errors")) == ("0", "1")
    assert suite.find("testcase/error") is not None


def test_its_json_says_the_exit_code_that_it_ends_with(workspace: Path) -> None:
    broken(workspace, 4)
    done = gated("--json")
    found = json.loads(done.stdout)
    assert found["unanswered"] > 0
    assert done.return_value == found["exit_code"] == 3


def test_the_same_command_asks_again_and_passes(workspace: Path) -> None:
    broken(workspace, 4)
    assert gated().return_value == 3
    broken(workspace, None)
    done = gated("--write-baseline", "b.json")
    assert done.return_value == 0, done.output
    assert "not complete" not in done.output
    assert (workspace / "b.json").exists()


def test_a_regression_is_one_whatever_is_unanswered() -> None:
    codes = {
        verdict: GateResult(
            "a", "b", verdict, (), (), 0.05, 0.8, fails_undecided=False, unanswered=7
        )
        for verdict in (*get_args(Verdict), "incomplete")
    }
    assert {verdict: result.exit_code for verdict, result in codes.items()} == {
        "pass": 3,
        "inconclusive": 3,
        "incomplete": 3,
        "regression": 1,
    }


def test_nothing_answered_is_incomplete(workspace: Path) -> None:
    write(workspace, undecided="warn")
    broken(workspace, 1)
    done = gated("--json")
    assert done.return_value == 3, done.output
    found = json.loads(done.stdout)
    assert (found["verdict"], found["exit_code"]) == ("incomplete", 3)
    assert found["decisions"][0]["difference"] is None
