"""Short ways to ask the engine for OpenAI-compatible servers, for tests against a real server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from evalkit.core import Completion, Message, PreparedModel, Reply, Request
from evalkit.engines.openai import OpenAIEngine, OpenAISpec
from evalkit.errors import RequestFailed

__all__ = ["KEY", "MODEL", "answers", "chat", "completion", "engine_at", "failure"]

KEY = "sk-not-a-real-key-1234567890"
MODEL = PreparedModel(
    name="judge",
    role="judge",
    path=None,
    fingerprint="",
    chat_template=None,
    template_source="none",
)


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
