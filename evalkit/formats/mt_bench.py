r"""FastChat's MT-Bench judgments (and answers) as evidence, and what can be wrong with them.

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

A false alarm is worse than a miss: answers are only checked against prompts where both are there,
and the texts inside a prompt are searched for, whatever template surrounds them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit import catalogue, data
from evalkit.benchmarks import mt_bench as rules
from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.core.figures import Finding
from evalkit.core.requests import Json, Message
from evalkit.core.run import Description
from evalkit.core.samples import Exchange, Judgment, Outcome, Record, Score
from evalkit.errors import DataError
from evalkit.formats._reading import Row, few, named_rows, pairs_of, pick_models
from evalkit.judges.rating_fastchat import read_score

__all__ = ["read"]

KIND = "mt_bench"
RULES = 1
_FIELDS = {"question_id": int, "model": str, "turn": int, "judgment": str}
_PAIR_FIELDS = ("model_1", "model_2", "g1_winner", "g2_winner")
_QUESTIONS = "mt_bench/question"
_HUGE = 1e6
"""Beyond any rating; infinities too are above it."""
_MOSTLY = 0.5
_PROMPTS = frozenset(
    f"single-{kind}{turns}" for kind in ("v1", "math-v1") for turns in ("", "-multi-turn")
)


@dataclass(frozen=True)
class _Source:
    """One model's rows of one file, and what they are checked against."""

    model: str
    stored: str
    rows: tuple[Row, ...]
    judgments: data.Dataset
    file: data.Dataset | None
    """The answer file."""
    answers: Mapping[int, tuple[str, ...]]
    """By question; empty where no answer file was given."""
    questions: Mapping[int, Row]
    """MT-Bench's; empty where they are not here."""


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
        data.require(dataset, _FIELDS)
        _require_scores(dataset)
        for name in dict.fromkeys(str(row["model"]) for row in dataset.records):
            found.append((dataset, name, tuple(r for r in dataset.records if r["model"] == name)))
    named = pick_models([name for _, name, _ in found], options.models)
    files_of = [data.read_jsonl(path) for path in options.companion]
    matched = pairs_of([found[i][1] for i, _ in named], files_of, "model_id")
    questions: Mapping[int, Row] = {}
    if not data.missing([_QUESTIONS], options.places):
        known = data.records(_QUESTIONS, options.places).records
        questions = {row["question_id"]: row for row in known}
    sources = (
        _Source(
            name, *found[i][1:], found[i][0], one, {} if one is None else _answers(one), questions
        )
        for (i, name), one in zip(named, matched, strict=True)
    )
    return [_evidence(source, options.entry or KIND) for source in sources]


def _refuse_pairs(dataset: data.Dataset) -> None:
    first = dataset.records[0] if dataset.records else {}
    if all(name in first for name in _PAIR_FIELDS):
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


def _evidence(source: _Source, entry: str) -> Evidence:
    by_question: dict[int, list[Row]] = {}
    for row in source.rows:
        by_question.setdefault(row["question_id"], []).append(row)
    order = list(by_question)
    if any(number in by_question for number in source.questions):
        order = [*source.questions, *(n for n in by_question if n not in source.questions)]
    return Evidence(
        model=source.model,
        entry=entry,
        kind=KIND,
        description=_description(source),
        metrics={rules.TASK: rules.METRICS},
        records=tuple(_record(source, entry, n, by_question.get(n, [])) for n in order),
        findings=tuple(finding for check in _CHECKS for finding in check(source)),
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


def _record(source: _Source, entry: str, number: int, rows: Sequence[Row]) -> Record:
    question, answers = source.questions.get(number), source.answers.get(number, ())
    turns = tuple(question["turns"]) if question is not None else ()
    category = str(question["category"]) if question is not None else None
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
        for text, answer in zip(turns, answers, strict=False)
        for message in (Message("user", text), Message("assistant", answer))
    )
    failed = next((j for j in judgments if j.status != "ok"), None)
    missing = f"the evidence has {len({row['turn'] for row in rows})} of 2 turns judged"
    status = "ok" if failed is None else failed.status
    if len({row["turn"] for row in rows}) < len(rules.PARTS) and failed is None:
        status = "excluded" if not rows else "unparsable"
    outcome = Outcome(
        status,
        said or tuple(Message("user", turn) for turn in turns[:1]),
        answers=answers,
        scores=tuple(scores),
        judgments=tuple(judgments),
        error=None if status == "ok" else (failed.error if failed is not None else missing),
    )
    name = str(number)
    return Record(source.model, entry, rules.TASK, name, category, name, outcome)


def _judgment(row: Row) -> Judgment:
    score = float(row["score"])
    read = score != -1
    prompt = str(row.get("user_prompt") or "")
    return Judgment(
        judge=_judge_of(row)[0],
        protocol="recorded",
        status="ok" if read else "unparsable",
        value=score if read else None,
        part=f"turn_{row['turn']}",
        exchanges=(Exchange((Message("user", prompt),), row["judgment"]),),
        error=None if read else "no rating could be read from the judgment (score -1)",
    )


def _description(source: _Source) -> Description:
    judges = sorted({_judge_of(row)[0] for row in source.rows})
    prompts = sorted({_judge_of(row)[1] for row in source.rows})
    files = [source.judgments, *([source.file] if source.file is not None else [])]
    return Description(
        type=KIND,
        version=f"1.{RULES}",
        mode="single",
        data={"records": len({row["question_id"] for row in source.rows})},
        judge={"protocol": "recorded", "model": ", ".join(judges), "prompts": prompts},
        model_in_file=source.stored,
        files=tuple({"file": f.path.name, "sha256": f.sha256} for f in files),
    )


# --- what can be wrong --------------------------------------------------------------------------


def _judge_of(row: Row) -> tuple[str, str]:
    """Model and prompt of the judge."""
    judge = row.get("judge")
    if isinstance(judge, list) and judge:
        return str(judge[0]), str(judge[1]) if len(judge) > 1 else ""
    return str(judge or "unknown"), ""


def _place_of(row: Row) -> tuple[int, int]:
    return int(row["question_id"]), int(row["turn"])


def _shown(places: list[tuple[int, int]]) -> str:
    return few([f"question {question} turn {turn}" for question, turn in places])


def _count(source: _Source) -> Iterator[Finding]:
    expected = catalogue.BENCHMARKS[KIND].samples
    judged = {_place_of(row) for row in source.rows}
    questions = {question for question, _ in judged}
    foreign = sorted(q for q in questions if source.questions and q not in source.questions)
    if foreign:
        yield Finding(
            "foreign_questions",
            f"{len(foreign)} of {len(questions)} questions are not MT-Bench's: {few(foreign)}",
        )
    if len(questions) != expected:
        yield Finding(
            "count",
            f"{len(questions)} questions were judged, MT-Bench has {expected}: the score is not "
            f"comparable with published ones",
        )
    lacking = sorted((q, t) for q in questions for t in (1, 2) if (q, t) not in judged)
    if lacking:
        yield Finding(
            "missing_turns",
            f"{len(lacking)} of {2 * len(questions)} answers have no judgment: {_shown(lacking)}",
        )


def _repeats(source: _Source) -> Iterator[Finding]:
    counts = Counter(_place_of(row) for row in source.rows)
    repeated = sorted(place for place, n in counts.items() if n > 1)
    if not repeated:
        return
    extra = sum(counts[place] - 1 for place in repeated)
    yield Finding(
        "repeated_rows",
        f"{named_rows(extra)} judge an answer again ({len(repeated)} answers, {_shown(repeated)}); "
        f"FastChat's averages count every row, and so do these",
    )


def _failed(source: _Source) -> Iterator[Finding]:
    failed = [row for row in source.rows if row["score"] == -1]
    if not failed:
        return
    share = len(failed) / len(source.rows)
    left = len(source.rows) - len(failed)
    where = _shown([_place_of(row) for row in failed])
    if share > _MOSTLY:
        yield Finding(
            "mostly_unparsable",
            f"{len(failed)} of {len(source.rows)} ratings are -1: the judge's run is broken; "
            f"FastChat would print the mean of the {left} that are left",
        )
    else:
        yield Finding(
            "unparsable",
            f"{len(failed)} of {len(source.rows)} ratings are -1 ({where}); they are left out of "
            f"the averages and counted as missing",
            damaged=False,
        )


def _scores(source: _Source) -> Iterator[Finding]:
    """What the judgment says must be what was written down as its score."""
    other = []
    for row in source.rows:
        read = read_score(row["judgment"])
        if not math.isclose(-1.0 if read is None else read, float(row["score"])):
            other.append(_place_of(row))
    if other:
        yield Finding(
            "score_not_in_text",
            f"{len(other)} of {len(source.rows)} scores are not what FastChat's pattern reads from "
            f"their judgments: {_shown(other)}; the scores as written down are used",
        )
    beyond = [_place_of(r) for r in source.rows if r["score"] != -1 and not 1 <= r["score"] <= 10]
    if beyond:
        yield Finding(
            "impossible_score",
            f"{named_rows(len(beyond))} with a score outside 1 to 10: {_shown(beyond)}",
        )


def _other_answers(source: _Source) -> Iterator[Finding]:
    if source.file is None:
        return
    other, checked = [], 0
    for row in source.rows:
        question, turn = _place_of(row)
        turns = source.answers.get(question, ())
        prompt = str(row.get("user_prompt") or "")
        if len(turns) < turn or not prompt:
            continue
        checked += 1
        if turns[turn - 1].strip() not in prompt:
            other.append((question, turn))
    if other:
        yield Finding(
            "other_answers",
            f"{len(other)} of {checked} judgments are about answers that are not in "
            f"{source.file.path.name} ({_shown(other)}): judged was another model or run",
        )
    unanswered = sorted({q for q, _ in map(_place_of, source.rows)} - set(source.answers))
    if unanswered:
        yield Finding(
            "answers_missing",
            f"{source.file.path.name} has no answers to {len(unanswered)} of the judged questions: "
            f"{few(unanswered)}",
        )


def _prompts(source: _Source) -> Iterator[Finding]:
    names = {_judge_of(row)[1] for row in source.rows} - {""}
    if unknown := sorted(names - _PROMPTS):
        yield Finding(
            "other_prompts",
            f"judged with prompts that are not FastChat's for single grading: {', '.join(unknown)}",
        )
    lost = [
        _place_of(row)
        for row in source.rows
        if row.get("user_prompt")
        and row["question_id"] in source.questions
        and source.questions[row["question_id"]]["turns"][int(row["turn"]) - 1]
        not in str(row["user_prompt"])
    ]
    if lost:
        yield Finding(
            "other_questions",
            f"{len(lost)} of {len(source.rows)} prompts do not hold MT-Bench's question: "
            f"{_shown(lost)}",
        )


def _judges(source: _Source) -> Iterator[Finding]:
    names = sorted({_judge_of(row)[0] for row in source.rows})
    if len(names) > 1:
        yield Finding("several_judges", f"rated by several judges: {', '.join(names)}")


_CHECKS = (_count, _repeats, _failed, _scores, _other_answers, _prompts, _judges)
