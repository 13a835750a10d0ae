"""Any server that speaks OpenAI's HTTP API: OpenAI itself, vLLM's server, many others.

Serves as a model's engine and as a judge's.  Conversations go to `/chat/completions`, raw text
to `/completions` (https://platform.openai.com/docs/api-reference), by OpenAI's own client.
Departures:

- Log-likelihoods are refused: the API gives probabilities of generated tokens only, and where a
  server can echo the prompt it does not say where a continuation's tokens begin.
- A final assistant message is continued only where `continues_answers` says the server can
  (vLLM); others would silently open a new turn.
- At most four stop strings are sent (OpenAI's limit); the text is cut at all of them here.
- What equals OpenAI's default is not sent to OpenAI, nor `top_p` beside temperature 0.  Other
  servers have defaults of their own (vLLM: the model's generation_config.json).
- A thought comes as `reasoning_content` or `reasoning` (vLLM, DeepSeek, OpenRouter), as parts of
  the content (Mistral), or in the text between `<think>` and `</think>`.
- A server may send anything.  An unreadable answer is an error that names the departure from the
  API; impossible token counts (negative, no number) are ignored, and the answer is kept and counts
  with its highest possible cost.

The key is read from the environment when the engine opens.  It is in no message, key,
identity or record.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pydantic import Field

from evalkit.core import Json, Message, PreparedModel, Request
from evalkit.engines._batch import BatchingEngine, BatchSpec, started_at
from evalkit.engines._exchange import Parsed, an_object, objects, tokens
from evalkit.errors import RequestFailed

if TYPE_CHECKING:
    import httpx2
    import openai

__all__ = ["OpenAIEngine", "OpenAISpec"]

OPENAI_URL = "https://api.openai.com/v1"
CHAT: Final = "/v1/chat/completions"
STOPS = 4
"""OpenAI takes no more."""


class OpenAISpec(BatchSpec):
    """Settings of an OpenAI-compatible server."""

    home = OPENAI_URL
    url_env = "OPENAI_BASE_URL"
    vendor = "openai"
    ours = frozenset(
        {"model", "messages", "prompt", "stream", "n", "best_of", "echo", "seed", "stop", "top_p"}
        | {"temperature", "logprobs", "top_logprobs", "max_tokens", "max_completion_tokens"}
    )

    type: Literal["openai"] = "openai"
    """`openai`: any server that speaks OpenAI's HTTP API."""
    base_url: str = OPENAI_URL
    """Where the server is, with its `/v1`.  Default: the environment variable OPENAI_BASE_URL, as
    OpenAI's own client has it, else OpenAI's API."""
    api_key_env: str = Field(default="OPENAI_API_KEY", pattern=r"^[A-Z_][A-Z0-9_]{0,63}$")
    """Name (in capitals) of the environment variable that holds the key; never the key itself."""
    continues_answers: bool = False
    """The server can continue a final assistant message (vLLM's `continue_final_message`)."""

    @property
    def may_think(self) -> bool:
        """OpenAI's own models before GPT-5 that are not of the o series do not."""
        return self.url != OPENAI_URL or not self.model.startswith(("gpt-3", "gpt-4", "chatgpt-4"))


class OpenAIEngine(BatchingEngine):
    """Sends requests to a server that speaks OpenAI's API."""

    droppable = ("top_p", "seed", "stop", "temperature")
    needed = (
        *("logprobs", "top_logprobs", "tools", "tool_choice"),
        *("reasoning_effort", "chat_template_kwargs"),
    )
    thinking_names: ClassVar[Mapping[str, str]] = {"max_tokens": "max_completion_tokens"}

    def __init__(self, spec: OpenAISpec, model: PreparedModel) -> None:
        super().__init__(spec, model)
        self._continues = spec.continues_answers
        self._template = dict(model.chat_template_kwargs)
        if self._template:
            self.identity = {**self.identity, "chat_template_kwargs": self._template}
        self._client: openai.AsyncOpenAI | None = None

    @property
    def tokens_per_piece(self) -> float:
        """Of o200k at OpenAI, which has been its models' tokenizer since gpt-4o."""
        return 0.94 if self.url == OPENAI_URL else super().tokens_per_piece

    def connect(self, http: httpx2.AsyncClient, key: str) -> None:
        """OpenAI's client."""
        import openai

        self._client = openai.AsyncOpenAI(
            api_key=key, base_url=self.url, max_retries=0, timeout=http.timeout, http_client=http
        )

    def parameters(self, request: Request, max_tokens: int) -> dict[str, Json]:
        """Of `/chat/completions`, or of `/completions` for raw text."""
        if request.kind != "generate":
            raise RequestFailed(
                "excluded",
                f"an OpenAI-compatible API cannot score text ({request.kind!r} request); serve "
                f"this model with engine type vllm or transformers, or read a judge with "
                f"protocol: text",
            )
        fields: dict[str, Json] = {"model": self.spec.model, "max_tokens": max_tokens}
        own_defaults = self.url != OPENAI_URL
        if request.temperature != 1 or own_defaults:
            fields["temperature"] = request.temperature
        if request.top_p != 1 or (own_defaults and request.temperature > 0):
            fields["top_p"] = request.top_p
        if self.spec.reasoning_effort is not None:
            fields["reasoning_effort"] = self.spec.reasoning_effort
        fields |= self.spec.extra_body
        if request.seed is not None:
            fields["seed"] = request.seed
        if stops := [stop for stop in request.stop if stop]:
            fields["stop"] = stops[:STOPS]
        if self._template:
            fields["chat_template_kwargs"] = self._template
        if isinstance(request.prompt, str):
            fields["prompt"] = request.prompt
            if request.top_logprobs:
                fields["logprobs"] = request.top_logprobs
            return fields
        fields |= self._conversation(request.prompt)
        if request.top_logprobs:
            fields |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        if request.tool:
            tool = json.loads(request.tool)
            chosen = {"type": "function", "function": {"name": tool["function"]["name"]}}
            fields |= {"tools": [tool], "tool_choice": chosen}
        return fields

    def _conversation(self, messages: Sequence[Message]) -> dict[str, Json]:
        said: dict[str, Json] = {
            "messages": [{"role": m.role, "content": m.content} for m in messages]
        }
        if messages and messages[-1].role == "assistant":
            if not self._continues:
                raise RequestFailed(
                    "excluded",
                    "the conversation ends with the beginning of an answer, which not every "
                    "server continues; write continues_answers: true if this one does (vLLM's)",
                )
            said |= {"add_generation_prompt": False, "continue_final_message": True}
        return said

    async def send(self, parameters: Mapping[str, Json]) -> Json:
        """One call."""
        import httpx2

        assert self._client is not None
        path = "/completions" if "prompt" in parameters else "/chat/completions"
        response = await self._client.post(path, body=parameters, cast_to=httpx2.Response)
        return json.loads(response.content)

    # Batches: https://platform.openai.com/docs/guides/batch

    async def create_batch(self, name: str, requests: Mapping[str, Mapping[str, Json]]) -> str:
        """A file of requests, and a batch of it with our name as metadata."""
        assert self._client is not None
        lines = [
            {"custom_id": key, "method": "POST", "url": CHAT, "body": dict(parameters)}
            for key, parameters in requests.items()
        ]
        data = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
        file = await self._client.files.create(file=(f"{name}.jsonl", data), purpose="batch")
        batch = await self._client.batches.create(
            input_file_id=file.id,
            endpoint=CHAT,
            completion_window="24h",
            metadata={"evalkit": name},
        )
        return batch.id

    async def find_batch(self, name: str, keys: Sequence[str], known: Sequence[str]) -> str | None:
        """By its metadata."""
        assert self._client is not None
        async for batch in self._client.batches.list(limit=100):
            if (batch.metadata or {}).get("evalkit") == name:
                return batch.id
            if batch.created_at < started_at(name):
                return None
        return None

    async def batch_results(self, identity: str) -> dict[str, Json] | None:
        """Of its output file; what failed or expired is in its error file."""
        import httpx2

        assert self._client is not None
        batch = await self._client.batches.retrieve(identity)
        if batch.status not in ("completed", "failed", "expired", "cancelled"):
            return None
        if batch.output_file_id is None:
            return {}
        file = await self._client.get(
            f"/files/{batch.output_file_id}/content", cast_to=httpx2.Response
        )
        found: dict[str, Json] = {}
        for line in filter(None, file.content.split(b"\n")):
            row = an_object(json.loads(line), "a line of the output")
            response = row.get("response")
            if isinstance(response, dict) and response.get("status_code") == 200:
                found[str(row.get("custom_id"))] = response.get("body")
        return found

    async def cancel_batch(self, identity: str) -> None:
        """What is done by then is kept and billed."""
        assert self._client is not None
        await self._client.batches.cancel(identity)

    def read(self, body: Any, request: Request) -> Parsed:
        """The first choice."""
        choices = an_object(body, "the reply").get("choices")
        if not isinstance(choices, list) or not choices:
            raise ValueError("'choices' is no list with an answer")
        choice = an_object(choices[0], "'choices[0]'")
        chat = not isinstance(request.prompt, str)
        message = an_object(choice.get("message"), "'choices[0].message'") if chat else {}
        usage = body.get("usage")
        tokens_in, tokens_out = tokens(usage, "prompt_tokens"), tokens(usage, "completion_tokens")
        known = tokens_in is not None and tokens_out is not None
        details = usage if isinstance(usage, dict) else {}
        new, old = details.get("completion_tokens_details"), details.get("prompt_tokens_details")
        reason, refusal = choice.get("finish_reason"), message.get("refusal")
        refused = str(refusal) if refusal else None
        if reason == "content_filter":
            refused = refused or "content filter"
        text, thought = _texts(message, request) if chat else (choice.get("text"), "")
        if not isinstance(text, str) and refused is None:
            raise TypeError("the answer is not text")
        return Parsed(
            text=text if isinstance(text, str) else "",
            cut=reason == "length",
            refused=refused,
            thought=thought,
            top_logprobs=_alternatives(choice.get("logprobs"), request),
            usage=(tokens_in or 0, tokens_out or 0) if known else None,
            thought_tokens=tokens(new, "reasoning_tokens") or 0,
            reused_tokens=tokens(old, "cached_tokens") or 0,
        )


def _texts(message: Mapping[str, Any], request: Request) -> tuple[Any, str]:
    """The answer, or the arguments of the function it was to call, and the thought."""
    thought = message.get("reasoning_content") or message.get("reasoning") or ""
    thought = thought if isinstance(thought, str) else ""
    calls = message.get("tool_calls") if request.tool else None
    if calls:
        called = an_object(an_object(calls[0], "'tool_calls[0]'").get("function"), "a call")
        return called.get("arguments"), thought
    content = message.get("content") or ""
    if isinstance(content, list):
        parts = objects(content, "'content'")
        thought += "".join(_words(p.get("thinking")) for p in parts if p.get("type") == "thinking")
        content = "".join(_words(p.get("text")) for p in parts if p.get("type") != "thinking")
    return content, thought


def _words(value: Any) -> str:
    """A part's text, which some servers put into parts again."""
    if isinstance(value, list):
        return "".join(_words(part.get("text")) for part in objects(value, "a part"))
    return value if isinstance(value, str) else ""


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
