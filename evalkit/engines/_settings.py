"""Settings that all engines of APIs have in common."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import date
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import Field, field_serializer, field_validator

from evalkit.core import Json
from evalkit.core.secrets import looks_secret, masked_url
from evalkit.core.specs import EngineSpec
from evalkit.engines._judge_models import Vendor, price, retirement, without_logprobs
from evalkit.errors import SuiteError


class RemoteSpec(EngineSpec):
    """Settings of a model behind an API."""

    # What decides answers of the last two is in the engine's identity where it is set.
    operational = frozenset(
        {"api_key_env", "concurrency", "timeout_s", "max_retries", "retry_pause_s", "wait_s"}
        | {"max_requests", "max_cost_usd"}
        | {"usd_per_million_input_tokens", "usd_per_million_output_tokens"}
        | {"reasoning_effort", "thought_tokens"}
    )
    home: ClassVar[str]
    """The vendor's own address."""
    url_env: ClassVar[str]
    """Environment variable that names another."""
    ours: ClassVar[frozenset[str]]
    """Fields of a request that evalkit sets itself; caps and scores depend on them."""
    vendor: ClassVar[Vendor]
    """Whose models are at `home`."""

    model: str = Field(min_length=1)
    """Name of the model on the server; a dated name keeps its meaning."""
    base_url: str
    """Where the server is."""
    api_key_env: str = Field(pattern=r"^[A-Z_][A-Z0-9_]{0,63}$")
    """Name (in capitals) of the environment variable that holds the key; never the key itself."""
    concurrency: int = Field(default=16, ge=1, le=1024)
    """Requests in flight at most.  Fewer at first and while the server is busy."""
    timeout_s: float = Field(default=300.0, gt=0)
    """Seconds for one whole answer."""
    max_retries: int = Field(default=5, ge=0, le=20)
    """New attempts after a failure that may pass (5xx, broken connection)."""
    retry_pause_s: float = Field(default=0.5, ge=0)
    """Seconds before the first new attempt; doubles with each."""
    wait_s: float = Field(default=300.0, ge=0)
    """Seconds to wait for a server that answers no request: it is down, or its limit is reached."""
    max_requests: int | None = Field(default=None, ge=0)
    """Never send more requests than this."""
    max_cost_usd: float | None = Field(default=None, ge=0)
    """Never spend more than this; needs prices."""
    usd_per_million_input_tokens: float | None = Field(default=None, ge=0)
    """Price of prompt tokens; default: the list price at the vendor's own address."""
    usd_per_million_output_tokens: float | None = Field(default=None, ge=0)
    """Price of generated tokens; default: the list price at the vendor's own address."""
    reasoning_effort: str | None = Field(default=None, min_length=1, max_length=40)
    """How much the model thinks before it answers, in the words of its API (`low`, `medium`,
    `high`, ...); unset: as the API decides."""
    thought_tokens: int = Field(default=8192, ge=0)
    """New tokens for the thought of a model that thinks, added to the limit of its reply."""
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
        if "@" in value or looks_secret(value):
            raise ValueError(
                "a URL must not hold a password or key: write the name of an environment variable "
                "in api_key_env"
            )
        return value.rstrip("/")

    @field_serializer("base_url")
    def _without_secrets(self, value: str) -> str:
        """In manifests a part of the path that looks like a secret is masked."""
        return masked_url(value)

    @field_validator("extra_body")
    @classmethod
    def _extra_only(cls, value: dict[str, Json]) -> dict[str, Json]:
        taken = sorted(cls.ours & value.keys())
        if taken:
            raise ValueError(
                f"extra_body may not set {taken[0]!r}: evalkit sets it itself; remove it"
            )
        return value

    @property
    def url(self) -> str:
        """`base_url`, else that of the environment.

        Raises:
            SuiteError: The environment variable is no URL, or holds a password.
        """
        named = os.environ.get(self.url_env, "").strip()
        if "base_url" in self.model_fields_set or not named:
            return self.base_url
        try:
            return self._plain_url(named)
        except ValueError as error:
            raise SuiteError(
                f"the environment variable {self.url_env} is not a usable URL: expected "
                f"https://HOST/v1 without a password, '?' or '#'; correct or unset it"
            ) from error

    def missing_key(self) -> str | None:
        """Name of the variable without a key, where the suite names one or the vendor is asked."""
        if os.environ.get(self.api_key_env, "").strip():
            return None
        needed = "api_key_env" in self.model_fields_set or self.url == self.home
        return self.api_key_env if needed else None

    def price(
        self, prompt_tokens: int, new_tokens: int, *, reused: int = 0, kept: int = 0
    ) -> float | None:
        """USD of one request: as the suite says, else at list price; None: unknown.

        `reused` and `kept`: of the prompt tokens, those read from and written to the vendor's
        prompt cache; at a price that the suite gives they cost what the others do.
        """
        given = (self.usd_per_million_input_tokens, self.usd_per_million_output_tokens)
        listed: tuple[float | None, float | None] = (None, None)
        if None in given and self.url == self.home:
            tokens = prompt_tokens, new_tokens
            listed = price(self.vendor, self.model, *tokens, reused=reused, kept=kept) or listed
        costs = [
            own if own_price is None else own_price * n / 1e6
            for own_price, own, n in zip(given, listed, (prompt_tokens, new_tokens), strict=True)
        ]
        return None if costs[0] is None or costs[1] is None else costs[0] + costs[1]

    @property
    def may_think(self) -> bool:
        """Whether the model may write a thought that counts as new tokens."""
        return True

    def problems(self) -> Sequence[tuple[str, str]]:
        """A cap on money without a price."""
        if self.max_cost_usd is None or self.price(0, 0) is not None:
            return ()
        return (("max_cost_usd", f"needs the price of {self.model!r}, which is {self._unknown}"),)

    def warnings(self) -> Sequence[tuple[str, str]]:
        """At the vendor's own address: a model that retires, or whose price is unknown."""
        if self.url != self.home:
            return ()
        ends = retirement(self.vendor, self.model)
        found = [] if ends is None else [("model", ends.text(self.model, date.today()))]
        if self.price(0, 0) is None and self.max_cost_usd is None:
            found.append(("model", f"the price of {self.model!r} is {self._unknown}"))
        return found

    def lacks_logprobs(self) -> str | None:
        """Why no log-probabilities can be read; None: they can be, or who knows."""
        known = without_logprobs(self.vendor, self.model, self.reasoning_effort)
        at_home = known and self.url == self.home
        return f"{self.model} gives no log-probabilities" if at_home else None

    @property
    def _unknown(self) -> str:
        return (
            f"unknown (list prices are used at {self.home} alone): write "
            f"usd_per_million_input_tokens and usd_per_million_output_tokens"
        )
