"""A judge's caps are hard: over interruptions and repeated commands of the same run too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import evalkit
from tests.support.fault_server import FaultServer, Received, Step, ok


def verdict(received: Received) -> Step:
    return ok("[[8]]" if "[[number]]" in received.last else "[[A]]", usage=(100, 0))


def judged_by(workspace: Path, server: FaultServer, caps: str) -> None:
    suite = (workspace / "small.yaml").read_text()
    judge = f"{{type: openai, protocol: text, model: judge, base_url: '{server.url}', {caps}}}"
    suite = suite.replace("{type: engine, model: plain, protocol: text}", judge)
    (workspace / "small.yaml").write_text(suite)


PRICES = "usd_per_million_input_tokens: 10, usd_per_million_output_tokens: 10"


@pytest.mark.parametrize(
    "caps", ["max_requests: 30", f"max_cost_usd: 0.09, judge_max_tokens: 100, {PRICES}"]
)
def test_a_cap_holds_over_sessions(workspace: Path, caps: str) -> None:
    with FaultServer([], default=verdict) as server:
        judged_by(workspace, server, caps)
        first = evalkit(workspace, "run", "small.yaml")
        assert first.code == 3, first.err
        assert "max_" in first.err
        asked = len(server.received)
        assert 0 < asked < 112
        if "max_requests" in caps:
            assert asked == 30
        again = evalkit(workspace, "run", "small.yaml")
        assert again.code == 3, again.err
        sent_later = len(server.received) - asked
        assert sent_later <= 5, "the cap started afresh"
        if "max_cost_usd" in caps:
            assert len(server.received) * 100 * 10 / 1e6 <= 0.09
    lines = next(iter(workspace.glob("reports/small/*/sessions.jsonl"))).read_text().splitlines()
    spent = json.loads(lines[-1])["spent"]["judge:local"]
    assert spent["requests"] == len(server.received)


def test_what_was_judged_before_the_cap_is_kept(workspace: Path) -> None:
    with FaultServer([], default=verdict) as server:
        judged_by(workspace, server, "max_requests: 30, repeats: {times: 0}")
        assert evalkit(workspace, "run", "small.yaml").code == 3
        more = evalkit(workspace, "run", "small.yaml", "--set", "judges.local.max_requests=500")
        assert more.code == 0, more.err
        assert len(server.received) == 112


def test_a_cap_counts_what_a_run_without_a_ledger_spent(workspace: Path) -> None:
    """Runs from before ledger.jsonl have their account in sessions.jsonl alone."""
    with FaultServer([], default=verdict) as server:
        judged_by(workspace, server, "max_requests: 30")
        assert evalkit(workspace, "run", "small.yaml").code == 3
        (ledger,) = workspace.glob("reports/small/*/ledger.jsonl")
        ledger.unlink()
        assert evalkit(workspace, "run", "small.yaml").code == 3
        assert len(server.received) == 30


def test_a_server_that_bills_more_than_can_be_is_sent_nothing_more(workspace: Path) -> None:
    with FaultServer([], default=lambda _: ok("[[8]]", usage=(100_000, 0))) as server:
        judged_by(workspace, server, f"max_cost_usd: 50, concurrency: 1, {PRICES}")
        done = evalkit(workspace, "run", "small.yaml")
        assert done.code == 3, done.err
        assert "billed 1.0000 USD for a request that could cost" in done.err
        assert len(server.received) == 1
