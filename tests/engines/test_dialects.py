"""Engines of APIs against servers that refuse what their models refuse (tests/support/dialects.py).

The expected settings are the vendors' own references: what each API takes, and under which name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from evalkit import plugins
from evalkit.core import Completion, Message, PreparedModel, Reply, Request
from evalkit.errors import RequestFailed
from tests.support.dialects import SERVERS, claude, gemini, gpt5, plain, reasoning
from tests.support.fault_server import FaultServer, Received, Step

MODEL = PreparedModel(
    name="judge",
    role="judge",
    path=None,
    fingerprint="",
    chat_template=None,
    template_source="none",
)
ASKED = (Message("system", "You are a judge."), Message("user", "Rate it: [[n]]."))
REQUEST = Request("j", "generate", ASKED, max_tokens=256)
SAMPLED = replace(REQUEST, temperature=0.7, top_p=0.9, seed=3, stop=("\n\n",))
Serve = Callable[[Received], Step]
EACH = [(kind, serve) for kind, servers in SERVERS.items() for serve in servers.values()]


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, "not-a-real-key")


def engine(kind: str, server: FaultServer, **settings: Any) -> Any:
    found = plugins.find("engines", kind)
    assert found.spec is not None
    url = server.url if kind == "openai" else server.url.removesuffix("/v1")
    values = {"model": "m", "base_url": url, "retry_pause_s": 0.01, "wait_s": 0, **settings}
    return found.cls(found.spec.model_validate(values), MODEL)


def replies(engine: Any, requests: Sequence[Request]) -> list[Reply]:
    engine.submit(list(enumerate(requests)))
    engine.open()
    got: dict[int, Reply] = {}
    while engine.pending:
        got |= dict(engine.poll(1))
    engine.close()
    return [got[i] for i in range(len(requests))]


def answered(kind: str, serve: Serve, *requests: Request, **settings: Any) -> list[Completion]:
    with FaultServer(default=serve) as server:
        got = replies(engine(kind, server, **settings), requests)
    for reply in got:
        assert isinstance(reply, Completion), reply
    return [reply for reply in got if isinstance(reply, Completion)]


def one_failure(kind: str, serve: Serve, request: Request, **settings: Any) -> RequestFailed:
    with FaultServer(default=serve) as server:
        (reply,) = replies(engine(kind, server, **settings), [request])
    assert isinstance(reply, RequestFailed), reply
    return reply


@pytest.mark.parametrize(("kind", "serve"), EACH)
@pytest.mark.parametrize("request_", [REQUEST, SAMPLED])
def test_each_server_answers_whatever_it_refuses(
    kind: str, serve: Serve, request_: Request
) -> None:
    (reply,) = answered(kind, serve, request_)
    assert "Rating: [[8]]" in reply.text
    assert "[[2]]" not in reply.text
    assert not reply.truncated


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "serve"), EACH)
def test_a_thousand_requests_pay_for_each_lesson_once(kind: str, serve: Serve) -> None:
    requests = [replace(REQUEST if n % 2 else SAMPLED, trial=n) for n in range(1000)]
    with FaultServer(default=serve) as server:
        got = replies(engine(kind, server), requests)
        refused = len(server.received) - 1000
    assert all(isinstance(reply, Completion) for reply in got)
    assert refused <= 6


def test_what_was_left_out_and_renamed_is_said() -> None:
    greedy, sampled = answered("openai", gpt5, REQUEST, SAMPLED)
    assert greedy.changed == ("max_tokens: sent as max_completion_tokens", "temperature: left out")
    assert set(sampled.changed) == {*greedy.changed, "top_p: left out", "stop: left out"}
    (reply,) = answered("openai", plain, SAMPLED)
    assert reply.changed == ()
    (reply,) = answered("openai", reasoning, REQUEST)
    assert reply.changed == ("system message: sent at the head of the first user message",)
    (reply,) = answered("anthropic", claude, SAMPLED)
    assert set(reply.changed) == {"temperature: left out", "top_p: left out", "seed: left out"}
    (reply,) = answered("google", gemini, SAMPLED)
    assert reply.changed == ("seed: left out",)


def test_a_thought_is_kept_apart_and_counted() -> None:
    (reply,) = answered("openai", reasoning, REQUEST)
    assert reply.thought == "The other is [[2]] at best."
    (reply,) = answered("anthropic", claude, REQUEST)
    assert (reply.thought, reply.thought_tokens) == ("Perhaps [[2]].", 30)
    assert (reply.prompt_tokens, reply.completion_tokens) == (50, 40)
    (reply,) = answered("google", gemini, REQUEST)
    assert (reply.thought, reply.thought_tokens) == ("Perhaps [[2]].", 300)
    assert (reply.prompt_tokens, reply.completion_tokens) == (50, 310)


@pytest.mark.parametrize(("kind", "serve"), [("openai", reasoning), ("google", gemini)])
def test_a_thought_has_room_beside_the_reply_or_is_unfinished(kind: str, serve: Serve) -> None:
    with FaultServer(default=serve) as server:
        first, later = replies(engine(kind, server, concurrency=1), [REQUEST, SAMPLED])
    assert isinstance(first, Completion)
    assert not first.unfinished
    assert isinstance(later, Completion)
    # The first was cut once, and sent again with room for the thought.
    sizes = [
        (r.body.get("max_tokens") or r.body["generationConfig"]["maxOutputTokens"])
        for r in server.received
    ]
    assert set(sizes) == {256, 256 + 8192}
    (cut,) = answered(kind, serve, REQUEST, thought_tokens=10)
    assert (cut.unfinished, cut.truncated, cut.text) == (True, True, "")


def test_a_thought_between_marks_is_kept_apart() -> None:
    def aloud(received: Received) -> Step:
        return plain(received) if "ready" in received.last else _saying(received, "length")

    def _saying(received: Received, finish: str) -> Step:
        from tests.support.fault_server import ok

        if received.body["max_tokens"] < 1000:
            return ok("<think>\nIs it a [[2]], or", finish_reason=finish)
        return ok("<think>\nA [[2]]?\n\nNo.\n</think>\n\nRating: [[9]]\n\nBye.")

    (reply,) = answered("openai", aloud, replace(REQUEST, stop=("\n\n",)))
    assert (reply.text, reply.thought) == ("Rating: [[9]]", "A [[2]]?\n\nNo.")
    (cut,) = answered("openai", aloud, REQUEST, thought_tokens=0)
    assert (cut.text, cut.thought, cut.unfinished) == ("", "Is it a [[2]], or", True)


@pytest.mark.parametrize(
    ("kind", "serve", "says"),
    [
        ("openai", gpt5, "gives no logprobs"),
        ("openai", plain, "its reply has none"),
        ("google", gemini, "Logprobs is not enabled"),
        ("anthropic", claude, "API has none"),
    ],
)
def test_what_a_request_cannot_do_without_fails_it_once(kind: str, serve: Serve, says: str) -> None:
    requests = [replace(REQUEST, top_logprobs=5, trial=n) for n in range(20)]
    with FaultServer(default=serve) as server:
        got = replies(engine(kind, server), requests)
    assert {reply.status for reply in got if isinstance(reply, RequestFailed)} == {"excluded"}
    assert len(got) == 20
    assert says in str(got[-1])
    assert "protocol: text" in str(got[0])
    assert len(server.received) <= 3
