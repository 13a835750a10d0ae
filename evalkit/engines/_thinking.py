"""Generations of models that think: where the thought ends, and what then ends the answer.

`Reader` follows a generation token by token, for engines that can end it at any token (vllm,
transformers).  `divided` divides a whole text, for those that are handed one.

Stop strings belong to the answer: inside a thought they end nothing, as lm-eval's vllm backend does
it (0.4.13).  The blanks between thought and answer end nothing either: lm-eval strips them first.
With a budget a thought may have so many tokens and the answer `max_tokens` more; without one both
share `max_tokens`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evalkit.core import Completion, Request
from evalkit.core.specs import ThinkingSpec
from evalkit.core.thoughts import Marks, Separated, marks_in, separate
from evalkit.engines._keys import cut

__all__ = ["Reader", "Thinking", "divided", "separated"]


@dataclass(frozen=True, slots=True)
class Thinking:
    """How one model thinks."""

    marks: Marks
    budget: int | None = None
    """Most tokens of a thought; None: thought and answer share `max_tokens`."""
    special: tuple[str, ...] = ()
    """The tokenizer's special tokens where the marks are some, so that texts must be decoded with
    them; they are taken out of thought and answer.  Empty: the marks are plain text."""


def divided(
    text: str, stop: Sequence[str], thinking: Thinking, *, opened: bool = False
) -> Separated:
    """`text` as thought and answer, the answer cut at the first of the stop strings."""
    found = separate(text, thinking.marks, opened=opened)
    thought, answer = found.thought, found.answer
    blanks = len(answer) - len(answer.lstrip()) if answer != text else 0
    answer = answer[:blanks] + cut(answer[blanks:], stop)
    for token in thinking.special:
        thought, answer = thought.replace(token, ""), answer.replace(token, "")
    return Separated(thought, answer, found.unfinished)


def separated(
    completion: Completion, stop: Sequence[str], spec: ThinkingSpec | None = None
) -> Completion:
    """`completion`, whose text is all that a model wrote, with its thought apart.

    For texts whose template nobody sees: marks are those of `spec`, else known ones in the text.
    Without any it is returned as it is.
    """
    marks = (spec and spec.marks) or marks_in(completion.text)
    if marks is None or completion.thought or completion.unfinished:
        return completion  # the latter two: its text is the answer already
    found = divided(completion.text, stop, Thinking(marks))
    return replace(
        completion, text=found.answer, thought=found.thought, unfinished=found.unfinished
    )


class Reader:
    """One generation that grows: says when it has ended, and what it came to."""

    def __init__(self, request: Request, thinking: Thinking, *, opened: bool) -> None:
        """`opened`: the prompt ends within a thought."""
        self._request, self._thinking, self._opened = request, thinking, opened
        self._opening = re.compile(rf"^[ \t]*{re.escape(thinking.marks.start)}", re.MULTILINE)
        self._thinks = opened
        self._from = 0
        """Where the answer begins; in a thought: where its end mark may begin."""
        self._thought_tokens = 0
        self._cut = False

    @property
    def most_tokens(self) -> int:
        """New tokens at most, those of the thought included."""
        return self._request.max_tokens + (self._thinking.budget or 0)

    @property
    def special(self) -> bool:
        """Whether texts must be decoded with their special tokens, since the marks are some."""
        return bool(self._thinking.special)

    def ends(self, text: str, tokens: int) -> bool:
        """Whether the generation has come to its end with `text`, of `tokens` tokens."""
        start, end = self._thinking.marks.start, self._thinking.marks.end
        budget, most = self._thinking.budget, self._request.max_tokens
        while True:
            if (at := text.rfind(end, self._from)) >= 0:
                self._thinks, self._from, self._thought_tokens = False, at + len(end), tokens
            elif self._thinks:
                self._from = max(self._from, len(text) - len(end) + 1)
                return tokens >= (budget or most)
            answer = text[self._from :]
            found = self._opening.search(answer) if start in answer else None
            if found is None:
                break
            self._thinks, self._from = True, self._from + found.end()
        if self._from or not start.startswith(answer.lstrip()):  # else it may become a start mark
            blanks = len(answer) - len(answer.lstrip()) if self._from else 0
            self._cut = cut(answer[blanks:], self._request.stop) != answer[blanks:]
        return self._cut or tokens - (self._thought_tokens if budget else 0) >= most

    def completion(self, text: str, tokens: int, *, stopped: bool) -> Completion:
        """What the generation came to; `stopped`: the model ended it by a token of its own."""
        self.ends(text, tokens)
        found = divided(text, self._request.stop, self._thinking, opened=self._opened)
        return Completion(
            text=found.answer,
            thought=found.thought,
            thought_tokens=tokens if found.unfinished else self._thought_tokens,
            unfinished=found.unfinished,
            truncated=not stopped and not self._cut,
            completion_tokens=tokens,
        )
