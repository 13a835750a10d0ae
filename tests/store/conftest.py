"""Strategies for domain types, small runs, and real child processes to kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evalkit.core import Message, Outcome, Record, Score
from evalkit.core.run import Manifest
from evalkit.store import decode

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a Python child that runs `source` with `arguments`; none outlives the test."""
    children: list[subprocess.Popen[str]] = []

    def run(source: str, *arguments: object) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-u", "-c", textwrap.dedent(source), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            start_new_session=True,
        )
        children.append(child)
        return child

    yield run
    for child in children:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def make_record(sample: str, model: str = "m", answer: str = "yes", value: float = 1.0) -> Record:
    outcome = Outcome(
        status="ok",
        conversation=(Message("user", "Is it?"), Message("assistant", answer)),
        answers=(answer,),
        scores=(Score("acc", value),),
    )
    return Record(model, "bench", "task", sample, None, "", outcome)


@pytest.fixture(name="make_record")
def _make_record() -> Callable[..., Record]:
    return make_record


MANIFEST = {
    "format": 2,
    "run_id": "0123456789ab",
    "sealed": False,
    "models": [{"name": "z"}, {"name": "m"}],
    "benchmarks": [{"name": "bench", "tasks": {"task": {"n_samples": 3, "metrics": []}}}],
}


@pytest.fixture
def manifest() -> Manifest:
    return decode(Manifest, MANIFEST)


@pytest.fixture
def small_disk(tmp_path: Path) -> Callable[[str, str], str]:
    """Runs Python `source` with a file on a disk of 400 kB as first argument; gives its output.

    The disk is a tmpfs in a mount namespace of the child's own, so nothing of it stays.
    """

    def run(source: str, name: str) -> str:
        mount = tmp_path / "disk"
        mount.mkdir()
        script = (
            f"mount -t tmpfs -o size=400k none {mount} || exit 77; "
            f'exec {sys.executable} -c "$0" {mount}/{name} disk'
        )
        for flags in ("-m", "-rm"):
            try:
                done = subprocess.run(
                    ["unshare", flags, "sh", "-c", script, textwrap.dedent(source)],
                    capture_output=True,
                    text=True,
                    cwd=Path(__file__).parents[2],
                    timeout=120,
                    check=False,
                )
            except FileNotFoundError:
                continue
            if "unshare failed" not in done.stderr and done.returncode != 77:
                assert done.returncode == 0, done.stderr
                return done.stdout
        pytest.skip("this machine lets no test mount a tmpfs of its own")

    return run
