"""Interruption at any moment, then the same command: nothing is lost and nothing differs."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.runner.conftest import faults
from tests.support.cli import evalkit, start

FINAL = ("manifest.json", "records.jsonl", "results.json", "index.html", "report.md")


def run_folder(workspace: Path) -> Path:
    (folder,) = [p for p in (workspace / "reports" / "small").iterdir() if p.is_dir()]
    return folder


def final_bytes(workspace: Path) -> dict[str, bytes]:
    folder = run_folder(workspace)
    return {name: (folder / name).read_bytes() for name in FINAL}


def sessions(workspace: Path) -> list[dict[str, object]]:
    lines = (run_folder(workspace) / "sessions.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_finished_run_is_not_asked_again(finished: Path) -> None:
    before = final_bytes(finished)
    faults(finished, down=True)
    second = evalkit(finished, "run", "small.yaml")
    assert second.code == 0, second.err
    assert "nothing had to be sent: no engine was started" in second.err
    assert final_bytes(finished) == before
    assert len(sessions(finished)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after", [1, 17, 40])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    workspace: Path, finished: Path, how: signal.Signals, after: int
) -> None:
    faults(workspace, delay_s=0.03)
    process = start(workspace, "run", "small.yaml")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        records = list(workspace.glob("reports/small/*/records.jsonl"))
        if records and records[0].read_bytes().count(b"\n") >= after:
            break
        time.sleep(0.02)
    assert process.poll() is None, "it was to be interrupted, and ended first"
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    if how != signal.SIGKILL:
        assert process.returncode == 130, err
        assert "resumes" in err
    stored = (run_folder(workspace) / "records.jsonl").read_bytes().count(b"\n")
    assert after <= stored < 56

    faults(workspace)
    again = evalkit(workspace, "run", "small.yaml")
    assert again.code == 0, again.err
    assert final_bytes(workspace) == final_bytes(finished)


def test_only_failed_samples_are_asked_again(workspace: Path, finished: Path) -> None:
    faults(workspace, fail_every=6)
    first = evalkit(workspace, "run", "small.yaml")
    assert first.code == 3, first.err
    assert "the same command sends just those again" in first.err
    results = json.loads((run_folder(workspace) / "results.json").read_text())
    missing = sum(e["n_missing"] for e in results["estimates"] if e["metric"] == "win_rate")
    assert missing > 0
    statuses = [
        json.loads(line)["outcome"]["status"]
        for line in (run_folder(workspace) / "records.jsonl").read_text().splitlines()
    ]
    failed = sum(s == "engine_error" for s in statuses)

    faults(workspace)
    again = evalkit(workspace, "run", "small.yaml")
    assert again.code == 0, again.err
    assert f"{failed} samples to do, {len(statuses)} finished before" in again.err.replace(
        f"{len(statuses) - failed} finished", f"{len(statuses)} finished"
    )
    assert final_bytes(workspace) == final_bytes(finished)


def test_answers_without_a_judge_are_judged_later(workspace: Path, finished: Path) -> None:
    first = evalkit(workspace, "run", "small.yaml", "--without-judge")
    assert first.code == 3, first.err
    assert "the same command without --without-judge judges what is not judged" in first.err
    lines = (run_folder(workspace) / "records.jsonl").read_text().splitlines()
    outcomes = [json.loads(line)["outcome"] for line in lines]
    assert all(outcome["conversation"] for outcome in outcomes)
    assert {j["status"] for o in outcomes for j in o["judgments"]} == {"engine_error"}
    again = evalkit(workspace, "run", "small.yaml")
    assert again.code == 0, again.err
    assert "112 requests answered, 72 from the cache" in again.err
    assert final_bytes(workspace) == final_bytes(finished)


def test_a_missing_key_stops_a_run_that_may_go_on_without_the_judge(workspace: Path) -> None:
    text = (workspace / "small.yaml").read_text()
    judge = "{type: openai, model: gpt-6.1-sol, protocol: text}"
    text = text.replace("{type: engine, model: plain, protocol: text}", judge)
    (workspace / "small.yaml").write_text(text)
    stopped = evalkit(workspace, "run", "small.yaml")
    assert stopped.code == 2
    assert "OPENAI_API_KEY is unset; set it to the API key, or go on with --without" in stopped.err
    assert not list(workspace.glob("reports/small/*/records.jsonl"))
    gone_on = evalkit(workspace, "run", "small.yaml", "--without-judge")
    assert gone_on.code == 3, gone_on.err
    assert len((run_folder(workspace) / "records.jsonl").read_text().splitlines()) == 56


def test_the_cache_answers_another_run_of_the_same_questions(finished: Path) -> None:
    faults(finished, down=True)
    part = evalkit(finished, "run", "small.yaml", "--tasks", "mt_bench")
    assert part.code == 0, part.err
    assert "0 requests answered" in part.err


def test_report_renders_the_same_bytes_again(finished: Path) -> None:
    before = final_bytes(finished)
    folder = run_folder(finished)
    (folder / "index.html").unlink()
    assert evalkit(finished, "report", str(folder)).code == 0
    assert final_bytes(finished) == before


def test_what_would_fail_again_is_not_asked_again(workspace: Path) -> None:
    suite = (workspace / "small.yaml").read_text()
    (workspace / "small.yaml").write_text(
        suite.replace("exclusive: true", "exclusive: true, max_prompt_words: 40")
    )
    first = evalkit(workspace, "run", "small.yaml")
    assert first.code == 0, first.err
    lines = (run_folder(workspace) / "records.jsonl").read_text().splitlines()
    statuses = {json.loads(line)["outcome"]["status"] for line in lines}
    assert "over_long" in statuses
    faults(workspace, down=True)
    second = evalkit(workspace, "run", "small.yaml")
    assert second.code == 0, second.err
    assert "nothing had to be sent: no engine was started" in second.err


def test_patience_and_price_do_not_make_another_run(workspace: Path) -> None:
    assert evalkit(workspace, "run", "small.yaml").code == 0
    again = evalkit(workspace, "run", "small.yaml", "--set", "engine.delay_s=0.5")
    assert again.code == 0, again.err
    assert "nothing had to be sent" in again.err
    other = evalkit(workspace, "run", "small.yaml", "--set", "engine.seed=7")
    assert other.code == 0, other.err
    assert len(list((workspace / "reports" / "small").iterdir())) == 2
