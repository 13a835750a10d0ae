"""What can be wrong with MT-Bench judgments, said with counts and what it does to the figures.

A false alarm is worse than a miss: answers are only held against prompts where both are there, and
the texts inside a prompt are searched for, whatever template surrounds them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from evalkit import data
from evalkit.core import Finding, Json
from evalkit.importers._common import few, named_rows
from evalkit.judges.rating_fastchat import read_rating

__all__ = ["Checked", "inspect", "judge_of"]

Row = Mapping[str, Json]
QUESTIONS = 80
_MOSTLY = 0.5
_PROMPTS = frozenset(
    f"single-{kind}{turns}" for kind in ("v1", "math-v1") for turns in ("", "-multi-turn")
)


@dataclass(frozen=True)
class Checked:
    """One model's rows and what they are held against."""

    model: str
    rows: tuple[Row, ...]
    answers: Mapping[int, tuple[str, ...]]
    """By question; empty where no answer file was given."""
    questions: Mapping[int, Row]
    """MT-Bench's; empty where they are not at hand."""
    file: data.Dataset | None
    """The answer file."""


def inspect(known: Checked) -> list[Finding]:
    """Everything that is wrong with one model's judgments."""
    checks = (_count, _repeats, _failed, _scores, _answers, _prompts, _judges)
    return [finding for check in checks for finding in check(known)]


def judge_of(row: Row) -> tuple[str, str]:
    """Model and prompt of the judge."""
    judge = row.get("judge")
    if isinstance(judge, list) and judge:
        return str(judge[0]), str(judge[1]) if len(judge) > 1 else ""
    return str(judge or "unknown"), ""


def _place(row: Row) -> tuple[int, int]:
    return int(row["question_id"]), int(row["turn"])


def _shown(places: list[tuple[int, int]]) -> str:
    return few([f"question {question} turn {turn}" for question, turn in places])


def _count(known: Checked) -> Iterator[Finding]:
    judged = {_place(row) for row in known.rows}
    questions = {question for question, _ in judged}
    foreign = sorted(q for q in questions if known.questions and q not in known.questions)
    if foreign:
        yield Finding(
            "foreign_questions",
            f"{len(foreign)} of {len(questions)} questions are not MT-Bench's: {few(foreign)}",
        )
    if len(questions) != QUESTIONS:
        yield Finding(
            "count",
            f"{len(questions)} questions were judged, MT-Bench has {QUESTIONS}: the score is not "
            f"comparable with published ones",
        )
    lacking = sorted((q, t) for q in questions for t in (1, 2) if (q, t) not in judged)
    if lacking:
        yield Finding(
            "missing_turns",
            f"{len(lacking)} of {2 * len(questions)} answers have no judgment: {_shown(lacking)}",
        )


def _repeats(known: Checked) -> Iterator[Finding]:
    counts = Counter(_place(row) for row in known.rows)
    repeated = sorted(place for place, n in counts.items() if n > 1)
    if not repeated:
        return
    extra = sum(counts[place] - 1 for place in repeated)
    yield Finding(
        "repeated_rows",
        f"{named_rows(extra)} judge an answer again ({len(repeated)} answers, {_shown(repeated)}); "
        f"FastChat's averages count every row, and so do these",
    )


def _failed(known: Checked) -> Iterator[Finding]:
    failed = [row for row in known.rows if row["score"] == -1]
    if not failed:
        return
    share = len(failed) / len(known.rows)
    left = len(known.rows) - len(failed)
    where = _shown([_place(row) for row in failed])
    if share > _MOSTLY:
        yield Finding(
            "mostly_unparsable",
            f"{len(failed)} of {len(known.rows)} ratings are -1: the judge's run is broken; "
            f"FastChat would print the mean of the {left} that are left",
        )
    else:
        yield Finding(
            "unparsable",
            f"{len(failed)} of {len(known.rows)} ratings are -1 ({where}); they are left out of "
            f"the averages and counted as missing",
            damaged=False,
        )


def _scores(known: Checked) -> Iterator[Finding]:
    """What the judgment says must be what was written down as its score."""
    other = []
    for row in known.rows:
        read = read_rating(row["judgment"])
        if not math.isclose(-1.0 if read is None else read, float(row["score"])):
            other.append(_place(row))
    if other:
        yield Finding(
            "score_not_in_text",
            f"{len(other)} of {len(known.rows)} scores are not what FastChat's pattern reads from "
            f"their judgments: {_shown(other)}; the scores as written down are used",
        )
    beyond = [_place(r) for r in known.rows if r["score"] != -1 and not 1 <= r["score"] <= 10]
    if beyond:
        yield Finding(
            "impossible_score",
            f"{named_rows(len(beyond))} with a score outside 1 to 10: {_shown(beyond)}",
        )


def _answers(known: Checked) -> Iterator[Finding]:
    if known.file is None:
        return
    other, checked = [], 0
    for row in known.rows:
        question, turn = _place(row)
        turns = known.answers.get(question, ())
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
            f"{known.file.path.name} ({_shown(other)}): judged was another model or run",
        )
    unanswered = sorted({q for q, _ in map(_place, known.rows)} - set(known.answers))
    if unanswered:
        yield Finding(
            "answers_missing",
            f"{known.file.path.name} has no answers to {len(unanswered)} of the judged questions: "
            f"{few(unanswered)}",
        )


def _prompts(known: Checked) -> Iterator[Finding]:
    names = {judge_of(row)[1] for row in known.rows} - {""}
    if unknown := sorted(names - _PROMPTS):
        yield Finding(
            "other_prompts",
            f"judged with prompts that are not FastChat's for single grading: {', '.join(unknown)}",
        )
    lost = [
        _place(row)
        for row in known.rows
        if row.get("user_prompt")
        and row["question_id"] in known.questions
        and known.questions[row["question_id"]]["turns"][int(row["turn"]) - 1]
        not in str(row["user_prompt"])
    ]
    if lost:
        yield Finding(
            "other_questions",
            f"{len(lost)} of {len(known.rows)} prompts do not hold MT-Bench's question: "
            f"{_shown(lost)}",
        )


def _judges(known: Checked) -> Iterator[Finding]:
    names = sorted({judge_of(row)[0] for row in known.rows})
    if len(names) > 1:
        yield Finding("several_judges", f"rated by several judges: {', '.join(names)}")
