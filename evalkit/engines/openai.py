"""Any server that speaks OpenAI's HTTP API: OpenAI itself, vLLM's server, many others.

Serves as a model's engine and as a judge's.  Conversations go to `/chat/completions`, raw text
to `/completions` (https://platform.openai.com/docs/api-reference).  Departures:

- Log-likelihoods are refused: the API gives probabilities of generated tokens only, and where a
  server can echo the prompt it does not say where a continuation's tokens begin.
- A final assistant message is continued only where `continues_answers` says the server can
  (vLLM); others would open a new turn without a word.
- At most four stop strings are sent (OpenAI's limit); the text is cut at all of them here.
- `max_tokens` becomes `max_completion_tokens` once a server says it wants that.
- Lone surrogates (half a character, which JSON can spell and UTF-8 cannot) are sent as U+FFFD.
- Token counts that cannot be right (negative, no number) are not believed: such an answer is
  kept and counts with the most it can have cost.

The key is read from the environment when the engine opens.  It is in no message, key,
identity or record.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from evalkit.core import Job, Json, PreparedModel, Rendered, Reply, Request
from evalkit.core.specs import EngineSpec
from evalkit.engines._budget import PRICES, Budget
from evalkit.engines._digest import request_digest
from evalkit.errors import RequestFailed, SuiteError

if TYPE_CHECKING:
    from evalkit.engines._background import Background
    from evalkit.engines._http import Sender

__all__ = ["OpenAIEngine", "OpenAISpec"]

OPENAI_URL = "https://api.openai.com/v1"
OURS = frozenset(
    {"model", "messages", "prompt", "stream", "n", "best_of", "echo", "seed", "stop", "top_p"}
    | {"temperature", "logprobs", "top_logprobs", "max_tokens", "max_completion_tokens"}
)
"""Fields of the body that evalkit sets itself; caps and scores rest on them."""


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
        if not re.match(r"https?://[^/?#\s]+[^?#\s]*$", value) or not _has_address(value):
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
    def prices(self) -> tuple[float, float] | None:
        """USD per million (input, output) tokens: as written, else as listed; None: unknown."""
        listed = PRICES.get(self.model, (None, None))
        given = (self.usd_per_million_input_tokens, self.usd_per_million_output_tokens)
        price_in, price_out = (
            g if g is not None else p for g, p in zip(given, listed, strict=True)
        )
        return None if price_in is None or price_out is None else (price_in, price_out)


class OpenAIEngine:
    """Asks over HTTP, `concurrency` at a time, on a thread of its own.

    `open` never fails: a server that is away makes requests fail as `transport_error`, so a run
    keeps what it has.  `spent_usd` and `spent_requests` may be set before `open` so that a
    resumed run keeps its caps.
    """

    needs_weights: ClassVar[bool] = False

    def __init__(self, spec: OpenAISpec, model: PreparedModel) -> None:
        self._base_url = _base_url(spec)
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
        from evalkit.engines._background import Background
        from evalkit.engines._http import Retries, Sender

        if self._background is not None:
            return
        key = self._read_key()
        self._budget.restart()
        retries = Retries(self._spec.max_retries, self._spec.retry_pause_s, self._spec.timeout_s)
        self._sender = Sender(self._base_url, key, retries, self._budget)
        self._background = Background(self._answer, self._sender.close, self._spec.concurrency)
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
        """The key; without one, whether that is a reason to ask nothing is noted."""
        name = self._spec.api_key_env
        key = os.environ.get(name, "").strip()
        asked_for = "api_key_env" in self._spec.model_fields_set or self._base_url == OPENAI_URL
        self._no_key = None
        if key and not (key.isascii() and key.isprintable()):
            self._no_key = f"environment variable {name!r} holds no usable key; set it to the key"
            return None
        if not key and asked_for:
            self._no_key = (
                f"no API key: environment variable {name!r} is not set; set it to the key"
            )
        return key or None

    async def _answer(self, request: Request) -> Reply:
        from evalkit.engines._openai_wire import question

        if self._no_key is not None:
            return RequestFailed("engine_error", self._no_key)
        assert self._sender is not None
        return await self._sender.ask(question(request, self._spec))


def _has_address(url: str) -> bool:
    """Whether host and port can be read: no half bracket, no port beyond 65535."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _base_url(spec: OpenAISpec) -> str:
    """The suite's URL, else the environment's.

    Raises:
        SuiteError: OPENAI_BASE_URL is no URL, or holds a password.
    """
    named = os.environ.get("OPENAI_BASE_URL", "").strip()
    if "base_url" in spec.model_fields_set or not named:
        return spec.base_url
    try:
        return OpenAISpec(model=spec.model, base_url=named).base_url
    except ValueError as error:
        raise SuiteError(
            "the environment variable OPENAI_BASE_URL is not a usable URL: expected "
            "https://HOST/v1 without a password, '?' or '#'; correct or unset it"
        ) from error
