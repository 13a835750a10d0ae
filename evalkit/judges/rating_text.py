"""A rating from 1 to 10, as the judge writes it.

Source: FastChat's MT-Bench judge (Zheng et al. 2023, arXiv:2306.05685;
`fastchat.llm_judge.common.run_judge_single`).  The prompt here is evalkit's own; FastChat's
prompts are data.
Format: one chat turn; the reply explains and ends with `[[7]]` or `[[7.5]]`.
Parsing is FastChat's: the first `[[number]]`, else the first `[number]`.  A reply with several
ratings is therefore read by its first one, where evalkit's other protocols would call it
unparsable: published MT-Bench scores were read so.

Departures: a number outside 1 to 10, and one FastChat's parser would stop the run with
(`[[08]]`), make the judgment unparsable; FastChat scores the former as it stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.core import Exchange, Flow, Json, Judgment, Message, Request
from evalkit.core.specs import JudgeSpec
from evalkit.judges._fastchat import read_rating
from evalkit.judges._prompt import sampling_seed
from evalkit.judges._ratings import judgment, probe_hash, question

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
        temperature = self._spec.judge_temperature
        (reply,) = yield [
            Request(
                self._engine,
                "generate",
                prompt,
                max_tokens=self._spec.judge_max_tokens,
                temperature=temperature,
                seed=sampling_seed(prompt, temperature),
            )
        ]
        return judgment(
            (self.name, self.protocol),
            part,
            _read(reply.text),
            Exchange(prompt, reply.text),
            "no rating in the reply; expected [[n]] with n from 1 to 10: read the reply in the "
            "record",
        )

    def describe(self) -> Mapping[str, Json]:
        """Protocol, prompt and the settings of the written reply."""
        return {
            "protocol": self.protocol,
            "prompt_sha256": probe_hash(_prompt),
            "max_tokens": self._spec.judge_max_tokens,
            "temperature": self._spec.judge_temperature,
        }


def _read(reply: str) -> float | None:
    """The rating FastChat reads from `reply`; None where there is none from 1 to 10."""
    value = read_rating(reply)
    return value if value is not None and 1 <= value <= 10 else None


def _prompt(conversation: Sequence[Message], reference: Sequence[str]) -> tuple[Message, ...]:
    text = (
        f"{question(conversation, reference)} Explain briefly, then end with the rating in double "
        "square brackets, in the form [[rating]]."
    )
    return (Message("user", text),)
