"""What requests to an API will cost: what to expect, and what they cannot exceed.

A prompt is not tokenised here, since an API's tokenizer is rarely known.  Its words, digits, marks
and line ends are counted (`pieces`), as every byte-pair tokenizer divides a text before it merges;
stored replies of the same API say how many tokens that is.  The weights are of OpenAI's cl100k and
o200k, Anthropic's published one and SmolLM2's on answers to AlpacaEval, MT-Bench, WildBench,
JudgeBench and MultiChallenge: a piece has 0.92 to 1.04 tokens there, and for one tokenizer and one
benchmark 40 replies tell that of the rest to 3%.  Texts in other scripts than Latin have more.

An answer that does not exist yet has a stand-in, made of two characters of Unicode's private use
area, one for what is expected and one for the most; later prompts quote them, and are counted with
what they stand for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from evalkit.core import Completion, Request
from evalkit.core.protocols import Metered

__all__ = ["Estimate", "Estimator", "pieces", "stand_in", "without_stand_ins"]

EXPECTED, MOST = "\ue0f0", "\ue0f1"
UNIT: Final = 16
"""Tokens that one character of a stand-in stands for."""
BYTES_PER_TOKEN: Final = 16
"""Of the longest answers, on average; runs of spaces alone have more."""
ANSWER_TOKENS: Final = 350
"""To expect of an answer where none is stored: the mean of AlpacaEval's and MT-Bench's."""
REPLY_TOKENS: Final = 250
"""To expect of an API's reply where none is stored."""
MESSAGE_TOKENS: Final = 4
"""That a chat format adds around a message (OpenAI's three and a role)."""
REUSED_FROM: Final = 1024
"""Tokens: no provider's prompt cache keeps a shorter prefix."""
ENOUGH: Final = 5
"""Stored replies from which tokens per piece are measured."""

_PIECE = re.compile(r" ?[^\W\d_]+|\d| ?(?:[^\w\s]|_)+\n*|\s*\n+|\s+(?!\S)|\s+")
_STAND_IN = re.compile(f"[{EXPECTED}{MOST}]+")


class _Weights(dict[str, float]):
    """About how many tokens a piece has, computed once a piece."""

    def __missing__(self, piece: str) -> float:
        visible = piece.strip()
        size = len(visible.encode("utf-8", "surrogatepass"))
        if visible[:1].isalpha():
            weight = 1 + max(0, size - 8) * 0.075
        else:
            weight = 1.5 if visible and not visible[0].isdigit() else 0.65
        self[piece] = weight
        return weight


_WEIGHTS = _Weights()


def pieces(text: str) -> float:
    """About as many as an English text has tokens: see above."""
    return sum(map(_WEIGHTS.__getitem__, _PIECE.findall(text)), 0.0)


def stand_in(request: Request) -> Completion:
    """In place of an answer that does not exist yet."""
    if request.kind != "generate":
        return Completion(logprob=-1.0, is_greedy=False)
    expected = min(request.max_tokens, ANSWER_TOKENS)
    return Completion(
        EXPECTED * math.ceil(expected / UNIT) + MOST * math.ceil(request.max_tokens / UNIT)
    )


def without_stand_ins(request: Request) -> Request:
    """The request with empty answers in their place."""
    if isinstance(request.prompt, str):
        plain = _STAND_IN.sub("", request.prompt)
        return request if plain == request.prompt else replace(request, prompt=plain)
    if not any(_STAND_IN.search(m.content) for m in request.prompt):
        return request
    messages = [replace(m, content=_STAND_IN.sub("", m.content)) for m in request.prompt]
    return replace(request, prompt=tuple(messages))


@dataclass(frozen=True)
class Estimate:
    """Requests of one engine that are not answered yet; each is taken to be sent once."""

    engine: str
    requests: int
    prompt_tokens: int
    """Expected."""
    new_tokens: int
    reused_tokens: int
    """Of the prompt tokens, those in the provider's prompt cache."""
    usd: float | None
    """Expected, in the mode the suite says; None: the price is unknown."""
    usd_batch: float | None
    """The same with `mode: batch`; None: the API has no batches, or the price is unknown."""
    most_prompt_tokens: int
    most_new_tokens: int
    most_usd: float | None
    """Not exceeded, but for replies that are lost and paid for twice; a cap holds over those,
    too."""
    assumptions: tuple[str, ...]


class Estimator:
    """Collects one engine's requests."""

    def __init__(self, name: str, engine: Metered) -> None:
        self._name, self._engine = name, engine
        self._new: dict[str, Request] = {}
        """By key; the same request is sent once.  With a stand-in, keys say nothing."""
        self._replies: list[Completion] = []
        self._stored_pieces = self._stored_tokens = 0.0

    @property
    def used(self) -> bool:
        """Whether there was any request."""
        return bool(self._new or self._replies)

    def add(self, request: Request, key: str, reply: Completion | None) -> None:
        """Count a request; `reply`: as stored."""
        if reply is None:
            unknown = without_stand_ins(request) != request
            self._new[f"{key}:{len(self._new)}" if unknown else key] = request
            return
        self._replies.append(reply)
        if reply.prompt_tokens:
            self._stored_pieces += _size(request)[0]
            self._stored_tokens += reply.prompt_tokens

    def result(self) -> Estimate:
        """What was collected."""
        requests = sorted(self._new.values(), key=_text)
        sizes = [_size(request) for request in requests]
        measured = sum(1 for reply in self._replies if reply.prompt_tokens) >= ENOUGH
        ratio = self._engine.tokens_per_piece
        if measured:
            ratio = self._stored_tokens / self._stored_pieces
        prompts = [round(ratio * known + unknown) for known, unknown in sizes]
        reused = [
            round(ratio * shared) if ratio * shared >= REUSED_FROM else 0
            for shared in _shared(requests)
        ]
        replies = [self._expected_reply(request) for request in requests]
        most = [self._most(request) for request in requests]
        live, batch = self._engine.batched or False, self._engine.batched is not None
        rows = list(zip(prompts, replies, reused, strict=True))

        def total(batched: bool) -> float | None:
            price = self._engine.price
            return _sum([price(p, n, reused=r, batched=batched) for p, n, r in rows])

        return Estimate(
            engine=self._name,
            requests=len(requests),
            prompt_tokens=sum(prompts),
            new_tokens=sum(replies),
            reused_tokens=sum(reused),
            usd=total(batched=live),
            usd_batch=total(batched=True) if batch else None,
            most_prompt_tokens=sum(p for p, _ in most),
            most_new_tokens=sum(n for _, n in most),
            # Requests that a batch leaves over are sent live.
            most_usd=_sum([self._engine.price(p, n, kept=p) for p, n in most]),
            assumptions=tuple(self._assumptions(requests, measured=measured)),
        )

    def _expected_reply(self, request: Request) -> int:
        found = [reply.completion_tokens for reply in self._replies if reply.completion_tokens]
        expected = sum(found) / len(found) if found else REPLY_TOKENS
        return min(round(expected), self._engine.most_tokens(request)[1])

    def _most(self, request: Request) -> tuple[int, int]:
        prompt, reply = self._engine.most_tokens(without_stand_ins(request))
        return prompt + _text(request).count(MOST) * UNIT * BYTES_PER_TOKEN, reply

    def _assumptions(self, requests: Sequence[Request], *, measured: bool) -> list[str]:
        n = len(self._replies)
        said = []
        if any(without_stand_ins(request) != request for request in requests):
            said.append(
                f"an answer that is not there yet has {ANSWER_TOKENS} tokens, and at most its "
                f"limit of tokens with {BYTES_PER_TOKEN} bytes each"
            )
        if measured:
            ratio = self._stored_tokens / self._stored_pieces
            said.append(f"prompt tokens as in {n} stored requests ({ratio:.2f} a word or mark)")
        else:
            said.append("prompt tokens by words and marks, 10% more or less")
        if any(reply.completion_tokens for reply in self._replies):
            said.append(f"replies as long as {n} stored ones")
        else:
            said.append(f"replies of {REPLY_TOKENS} tokens")
        return [*said, "each request is sent once"]


def _text(request: Request) -> str:
    if isinstance(request.prompt, str):
        return request.prompt
    return "\n".join(message.content for message in request.prompt)


def _size(request: Request) -> tuple[float, int]:
    """Pieces of what is known, with its chat format; expected tokens of what stands in."""
    messages = 1 if isinstance(request.prompt, str) else len(request.prompt)
    known = pieces(_text(without_stand_ins(request))) + MESSAGE_TOKENS * messages
    return known, _text(request).count(EXPECTED) * UNIT


def _shared(requests: Sequence[Request]) -> list[float]:
    """Pieces that each request begins with like the one before it; they are sorted."""
    texts = [_text(request) for request in requests]
    return [0.0, *(pieces(a[: _common(a, b)]) for a, b in pairwise(texts))][: len(texts)]


def _common(a: str, b: str) -> int:
    """Length of the longest common prefix, by bisection: Python's loop takes 50 times as long."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _sum(prices: Sequence[float | None]) -> float | None:
    known = [price for price in prices if price is not None]
    return math.fsum(known) if len(known) == len(prices) else None
