"""Anthropic's Messages API (https://docs.anthropic.com/en/api/messages), by Anthropic's own client.

Serves as a model's engine and as a judge's; other servers that speak the API do, too.  Departures:

- The API takes conversations only, and gives no log-probabilities: raw text, log-likelihoods and
  judges that read log-probabilities are refused.
- It has no seed: sampled replies are sent without, and say so.  `top_p` is never sent beside a
  temperature, which newer models refuse.
- The system message is a field of its own.  A final assistant message is continued.
- Thinking is off unless `reasoning_effort` is set; it then goes as `output_config.effort`, with
  adaptive thinking.
- A server may send anything; see `openai`.

The key is read from the environment when the engine opens.  It is in no message, key,
identity or record.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from evalkit.core import Job, Json, PreparedModel, Request
from evalkit.engines._batch import BatchingEngine, BatchSpec, started_at
from evalkit.engines._exchange import (
    Parsed,
    an_object,
    chat_only,
    objects,
    tokens,
)

if TYPE_CHECKING:
    import anthropic
    import httpx2

__all__ = ["AnthropicEngine", "AnthropicSpec"]

ANTHROPIC_URL = "https://api.anthropic.com"
BATCHES = "/v1/messages/batches"
LONG = 4096
"""Characters, about 1,024 tokens: the API keeps no shorter prefix."""


class AnthropicSpec(BatchSpec):
    """Settings of Anthropic's API."""

    home = ANTHROPIC_URL
    vendor = "anthropic"
    url_env = "ANTHROPIC_BASE_URL"
    ours = frozenset(
        {"model", "messages", "system", "stream", "max_tokens", "temperature", "top_p"}
        | {"stop_sequences", "tools", "tool_choice"}
    )

    type: Literal["anthropic"] = "anthropic"
    """`anthropic`: Anthropic's Messages API."""
    base_url: str = ANTHROPIC_URL
    """Where the API is, without `/v1`.  Default: the environment variable ANTHROPIC_BASE_URL, as
    Anthropic's own client has it, else Anthropic's."""
    api_key_env: str = Field(default="ANTHROPIC_API_KEY", pattern=r"^[A-Z_][A-Z0-9_]{0,63}$")
    """Name (in capitals) of the environment variable that holds the key; never the key itself."""


class AnthropicEngine(BatchingEngine):
    """Sends requests to Anthropic's API."""

    droppable = ("top_p", "thinking", "temperature", "stop_sequences")
    needed = ("tools", "tool_choice", "output_config")

    def __init__(self, spec: AnthropicSpec, model: PreparedModel) -> None:
        super().__init__(spec, model)
        self._client: anthropic.AsyncAnthropic | None = None
        self._systems: Counter[str] = Counter()
        """How many requests have this system message."""

    def connect(self, http: httpx2.AsyncClient, key: str) -> None:
        """Anthropic's client."""
        import anthropic

        self._client = anthropic.AsyncAnthropic(
            api_key=key,
            base_url=self.url.removesuffix("/v1"),
            max_retries=0,
            timeout=http.timeout,
            http_client=http,
        )

    def submit(self, jobs: Sequence[Job]) -> None:
        """Accept jobs; they are sent once the engine is open."""
        self._systems.update(_system(request) for _, request in jobs)
        super().submit(jobs)

    def parameters(self, request: Request, max_tokens: int) -> dict[str, Json]:
        """Of `/v1/messages`."""
        messages = chat_only(request, "Anthropic's API")
        if request.top_logprobs:
            raise self.without("logprobs", "Anthropic's API has none")
        system = _system(request)
        fields: dict[str, Json] = {
            "model": self.spec.model,
            "max_tokens": max_tokens,
            "messages": [
                {"role": m.role, "content": m.content} for m in messages if m.role != "system"
            ],
        }
        if system:
            fields["system"] = self._marked(system)
        if request.temperature != 1:
            fields["temperature"] = request.temperature
        if request.top_p != 1:
            fields["top_p"] = None if "temperature" in fields else request.top_p
        if request.seed is not None and request.temperature > 0:
            fields["seed"] = None
        # The API refuses blank ones; the text is cut at all of them here.
        if stops := [stop for stop in request.stop if stop.strip()]:
            fields["stop_sequences"] = stops
        if self.spec.reasoning_effort is not None:
            fields["thinking"] = {"type": "adaptive"}
            fields["output_config"] = {"effort": self.spec.reasoning_effort}
        if request.tool:
            tool = json.loads(request.tool)["function"]
            schema = tool.get("parameters") or {"type": "object"}
            described = {"name": tool["name"], "description": tool.get("description", "")}
            fields["tools"] = [{**described, "input_schema": schema}]
            fields["tool_choice"] = {"type": "tool", "name": tool["name"]}
        return fields | self.spec.extra_body

    def _marked(self, system: str) -> Json:
        """Marked for the prompt cache, which costs more once, where others have it, too.

        https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching
        """
        if len(system) < LONG or self._systems[system] < 2:
            return system
        return [{"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}]

    async def send(self, parameters: Mapping[str, Json]) -> Json:
        """One call."""
        import httpx2

        assert self._client is not None
        # `messages.create` knows no temperature, which models before Claude 4.7 want.
        response = await self._client.post("/v1/messages", body=parameters, cast_to=httpx2.Response)
        return json.loads(response.content)

    # Batches: https://docs.anthropic.com/en/api/creating-message-batches

    async def create_batch(self, name: str, requests: Mapping[str, Mapping[str, Json]]) -> str:
        """Requests by key; a batch has no other name."""
        import httpx2

        assert self._client is not None
        rows = [{"custom_id": key, "params": dict(fields)} for key, fields in requests.items()]
        response = await self._client.post(
            BATCHES, body={"requests": rows}, cast_to=httpx2.Response
        )
        return str(an_object(json.loads(response.content), "the reply")["id"])

    async def find_batch(self, name: str, keys: Sequence[str], known: Sequence[str]) -> str | None:
        """By the keys in its results, of which nothing is said before it has ended."""
        assert self._client is not None
        maybe = None
        async for batch in self._client.messages.batches.list(limit=100):
            if batch.created_at.timestamp() < started_at(name):
                break
            counts = batch.request_counts
            n = counts.processing + counts.succeeded + counts.errored
            if batch.id in known or n + counts.canceled + counts.expired != len(keys):
                continue
            if batch.processing_status != "ended":
                maybe = ""
            elif set(keys) & (await self._results(batch.id)).keys():
                return batch.id
        return maybe

    async def batch_results(self, identity: str) -> dict[str, Json] | None:
        """Of those that succeeded."""
        assert self._client is not None
        batch = await self._client.messages.batches.retrieve(identity)
        if batch.processing_status != "ended":
            return None
        rows = await self._results(identity)
        return {key: row["message"] for key, row in rows.items() if row["type"] == "succeeded"}

    async def _results(self, identity: str) -> dict[str, dict[str, Any]]:
        import httpx2

        assert self._client is not None
        file = await self._client.get(f"{BATCHES}/{identity}/results", cast_to=httpx2.Response)
        rows = [json.loads(line) for line in file.content.split(b"\n") if line.strip()]
        return {str(row["custom_id"]): an_object(row["result"], "a result") for row in rows}

    async def cancel_batch(self, identity: str) -> None:
        """What is done by then is kept and billed."""
        assert self._client is not None
        await self._client.messages.batches.cancel(identity)

    def read(self, body: Any, request: Request) -> Parsed:
        """The text blocks together."""
        message = an_object(body, "the reply")
        blocks = objects(message.get("content"), "'content'")
        usage = message.get("usage")
        details = usage if isinstance(usage, dict) else {}
        cached = tokens(usage, "cache_read_input_tokens") or 0
        written = tokens(usage, "cache_creation_input_tokens") or 0
        tokens_in, tokens_out = tokens(usage, "input_tokens"), tokens(usage, "output_tokens")
        known = tokens_in is not None and tokens_out is not None
        text = "".join(str(b.get("text", "")) for b in blocks if b.get("type") == "text")
        for block in blocks:
            if request.tool and block.get("type") == "tool_use":
                text = json.dumps(block.get("input"), ensure_ascii=False)
        reason = message.get("stop_reason")
        return Parsed(
            text=text,
            cut=reason in ("max_tokens", "model_context_window_exceeded"),
            refused="a safety classifier stopped the reply" if reason == "refusal" else None,
            thought="".join(
                str(b.get("thinking", "")) for b in blocks if b.get("type") == "thinking"
            ),
            usage=((tokens_in or 0) + cached + written, tokens_out or 0) if known else None,
            thought_tokens=tokens(details.get("output_tokens_details"), "thinking_tokens") or 0,
            reused_tokens=cached,
            kept_tokens=written,
        )


def _system(request: Request) -> str:
    if isinstance(request.prompt, str):
        return ""
    return "\n\n".join(m.content for m in request.prompt if m.role == "system")
