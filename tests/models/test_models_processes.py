"""Several processes, and processes that die: a derived checkpoint is whole or absent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit import models
from evalkit.core.specs import ModelSpec

Make = Callable[..., Path]
SCRIPT = """
import sys
from pathlib import Path
from evalkit import models
from evalkit.core.specs import ModelSpec
base, adapter, workspace = sys.argv[1:]
say = lambda line: print(line, flush=True)
found = models.prepare("m", ModelSpec(base=base, adapter=adapter), Path("."), Path(workspace), say)
print("fingerprint", found.fingerprint)
"""


def start(base: Path, adapter: Path, workspace: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(base), str(adapter), str(workspace)],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_two_processes_share_one_merge(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model()
    adapter = make_adapter(base)
    both = [start(base, adapter, tmp_path) for _ in range(2)]
    said = [p.communicate(timeout=120)[0] for p in both]
    assert [p.returncode for p in both] == [0, 0]
    assert sum("in float32, once" in text for text in said) == 1
    assert said[0].splitlines()[-1] == said[1].splitlines()[-1]


@pytest.mark.slow
def test_killed_merge_leaves_nothing_that_counts(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model()
    adapter = make_adapter(base)
    process = start(base, adapter, tmp_path)
    assert process.stdout is not None
    while "in float32, once" not in process.stdout.readline():
        assert process.poll() is None
    where = tmp_path / ".evalkit" / "models"
    deadline = time.monotonic() + 60
    while not list(where.glob(".*.tmp")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not list(where.glob("merged-*"))
    spec = ModelSpec(base=str(base), adapter=str(adapter))
    found = models.prepare("m", spec, tmp_path, tmp_path, lambda _line: None)
    assert found.path is not None
    assert [p.name for p in where.iterdir() if not p.name.endswith(".lock")] == [found.path.name]
