"""Draws the pipeline's progress: live bars on a terminal, plain lines when piped."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections import Counter, deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from evalkit.errors import RequestFailed
from evalkit.types import Record, Reply, Request

if TYPE_CHECKING:
    from rich.progress import TaskID

__all__ = ["Bars", "Lines", "watcher"]

_WINDOW_S = 20.0
_LINE_EVERY_S = 15.0


class _Speed:
    """Tokens a second over the last seconds; answers from the cache do not count."""

    def __init__(self) -> None:
        self.events: deque[tuple[float, int]] = deque()
        self.tokens = 0

    def add(self, reply: Reply) -> None:
        if isinstance(reply, RequestFailed) or reply.from_cache:
            return
        tokens = reply.prompt_tokens + reply.completion_tokens
        self.events.append((time.monotonic(), tokens))
        self.tokens += tokens

    def __str__(self) -> str:
        now = time.monotonic()
        while self.events and now - self.events[0][0] > _WINDOW_S:
            self.tokens -= self.events.popleft()[1]
        if not self.events:
            return ""
        span = max(now - self.events[0][0], 1.0)
        return f"{self.tokens / span:,.0f} tokens/s"


class _Counts:
    """Samples done, failed and to do, per (model, benchmark)."""

    def __init__(self) -> None:
        self.totals: dict[tuple[str, str], int] = {}
        self.done: Counter[tuple[str, str]] = Counter()
        self.failed: Counter[tuple[str, str]] = Counter()
        self.speed = _Speed()
        self.started = time.monotonic()

    def start(self, totals: Mapping[tuple[str, str], int]) -> None:
        self.totals = dict(totals)
        self.started = time.monotonic()

    def add(self, record: Record) -> tuple[str, str]:
        key = (record.model, record.benchmark)
        self.done[key] += 1
        self.failed[key] += record.outcome.status != "ok"
        return key

    def left(self) -> str:
        """Time left, from the samples' rate so far."""
        done, total = sum(self.done.values()), sum(self.totals.values())
        if not done or done == total:
            return ""
        seconds = (time.monotonic() - self.started) / done * (total - done)
        return f"about {int(seconds // 60)}:{int(seconds % 60):02d} left"


class Lines:
    """Plain lines for pipes and logs: a line per stage, then one every few seconds."""

    def __init__(self) -> None:
        self._counts = _Counts()
        self._last = 0.0

    def step(self, text: str) -> None:
        """Print the stage."""
        print(text, file=sys.stderr, flush=True)

    def start(self, totals: Mapping[tuple[str, str], int], done: int) -> None:
        """Print how much there is to do."""
        self._counts.start(totals)
        self._last = time.monotonic()
        kept = f", {done} finished before" if done else ""
        self.step(f"{sum(totals.values())} samples to do{kept}")

    def reply(self, request: Request, reply: Reply) -> None:
        """Count tokens; now and then a line."""
        self._counts.speed.add(reply)
        self._line()

    def record(self, record: Record) -> None:
        """Count a sample; a line whenever a benchmark is finished."""
        key = self._counts.add(record)
        if self._counts.done[key] == self._counts.totals.get(key):
            failed = self._counts.failed[key]
            note = f", {failed} not scored" if failed else ""
            self.step(f"{key[0]} · {key[1]}: {self._counts.done[key]} done{note}")

    def stop(self) -> None:
        """Nothing to close."""

    def _line(self) -> None:
        now = time.monotonic()
        if now - self._last < _LINE_EVERY_S:
            return
        self._last = now
        counts = self._counts
        done, total = sum(counts.done.values()), sum(counts.totals.values())
        parts = [f"{done}/{total} samples", str(counts.speed), counts.left()]
        self.step(" · ".join(p for p in parts if p))


class Bars:
    """A live display: one bar per model and benchmark, with speed and time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self._console,
        )
        self._counts = _Counts()
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._all: TaskID | None = None

    def step(self, text: str) -> None:
        """Print the stage above the bars."""
        self._console.print(text, markup=False, highlight=False)

    def start(self, totals: Mapping[tuple[str, str], int], done: int) -> None:
        """Open the display."""
        if done:
            self.step(f"{done} samples finished before")
        self._counts.start(totals)
        for (model, benchmark), total in totals.items():
            self._tasks[model, benchmark] = self._bars.add_task(
                f"{model} · {benchmark}", total=total, note=""
            )
        self._all = self._bars.add_task("all", total=sum(totals.values()), note="")
        self._bars.start()

    def reply(self, request: Request, reply: Reply) -> None:
        """Update speed and time left."""
        self._counts.speed.add(reply)
        if self._all is not None:
            parts = [str(self._counts.speed), self._counts.left()]
            self._bars.update(self._all, note=" · ".join(p for p in parts if p))

    def record(self, record: Record) -> None:
        """Advance the sample's bar."""
        key = self._counts.add(record)
        failed = self._counts.failed[key]
        note = f"{failed} not scored" if failed else ""
        self._bars.update(self._tasks[key], advance=1, note=note)
        if self._all is not None:
            self._bars.update(self._all, advance=1)

    def stop(self) -> None:
        """Close the display; the finished bars stay on the screen."""
        self._bars.stop()


class _Stages(logging.Handler):
    """Shows what engines say of themselves ("loading ...") as stages."""

    def __init__(self, watch: Lines | Bars) -> None:
        super().__init__(logging.INFO)
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        self._watch.step(record.getMessage())


def watcher(*, verbose: bool) -> Lines | Bars:
    """The display that fits where standard error goes; `verbose` lets libraries speak too."""
    watch: Lines | Bars = Bars() if sys.stderr.isatty() else Lines()
    ours = logging.getLogger("evalkit")
    ours.setLevel(logging.DEBUG if verbose else logging.INFO)
    ours.handlers = [_Stages(watch)]
    ours.propagate = False
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "INFO")
    else:
        _quiet_libraries()
    return watch


def _quiet_libraries() -> None:
    """Leave the screen to the pipeline: what a library warns of is for its developers."""
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
