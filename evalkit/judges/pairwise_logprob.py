"""Which of two answers is better, read from the probabilities of the letters A and B.

Source: the protocol is evalkit's own; preferences from token probabilities instead of a written
verdict are AlpacaEval 2's idea (Dubois et al. 2024, arXiv:2404.04475).
Format: one chat turn with question and answers, a prefilled reply, and the log-probability of
each letter as its next token.  Both orders are sent at once:

    preference = P(letter of the answer) / (P(A) + P(B)),   value = mean over both orders

Departures from alpaca_eval's weighted judge: the prompt is our own, letters are `A` and `B`,
both orders are sent instead of one drawn at random (so position bias cancels and can be
measured), and both letters always have a probability; upstream scores even a missing one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from evalkit.core import Flow, Json, Judgment, Message, Request
from evalkit.core.specs import JudgeSpec
from evalkit.judges._prompt import (
    exchange,
    pair_judgment,
    pair_question,
    prompt_hash,
    unparsable,
)

__all__ = ["PairwiseLogprob"]

PREFILL = "The better answer is answer"
# The space belongs to the letter: tokenizers join the two into one token.
LETTERS = (" A", " B")


class PairwiseLogprob:
    """Prefers one of two answers by the probabilities of its next token."""

    protocol = "pairwise_logprob"

    def __init__(self, name: str, engine: str, spec: JudgeSpec) -> None:
        """`spec` is unused: its settings are those of written replies."""
        del spec
        self.name = name
        self._engine = engine

    def compare(self, instruction: str, answer: str, reference: str) -> Flow[Judgment]:
        """Both orders in one yield of four requests.

        Unparsable where the engine gives no probability, or none above zero, to both letters.
        """
        orders = (_prompt(instruction, answer, reference), _prompt(instruction, reference, answer))
        replies = yield [
            Request(self._engine, "loglikelihood", prompt, continuation=letter)
            for prompt in orders
            for letter in LETTERS
        ]
        a1, b1, a2, b2 = (reply.logprob for reply in replies)
        exchanges = (
            exchange(orders[0], [("A", a1), ("B", b1)]),
            exchange(orders[1], [("A", a2), ("B", b2)]),
        )
        first, second = _share_of_a(a1, b1), _share_of_a(a2, b2)
        if first is None or second is None:
            return unparsable(
                self.name,
                self.protocol,
                exchanges,
                "the judge gave no probability to either letter; expected log-probabilities of "
                "' A' and ' B': use an engine that returns them, or `protocol: text`",
            )
        return pair_judgment(self.name, self.protocol, (first, 1 - second), exchanges)

    def describe(self) -> Mapping[str, Json]:
        """Protocol and prompt; there are no settings."""
        return {
            "protocol": self.protocol,
            "prompt_sha256": prompt_hash(_prompt("instruction", "first", "second")),
        }


def _prompt(instruction: str, first: str, second: str) -> tuple[Message, ...]:
    text = f"{pair_question(instruction, first, second)} Reply with the letter A or B."
    return (Message("user", text), Message("assistant", PREFILL))


def _share_of_a(a: float | None, b: float | None) -> float | None:
    """P(A) / (P(A) + P(B)) from log-probabilities, as a logistic of their difference."""
    if a is None or b is None or max(a, b) == -math.inf:
        return None
    return 1 / (1 + math.exp(min(b - a, 700.0)))
