"""What a session asked and what it cost; and the caps that hold over all sessions of a run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from evalkit.errors import RequestFailed
from evalkit.protocols import Engine, Metered
from evalkit.types import Json, Reply, Request

__all__ = ["Usage", "carry_over"]


@dataclass
class Usage:
    """One session's requests, tokens and money; a line of sessions.jsonl."""

    started: float = field(default_factory=time.time)
    """Unix time; also what tells the sessions of a run apart."""
    asked: int = 0
    """Requests engines answered; cache hits left out."""
    from_cache: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    by_engine: dict[str, dict[str, float]] = field(default_factory=dict)
    """`requests` and `cost_usd` per `Request.engine`."""

    def add(self, request: Request, reply: Reply) -> None:
        """Count one reply."""
        if isinstance(reply, RequestFailed):
            self.failed += 1
            return
        if reply.from_cache:
            self.from_cache += 1
            return
        self.asked += 1
        self.prompt_tokens += reply.prompt_tokens
        self.reused_tokens += reply.reused_tokens
        self.completion_tokens += reply.completion_tokens
        self.cost_usd += reply.cost_usd
        mine = self.by_engine.setdefault(request.engine, {"requests": 0, "cost_usd": 0.0})
        mine["requests"] += 1
        mine["cost_usd"] += reply.cost_usd

    def line(self, ended: str) -> dict[str, Json]:
        """For sessions.jsonl; `ended`: running, finished or interrupted."""
        return {**asdict(self), "seconds": round(time.time() - self.started, 3), "ended": ended}


def carry_over(engines: Mapping[str, Engine], sessions: Iterable[Mapping[str, Json]]) -> None:
    """Tell capped engines what earlier sessions of this run spent.

    A session writes a line whenever money was spent, so that a cap also holds over a session
    that was killed; its last line counts.
    """
    last = {line["started"]: line["by_engine"] for line in sessions}
    for name, engine in engines.items():
        inner = getattr(engine, "inner", engine)
        if not isinstance(inner, Metered):
            continue
        mine = [by_engine[name] for by_engine in last.values() if name in by_engine]
        inner.spent_requests = int(sum(m["requests"] for m in mine))
        inner.spent_usd = float(sum(m["cost_usd"] for m in mine))
