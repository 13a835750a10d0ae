"""Code that takes for ever is ended, alone; nothing of it outlives this process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evalkit.benchmarks import lm_eval
from evalkit.benchmarks._deadline import Deadlined
from evalkit.benchmarks.lm_eval import LmEval, LmEvalSpec
from evalkit.core import Completion
from evalkit.core.protocols import BenchmarkContext, DataPlaces
from evalkit.store.files import FolderLock

CATASTROPHE = "a" * 40 + "!"


def test_a_call_that_takes_for_ever_is_ended_and_the_next_is_answered() -> None:
    names = {"seen": 0}

    def search(pattern: str, text: str) -> tuple[bool, int]:
        names["seen"] += 1
        return re.search(pattern, text) is not None, names["seen"]

    call = Deadlined(search, seconds=0.2)
    assert call("a", "bab") == (True, 1)
    assert call("a", "b") == (False, 2)
    with pytest.raises(TimeoutError, match=r"^it took more than 0\.2 s$"):
        call(r"^(a+)+$", CATASTROPHE)
    assert call("a", "a") == (True, 1)
    assert names == {"seen": 0}


def test_a_library_that_forks_with_files_of_its_own_goes_on() -> None:
    """Arrow, once it handles signals, closes a pipe of its own in every forked process."""
    code = (
        "import io, pyarrow.csv as csv\n"
        "from evalkit.benchmarks._deadline import Deadlined\n"
        "csv.read_csv(io.BytesIO(b'a\\n1\\n'))\n"
        "print(Deadlined(int, 5)('7'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("7\n", "")


def test_waiting_is_not_working() -> None:
    def wait() -> int:
        time.sleep(0.3)
        return os.getpid()

    call = Deadlined(wait, seconds=0.1)
    assert call() == call() != os.getpid()


@pytest.mark.parametrize("how", [lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: 1 / 0])
def test_a_call_that_ends_its_process_is_one_failure(how: object) -> None:
    call = Deadlined(lambda end: how() if end else "alive", seconds=5)  # type: ignore[operator]
    with pytest.raises(TimeoutError, match="ended the process"):
        call(True)
    assert call(False) == "alive"


KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
from evalkit.benchmarks._deadline import Deadlined
from evalkit.store.files import FolderLock
lock = FolderLock(Path(sys.argv[1]))
call = Deadlined(lambda wait: (time.sleep(wait), os.getpid())[1], 60)
print(call(0), flush=True)
threading.Thread(target=call, args=(0.5,), daemon=True).start()
time.sleep(0.1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_outlives_a_killed_process_but_the_call_in_flight(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        bufsize=1,
    )
    assert done.returncode == -signal.SIGKILL
    FolderLock(tmp_path).release()
    pid, deadline = int(done.stdout), time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_answer_that_lm_eval_cannot_read_in_time_is_excluded(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lm_eval, "_READING_S", 0.3)
    pattern = {"function": "regex", "regex_pattern": "^(a+)+$"}
    filters = [{"name": "first-number", "filter": [pattern, {"function": "take_first"}]}]
    task = "quickstart_arithmetic"
    spec = LmEvalSpec(
        tasks=("quickstart/tasks/arithmetic.yaml",), overrides={task: {"filter_list": filters}}
    )
    bench = LmEval(spec, BenchmarkContext(repository / "suites", DataPlaces(), None, seed=0))
    bench.load()

    def outcome(sample: int, text: str) -> object:
        flow = bench.flow(bench.samples()[sample], "m")
        next(flow)
        with pytest.raises(StopIteration) as end:
            flow.send([Completion(text=text)])
        return end.value.value

    excluded = outcome(0, CATASTROPHE)
    assert excluded.status == "excluded"  # type: ignore[attr-defined]
    assert excluded.error == (  # type: ignore[attr-defined]
        "lm-eval could not read this answer of 41 characters: it took more than 0.3 s"
    )
    assert excluded.answers == (CATASTROPHE,)  # type: ignore[attr-defined]
    assert not excluded.scores  # type: ignore[attr-defined]
    assert outcome(0, CATASTROPHE) == excluded
    assert outcome(1, "aaa").status == "ok"  # type: ignore[attr-defined]
