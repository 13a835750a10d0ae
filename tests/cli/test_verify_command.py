"""`evalkit verify`, and that no command which reads a run executes what came with it."""

from __future__ import annotations

import hashlib
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


def test_a_run_as_it_was_sealed_holds(workspace: Path) -> None:
    done = evalkit(workspace, "verify", "run")
    assert done.code == 0, done.out + done.err
    sums = (workspace / "run" / "SHA256SUMS").read_bytes()
    assert f"digest: {hashlib.sha256(sums).hexdigest()}" in done.out
    results = json.loads((workspace / "run" / "results.json").read_text())
    figures = [r for r in results["estimates"] if "published" not in r]
    assert f"the same: {len(figures) + len(results['comparisons'])} figures" in done.out
    assert "the source says so" in done.out, "published figures are not recomputed"


@pytest.mark.parametrize("field", ["point", "low", "standard_error"])
def test_a_figure_that_was_changed_is_named(workspace: Path, field: str) -> None:
    path = workspace / "run" / "results.json"
    results = json.loads(path.read_text())
    results["estimates"][0][field] += 1e-3
    path.write_text(json.dumps(results))
    done = evalkit(workspace, "verify", "run")
    assert done.code == 1
    assert "CHANGED: results.json was changed after the run was sealed" in done.out
    assert f"DIFFERENT: quick-lora/alpaca_eval/alpaca_eval/win_rate: {field}" in done.out
    said = json.loads(evalkit(workspace, "verify", "run", "--json").out)
    assert said["holds"] is False


def test_reading_a_run_executes_nothing_of_its_folder(tmp_path: Path) -> None:
    """A task whose text is a function, of a suite whose run someone else reads."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "marked.py").write_text(
        "from pathlib import Path\n"
        f"def text(doc):\n    Path({str(tmp_path / 'EXECUTED')!r}).touch()\n    return doc['q']\n"
    )
    rows = [{"q": f"Question {n}?", "choices": ["yes", "no"], "answer": 0} for n in range(4)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "tasks" / "docs.jsonl").write_text(lines)
    (tmp_path / "tasks" / "marked.yaml").write_text(
        "task: marked\n"
        "dataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {tmp_path / 'tasks' / 'docs.jsonl'}}}}}\n"
        "output_type: multiple_choice\ntest_split: test\nnum_fewshot: 0\n"
        "doc_to_text: !function marked.text\ndoc_to_choice: choices\ndoc_to_target: answer\n"
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
        "metadata: {version: 1.0}\n"
    )
    (tmp_path / "s.yaml").write_text(
        "name: s\n"
        "models:\n"
        "  mine: {role: candidate, path: m, engine: {type: fake, seed: 1}}\n"
        "  base: {role: baseline, path: b, engine: {type: fake, seed: 2}}\n"
        "benchmarks: [{type: lm_eval, name: own, tasks: [marked], include: tasks}]\n"
        "gate: {baseline: base, margins: {default: 50}}\n"
    )
    made = evalkit(tmp_path, "run", "s.yaml", "--out", "run", "--trust-suite")
    assert made.code == 0, made.err
    assert (tmp_path / "EXECUTED").exists(), "the task's own run does execute it"
    (tmp_path / "EXECUTED").unlink()
    path = tmp_path / "run" / "results.json"
    results = json.loads(path.read_text())
    results["estimates"].append({**results["estimates"][0], "metric": "made_up", "point": 99.0})
    path.write_text(json.dumps(results))
    done = evalkit(tmp_path, "evidence", "run", "mine/own/marked/made_up")
    assert done.code == 1
    assert "none of the 4 has a value of made_up" in done.err
    commands = ("verify run", "report run --out o", "compare run", "gate run", "card write run")
    for command in (*commands, "export run --format json --out e", "report . --index"):
        evalkit(tmp_path, "--trust-suite", *command.split())
    assert not (tmp_path / "EXECUTED").exists()
