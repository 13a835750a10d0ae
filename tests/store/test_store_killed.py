"""Real child processes that are killed, run out of disk, or meet on one run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.core import Record
from evalkit.core.run import Manifest
from evalkit.errors import StoreError
from evalkit.store import RunStore, load, results, write_file
from evalkit.store.files import LineFile

pytestmark = pytest.mark.slow

Start = Callable[..., "subprocess.Popen[str]"]
MakeRecord = Callable[..., Record]

HEAD = """
    import itertools, json, os, sys, time
    from pathlib import Path
    from evalkit.errors import StoreError
    from evalkit.store import RunStore, results, write_file
    from evalkit.core import Outcome, Record
    from evalkit.core.run import Manifest

    def record(sample, size=300):
        answer = sample + "x" * size
        return Record("m", "bench", "task", sample, None, "", Outcome("ok", answers=(answer,)))

    folder, manifest = Path(sys.argv[1]), Manifest(run_id="0123456789ab")
"""

APPEND = (
    HEAD
    + """
    store = RunStore.open(folder, manifest)
    for i in itertools.count(int(sys.argv[2])):
        store.append(record(str(i), i * 37 % 20000))
        print(i)
"""
)


def kill_after(child: subprocess.Popen[str], seconds: float) -> list[str]:
    """What the child had said in whole lines when it was killed."""
    assert child.stdout is not None
    said = [child.stdout.readline()]
    assert said[0], child.communicate()[1]
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    said += child.stdout.readlines()
    child.wait()
    return [line.strip() for line in said if line.endswith("\n")]


def test_kill_9_while_appending(tmp_path: Path, start: Start, manifest: Manifest) -> None:
    rng = random.Random(3)
    acknowledged: list[str] = []
    for _ in range(6):
        said = kill_after(start(APPEND, tmp_path, len(acknowledged)), rng.uniform(0, 0.1))
        acknowledged += said
        with RunStore.open(tmp_path, manifest) as store:
            found = [key[3] for key in store.records]
            assert found[: len(acknowledged)] == acknowledged
            assert len(found) <= len(acknowledged) + 1, "one may be written and not yet told"
            acknowledged = found
            for sample in found:
                (answer,) = store.records["m", "bench", "task", sample].outcome.answers
                assert len(answer) == len(sample) + int(sample) * 37 % 20000


SEAL = (
    HEAD
    + """
    store = RunStore.open(folder, manifest)
    keys = [("m", "bench", "task", str(i)) for i in range(50)]
    for i in reversed(range(50)):
        store.append(record(str(i)))
    for i in itertools.count():
        store.seal(keys, manifest, results([], [], "0123456789ab"), {"a.html": b"h" * 9999})
        print(i)
"""
)


def test_kill_9_while_sealing(tmp_path: Path, start: Start, manifest: Manifest) -> None:
    rng = random.Random(4)
    order = [("m", "bench", "task", str(i)) for i in range(50)]
    for _ in range(6):
        kill_after(start(SEAL, tmp_path), rng.uniform(0, 0.05))
        run = load(tmp_path)
        assert {r.sample for r in run.records} == {str(i) for i in range(50)}
        if run.manifest.sealed:
            assert [r.key for r in run.records] == order
            assert run.changed == ()
    with RunStore.open(tmp_path, manifest) as store:
        store.seal(order, manifest, results([], [], "0123456789ab"), {})
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "SHA256SUMS", "a.html", "manifest.json", "records.jsonl", "results.json"
    ]  # fmt: skip


HOLD = (
    HEAD
    + """
    store = RunStore.open(folder, manifest)
    if len(sys.argv) > 2:
        grandchild = os.fork()
        if grandchild == 0:
            time.sleep(60)
            os._exit(0)
        print(grandchild)
    print("held")
    time.sleep(60)
"""
)


def test_one_process_at_a_time(tmp_path: Path, start: Start, manifest: Manifest) -> None:
    child = start(HOLD, tmp_path)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(StoreError, match=f"process {child.pid} is writing this run; wait"):
        RunStore.open(tmp_path, manifest)
    assert load(tmp_path).records == (), "reading needs no lock"
    child.kill()
    child.wait()
    assert (tmp_path / ".lock").exists(), "left by the killed process, and stale"
    RunStore.open(tmp_path, manifest).close()
    assert not (tmp_path / ".lock").exists()


def test_a_forked_child_does_not_keep_a_killed_runs_lock(
    tmp_path: Path, start: Start, manifest: Manifest
) -> None:
    child = start(HOLD, tmp_path, "fork")
    assert child.stdout is not None
    grandchild = int(child.stdout.readline())
    try:
        assert child.stdout.readline() == "held\n"
        child.kill()
        child.wait()
        RunStore.open(tmp_path, manifest).close()
        os.kill(grandchild, 0)  # it is alive all the same
    finally:
        os.kill(grandchild, signal.SIGKILL)


def test_two_in_one_process(tmp_path: Path, manifest: Manifest) -> None:
    with (
        RunStore.open(tmp_path, manifest),
        pytest.raises(StoreError, match=f"process {os.getpid()} is writing"),
    ):
        RunStore.open(tmp_path, manifest)
    RunStore.open(tmp_path, manifest).close()


RACE = (
    HEAD
    + """
    from evalkit.store.files import FolderLock
    won = 0
    while won < 300:
        try:
            lock = FolderLock(folder)
        except StoreError as error:
            assert "process" in str(error), error
            continue
        (folder / "busy").mkdir()  # fails if two are in
        (folder / "busy").rmdir()
        lock.release()
        won += 1
"""
)


def test_the_lock_holds_while_it_is_taken_and_removed_again_and_again(
    tmp_path: Path, start: Start
) -> None:
    children = [start(RACE, tmp_path) for _ in range(3)]
    for child in children:
        _, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors


# --- full disks ---------------------------------------------------------------------------------

FILL = (
    HEAD
    + """
    if sys.argv[2] == "limit":
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    store = RunStore.open(folder, manifest)
    keys = []
    try:
        for i in itertools.count():
            store.append(record(str(i), 1000))
            keys.append(("m", "bench", "task", str(i)))
    except StoreError as error:
        print(error)
    lines = (folder / "records.jsonl").read_bytes()
    assert lines.endswith(b"\\n") and lines.count(b"\\n") == len(keys) > 100, len(keys)
    try:
        store.seal(keys, manifest, {"x": "y" * 300_000}, {})
    except StoreError as error:
        print(error)
    store.close()
    with RunStore.open(folder, manifest) as store:
        assert list(store.records) == keys and not store.sealed
    assert not list(folder.glob(".*")), list(folder.glob(".*"))
"""
)


def test_a_full_disk(small_disk: Callable[[str, str], str]) -> None:
    appending, sealing = small_disk(FILL, "run").splitlines()
    assert "records.jsonl: cannot be written: the disk is full" in appending
    assert "free some space and run the same command again" in appending
    assert "cannot be written: the disk is full" in sealing


def test_a_file_that_may_not_grow(tmp_path: Path, start: Start) -> None:
    out, errors = start(FILL, tmp_path, "limit").communicate(timeout=120)
    appending, sealing = out.splitlines() or pytest.fail(errors)
    assert "records.jsonl: cannot be written: File too large; raise the limit" in appending
    assert "results.json: cannot be written: File too large" in sealing


# --- lines and whole files -----------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=200).filter(lambda b: b"\n" not in b)), st.integers(0, 500))
def test_a_torn_tail_is_cut_off_and_nothing_else(
    tmp_path: Path, lines: list[bytes], torn: int
) -> None:
    path = tmp_path / "lines"
    whole = b"".join(line + b"\n" for line in lines)
    path.write_bytes(whole[: len(whole) - torn] if torn < len(whole) else b"")
    expected = path.read_bytes()
    expected = expected[: expected.rfind(b"\n") + 1]
    file = LineFile(path)
    file.append(b"next")
    file.close()
    assert path.read_bytes() == expected + b"next\n"


def test_a_torn_line_longer_than_a_block(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"whole\n" + b"t" * 200_000)
    file = LineFile(path)
    with pytest.raises(ValueError, match="no newline"):
        file.append(b"a\nb")
    file.close()
    file.close()
    assert path.read_bytes() == b"whole\n"


def test_leftovers_of_the_dead_go_and_of_the_living_stay(
    tmp_path: Path, start: Start, manifest: Manifest
) -> None:
    RunStore.open(tmp_path, manifest).close()
    dead = start("pass")
    dead.wait()
    stale, alive = tmp_path / f".x.{dead.pid}.tmp", tmp_path / ".x.1.tmp"
    stale.write_text("half")
    alive.write_text("being written")
    RunStore.open(tmp_path, manifest).close()
    assert (stale.exists(), alive.exists()) == (False, True)


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    write_file(path, b"one")
    write_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(StoreError, match=r"b\.txt/c: cannot be written"):
        write_file(path / "c", b"")
