r"""A model's thought, and the answer that follows it: marks, and where a text is divided.

    <think>Two and three make five.</think>\n\nThe sum is 5.
           ------------------------             -------------
           thought                              answer

The rules, with lm-eval 0.4.13's `think_end_token` as their source (`postprocess_generated_text`:
the text after the last end mark):

- The answer follows the **last** end mark.  A text with two thoughts has one answer, what follows
  the second; what stands between them is a draft and belongs to the thought.  An end mark without
  a start mark ends a thought, too: the template has opened it, or the server took the start away.
- A start mark opens a thought at the beginning of a line only, so that an answer may mention it.
- A thought that no end mark closes is unfinished, and there is no answer.
- A text without marks is an answer, unchanged.

Departure: lm-eval strips all blanks before the answer.  Here only what templates write between
thought and answer goes (up to two line breaks, or one space), so that an answer that begins with
blanks keeps its length; lm-eval's tasks strip the rest themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.core.requests import Completion

__all__ = [
    "KNOWN",
    "NO_ANSWER",
    "Marks",
    "Separated",
    "marks_in",
    "odd_mark",
    "separate",
    "thoughts_of",
]

NO_ANSWER = (
    "the thought did not end, so there is no answer; raise `thinking: {budget: TOKENS}` of the "
    "model, or the benchmark's limit of tokens"
)
"""Of a sample whose completion is unfinished."""
_LIKE_MARK = re.compile(
    r"\s*([<\[◁][/|:]?[a-z_:| -]{0,20}(?:think|thought|reason|analysis|scratchpad|reflect)"
    r"[a-z_:| -]{0,20}[>\]▷])",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"(?:\r?\n){1,2}| ")


@dataclass(frozen=True, slots=True)
class Marks:
    """What stands before and after a thought."""

    start: str
    end: str


KNOWN: tuple[Marks, ...] = (
    Marks("<think>", "</think>"),
    Marks("[THINK]", "[/THINK]"),
    Marks("<seed:think>", "</seed:think>"),
    Marks("<|START_THINKING|>", "<|END_THINKING|>"),
    Marks("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
    Marks("<|channel>thought", "<channel|>"),
    Marks("<mm:think>", "</mm:think>"),
    Marks("<|plamo:begin_think:plamo|>", "<|plamo:end_think:plamo|>"),
    Marks("◁think▷", "◁/think▷"),
    Marks("<thought>", "</thought>"),
)
"""Marks by their models: DeepSeek-R1 and V3, Qwen3, GLM, Kimi K2, Nemotron, OLMo 3 and most others;
Magistral; Seed-OSS; Command A; gpt-oss; Gemma 4; MiniMax M3; PLaMo 3 (these from vLLM 0.32's
`vllm/reasoning` and `vllm/parser`); Kimi k1.5 and VL, EXAONE Deep (from their model cards)."""


@dataclass(frozen=True, slots=True)
class Separated:
    """A generated text, divided."""

    thought: str
    """Without marks and blanks around it; empty: none, or an empty one."""
    answer: str
    """Empty where the thought is unfinished."""
    unfinished: bool = False


def separate(text: str, marks: Marks, *, opened: bool = False) -> Separated:
    """Thought and answer of a generated text, in time linear in its length.

    Args:
        text: As generated, marks included; not yet cut at any stop string.
        marks: Of the model.
        opened: The text begins within a thought: the prompt ends with the start mark.
    """
    opening = re.compile(rf"^[ \t]*{re.escape(marks.start)}", re.MULTILINE)
    leading = re.compile(rf"\s*{re.escape(marks.start)}").match(text)
    begin = leading.end() if leading else 0
    at = text.rfind(marks.end, begin)
    rest = text[at + len(marks.end) :] if at >= 0 else text
    if opening.search(rest) or (opened and at < 0):
        return Separated(text[begin:].strip(), "", unfinished=True)
    if at < 0:
        return Separated("", text)
    between = _BETWEEN.match(rest)
    return Separated(text[begin:at].strip(), rest[between.end() :] if between else rest)


def odd_mark(text: str) -> str | None:
    """The mark of a thought, or what looks like one, that an answer begins with; None: none."""
    found = _LIKE_MARK.match(text)
    known = (marks.start for marks in KNOWN if text.lstrip().startswith(marks.start))
    return next(known, found[1] if found else None)


def thoughts_of(completions: Sequence[Completion]) -> tuple[str, ...]:
    """`Outcome.thoughts` of a model's completions."""
    found = tuple(completion.thought for completion in completions)
    return found if any(found) else ()


def marks_in(text: str) -> Marks | None:
    """The known marks of a text whose template nobody sees (a server's, a file's); None: none.

    It begins with their start mark, or has their end mark alone on a line and no start mark before
    it, as servers send it whose prompt ends with the start mark.
    """
    head = text.lstrip()
    for marks in KNOWN:
        if head.startswith(marks.start):
            return marks
        before, found, _ = text.partition(marks.end)
        alone = rf"^[ \t]*{re.escape(marks.end)}[ \t]*$"
        if found and marks.start not in before and re.search(alone, text, re.MULTILINE):
            return marks
    return None
