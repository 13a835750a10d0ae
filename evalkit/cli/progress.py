"""The live display of a run: what it shows, and how: bars on a terminal, lines when piped.

A display may read from a thread of its own, so every public method of `Counts` takes the lock.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Literal, TypeAlias

import click

from evalkit.cli.console import commands_of, seen
from evalkit.core import Record, Reply, Request
from evalkit.errors import RequestFailed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

__all__ = ["Bars", "Counts", "Key", "Lines", "Row", "Shown", "watcher"]

Key: TypeAlias = tuple[str, str, str, str]
"""Model, benchmark, task, sample."""
Row: TypeAlias = tuple[str, str]
"""Model, benchmark."""
Clock: TypeAlias = Callable[[], float]

_WINDOW_S = 20.0


@dataclass(frozen=True)
class Shown:
    """One line of the display; texts are empty where nothing is known."""

    done: int
    total: int
    speed: str = ""
    left: str = ""
    stage: str = ""


class _Speed:
    """Tokens a second over the last seconds; answers from the cache do not count."""

    def __init__(self) -> None:
        self.events: deque[tuple[float, int]] = deque()
        self.tokens = 0

    def add(self, now: float, reply: Reply) -> None:
        if isinstance(reply, RequestFailed) or reply.from_cache:
            return
        tokens = reply.prompt_tokens + reply.completion_tokens
        self.events.append((now, tokens))
        self.tokens += tokens

    def text(self, now: float) -> str:
        while self.events and now - self.events[0][0] > _WINDOW_S:
            self.tokens -= self.events.popleft()[1]
        if not self.events:
            return ""
        span = max(now - self.events[0][0], 1.0)
        return f"{self.tokens / span:,.0f} tokens/s"


@dataclass
class _Stage:
    """The answers, or the judgments, of one row."""

    verb: str
    noun: str
    since: float | None = None
    """When the work on the first reply began."""
    fresh: int = 0
    """Replies that were not in the cache."""
    got: int = 0
    each: int = 0
    """Most replies any sample had so far."""
    unfinished: Counter[Key] = field(default_factory=Counter)
    """Replies by sample, of those not finished."""

    def add(self, key: Key, reply: Reply, began: float) -> None:
        self.since = began if self.since is None else self.since
        self.fresh += isinstance(reply, RequestFailed) or not reply.from_cache
        self.got += 1
        self.unfinished[key] += 1
        self.each = max(self.each, self.unfinished[key])

    def missing(self, samples_left: int) -> int:
        """Replies still to come, if every sample needs as many as the one with most."""
        return max(self.each * samples_left - self.unfinished.total(), 0)

    def left(self, now: float, samples_left: int) -> str:
        missing = self.missing(samples_left)
        if self.since is None or not self.fresh or not missing:
            return ""
        return _duration((now - self.since) / self.fresh * missing)


@dataclass
class _Line:
    total: int
    done: int = 0
    failed: int = 0
    speed: _Speed = field(default_factory=_Speed)
    answers: _Stage = field(default_factory=lambda: _Stage("answering", "answers"))
    judgments: _Stage = field(default_factory=lambda: _Stage("judging", "judgments"))
    current: _Stage | None = None

    def shown(self, now: float) -> Shown:
        speed = self.speed.text(now)
        if self.done == self.total:
            return Shown(self.done, self.total, stage=self._not_scored())
        if self.current is None:
            return Shown(self.done, self.total)
        stage, to_do = self.current, self.total - self.done
        missing = stage.missing(to_do)
        if not missing:
            said = f"{stage.got} {stage.noun}, waiting"
            return Shown(self.done, self.total, stage=_joined(said, self._not_scored()))
        said = f"{stage.verb} {stage.got}/{stage.got + missing}"
        # Where the engine has turned to other rows, the rate so far says nothing of the time left.
        left = stage.left(now, to_do) if speed else ""
        return Shown(self.done, self.total, speed, left, _joined(said, self._not_scored()))

    def _not_scored(self) -> str:
        return f"{self.failed} not scored" if self.failed else ""


class Counts:
    """Everything a display asks for; `clock` gives seconds."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._lines: dict[Row, _Line] = {}
        self._speed = _Speed()
        self._started = self._last = clock()

    def start(self, totals: Mapping[Row, int]) -> None:
        """Begin with so many samples to do."""
        with self._lock:
            self._lines = {row: _Line(total) for row, total in totals.items()}
            self._started = self._last = self._clock()

    def reply(self, key: Key, request: Request, reply: Reply) -> None:
        """Count an answer or a judgment."""
        with self._lock:
            now, line = self._clock(), self._lines[key[:2]]
            self._speed.add(now, reply)
            line.speed.add(now, reply)
            judged = request.engine.startswith("judge:")
            line.current = line.judgments if judged else line.answers
            line.current.add(key, reply, self._last)
            self._last = now

    def record(self, record: Record) -> Row:
        """Count a finished sample; returns its row."""
        with self._lock:
            row = record.key[:2]
            line = self._lines[row]
            line.done += 1
            line.failed += record.outcome.status != "ok"
            for stage in (line.answers, line.judgments):
                stage.unfinished.pop(record.key, None)
            return row

    def row(self, row: Row) -> Shown:
        """One model on one benchmark, now."""
        with self._lock:
            return self._lines[row].shown(self._clock())

    def working(self) -> list[Row]:
        """Rows with replies in the last seconds, and more to come."""
        with self._lock:
            now = self._clock()
            return [r for r, li in self._lines.items() if li.done < li.total and li.speed.text(now)]

    def all(self) -> Shown:
        """All rows together; time left from the samples' rate so far."""
        with self._lock:
            now = self._clock()
            done = sum(line.done for line in self._lines.values())
            total = sum(line.total for line in self._lines.values())
            if done == total:
                return Shown(done, total)
            left = _duration((now - self._started) / done * (total - done)) if done else ""
            return Shown(done, total, self._speed.text(now), left)


def _duration(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d} left"


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


# --- drawing --------------------------------------------------------------------------------

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

        self._console = Console(file=commands_of(sys.stderr))
        self._counts = Counts()
        self._bars = _table(self._console, self._counts)
        self._tasks: dict[Row, TaskID] = {}
        self._all: TaskID | None = None

    def step(self, text: str) -> None:
        """Print the stage above the bars."""
        self._console.print(seen(text), markup=False, highlight=False)

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


def watcher() -> Lines | Bars:
    """The display that fits where standard error goes; `evalkit -v` lets libraries speak too."""
    context = click.get_current_context(silent=True)
    verbose = context is not None and bool(context.find_root().params.get("verbose"))
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
