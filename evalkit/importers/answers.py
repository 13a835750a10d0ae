"""Recorded answers: what a model said, as other tools write it down, sample by sample.

Formats, told apart by their fields:

    alpaca_eval outputs      {"instruction": "...", "output": "...", "generator": "..."}
    alpaca_eval annotations  {"instruction": "...", "output_2": "...", "generator_2": "..."}
    FastChat model answers   {"question_id": 81, "choices": [{"index": 0, "turns": ["...", "..."]}]}

An answer of FastChat's is found by question_id, one of alpaca_eval's by its instruction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit import data
from evalkit.core import Completion, Json, Sample
from evalkit.errors import DataError

__all__ = ["Answers", "read_answers"]

Row = Mapping[str, Json]


@dataclass(frozen=True)
class Answers:
    """The recorded answers of one model to one benchmark."""

    by_key: Mapping[str, tuple[Completion, ...]]
    key: Callable[[Sample], str]
    """Which recorded answers belong to a sample."""
    sha256: str
    """Of the file."""

    def of(self, sample: Sample) -> tuple[Completion, ...]:
        """In the order they were asked for; empty where nothing is recorded."""
        return self.by_key.get(self.key(sample), ())


def read_answers(path: Path) -> Answers:
    """Read one file of answers.

    Raises:
        DataError: unreadable, of none of the formats, or two different answers to one question.
    """
    dataset = data.read_jsonl(path)
    if not dataset.records:
        raise DataError(f"{path}: no answers in it; expected one record an answered question")
    find, read, key = _format(path, dataset.records[0])
    found: dict[str, tuple[Completion, ...]] = {}
    for place, row in zip(dataset.places, dataset.records, strict=True):
        try:
            name, answers = find(row), read(row)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DataError(
                f"{place}: not like the file's first record ({type(error).__name__}: {error}); "
                f"this record has {', '.join(map(str, row))}: correct or remove it"
            ) from error
        if found.setdefault(name, answers) != answers:
            raise DataError(
                f"{place}: a second, different answer to {name[:60]!r}; keep the one to be judged"
            )
    return Answers(found, key, dataset.sha256)


_Format = tuple[
    Callable[[Row], str], Callable[[Row], tuple[Completion, ...]], Callable[[Sample], str]
]


def _format(path: Path, row: Row) -> _Format:
    if "instruction" in row and "output" in row:
        return _instruction, lambda r: _texts([r["output"]]), _asked
    if "instruction" in row and "output_2" in row:
        return _instruction, lambda r: _texts([r["output_2"]]), _asked
    if "question_id" in row and "choices" in row:
        return (lambda r: str(r["question_id"])), _turns, (lambda s: s.id)
    raise DataError(
        f"{path}: its records have {', '.join(map(str, row))}; expected alpaca_eval outputs "
        f"(instruction, output) or FastChat answers (question_id, choices)"
    )


def _instruction(row: Row) -> str:
    return str(row["instruction"])


def _asked(sample: Sample) -> str:
    return sample.turns[0]


def _texts(texts: Sequence[Json]) -> tuple[Completion, ...]:
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("an answer is not a text")
    return tuple(Completion(text=text) for text in texts)


def _turns(row: Row) -> tuple[Completion, ...]:
    return _texts(row["choices"][0]["turns"])
