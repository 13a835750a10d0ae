"""Memory of this machine, without any library of a device."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Room", "devices", "host"]

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Room:
    """Memory of the host or of one GPU, in bytes."""

    total: int
    free: int


def host() -> Room:
    """The host's memory, or what the container may use of it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = total
    with suppress(OSError):  # of Linux alone
        found = re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text("ascii"))
        free = int(found[1]) * 1024 if found else total
    with suppress(OSError, ValueError):  # no container, or "max"
        total = min(total, int((_CGROUP / "memory.max").read_text("ascii")))
        free = min(free, total - int((_CGROUP / "memory.current").read_text("ascii")))
    return Room(total, free)


def devices() -> dict[str, Sequence[Room]]:
    """Those that a model can be loaded on: `cpu`, and `cuda` with one for each GPU."""
    return {"cpu": [host()], "cuda": _gpus()}


def _gpus() -> Sequence[Room]:
    """NVIDIA's, those that CUDA_VISIBLE_DEVICES leaves; empty where their driver names none."""
    query = ["--query-gpu=memory.total,memory.free", "--format=csv,noheader,nounits"]
    command = [shutil.which("nvidia-smi") or "nvidia-smi", *query]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            command, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    pairs = re.findall(r"(?m)^(\d+), (\d+)$", done.stdout)
    found = [Room(int(total) * 2**20, int(free) * 2**20) for total, free in pairs]
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return found if seen is None else found[: len([n for n in seen.split(",") if n])]
