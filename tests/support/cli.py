"""Runs the command line as a user would: a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

__all__ = ["Command", "Outcome", "evalkit", "start"]


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str


Command: TypeAlias = Callable[..., Outcome]
"""Runs a command, given its arguments."""


def _environment(workspace: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EVALKIT_", "OPENAI_"))}
    return {**kept, "HF_HUB_OFFLINE": "1", "HOME": str(workspace)}


def start(workspace: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start `evalkit ARGUMENTS` with `workspace` as current folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "evalkit", *arguments],
        cwd=workspace,
        env=_environment(workspace),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts its background jobs deaf to Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def evalkit(workspace: Path, *arguments: str, timeout: float = 120) -> Outcome:
    """Run `evalkit ARGUMENTS` to its end."""
    process = start(workspace, *arguments)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Outcome(process.returncode, out, err)
