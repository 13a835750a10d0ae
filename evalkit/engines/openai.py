"""Any server that speaks OpenAI's HTTP API: OpenAI itself, vLLM's server, many others.

Serves as a model's engine and as a judge's.  Conversations go to `/chat/completions`, raw text
to `/completions` (https://platform.openai.com/docs/api-reference).  Departures:

- Log-likelihoods are refused: the API gives probabilities of generated tokens only, and where a
  server can echo the prompt it does not say where a continuation's tokens begin.
- A final assistant message is continued only where `continues_answers` says the server can
  (vLLM); others would silently open a new turn.
- At most four stop strings are sent (OpenAI's limit); the text is cut at all of them here.
- `max_tokens` becomes `max_completion_tokens` once a server demands it.
- Lone surrogates (half a character, which JSON can spell and UTF-8 cannot) are sent as U+FFFD.
- A server may send anything.  An unreadable answer is an error that names the departure from the
  API; impossible token counts (negative, no number) are ignored, and the answer is kept and counts
  with its highest possible cost.

The key is read from the environment when the engine opens.  It is in no message, key,
identity or record.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from evalkit.core import Completion, Job, Json, Message, PreparedModel, Rendered, Reply, Request
from evalkit.core.specs import EngineSpec
from evalkit.engines._budget import Budget
from evalkit.engines._http import Background, Parsed, Question, Sender
from evalkit.engines._keys import cut, request_digest
from evalkit.errors import RequestFailed, SuiteError

__all__ = ["OpenAIEngine", "OpenAISpec"]

OPENAI_URL = "https://api.openai.com/v1"
OURS = frozenset(
    {"model", "messages", "prompt", "stream", "n", "best_of", "echo", "seed", "stop", "top_p"}
    | {"temperature", "logprobs", "top_logprobs", "max_tokens", "max_completion_tokens"}
)
"""Fields of the body that evalkit sets itself; caps and scores depend on them."""
PRICES: dict[str, tuple[float, float]] = {
    "gpt-3.5-turbo-0125": (0.5, 1.5),
    "gpt-3.5-turbo-1106": (1.0, 2.0),
    "gpt-4-0125-preview": (10.0, 30.0),
    "gpt-4-0314": (30.0, 60.0),
    "gpt-4-0613": (30.0, 60.0),
    "gpt-4-1106-preview": (10.0, 30.0),
    "gpt-4-turbo-2024-04-09": (10.0, 30.0),
    "gpt-4.1-2025-04-14": (2.0, 8.0),
    "gpt-4.1-mini-2025-04-14": (0.4, 1.6),
    "gpt-4o-2024-05-13": (5.0, 15.0),
    "gpt-4o-2024-08-06": (2.5, 10.0),
    "gpt-4o-2024-11-20": (2.5, 10.0),
    "gpt-4o-mini-2024-07-18": (0.15, 0.6),
}
"""USD per million (input, output) tokens, OpenAI's list prices.  Dated names only: the price of an
undated name changes without notice."""
STOPS = 4
"""OpenAI takes no more."""
TOKENS_PER_MESSAGE = 16
"""More than any chat format adds around a message."""
MOST_TOKENS = 10**9
"""A larger count of one answer is taken for an error of the server."""


class OpenAISpec(EngineSpec):
    """Settings of an OpenAI-compatible server."""

    operational = frozenset(
        {"api_key_env", "concurrency", "timeout_s", "max_retries", "retry_pause_s"}
        | {"max_requests", "max_cost_usd"}
        | {"usd_per_million_input_tokens", "usd_per_million_output_tokens"}
    )

    type: Literal["openai"] = "openai"
    """`openai`: any server that speaks OpenAI's HTTP API."""
    model: str = Field(min_length=1)
    """Name of the model on the server; a dated name keeps its meaning."""
    base_url: str = OPENAI_URL
    """Where the server is, with its `/v1`.  Default: the environment variable OPENAI_BASE_URL, as
    OpenAI's own client has it, else OpenAI's API."""
    api_key_env: str = Field(default="OPENAI_API_KEY", pattern=r"^[A-Z_][A-Z0-9_]{0,63}$")
    """Name (in capitals) of the environment variable that holds the key; never the key itself."""
    concurrency: int = Field(default=16, ge=1, le=1024)
    """Requests in flight at most."""
    timeout_s: float = Field(default=300.0, gt=0)
    """Seconds to wait for one answer."""
    max_retries: int = Field(default=5, ge=0, le=20)
    """New attempts after a failure that may pass (429, 5xx, broken connection)."""
    retry_pause_s: float = Field(default=0.5, ge=0)
    """Seconds before the first new attempt; doubles with each."""
    max_requests: int | None = Field(default=None, ge=0)
    """Never send more requests than this."""
    max_cost_usd: float | None = Field(default=None, ge=0)
    """Never spend more than this; needs prices."""
    usd_per_million_input_tokens: float | None = Field(default=None, ge=0)
    """Price of prompt tokens; known for dated OpenAI models."""
    usd_per_million_output_tokens: float | None = Field(default=None, ge=0)
    """Price of generated tokens; known for dated OpenAI models."""
    continues_answers: bool = False
    """The server can continue a final assistant message (vLLM's `continue_final_message`)."""
    extra_body: dict[str, Json] = Field(default_factory=dict)
    """More fields for the body of each request, as the server documents them."""

    @field_validator("base_url")
    @classmethod
    def _plain_url(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            # No half bracket, no port beyond 65535.
            has_address = bool(parts.hostname) and parts.port != 0
        except ValueError:
            has_address = False
        if not has_address or not re.match(r"https?://[^/?#\s]+[^?#\s]*$", value):
            # The value is not quoted: it may hold a key.
            raise ValueError(
                "expected a URL like https://HOST:PORT/v1, without '?' and '#': write where the "
                "server's API begins"
            )
        if "@" in value:
            raise ValueError(
                "a URL must not hold a password: write the name of an environment variable in "
                "api_key_env"
            )
        return value.rstrip("/")

    @field_validator("extra_body")
    @classmethod
    def _extra_only(cls, value: dict[str, Json]) -> dict[str, Json]:
        taken = sorted(OURS & value.keys())
        if taken:
            raise ValueError(
                f"extra_body may not set {taken[0]!r}: evalkit sets it itself; remove it"
            )
        return value

    @model_validator(mode="after")
    def _cap_needs_prices(self) -> Self:
        if self.max_cost_usd is not None and self.prices is None:
            known = ", ".join(sorted(PRICES))
            raise ValueError(
                f"max_cost_usd needs the prices of model {self.model!r}, which are known only for "
                f"{known}: write usd_per_million_input_tokens and usd_per_million_output_tokens"
            )
        return self

    @property
    def url(self) -> str:
        """`base_url`, else that of the environment.

        Raises:
            SuiteError: OPENAI_BASE_URL is no URL, or holds a password.
        """
        named = os.environ.get("OPENAI_BASE_URL", "").strip()
        if "base_url" in self.model_fields_set or not named:
            return self.base_url
        try:
            return self._plain_url(named)
        except ValueError as error:
            raise SuiteError(
                "the environment variable OPENAI_BASE_URL is not a usable URL: expected "
                "https://HOST/v1 without a password, '?' or '#'; correct or unset it"
            ) from error

    def missing_key(self) -> str | None:
        """Name of the variable without a key, where the suite names one or the server is OpenAI."""
        if os.environ.get(self.api_key_env, "").strip():
            return None
        needed = "api_key_env" in self.model_fields_set or self.url == OPENAI_URL
        return self.api_key_env if needed else None

    @property
    def prices(self) -> tuple[float, float] | None:
        """USD per million (input, output) tokens: as written, else as listed; None: unknown."""
        listed = PRICES.get(self.model, (None, None))
        given = (self.usd_per_million_input_tokens, self.usd_per_million_output_tokens)
        price_in, price_out = (
            g if g is not None else p for g, p in zip(given, listed, strict=True)
        )
        return None if price_in is None or price_out is None else (price_in, price_out)


class OpenAIEngine:
    """Sends requests over HTTP, `concurrency` at a time, from a thread of its own.

    `open` never fails: requests to an unreachable server fail as `transport_error`, so a run keeps
    its answers.  `spent_usd` and `spent_requests` may be set before `open` so that a resumed run
    keeps its caps.
    """

    needs_weights: ClassVar[bool] = False

    def __init__(self, spec: OpenAISpec, model: PreparedModel) -> None:
        self._base_url = spec.url
        self.identity: Mapping[str, Json] = {
            "type": "openai",
            "base_url": self._base_url,
            "model": spec.model,
            "extra_body": dict(spec.extra_body),
        }
        self.exclusive = False
        self._spec = spec
        self._budget = Budget(spec.max_requests, spec.max_cost_usd)
        self._early: list[Job] = []
        self._pending = 0
        self._background: Background | None = None
        self._sender: Sender | None = None
        self._no_key: str | None = None

    @property
    def pending(self) -> int:
        """Jobs not yet returned."""
        return self._pending

    @property
    def capped(self) -> bool:
        """Whether the suite sets a cap on requests or cost."""
        return self._spec.max_requests is not None or self._spec.max_cost_usd is not None

    @property
    def spent_usd(self) -> float:
        """What was spent, from the server's own token counts where it gave them."""
        return self._budget.spent_usd

    @spent_usd.setter
    def spent_usd(self, value: float) -> None:
        self._budget.spent_usd = value

    @property
    def spent_requests(self) -> int:
        """Requests the server answered, or may have."""
        return self._budget.spent_requests

    @spent_requests.setter
    def spent_requests(self, value: int) -> None:
        self._budget.spent_requests = value

    def keys(self, requests: Sequence[Request]) -> list[str]:
        """Hash of messages and settings, server and served model."""
        return [request_digest(self.identity, request) for request in requests]

    def prompt_tokens(self, requests: Sequence[Request]) -> list[int | None]:
        """Unknown: the server tokenises."""
        return [None for _ in requests]

    def render(self, request: Request) -> Rendered | None:
        """Unknown: the server applies the chat template."""
        return None

    def open(self) -> None:
        """Start the thread.  Sends nothing and never fails."""
        if self._background is not None:
            return
        key = self._read_key()
        self._budget.restart()
        spec = self._spec
        self._sender = Sender(
            self._base_url,
            key,
            self._budget,
            max_retries=spec.max_retries,
            retry_pause_s=spec.retry_pause_s,
            timeout_s=spec.timeout_s,
        )
        self._background = Background(self._answer, self._sender.close, spec.concurrency)
        self._background.start()
        early, self._early = self._early, []
        self._background.submit(early)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Accept jobs; they are sent once the engine is open."""
        self._pending += len(jobs)
        if self._background is None:
            self._early.extend(jobs)
        else:
            self._background.submit(jobs)

    def poll(self, timeout: float) -> Sequence[tuple[int, Reply]]:
        """Replies since the last call.  Raises EngineError if the thread died."""
        if self._background is None or self._pending == 0:
            return []
        replies = self._background.poll(timeout)
        self._pending -= len(replies)
        return replies

    def close(self) -> None:
        """Drop what is unanswered, close connections, end the thread."""
        background, self._background = self._background, None
        if background is not None:
            background.stop()
        self._sender = None
        self._early.clear()
        self._pending = 0

    def _read_key(self) -> str | None:
        """The key; where it is missing or unusable, the reason goes to `_no_key`."""
        name = self._spec.api_key_env
        key = os.environ.get(name, "").strip()
        self._no_key = None
        if self._spec.missing_key() is not None:
            self._no_key = (
                f"no API key: environment variable {name!r} is not set; set it to the key"
            )
        elif not (key.isascii() and key.isprintable()):
            self._no_key = f"environment variable {name!r} holds no usable key; set it to the key"
        return None if self._no_key else key or None

    async def _answer(self, request: Request) -> Reply:
        if self._no_key is not None:
            return RequestFailed("engine_error", self._no_key)
        assert self._sender is not None
        return await self._sender.send(_question(request, self._spec))


# --- Requests in the API's form, and its replies as completions -----------------------------------


def _question(request: Request, spec: OpenAISpec) -> Question:
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
        "model": spec.model,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        **spec.extra_body,
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
        payload |= _conversation(request.prompt, spec)
        if request.top_logprobs:
            payload |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        if request.tool:
            tool = json.loads(request.tool)
            chosen = {"type": "function", "function": {"name": tool["function"]["name"]}}
            payload |= {"tools": [tool], "tool_choice": chosen}
    worst = _cost(spec.prices, _most_prompt_tokens(request), request.max_tokens)
    return Question(path, payload, worst, lambda body: _parse(body, request, spec.prices))


def _conversation(messages: Sequence[Message], spec: OpenAISpec) -> dict[str, Json]:
    body: dict[str, Json] = {"messages": [{"role": m.role, "content": m.content} for m in messages]}
    if messages and messages[-1].role == "assistant":
        if not spec.continues_answers:
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
        reason = f": {refusal}"[:300] if refusal else " (content filter)"
        return Parsed(RequestFailed("refused", f"the server refused{reason}"), cost)
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
    """Tokens of prompt and answer; None where the server gave none, or impossible ones."""
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
