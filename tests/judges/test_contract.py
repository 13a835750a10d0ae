"""What every judge protocol must do, whoever wrote it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Generator, Sequence
from typing import Any

import pytest

from evalkit import plugins
from evalkit.core import Completion, Judgment, Message, PreparedModel, Reply, Request
from evalkit.core.specs import JudgeSpec
from evalkit.engines.fake import FakeEngine, FakeSpec
from evalkit.errors import RequestFailed
from tests.support.flows import play

ORIGINALS = frozenset({"pairwise_alpaca_eval", "rating_fastchat"})
"""Ask with a benchmark's published prompts, which are not evalkit's: tests of their own."""
PROTOCOLS = [name for name in plugins.names("judges") if name not in ORIGINALS]
TALK = (Message("user", "What is 2 + 2?"), Message("assistant", "4"))


def build(protocol: str) -> Any:
    return plugins.find("judges", protocol).cls("the judge", "its engine", JudgeSpec())


def ask(judge: Any) -> Generator[Sequence[Request], Sequence[Completion], Judgment]:
    flow: Generator[Sequence[Request], Sequence[Completion], Judgment]
    if hasattr(judge, "compare"):
        flow = judge.compare("What is 2 + 2?", "4", "5")
    else:
        flow = judge.rate(TALK, ("four",), "turn_1")
    return flow


def test_the_protocols_are_found() -> None:
    assert set(plugins.names("judges")) >= ORIGINALS
    assert set(PROTOCOLS) >= {
        "pairwise_logprob",
        "pairwise_text",
        "rating_logprob",
        "rating_text",
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
class TestEveryProtocol:
    def test_answers_one_kind_of_question(self, protocol: str) -> None:
        judge = build(protocol)
        assert judge.name == "the judge"
        assert judge.protocol == protocol
        assert hasattr(judge, "compare") != hasattr(judge, "rate")
        assert protocol.startswith("pairwise" if hasattr(judge, "compare") else "rating")

    def test_its_file_says_source_format_and_departures(self, protocol: str) -> None:
        module = inspect.getmodule(plugins.find("judges", protocol).cls)
        assert module is not None
        text = module.__doc__ or ""
        for word in ("Source:", "Format:", "Departure"):
            assert word in text

    def test_judges_with_the_fake_engine(self, protocol: str) -> None:
        engine = FakeEngine(FakeSpec(), PreparedModel("m", "baseline", None, "f", None, "none"))

        def answer(request: Request) -> Reply:
            engine.open()
            engine.submit([(0, request)])
            return engine.poll(1.0)[0][1]

        judgment, waves = play(ask(build(protocol)), answer)
        assert judgment.status == "ok"
        assert judgment.value is not None
        low, high = (0, 1) if protocol.startswith("pairwise") else (1, 10)
        assert low <= judgment.value <= high
        assert all(request.engine == "its engine" for wave in waves for request in wave)
        assert len(judgment.exchanges) == (2 if protocol.startswith("pairwise") else 1)
        assert len(judgment.votes) == (2 if protocol.startswith("pairwise") else 0)
        assert judgment.part == ("" if protocol.startswith("pairwise") else "turn_1")

    def test_asks_the_same_again(self, protocol: str) -> None:
        first, second = (next(ask(build(protocol))) for _ in range(2))
        assert list(first) == list(second)

    def test_an_empty_reply_is_unparsable(self, protocol: str) -> None:
        judgment, _ = play(ask(build(protocol)), lambda request: Completion())
        assert (judgment.status, judgment.value, judgment.votes) == ("unparsable", None, ())
        assert judgment.error
        assert judgment.exchanges, "the prompt must be kept, to see what went wrong"

    def test_impossible_choices_are_unparsable(self, protocol: str) -> None:
        judgment, _ = play(ask(build(protocol)), lambda r: Completion(logprob=-math.inf))
        assert (judgment.status, judgment.value) == ("unparsable", None)

    def test_a_failed_request_passes_through(self, protocol: str) -> None:
        with pytest.raises(RequestFailed, match="gone"):
            play(ask(build(protocol)), lambda r: RequestFailed("transport_error", "gone"))

    def test_describes_its_prompt(self, protocol: str) -> None:
        described = build(protocol).describe()
        assert described["protocol"] == protocol
        assert len(bytes.fromhex(described["prompt_sha256"])) == 32
        assert described == build(protocol).describe()


def test_written_replies_take_the_judges_settings() -> None:
    spec = JudgeSpec(judge_max_tokens=99, judge_temperature=0.5)
    for protocol in ("pairwise_text", "rating_text"):
        judge = plugins.find("judges", protocol).cls("j", "e", spec)
        requests = next(ask(judge))
        assert {(r.max_tokens, r.temperature) for r in requests} == {(99, 0.5)}
        assert all(r.seed is not None for r in requests)
        assert (judge.describe()["max_tokens"], judge.describe()["temperature"]) == (99, 0.5)
        assert all(r.seed is None for r in next(ask(build(protocol))))


def test_prompts_differ_in_their_hash() -> None:
    hashes = [build(protocol).describe()["prompt_sha256"] for protocol in PROTOCOLS]
    assert len(set(hashes)) == len(hashes)
