"""The loop that runs flows on engines; the only caller of `Engine.open`, `poll` and `close`.

A flow (`core.Flow`) yields requests and receives completions; an engine has `submit` and
`poll`.  `drive` stands between them: it starts every flow before the first poll, so that an
engine can plan over all its requests, and resumes a flow the moment its own answers are in.

    outbox ─ submit ─▶ engine ─ poll ─▶ deliver ─▶ flow.send / flow.throw ─▶ outbox

Engines that need the device for themselves (`exclusive`) are open one at a time, in the order
of `engines`: put a judge that is also a model last, so that it is loaded once.  All others stay
open from their first request on, so judging by an API overlaps generation.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Generic, TypeVar

from evalkit.core import Completion, Flow, Job, Observer, Reply, Request
from evalkit.core.protocols import Engine
from evalkit.errors import BenchmarkError, EngineError, RequestFailed

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

ALONE_S = 1.0
"""Longest wait in one poll while only one engine has work."""
SHARED_S = 0.05
"""The same while several have, so that the others' replies are not delayed."""


def drive(
    flows: Mapping[K, Flow[T]] | Iterable[tuple[K, Flow[T]]],
    engines: Mapping[str, Engine],
    observer: Observer | None = None,
) -> Generator[tuple[K, T | RequestFailed], None, None]:
    """Run all flows to their end; yield each one's key and value as it ends.

    A flow is resumed when its whole batch is answered; the first failure of a batch is thrown
    into it, with all of the batch's replies.  A flow that ends with `RequestFailed` has that as
    its value.  An engine whose jobs are all answered without opening it (from a cache) is never
    opened.  Every opened engine is closed when the generator ends, however it ends: consumers that
    may stop early should hold it in `contextlib.closing`.

    Args:
        flows: Flows by key; none of them started.
        engines: By the names requests use; several names may share one object.
        observer: Called with each reply as it arrives, and the key of its flow.

    Raises:
        BenchmarkError: A flow raised anything but RequestFailed, or named no known engine.
        EngineError: An engine was lost, or broke its contract.
        ModelError: An engine could not load its model.
        StoreError: A cache could not store an answer.
    """
    pairs = flows.items() if isinstance(flows, Mapping) else flows
    driver: _Driver[K, T] = _Driver(engines, observer)
    with ExitStack() as stack:
        stack.callback(driver.close)
        yield from driver.run(pairs)


@dataclass(eq=False)
class _Life(Generic[K, T]):
    """A flow between two of its yields."""

    key: K
    flow: Flow[T]
    replies: list[Reply | None] = field(default_factory=list)
    """Of the current batch, in its order; None where not yet answered."""
    missing: int = 0

    def start(self) -> Sequence[Request]:
        return next(self.flow)

    def resume(self) -> Sequence[Request]:
        """Send the flow its replies; returns its next batch, or raises as the flow does."""
        answers: list[Completion] = []
        for reply in self.replies:
            if isinstance(reply, RequestFailed):
                reply.replies = tuple(self.replies)
                return self.flow.throw(reply)
            assert reply is not None
            answers.append(reply)
        return self.flow.send(answers)


@dataclass(eq=False)
class _Line:
    """One engine object and its outstanding requests."""

    names: list[str]
    engine: Engine
    outbox: list[Job] = field(default_factory=list)
    waiting: dict[int, tuple[_Life[Any, Any], int, Request]] = field(default_factory=dict)
    """By ticket: whose request it is, and its place in the batch."""
    is_open: bool = False
    was_opened: bool = False

    def open(self) -> None:
        # Noted before the attempt: an engine that fails half-way still holds memory.
        self.is_open = self.was_opened = True
        self.engine.open()

    def close(self) -> None:
        self.is_open = False
        self.engine.close()

    def flush(self) -> bool:
        """Submit the outbox; False where it was empty."""
        jobs, self.outbox = self.outbox, []
        if jobs:
            self.engine.submit(jobs)
        return bool(jobs)

    def poll(self, timeout: float) -> Sequence[tuple[int, Reply]]:
        replies = self.engine.poll(timeout)
        tickets = {ticket for ticket, _ in replies}
        if len(tickets) < len(replies) or not tickets <= self.waiting.keys():
            raise EngineError(
                f"engine {self.label} returned a ticket twice or one it was never given; "
                f"this is a bug in that engine"
            )
        lost = len(self.waiting) - len(self.outbox) - len(tickets)
        if self.engine.pending == 0 and lost:
            raise EngineError(
                f"engine {self.label} lost {lost} of its requests "
                f"(nothing pending, no reply); this is a bug in that engine"
            )
        return replies

    @property
    def label(self) -> str:
        return " / ".join(repr(name) for name in self.names)


class _Driver(Generic[K, T]):
    """State of one `drive`."""

    def __init__(self, engines: Mapping[str, Engine], observer: Observer | None) -> None:
        by_object: dict[int, _Line] = {}
        self._by_name: dict[str, _Line] = {}
        for name, engine in engines.items():
            line = by_object.setdefault(id(engine), _Line([], engine))
            line.names.append(name)
            self._by_name[name] = line
        self._lines = list(by_object.values())
        self._observer = observer
        self._tickets = count()
        self._alive: dict[int, _Life[K, T]] = {}

    def run(self, flows: Iterable[tuple[K, Flow[T]]]) -> Iterator[tuple[K, T | RequestFailed]]:
        for key, flow in flows:
            life = _Life(key, flow)
            self._alive[id(life)] = life
            yield from self._advance(life, life.start)
        while True:
            yield from self._settle()
            if not any(line.waiting for line in self._lines):
                return
            yield from self._open_needed()
            open_lines = [line for line in self._lines if line.waiting and line.is_open]
            for line, timeout in _timeouts(open_lines):
                yield from self._deliver(line, line.poll(timeout))

    def close(self) -> None:
        """Close the engines, then the flows, even where one of them fails."""
        with ExitStack() as stack:
            for life in self._alive.values():
                stack.callback(life.flow.close)
            for line in self._lines:
                if line.was_opened:
                    stack.callback(line.close)

    def _settle(self) -> Iterator[tuple[K, T | RequestFailed]]:
        """Submit everything, and deliver answers that need no open engine, until none is left."""
        while fresh := [line for line in self._lines if line.flush()]:
            for line in fresh:
                while not line.is_open and line.waiting and (replies := line.poll(0)):
                    yield from self._deliver(line, replies)

    def _open_needed(self) -> Iterator[tuple[K, T | RequestFailed]]:
        """Open shared engines with work; change the exclusive one when it has none left."""
        self._open_shared()
        if self._next_exclusive() is None:
            return
        # Loading may take a minute, in which nothing else is polled: finished answers are taken
        # first, so that the requests they lead to are sent meanwhile.
        for line in self._lines:
            if line.is_open and line.waiting and not line.engine.exclusive:
                yield from self._deliver(line, line.poll(0))
        yield from self._settle()
        self._open_shared()
        wanted = self._next_exclusive()
        if wanted is None:
            return
        for line in self._lines:
            if line.engine.exclusive and line.is_open:
                line.close()
        wanted.open()

    def _open_shared(self) -> None:
        for line in self._lines:
            if line.waiting and not line.engine.exclusive and not line.is_open:
                line.open()

    def _next_exclusive(self) -> _Line | None:
        """The engine that should get the device; None where the open one still has work."""
        wanted = [line for line in self._lines if line.waiting and line.engine.exclusive]
        return None if any(line.is_open for line in wanted) else next(iter(wanted), None)

    def _deliver(
        self, line: _Line, replies: Sequence[tuple[int, Reply]]
    ) -> Iterator[tuple[K, T | RequestFailed]]:
        """Put replies in their places; resume the flows whose batch is complete."""
        for ticket, reply in replies:
            life, place, request = line.waiting.pop(ticket)
            life.replies[place] = reply
            life.missing -= 1
            if self._observer is not None:
                self._observer(life.key, request, reply)
            if life.missing == 0:
                yield from self._advance(life, life.resume)

    def _advance(
        self, life: _Life[K, T], resume: Callable[[], Sequence[Request]]
    ) -> Iterator[tuple[K, T | RequestFailed]]:
        """One step of a flow; yields its value if that was its last."""
        value: T | RequestFailed
        try:
            batch = tuple(resume())
            while not batch:
                batch = tuple(life.flow.send(()))
        except StopIteration as stop:
            value = stop.value
        except RequestFailed as failed:
            value = failed.with_traceback(None)
        except Exception as error:
            raise BenchmarkError(
                f"the flow of {life.key!r} failed: {type(error).__name__}: {error}"
            ) from error
        else:
            self._enqueue(life, batch)
            return
        del self._alive[id(life)]
        yield life.key, value

    def _enqueue(self, life: _Life[K, T], batch: Sequence[Request]) -> None:
        life.replies = [None] * len(batch)
        life.missing = len(batch)
        for place, request in enumerate(batch):
            line = self._by_name.get(request.engine)
            if line is None:
                choices = ", ".join(repr(name) for name in self._by_name) or "none"
                raise BenchmarkError(
                    f"the flow of {life.key!r} sends a request to engine {request.engine!r}; "
                    f"expected one of {choices}: name the model or the judge in the suite"
                )
            ticket = next(self._tickets)
            line.waiting[ticket] = (life, place, request)
            line.outbox.append((ticket, request))


def _timeouts(lines: Sequence[_Line]) -> list[tuple[_Line, float]]:
    """How long each engine may be waited for in this round.

    An exclusive engine may do its work inside `poll`: beside it nothing else is waited for.
    """
    if len(lines) == 1:
        return [(lines[0], ALONE_S)]
    if any(line.engine.exclusive for line in lines):
        return [(line, SHARED_S if line.engine.exclusive else 0.0) for line in lines]
    return [(line, SHARED_S) for line in lines]
