"""What the pipeline tells whoever watches it; the command line draws it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from evalkit.core import Record, Reply, Request

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """A watcher.  Every call returns at once and never raises."""

    def step(self, text: str) -> None:
        """A stage begins, or a slow stage has something to say."""
        ...

    def start(self, totals: Mapping[tuple[str, str], int], done: int) -> None:
        """Asking begins: samples to do per (model, benchmark); `done` were finished before."""
        ...

    def reply(self, key: tuple[str, str, str, str], request: Request, reply: Reply) -> None:
        """An engine answered; `key`: model, benchmark, task and sample it was asked for."""
        ...

    def record(self, record: Record) -> None:
        """A sample is finished and stored."""
        ...

    def stop(self) -> None:
        """Asking is over, however it ended."""
        ...


class Silent:
    """Watches and says nothing."""

    def step(self, text: str) -> None:
        """Nothing."""

    def start(self, totals: Mapping[tuple[str, str], int], done: int) -> None:
        """Nothing."""

    def reply(self, key: tuple[str, str, str, str], request: Request, reply: Reply) -> None:
        """Nothing."""

    def record(self, record: Record) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""
