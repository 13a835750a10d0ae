"""Caps hold in any order of requests, over processes that are killed, and while nobody polls."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core import Message, PreparedModel, Reply, Request
from evalkit.engines._budget import Budget
from evalkit.engines._cached import CachedEngine
from evalkit.engines.openai import OpenAIEngine, OpenAISpec
from evalkit.errors import DataError, RequestFailed
from evalkit.store.completions import CompletionStore
from evalkit.store.ledger import LedgerFile
from tests.support.fault_server import FaultServer, Received, Step, ok
from tests.support.properties import examples


@dataclass
class Account:
    """A ledger in memory."""

    spent_requests: int = 0
    spent_usd: float = 0.0
    in_flight: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    batches: Mapping[str, str] = field(default_factory=dict)
    reserved: list[float] = field(default_factory=list)
    settled: dict[int, float | None] = field(default_factory=dict)

    def reserve(self, worst_usd: float, name: str = "") -> int:
        self.reserved.append(worst_usd)
        return len(self.reserved) - 1

    def settle(self, number: int, cost_usd: float | None) -> None:
        assert number not in self.settled
        self.settled[number] = cost_usd

    def created(self, batch: str, identity: str) -> None:
        raise AssertionError


SENT = st.tuples(st.floats(0, 3), st.floats(0, 1), st.sampled_from(["billed", "free", "unsent"]))
SESSIONS = st.lists(st.tuples(st.lists(SENT, max_size=12), st.integers(0, 60)), max_size=4)


class _Killed(Exception):
    """The process ends here, without a word to anyone."""


@examples(200)
@given(cap=st.floats(0, 10), most=st.none() | st.integers(0, 15), sessions=SESSIONS)
def test_caps_hold_over_any_interleaving_and_any_kill(
    cap: float, most: int | None, sessions: list[tuple[list[tuple[float, float, str]], int]]
) -> None:
    """`sessions`: requests (worst cost, share of it that is billed, what happens), and after how
    many steps the process is killed.  The server bills on arrival, as servers do."""
    folder = Path(tempfile.mkdtemp())
    billed, arrived = 0.0, 0

    async def session(sent: list[tuple[float, float, str]], steps: int) -> None:
        nonlocal billed, arrived
        with closing(LedgerFile(folder)) as file:
            budget = Budget(most, cap)
            budget.use(file.account("judge"))
            assert budget.spent_usd >= billed - 1e-9
            assert budget.spent_requests >= arrived
            left = steps

            def step() -> None:
                nonlocal left
                left -= 1
                if left < 0:
                    raise _Killed

            async def one(worst: float, share: float, what: str) -> None:
                nonlocal billed, arrived
                try:
                    number = await budget.reserve(worst)
                except RequestFailed:
                    return
                step()
                arrived += what != "unsent"
                cost = worst * share if what == "billed" else 0.0
                billed += cost
                await asyncio.sleep(0)
                step()
                budget.settle(number, None if what == "unsent" else cost)

            async with asyncio.timeout(10):
                await asyncio.gather(*(one(*each) for each in sent))

    for sent, steps in sessions:
        with suppress(_Killed):
            asyncio.run(session(sent, steps))
        assert billed <= cap + 1e-9
        assert most is None or arrived <= most
    shutil.rmtree(folder)


def test_what_was_in_flight_counts_once_however_often_the_run_is_killed(tmp_path: Path) -> None:
    for _ in range(3):
        with closing(LedgerFile(tmp_path)) as file:
            account = file.account("judge")
    account = LedgerFile(tmp_path).account("judge")
    settled, _open = account.reserve(0.25), account.reserve(0.5)
    account.settle(settled, 0.125)
    for _ in range(3):
        again = LedgerFile(tmp_path).account("judge")
        assert (again.spent_requests, again.spent_usd) == (2, 0.625)
    assert len((tmp_path / "ledger.jsonl").read_bytes().splitlines()) == 1


def test_a_torn_last_line_is_of_a_request_that_was_not_sent(tmp_path: Path) -> None:
    LedgerFile(tmp_path).account("judge").reserve(0.5)
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(path.read_bytes() + b'{"engine": "judge", "res')
    again = LedgerFile(tmp_path).account("judge")
    assert (again.spent_requests, again.spent_usd) == (1, 0.5)


@pytest.mark.parametrize("line", ['{"engine": "j"}', '{"usd": 1}', "[]", "nonsense"])
def test_a_damaged_ledger_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "ledger.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=r"ledger\.jsonl:1"):
        LedgerFile(tmp_path)


def test_a_server_that_bills_more_than_can_be_is_sent_nothing_more() -> None:
    async def main() -> str:
        budget = Budget(None, 10.0)
        budget.settle(await budget.reserve(0.1), 0.3)
        with pytest.raises(RequestFailed) as stopped:
            await budget.reserve(0.1)
        assert budget.spent_usd == 0.3
        return str(stopped.value)

    message = asyncio.run(main())
    assert "billed 0.3000 USD for a request that could cost 0.1000 at most" in message


def test_a_cap_holds_to_the_cent_with_64_in_flight() -> None:
    """7 + 3 tokens at 1 cent: 0.10 USD each, at most 0.10 + 0.49; the cap leaves the last alone."""
    with FaultServer(default=lambda _: ok(delay_s=0.005, usage=(7, 3))) as server:
        spec = {"model": "m", "base_url": server.url, "concurrency": 64, "max_cost_usd": 20.0}
        prices = {f"usd_per_million_{what}_tokens": 10_000 for what in ("input", "output")}
        engine = OpenAIEngine(OpenAISpec.model_validate(spec | prices), JUDGE)
        engine.submit([(n, chat(str(n))) for n in range(300)])
        engine.open()
        replies: list[tuple[int, Reply]] = []
        while engine.pending:
            replies += engine.poll(1)
        engine.close()
        billed = 0.1 * len(server.received)
    done = sum(not isinstance(reply, RequestFailed) for _, reply in replies)
    assert done == len(server.received)
    assert 20.0 - 0.6 <= billed <= 20.0
    assert engine.spent_usd == pytest.approx(billed)
    assert engine.reached == "max_cost_usd"


# --- replies that come while nobody polls -----------------------------------------------------

JUDGE = PreparedModel(
    name="judge",
    role="judge",
    path=None,
    fingerprint="",
    chat_template=None,
    template_source="none",
)


def chat(text: str) -> Request:
    return Request(engine="j", kind="generate", prompt=(Message("user", text),), max_tokens=10)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[CompletionStore]:
    with CompletionStore(tmp_path / "cache.sqlite") as found:
        yield found


def cached(url: str, cache: CompletionStore, **settings: Any) -> CachedEngine:
    spec = OpenAISpec.model_validate({"model": "m", "base_url": url, **settings})
    return CachedEngine(OpenAIEngine(spec, JUDGE), cache)


def test_replies_are_stored_while_nobody_polls(cache: CompletionStore) -> None:
    with FaultServer() as server:
        engine = cached(server.url, cache)
        engine.submit([(n, chat(str(n))) for n in range(20)])
        engine.open()
        keys = engine.keys([chat(str(n)) for n in range(20)])
        deadline = time.monotonic() + 10
        while len(cache.get_many(keys)) < 20:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert engine.pending == 20
        engine.close()


def test_closing_waits_for_what_is_in_flight_and_sends_no_more(
    cache: CompletionStore,
) -> None:
    arrived = threading.Event()

    def slowly(received: Received) -> Step:
        arrived.set()
        return ok("late", delay_s=0.3, usage=(7, 3))

    with FaultServer(default=slowly) as server:
        engine = cached(
            server.url,
            cache,
            concurrency=4,
            max_cost_usd=100,
            usd_per_million_input_tokens=10_000,
            usd_per_million_output_tokens=10_000,
        )
        engine.submit([(n, chat(str(n))) for n in range(40)])
        engine.open()
        assert arrived.wait(10)
        engine.close()
        sent = len(server.received)
        assert sent <= 8
        assert len(cache.get_many(engine.keys([chat(str(n)) for n in range(40)]))) == sent
        inner = engine.inner
        assert isinstance(inner, OpenAIEngine)
        # 7 and 3 tokens at 0.01 USD: the truth, not the highest possible cost.
        assert inner.spent_usd == pytest.approx(0.1 * sent)
