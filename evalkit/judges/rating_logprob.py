"""A rating from 1 to 10, read from the probabilities of the ten ratings as text.

Source: the protocol is evalkit's own; the expected value over rating tokens follows G-Eval
(Liu et al. 2023, arXiv:2303.16634, section 2).
Format: one chat turn, a reply prefilled up to `Rating: [[`, and the log-probability of each
continuation `1]]` ... `10]]`:

    value = sum over n of n * P(n) / (sum over n of P(n)),  1 to 10

The closing brackets are part of each continuation: `1` begins `10` in some tokenizers and is
another token than `10` in others, while no continuation with brackets begins another one, so
the ten are exclusive events whatever the tokenizer does.

Departure from MT-Bench's judge: own prompt, no written reasons, a fraction instead of a whole
number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from evalkit.core import Flow, Json, Judgment, Message, Request
from evalkit.core.specs import JudgeSpec
from evalkit.judges._prompt import (
    conversation_question,
    exchange,
    probe_hash,
    rating_judgment,
)

__all__ = ["RatingLogprob"]

PREFILL = "Rating: [["
RATINGS = tuple(range(1, 11))


class RatingLogprob:
    """Rates an answer by the expected value over the ten ratings."""

    protocol = "rating_logprob"

    def __init__(self, name: str, engine: str, spec: JudgeSpec) -> None:
        """`spec` is unused: its settings are those of written replies."""
        del spec
        self.name = name
        self._engine = engine

    def rate(
        self, conversation: Sequence[Message], reference: Sequence[str], part: str
    ) -> Flow[Judgment]:
        """One yield of ten requests; unparsable where the engine gives no probabilities."""
        prompt = _prompt(conversation, reference)
        replies = yield [
            Request(self._engine, "loglikelihood", prompt, continuation=f"{rating}]]")
            for rating in RATINGS
        ]
        logprobs = [reply.logprob for reply in replies]
        named = [(str(n), logprob) for n, logprob in zip(RATINGS, logprobs, strict=True)]
        return rating_judgment(
            self.name,
            self.protocol,
            part,
            _expected(logprobs),
            exchange(prompt, named),
            "the judge gave no probability to the ratings; expected log-probabilities of '1]]' "
            "to '10]]': use an engine that returns them, or `protocol: text`",
        )

    def describe(self) -> Mapping[str, Json]:
        """Protocol and prompt; there are no settings."""
        return {"protocol": self.protocol, "prompt_sha256": probe_hash(_prompt)}


def _prompt(conversation: Sequence[Message], reference: Sequence[str]) -> tuple[Message, ...]:
    text = f"{conversation_question(conversation, reference)} Reply in the form Rating: [[number]]."
    return (Message("user", text), Message("assistant", PREFILL))


def _expected(logprobs: Sequence[float | None]) -> float | None:
    """Expected rating from the ten log-probabilities; None where one is unknown or all are -inf."""
    known = [p for p in logprobs if p is not None]
    if len(known) < len(RATINGS) or max(known) == -math.inf:
        return None
    weights = [math.exp(p - max(known)) for p in known]
    mean = sum(n * w for n, w in zip(RATINGS, weights, strict=True)) / sum(weights)
    return min(max(mean, 1.0), 10.0)
