"""Batches: gathered, polled, taken over by a later process; what they leave over goes live."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.reliability.batch_server import BatchServer
from evalkit.core import Completion, Message, PreparedModel, Reply, Request
from evalkit.engines._batch import BatchingEngine
from evalkit.engines._cached import CachedEngine
from evalkit.engines.openai import OpenAIEngine, OpenAISpec
from evalkit.errors import RequestFailed
from evalkit.store.completions import CompletionStore
from evalkit.store.ledger import LedgerFile

pytestmark = pytest.mark.slow

JUDGE = PreparedModel(
    name="judge",
    role="judge",
    path=None,
    fingerprint="",
    chat_template=None,
    template_source="none",
)
PRICES = {"usd_per_million_input_tokens": 1000, "usd_per_million_output_tokens": 1000}
ONE = 0.11
"""USD that the server bills for a live request at these prices."""


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-a-real-key-1234567890")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-not-a-real-key-1234567890")


def chat(text: str, **changes: Any) -> Request:
    request = Request(engine="j", kind="generate", prompt=(Message("user", text),), max_tokens=50)
    return replace(request, **changes)


QUESTIONS = [chat(f"{'long ' * 20}question {n}") for n in range(30)]
WANTED = [f"re:{'long ' * 20}question {n}" for n in range(30)]


def engine_for(api: str, server: BatchServer, **changes: Any) -> BatchingEngine:
    settings = {"model": "m", "mode": "batch", "retry_pause_s": 0.01, **PRICES, **changes}
    if api == "anthropic":
        from evalkit.engines.anthropic import AnthropicEngine, AnthropicSpec

        spec = AnthropicSpec.model_validate({"base_url": server.anthropic_url, **settings})
        return AnthropicEngine(spec, JUDGE)
    return OpenAIEngine(OpenAISpec.model_validate({"base_url": server.url, **settings}), JUDGE)


def answers(engine: BatchingEngine, requests: Sequence[Request]) -> list[Reply]:
    engine.submit(list(enumerate(requests)))
    engine.open()
    got: dict[int, Reply] = {}
    deadline = time.monotonic() + 30
    while engine.pending:
        assert time.monotonic() < deadline
        got |= dict(engine.poll(1))
    engine.close()
    return [got[n] for n in range(len(requests))]


def texts(replies: Sequence[Reply]) -> list[str]:
    return [reply.text if isinstance(reply, Completion) else str(reply) for reply in replies]


APIS = pytest.mark.parametrize("api", ["openai", "anthropic"])


@APIS
def test_all_but_the_first_are_sent_together_at_half_the_price(api: str) -> None:
    with BatchServer(batch_s=0.1) as server:
        engine = engine_for(api, server)
        replies = answers(engine, QUESTIONS)
    assert texts(replies) == WANTED
    assert (server.live.total(), server.batched.total(), len(server.batches)) == (1, 29, 1)
    assert engine.spent_usd == pytest.approx(ONE + 29 * ONE / 2)
    assert sorted({r.cost_usd for r in replies if isinstance(r, Completion)}) == pytest.approx(
        [ONE / 2, ONE]
    )


@APIS
def test_what_fails_or_expires_goes_on_live(api: str) -> None:
    def fate(last: str) -> Any:
        return {"7": "errored", "8": "expired"}.get(last[-1], "ok")

    with BatchServer(fate=fate) as server:
        engine = engine_for(api, server)
        replies = answers(engine, QUESTIONS)
    assert texts(replies) == WANTED
    assert (server.live.total(), server.batched.total()) == (7, 23)
    assert engine.spent_usd == pytest.approx(7 * ONE + 23 * ONE / 2)
    assert engine.spent_requests == 36, "a request that failed in a batch was sent, too"


@APIS
@pytest.mark.parametrize("lost_creates", [0, 1])
def test_a_later_process_goes_on_with_a_batch(api: str, lost_creates: int, tmp_path: Path) -> None:
    """Killed while the batch is worked on; `lost_creates`: before its id was known."""
    with (
        BatchServer(batch_s=1.5, lost_creates=lost_creates) as server,
        CompletionStore(tmp_path / "cache.sqlite") as cache,
    ):
        with closing(LedgerFile(tmp_path)) as ledger:
            first = engine_for(api, server)
            first.use(ledger.account("judge"))
            wrapped = CachedEngine(first, cache)
            wrapped.submit(list(enumerate(QUESTIONS)))
            wrapped.open()
            deadline = time.monotonic() + 10
            while not server.batches:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            if not lost_creates:
                while b'"id"' not in (tmp_path / "ledger.jsonl").read_bytes():
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
            wrapped.close()
        with closing(LedgerFile(tmp_path)) as ledger:
            account = ledger.account("judge")
            assert len(account.in_flight) == 29
            second = engine_for(api, server)
            second.use(account)
            wrapped = CachedEngine(second, cache)
            wrapped.submit(list(enumerate(QUESTIONS)))
            wrapped.open()
            got: dict[int, Reply] = {}
            while wrapped.pending:
                got |= dict(wrapped.poll(1))
            wrapped.close()
            spent = second.spent_usd
        again = LedgerFile(tmp_path).account("judge")
    assert texts([got[n] for n in range(30)]) == WANTED
    assert len(server.batches) == 1
    assert set((server.live + server.batched).values()) == {1}
    assert spent == pytest.approx(ONE + 29 * ONE / 2)
    assert (again.spent_requests, again.in_flight) == (30, {})
    assert again.spent_usd == pytest.approx(spent)


@APIS
def test_a_batch_that_was_never_created_costs_nothing(api: str, tmp_path: Path) -> None:
    with BatchServer() as server:
        with closing(LedgerFile(tmp_path)) as ledger:
            account = ledger.account("judge")
            engine = engine_for(api, server)
            name = f"{int(time.time()):08x}deadbeef"
            for key in engine.keys(QUESTIONS[:5]):
                account.reserve(1.0, f"{name}:{key}")
        account = LedgerFile(tmp_path).account("judge")
        assert (account.spent_requests, account.spent_usd) == (5, 5.0)
        engine.use(account)
        replies = answers(engine, QUESTIONS[:5])
    assert texts(replies) == WANTED[:5]
    assert engine.spent_requests == 5
    assert engine.spent_usd == pytest.approx(server.usd(1000, 1000))


@APIS
def test_a_cap_holds_with_batches(api: str) -> None:
    # In a batch, at most (142 bytes + 50) x 0.0005 = 0.096 USD each; billed 0.055.
    with BatchServer() as server:
        engine = engine_for(api, server, max_cost_usd=1.0, thought_tokens=0)
        replies = answers(engine, QUESTIONS)
    failed = [reply for reply in replies if isinstance(reply, RequestFailed)]
    assert 18 <= len(failed) <= 25
    assert engine.reached == "max_cost_usd"
    assert engine.spent_usd == pytest.approx(server.usd(1000, 1000))
    assert server.usd(1000, 1000) <= 1.0


@APIS
def test_a_batch_that_passes_a_cap_is_cancelled(api: str, tmp_path: Path) -> None:
    """It was sent before the user lowered the cap."""
    with BatchServer(batch_s=60) as server:
        with closing(LedgerFile(tmp_path)) as ledger:
            engine = engine_for(api, server)
            engine.use(ledger.account("judge"))
            engine.submit(list(enumerate(QUESTIONS)))
            engine.open()
            while b'"id"' not in (tmp_path / "ledger.jsonl").read_bytes():
                time.sleep(0.01)
            engine.close()
        engine = engine_for(api, server, max_cost_usd=0.6)
        engine.use(LedgerFile(tmp_path).account("judge"))
        replies = answers(engine, QUESTIONS)
        assert [batch.cancelled for batch in server.batches.values()][:1] == [True]
    assert any(isinstance(reply, RequestFailed) for reply in replies)
    assert engine.spent_usd == pytest.approx(server.usd(1000, 1000))
    assert server.usd(1000, 1000) <= 0.6


def test_a_server_without_batches_is_sent_all_live() -> None:
    with BatchServer(has_batches=False) as server:
        replies = answers(engine_for("openai", server), QUESTIONS[:6])
    assert texts(replies) == WANTED[:6]
    assert server.live.total() == 6


# --- the vendors' prompt caches ---------------------------------------------------------------


def test_equal_beginnings_are_sent_one_after_the_other() -> None:
    asked = [chat(f"{'ab'[n % 2]} {n}") for n in range(8)]
    with BatchServer() as server:
        answers(engine_for("openai", server, mode="live", concurrency=1), asked)
        sent = list(server.live)
    assert sent == sorted(sent)


def test_anthropic_is_told_of_a_long_beginning_that_several_requests_have() -> None:
    def system(text: str, n: int) -> Request:
        return chat("", prompt=(Message("system", text), Message("user", str(n))))

    shared, single, short = "rules " * 1000, "other " * 1000, "be brief"
    asked = [system(shared, 1), system(shared, 2), system(single, 3), *map(chat, "ab")]
    asked += [system(short, 4), system(short, 5)]
    with BatchServer() as server:
        engine = engine_for("anthropic", server, mode="live")
        engine.submit(list(enumerate(asked)))
        found = [engine.prepare(request).parameters.get("system") for request in asked]
    block = [{"type": "text", "text": shared, "cache_control": {"type": "ephemeral"}}]
    assert found == [block, block, single, None, None, short, short]
