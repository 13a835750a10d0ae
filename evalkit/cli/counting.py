"""What a live display shows: samples, speed and time left, per model and benchmark.

Only arithmetic: `progress.py` draws it.  A display may read from a thread of its own, so every
public method of `Counts` takes the lock.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeAlias

from evalkit.core import Record, Reply, Request
from evalkit.errors import RequestFailed

__all__ = ["Counts", "Key", "Row", "Shown"]

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
