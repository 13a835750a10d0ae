"""What sessions leave behind adds up: time, tokens, money, work."""

from __future__ import annotations

import pytest

from evalkit.core import Completion
from evalkit.core.run import UsageTotals
from evalkit.runner.usage import Usage, total_usage, total_work


class Engine:
    """As much of one as its account needs."""

    def __init__(self, kind: str) -> None:
        self.identity = {"type": kind}


def test_usage_adds_sessions_up_by_their_last_lines() -> None:
    lines = [
        {"started": 1.0, "asked": 5, "seconds": 10.0, "cost_usd": 0.1, "spent": {"j": {"n": 1}}},
        {"started": 1.0, "asked": 9, "seconds": 20.0, "cost_usd": 0.2, "spent": {"j": {"n": 2}}},
        {"started": 2.0, "asked": 1, "seconds": 2.5, "cost_usd": 0.3, "spent": {"j": {"n": 3}}},
    ]
    found = total_usage(lines, {"m": Engine("vllm")})  # type: ignore[dict-item]
    assert found["sessions"] == 2
    assert found["asked"] == 10
    assert found["seconds"] == 22.5
    assert found["cost_usd"] == pytest.approx(0.5)
    assert found["spent"] == {"j": {"n": 3}}, "a capped engine goes on counting"


def test_tokens_are_counted_by_engine() -> None:
    session = Usage(started=1.0)
    session.add("m", Completion("a", prompt_tokens=5, reused_tokens=3, completion_tokens=2))
    session.add("m", Completion("b", prompt_tokens=4, completion_tokens=1))
    session.add("m", Completion("c", prompt_tokens=9, from_cache=True))
    session.add("judge:j", Completion("d", prompt_tokens=7, cost_usd=0.5))
    lines = [session.line("finished", {}, {}), {"started": 2.0, "engines": {"m": {"cost_usd": 1}}}]
    found = UsageTotals(**total_usage(lines, {"m": Engine("vllm")})).engines  # type: ignore[dict-item]
    assert found["m"].prompt_tokens == 9
    assert (found["m"].reused_tokens, found["m"].completion_tokens) == (3, 3)
    assert (found["m"].cost_usd, found["judge:j"].cost_usd) == (1, 0.5)


def test_what_costs_nothing_has_no_account() -> None:
    lines = [{"started": 1.0, "asked": 5, "seconds": 10.0}]
    free = {"a": Engine("fake"), "b": Engine("recorded")}
    assert total_usage(lines, free) == {}  # type: ignore[arg-type]
    assert total_usage([], {"m": Engine("vllm")}) == {}  # type: ignore[dict-item]


def test_sessions_add_up_by_their_last_lines() -> None:
    first = {"started": 1.0, "work": {"m": {"computed": 5, "naive": 9}}}
    later = {"started": 1.0, "work": {"m": {"computed": 8, "naive": 9}}}
    other = {"started": 2.0, "work": {"m": {"computed": 1, "naive": 2}, "n": {"computed": 4}}}
    found = total_work([first, later, {"started": 3.0}, other])
    assert found == {"m": {"computed": 9, "naive": 11}, "n": {"computed": 4}}
