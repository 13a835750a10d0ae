"""The engine for OpenAI-compatible servers: replies, token counts and text of any kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core import Completion, Reply, Request
from evalkit.engines._http import Background
from evalkit.errors import RequestFailed
from tests.support.fault_server import FaultServer, Step, malformed, ok
from tests.support.openai_engine import KEY, answers, chat, completion, engine_at, failure
from tests.support.properties import examples


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


PRICES = {"usd_per_million_input_tokens": 0, "usd_per_million_output_tokens": 1e6}
"""A dollar a new token."""
GOOD = json.loads(ok("fine").body)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[]", "the reply is no object"),
        (b'{"choices": null}', "'choices' is no list"),
        (b'{"choices": ["x"]}', "'choices[0]' is no object"),
        (b'{"choices": [{"message": null}]}', "'choices[0].message' is no object"),
        (b'{"choices": [{"message": {"content": 3}}]}', "the answer is not text"),
        (b'{"choices": [{"message": {"content": "x"}, "logprobs": 5}]}', "TypeError"),
        (b"[" * 100_000, "RecursionError"),
        (b"<html>", "base_url names an OpenAI-compatible API"),
    ],
)
def test_a_reply_that_cannot_be_read_fails_its_own_request(body: bytes, says: str) -> None:
    with FaultServer([malformed(body), malformed(body)]) as server:
        engine = engine_at(server.url, max_retries=1, concurrency=1, **PRICES)
        bad, good = answers(engine, [chat("a", top_logprobs=2), chat("b")])
    assert failure(bad).status == "engine_error"
    assert says in str(bad)
    assert "asked 2 times" in str(bad)
    assert completion(good).text == "re:b"
    # The server may have charged for both: ten tokens each, then three.
    assert engine.spent_usd == 23


def test_an_error_page_of_any_depth_or_encoding_fails_its_own_request() -> None:
    deep = Step(400, b"[" * 100_000)
    no_text = Step(400, b"what", headers={"Content-Type": "text/plain; charset=hex"})
    with FaultServer([deep, no_text]) as server:
        replies = answers(engine_at(server.url, concurrency=1), [chat(str(i)) for i in range(3)])
    assert [failure(r).status for r in replies[:2]] == ["engine_error"] * 2
    assert "HTTP 400: what" in str(replies[1])
    assert completion(replies[2]).text == "re:2"


@pytest.mark.parametrize(
    "usage",
    [
        '"x"',
        "[1]",
        '{"prompt_tokens": 1}',
        '{"prompt_tokens": 1, "completion_tokens": null}',
        '{"prompt_tokens": 1, "completion_tokens": true}',
        '{"prompt_tokens": 1, "completion_tokens": "3"}',
        '{"prompt_tokens": 1, "completion_tokens": -3}',
        '{"prompt_tokens": -1, "completion_tokens": 3}',
        '{"prompt_tokens": 1, "completion_tokens": 1e400}',
        '{"prompt_tokens": 1, "completion_tokens": -1e400}',
        '{"prompt_tokens": 1, "completion_tokens": NaN}',
        '{"prompt_tokens": 1, "completion_tokens": 1' + "0" * 400 + "}",
    ],
)
def test_token_counts_that_cannot_be_right_count_as_the_worst(usage: str) -> None:
    body = f'{{"choices": [{{"message": {{"content": "x"}}}}], "usage": {usage}}}'
    with FaultServer([malformed(body.encode())]) as server:
        engine = engine_at(server.url, **PRICES)
        (reply,) = answers(engine, [chat(max_tokens=10)])
    assert completion(reply).text == "x"
    assert completion(reply).cost_usd == engine.spent_usd == 10
    assert (completion(reply).prompt_tokens, completion(reply).completion_tokens) == (0, 0)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["token", "logprob", "content", "message"]), inner)
    ),
    max_leaves=5,
)


def nearly(value: Any) -> st.SearchStrategy[Any]:
    """`value` with any of its parts replaced by anything."""
    if isinstance(value, dict):
        parts = st.fixed_dictionaries({}, optional={k: nearly(v) for k, v in value.items()})
        return parts | parts | parts | ANYTHING
    if isinstance(value, list):
        items = st.tuples(*map(nearly, value)).map(list)
        return items | items | items | ANYTHING
    return st.just(value) | ANYTHING


@pytest.fixture(scope="module")
def saying() -> Iterator[tuple[FaultServer, list[bytes]]]:
    """A server that says what is in the list."""
    said: list[bytes] = [b""]
    with FaultServer(default=lambda _: malformed(said[0])) as server:
        yield server, said


TOPS = {"content": [{"top_logprobs": [{"token": "x", "logprob": -0.5}]}]}


@examples(200)
@given(
    body=nearly({**GOOD, "choices": [{**GOOD["choices"][0], "logprobs": TOPS}]}),
    raw=st.booleans(),
)
def test_no_reply_ends_the_engine(
    saying: tuple[FaultServer, list[bytes]], body: Any, raw: bool
) -> None:
    server, said = saying
    said[0] = json.dumps(body).encode()
    engine = engine_at(server.url, max_retries=0, **PRICES)
    (reply,) = answers(engine, [chat(prompt="q" if raw else chat().prompt, top_logprobs=2)])
    if isinstance(reply, RequestFailed):
        assert reply.status in ("engine_error", "refused")
    else:
        assert isinstance(reply.text, str)
        assert reply.cost_usd == engine.spent_usd
        assert min(reply.prompt_tokens, reply.completion_tokens) >= 0
    assert 0 <= engine.spent_usd < float("inf")
    assert engine.spent_requests == 1


@pytest.mark.parametrize("raw", [False, True])
def test_half_a_surrogate_pair_is_sent_as_a_replacement(raw: bool) -> None:
    odd = "hi \ud83d there \ud83d\ude00"
    with FaultServer() as server:
        engine = engine_at(server.url, concurrency=1, **PRICES)
        request = chat(prompt=odd) if raw else chat(odd, stop=("\udc00",))
        odd_reply, good = answers(engine, [request, chat("b")])
    assert server.received[0].last == "hi \ufffd there \U0001f600"
    assert completion(odd_reply).text == "re:hi \ufffd there \U0001f600"
    assert completion(good).text == "re:b"


def test_what_json_cannot_say_fails_its_own_request() -> None:
    with FaultServer() as server:
        engine = engine_at(server.url, extra_body={"x": float("nan")})
        (reply,) = answers(engine, [chat()])
    assert failure(reply).status == "engine_error"
    assert "ValueError" in str(reply)
    assert server.received == []


def test_an_error_of_one_request_leaves_the_loop_alive() -> None:
    async def answer(request: Request) -> Reply:
        if request.prompt == "bad":
            raise ZeroDivisionError(KEY)
        return Completion(text="good")

    async def finish() -> None:
        pass

    background = Background(answer, finish, 1)
    background.start()
    background.submit([(0, chat(prompt="bad")), (1, chat(prompt="good"))])
    got: dict[int, Reply] = {}
    while len(got) < 2:
        got |= dict(background.poll(5))
    background.stop()
    assert failure(got[0]).status == "engine_error"
    assert "ZeroDivisionError" in str(got[0])
    assert KEY not in str(got[0])
    assert completion(got[1]).text == "good"
