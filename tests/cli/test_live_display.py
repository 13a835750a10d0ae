"""The live display: each row moves while its answers come in, long before a sample is finished."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.cli.progress import Counts, Key
from evalkit.core import Completion, Outcome, Record, Request
from evalkit.errors import RequestFailed

ROW = ("tuned", "alpaca_eval")
OTHER = ("plain", "alpaca_eval")


class Watch:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def counts(watch: Watch) -> Counts:
    counts = Counts(watch)
    counts.start({ROW: 4, OTHER: 4})
    return counts


def key(sample: int, row: tuple[str, str] = ROW) -> Key:
    return (*row, "alpaca_eval", str(sample))


def request(engine: str) -> Request:
    return Request(engine, "generate", "question")


def finish(counts: Counts, sample: int, status: str = "ok") -> None:
    outcome = Outcome("ok" if status == "ok" else "unparsable")
    counts.record(Record(*ROW, "alpaca_eval", str(sample), None, "", outcome))


def test_answers_show_before_any_sample_is_done(counts: Counts, watch: Watch) -> None:
    for sample in range(2):
        watch.now += 3
        counts.reply(key(sample), request("tuned"), Completion(prompt_tokens=20))
    shown = counts.row(ROW)
    assert (shown.done, shown.total, shown.stage) == (0, 4, "answering 2/4")
    assert shown.left == "0:06 left"
    # 40 tokens; the span begins with the first of them.
    assert shown.speed == "13 tokens/s"
    assert counts.row(OTHER).speed == counts.row(OTHER).stage == ""


def test_judging_is_told_apart_from_answering(counts: Counts, watch: Watch) -> None:
    for sample in range(4):
        counts.reply(key(sample), request("tuned"), Completion())
    assert counts.row(ROW).stage == "4 answers, waiting"
    assert counts.row(ROW).left == ""
    for _ in range(2):
        watch.now += 1
        counts.reply(key(0), request("judge:local"), Completion(prompt_tokens=5))
    assert counts.row(ROW).stage == "judging 2/8"
    assert counts.row(ROW).left == "0:06 left"
    finish(counts, 0)
    assert counts.row(ROW).stage == "judging 2/8"
    assert counts.row(ROW).done == 1


def test_a_finished_row_says_only_what_failed(counts: Counts) -> None:
    for sample in range(4):
        counts.reply(key(sample), request("tuned"), RequestFailed("engine_error", "no"))
        finish(counts, sample, "ok" if sample else "failed")
    shown = counts.row(ROW)
    assert (shown.done, shown.speed, shown.left, shown.stage) == (4, "", "", "1 not scored")


def test_stored_answers_give_neither_speed_nor_time_left(counts: Counts, watch: Watch) -> None:
    for sample in range(3):
        watch.now += 1
        reply = Completion(prompt_tokens=50, from_cache=True)
        counts.reply(key(sample), request("tuned"), reply)
    shown = counts.row(ROW)
    assert (shown.speed, shown.left, shown.stage) == ("", "", "answering 3/4")


def test_a_row_that_rests_shows_no_speed(counts: Counts, watch: Watch) -> None:
    counts.reply(key(0), request("tuned"), Completion(prompt_tokens=50))
    assert counts.working() == [ROW]
    watch.now += 60
    assert counts.row(ROW).speed == counts.row(ROW).left == ""
    assert counts.working() == []


SUITE = """\
name: shown
models: {tuned: {path: tuned}, plain: {role: baseline, path: plain}}
engine: {type: fake, exclusive: true, delay_s: 0.04}
judges: {local: {type: engine, model: plain, protocol: text}}
benchmarks: [{type: alpaca_eval, judge: local, data: alpaca.jsonl}]
"""


def on_terminal(folder: Path, *arguments: str) -> str:
    """What the command writes to a terminal of 80 columns, escape sequences taken out."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "evalkit", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "80", "TERM": "xterm", "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux says so when the last writer is gone.
            break
        if not chunk:
            break
        written += chunk
    os.close(ours)
    assert process.wait() == 0, written
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())


@pytest.mark.slow
def test_the_terminal_shows_each_row_at_work(tmp_path: Path) -> None:
    (tmp_path / ".evalkit").mkdir()
    (tmp_path / "s.yaml").write_text(SUITE)
    row = '{"instruction": "Name %d rivers.", "output": "River.", "generator": "reference"}\n'
    (tmp_path / "alpaca.jsonl").write_text("".join(row % n for n in range(24)))
    lines = on_terminal(tmp_path, "run", "s.yaml").replace("\r", "\n").split("\n")
    tuned = [line for line in lines if line.startswith("tuned · alpaca_eval")]
    assert any(
        re.search(r" 0/24 +[\d,]+ tokens/s +0:0\d left +answering \d+/24", line) for line in tuned
    ), tuned[:50]
    assert any(re.search(r"/24 .*tokens/s .*judging \d+/48", line) for line in tuned)
    assert re.search(r" 24/24 *$", tuned[-1])
