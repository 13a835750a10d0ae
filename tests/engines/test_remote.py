"""The one policy of engines that send: waiting, rates, deadlines, errors that will not change.

Rate-limit headers as OpenAI and Anthropic document them (see `_pace`).
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reliability.faults import storm
from evalkit.core import Completion, Message, PreparedModel, Reply, Request
from evalkit.engines._pace import until
from evalkit.engines.openai import OpenAIEngine, OpenAISpec
from evalkit.errors import RequestFailed
from tests.support.fault_server import (
    FaultServer,
    Received,
    Step,
    drop,
    free_port,
    ok,
    status,
)

MODEL = PreparedModel(
    name="judge",
    role="judge",
    path=None,
    fingerprint="",
    chat_template=None,
    template_source="none",
)


def chat(n: int) -> Request:
    return Request("j", "generate", (Message("user", str(n)),), max_tokens=10)


def engine(url: str, **settings: Any) -> OpenAIEngine:
    values = {"model": "m", "base_url": url, "retry_pause_s": 0.02, **settings}
    return OpenAIEngine(OpenAISpec.model_validate(values), MODEL)


def replies(engine: OpenAIEngine, n: int) -> list[Reply]:
    engine.submit([(i, chat(i)) for i in range(n)])
    engine.open()
    got: dict[int, Reply] = {}
    while engine.pending:
        got |= dict(engine.poll(1))
    engine.close()
    return [got[i] for i in range(n)]


def statuses(got: Sequence[Reply]) -> set[str]:
    return {"ok" if isinstance(reply, Completion) else reply.status for reply in got}


class Timed:
    """A server's answers in turn (the last for ever), and when each request came."""

    def __init__(self, *steps: Step) -> None:
        self.steps, self.at = list(steps), list[float]()

    def __call__(self, received: Received) -> Step:
        self.at.append(time.monotonic())
        return self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]


# --- a server that is down or busy --------------------------------------------------------------


def test_a_server_that_comes_up_within_wait_s_answers_all() -> None:
    port = free_port()
    server = FaultServer(port=port)
    later = threading.Timer(0.7, server.__enter__)
    later.start()
    try:
        got = replies(engine(f"http://127.0.0.1:{port}/v1", wait_s=20, max_retries=1), 40)
    finally:
        later.join()
        server.kill()
    assert statuses(got) == {"ok"}


def test_a_server_that_stays_down_is_given_up_after_wait_s_and_all_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "evalkit")
    url, began = f"http://127.0.0.1:{free_port()}/v1", time.monotonic()
    got = replies(engine(url, wait_s=1.5, retry_pause_s=1.2), 200)
    assert 1.4 < time.monotonic() - began < 6
    assert statuses(got) == {"transport_error"}
    assert not any(reply.input_error for reply in got if isinstance(reply, RequestFailed))
    assert "has answered no request for" in str(got[-1])
    assert "raise wait_s (1.5)" in str(got[-1])
    assert "of 1.5 (wait_s)" in caplog.text


def test_a_limit_a_minute_without_retry_after_is_waited_out() -> None:
    ends = time.monotonic() + 1.0

    def limited(received: Received) -> Step:
        return status(429, "Limit 20/min") if time.monotonic() < ends else ok()

    with FaultServer(default=limited) as server:
        got = replies(engine(server.url, max_retries=0), 30)
    assert statuses(got) == {"ok"}
    # Pauses grow, and are one for all: a few probes, not a storm.
    assert len(server.received) - 30 < 12


def test_all_requests_wait_as_long_as_one_is_told_to() -> None:
    serve = Timed(ok(), ok(), status(429, retry_after="1"), ok())
    with FaultServer(default=serve) as server:
        assert statuses(replies(engine(server.url), 12)) == {"ok"}
    # At most what was in flight came within the second.
    pauses = [b - a for a, b in zip(serve.at, serve.at[1:], strict=False)]
    assert max(pauses) > 0.9
    assert pauses.index(max(pauses)) <= 4


def test_a_limit_in_the_headers_is_kept_before_it_is_hit() -> None:
    body = ok().body
    stated = {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "2s",
    }
    serve = Timed(Step(body=body, headers=stated))
    with FaultServer(default=serve) as server:
        assert statuses(replies(engine(server.url), 4)) == {"ok"}
    # Ten in two seconds: one in 0.2 s.
    assert all(b - a > 0.15 for a, b in zip(serve.at, serve.at[1:], strict=False))


def test_a_limit_of_tokens_lets_pass_what_fits() -> None:
    stated = {
        "anthropic-ratelimit-tokens-limit": "1000",
        "anthropic-ratelimit-tokens-remaining": "1000",
        "anthropic-ratelimit-tokens-reset": "2020-01-01T00:00:00Z",
    }
    serve = Timed(Step(body=ok().body, headers=stated))
    began = time.monotonic()
    with FaultServer(default=serve) as server:
        assert statuses(replies(engine(server.url), 30)) == {"ok"}
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1.5", 1.5), ("6m0s", 360), ("20ms", 0.02), ("1h2m3s", 3723), ("1d", 86400), ("", None)],
)
def test_durations_of_headers(text: str, seconds: float | None) -> None:
    assert until(text) == seconds


@given(st.text(max_size=30))
def test_any_text_is_a_duration_or_none(text: str) -> None:
    found = until(text)
    assert found is None or found >= 0


def test_requests_in_flight_grow_from_one_and_shrink() -> None:
    at_once: list[int] = []
    lock, now = threading.Lock(), 0

    def counting(received: Received) -> Step:
        nonlocal now
        with lock:
            now += 1
            at_once.append(now)
            mine = len(at_once)
        time.sleep(0.02)
        with lock:
            now -= 1
        return status(429, retry_after="0") if mine == 60 else ok()

    with FaultServer(default=counting) as server:
        assert statuses(replies(engine(server.url, concurrency=8), 120)) == {"ok"}
    assert at_once[0] == 1
    assert 4 <= max(at_once) <= 8
    # Four, and one more with each round: when that is depends on what was in flight.
    assert min(max(at_once[n : n + 6]) for n in range(61, 90)) <= 6


# --- errors that will not change ----------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        status(401, "bad key"),
        status(402, "pay first"),
        status(403, "not allowed"),
        status(404, "no such page"),
        Step(302, headers={"Location": "https://elsewhere.example/v1?key=secret"}),
        status(400, "The model `m` does not exist", code="model_not_found"),
        status(400, "API key not valid. Please pass a valid API key."),
        status(429, "You exceeded your current quota", code="insufficient_quota"),
    ],
)
def test_what_will_not_change_costs_one_request(step: Step) -> None:
    with FaultServer(default=lambda _: step) as server:
        got = replies(engine(server.url), 200)
    assert len(server.received) == 1
    assert statuses(got) == {"engine_error"}
    assert all(isinstance(reply, RequestFailed) and reply.input_error for reply in got)
    assert "secret" not in str(got[0])


def test_no_secure_connection_is_said_at_once() -> None:
    with FaultServer() as server:
        got = replies(engine(server.url.replace("http:", "https:")), 50)
    assert statuses(got) == {"engine_error"}
    assert "check base_url and certificates" in str(got[0])


def test_one_request_that_is_always_turned_away_stops_no_other() -> None:
    def picky(received: Received) -> Step:
        return status(503, retry_after="0") if received.last == "3" else ok(delay_s=0.01)

    with FaultServer(default=picky) as server:
        got = replies(engine(server.url, max_retries=2), 200)
    assert [i for i, reply in enumerate(got) if isinstance(reply, RequestFailed)] == [3]


@pytest.mark.parametrize(("number", "becomes"), [(403, "refused"), (400, "excluded")])
def test_an_error_of_one_content_stops_nothing_once_others_were_answered(
    number: int, becomes: str
) -> None:
    def picky(received: Received) -> Step:
        return status(number, "not this") if int(received.last) % 10 == 7 else ok()

    with FaultServer(default=picky) as server:
        got = replies(engine(server.url), 100)
    assert len(server.received) == 100
    assert [i for i, reply in enumerate(got) if isinstance(reply, RequestFailed)] == [
        *range(7, 100, 10)
    ]
    assert statuses(got) == {"ok", becomes}


def test_errors_that_nobody_knows_stop_after_a_few() -> None:
    with FaultServer(default=lambda _: status(418, "teapot")) as server:
        got = replies(engine(server.url), 200)
    assert len(server.received) <= 5
    assert statuses(got) == {"engine_error"}


@pytest.mark.parametrize(
    "step",
    [
        status(500),
        *(pytest.param(s, marks=pytest.mark.slow) for s in (drop(), Step(body=b"<html>"))),
    ],
)
def test_one_bad_request_of_many_is_given_up_alone(step: Step) -> None:
    def poisoned(received: Received) -> Step:
        return step if received.last == "3" else ok()

    with FaultServer(default=poisoned) as server:
        got = replies(engine(server.url, max_retries=3), 300)
    assert [i for i, reply in enumerate(got) if isinstance(reply, RequestFailed)] == [3]
    assert len(server.received) <= 300 + 20


# --- every kind of fault ------------------------------------------------------------------------


@pytest.mark.slow
def test_a_storm_of_faults_is_answered_or_counted() -> None:
    found = storm(400, seed=1)
    assert found.wrong == []
    assert found.statuses.total() == 400
    assert found.surplus <= 1


TWIN = """
import os, sys
from pathlib import Path
from evalkit.core import Completion, Message, Request
from evalkit.engines._cached import CachedEngine
from evalkit.engines._drive import drive
from evalkit.engines.openai import OpenAIEngine, OpenAISpec
from evalkit.store.completions import CompletionStore
from evalkit.core import PreparedModel

os.environ["OPENAI_API_KEY"] = "none"

def one(text):
    (reply,) = yield [Request("j", "generate", (Message("user", text),), max_tokens=5)]
    return reply

spec = OpenAISpec(model="m", base_url=sys.argv[1], concurrency=4)
model = PreparedModel("j", "judge", None, "", None, "none")
with CompletionStore(Path(sys.argv[2])) as cache:
    api = CachedEngine(OpenAIEngine(spec, model), cache)
    flows = {str(n): one(f"question {n}") for n in range(40)}
    got = dict(drive(flows, {"j": api}))
print(*(got[key].text for key in flows), sep=",")
print(sum(reply.from_cache for reply in got.values()))
"""


@pytest.mark.slow
def test_two_processes_on_one_cache_pay_once(tmp_path: Path) -> None:
    with FaultServer(default=lambda received: ok(received.last, delay_s=0.05)) as server:
        command = [sys.executable, "-c", TWIN, server.url, str(tmp_path / "cache.sqlite")]
        twins = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in "ab"]
        said = [twin.communicate(timeout=100)[0].splitlines() for twin in twins]
        assert [twin.returncode for twin in twins] == [0, 0]
        assert len(server.received) == 40
    assert said[0][0] == said[1][0] == ",".join(f"question {n}" for n in range(40))
    assert int(said[0][1]) + int(said[1][1]) == 40
