"""People's votes: which of two answers to one question is better.

The report's blind voting page exports one file, which `evalkit import votes FILE RUN` reads:

    {"kind": "evalkit votes", "format": 1, "run_id": "3f2a9c1b7d04", "seed": "9b1e...", "votes": [
      {"benchmark": "alpaca_eval", "task": "alpaca_eval", "sample": "0017", "part": "",
       "first": "zephyr-7b-beta", "second": "text_davinci_003", "choice": "second",
       "voter": "a1", "time": "2026-11-30T17:02:11Z"}]}

Pairs of answers are those of `comparison.pairs`; `first` and `second` are its two names.  In which
order the page shows the pairs, and the two answers of each, is drawn from its seed (`drawn`).
Imported votes lie beside the records as votes.jsonl, one a line, and are `Run.votes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evalkit.core.requests import STORED

__all__ = ["Vote", "VoteFile", "drawn"]

_FOR_FIRST = {"first": 1.0, "tie": 0.5, "second": 0.0}


@dataclass(frozen=True)
class Vote:
    """One person's choice between two answers."""

    __pydantic_config__ = STORED

    benchmark: str
    """Entry of the suite."""
    task: str
    sample: str
    first: str
    """Whose answer was shown first: a model of the run, or the reference's name."""
    second: str
    choice: Literal["first", "second", "tie", "skip"]
    """`tie`: neither is better; `skip`: the person gave no answer, which counts as no vote."""
    voter: str = ""
    """Who voted, by any label."""
    part: str = ""
    """As `Pair.part`: `turn_2` is the conversation up to the second answer."""
    time: str | None = None
    """ISO 8601, where known."""

    @property
    def place(self) -> tuple[str, str, str, str, frozenset[str]]:
        """What it is about: `Pair.place`."""
        models = frozenset((self.first, self.second))
        return self.benchmark, self.task, self.sample, self.part, models

    def preference_for(self, name: str) -> float | None:
        """1: `name`'s answer is better, 0: the other, 0.5: a tie; None: skipped."""
        value = _FOR_FIRST.get(self.choice)
        return value if value is None or name == self.first else 1 - value


@dataclass(frozen=True)
class VoteFile:
    """What the voting page exports."""

    __pydantic_config__ = STORED

    run_id: str
    votes: tuple[Vote, ...]
    seed: str = ""
    """What the page drew with (`drawn`); empty: the file was made otherwise."""
    kind: Literal["evalkit votes"] = "evalkit votes"
    format: Literal[1] = 1


def drawn(seed: str, vote: Vote) -> int:
    """What the voting page draws for a pair of answers, 0 to 2^32 - 1; pairs come in its order.

    Where it is even, the first of the two names in the order of their code points is shown first.
    FNV-1a of seed and place, then the finalizer of MurmurHash3.
    """
    names = sorted((vote.first, vote.second))
    place = (seed, vote.benchmark, vote.task, vote.sample, vote.part, *names)
    hashed = 0x811C9DC5
    for byte in "\0".join(place).encode("utf-8", "replace"):
        hashed = (hashed ^ byte) * 0x01000193 & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        hashed = (hashed ^ hashed >> shift) * factor & 0xFFFFFFFF
    return hashed
