"""Requests as OpenAI's API writes them, and its replies as completions.

A server may send anything.  An answer that cannot be read is an error that says where it
departs from the API; token counts that cannot be right are as if they had not been sent, and
the answer then counts with the most it can have cost.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from evalkit.core import Completion, Json, Message, Reply, Request
from evalkit.engines._http import Parsed, Question
from evalkit.engines._text import cut
from evalkit.errors import RequestFailed

__all__ = ["question"]

STOPS = 4
"""OpenAI takes no more."""
TOKENS_PER_MESSAGE = 16
"""More than any chat format adds around a message."""
MOST_TOKENS = 10**9
"""A server that says it used more in one answer is wrong."""


class Server(Protocol):
    """What of the engine's settings decides the body of a request."""

    @property
    def model(self) -> str:
        """Name of the model on the server."""
        ...

    @property
    def extra_body(self) -> Mapping[str, Json]:
        """More fields of the body."""
        ...

    @property
    def continues_answers(self) -> bool:
        """The server goes on with a final assistant message."""
        ...

    @property
    def prices(self) -> tuple[float, float] | None:
        """USD per million (input, output) tokens; None: unknown."""
        ...


def question(request: Request, server: Server) -> Question:
    """What to post for `request`.

    Raises:
        RequestFailed: This API cannot answer such a request.
    """
    if request.kind != "generate":
        raise RequestFailed(
            "engine_error",
            f"an OpenAI-compatible API cannot score text ({request.kind!r} request); serve this "
            f"model with engine type vllm or transformers, or read a judge with protocol: text",
        )
    payload: dict[str, Json] = {
        "model": server.model,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        **server.extra_body,
    }
    if request.seed is not None:
        payload["seed"] = request.seed
    if stops := [stop for stop in request.stop if stop]:
        payload["stop"] = stops[:STOPS]
    if isinstance(request.prompt, str):
        path = "/completions"
        payload["prompt"] = request.prompt
        if request.top_logprobs:
            payload["logprobs"] = request.top_logprobs
    else:
        path = "/chat/completions"
        payload |= _conversation(request.prompt, server)
        if request.top_logprobs:
            payload |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        payload |= _tool(request)
    worst = _cost(server.prices, _most_prompt_tokens(request), request.max_tokens)
    return Question(path, payload, worst, lambda body: _parse(body, request, server.prices))


def _tool(request: Request) -> dict[str, Json]:
    """The function that the reply must call."""
    if not request.tool:
        return {}
    tool = json.loads(request.tool)
    chosen = {"type": "function", "function": {"name": tool["function"]["name"]}}
    return {"tools": [tool], "tool_choice": chosen}


def _conversation(messages: Sequence[Message], server: Server) -> dict[str, Json]:
    body: dict[str, Json] = {"messages": [{"role": m.role, "content": m.content} for m in messages]}
    if messages and messages[-1].role == "assistant":
        if not server.continues_answers:
            raise RequestFailed(
                "engine_error",
                "the conversation ends with the beginning of an answer, which not every server "
                "continues; write continues_answers: true if this one does (vLLM's)",
            )
        body |= {"add_generation_prompt": False, "continue_final_message": True}
    return body


def _most_prompt_tokens(request: Request) -> int:
    """No byte-level tokenizer makes more tokens than there are bytes."""
    if isinstance(request.prompt, str):
        return _size(request.prompt) + TOKENS_PER_MESSAGE
    texts = [m.content for m in request.prompt]
    return sum(_size(text) + TOKENS_PER_MESSAGE for text in texts) + TOKENS_PER_MESSAGE


def _size(text: str) -> int:
    """Bytes; half a surrogate pair has three, as the U+FFFD that is sent for it."""
    return len(text.encode("utf-8", "surrogatepass"))


def _cost(prices: tuple[float, float] | None, tokens_in: int, tokens_out: int) -> float:
    if prices is None:
        return 0.0
    return (tokens_in * prices[0] + tokens_out * prices[1]) / 1e6


def _parse(body: Any, request: Request, prices: tuple[float, float] | None) -> Parsed:
    choices = _object(body, "the reply").get("choices")
    if not isinstance(choices, list) or not choices:
        raise ValueError("'choices' is no list with an answer")
    choice = _object(choices[0], "'choices[0]'")
    usage = _usage(body.get("usage"))
    tokens_in, tokens_out = usage or (0, 0)
    cost = None if usage is None else _cost(prices, tokens_in, tokens_out)
    reason = choice.get("finish_reason")
    chat = not isinstance(request.prompt, str)
    message = _object(choice.get("message"), "'choices[0].message'") if chat else {}
    refusal = message.get("refusal")
    if reason == "content_filter" or refusal:
        said = f": {refusal}"[:300] if refusal else " (content filter)"
        return Parsed(_refused(f"the server refused{said}"), cost)
    text = _text(message, request) if chat else choice.get("text")
    if not isinstance(text, str):
        raise TypeError("the answer is not text")
    kept = cut(text, request.stop)
    return Parsed(
        Completion(
            text=kept,
            truncated=reason == "length" and kept == text,
            top_logprobs=_alternatives(choice.get("logprobs"), request),
            prompt_tokens=tokens_in,
            completion_tokens=tokens_out,
            cost_usd=_cost(prices, _most_prompt_tokens(request), request.max_tokens)
            if cost is None
            else cost,
        ),
        cost,
    )


def _text(message: Mapping[str, Any], request: Request) -> Any:
    """The answer, or the arguments of the function it was to call."""
    calls = message.get("tool_calls") if request.tool else None
    if calls:
        return _object(_object(calls[0], "'tool_calls[0]'").get("function"), "a call").get(
            "arguments"
        )
    return message.get("content") or ""


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{name} is no object")
    return value


def _usage(usage: Any) -> tuple[int, int] | None:
    """Tokens of prompt and answer; None where the server did not say, or not credibly."""
    if not isinstance(usage, dict):
        return None
    counts = [_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens")]
    known = [n for n in counts if n is not None]
    return (known[0], known[1]) if len(known) == len(counts) else None


def _count(value: Any) -> int | None:
    """A number of tokens; None for what cannot be one (NaN and infinity compare as such)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return math.ceil(value) if 0 <= value <= MOST_TOKENS else None


def _refused(message: str) -> Reply:
    return RequestFailed("refused", message)


def _alternatives(logprobs: Any, request: Request) -> tuple[tuple[str, float], ...]:
    """Alternatives of the first (or last) token, most likely first."""
    if not request.top_logprobs or not logprobs:
        return ()
    pairs: list[tuple[str, float]]
    place = 0 if request.top_logprobs_at == "first" else -1
    if isinstance(request.prompt, str):
        rows = logprobs["top_logprobs"]
        pairs = [(str(t), float(v)) for t, v in (rows[place] if rows else {}).items()]
    else:
        rows = logprobs["content"]
        tops = rows[place]["top_logprobs"] if rows else []
        pairs = [(str(top["token"]), float(top["logprob"])) for top in tops]
    finite = [(t, v) for t, v in pairs if math.isfinite(v)]
    return tuple(sorted(finite, key=lambda pair: (-pair[1], pair[0])))[: request.top_logprobs]
