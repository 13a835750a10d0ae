r"""FastChat's MT-Bench judgments (and answers) as evidence.

Source: https://github.com/lm-sys/FastChat, `fastchat/llm_judge`, files `gpt-4_single.jsonl` and
`model_answer/MODEL.jsonl`.  One raw row of each (texts shortened):

    {"question_id": 143, "model": "mistral-orpo", "judge": ["gpt-4", "single-v1-multi-turn"],
     "user_prompt": "<|The Start of Assistant A's ...", "judgment": "... Rating: [[7]]",
     "score": 7, "turn": 2, "tstamp": 1711645958.0}
    {"question_id": 81, "model_id": "mistral-orpo",
     "choices": [{"index": 0, "turns": ["...", "..."]}]}

A score of -1 means that no rating could be read.  As in FastChat's `show_result.py`, every other
row enters the averages, repeated ones too; here a repetition is a score of its own part
(`turn_1#2`) of the same question, so intervals know that it is no new question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit import data
from evalkit.benchmarks import mt_bench as rules
from evalkit.core import Exchange, Json, Judgment, Message, Outcome, Record, Sample, Score
from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.core.run import Description
from evalkit.errors import DataError
from evalkit.importers._common import pairs_of, pick_models
from evalkit.importers._mt_bench_findings import Checked, inspect, judge_of

__all__ = ["read"]

Row = Mapping[str, Json]
KIND = "mt_bench"
RULES = 1
FIELDS = {"question_id": int, "model": str, "turn": int, "judgment": str}
PAIR_FIELDS = ("model_1", "model_2", "g1_winner", "g2_winner")
QUESTIONS = "mt_bench/question"
_HUGE = 1e6
"""Beyond any rating; infinities too are above it."""


@dataclass(frozen=True)
class _Source:
    """One model's rows of one file."""

    model: str
    stored: str
    rows: tuple[Row, ...]
    judgments: data.Dataset
    answers: data.Dataset | None


def read(files: Sequence[Path], options: ImportOptions) -> list[Evidence]:
    """Evidence of each model in `files` (FastChat writes all models into one).

    Args:
        files: judgment files.
        options: `models` picks among the models, or renames them all; `companion` holds answer
            files, matched by their `model_id`, else by order.

    Raises:
        DataError: a file is not what FastChat writes, or names do not fit.
    """
    found: list[tuple[data.Dataset, str, tuple[Row, ...]]] = []
    for path in files:
        dataset = data.read_jsonl(path)
        _refuse_pairs(dataset)
        data.require(dataset, FIELDS)
        _require_scores(dataset)
        for name in dict.fromkeys(str(row["model"]) for row in dataset.records):
            found.append((dataset, name, tuple(r for r in dataset.records if r["model"] == name)))
    named = pick_models([name for _, name, _ in found], options.models)
    answers = [data.read_jsonl(path) for path in options.companion]
    matched = pairs_of([found[i][1] for i, _ in named], answers, "model_id")
    questions = _questions(options)
    return [
        _evidence(_Source(name, found[i][1], found[i][2], found[i][0], one), questions, options)
        for (i, name), one in zip(named, matched, strict=True)
    ]


def _refuse_pairs(dataset: data.Dataset) -> None:
    first = dataset.records[0] if dataset.records else {}
    if all(name in first for name in PAIR_FIELDS):
        raise DataError(
            f"{dataset.path}: judgments of pairs (model_1, model_2), which have no scores; "
            f"expected FastChat's single grading (gpt-4_single.jsonl).  Pairs are judged anew "
            f"with `mode: pairwise` in a suite"
        )


def _require_scores(dataset: data.Dataset) -> None:
    for place, row in zip(dataset.places, dataset.records, strict=True):
        score, turn = row.get("score"), row["turn"]
        if isinstance(score, bool) or not isinstance(score, int | float) or abs(score) > _HUGE:
            shown = repr(score) if len(repr(score)) <= 40 else f"{repr(score)[:37]}..."
            raise DataError(
                f"{place}: score is {shown}, expected a number from 1 to 10, or -1 where none was "
                f"read; correct the record"
            )
        if turn not in (1, 2):
            raise DataError(f"{place}: turn is {turn!r}, expected 1 or 2; correct the record")


def _questions(options: ImportOptions) -> Mapping[int, Row]:
    """MT-Bench's questions by id; empty where they are not at hand."""
    if data.missing([QUESTIONS], options.places):
        return {}
    return {row["question_id"]: row for row in data.records(QUESTIONS, options.places).records}


def _evidence(source: _Source, questions: Mapping[int, Row], options: ImportOptions) -> Evidence:
    entry = options.entry or KIND
    answers = {} if source.answers is None else _answers(source.answers)
    by_question: dict[int, list[Row]] = {}
    for row in source.rows:
        by_question.setdefault(row["question_id"], []).append(row)
    known = [number for number in questions if number in by_question]
    order = (
        [*questions, *(n for n in by_question if n not in questions)] if known else [*by_question]
    )
    records = tuple(
        _record(
            (source.model, entry),
            _sample(number, questions.get(number)),
            by_question.get(number, []),
            answers.get(number, ()),
        )
        for number in order
    )
    return Evidence(
        model=source.model,
        entry=entry,
        kind=KIND,
        description=_description(source),
        metrics={rules.TASK: rules.METRICS},
        records=records,
        findings=tuple(
            inspect(Checked(source.model, source.rows, answers, questions, source.answers))
        ),
    )


def _answers(dataset: data.Dataset) -> dict[int, tuple[str, ...]]:
    data.require(dataset, {"question_id": int, "choices": list})
    found: dict[int, tuple[str, ...]] = {}
    for place, row in zip(dataset.places, dataset.records, strict=True):
        try:
            turns = _texts(row["choices"][0]["turns"])
        except (IndexError, KeyError, TypeError) as error:
            raise DataError(
                f"{place}: choices is {repr(row['choices'])[:60]}; expected choices[0].turns, a "
                f"list of texts: correct or remove the record"
            ) from error
        if found.setdefault(row["question_id"], turns) != turns:
            raise DataError(
                f"{place}: a second, different answer to question {row['question_id']}; keep the "
                f"one that was judged"
            )
    return found


def _texts(turns: Json) -> tuple[str, ...]:
    if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
        raise TypeError("turns are not texts")
    return tuple(turns)


def _sample(number: int, question: Row | None) -> Sample:
    turns = tuple(question["turns"]) if question is not None else ()
    category = str(question["category"]) if question is not None else None
    return Sample(str(number), rules.TASK, turns, category, str(number))


def _record(
    place: tuple[str, str], sample: Sample, rows: Sequence[Row], answers: tuple[str, ...]
) -> Record:
    judgments: list[Judgment] = []
    scores: list[Score] = []
    seen: dict[int, int] = {}
    for row in sorted(rows, key=lambda row: int(row["turn"])):
        turn = int(row["turn"])
        judgment = _judgment(row)
        judgments.append(judgment)
        if judgment.value is not None:
            seen[turn] = seen.get(turn, 0) + 1
            scores += rules.rating_scores(turn, judgment.value, repeat=seen[turn])
    said = tuple(
        message
        for question, answer in zip(sample.turns, answers, strict=False)
        for message in (Message("user", question), Message("assistant", answer))
    )
    failed = next((j for j in judgments if j.status != "ok"), None)
    missing = f"the evidence has {len({row['turn'] for row in rows})} of 2 turns judged"
    status = "ok" if failed is None else failed.status
    if len({row["turn"] for row in rows}) < len(rules.PARTS) and failed is None:
        status = "excluded" if not rows else "unparsable"
    outcome = Outcome(
        status,
        said or tuple(Message("user", turn) for turn in sample.turns[:1]),
        answers=answers,
        scores=tuple(scores),
        judgments=tuple(judgments),
        error=None if status == "ok" else (failed.error if failed is not None else missing),
    )
    model, entry = place
    return Record(model, entry, rules.TASK, sample.id, sample.category, sample.cluster, outcome)


def _judgment(row: Row) -> Judgment:
    score = float(row["score"])
    read = score != -1
    prompt = str(row.get("user_prompt") or "")
    return Judgment(
        judge=judge_of(row)[0],
        protocol="recorded",
        status="ok" if read else "unparsable",
        value=score if read else None,
        part=f"turn_{row['turn']}",
        exchanges=(Exchange((Message("user", prompt),), row["judgment"]),),
        error=None if read else "no rating could be read from the judgment (score -1)",
    )


def _description(source: _Source) -> Description:
    judges = sorted({judge_of(row)[0] for row in source.rows})
    prompts = sorted({judge_of(row)[1] for row in source.rows})
    files = [source.judgments, *([source.answers] if source.answers is not None else [])]
    return Description(
        type=KIND,
        version=f"1.{RULES}",
        mode="single",
        data={"records": len({row["question_id"] for row in source.rows})},
        judge={"protocol": "recorded", "model": ", ".join(judges), "prompts": prompts},
        model_in_file=source.stored,
        files=tuple({"file": f.path.name, "sha256": f.sha256} for f in files),
    )
