"""Requests to engines, their completions, and the flows that send one and receive the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import Field

from evalkit.errors import RequestFailed

if TYPE_CHECKING:
    from pydantic import ConfigDict

__all__ = [
    "STORED",
    "Completion",
    "Flow",
    "Job",
    "Json",
    "Level",
    "Message",
    "Moderate",
    "Observer",
    "Rendered",
    "Reply",
    "Request",
]

Json: TypeAlias = Any
"""What `json.dumps` takes: None, bool, int, finite float, str, list or str-keyed dict of these."""

Moderate: TypeAlias = Annotated[float, Field(ge=-1e60, le=1e60)]
"""A number whose squares, and sums of these, are numbers still."""
Level: TypeAlias = Annotated[float, Field(gt=0, lt=1)]
"""Of confidence."""
STORED: ConfigDict = {"extra": "forbid", "allow_inf_nan": False}
"""How stored dataclasses are read and written: no unknown fields, no NaN (strictness is the
codec's)."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    __pydantic_config__ = STORED

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One request to one engine.  Equal requests get equal answers (same `trial`)."""

    engine: str
    """Which engine answers: a model's or a judge's name."""
    kind: Literal["generate", "loglikelihood", "rolling"]
    """`generate` text; score a `continuation` given the prompt; score all of the prompt."""
    prompt: str | tuple[Message, ...]
    """Raw text, or a conversation for the chat template.  A conversation that ends with an
    assistant message is continued (that message is a prefill), else a new turn is opened."""
    continuation: str = ""
    """`loglikelihood` only: the text whose log-probability is wanted."""
    max_tokens: int = 512
    """`generate` only: new tokens at most."""
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    """Sampling is from the likeliest tokens that together have this probability, 0 to 1."""
    stop: tuple[str, ...] = ()
    """Generation ends before the first of these; the stop string is not part of the text."""
    seed: int | None = None
    """Sampling seed; None where temperature is 0 or the engine has none."""
    top_logprobs: int = 0
    """How many alternatives of the first new token to return with their log-probabilities."""
    trial: int = 0
    """Repetition number: the same request, generated anew."""
    top_logprobs_at: Literal["first", "last"] = "first"
    """Which new token's alternatives are returned."""
    tool: str = ""
    """JSON of a function that the reply must call, as an entry of OpenAI's `tools`; the reply's
    text is then the call's arguments.  Empty: none."""
    own_settings: bool = False
    """`generate` only: what the request leaves open (repetition_penalty, min_p, ...) is as the
    model's generation_config.json says, where the model is loaded here; servers apply their own."""
    expected_tokens: int | None = field(default=None, compare=False)
    """`generate` only: tokens to expect of this answer and of the turns that wait for it; a
    benchmark gives their maximum.  Used to order work; never decides an answer, so it is in no
    cache key.  None: `max_tokens` counts."""


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer to one request."""

    __pydantic_config__ = STORED

    text: str = ""
    """Generated text (`generate`): the answer, without thought, stop string and special tokens."""
    logprob: float | None = None
    """Natural log-probability of the continuation (`loglikelihood`) or the prompt (`rolling`)."""
    is_greedy: bool | None = None
    """`loglikelihood`: every continuation token was the most likely one."""
    truncated: bool = False
    """Generation ended because `max_tokens` (or the model's window) was reached."""
    top_logprobs: tuple[tuple[str, float], ...] = ()
    """(token text, log-probability) at the first position, most likely first."""
    prompt_tokens: int = 0
    """Tokens of prompt and continuation; 0 where the server does not count."""
    completion_tokens: int = 0
    """New tokens (`generate`); 0 where the server does not count."""
    reused_tokens: int = 0
    """Of the prompt tokens, how many came from a shared prefix already computed."""
    cost_usd: float = 0.0
    """0 for engines that cost nothing per request."""
    thought: str = ""
    """What the model wrote before its answer, between the marks of a thought or in the server's own
    field for it.  Never scored, judged, measured or sent back."""
    thought_tokens: int = 0
    """Of the new tokens, those of the thought; 0 where nobody counts them."""
    unfinished: bool = False
    """The thought did not end (where a limit cut it, `truncated` holds, too): there is no
    answer."""
    changed: tuple[str, ...] = ()
    """Settings of the request that the server refuses, so that they were left out or renamed, as
    `temperature: left out`."""
    from_cache: bool = False
    """True where a stored answer was used; never stored itself."""


Reply: TypeAlias = Completion | RequestFailed
Job: TypeAlias = tuple[int, Request]
"""A request with the ticket its reply comes back under."""

T = TypeVar("T")
Flow: TypeAlias = Generator[Sequence[Request], Sequence[Completion], T]
"""Yields requests, receives one completion for each in the same order, returns a value.
Does no I/O.  A failed request is thrown into it as `RequestFailed`."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A request as the model sees it."""

    text: str
    """Prompt with special tokens spelled out."""
    prompt_ids: tuple[int, ...]
    continuation_ids: tuple[int, ...] = ()
    """`loglikelihood` only."""
    bos: Literal["one", "doubled", "missing", "none"] = "none"
    """How often the prompt begins with the BOS token; `none`: this tokenizer uses none."""


Observer: TypeAlias = Callable[[Any, Request, Reply], None]
"""Called with every reply as it arrives and the key of the flow that sent the request (for
progress and token counts); must be quick."""
