"""What a session sent and what it cost, and caps that hold over all sessions of a run."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeAlias

from evalkit.core import Json, Reply
from evalkit.core.protocols import Checked, Engine, Metered, Planned, Wrapping
from evalkit.errors import RequestFailed
from evalkit.store import RunStore

__all__ = [
    "Usage",
    "carry_over",
    "changed",
    "checks",
    "last_checks",
    "metered",
    "spent",
    "total_usage",
    "total_work",
    "unwrapped",
    "work",
]

Spent: TypeAlias = dict[str, dict[str, float]]
"""`requests` and `cost_usd` by engine name."""
Work: TypeAlias = dict[str, dict[str, int]]
"""`Planned.work` by engine name."""


@dataclass
class Usage:
    """One session's requests, tokens and money; a line of sessions.jsonl."""

    started: float = field(default_factory=time.time)
    """Unix time; identifies the session within its run."""
    asked: int = 0
    """Requests engines answered; cache hits left out."""
    from_cache: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    changed: dict[str, list[str]] = field(default_factory=dict)
    """Settings that replies were made without, by engine; see `Completion.changed`."""
    engines: dict[str, dict[str, float]] = field(default_factory=dict)
    """Tokens and cost by engine, as `EngineUsage` has them."""

    def add(self, engine: str, reply: Reply) -> None:
        """Count one reply."""
        if isinstance(reply, RequestFailed):
            self.failed += 1
            return
        if reply.changed:
            known = self.changed.setdefault(engine, [])
            known += [setting for setting in reply.changed if setting not in known]
        if reply.from_cache:
            self.from_cache += 1
            return
        self.asked += 1
        self.prompt_tokens += reply.prompt_tokens
        self.reused_tokens += reply.reused_tokens
        self.completion_tokens += reply.completion_tokens
        self.cost_usd += reply.cost_usd
        mine = self.engines.setdefault(engine, {})
        for name, value in (
            ("prompt_tokens", reply.prompt_tokens),
            ("reused_tokens", reply.reused_tokens),
            ("completion_tokens", reply.completion_tokens),
            ("cost_usd", reply.cost_usd),
        ):
            mine[name] = mine.get(name, 0) + value

    def line(self, ended: str, spent: Spent, engines: Mapping[str, Engine]) -> dict[str, Json]:
        """For sessions.jsonl; `ended`: running, finished or interrupted."""
        seconds = round(time.time() - self.started, 3)
        written = {**asdict(self), "seconds": seconds, "ended": ended, "spent": spent}
        more = {"work": work(engines), "checks": checks(engines)}
        return written | {name: found for name, found in more.items() if found}


def unwrapped(engines: Mapping[str, Engine]) -> dict[str, Engine]:
    """Without the caches around them."""
    return {n: e.inner if isinstance(e, Wrapping) else e for n, e in engines.items()}


def metered(engines: Mapping[str, Engine]) -> dict[str, Metered]:
    """The engines that cost something, by the name requests use."""
    return {n: e for n, e in unwrapped(engines).items() if isinstance(e, Metered)}


def spent(costly: Mapping[str, Metered]) -> Spent:
    """What each capped engine has spent so far, over all sessions."""
    return {
        n: {"requests": e.spent_requests, "cost_usd": e.spent_usd}
        for n, e in costly.items()
        if e.capped
    }


def carry_over(costly: Mapping[str, Metered], run_store: RunStore) -> None:
    """Let engines keep their accounts in the run's ledger; several names may share one engine."""
    first: dict[int, str] = {}
    for name, engine in costly.items():
        if first.setdefault(id(engine), name) == name:
            engine.use(run_store.account(name))


def work(engines: Mapping[str, Engine]) -> Work:
    """Tokens that engines planned and computed; each engine under the first of its names."""
    found: Work = {}
    seen: set[int] = set()
    for name, inner in unwrapped(engines).items():
        if id(inner) in seen or not isinstance(inner, Planned):
            continue
        seen.add(id(inner))
        if counts := dict(inner.work()):
            found[name] = counts
    return found


def checks(engines: Mapping[str, Engine]) -> dict[str, Json]:
    """What engines verified of themselves, by name."""
    found = {n: dict(e.checks()) for n, e in unwrapped(engines).items() if isinstance(e, Checked)}
    return {name: measured for name, measured in found.items() if measured}


def last_checks(sessions: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    """By engine, the checks of the last session that made any."""
    return {name: found for line in sessions for name, found in line.get("checks", {}).items()}


def changed(sessions: Sequence[Mapping[str, Json]], engine: str) -> tuple[str, ...]:
    """Settings that an engine's replies were made without, in any session."""
    found = (setting for line in sessions for setting in line.get("changed", {}).get(engine, ()))
    return tuple(sorted(set(found)))


def total_work(sessions: Sequence[Mapping[str, Json]]) -> Work:
    """Sums over sessions; the last line of each counts."""
    last = {line["started"]: line.get("work", {}) for line in sessions}
    total: Work = {}
    for found in last.values():
        for name, counts in found.items():
            row = total.setdefault(name, {})
            for key, value in counts.items():
                row[key] = row.get(key, 0) + value
    return total


_SUMMED = (
    "asked",
    "from_cache",
    "failed",
    "prompt_tokens",
    "reused_tokens",
    "completion_tokens",
    "cost_usd",
    "seconds",
)
_FREE = frozenset({"fake", "recorded"})


def total_usage(
    sessions: Sequence[Mapping[str, Json]], engines: Mapping[str, Engine]
) -> dict[str, Json]:
    """A run's cost over all sessions, of which the last line counts; empty where nothing costs.

    Runs with fake and recorded engines alone have no cost and no times, so that they are the same
    byte for byte however often they were interrupted.
    """
    kinds = {engine.identity.get("type") for engine in engines.values()}
    last = {line["started"]: line for line in sessions}
    if kinds <= _FREE or not last:
        return {}
    total: dict[str, Json] = {"sessions": len(last)}
    for name in _SUMMED:
        total[name] = math.fsum(line.get(name, 0) for line in last.values())
        if name not in ("cost_usd", "seconds"):
            total[name] = int(total[name])
    # A capped engine's count includes what earlier sessions spent.
    spent = {name: row for line in last.values() for name, row in line.get("spent", {}).items()}
    by_engine: Spent = {}
    for line in last.values():
        for engine, row in line.get("engines", {}).items():
            mine = by_engine.setdefault(engine, {})
            mine |= {name: mine.get(name, 0) + value for name, value in row.items()}
    total |= {"engines": by_engine} if by_engine else {}
    return {**total, "spent": spent} if spent else total
