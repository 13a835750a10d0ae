r"""FastChat's own MT-Bench judge: single grading, and pairs of answers in both orders.

Source: Zheng et al. 2023, arXiv:2306.05685; https://github.com/lm-sys/FastChat (Apache-2.0),
`fastchat/llm_judge/common.py` (`run_judge_single`, `run_judge_pair`, `play_a_match_pair`) and
`data/judge_prompts.jsonl`, which is read through the data room (its wheel ships no data).
One of the eight prompts (shortened):

    {"name": "single-v1", "type": "single", "system_prompt": "You are a helpful assistant.",
     "prompt_template": "[Instruction]\\nPlease act ...\\n{answer}\\n[The End ...]",
     "output_format": "[[rating]]"}

FastChat's rules that are kept, byte for byte where texts are concerned:
- `single-v1` for the first turn, `single-v1-multi-turn` for the second; the `math` prompts where
  a reference answer is given; the prompt's system message, temperature 0, 2048 tokens.
- A rating is the first `[[n]]`, else the first `[n]`; a pair's winner is `[[A]]`, else `[[B]]`,
  else `[[C]]` for a tie.
- A pair is judged in both orders, and is a tie where the two verdicts differ.

Departures:
- The judge is whatever model the suite names, and is recorded as that; FastChat knows a list of
  names, and for others silently changes the conversation template.
- A reply without verdict is unparsable and counted; FastChat writes -1 or "error" and drops it.
- A rating outside 1 to 10 is unparsable; FastChat scores it as it stands.
- Texts are inserted in one pass, as `str.format` does: a placeholder in an answer means nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evalkit import data
from evalkit.errors import DataError
from evalkit.judges._fastchat import read_rating, read_winner
from evalkit.judges._prompt import sampling_seed
from evalkit.protocols import JudgeContext
from evalkit.specs import JudgeSpec
from evalkit.types import Exchange, Flow, Json, Judgment, Message, Request

__all__ = ["FastChatJudge"]

PROMPTS = "mt_bench/judge_prompts"
_NAMES = frozenset(
    f"{kind}{turns}"
    for kind in ("single-v1", "single-math-v1", "pair-v2", "pair-math-v1")
    for turns in ("", "-multi-turn")
)
MAX_TOKENS = 2048


@dataclass(frozen=True)
class _Template:
    system: str
    text: str


class FastChatJudge:
    """Rates answers, or compares two, with FastChat's prompts."""

    protocol = "rating_fastchat"

    def __init__(self, name: str, engine: str, spec: JudgeSpec, context: JudgeContext) -> None:
        self.name = name
        self._engine = engine
        self._spec = spec
        self._context = context
        self._templates: dict[str, _Template] = {}
        self._sha256 = ""

    def data_needs(self) -> tuple[str, ...]:
        """Names of the public data sets that `load` reads."""
        return (PROMPTS,)

    def load(self) -> None:
        """Read the judge prompts.  Raises DataError."""
        if self._templates:
            return
        prompts = data.records(PROMPTS, self._context.places)
        data.require(prompts, {"name": str, "system_prompt": str, "prompt_template": str})
        found = {
            row["name"]: _Template(row["system_prompt"], row["prompt_template"])
            for row in prompts.records
        }
        missing = sorted(_NAMES - set(found))
        if missing:
            raise DataError(
                f"{prompts.path}: no judge prompt {missing[0]!r}; expected FastChat's "
                f"{len(_NAMES)}: {', '.join(sorted(_NAMES))}"
            )
        self._templates, self._sha256 = found, prompts.sha256

    def rate(
        self, conversation: Sequence[Message], reference: Sequence[str], part: str
    ) -> Flow[Judgment]:
        """One request; unparsable without a rating from 1 to 10."""
        prompt = self.single_prompt(conversation, reference)
        (reply,) = yield [self._request(prompt)]
        value = read_rating(reply.text)
        if value is not None and not 1 <= value <= 10:
            value = None
        return Judgment(
            judge=self.name,
            protocol=self.protocol,
            status="unparsable" if value is None else "ok",
            value=value,
            part=part,
            exchanges=(Exchange(prompt, reply.text),),
            error="no rating [[1]] to [[10]] in the reply" if value is None else None,
        )

    def match(
        self,
        conversation: Sequence[Message],
        other: Sequence[Message],
        reference: Sequence[str],
        part: str,
    ) -> Flow[Judgment]:
        """The pair in both orders; `value` 1 where `conversation` wins both, 0 where it loses.

        One half for a tie or contradicting verdicts; unparsable where either order has none.
        """
        orders = (
            self.pair_prompt(conversation, other, reference),
            self.pair_prompt(other, conversation, reference),
        )
        replies = yield [self._request(prompt) for prompt in orders]
        exchanges = tuple(
            Exchange(prompt, reply.text) for prompt, reply in zip(orders, replies, strict=True)
        )
        first, second = (read_winner(reply.text) for reply in replies)
        if first is None or second is None:
            return Judgment(
                self.name,
                self.protocol,
                "unparsable",
                None,
                part=part,
                exchanges=exchanges,
                error="no [[A]], [[B]] or [[C]] in a reply",
            )
        votes = (_vote(first, "A"), _vote(second, "B"))
        value = votes[0] if votes[0] == votes[1] else 0.5
        return Judgment(
            self.name, self.protocol, "ok", value, part=part, votes=votes, exchanges=exchanges
        )

    def single_prompt(
        self, conversation: Sequence[Message], reference: Sequence[str]
    ) -> tuple[Message, ...]:
        """The prompt about the last answer of `conversation` (one or two turns)."""
        questions, answers = _turns(conversation)
        values = _reference_values(reference, len(answers))
        if len(answers) == 1:
            values |= {"question": questions[0], "answer": answers[0]}
        else:
            values |= {
                "question_1": questions[0],
                "question_2": questions[1],
                "answer_1": answers[0],
                "answer_2": answers[1],
            }
        kind = "single-math-v1" if reference else "single-v1"
        return self._prompt(kind, len(answers), values)

    def pair_prompt(
        self, first: Sequence[Message], second: Sequence[Message], reference: Sequence[str]
    ) -> tuple[Message, ...]:
        """The prompt about two conversations; `first` is assistant A."""
        questions, ours = _turns(first)
        _, theirs = _turns(second)
        values = _reference_values(reference, len(ours))
        if len(ours) == 1:
            values |= {"question": questions[0], "answer_a": ours[0], "answer_b": theirs[0]}
        else:
            values |= {"question_1": questions[0], "question_2": questions[1]}
            for turn in (1, 2):
                values[f"answer_a_{turn}"] = ours[turn - 1]
                values[f"answer_b_{turn}"] = theirs[turn - 1]
        kind = "pair-math-v1" if reference else "pair-v2"
        return self._prompt(kind, len(ours), values)

    def _prompt(self, kind: str, turns: int, values: Mapping[str, str]) -> tuple[Message, ...]:
        self.load()
        template = self._templates[kind if turns == 1 else f"{kind}-multi-turn"]
        text = template.text.format(**values)
        return (Message("system", template.system), Message("user", text))

    def _request(self, prompt: tuple[Message, ...]) -> Request:
        spec = self._spec
        temperature = _set(spec, "judge_temperature", spec.judge_temperature, 0.0)
        return Request(
            self._engine,
            "generate",
            prompt,
            max_tokens=int(_set(spec, "judge_max_tokens", spec.judge_max_tokens, MAX_TOKENS)),
            temperature=temperature,
            seed=sampling_seed(prompt, temperature),
        )

    def describe(self) -> Mapping[str, Json]:
        """Protocol, the prompts' hash and the settings of the reply."""
        self.load()
        spec = self._spec
        texts = json.dumps({n: [t.system, t.text] for n, t in sorted(self._templates.items())})
        return {
            "protocol": self.protocol,
            "prompt_sha256": hashlib.sha256(texts.encode()).hexdigest(),
            "judge_prompts_sha256": self._sha256,
            "max_tokens": int(_set(spec, "judge_max_tokens", spec.judge_max_tokens, MAX_TOKENS)),
            "temperature": _set(spec, "judge_temperature", spec.judge_temperature, 0.0),
        }


def _set(spec: JudgeSpec, field: str, own: float, default: float) -> float:
    return own if field in spec.model_fields_set else default


def _turns(conversation: Sequence[Message]) -> tuple[list[str], list[str]]:
    """Questions and answers, without the system message."""
    questions = [m.content for m in conversation if m.role == "user"]
    return questions, [m.content for m in conversation if m.role == "assistant"]


def _reference_values(reference: Sequence[str], turns: int) -> dict[str, str]:
    return {f"ref_answer_{n}": text for n, text in enumerate(reference[:turns], start=1)}


def _vote(winner: Literal["A", "B", "tie"], ours: Literal["A", "B"]) -> float:
    if winner == "tie":
        return 0.5
    return 1.0 if winner == ours else 0.0
