"""MT-Bench's files: questions, reference answers, and a baseline's recorded answers.

Answers, of references and of models alike, are rows of FastChat's (texts shortened):

    {"question_id": 101, "choices": [{"index": 0, "turns": ["Second place.", "..."]}]}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evalkit import data
from evalkit.benchmarks._mt_bench_scores import GUIDED, TASK
from evalkit.core import Json, Sample
from evalkit.core.protocols import DataPlaces
from evalkit.errors import DataError

__all__ = [
    "QUESTIONS",
    "REFERENCES",
    "Answers",
    "is_file",
    "read_answers",
    "read_own",
    "read_public",
    "read_rival",
    "samples",
]

QUESTIONS = "mt_bench/question"
REFERENCES = "mt_bench/reference_answer/gpt-4"
_OWN_REFERENCES = ("reference_answer.jsonl", "reference_answer/gpt-4.jsonl")
_ENDINGS = (".jsonl", ".json", ".jsonl.gz", ".json.gz")

Answers = Mapping[int, tuple[str, ...]]
"""Two answers by question_id."""


def read_public(places: DataPlaces) -> tuple[data.Dataset, data.Dataset | None]:
    """MT-Bench's questions and GPT-4's reference answers.  Raises DataError."""
    return data.records(QUESTIONS, places), data.records(REFERENCES, places)


def read_own(named: str, root: Path, what: str) -> tuple[data.Dataset, data.Dataset | None]:
    """The suite's own questions and, where they are beside them, references.

    Args:
        named: folder, or its question file.
        root: folder of the suite.
        what: names them in messages.

    Raises:
        DataError: no questions there, or unreadable files.
    """
    folder = named.removesuffix("question.jsonl") or "."
    questions = data.read_jsonl(data.locate(folder, root, ("question.jsonl",), what=what))
    beside = [questions.path.parent / name for name in _OWN_REFERENCES]
    found = next((path for path in beside if path.is_file()), None)
    return questions, None if found is None else data.read_jsonl(found)


def is_file(baseline: str) -> bool:
    """Whether a baseline names recorded answers; else it names a model, which has no slash."""
    return "/" in baseline or baseline.endswith(_ENDINGS)


def read_rival(baseline: str, root: Path, places: DataPlaces) -> data.Dataset:
    """A baseline's recorded answers: a file beside the suite, or a data set by name."""
    return data.read_jsonl(data.evidence(baseline, root, places).path)


def samples(questions: data.Dataset, references: data.Dataset | None) -> tuple[Sample, ...]:
    """One per question, with references in the categories that are judged with them.

    Raises DataError with the place of a record that is not a question or an answer.
    """
    data.require(questions, {"question_id": int, "category": str, "turns": list})
    _check_turns(questions)
    answers = {} if references is None else read_answers(references, "reference answers")
    return tuple(_sample(record, answers) for record in questions.records)


def _check_turns(questions: data.Dataset) -> None:
    seen: set[int] = set()
    for place, record in zip(questions.places, questions.records, strict=True):
        turns, number = record["turns"], record["question_id"]
        if len(turns) != 2 or not all(isinstance(turn, str) for turn in turns):
            raise DataError(
                f"{place}: 'turns' of question {number} is not two strings; MT-Bench asks two "
                f"questions a conversation: correct the record"
            )
        if number in seen:
            raise DataError(
                f"{place}: question_id {number} occurs twice; ids name the records of a run: "
                f"give each question its own"
            )
        seen.add(number)


def read_answers(answers: data.Dataset, what: str) -> Answers:
    """Both turns' answers of each record.  Raises DataError with the place."""
    data.require(answers, {"question_id": int, "choices": list})
    found: dict[int, tuple[str, ...]] = {}
    for place, record in zip(answers.places, answers.records, strict=True):
        try:
            turns = record["choices"][0]["turns"]
        except (IndexError, KeyError, TypeError):
            turns = None
        if not (
            isinstance(turns, list) and len(turns) == 2 and all(isinstance(t, str) for t in turns)
        ):
            raise DataError(
                f"{place}: no two {what}; expected "
                f'"choices": [{{"index": 0, "turns": ["...", "..."]}}]: correct the record'
            )
        found[record["question_id"]] = tuple(turns)
    return found


def _sample(record: Mapping[str, Json], answers: Answers) -> Sample:
    number, category = record["question_id"], record["category"]
    return Sample(
        id=str(number),
        task=TASK,
        turns=tuple(record["turns"]),
        category=category,
        cluster=str(number),
        reference=answers.get(number, ()) if category in GUIDED else (),
        data=record,
    )
