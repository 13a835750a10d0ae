"""A record's conversation, turn by turn: what was asked, what was answered.

Answers that are not part of the conversation (the choices of a log-likelihood item) stand in its
only turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.core import Message, Record

__all__ = ["Turn", "at_turn", "shown_question", "turns_of"]

_LONG = 600
"""Characters of a prompt above which its last paragraph is taken for the question."""


@dataclass(frozen=True)
class Turn:
    """What a model was asked since its last answer, and what it said."""

    prompt: tuple[Message, ...]
    answers: tuple[str, ...]


def turns_of(record: Record) -> tuple[Turn, ...]:
    """At least one turn; a turn without answer where the model failed in it."""
    talk, answers = record.outcome.conversation, record.outcome.answers
    places = _answered(talk, answers)
    if places is None:
        return (Turn(talk, answers),)
    turns, begin = [], 0
    for place, answer in zip(places, answers, strict=True):
        turns.append(Turn(talk[begin:place], (answer,)))
        begin = place + 1
    if begin < len(talk) or not turns:
        turns.append(Turn(talk[begin:], ()))
    return tuple(turns)


def _answered(talk: Sequence[Message], answers: Sequence[str]) -> list[int] | None:
    """Where the answers stand in the conversation; None where they are not all in it."""
    places: list[int] = []
    end = len(talk)
    for answer in reversed(answers):
        said = (i for i in range(end - 1, -1, -1) if talk[i].role == "assistant")
        place = next((i for i in said if talk[i].content.strip() == answer.strip()), None)
        if place is None:
            return None
        places.insert(0, place)
        end = place
    return places


def at_turn(part: str, turns: int) -> int | None:
    """The turn that a score or judgment of `part` (`turn_2`) is about; None: all of them."""
    name, _, number = part.partition("#")[0].rpartition("_")
    if name == "turn" and number.isdecimal() and 1 <= int(number) <= turns:
        return int(number) - 1
    return 0 if turns == 1 else None


def shown_question(records: Mapping[str, Record]) -> str:
    """What the sample asks, in short: of a long prompt (few-shot examples) its end."""
    for record in records.values():
        asked = turns_of(record)[0].prompt
        if asked:
            text = asked[-1].content
            return text if len(text) <= _LONG else text.rstrip().rpartition("\n\n")[2]
    return ""
