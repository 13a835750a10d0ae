"""Google's Gemini API (https://ai.google.dev/api/generate-content), by Google's own client.

Serves as a model's engine and as a judge's.  Departures:

- The API takes conversations only: raw text and log-likelihoods are refused.
- The system message goes as `system_instruction`.  A final assistant message is refused: the API
  would open a new turn.
- At most five stop sequences are sent (the API's limit); the text is cut at all of them here.
- Thoughts count as new tokens, as they are billed; the API returns them only where
  `reasoning_effort`, its `thinking_level`, is set.
- Blocked prompts and replies that a filter stopped are `refused`, with Google's word for it.
- A server may send anything; see `openai`.

The key is read from the environment when the engine opens.  It is in no message, key,
identity or record.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from evalkit.core import Json, PreparedModel, Request
from evalkit.engines._exchange import Parsed, an_object, chat_only, objects, tokens
from evalkit.engines._remote import RemoteEngine
from evalkit.engines._settings import RemoteSpec
from evalkit.errors import RequestFailed

if TYPE_CHECKING:
    import httpx2
    from google import genai

__all__ = ["GoogleEngine", "GoogleSpec"]

GOOGLE_URL = "https://generativelanguage.googleapis.com"
STOPS = 5
"""The API takes no more."""


class GoogleSpec(RemoteSpec):
    """Settings of Google's Gemini API."""

    home = GOOGLE_URL
    vendor = "google"
    url_env = "GOOGLE_GEMINI_BASE_URL"
    ours = frozenset({"model", "contents", "generationConfig", "systemInstruction", "tools"})

    type: Literal["google"] = "google"
    """`google`: Google's Gemini API."""
    base_url: str = GOOGLE_URL
    """Where the API is, without `/v1beta`.  Default: the environment variable
    GOOGLE_GEMINI_BASE_URL, as Google's own client has it, else Google's."""
    api_key_env: str = Field(default="GEMINI_API_KEY", pattern=r"^[A-Z_][A-Z0-9_]{0,63}$")
    """Name (in capitals) of the environment variable that holds the key; never the key itself."""


class GoogleEngine(RemoteEngine):
    """Sends requests to Google's API."""

    droppable = ("top_p", "seed", "stop_sequences", "temperature")
    needed = ("logprobs", "response_logprobs", "tools", "tool_config", "thinking_config")

    def __init__(self, spec: GoogleSpec, model: PreparedModel) -> None:
        super().__init__(spec, model)
        self._client: genai.Client | None = None

    def connect(self, http: httpx2.AsyncClient, key: str) -> None:
        """Google's client, which retries nothing unless told to."""
        from google import genai
        from google.genai import types

        options = types.HttpOptions(
            base_url=self.url.removesuffix("/v1beta"),
            api_version="v1beta",
            httpx_async_client=http,
            extra_body=self.spec.extra_body or None,
        )
        self._client = genai.Client(vertexai=False, api_key=key, http_options=options)

    def parameters(self, request: Request, max_tokens: int) -> dict[str, Json]:
        """`model` and `contents`; the rest is `GenerateContentConfig`."""
        messages = chat_only(request, "Google's API")
        if messages and messages[-1].role == "assistant":
            raise RequestFailed(
                "excluded",
                "the conversation ends with the beginning of an answer, which Google's API does "
                "not continue",
            )
        fields: dict[str, Json] = {
            "model": self.spec.model,
            "contents": [
                {
                    "role": "model" if m.role == "assistant" else "user",
                    "parts": [{"text": m.content}],
                }
                for m in messages
                if m.role != "system"
            ],
            "max_output_tokens": max_tokens,
            # The API's defaults are the model's own.
            "temperature": request.temperature,
        }
        if system := "\n\n".join(m.content for m in messages if m.role == "system"):
            fields["system_instruction"] = system
        if request.temperature > 0:
            fields["top_p"] = request.top_p
        if request.seed is not None:
            fields["seed"] = request.seed % 2**31
        if stops := [stop for stop in request.stop if stop]:
            fields["stop_sequences"] = stops[:STOPS]
        if self.spec.reasoning_effort is not None:
            level = self.spec.reasoning_effort.upper()
            fields["thinking_config"] = {"thinking_level": level, "include_thoughts": True}
        if request.top_logprobs:
            fields |= {"response_logprobs": True, "logprobs": request.top_logprobs}
        if request.tool:
            tool = json.loads(request.tool)["function"]
            declared = {"name": tool["name"], "description": tool.get("description", "")}
            declared["parameters_json_schema"] = tool.get("parameters") or {"type": "object"}
            fields["tools"] = [{"function_declarations": [declared]}]
            fields["tool_config"] = {"function_calling_config": {"mode": "ANY"}}
        return fields

    async def send(self, parameters: Mapping[str, Json]) -> Json:
        """One call."""
        from google.genai import types

        assert self._client is not None
        settings = {k: v for k, v in parameters.items() if k not in ("model", "contents")}
        config = types.GenerateContentConfig(
            **settings,
            # The reply as it came, and no further calls.
            should_return_http_response=True,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            automatic_continuation=False,
        )
        reply = await self._client.aio.models.generate_content(
            model=parameters["model"], contents=parameters["contents"], config=config
        )
        assert reply.sdk_http_response is not None
        return json.loads(reply.sdk_http_response.body or "")

    def read(self, body: Any, request: Request) -> Parsed:
        """The first candidate."""
        reply = an_object(body, "the reply")
        usage = reply.get("usageMetadata")
        tokens_in = tokens(usage, "promptTokenCount")
        thought_tokens = tokens(usage, "thoughtsTokenCount") or 0
        # Left out where all tokens are thought's.
        new = (tokens(usage, "candidatesTokenCount") or 0) + thought_tokens
        counted = None if tokens_in is None else (tokens_in, new)
        feedback = reply.get("promptFeedback")
        blocked = feedback.get("blockReason") if isinstance(feedback, dict) else None
        candidates = reply.get("candidates")
        if blocked and not candidates:
            return Parsed("", refused=f"prompt blocked ({blocked})", usage=counted)
        if not isinstance(candidates, list) or not candidates:
            raise ValueError("'candidates' is no list with an answer")
        candidate = an_object(candidates[0], "'candidates[0]'")
        content = candidate.get("content")
        held = content.get("parts") if isinstance(content, dict) else None
        parts = objects(held or [], "'candidates[0].content.parts'")
        text = "".join(str(p.get("text", "")) for p in parts if not p.get("thought"))
        for part in parts:
            if request.tool and isinstance(part.get("functionCall"), dict):
                text = json.dumps(part["functionCall"].get("args"), ensure_ascii=False)
        reason = candidate.get("finishReason")
        ended = reason in (None, "STOP", "MAX_TOKENS", "CONTINUATION", "FINISH_REASON_UNSPECIFIED")
        return Parsed(
            text=text,
            cut=reason in ("MAX_TOKENS", "CONTINUATION"),
            refused=None if ended else f"reply stopped ({reason})",
            thought="".join(str(p.get("text", "")) for p in parts if p.get("thought")),
            top_logprobs=_alternatives(candidate.get("logprobsResult"), request),
            usage=counted,
            thought_tokens=thought_tokens,
            reused_tokens=tokens(usage, "cachedContentTokenCount") or 0,
        )


def _alternatives(logprobs: Any, request: Request) -> tuple[tuple[str, float], ...]:
    """Alternatives of the first (or last) token, most likely first."""
    if not request.top_logprobs or not logprobs:
        return ()
    rows = logprobs["topCandidates"]
    place = 0 if request.top_logprobs_at == "first" else -1
    tops = rows[place]["candidates"] if rows else []
    pairs = [(str(top["token"]), float(top["logProbability"])) for top in tops]
    finite = [(t, v) for t, v in pairs if math.isfinite(v)]
    return tuple(sorted(finite, key=lambda pair: (-pair[1], pair[0])))[: request.top_logprobs]
