"""The cache in front of an engine: same answers, each question once, nothing stored is lost; and
the order of generations by the lengths it remembers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core import Completion, Flow, Message, PreparedModel, Reply, Request
from evalkit.core.protocols import CompletionCache, Engine
from evalkit.engines._cached import CachedEngine
from evalkit.engines._drive import drive
from evalkit.engines._order import (
    answer_lengths,
    cautious,
    expecting,
    length_names,
    work_order,
)
from evalkit.engines.fake import FakeEngine, FakeSpec
from evalkit.errors import RequestFailed, StoreError

MODEL = PreparedModel(
    name="m",
    role="candidate",
    path=None,
    fingerprint="f00d",
    chat_template=None,
    template_source="none",
)


class DictCache:
    """A cache in memory that refuses to store after `room` batches."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.table: dict[str, Completion] = {}
        self.known: dict[str, int] = {}
        self.room = room

    def get_many(self, keys: Sequence[str]) -> dict[str, Completion]:
        return {key: self.table[key] for key in keys if key in self.table}

    def put_many(
        self, items: Mapping[str, Completion], lengths: Mapping[str, int] | None = None
    ) -> None:
        if self.room == 0:
            raise StoreError("no space left")
        self.room -= 1
        assert not any(item.from_cache for item in items.values())
        self.table.update(items)
        self.known.update(lengths or {})

    def lengths(self, names: Sequence[str]) -> dict[str, int]:
        return {name: self.known[name] for name in names if name in self.known}


class Asked:
    """A reply function that remembers what it was asked; texts starting with F fail."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        if str(request.prompt).startswith("F"):
            return RequestFailed("engine_error", "F")
        return Completion(text=f"{request.prompt}!", completion_tokens=1, cost_usd=0.5)


def ask(text: str, trial: int = 0, engine: str = "m") -> Request:
    return Request(engine=engine, kind="generate", prompt=text, trial=trial)


def fake(asked: Asked, **settings: bool) -> FakeEngine:
    return FakeEngine(FakeSpec.model_validate(settings), MODEL, asked)


def run(engine: Engine, batches: Sequence[Sequence[Request]]) -> list[list[Reply]]:
    """Each batch is one flow, all in flight together; failures are kept as replies."""

    def one(request: Request) -> Flow[Reply]:
        try:
            (answer,) = yield [request]
        except RequestFailed as failed:
            return failed
        return answer

    out: list[list[Reply]] = []
    for batch in batches:
        got = dict(drive(((i, one(r)) for i, r in enumerate(batch)), {"m": engine, "n": engine}))
        out.append([got[i] for i in range(len(batch))])
    return out


def plain(replies: list[list[Reply]]) -> list[list[object]]:
    return [
        [replace(r, from_cache=False) if isinstance(r, Completion) else str(r) for r in batch]
        for batch in replies
    ]


BATCHES = st.lists(
    st.lists(
        st.builds(
            ask,
            st.sampled_from(["a", "b", "c", "F1", "F2"]),
            st.integers(0, 1),
            st.sampled_from("mn"),
        ),
        max_size=12,
    ),
    max_size=5,
)


@given(BATCHES)
def test_same_answers_with_and_without_and_each_key_asked_once(
    batches: list[list[Request]],
) -> None:
    cache, asked = DictCache(), Asked()
    got = run(CachedEngine(fake(asked), cache), batches)
    assert plain(got) == plain(run(fake(Asked()), batches))
    answered = [(r.prompt, r.trial) for r in asked.requests if not str(r.prompt).startswith("F")]
    assert len(answered) == len(set(answered))
    assert set(cache.table) == {
        fake(asked).keys([r])[0] for b in batches for r in b if not str(r.prompt).startswith("F")
    }
    again = Asked()
    replay = run(CachedEngine(fake(again), cache), batches)
    assert plain(replay) == plain(got)
    assert all(str(r.prompt).startswith("F") for r in again.requests)


def test_hits_need_no_open_and_say_where_they_come_from() -> None:
    cache, batch = DictCache(), [[ask("a"), ask("a"), ask("b")]]
    first = run(CachedEngine(fake(Asked()), cache), batch)
    assert [r.from_cache for r in first[0] if isinstance(r, Completion)] == [False, True, False]
    inner = fake(Asked(), down=True, exclusive=True)
    engine = CachedEngine(inner, cache)
    again = run(engine, batch)
    assert [r.from_cache for r in again[0] if isinstance(r, Completion)] == [True] * 3
    assert (inner.opened, inner.answered) == (0, 0)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30), st.integers(0, 4))
def test_pending_counts_hits_and_asked(letters: list[str], stored: int) -> None:
    cache = DictCache()
    inner = fake(Asked())
    cache.put_many({inner.keys([ask(c)])[0]: Completion(text=c) for c in "abcd"[:stored]})
    engine = CachedEngine(inner, cache)
    engine.submit([(i, ask(c)) for i, c in enumerate(letters)])
    assert engine.pending == len(letters)
    early = engine.poll(0)
    assert sorted(t for t, _ in early) == [i for i, c in enumerate(letters) if c in "abcd"[:stored]]
    assert engine.pending == len(letters) - len(early)
    engine.open()
    while engine.pending:
        engine.poll(0.1)
    engine.close()
    engine.close()


@given(st.lists(st.one_of(st.none(), st.lists(st.sampled_from(["a", "b", "c", "F"])))))
def test_pending_is_what_was_submitted_and_not_returned(
    moves: list[list[str] | None],
) -> None:
    """None: a poll; else texts to submit, repeated and failing ones among them."""
    engine = CachedEngine(FakeEngine(FakeSpec(), MODEL, Asked()), DictCache())
    engine.open()
    owed: set[int] = set()
    number = 0
    for move in moves:
        if move is None:
            owed -= {ticket for ticket, _ in engine.poll(0)}
        else:
            jobs = [(number + n, ask(text)) for n, text in enumerate(move)]
            number += len(jobs)
            owed |= {ticket for ticket, _ in jobs}
            engine.submit(jobs)
        assert engine.pending == len(owed)
    engine.close()
    assert engine.pending == 0


def test_a_full_disk_loses_no_stored_answer() -> None:
    cache = DictCache(room=2)
    engine = CachedEngine(fake(Asked()), cache)
    with pytest.raises(StoreError):
        run(engine, [[ask("a")], [ask("b")], [ask("c")]])
    assert sorted(c.text for c in cache.table.values()) == ["a!", "b!"]
    cache.room = 10
    asked = Asked()
    run(CachedEngine(fake(asked), cache), [[ask("a"), ask("b"), ask("c")]])
    assert [r.prompt for r in asked.requests] == ["c"]


def test_stored_before_it_is_returned() -> None:
    cache = DictCache()
    engine = CachedEngine(fake(Asked()), cache)
    engine.open()
    engine.submit([(1, ask("a"))])
    ((ticket, _),) = engine.poll(1)
    assert (ticket, [c.text for c in cache.table.values()]) == (1, ["a!"])


def chat(*turns: str, **changes: Any) -> Request:
    """A conversation: the user's and the model's turns by turns."""
    roles: tuple[Literal["user", "assistant"], ...] = ("user", "assistant")
    messages = tuple(Message(roles[n % 2], text) for n, text in enumerate(turns))
    return Request("m", "generate", messages, max_tokens=100, **changes)


def words(n: int) -> Completion:
    return Completion(text="x " * n, completion_tokens=n)


def test_the_inner_engine_is_told_how_long_answers_were_with_other_models() -> None:
    cache, asked = DictCache(), Asked()
    lengths = {"short": 4, "long": 60, "and then?": 30}
    run(
        CachedEngine(FakeEngine(FakeSpec(), MODEL, lambda r: words(lengths[said(r)])), cache),
        [[chat("short"), chat("long"), chat("long", "blah " * 60, "and then?")]],
    )
    other = FakeEngine(FakeSpec(), replace(MODEL, fingerprint="0ther"), asked)
    scored = Request("m", "loglikelihood", "short", continuation=" x")
    questions = [
        chat("short"),
        chat("long", temperature=1.0, seed=4),
        chat("long", "another answer", "and then?"),
        chat("never asked"),
    ]
    engine = CachedEngine(other, cache)
    engine.submit([*enumerate(questions), (9, scored)])
    engine.open()
    while engine.pending:
        engine.poll(1)
    got = {said(r): r.expected_tokens for r in asked.requests if r.kind == "generate"}
    # Halfway between what was known, with the turn that follows, and the limit.
    assert got == {"short": 52, "long": 95, "and then?": 65, "never asked": None}
    assert [r.expected_tokens for r in asked.requests if r.kind != "generate"] == [None]


def said(request: Request) -> str:
    last = request.prompt[-1]
    return last if isinstance(last, str) else last.content


def test_what_is_expected_does_not_make_another_question() -> None:
    cache, asked = DictCache(), Asked()
    hinted = replace(ask("a"), expected_tokens=7)
    assert fake(asked).keys([hinted]) == fake(asked).keys([ask("a")])
    assert hinted == ask("a")
    assert len({hinted, ask("a")}) == 1
    run(CachedEngine(fake(asked), cache), [[ask("a"), hinted], [hinted]])
    assert len(asked.requests) == 1


def test_a_failure_and_a_cut_answer_teach_no_length() -> None:
    cache = DictCache()
    replies: dict[str, Reply] = {
        "F": RequestFailed("engine_error", "F"),
        "cut": Completion(truncated=True, completion_tokens=100),
    }
    engine = FakeEngine(FakeSpec(), MODEL, lambda r: replies[said(r)])
    run(CachedEngine(engine, cache), [[chat("F"), chat("cut")]])
    assert cache.known == {}


def test_passes_through_what_describes_the_inner_engine() -> None:
    inner = fake(Asked(), exclusive=True)
    engine = CachedEngine(inner, DictCache())
    assert engine.identity == inner.identity
    assert engine.exclusive
    assert engine.needs_weights is inner.needs_weights
    assert engine.keys([ask("a")]) == inner.keys([ask("a", engine="other name")])
    assert engine.prompt_tokens([ask("a b")]) == [2]
    cache: CompletionCache = DictCache()
    assert isinstance(CachedEngine(inner, cache).render(ask("a")), object)


# --- the order of generations -------------------------------------------------------------------

TEXTS = st.sampled_from(["", "a", "b", "a\n"])


@st.composite
def prompts(draw: st.DrawFn) -> str | tuple[Message, ...]:
    if draw(st.booleans()):
        return draw(TEXTS)
    system = [Message("system", draw(TEXTS))] if draw(st.booleans()) else []
    turns = draw(st.lists(st.tuples(TEXTS, TEXTS), max_size=2))
    said = [m for u, a in turns for m in (Message("user", u), Message("assistant", a))]
    end = [Message("user", draw(TEXTS))]
    end += [Message("assistant", draw(TEXTS))] if draw(st.booleans()) else []
    return (*system, *said, *end)


def generate(prompt: str | tuple[Message, ...], max_tokens: int = 100, **more: Any) -> Request:
    return Request("m", "generate", prompt, max_tokens=max_tokens, **more)


def test_an_unknown_length_goes_before_a_short_one() -> None:
    known = generate("a", 1024, expected_tokens=30)
    unknown = generate("b", 1024)
    two_turns = generate("c", 1024, expected_tokens=2048)
    longest = generate("d", 2048)
    assert sorted([known, longest, unknown, two_turns], key=work_order) == [
        two_turns,
        longest,
        unknown,
        known,
    ]


@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(1, 5000))
def test_a_guess_counts_half_and_orders_like_the_guess(one: int, other: int, most: int) -> None:
    assert most // 2 <= cautious(one, most) <= most
    if min(one, most) + 1 < min(other, most):
        assert cautious(one, most) < cautious(other, most)


@given(prompts(), st.integers(0, 9))
def test_names_depend_on_the_question_only(prompt: Any, n: int) -> None:
    request = generate(prompt)
    other = replace(
        request, engine="n", max_tokens=n, temperature=0.7, seed=n, trial=n, stop=("x",)
    )
    assert length_names(request) == length_names(other)
    assert len({*length_names(request)}) == 2


@given(prompts(), prompts())
def test_other_questions_have_other_names(one: Any, other: Any) -> None:
    def asked(prompt: Any) -> Any:
        """Without what the model itself said before the end."""
        if isinstance(prompt, str):
            return prompt
        end = len(prompt) - 1
        return [
            (m.role, None if m.role == "assistant" and n < end else m.content)
            for n, m in enumerate(prompt)
        ]

    same = asked(one) == asked(other)
    assert (set(length_names(generate(one))) == set(length_names(generate(other)))) is same
    if not same:
        assert not set(length_names(generate(one))) & set(length_names(generate(other)))


@given(st.integers(1, 100), st.integers(1, 100), TEXTS, TEXTS)
def test_a_first_turn_expects_its_second(first: int, second: int, said: str, later: str) -> None:
    one = generate((Message("user", "q"),), expected_tokens=200)
    lengths: dict[str, int] = {}
    for answer, n in ((said, first), (later, second)):
        asked = generate((Message("user", "q"), Message("assistant", answer), Message("user", "r")))
        lengths |= answer_lengths(one, Completion(completion_tokens=first))
        lengths |= answer_lengths(asked, Completion(completion_tokens=n))
    (hinted,) = expecting([one], lengths)
    assert hinted.expected_tokens == (first + second + 200) // 2
    (last,) = expecting([asked], lengths)
    assert last.expected_tokens == (second + 100) // 2
    assert hinted == one


def test_what_is_unknown_or_no_generation_stays_as_it_is() -> None:
    scored = Request("m", "loglikelihood", "a", continuation="b")
    unknown = generate("never asked", expected_tokens=3)
    assert expecting([scored, unknown], {}) == [scored, unknown]
    assert expecting([unknown], {"other": 1})[0].expected_tokens == 3
    assert answer_lengths(scored, Completion(logprob=-1.0)) == {}
    assert answer_lengths(unknown, Completion("no count")) == {}
