"""Servers that speak as five kinds of judges do, for `FaultServer(default=gpt5)` and the like.

Each refuses what its model refuses, in its vendor's words (OpenAI's, Anthropic's and Google's API
references), and judges everything alike: 8 of 10, or A.
"""

from __future__ import annotations

import json
from typing import Any

from tests.support.fault_server import Received, Step

__all__ = ["SERVERS", "claude", "gemini", "gpt5", "plain", "reasoning", "verdict"]

LONG_THOUGHT = 300
"""Tokens that the thinking ones need before they answer."""


def verdict(received: Received) -> str:
    """What a judge would reply."""
    return "Well. Rating: [[8]]" if "[[" in json.dumps(received.body) else "Output (a)"


def _json(body: Any, status: int = 200) -> Step:
    return Step(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def _completion(received: Received, finish: str = "stop", **message: Any) -> Step:
    message = {"role": "assistant", "content": verdict(received), **message}
    usage = {"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 60}
    choice = {"index": 0, "finish_reason": finish, "message": message, "logprobs": None}
    choice |= {"text": verdict(received)} if "prompt" in received.body else {}
    return _json({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage})


def plain(received: Received) -> Step:
    """A server with every feature, as vLLM's."""
    return _completion(received)


def _refused(param: str, message: str, code: str) -> Step:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return _json({"error": error}, 400)


def gpt5(received: Received) -> Step:
    """OpenAI's models that think."""
    body = received.body
    for name in ("max_tokens", "top_p", "logprobs", "top_logprobs", "stop"):
        if name in body:
            advice = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
            message = f"Unsupported parameter: '{name}' is not supported with this model.{advice}"
            return _refused(name, message, "unsupported_parameter")
    if body.get("temperature", 1) != 1:
        message = (
            f"Unsupported value: 'temperature' does not support {body['temperature']} with this "
            f"model. Only the default (1) value is supported."
        )
        return _refused("temperature", message, "unsupported_value")
    if body["max_completion_tokens"] < LONG_THOUGHT + 30:
        return _completion(received, "length", content="")
    return _completion(received)


def reasoning(received: Received) -> Step:
    """A server of an open model that thinks, with its reasoning parser on."""
    body, thought = received.body, "The other is [[2]] at best."
    if any(message["role"] == "system" for message in body["messages"]):
        return _json({"object": "error", "message": "System role not supported", "code": 400}, 400)
    if body["max_tokens"] < LONG_THOUGHT + 30:
        return _completion(received, "length", content=None, reasoning_content=thought)
    return _completion(received, reasoning_content=thought)


def claude(received: Received) -> Step:
    """Anthropic's Messages API with a model of 2026, which takes no sampling parameters."""
    body = received.body

    def refuse(message: str, status: int = 400) -> Step:
        error = {"type": "invalid_request_error", "message": message}
        return _json({"type": "error", "error": error, "request_id": "r"}, status)

    if received.path != "/v1/messages" or "anthropic-version" not in received.headers:
        return refuse("Not Found", 404)
    known = {"model", "max_tokens", "messages", "system", "stop_sequences", "thinking"}
    known |= {"output_config", "tools", "tool_choice", "temperature"}
    for name in body.keys() - known:
        return refuse(f"{name}: Extra inputs are not permitted")
    if "temperature" in body:
        return refuse("`temperature` is not supported for this model.")
    if any(message["role"] == "system" for message in body["messages"]):
        return refuse('messages: Unexpected role "system". Use the top-level `system` parameter.')
    return _json(
        {
            "type": "message",
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Perhaps [[2]].", "signature": "s"},
                {"type": "text", "text": verdict(received)},
            ],
            "stop_reason": "end_turn",
            "usage": {
                "input_tokens": 50,
                "output_tokens": 40,
                "output_tokens_details": {"thinking_tokens": 30},
            },
        }
    )


def gemini(received: Received) -> Step:
    """Google's API with a model that thinks, which counts its thoughts against the limit."""
    config = received.body.get("generationConfig", {})

    def refuse(message: str, status: int = 400) -> Step:
        error = {"code": status, "message": message, "status": "INVALID_ARGUMENT"}
        return _json({"error": error}, status)

    if received.path != "/v1beta/models/m:generateContent":
        return refuse(f"{received.path} is not found for API version v1beta", 404)
    if "seed" in config:
        return refuse("Unable to submit request because seed is not supported by this model.")
    if "responseLogprobs" in config:
        return refuse("Logprobs is not enabled for models/m")
    usage = {"promptTokenCount": 50, "candidatesTokenCount": 10, "thoughtsTokenCount": LONG_THOUGHT}
    if config["maxOutputTokens"] < LONG_THOUGHT + 30:
        del usage["candidatesTokenCount"]
        candidate = {"content": {"role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}
        return _json({"candidates": [candidate], "usageMetadata": usage})
    parts = [{"text": "Perhaps [[2]].", "thought": True}, {"text": verdict(received)}]
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
    return _json({"candidates": [candidate], "usageMetadata": usage})


SERVERS = {
    "openai": {"plain": plain, "gpt5": gpt5, "reasoning": reasoning},
    "anthropic": {"claude": claude},
    "google": {"gemini": gemini},
}
"""By engine type."""
