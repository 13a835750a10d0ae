"""Each way a run can go wrong: one clear message, the right exit code, nothing finished lost."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.runner.conftest import faults
from tests.support.cli import evalkit


def records(workspace: Path) -> list[dict[str, object]]:
    (path,) = workspace.glob("reports/small/*/records.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
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


@pytest.mark.slow
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
    done = evalkit(workspace, "run", "small.yaml", "--set", "models.plane=null")
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


def with_judge(workspace: Path, url: str, **more: str) -> None:
    """Let a judge at `url` judge the suite."""
    suite = (workspace / "small.yaml").read_text()
    about = {"type": "openai", "protocol": "text", "model": "gpt-x", "base_url": f"'{url}'", **more}
    judge = "{" + ", ".join(f"{name}: {value}" for name, value in about.items()) + "}"
    suite = suite.replace("{type: engine, model: plain, protocol: text}", judge)
    (workspace / "small.yaml").write_text(f"{suite}gate: {{baseline: plain}}\n")


def test_a_missing_key_ends_the_run_before_anything_is_generated(workspace: Path) -> None:
    with_judge(workspace, "http://127.0.0.1:9/v1", api_key_env="MY_KEY", max_retries="0")
    done = evalkit(workspace, "run", "small.yaml")
    assert done.code == 2, done.err
    assert "judge local cannot answer" in done.err
    assert "MY_KEY is unset" in done.err
    assert "samples to do" not in done.err
    done = evalkit(workspace, "gate", "small.yaml", "--junit", "gate.xml")
    assert done.code == 2
    (error,) = ET.parse(workspace / "gate.xml").iter("error")
    assert "MY_KEY is unset" in (error.get("message") or "")


@contextmanager
def server(status: int, body: object) -> Iterator[str]:
    """A server that gives every request the same reply."""
    raw = json.dumps(body).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{made.server_address[1]}/v1"
        finally:
            made.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [401, 404])
def test_what_the_user_has_to_correct_is_told_from_a_judge_that_is_down(
    status: int, workspace: Path
) -> None:
    with server(status, {"error": {"message": "no such thing: 'gpt-x'"}}) as url:
        with_judge(workspace, url, max_retries="0")
        done = evalkit(workspace, "run", "small.yaml")
        gated = evalkit(workspace, "gate", "small.yaml", "--junit", "gate.xml")
    assert done.code == 2, done.err
    assert "incomplete: 56 samples" in done.err
    assert "correct that, and" in done.err
    assert gated.code == 2
    errors = ET.parse(workspace / "gate.xml").iter("error")
    assert any("no such thing" in (error.get("message") or "") for error in errors)
    # The stored run says why, too.
    (run,) = workspace.glob("reports/small/*/manifest.json")
    gated = evalkit(workspace, "gate", str(run.parent), "--junit", "gate.xml")
    assert gated.code == 3
    assert "no such thing" in (workspace / "gate.xml").read_text()


def test_what_would_fail_again_is_counted_and_not_sent_again(workspace: Path) -> None:
    suite = (workspace / "small.yaml").read_text()
    suite = suite.replace("faults: faults.json", "max_prompt_words: 4")
    (workspace / "small.yaml").write_text(suite)
    (workspace / "alpaca.jsonl").write_text(
        "".join(
            json.dumps({"instruction": text, "output": "A.", "generator": "reference"}) + "\n"
            for text in ("Name a river.", "Name a river that is long and wide.")
        )
    )
    done = evalkit(workspace, "run", "small.yaml", "--tasks", "alpaca_eval")
    assert done.code == 0, done.err
    assert "4 samples have no score and would have none again" in done.err
    assert "incomplete" not in done.err
    again = evalkit(workspace, "run", "small.yaml", "--tasks", "alpaca_eval")
    assert "nothing had to be sent" in again.err
