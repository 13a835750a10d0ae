"""What passes between the policy of all APIs (`_remote`) and the vendors' files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from evalkit.core import Json, Message, Request
from evalkit.errors import RequestFailed

TOKENS_PER_MESSAGE = 16
"""More than any chat format adds around a message."""
MOST_TOKENS = 10**9
"""A larger count of one answer is taken for an error of the server."""


@dataclass(frozen=True)
class Prepared:
    """A request as it is sent to this server."""

    request: Request
    parameters: Mapping[str, Json]
    """The API's fields."""
    changed: tuple[str, ...]
    """What was left out or renamed (see `Completion.changed`)."""
    room: int
    """New tokens that were added for the thought."""
    most_tokens: tuple[int, int]
    """(Prompt tokens, new tokens) at most."""

    @property
    def form(self) -> frozenset[str]:
        """The fields without their values."""
        return frozenset(self.parameters)

    @property
    def tokens(self) -> int:
        """To expect of a limit a minute: about four bytes of prompt each, and all new ones."""
        return self.most_tokens[0] // 4 + self.most_tokens[1]


@dataclass(frozen=True)
class Parsed:
    """What a reply says."""

    text: str
    """May begin with a thought between marks."""
    cut: bool = False
    """It ended because a limit of tokens was reached."""
    refused: str | None = None
    """Why there is no answer; None where there is one."""
    thought: str = ""
    """What the server returned apart from the text."""
    top_logprobs: tuple[tuple[str, float], ...] = ()
    usage: tuple[int, int] | None = None
    """(Prompt tokens, new tokens); None where the server gave none, or impossible ones."""
    thought_tokens: int = 0
    reused_tokens: int = 0
    kept_tokens: int = 0
    """Of the prompt tokens, those written to the vendor's prompt cache."""


@dataclass
class Dialect:
    """What one server refuses of one model, learned from its errors."""

    left_out: set[str] = field(default_factory=set)
    renamed: dict[str, str] = field(default_factory=dict)
    needed: dict[str, RequestFailed] = field(default_factory=dict)
    """Fields that no request can do without, and how those that have them fail."""
    folds_system: bool = False
    """A system message is sent at the head of the first user message."""
    thinks: bool = False
    """New tokens are spent on a thought before the answer."""
    room: int = 0
    """How many may be, where it thinks."""
    aloud: bool = False
    """The thought is in the text, where stop strings would end it: they are applied here only."""


def has_system(request: Request) -> bool:
    """Whether the conversation has a system message."""
    return not isinstance(request.prompt, str) and any(m.role == "system" for m in request.prompt)


def folded(request: Request) -> Request:
    """With its system messages at the head of the first user message."""
    assert not isinstance(request.prompt, str)
    system = "\n\n".join(m.content for m in request.prompt if m.role == "system")
    rest = [m for m in request.prompt if m.role != "system"]
    at = next((n for n, m in enumerate(rest) if m.role == "user"), None)
    if at is None:
        return replace(request, prompt=(Message("user", system), *rest))
    rest[at] = Message("user", f"{system}\n\n{rest[at].content}")
    return replace(request, prompt=tuple(rest))


def most_prompt_tokens(request: Request) -> int:
    """No byte-level tokenizer makes more tokens than there are bytes."""
    if isinstance(request.prompt, str):
        return _size(request.prompt) + TOKENS_PER_MESSAGE
    texts = [m.content for m in request.prompt]
    return sum(_size(text) + TOKENS_PER_MESSAGE for text in texts) + TOKENS_PER_MESSAGE


def _size(text: str) -> int:
    """Bytes; half a surrogate pair has three, as the U+FFFD that is sent for it."""
    return len(text.encode("utf-8", "surrogatepass"))


def chat_only(request: Request, api: str) -> tuple[Message, ...]:
    """The conversation of a request.

    Raises:
        RequestFailed: It is for something that this API, which has conversations only, cannot do.
    """
    if request.kind != "generate" or isinstance(request.prompt, str):
        what = "continue raw text" if request.kind == "generate" else f"score ({request.kind}) text"
        raise RequestFailed(
            "excluded",
            f"{api} takes conversations and cannot {what}; serve this model with engine type vllm "
            f"or transformers, or choose benchmarks with conversations",
        )
    return request.prompt


def an_object(value: Any, name: str) -> dict[str, Any]:
    """`value`, an object of the reply.  Raises TypeError."""
    if not isinstance(value, dict):
        raise TypeError(f"{name} is no object")
    return value


def objects(value: Any, name: str) -> list[dict[str, Any]]:
    """`value`, a list of objects of the reply.  Raises TypeError."""
    if not isinstance(value, list):
        raise TypeError(f"{name} is no list")
    return [an_object(item, f"a part of {name}") for item in value]


def tokens(counts: Any, name: str) -> int | None:
    """A number of tokens; None for what cannot be one (NaN and infinity compare as such)."""
    value = counts.get(name) if isinstance(counts, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return math.ceil(value) if 0 <= value <= MOST_TOKENS else None
