"""`evalkit gate` as CI runs it: exit codes, files, GitHub's environment, the composite action."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from tests.support.cli import evalkit as run

pytestmark = pytest.mark.slow

POLICY = """
name: policy
models:
  new: {{role: candidate, engine: {{type: fake}}}}
  old: {{role: baseline, engine: {{type: fake}}}}
judges:
  gpt: {{type: recorded, model: gpt-4, judgments: {{}}}}
benchmarks:
  - {{type: alpaca_eval, version: 1, judge: gpt}}
gate: {{baseline: old, margins: {{default: {margin}}}, on_inconclusive: {undecided}}}
"""


def judged(model: str, losses: int) -> list[dict[str, Any]]:
    """200 judged pairs, of which `model` loses the first ones."""
    return [
        {
            "instruction": f"Do {n}.",
            "output_1": "reference",
            "generator_1": "text_davinci_003",
            "output_2": f"answer {n} of {model}",
            "generator_2": model,
            "annotator": "alpaca_eval_gpt4",
            "preference": 1.0 if n < losses else 2.0,
        }
        for n in range(200)
    ]


def evalkit(folder: Path, *arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
    done = run(folder, *arguments, **given)
    return subprocess.CompletedProcess(arguments, done.code, done.out, done.err)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs `good` (equal models) and `bad` (the candidate loses 60 of 200 more), and policies."""
    place = tmp_path_factory.mktemp("gate")
    for name, losses in (("good", 40), ("bad", 100)):
        (place / "new.json").write_text(json.dumps(judged("new", losses)))
        (place / "old.json").write_text(json.dumps(judged("old", 40)))
        done = evalkit(place, "import", "alpaca_eval", "new.json", "old.json", "--out", name)
        assert done.returncode == 0, done.stderr
    (place / "wide.yaml").write_text(POLICY.format(margin=5.0, undecided="warn"))
    (place / "strict.yaml").write_text(POLICY.format(margin=0.5, undecided="fail"))
    (place / "lenient.yaml").write_text(POLICY.format(margin=0.5, undecided="warn"))
    return place


def test_exit_codes(folder: Path) -> None:
    passed = evalkit(folder, "gate", "good", "--policy", "wide.yaml")
    assert passed.returncode == 0, passed.stderr
    assert passed.stdout.startswith("Gate passed: new against old")
    failed = evalkit(folder, "gate", "bad", "--policy", "wide.yaml")
    assert failed.returncode == 1
    assert "Gate failed: new against old, a regression" in failed.stdout
    undecided = evalkit(folder, "gate", "good", "--policy", "strict.yaml")
    assert undecided.returncode == 3
    assert "do not resolve" in undecided.stdout or "inconclusive" in undecided.stdout
    assert evalkit(folder, "gate", "good").returncode == 2
    assert evalkit(folder, "gate", "nowhere").returncode == 2


def test_doubtful_runs_are_marked(folder: Path) -> None:
    done = evalkit(folder, "gate", "good", "--policy", "wide.yaml")
    assert "200 instructions were judged" in done.stdout


def test_files_and_json(folder: Path) -> None:
    done = evalkit(
        folder, "gate", "bad", "--policy", "wide.yaml", "--json", "--junit", "g.xml",
        "--comment", "g.md",
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert (found["verdict"], found["exit_code"]) == ("regression", 1)
    assert found["decisions"][0]["difference"] == pytest.approx(-30.0)
    (suite,) = ET.fromstring((folder / "g.xml").read_bytes())
    assert suite.get("failures") == "1"
    assert (folder / "g.md").read_text().startswith("<!-- evalkit gate -->")


def test_githubs_environment(folder: Path) -> None:
    summary = folder / "summary.md"
    summary.write_text("before\n")
    done = evalkit(
        folder, "gate", "bad", "--policy", "wide.yaml",
        GITHUB_STEP_SUMMARY=str(summary), GITHUB_ACTIONS="true",
    )  # fmt: skip
    assert summary.read_text().startswith("before\n## evalkit gate\n")
    assert "| AlpacaEval | win rate |" in summary.read_text()
    assert "::error title=evalkit gate::Gate failed" in done.stdout


def test_a_pinned_baseline_takes_the_runs_place(folder: Path) -> None:
    pinned = evalkit(
        folder, "gate", "good", "--policy", "wide.yaml", "--write-baseline", "baseline.json"
    )
    assert "baseline: baseline.json" in pinned.stderr
    done = evalkit(
        folder, "gate", "bad", "--policy", "wide.yaml", "--baseline-run", "baseline.json", "--json"
    )
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["decisions"][0]["difference"] == pytest.approx(-30.0)
    again = evalkit(
        folder, "gate", "good", "--candidate", "old", "--policy", "wide.yaml",
        "--baseline-run", "baseline.json",
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    spoilt = evalkit(folder, "gate", "bad", "--policy", "wide.yaml", "--write-baseline", "no.json")
    assert "not written: no.json, since the gate's verdict is regression" in spoilt.stderr
    assert spoilt.returncode == 1
    undecided = evalkit(
        folder, "gate", "good", "--policy", "lenient.yaml", "--write-baseline", "no.json"
    )
    assert "not written: no.json, since the gate's verdict is inconclusive" in undecided.stderr
    assert undecided.returncode == 3
    assert not (folder / "no.json").exists()


def test_required_evidence_that_is_missing_fails_whatever_the_policy_says_of_noise(
    folder: Path,
) -> None:
    wide = (folder / "wide.yaml").read_text()
    more = "  - {type: mt_bench, judge: gpt}\ngate: {required: [alpaca_eval, mt_bench], "
    a_unit = wide.replace("default: 5.0", "default: {percent: 5, points: 1}")
    (folder / "required.yaml").write_text(a_unit.replace("gate: {", more))
    done = evalkit(folder, "gate", "good", "--policy", "required.yaml")
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("Gate incomplete: new against old, no samples that both have for")
    assert "because: MT-Bench: no samples that both have" in done.stdout


def test_a_stored_run_can_be_the_baseline(folder: Path) -> None:
    done = evalkit(
        folder, "gate", "bad", "--policy", "wide.yaml", "--baseline-run", "good", "--json"
    )
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["baseline"] == "good:old"


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_the_action_runs_as_github_runs_it(folder: Path, repository: Path) -> None:
    """Its gate step through bash, with inputs in the environment and outputs in a file."""
    done, said = gate_step(folder, repository, target="bad", policy="wide.yaml")
    assert done.returncode == 1, done.stderr
    assert said["verdict"] == "regression"
    assert Path(said["junit"]).exists()
    assert Path(said["comment"]).exists()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_the_action_names_no_file_that_the_gate_did_not_write(
    folder: Path, repository: Path
) -> None:
    """Nor one that an earlier gate of the job left behind; JUnit says why there is no verdict."""
    (folder / "broken.yaml").write_text("name: [")
    gate_step(folder, repository, target="bad", policy="wide.yaml")
    done, said = gate_step(folder, repository, target="broken.yaml")
    assert done.returncode == 2
    assert set(said) == {"verdict", "junit"}
    assert said["verdict"] == ""
    written = Path(said["junit"]).read_text()
    assert "<error" in written
    assert "broken.yaml:1" in written


def gate_step(
    folder: Path, repository: Path, *, target: str, policy: str = ""
) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """What the action's gate step did, and its outputs."""
    action = yaml.safe_load((repository / "action.yml").read_text())
    step = next(s for s in action["runs"]["steps"] if s.get("id") == "gate")
    given = {
        "inputs.target": target,
        "inputs.candidate": "",
        "inputs.baseline-run": "",
        "inputs.policy": policy,
    }
    assert set(action["inputs"]) >= {name.removeprefix("inputs.") for name in given}
    variables = {k: given[v.strip("${ }")] for k, v in step["env"].items()}
    outputs = folder / "outputs"
    outputs.write_text("")
    (folder / "bin").mkdir(exist_ok=True)
    command = folder / "bin" / "evalkit"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m evalkit "$@"\n')
    command.chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EVALKIT", "GITHUB"))}
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    more = {"PATH": path, "RUNNER_TEMP": str(folder), "GITHUB_OUTPUT": str(outputs)}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env={**kept, **more, **variables, "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done, dict(line.split("=", 1) for line in outputs.read_text().splitlines())


@pytest.mark.parametrize("name", ["github.yml", "gitlab.yml"])
def test_examples_name_options_that_exist(name: str, repository: Path) -> None:
    found = yaml.safe_load((repository / "examples" / "ci" / name).read_text())
    action = yaml.safe_load((repository / "action.yml").read_text())
    text = (repository / "examples" / "ci" / name).read_text()
    if name == "github.yml":
        (step,) = (s for s in found["jobs"]["gate"]["steps"] if s.get("id") == "gate")
        assert set(step["with"]) <= set(action["inputs"])
    else:
        for option in ("--baseline-run", "--junit", "--comment"):
            assert option in text
        assert found["model-gate"]["artifacts"]["reports"]["junit"] == "gate.xml"
