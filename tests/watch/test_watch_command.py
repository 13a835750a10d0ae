"""`evalkit watch` as a process: exit codes, what it prints, and `kill -9` at any moment."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cli import Outcome, evalkit, start
from tests.watch.conftest import faults, save

pytestmark = pytest.mark.slow

WATCH = ("watch", "out", "small.yaml", "--poll", "0.1", "--looks", "4")


def once(workspace: Path, *more: str) -> Outcome:
    return evalkit(workspace, *WATCH, "--once", *more)


def ledger(workspace: Path) -> Path | None:
    found = list(workspace.glob("reports/small/watch-out-*/ledger.jsonl"))
    return found[0] if found else None


def entries(workspace: Path) -> int:
    path = ledger(workspace)
    return path.read_bytes().count(b"\n") if path else 0


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


def test_once_prints_verdicts_what_is_spent_and_the_best(workspace: Path) -> None:
    for step in (20, 5):
        save(workspace / "out" / f"checkpoint-{step}", step)
    done = once(workspace)
    assert done.code == 0, done.err
    assert "checkpoint-5: look 1 of 4, tested at one-sided 0.013" in done.out
    assert "2 of 4 planned looks; alpha 0.05: 0.025 spent, 0.025 left" in done.out
    assert "the probability of a false regression is at most 0.05" in done.out
    assert "Best of 2 on" in done.out
    assert "selection optimism" in done.out
    as_json = once(workspace, "--json")
    found = json.loads(as_json.out)
    assert found["exit_code"] == as_json.code == 0
    assert [look["checkpoint"] for look in found["looks"]] == ["checkpoint-5", "checkpoint-20"]
    assert found["looks"][0]["gate"]["decisions"][0]["benchmark"] == "alpaca_eval"
    assert found["series"][0]["best"]["n_models"] == 2


def test_input_errors(workspace: Path) -> None:
    missing = evalkit(workspace, "watch", "out", "small.yaml", "--once", "--poll", "0.1")
    assert missing.code == 2
    assert "(--looks N) before the first" in missing.err
    assert evalkit(workspace, "watch", "nowhere", "small.yaml", "--looks", "3").code == 2
    assert once(workspace).code == 3, "nothing is there yet"
    changed = evalkit(workspace, "watch", "out", "small.yaml", "--once", "--looks", "9")
    assert changed.code == 2
    assert "looks: 4, now 9" in changed.err
    unnamed = evalkit(workspace, "watch", "out", "small.yaml", "--once", "--poll", "0.1")
    assert unnamed.code == 3, unnamed.err


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Ledger and verdicts of a watch that nothing interrupted."""
    from tests.watch.conftest import furnish

    workspace = furnish(tmp_path_factory.mktemp("undisturbed"))
    for step in (10, 20, 30):
        save(workspace / "out" / f"checkpoint-{step}", step)
    done = once(workspace, "--json")
    assert done.code == 0, done.err
    return final(workspace, done)


def final(workspace: Path, done: Outcome) -> dict[str, bytes]:
    """What must not depend on interruptions."""
    path = ledger(workspace)
    assert path is not None
    runs = sorted((workspace / "reports" / "small").glob("*/records.jsonl"))
    return {
        "ledger": path.read_bytes(),
        "said": re.sub('"time": "[^"]+"', "", done.out).encode(),  # of a run's first session
        **{run.parent.name: run.read_bytes() for run in runs},
    }


@pytest.mark.parametrize(
    ("how", "after"),
    [
        (signal.SIGKILL, 1),
        (signal.SIGKILL, 3),
        (signal.SIGKILL, 5),
        (signal.SIGINT, 3),
        (signal.SIGTERM, 3),
    ],
)
def test_an_interrupted_watch_ends_as_an_uninterrupted_one(
    workspace: Path, undisturbed: dict[str, bytes], how: signal.Signals, after: int
) -> None:
    """Killed in the middle of a run, when the ledger has so many lines."""
    for step in (10, 20, 30):
        save(workspace / "out" / f"checkpoint-{step}", step)
    faults(workspace, delay_s=0.01)
    process = start(workspace, *WATCH)
    wait_for(lambda: entries(workspace) >= after or process.poll() is not None)
    time.sleep(0.2)
    assert process.poll() is None, "it was to be interrupted, and ended first"
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    if how != signal.SIGKILL:
        assert process.returncode == 130, err
        assert "resumes" in err
    faults(workspace)
    done = once(workspace, "--json")
    assert done.code == 0, done.err
    assert final(workspace, done) == undisturbed


def test_new_checkpoints_are_taken_as_they_appear(workspace: Path) -> None:
    """The half-written one only when it is whole; the watch ends when its plan is done."""
    process = start(workspace, "watch", "out", "small.yaml", "--poll", "0.1", "--looks", "2")
    save(workspace / "out" / "checkpoint-10", 10)
    wait_for(lambda: entries(workspace) >= 3)
    half = workspace / "out" / "checkpoint-20"
    whole = save(workspace / "checkpoint-20", 20)
    half.mkdir()
    for file in sorted(whole.iterdir(), reverse=True):
        content = file.read_bytes()
        (half / file.name).write_bytes(content[:-1])
        time.sleep(0.15)
        assert entries(workspace) == 3
        (half / file.name).write_bytes(content)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "all planned looks are used" in err
    assert "checkpoint-20: look 2 of 2" in out
