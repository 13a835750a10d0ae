"""Which of two answers is better, as the judge writes it.

Source: evalkit's own protocol and prompt.
Format: one chat turn; the reply may reason and must hold one verdict, `[[A]]`, `[[B]]` or
`[[C]]` for a tie.  Two verdicts (even equal ones), none, or another letter make the judgment
unparsable; a verdict that also stands in the judged texts does not count.  Both orders are sent at
once; a vote is 1, 0.5 or 0 for the answer, the value their mean.

Departures from alpaca_eval's judges: own prompt and reply format, both orders instead of one drawn
at random, ties allowed.  Its own prompts are data of the alpaca_eval package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from evalkit.core import Flow, Json, Judgment, Message
from evalkit.core.specs import JudgeSpec
from evalkit.judges._prompt import (
    LONGEST_REPLY,
    NOTHING,
    Material,
    pair_judgment,
    pair_question,
    prompt_hash,
    replied,
    unparsable,
    why_unparsable,
    written,
)

__all__ = ["PairwiseText"]

_VERDICT = re.compile(r"\[\[\s*(\w+)\s*\]\]")
_SHARE_OF_A = {"A": 1.0, "C": 0.5, "B": 0.0}


class PairwiseText:
    """Prefers one of two answers by a written verdict."""

    protocol = "pairwise_text"

    def __init__(self, name: str, engine: str, spec: JudgeSpec) -> None:
        self.name = name
        self._engine = engine
        self._spec = spec

    def compare(self, instruction: str, answer: str, reference: str) -> Flow[Judgment]:
        """Both orders in one yield of two requests; unparsable where either verdict is."""
        orders = (_prompt(instruction, answer, reference), _prompt(instruction, reference, answer))
        replies = yield [written(self._engine, prompt, self._spec) for prompt in orders]
        exchanges = tuple(map(replied, orders, replies))
        first, second = (
            _read(reply.text, Material(instruction, answer, reference, prompt=prompt))
            for prompt, reply in zip(orders, replies, strict=True)
        )
        if first is None or second is None:
            without = {"first": first, "second": second}
            which = [name for name, vote in without.items() if vote is None]
            error = why_unparsable(
                [r for r, vote in zip(replies, without.values(), strict=True) if vote is None],
                _read,
                self._spec.judge_max_tokens,
                f"no single verdict in the {' and '.join(which)} reply; expected exactly one of "
                f"[[A]], [[B]] and [[C]]: read the replies in the record",
            )
            return unparsable(self.name, self.protocol, exchanges, error)
        return pair_judgment(self.name, self.protocol, (first, 1 - second), exchanges)

    def describe(self) -> Mapping[str, Json]:
        """Protocol, prompt and the settings of the written reply."""
        return {
            "protocol": self.protocol,
            "prompt_sha256": prompt_hash(_prompt("instruction", "first", "second")),
            "max_tokens": self._spec.judge_max_tokens,
            "temperature": self._spec.judge_temperature,
        }


def _prompt(instruction: str, first: str, second: str) -> tuple[Message, ...]:
    text = (
        f"{pair_question(instruction, first, second)} Give your reasons in a few sentences. "
        "Then end with exactly one verdict: [[A]], [[B]], or [[C]] for a tie."
    )
    return (Message("user", text),)


def _read(reply: str, material: Material = NOTHING) -> float | None:
    """The share of A (1, 0.5, 0); None where there is not exactly one verdict of its own."""
    if len(reply) > LONGEST_REPLY:
        return None
    found = list(material.own(_VERDICT.finditer(reply)))
    return _SHARE_OF_A.get(found[0].group(1)) if len(found) == 1 else None
