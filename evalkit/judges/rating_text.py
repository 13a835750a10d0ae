"""A rating from 1 to 10, as the judge writes it.

Source: FastChat's MT-Bench judge (Zheng et al. 2023, arXiv:2306.05685;
`fastchat.llm_judge.common.run_judge_single`).  The prompt here is evalkit's own; FastChat's
prompts are data.
Format: one chat turn; the reply explains and ends with `[[7]]` or `[[7.5]]`.
Parsing is FastChat's, as for published MT-Bench scores: the first `[[number]]`, else the first
`[number]`.  So the first of several ratings counts, where evalkit's other protocols would call the
reply unparsable.

Departures: a number outside 1 to 10, and one that stops FastChat's parser (`[[08]]`), make the
judgment unparsable; FastChat scores the former unchanged.  A rating that also stands in the judged
texts is not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.core import Flow, Json, Judgment, Message
from evalkit.core.specs import JudgeSpec
from evalkit.judges._prompt import (
    Material,
    conversation_question,
    probe_hash,
    rating_judgment,
    replied,
    why_unparsable,
    written,
)
from evalkit.judges.rating_fastchat import read_rating

__all__ = ["RatingText"]


class RatingText:
    """Rates an answer by a number in a written reply."""

    protocol = "rating_text"

    def __init__(self, name: str, engine: str, spec: JudgeSpec) -> None:
        self.name = name
        self._engine = engine
        self._spec = spec

    def rate(
        self, conversation: Sequence[Message], reference: Sequence[str], part: str
    ) -> Flow[Judgment]:
        """One request; unparsable without a rating from 1 to 10."""
        prompt = _prompt(conversation, reference)
        (reply,) = yield [written(self._engine, prompt, self._spec)]
        texts = (message.content for message in conversation)
        material = Material(*texts, *reference, prompt=prompt)
        error = why_unparsable(
            [reply],
            read_rating,
            self._spec.judge_max_tokens,
            "no rating in the reply; expected [[n]] with n from 1 to 10: read the reply in the "
            "record",
        )
        return rating_judgment(
            self.name,
            self.protocol,
            part,
            read_rating(reply.text, material),
            replied(prompt, reply),
            error,
        )

    def describe(self) -> Mapping[str, Json]:
        """Protocol, prompt and the settings of the written reply."""
        return {
            "protocol": self.protocol,
            "prompt_sha256": probe_hash(_prompt),
            "max_tokens": self._spec.judge_max_tokens,
            "temperature": self._spec.judge_temperature,
        }


def _prompt(conversation: Sequence[Message], reference: Sequence[str]) -> tuple[Message, ...]:
    text = (
        f"{conversation_question(conversation, reference)} Explain briefly, then end with the "
        "rating in double square brackets, in the form [[rating]]."
    )
    return (Message("user", text),)
