"""Counting letters: how often a letter occurs in a word.

The words are in this file; there is no data set.  One sample:

    How many times is the letter "r" in the word "strawberry"? Answer with a number.

The first number of the answer counts; an answer without one is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from evalkit.core import Flow, Json, Message, Metric, Outcome, Record, Request, Sample, Score
from evalkit.core.figures import Figure
from evalkit.core.protocols import BenchmarkContext
from evalkit.core.specs import BenchmarkSpec

__all__ = ["Counting", "CountingSpec"]

QUESTION = 'How many times is the letter "{letter}" in the word "{word}"? Answer with a number.'
WORDS = ("strawberry", "mississippi", "banana", "committee", "parallel", "bookkeeper", "riverbed")


class CountingSpec(BenchmarkSpec):
    """Counting letters."""

    type: Literal["evalkit_letters.counting"] = "evalkit_letters.counting"
    """Always `evalkit_letters.counting`."""
    max_tokens: int = Field(default=32, ge=1)
    """New tokens of an answer at most."""


class Counting:
    """One sample for each word and each of its letters."""

    judge_kind: ClassVar[Literal["pairwise", "rating"] | None] = None
    original_judge: ClassVar[str | None] = None
    version = "1"

    def __init__(self, spec: CountingSpec, context: BenchmarkContext) -> None:
        self.name = spec.entry
        self._spec = spec

    @staticmethod
    def judge_options(_: Any) -> Mapping[str, Json]:
        """Nothing is judged."""
        return {}

    def data_needs(self) -> Sequence[str]:
        """No public data."""
        return ()

    def load(self) -> None:
        """Nothing to read."""

    def samples(self) -> Sequence[Sample]:
        """In the order of the words; questions on one word are a cluster."""
        return [
            Sample(
                id=f"{word}-{letter}",
                task="counting",
                turns=(QUESTION.format(letter=letter, word=word),),
                cluster=word,
                reference=(str(word.count(letter)),),
            )
            for word in WORDS
            for letter in dict.fromkeys(word)
        ]

    def metrics(self, task: str) -> Sequence[Metric]:
        """The share of right answers."""
        return (Metric("accuracy", "percent", scale=100.0, primary=True),)

    def flow(self, sample: Sample, model: str) -> Flow[Outcome]:
        """Ask once; the first number counts."""
        prompt = (Message("user", sample.turns[0]),)
        request = Request(model, "generate", prompt, max_tokens=self._spec.max_tokens)
        (completion,) = yield [request]
        number = re.search(r"\d+", completion.text)
        right = number is not None and number[0] == sample.reference[0]
        return Outcome(
            status="ok",
            conversation=(*prompt, Message("assistant", completion.text)),
            answers=(completion.text,),
            reference=sample.reference,
            scores=(Score("accuracy", float(right)),),
            truncated=completion.truncated,
        )

    def extra_figures(self, records: Sequence[Record], level: float) -> Sequence[Figure]:
        """None besides the mean."""
        return ()

    def describe(self) -> Mapping[str, Json]:
        """All that decides a score: change `version` when the rule for answers changes."""
        return {
            "type": self._spec.type,
            "version": self.version,
            "words": list(WORDS),
            "max_tokens": self._spec.max_tokens,
        }

    def nominal_requests(self) -> int | None:
        """One a sample."""
        return len(self.samples())
