"""Draws the pipeline's progress: live bars on a terminal, plain lines when piped."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from evalkit.cli.counting import Counts, Key, Row
from evalkit.core import Record, Reply, Request

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

__all__ = ["Bars", "Lines", "watcher"]

_LINE_EVERY_S = 15.0
_WIDEST_BAR = 28
_BESIDE_THE_BAR = 90
"""Characters of the other columns, with names of usual length."""


class Lines:
    """Plain lines for pipes and logs: a line per stage, then some every few seconds."""

    def __init__(self) -> None:
        self._counts = Counts()
        self._last = 0.0

    def step(self, text: str) -> None:
        """Print the stage."""
        print(text, file=sys.stderr, flush=True)

    def start(self, totals: Mapping[Row, int], done: int) -> None:
        """Print how much there is to do."""
        self._counts.start(totals)
        self._last = time.monotonic()
        kept = f", {done} finished before" if done else ""
        self.step(f"{sum(totals.values())} samples to do{kept}")

    def reply(self, key: Key, request: Request, reply: Reply) -> None:
        """Count tokens; now and then say where things are."""
        self._counts.reply(key, request, reply)
        now = time.monotonic()
        if now - self._last >= _LINE_EVERY_S:
            self._last = now
            self._say_all()

    def record(self, record: Record) -> None:
        """Count a sample; a line whenever a benchmark is finished."""
        row = self._counts.record(record)
        shown = self._counts.row(row)
        if shown.done == shown.total:
            note = f", {shown.stage}" if shown.stage else ""
            self.step(f"{row[0]} · {row[1]}: {shown.done} done{note}")

    def stop(self) -> None:
        """Nothing to close."""

    def _say_all(self) -> None:
        for row in self._counts.working():
            shown = self._counts.row(row)
            parts = [f"{shown.done}/{shown.total}", shown.stage, shown.speed, shown.left]
            self.step(f"{row[0]} · {row[1]}: " + " · ".join(p for p in parts if p))
        shown = self._counts.all()
        parts = [f"{shown.done}/{shown.total} samples", shown.speed, shown.left]
        self.step(" · ".join(p for p in parts if p))


class Bars:
    """A live display: one bar per model and benchmark, with speed and time left."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._counts = Counts()
        self._bars = _table(self._console, self._counts)
        self._tasks: dict[Row, TaskID] = {}
        self._all: TaskID | None = None

    def step(self, text: str) -> None:
        """Print the stage above the bars."""
        self._console.print(text, markup=False, highlight=False)

    def start(self, totals: Mapping[Row, int], done: int) -> None:
        """Open the display."""
        if done:
            self.step(f"{done} samples finished before")
        self._counts.start(totals)
        for row, total in totals.items():
            name = f"{row[0]} · {row[1]}"
            self._tasks[row] = self._bars.add_task(name, total=total, row=row)
        self._all = self._bars.add_task("all", total=sum(totals.values()), row=None)
        self._bars.start()

    def reply(self, key: Key, request: Request, reply: Reply) -> None:
        """Update speed, stage and time left."""
        self._counts.reply(key, request, reply)

    def record(self, record: Record) -> None:
        """Advance the sample's bar."""
        self._bars.update(self._tasks[self._counts.record(record)], advance=1)
        if self._all is not None:
            self._bars.update(self._all, advance=1)

    def stop(self) -> None:
        """Close the display; the finished bars stay on the screen."""
        self._bars.stop()


def _table(console: Console, counts: Counts) -> Progress:
    """Columns whose texts are computed whenever they are drawn, so that none goes stale."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
    )
    from rich.table import Column
    from rich.text import Text

    class Now(ProgressColumn):
        def __init__(self, field: str, justify: Literal["left", "right"]) -> None:
            super().__init__(Column(no_wrap=True, overflow="ellipsis", justify=justify))
            self.field = field

        def render(self, task: Task) -> Text:
            row = task.fields["row"]
            shown = counts.all() if row is None else counts.row(row)
            return Text(getattr(shown, self.field))

    name = Column(no_wrap=True, overflow="ellipsis")
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=name),
        BarColumn(bar_width=max(4, min(_WIDEST_BAR, console.width - _BESIDE_THE_BAR))),
        MofNCompleteColumn(table_column=Column(no_wrap=True, justify="right")),
        Now("speed", "right"),
        Now("left", "right"),
        Now("stage", "left"),
        console=console,
    )


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
