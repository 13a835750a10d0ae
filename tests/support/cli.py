"""Runs the command line as a user would: in this process, or in one of its own."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

__all__ = ["Command", "Outcome", "evalkit", "in_process", "start"]


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


def in_process(workspace: Path, *arguments: str, timeout: float = 120) -> Outcome:
    """Run `evalkit ARGUMENTS` to its end in a process of its own, as a shell does."""
    process = start(workspace, *arguments)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Outcome(process.returncode, out, err)


def evalkit(workspace: Path, *arguments: str, **environment: str) -> Outcome:
    """Run `evalkit ARGUMENTS` to its end in this process: a second quicker, else the same.

    `environment`: variables besides the test's own.  Folder, environment, streams, signal handlers,
    warnings and loggers are as before afterwards.
    """
    from evalkit.cli import main

    files = [io.BytesIO(), io.BytesIO()]
    streams = [io.TextIOWrapper(file, encoding="utf-8", errors="replace") for file in files]
    logger, kept = logging.getLogger("evalkit"), dict(os.environ)
    handlers, propagates, level = list(logger.handlers), logger.propagate, logger.level
    before = Path.cwd(), sys.argv, signal.getsignal(signal.SIGTERM)
    try:
        os.chdir(workspace)
        given = {**_environment(workspace), **environment}
        os.environ.clear()
        os.environ.update(given)
        sys.argv = ["evalkit", *arguments]
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(streams[0]),
            contextlib.redirect_stderr(streams[1]),
        ):
            try:
                main()
                code = 0
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            for stream in (sys.stdout, sys.stderr, *streams):
                stream.flush()
            # Read here: a guarded stream closes what it writes to once nobody holds it.
            out, err = (file.getvalue().decode(errors="replace") for file in files)
    finally:
        os.chdir(before[0])
        os.environ.clear()
        os.environ.update(kept)
        sys.argv = before[1]
        signal.signal(signal.SIGTERM, before[2])
        logger.handlers, logger.propagate = handlers, propagates
        logger.setLevel(level)
    return Outcome(code, out, err)
