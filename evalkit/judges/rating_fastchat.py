r"""FastChat's own MT-Bench judge: single grading, and pairs of answers in both orders.

Source: Zheng et al. 2023, arXiv:2306.05685; https://github.com/lm-sys/FastChat (Apache-2.0),
`fastchat/llm_judge/common.py` (`run_judge_single`, `run_judge_pair`, `play_a_match_pair`) and
`data/judge_prompts.jsonl`, which is read through the data room (its wheel ships no data).
Format: one of the eight prompts (shortened):

    {"name": "single-v1", "type": "single", "system_prompt": "You are a helpful assistant.",
     "prompt_template": "[Instruction]\nPlease act ...\n{answer}\n[The End ...]",
     "output_format": "[[rating]]"}

FastChat's rules that are kept, byte for byte where texts are concerned:
- Texts are inserted by one `str.format` of FastChat's own template: braces inside a question or an
  answer have no effect.
- `single-v1` for the first turn, `single-v1-multi-turn` for the second; the `math` prompts where
  a reference answer is given; `pair-v2` and `pair-math-v1` likewise for pairs; the prompt's
  system message, temperature 0, 2048 tokens.
- A rating is the first `[[n]]`, else the first `[n]`; a pair's winner is `[[A]]`, else `[[B]]`,
  else `[[C]]` for a tie.
- A pair is judged in both orders, and is a tie where the two verdicts differ.

Departures:
- The judge is the suite's model, and is recorded as such; FastChat refuses judges whose names it
  does not know.  A judge of Anthropic's gets FastChat's OpenAI form: the system prompt as system
  message and 2048 tokens, where FastChat puts it before the question, with 1024.
- References are GPT-4's for every judge; FastChat needs a file of them for each judge.
- A reply without verdict is unparsable and counted; FastChat writes -1 or "error" and drops it.
  A request that failed has a status of its own and is sent again by the next run; FastChat parses
  the error text.
- A rating outside 1 to 10 is unparsable; FastChat scores it unchanged.
- A verdict that also stands in the judged texts is not read (see `_prompt`).
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evalkit import data
from evalkit.core import Completion, Exchange, Flow, Json, Judgment, Message
from evalkit.core.protocols import DataPlaces, JudgeContext
from evalkit.core.specs import JudgeSpec
from evalkit.errors import DataError
from evalkit.judges._prompt import (
    LONGEST_REPLY,
    NOTHING,
    Material,
    replied,
    why_unparsable,
    written,
)

__all__ = ["FastChatJudge", "read_rating", "read_score", "read_winner"]

PROMPTS = "mt_bench/judge_prompts"
"""Name of the data set."""
_NAMES = tuple(
    f"{kind}{turns}"
    for kind in ("single-v1", "single-math-v1", "pair-v2", "pair-math-v1")
    for turns in ("", "-multi-turn")
)
# FastChat's patterns with `\d+\.?\d*` written so that no digit is tried twice.
_RATING = re.compile(r"\[\[(\d+(?:\.\d*)?)\]\]")
_WINNER = re.compile(r"\[\[([ABC])\]\]")
_RATING_BACKUP = re.compile(r"\[(\d+(?:\.\d*)?)\]")


class FastChatJudge:
    """Rates answers, or compares two, with FastChat's prompts."""

    protocol = "rating_fastchat"

    def __init__(self, name: str, engine: str, spec: JudgeSpec, context: JudgeContext) -> None:
        self.name = name
        self._engine = engine
        self._spec = spec
        self._context = context
        self._read: _Templates | None = None

    def data_needs(self) -> tuple[str, ...]:
        """Names of the public data sets that `load` reads."""
        return (PROMPTS,)

    def load(self) -> None:
        """Read the judge prompts; idempotent.  Raises DataError."""
        if self._read is None:
            self._read = _read_templates(self._context.places)

    def rate(
        self, conversation: Sequence[Message], reference: Sequence[str], part: str
    ) -> Flow[Judgment]:
        """One request about the last answer (first or second); see `core.RatingJudge`.

        Unparsable without a rating from 1 to 10.
        """
        questions, answers = _turns(conversation)
        kind = "single-math-v1" if reference else "single-v1"
        prompt = self._prompt(kind, {"question": questions, "answer": answers}, reference)
        (reply,) = yield [written(self._engine, prompt, self._spec)]
        value = read_rating(reply.text, Material(*questions, *answers, *reference, prompt=prompt))
        error = self._why([reply], read_rating, "rating [[1]] to [[10]]")
        return self._judgment(part, (replied(prompt, reply),), value, error)

    def match(
        self,
        conversation: Sequence[Message],
        other: Sequence[Message],
        reference: Sequence[str],
        part: str,
    ) -> Flow[Judgment]:
        """The last answers of two conversations about the same questions, in both orders.

        `value` is 1 where `conversation` wins both, 0 where it loses both, one half for a tie
        or verdicts that differ; unparsable where either order has none.  `votes` are the
        verdicts with `conversation` shown first, then second.
        """
        questions, ours = _turns(conversation)
        _, theirs = _turns(other)
        kind = "pair-math-v1" if reference else "pair-v2"
        prompts = [
            self._prompt(kind, {"question": questions, "answer_a": a, "answer_b": b}, reference)
            for a, b in ((ours, theirs), (theirs, ours))
        ]
        replies = yield [written(self._engine, prompt, self._spec) for prompt in prompts]
        exchanges = tuple(map(replied, prompts, replies))
        first, second = (
            read_winner(reply.text, Material(*questions, *ours, *theirs, *reference, prompt=prompt))
            for prompt, reply in zip(prompts, replies, strict=True)
        )
        if first is None or second is None:
            pairs = zip(replies, (first, second), strict=True)
            without = [reply for reply, winner in pairs if winner is None]
            error = self._why(without, read_winner, "[[A]], [[B]] or [[C]]")
            return self._judgment(part, exchanges, None, error)
        votes = (_vote(first, "A"), _vote(second, "B"))
        value = votes[0] if votes[0] == votes[1] else 0.5
        return self._judgment(part, exchanges, value, "", votes)

    def _prompt(
        self, kind: str, texts: Mapping[str, Sequence[str]], references: Sequence[str]
    ) -> tuple[Message, ...]:
        """System and user message about the first answer, or about the second where there are two.

        Args:
            kind: name of FastChat's prompt for the first turn.
            texts: questions and answers in order of turns, by the placeholder of the first turn.
            references: reference answers, likewise; empty where `kind` takes none.
        """
        if len(texts["question"]) > 1:
            kind += "-multi-turn"
            values = {f"{name}_{n}": said[n - 1] for name, said in texts.items() for n in (1, 2)}
        else:
            values = {name: said[0] for name, said in texts.items()}
        values |= {f"ref_answer_{n}": text for n, text in enumerate(references, start=1)}
        system, template = self._templates.by_name[kind]
        return (Message("system", system), Message("user", template.format(**values)))

    def _judgment(
        self,
        part: str,
        exchanges: tuple[Exchange, ...],
        value: float | None,
        error: str,
        votes: tuple[float, ...] = (),
    ) -> Judgment:
        return Judgment(
            judge=self.name,
            protocol=self.protocol,
            status="unparsable" if value is None else "ok",
            value=value,
            part=part,
            votes=votes,
            exchanges=exchanges,
            error=error if value is None else None,
        )

    def _why(
        self, replies: Sequence[Completion], read: Callable[[str], object], wanted: str
    ) -> str:
        limit = self._spec.judge_max_tokens
        return why_unparsable(replies, read, limit, f"no {wanted} in the judge's reply")

    @property
    def _templates(self) -> _Templates:
        self.load()
        assert self._read is not None
        return self._read

    def describe(self) -> Mapping[str, Json]:
        """Protocol, judging model, prompts (hashes of texts and file) and the reply's settings."""
        named = {name: list(texts) for name, texts in sorted(self._templates.by_name.items())}
        return {
            "protocol": self.protocol,
            "model": getattr(self._spec, "model", None),
            "prompt_sha256": hashlib.sha256(json.dumps(named).encode()).hexdigest(),
            "judge_prompts_sha256": self._templates.sha256,
            "max_tokens": self._spec.judge_max_tokens,
            "temperature": self._spec.judge_temperature,
        }


def _turns(conversation: Sequence[Message]) -> tuple[list[str], list[str]]:
    """Questions and answers, without the system message."""
    questions = [m.content for m in conversation if m.role == "user"]
    return questions, [m.content for m in conversation if m.role == "assistant"]


def _vote(winner: Literal["A", "B", "tie"], ours: Literal["A", "B"]) -> float:
    if winner == "tie":
        return 0.5
    return 1.0 if winner == ours else 0.0


# --- prompts --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Templates:
    """All eight prompts."""

    by_name: Mapping[str, tuple[str, str]]
    """System message, and the text with placeholders in braces."""
    sha256: str
    """Of the file they were read from."""


def _read_templates(places: DataPlaces) -> _Templates:
    """The eight prompts that single grading and pairs need.

    Raises:
        DataError: the data set is not here, or lacks one of them.
    """
    prompts = data.records(PROMPTS, places)
    data.require(prompts, {"name": str, "system_prompt": str, "prompt_template": str})
    found = {row["name"]: (row["system_prompt"], row["prompt_template"]) for row in prompts.records}
    missing = sorted(set(_NAMES) - set(found))
    if missing:
        raise DataError(
            f"{prompts.path}: no judge prompt {missing[0]!r}; expected FastChat's {len(_NAMES)}: "
            f"{', '.join(_NAMES)}"
        )
    return _Templates(found, prompts.sha256)


# --- replies --------------------------------------------------------------------------------------


def read_score(reply: str, material: Material = NOTHING) -> float | None:
    """The number FastChat reads; None where it reads -1, or stops with an error (`[[08]]`).

    `[n]` is looked for where there is no `[[n]]`.  `material`: see `_prompt`.
    """
    if len(reply) > LONGEST_REPLY:
        return None
    pattern = _RATING if _RATING.search(reply) else _RATING_BACKUP
    found = next(material.own(pattern.finditer(reply)), None)
    if found is None:
        return None
    try:
        # As upstream: `08`, and digits of other scripts, are no Python literals.
        return float(ast.literal_eval(found.group(1)))
    except (SyntaxError, ValueError, OverflowError, MemoryError):
        return None


def read_rating(reply: str, material: Material = NOTHING) -> float | None:
    """`read_score`, where it is on the scale from 1 to 10."""
    score = read_score(reply, material)
    return score if score is not None and 1 <= score <= 10 else None


def read_winner(reply: str, material: Material = NOTHING) -> Literal["A", "B", "tie"] | None:
    """Who won; None where there is no verdict.  `material`: see `_prompt`."""
    if len(reply) > LONGEST_REPLY:
        return None
    own = {verdict.group(1) for verdict in material.own(_WINNER.finditer(reply))}
    if "A" in own:
        return "A"
    if "B" in own:
        return "B"
    return "tie" if "C" in own else None
