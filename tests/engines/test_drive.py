"""The loop that runs flows: order, one value per flow, one exclusive engine, clean ends.

`ScrambledEngine` is a small real engine that answers late and out of order, as its seed says.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core import Completion, Flow, Job, Rendered, Reply, Request
from evalkit.core.protocols import Engine
from evalkit.engines._drive import drive
from evalkit.errors import BenchmarkError, EngineError, RequestFailed

Answer = Callable[[Request], Reply]


def echo(request: Request) -> Reply:
    return Completion(text=f"{request.engine}:{request.prompt}")


class ScrambledEngine:
    """Returns a random handful of its jobs per poll, in random order."""

    needs_weights: ClassVar[bool] = False

    def __init__(
        self,
        seed: int = 0,
        exclusive: bool = False,
        answer: Answer = echo,
        open_now: list[object] | None = None,
    ) -> None:
        self.exclusive = exclusive
        self.identity: Mapping[str, Any] = {"type": "scrambled"}
        self.jobs: list[Job] = []
        self.submits: list[int] = []
        self.opened = 0
        self.closed = 0
        self.is_open = False
        self._answer = answer
        self._random = random.Random(seed)
        self._open_now = open_now if open_now is not None else []

    @property
    def pending(self) -> int:
        return len(self.jobs)

    def keys(self, requests: Sequence[Request]) -> list[str]:
        return [repr(r) for r in requests]

    def prompt_tokens(self, requests: Sequence[Request]) -> list[int | None]:
        return [None for _ in requests]

    def render(self, request: Request) -> Rendered | None:
        return None

    def open(self) -> None:
        assert not self.is_open
        self.is_open = True
        self.opened += 1
        if self.exclusive:
            self._open_now.append(self)
            assert self._open_now == [self], "two exclusive engines are open"

    def submit(self, jobs: Sequence[Job]) -> None:
        assert jobs, "an empty submit"
        self.submits.append(len(jobs))
        self.jobs.extend(jobs)

    def poll(self, timeout: float) -> Sequence[tuple[int, Reply]]:
        if not self.is_open:
            return []
        self._random.shuffle(self.jobs)
        n = self._random.randint(0, len(self.jobs))
        out, self.jobs = self.jobs[:n], self.jobs[n:]
        return [(ticket, self._answer(request)) for ticket, request in out]

    def close(self) -> None:
        self.closed += 1
        self.is_open = False
        if self in self._open_now:
            self._open_now.remove(self)


class Prompt(ScrambledEngine):
    """Answers all it has in each poll."""

    def poll(self, timeout: float) -> Sequence[tuple[int, Reply]]:
        if not self.is_open:
            return []
        jobs, self.jobs = self.jobs, []
        return [(ticket, self._answer(request)) for ticket, request in jobs]


def ask(engine: str, text: str) -> Request:
    return Request(engine=engine, kind="generate", prompt=text)


Shape = list[list[tuple[str, bool]]]
"""Rounds of (engine, does it fail) requests."""


def shaped(name: str, shape: Shape, catches: bool) -> Flow[list[list[str]]]:
    """Asks its rounds one after the other; returns what it received."""
    seen: list[list[str]] = []
    for i, batch in enumerate(shape):
        requests = [
            ask(engine, f"{'FAIL ' if fails else ''}{name}/{i}/{j}")
            for j, (engine, fails) in enumerate(batch)
        ]
        try:
            replies = yield requests
        except RequestFailed as failed:
            if not catches:
                raise
            seen.append([f"caught {failed}"])
        else:
            seen.append([r.text for r in replies])
    return seen


def expected(name: str, shape: Shape, catches: bool) -> list[list[str]] | str:
    seen: list[list[str]] = []
    for i, batch in enumerate(shape):
        failed = [j for j, (_, fails) in enumerate(batch) if fails]
        if failed and not catches:
            return f"no FAIL {name}/{i}/{failed[0]}"
        if failed:
            seen.append([f"caught no FAIL {name}/{i}/{failed[0]}"])
        else:
            seen.append([f"{engine}:{name}/{i}/{j}" for j, (engine, _) in enumerate(batch)])
    return seen


def answer_or_fail(request: Request) -> Reply:
    text = str(request.prompt)
    return RequestFailed("engine_error", f"no {text}") if text.startswith("FAIL") else echo(request)


SHAPES = st.lists(
    st.tuples(
        st.lists(
            st.lists(
                st.tuples(st.sampled_from("abcd"), st.sampled_from([False] * 5 + [True])),
                max_size=4,
            ),
            max_size=4,
        ),
        st.booleans(),
    ),
    max_size=12,
)


@given(shapes=SHAPES, seed=st.integers(0, 10_000), exclusive=st.tuples(*[st.booleans()] * 4))
def test_each_flow_gets_its_own_answers_and_ends_once(
    shapes: list[tuple[Shape, bool]], seed: int, exclusive: tuple[bool, ...]
) -> None:
    open_now: list[object] = []
    engines = {
        name: ScrambledEngine(seed + i, exclusive[i], answer_or_fail, open_now)
        for i, name in enumerate("abcd")
    }
    engines["d"] = engines["a"]
    flows = {i: shaped(str(i), shape, catches) for i, (shape, catches) in enumerate(shapes)}
    ended = list(drive(flows, engines))
    assert sorted(key for key, _ in ended) == list(range(len(shapes)))
    got = {k: str(v) if isinstance(v, RequestFailed) else v for k, v in ended}
    assert got == {i: expected(str(i), *s) for i, s in enumerate(shapes)}
    asked = {e for shape, _ in shapes for batch in shape[:1] for e, _ in batch}
    for name, engine in engines.items():
        assert not engine.is_open
        assert engine.jobs == []
        if name in asked:
            assert engine.opened >= 1


def test_all_flows_start_before_the_first_poll_in_one_submit() -> None:
    engine = ScrambledEngine(exclusive=True)
    flows = ((i, shaped(str(i), [[("a", False)] * 3], False)) for i in range(50))
    assert len(list(drive(flows, {"a": engine}))) == 50
    assert engine.submits == [150]
    assert (engine.opened, engine.closed > 0) == (1, True)


def test_an_engine_without_work_is_never_opened() -> None:
    idle, busy = ScrambledEngine(exclusive=True), ScrambledEngine(exclusive=True)
    list(drive({0: shaped("x", [[("busy", False)]], False)}, {"idle": idle, "busy": busy}))
    assert (idle.opened, busy.opened) == (0, 1)
    assert idle.closed == 0


def test_a_judge_model_placed_last_is_loaded_once() -> None:
    open_now: list[object] = []
    base, tuned = (ScrambledEngine(s, True, open_now=open_now) for s in (1, 2))
    flows = {
        (m, i): shaped(f"{m}{i}", [[(m, False)], [("judge", False)] * 2], False)
        for m in ("tuned", "base")
        for i in range(20)
    }
    engines: dict[str, Engine] = {"tuned": tuned, "base": base, "judge": base}
    assert len(list(drive(flows, engines))) == 40
    assert (tuned.opened, base.opened) == (1, 1)


def test_api_judging_overlaps_generation() -> None:
    finished: list[str] = []
    model = ScrambledEngine(3, exclusive=True)
    api = ScrambledEngine(4)
    flows = {i: shaped(str(i), [[("m", False)], [("api", False)]], False) for i in range(30)}

    def observe(key: int, request: Request, reply: Reply) -> None:
        assert str(request.prompt).startswith(f"{key}/")
        finished.append(request.engine)

    list(drive(flows, {"m": model, "api": api}, observe))
    assert len(finished) == 60
    assert finished.index("api") < len(finished) - 1 - finished[::-1].index("m")


def test_what_is_answered_is_taken_before_the_next_model_is_loaded() -> None:
    """A paid reply is stored when polled; loading a model may take a minute."""
    journal: list[str] = []

    class Api(Prompt):
        def submit(self, jobs: Sequence[Job]) -> None:
            journal.append("asked")
            super().submit(jobs)

        def poll(self, timeout: float) -> Sequence[tuple[int, Reply]]:
            replies = super().poll(timeout)
            journal.extend("answered" for _ in replies)
            return replies

    class Loud(ScrambledEngine):
        def open(self) -> None:
            journal.append("loaded")
            super().open()

    flows = {
        0: shaped("x", [[("api", False)], [("api", False)]], False),
        1: shaped("y", [[("m", False)]], False),
    }
    list(drive(flows, {"api": Api(), "m": Loud(exclusive=True)}))
    assert journal == ["asked", "answered", "asked", "loaded", "answered"]


def test_an_engine_that_gets_work_by_that_is_not_closed() -> None:
    """The reply taken last asks the model that is still open."""
    open_now: list[object] = []
    first, second = (Prompt(s, True, open_now=open_now) for s in (1, 2))
    flows = {
        0: shaped("x", [[("first", False)], [("api", False)], [("first", False)]], False),
        1: shaped("y", [[("second", False)]], False),
    }
    engines = {"first": first, "second": second, "api": Prompt(3)}
    assert len(list(drive(flows, engines))) == 2
    assert (first.opened, second.opened) == (1, 1)


def test_no_flows_is_no_work() -> None:
    engine = ScrambledEngine()
    assert list(drive({}, {"a": engine})) == []
    assert engine.opened == 0


def test_unknown_engine_lists_the_names() -> None:
    with pytest.raises(BenchmarkError, match=r"'s1' sends a request to engine 'nope'.*'a', 'b'"):
        list(
            drive(
                {"s1": shaped("x", [[("nope", False)]], False)},
                {"a": ScrambledEngine(), "b": ScrambledEngine()},
            )
        )


def breaks_on(number: int) -> Flow[None]:
    yield [ask("a", "one")]
    if number == 2:
        raise ValueError("no such thing")
    yield [ask("a", "two")]


def test_an_exception_of_a_flow_names_it_closes_all_and_keeps_what_ended() -> None:
    engine = ScrambledEngine()
    closed: list[int] = []

    def waits(i: int) -> Flow[None]:
        try:
            while True:
                yield [ask("a", "more")]
        finally:
            closed.append(i)

    flows: dict[object, Flow[None]] = {"bad": breaks_on(2), 1: waits(1), 2: waits(2)}
    with pytest.raises(BenchmarkError, match=r"'bad' failed: ValueError: no such thing") as caught:
        list(drive(flows, {"a": engine}))
    assert isinstance(caught.value.__cause__, ValueError)
    assert sorted(closed) == [1, 2]
    assert not engine.is_open


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, EngineError])
def test_engines_are_closed_on_any_exception(interrupt: type[BaseException]) -> None:
    def stop(request: Request) -> Reply:
        raise interrupt("now")

    lost = ScrambledEngine(1, exclusive=True, answer=stop)
    other = ScrambledEngine(2)
    flows = {0: shaped("x", [[("lost", False), ("other", False)]], False)}
    with pytest.raises(interrupt):
        list(drive(flows, {"lost": lost, "other": other}))
    assert (lost.closed, other.closed) == (1, 1)


def test_engines_are_closed_when_the_consumer_stops() -> None:
    engine = ScrambledEngine()
    flows = {i: shaped(str(i), [[("a", False)]] * 5, False) for i in range(5)}
    with closing(drive(flows, {"a": engine})) as results:
        next(results)
        assert engine.is_open
    assert not engine.is_open


def test_an_engine_that_fails_to_open_is_closed_too() -> None:
    class Broken(ScrambledEngine):
        def open(self) -> None:
            raise EngineError("no memory")

    engine = Broken(exclusive=True)
    with pytest.raises(EngineError, match="no memory"):
        list(drive({0: shaped("x", [[("a", False)]], False)}, {"a": engine}))
    assert engine.closed == 1


class Liar(ScrambledEngine):
    """Breaks the contract in one of three ways."""

    def __init__(self, lie: str) -> None:
        super().__init__()
        self.lie = lie

    def poll(self, timeout: float) -> Sequence[tuple[int, Reply]]:
        jobs, self.jobs = self.jobs, []
        out: list[tuple[int, Reply]] = [(t, echo(r)) for t, r in jobs]
        if self.lie == "twice":
            return out + out
        if self.lie == "unknown":
            return [*out, (10**9, Completion())]
        return out[1:]


@pytest.mark.parametrize(
    ("lie", "message"), [("twice", "twice"), ("unknown", "never given"), ("lost", "lost 1")]
)
def test_broken_engines_are_found_out(lie: str, message: str) -> None:
    flows = {0: shaped("x", [[("a", False)] * 3], False)}
    with pytest.raises(EngineError, match=message):
        list(drive(flows, {"a": Liar(lie)}))


def test_a_shared_failure_object_reaches_each_flow() -> None:
    failure = RequestFailed("refused", "no")
    engine = ScrambledEngine(answer=lambda _: failure)
    flows = {i: shaped(str(i), [[("a", False)]], False) for i in range(3)}
    values = [v for _, v in drive(flows, {"a": engine})]
    assert [v.status for v in values if isinstance(v, RequestFailed)] == ["refused"] * 3
    assert failure.__traceback__ is None


def test_empty_batches_get_empty_replies() -> None:
    def flow() -> Flow[list[list[Completion]]]:
        got = yield []
        again = yield []
        return [list(got), list(again)]

    assert list(drive({"k": flow()}, {})) == [("k", [[], []])]
