"""The fake engine: equal requests get equal replies, judges get verdicts they can read."""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core import Completion, Message, PreparedModel, Reply, Request
from evalkit.core.specs import ThinkingSpec
from evalkit.engines.fake import FakeEngine, FakeSpec
from evalkit.errors import EngineError, RequestFailed

MODEL = PreparedModel(
    name="m",
    role="candidate",
    path=None,
    fingerprint="f00d",
    chat_template=None,
    template_source="none",
)
REQUESTS = st.builds(
    Request,
    engine=st.just("m"),
    kind=st.sampled_from(["generate", "loglikelihood", "rolling"]),
    prompt=st.one_of(
        st.text(), st.tuples(st.builds(Message, st.sampled_from(["user", "system"]), st.text()))
    ),
    continuation=st.text(),
    max_tokens=st.integers(1, 80),
    top_logprobs=st.integers(0, 20),
    trial=st.integers(0, 3),
)


def ask(text: str, **changes: int) -> Request:
    return replace(Request(engine="m", kind="generate", prompt=text), **changes)  # type: ignore[arg-type]


def answers(engine: FakeEngine, requests: list[Request]) -> list[Reply]:
    engine.submit(list(enumerate(requests)))
    engine.open()
    got: dict[int, Reply] = {}
    while engine.pending:
        got |= dict(engine.poll(1))
    engine.close()
    return [got[i] for i in range(len(requests))]


@given(st.lists(REQUESTS, max_size=8))
def test_replies_depend_on_the_request_alone(requests: list[Request]) -> None:
    first = answers(FakeEngine(FakeSpec(), MODEL), requests)
    second = answers(FakeEngine(FakeSpec(), MODEL), requests[::-1])
    assert first == second[::-1]
    for request, reply in zip(requests, first, strict=True):
        assert isinstance(reply, Completion)
        if request.kind == "generate":
            assert 0 <= reply.completion_tokens == len(reply.text.split()) <= request.max_tokens
            assert len(reply.top_logprobs) == min(request.top_logprobs, 14)
        else:
            assert reply.logprob is not None
            assert reply.logprob < 0
            assert (reply.is_greedy is None) == (request.kind == "rolling")


def test_other_model_other_seed_other_trial_other_reply() -> None:
    texts = [
        answers(FakeEngine(FakeSpec(seed=s), replace(MODEL, fingerprint=f)), [ask("q", trial=t)])
        for s, f, t in [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1)]
    ]
    assert len({str(t) for t in texts}) == 4


@pytest.mark.parametrize(
    ("prompt", "pattern"),
    [
        ('Output your verdict: "[[A]]" or "[[B]]", "[[C]]" for a tie', r"\[\[[ABC]\]\]$"),
        ('"[[A]]" if A is better, "[[B]]" otherwise', r"\[\[[AB]\]\]$"),
        ('strictly following this format: "[[rating]]", e.g. "Rating: [[5]]"', r"\[\[\d+\]\]$"),
        ("give the rank of model_1 and model_2", r"\[\{'model': 'model_[12]', 'rank': 1\}, .*\]$"),
        ("## Output (m): x ## Output (M): y", r" [mM]$"),
    ],
)
def test_judges_get_a_verdict_and_all_verdicts_occur(prompt: str, pattern: str) -> None:
    replies = answers(FakeEngine(FakeSpec(), MODEL), [ask(f"{prompt} {i}") for i in range(200)])
    ends: set[str] = set()
    for reply in replies:
        assert isinstance(reply, Completion)
        found = re.search(pattern, reply.text)
        assert found, reply.text
        ends.add(found.group())
    assert len(ends) == {r"\[\[[ABC]\]\]$": 3, r"\[\[\d+\]\]$": 10}.get(pattern, 2)


def test_top_logprobs_are_probabilities_most_likely_first() -> None:
    (reply,) = answers(FakeEngine(FakeSpec(), MODEL), [ask("q", top_logprobs=20)])
    assert isinstance(reply, Completion)
    logprobs = [v for _, v in reply.top_logprobs]
    assert logprobs == sorted(logprobs, reverse=True)
    assert math.isclose(sum(math.exp(v) for v in logprobs), 1, abs_tol=1e-4)


def test_stops_and_limits() -> None:
    engine = FakeEngine(FakeSpec(max_prompt_words=3), MODEL)
    whole, cut, stopped, long = answers(
        engine,
        [ask("q"), ask("q", max_tokens=2), replace(ask("q"), stop=(" ",)), ask("one two 3 4")],
    )
    assert isinstance(whole, Completion)
    assert isinstance(cut, Completion)
    assert isinstance(stopped, Completion)
    assert (whole.truncated, cut.truncated, stopped.truncated) == (False, True, False)
    assert (len(cut.text.split()), len(stopped.text.split())) == (2, 1)
    assert isinstance(long, RequestFailed)
    assert long.status == "over_long"


def test_fail_every_fails_about_that_many_and_always_the_same() -> None:
    requests = [ask(str(i)) for i in range(400)]
    first = answers(FakeEngine(FakeSpec(fail_every=4), MODEL), requests)
    second = answers(FakeEngine(FakeSpec(fail_every=4), MODEL), requests)
    failed = [i for i, r in enumerate(first) if isinstance(r, RequestFailed)]
    assert failed == [i for i, r in enumerate(second) if isinstance(r, RequestFailed)]
    assert 60 < len(failed) < 140


def test_faults_come_and_go_with_their_file(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    engine = FakeEngine(FakeSpec(faults=str(path)), MODEL)
    keys = engine.keys([ask("q")])
    path.write_text(json.dumps({"down": True}))
    with pytest.raises(EngineError, match="down"):
        engine.open()
    path.write_text(json.dumps({"oops": True}))
    with pytest.raises(EngineError, match="unknown fault 'oops'"):
        engine.open()
    for wrong in ("{", "[1]", "3", '{"delay_s": "soon"}'):
        path.write_text(wrong)
        with pytest.raises(EngineError, match="correct the file or remove it"):
            engine.open()
    path.write_text(json.dumps({"fail_every": 1}))
    assert [type(r) for r in answers(engine, [ask("q")])] == [RequestFailed]
    path.unlink()
    assert [type(r) for r in answers(engine, [ask("q")])] == [Completion]
    assert engine.keys([ask("q")]) == keys
    assert (engine.opened, engine.answered) == (2, 2)


def test_delay_is_per_request() -> None:
    engine = FakeEngine(FakeSpec(delay_s=0.02), MODEL)
    start = time.monotonic()
    answers(engine, [ask(str(i)) for i in range(5)])
    assert time.monotonic() - start >= 0.1


def test_a_model_that_thinks_says_the_same_after_its_thought() -> None:
    requests = [Request("m", "generate", f"Name {n} rivers.") for n in range(40)]
    thinks = FakeEngine(FakeSpec(), replace(MODEL, thinking=ThinkingSpec(budget=20)))
    plain = FakeEngine(FakeSpec(), MODEL)
    for engine in (plain, thinks):
        engine.open()
        engine.submit(list(enumerate(requests)))
    without, found = ([r for _, r in engine.poll(0)] for engine in (plain, thinks))
    lost = 0
    for alone, done in zip(without, found, strict=True):
        assert isinstance(alone, Completion)
        assert isinstance(done, Completion)
        assert 1 <= done.thought_tokens <= 20
        lost += done.unfinished
        assert done.text == ("" if done.unfinished else alone.text)
    assert 0 < lost < 40
