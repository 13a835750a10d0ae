"""Each way a run can go wrong: one clear message, the right exit code, nothing finished lost."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

from tests.runner.conftest import faults
from tests.support.cli import evalkit


def records(workspace: Path) -> list[dict[str, object]]:
    (path,) = workspace.glob("reports/small/*/records.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_unreachable_judge_keeps_the_answers(workspace: Path) -> None:
    suite = (workspace / "small.yaml").read_text()
    at = "base_url: 'http://127.0.0.1:9/v1'"
    closed = f"{{type: openai, protocol: text, model: gpt-x, {at}, max_retries: 1, wait_s: 0}}"
    suite = suite.replace("{type: engine, model: plain, protocol: text}", closed)
    (workspace / "small.yaml").write_text(suite)
    done = evalkit(workspace, "run", "small.yaml")
    assert done.code == 3, done.err
    assert "incomplete: 56 samples could not be answered or judged" in done.err
    stored = records(workspace)
    assert {r["outcome"]["status"] for r in stored} == {"transport_error"}  # type: ignore[index]
    assert all(r["outcome"]["answers"] for r in stored)  # type: ignore[index]
    results = next(iter(workspace.glob("reports/small/*/results.json")))
    estimates = json.loads(results.read_text())["estimates"]
    judged = [e["point"] for e in estimates if e["metric"] != "avg_length"]
    assert judged
    assert set(judged) == {None}


def test_an_engine_that_will_not_load(workspace: Path) -> None:
    faults(workspace, down=True)
    done = evalkit(workspace, "run", "small.yaml")
    assert done.code == 4, done.err
    assert done.err.count("error:") == 1
    assert "Traceback" not in done.err


def test_a_missing_data_file(workspace: Path) -> None:
    (workspace / "alpaca.jsonl").rename(workspace / "alpaca2.jsonl")
    done = evalkit(workspace, "run", "small.yaml")
    assert done.code == 2, done.err
    assert "alpaca.jsonl" in done.err
    assert "Traceback" not in done.err


def test_a_bad_suite_says_everything_at_once(workspace: Path) -> None:
    suite = (workspace / "small.yaml").read_text()
    suite = suite.replace("role: baseline", "role: basline").replace(
        "judge: local, data: mt", "judge: lcal, data: mt"
    )
    (workspace / "small.yaml").write_text(suite)
    done = evalkit(workspace, "run", "small.yaml")
    assert done.code == 2
    assert "small.yaml:4" in done.err
    assert "'basline'" in done.err
    assert "baseline" in done.err
    assert "'lcal'" in done.err
    assert evalkit(workspace, "check", "small.yaml").code == 2


def test_a_full_disk_loses_nothing_finished(workspace: Path) -> None:

    def small_files() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    done = subprocess.run(
        [sys.executable, "-m", "evalkit", "run", "small.yaml"],
        cwd=workspace,
        preexec_fn=small_files,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr
    again = evalkit(workspace, "run", "small.yaml")
    assert again.code == 0, again.err


def test_a_limited_run_is_marked(workspace: Path) -> None:
    done = evalkit(workspace, "run", "small.yaml", "--limit", "3")
    assert done.code == 0, done.err
    (manifest,) = workspace.glob("reports/small/*/manifest.json")
    described = json.loads(manifest.read_text())
    assert described["limit"] == 3
    assert described["publishable"] is False
    assert len(records(workspace)) == 12


def test_unknown_names_are_answered_with_the_nearest(workspace: Path) -> None:
    done = evalkit(workspace, "run", "small.yaml", "--only", "mtbench")
    assert done.code == 2
    assert "did you mean 'mt_bench'" in done.err
    done = evalkit(workspace, "run", "small.yaml", "--models", "tuned,plane")
    assert done.code == 2
    assert "did you mean 'plain'" in done.err
    assert evalkit(workspace, "run", "small.yaml", "--limit", "0").code == 2
    assert evalkit(workspace, "run", "smal.yaml").code == 2
    assert evalkit(workspace, "run").code == 2
    assert evalkit(workspace, "run", "--base", "x").code == 2


def test_data_is_looked_at_before_any_weights(workspace: Path) -> None:
    suite = (workspace / "small.yaml").read_text()
    engine = "engine: {type: transformers}"
    lines = [engine if line.startswith("engine:") else line for line in suite.splitlines()]
    (workspace / "small.yaml").write_text("\n".join(lines))
    for name in ("tuned", "plain"):
        (workspace / name).mkdir()
    (workspace / "alpaca.jsonl").write_text("not JSON\n")
    done = evalkit(workspace, "run", "small.yaml")
    assert done.code == 2, done.err
    assert "alpaca.jsonl:1" in done.err
    assert "preparing" not in done.err


def test_a_folder_that_is_not_the_runs_is_left_alone(workspace: Path) -> None:
    (workspace / "mine").mkdir()
    (workspace / "mine" / "thesis.txt").write_text("years of work")
    done = evalkit(workspace, "run", "small.yaml", "--out", "mine")
    assert done.code == 2, done.err
    assert "thesis.txt" in done.err
    assert [p.name for p in (workspace / "mine").iterdir() if not p.name.startswith(".")] == [
        "thesis.txt"
    ]


def test_a_missing_key_is_said_before_anything_is_generated(workspace: Path) -> None:
    suite = (workspace / "small.yaml").read_text()
    at = "base_url: 'http://127.0.0.1:9/v1'"
    judge = f"{{type: openai, protocol: text, model: gpt-x, {at}, api_key_env: MY_KEY}}"
    suite = suite.replace("{type: engine, model: plain, protocol: text}", judge)
    (workspace / "small.yaml").write_text(suite)
    done = evalkit(workspace, "run", "small.yaml")
    assert done.code == 3, done.err
    before, _, after = done.err.partition("samples to do")
    assert "MY_KEY is unset" in before
    assert after
