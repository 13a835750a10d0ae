"""Models behind the vendors' own APIs: when they retire, what replaces them, what a request costs.

Retirements are those of the vendors' deprecation pages (`PAGES`, as public copies had them up to
`AS_OF`), of models that judge or might; prices are those of the kept package `genai_prices`.  Both
are of the vendor's own address alone: who else serves a model sets other dates and prices.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeAlias

__all__ = ["AS_OF", "Vendor", "price", "retirement", "without_logprobs"]

Vendor: TypeAlias = Literal["openai", "anthropic", "google"]
"""As `genai_prices` calls them."""

AS_OF = date(2026, 11, 30)
NAMES: Mapping[Vendor, str] = {"openai": "OpenAI", "anthropic": "Anthropic", "google": "Google"}
PAGES: Mapping[Vendor, str] = {
    "openai": "https://developers.openai.com/api/docs/deprecations",
    "anthropic": "https://platform.claude.com/docs/en/about-claude/model-deprecations",
    "google": "https://ai.google.dev/gemini-api/docs/deprecations",
}


@dataclass(frozen=True)
class Retirement:
    """Models that stop answering on one day, and what their vendor names in their place."""

    vendor: Vendor
    on: date
    models: tuple[str, ...]
    instead: str = ""
    """Empty: nothing named, or something that has retired since."""

    def text(self, model: str, today: date) -> str:
        """That `model` has retired or will, what to use, and how old the table is."""
        tense = "retired" if self.on <= today else "retires"
        instead = (
            f"use {self.instead} in its place" if self.instead else f"see {PAGES[self.vendor]}"
        )
        return f"{model!r} {tense} on {self.on} ({NAMES[self.vendor]}, as of {AS_OF}); {instead}"


RETIREMENTS = (
    Retirement(
        "openai",
        date(2026, 10, 23),
        (
            *("gpt-4", "gpt-4-0613", "gpt-4-1106-preview", "gpt-4-turbo"),
            *("gpt-4-turbo-2024-04-09", "gpt-4o-2024-05-13"),
            *("o1", "o1-2024-12-17", "o3-mini", "o3-mini-2025-01-31"),
        ),
        "gpt-5.6-sol",
    ),
    Retirement(
        "openai",
        date(2026, 10, 23),
        ("gpt-3.5-turbo", "gpt-3.5-turbo-0125", "o4-mini", "o4-mini-2025-04-16"),
        "gpt-5.6-terra",
    ),
    Retirement(
        "openai", date(2026, 10, 23), ("gpt-4.1-nano", "gpt-4.1-nano-2025-04-14"), "gpt-5.6-luna"
    ),
    Retirement("openai", date(2026, 12, 11), ("gpt-5", "gpt-5-2025-08-07"), "gpt-6.1-sol"),
    Retirement("openai", date(2026, 12, 11), ("o3", "o3-2025-04-16"), "gpt-5.6-sol"),
    Retirement(
        "openai", date(2026, 12, 11), ("gpt-5-mini", "gpt-5-mini-2025-08-07"), "gpt-6.1-terra"
    ),
    Retirement(
        "openai", date(2026, 12, 11), ("gpt-5-nano", "gpt-5-nano-2025-08-07"), "gpt-5.6-luna"
    ),
    Retirement(
        "openai",
        date(2027, 1, 14),
        (
            *("gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-2024-11-20"),
            *("gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
            *("gpt-4.1", "gpt-4.1-2025-04-14", "gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"),
        ),
        "gpt-6-luna",
    ),
    Retirement("openai", date(2027, 4, 1), ("gpt-5.1", "gpt-5.1-2025-11-13", "gpt-5.4-nano")),
    Retirement(
        "anthropic",
        date(2025, 7, 21),
        ("claude-2.0", "claude-2.1", "claude-3-sonnet-20240229"),
    ),
    Retirement(
        "anthropic",
        date(2025, 10, 28),
        ("claude-3-5-sonnet-20240620", "claude-3-5-sonnet-20241022"),
    ),
    Retirement("anthropic", date(2026, 1, 5), ("claude-3-opus-20240229",)),
    Retirement("anthropic", date(2026, 2, 19), ("claude-3-7-sonnet-20250219",)),
    Retirement(
        "anthropic",
        date(2026, 6, 15),
        ("claude-sonnet-4-20250514", "claude-sonnet-4-0"),
        "claude-sonnet-4-6",
    ),
    Retirement(
        "anthropic",
        date(2026, 6, 15),
        ("claude-opus-4-20250514", "claude-opus-4-0"),
        "claude-opus-4-8",
    ),
    Retirement("anthropic", date(2026, 8, 5), ("claude-opus-4-1-20250805", "claude-opus-4-1")),
    Retirement(
        "anthropic",
        date(2027, 1, 22),
        ("claude-opus-4-5-20251101", "claude-opus-4-5"),
        "claude-opus-5-5",
    ),
    Retirement("google", date(2026, 3, 9), ("gemini-3-pro-preview",), "gemini-3.1-pro-preview"),
    Retirement(
        "google",
        date(2026, 6, 1),
        (
            *("gemini-2.0-flash", "gemini-2.0-flash-001"),
            *("gemini-2.0-flash-lite", "gemini-2.0-flash-lite-001"),
        ),
    ),
    Retirement("google", date(2026, 12, 1), ("gemini-2.5-pro",), "gemini-3.8-flash"),
    Retirement("google", date(2026, 12, 1), ("gemini-2.5-flash",), "gemini-3.5-flash-lite"),
)
_BY_MODEL = {(one.vendor, model): one for one in RETIREMENTS for model in one.models}
_REASONING = re.compile(r"o\d|gpt-([5-9]|\d\d)")
"""OpenAI's models that think, and while they do give no log-probabilities
(https://developers.openai.com/api/docs/guides/latest-model)."""


def retirement(vendor: Vendor, model: str) -> Retirement | None:
    """Of a model at its vendor's own address; None: none is announced, or none known."""
    return _BY_MODEL.get((vendor, model))


def without_logprobs(vendor: Vendor, model: str, reasoning_effort: str | None) -> bool:
    """Whether the model is known to give no log-probabilities of its tokens.

    Anthropic's API has none at all.
    """
    thinks = _REASONING.match(model) is not None and reasoning_effort != "none"
    return vendor == "anthropic" or (vendor == "openai" and thinks)


def price(
    vendor: Vendor,
    model: str,
    prompt_tokens: int,
    new_tokens: int,
    *,
    reused: int = 0,
    kept: int = 0,
) -> tuple[float, float] | None:
    """USD of one request's prompt and of its reply, at today's list price; None: unknown.

    Per request, since prices rise with a prompt's length.

    Args:
        vendor: Whose own address is asked.
        model: As the vendor calls it.
        prompt_tokens: All of them.
        new_tokens: Of the reply, its thought among them.
        reused: Prompt tokens that are in the vendor's prompt cache.
        kept: Prompt tokens that are written to it, which costs more.
    """
    from genai_prices import Usage, calc_price

    usage = Usage(
        input_tokens=prompt_tokens,
        cache_read_tokens=reused,
        cache_write_tokens=kept,
        output_tokens=new_tokens,
    )
    try:
        found = calc_price(usage, model_ref=model, provider_id=vendor)
    except LookupError:
        return None
    return float(found.input_price), float(found.output_price)
