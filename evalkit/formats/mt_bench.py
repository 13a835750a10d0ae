r"""FastChat's MT-Bench judgments (and answers) as evidence, and what can be wrong with them.

Source: https://github.com/lm-sys/FastChat, `fastchat/llm_judge`, files `gpt-4_single.jsonl`,
`gpt-4_pair.jsonl` and `model_answer/MODEL.jsonl`.  One raw row of each (texts shortened):

    {"question_id": 143, "model": "mistral-orpo", "judge": ["gpt-4", "single-v1-multi-turn"],
     "user_prompt": "<|The Start of Assistant A's ...", "judgment": "... Rating: [[7]]",
     "score": 7, "turn": 2, "tstamp": 1711645958.0}
    {"question_id": 81, "model_1": "alpaca", "model_2": "gpt-3.5-turbo", "g1_winner": "model_1",
     "g2_winner": "tie", "judge": ["gpt-4", "pair-v2"], "g1_user_prompt": "...",
     "g1_judgment": "... [[A]]", "g2_user_prompt": "...", "g2_judgment": "...", "turn": 1}
    {"question_id": 81, "model_id": "mistral-orpo",
     "choices": [{"index": 0, "turns": ["...", "..."]}]}

Pairs: `model_1` is shown first in game 1, second in game 2.  As in `show_result.py --mode
pairwise-*`, a pair with an `error` in either game is left out, verdicts that differ are a tie, and
a model's rates are over all its pairs.  Two models of one pair share the name of the part, so that
their difference is taken question by question.

A score of -1 means that no rating could be read.  As in FastChat's `show_result.py`, every other
row enters the averages, repeated ones too; here a repetition is a score of its own part
(`turn_1#2`) of the same question, so intervals know that it is no new question.

A false alarm is worse than a miss: answers are only checked against prompts where both are there,
and the texts inside a prompt are searched for, whatever template surrounds them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from evalkit import catalogue, data
from evalkit.benchmarks import mt_bench as rules
from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.core.figures import Finding, Metric
from evalkit.core.requests import Json, Message
from evalkit.core.run import Description
from evalkit.core.samples import Exchange, Judgment, Outcome, Record, Score
from evalkit.errors import DataError
from evalkit.formats._reading import (
    Row,
    few,
    named_rows,
    no_files,
    not_read,
    pairs_of,
    pick_models,
    remark,
    sorted_out,
)
from evalkit.judges.rating_fastchat import read_score, read_winner

__all__ = ["read"]

KIND = "mt_bench"
RULES = 1
_FIELDS = {"model": str, "turn": int, "judgment": str}
_PAIR_FIELDS = {"model_1": str, "model_2": str, "g1_winner": str, "g2_winner": str, "turn": int}
_KINDS = {
    "judgments": frozenset({"question_id", "model", "judgment"}),
    "pairs": frozenset(_PAIR_FIELDS),
    "answers": frozenset({"question_id", "choices"}),
}
_WINNERS = ("model_1", "model_2", "tie", "error")
_QUESTIONS = "mt_bench/question"
_HUGE = 1e6
"""Beyond any rating; infinities too are above it."""
_MOSTLY = 0.5
_PROMPTS = {
    "single": frozenset(
        f"single-{kind}{turns}" for kind in ("v1", "math-v1") for turns in ("", "-multi-turn")
    ),
    "pairwise": frozenset(
        f"pair-{kind}{turns}" for kind in ("v2", "math-v1") for turns in ("", "-multi-turn")
    ),
}


@dataclass(frozen=True)
class _Source:
    """One model's rows of one file, and what they are checked against."""

    model: str
    stored: str
    rows: tuple[Row, ...]
    judgments: data.Dataset
    file: data.Dataset | None
    """The answer file."""
    answers: Mapping[str, tuple[str, ...]]
    """By question; empty where no answer file was given."""
    questions: Mapping[str, Row]
    """MT-Bench's; empty where they are not here."""
    rivals: tuple[str, ...] = ()
    """Of pairs: what the model was compared with."""

    @property
    def baseline(self) -> str | None:
        """Of pairs: the model that all others of the file were compared with; None: none."""
        row = self.judgments.records[0]
        return next((row[m] for m in ("model_2", "model_1") if row.get(m) in self._common), None)

    @property
    def is_one_pair(self) -> bool:
        """All judgments are of the same two models."""
        return len(self._common) == 2

    @cached_property
    def _common(self) -> frozenset[str]:
        """Of pairs: the models that stand in every row of the file."""
        rows = self.judgments.records if self.rivals else ()
        pairs = [frozenset((str(row["model_1"]), str(row["model_2"]))) for row in rows]
        return frozenset.intersection(*pairs) if pairs else frozenset()

    @property
    def mode(self) -> Literal["single", "pairwise"]:
        """How answers were judged, as the benchmark calls it."""
        return "pairwise" if self.rivals else "single"

    @property
    def turns(self) -> tuple[int, ...]:
        """Of an answer: 1 and 2; of pairs those that any pair was judged on."""
        return tuple(sorted({int(row["turn"]) for row in self.rows})) if self.rivals else (1, 2)


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
    kinds, others = sorted_out(files, _KINDS)
    judgments = [*kinds["judgments"], *kinds["pairs"]]
    if not judgments:
        raise no_files(files, [*kinds["answers"], *others], "judgments of FastChat")
    for path in judgments:
        dataset = data.read_jsonl(path)
        columns = _columns(dataset)
        for name in dict.fromkeys(str(row[c]) for c in columns for row in dataset.records):
            mine = tuple(row for row in dataset.records if name in (row[c] for c in columns))
            found.append((dataset, name, mine))
    named = pick_models([name for _, name, _ in found], options.models)
    left = (not_read(others, "neither judgments nor answers of FastChat"),) if others else ()
    names = [found[i][1] for i, _ in named]
    matched = pairs_of(names, options.companion, kinds["answers"], "model_id")
    questions: Mapping[str, Row] = {}
    if not data.missing([_QUESTIONS], options.places):
        known = data.records(_QUESTIONS, options.places).records
        questions = {str(row["question_id"]): row for row in known}
    made = []
    for (i, name), file in zip(named, matched, strict=True):
        dataset, stored, rows = found[i]
        rivals = tuple(dict.fromkeys(_rival(row, stored) for row in rows if "model_1" in row))
        answers = {} if file is None else _answers(file)
        source = _Source(name, stored, rows, dataset, file, answers, questions, rivals)
        made.append(_evidence(source, options.entry or KIND, left))
    return made


def _columns(dataset: data.Dataset) -> tuple[str, ...]:
    """The fields that name a row's models.  Raises DataError for rows that are not FastChat's."""
    first = dataset.records[0] if dataset.records else {}
    is_pairs = all(name in first for name in _PAIR_FIELDS)
    data.require(dataset, _PAIR_FIELDS if is_pairs else _FIELDS)
    for place, row in zip(dataset.places, dataset.records, strict=True):
        number, turn = row.get("question_id"), row["turn"]
        if isinstance(number, bool) or not isinstance(number, int | str):
            raise DataError(
                f"{place}: question_id is {number!r:.40}, expected a number or a text; correct "
                f"the record"
            )
        if turn not in (1, 2):
            raise DataError(f"{place}: turn is {turn!r}, expected 1 or 2; correct the record")
        odd = [row[game] for game in ("g1_winner", "g2_winner") if is_pairs]
        if any(winner not in _WINNERS for winner in odd):
            raise DataError(
                f"{place}: the winners are {odd!r:.60}, expected {', '.join(_WINNERS)}; correct "
                f"the record"
            )
    if not is_pairs:
        _require_scores(dataset)
    return ("model_1", "model_2") if is_pairs else ("model",)


def _rival(row: Row, model: str) -> str:
    return str(row["model_2"] if row["model_1"] == model else row["model_1"])


def _require_scores(dataset: data.Dataset) -> None:
    for place, row in zip(dataset.places, dataset.records, strict=True):
        score = row.get("score")
        if isinstance(score, bool) or not isinstance(score, int | float) or abs(score) > _HUGE:
            shown = repr(score) if len(repr(score)) <= 40 else f"{repr(score)[:37]}..."
            raise DataError(
                f"{place}: score is {shown}, expected a number from 1 to 10, or -1 where none was "
                f"read; correct the record"
            )


def _evidence(source: _Source, entry: str, left: Sequence[Finding]) -> Evidence:
    by_question: dict[str, list[Row]] = {}
    for row in source.rows:
        by_question.setdefault(str(row["question_id"]), []).append(row)
    order = list(by_question)
    if any(number in by_question for number in source.questions):
        order = [*source.questions, *(n for n in by_question if n not in source.questions)]
    return Evidence(
        model=source.model,
        entry=entry,
        kind=KIND,
        description=_description(source),
        metrics={rules.TASK: _metrics(source)},
        records=tuple(_record(source, entry, n, by_question.get(n, [])) for n in order),
        findings=(*left, *(finding for check in _CHECKS for finding in check(source))),
    )


def _metrics(source: _Source) -> tuple[Metric, ...]:
    """Pairs of first turns alone have no rates of second ones."""
    if source.mode == "single":
        return rules.METRICS
    parts = tuple(f"turn_{turn}" for turn in source.turns)
    gone = tuple(part for part in rules.PARTS if part not in parts)
    return tuple(
        replace(metric, parts=parts) if metric.parts == rules.PARTS else metric
        for metric in rules.pair_metrics()
        if not metric.name.endswith(gone)
    )


def _answers(dataset: data.Dataset) -> dict[str, tuple[str, ...]]:
    data.require(dataset, {"choices": list})
    found: dict[str, tuple[str, ...]] = {}
    for place, row in zip(dataset.places, dataset.records, strict=True):
        try:
            turns = _texts(row["choices"][0]["turns"])
        except (IndexError, KeyError, TypeError) as error:
            raise DataError(
                f"{place}: choices is {repr(row['choices'])[:60]}; expected choices[0].turns, a "
                f"list of texts: correct or remove the record"
            ) from error
        number = str(row.get("question_id"))
        if found.setdefault(number, turns) != turns:
            raise DataError(
                f"{place}: a second, different answer to question {number}; keep the one that was "
                f"judged"
            )
    return found


def _texts(turns: Json) -> tuple[str, ...]:
    if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
        raise TypeError("turns are not texts")
    return tuple(turns)


def _record(source: _Source, entry: str, number: str, rows: Sequence[Row]) -> Record:
    question, answers = source.questions.get(number), source.answers.get(number, ())
    turns = tuple(question["turns"]) if question is not None else ()
    category = str(question["category"]) if question is not None else None
    judgments: list[Judgment] = []
    scores: list[Score] = []
    seen: Counter[str] = Counter()
    for row in sorted(rows, key=lambda row: int(row["turn"])):
        turn = int(row["turn"])
        judgment = _judgment(row) if source.mode == "single" else _match(row, source)
        judgments.append(judgment)
        if judgment.value is not None:
            seen[judgment.part] += 1
            repeat = seen[judgment.part]
            if source.mode == "single":
                scores += rules.rating_scores(turn, judgment.value, repeat=repeat)
            else:
                again = f"#{repeat}" if repeat > 1 else ""
                rival = judgment.part.partition("#")[2] + again
                scores += rules.pair_scores(rival, f"turn_{turn}", judgment.value)
    said = tuple(
        message
        for text, answer in zip(turns, answers, strict=False)
        for message in (Message("user", text), Message("assistant", answer))
    )
    failed = next((j for j in judgments if j.status != "ok"), None)
    judged, wanted = len({row["turn"] for row in rows}), len(source.turns)
    missing = f"the evidence has {judged} of {wanted} turns judged"
    status = "ok" if failed is None else failed.status
    if judged < wanted and failed is None:
        status = "excluded" if not rows else "unparsable"
    outcome = Outcome(
        status,
        said or tuple(Message("user", turn) for turn in turns[:1]),
        answers=answers,
        scores=tuple(scores),
        judgments=tuple(judgments),
        error=None if status == "ok" else (failed.error if failed is not None else missing),
    )
    return Record(source.model, entry, rules.TASK, number, category, number, outcome)


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


def _match(row: Row, source: _Source) -> Judgment:
    """One pair in both orders, as the model sees it: 1 it won both, 0 it lost both, else a tie."""
    ours = "model_1" if row["model_1"] == source.stored else "model_2"
    worth = {ours: 1.0, "tie": 0.5}
    games = [(f"g{n}", row[f"g{n}_winner"]) for n in ((1, 2) if ours == "model_1" else (2, 1))]
    failed = any(winner == "error" for _, winner in games)
    votes = () if failed else tuple(worth.get(winner, 0.0) for _, winner in games)
    value = None if failed else votes[0] if votes[0] == votes[1] else 0.5
    rival = str(source.baseline) if source.is_one_pair else _rival(row, source.stored)
    return Judgment(
        judge=_judge_of(row)[0],
        protocol="recorded",
        status="unparsable" if failed else "ok",
        value=value,
        part=rules.pair_part(rival, f"turn_{row['turn']}"),
        votes=votes,
        exchanges=tuple(
            Exchange(
                (Message("user", str(row.get(f"{game}_user_prompt") or "")),),
                str(row.get(f"{game}_judgment") or ""),
            )
            for game, _ in games
        ),
        error="no winner could be read from a judgment (error)" if failed else None,
    )


def _description(source: _Source) -> Description:
    judges = sorted({_judge_of(row)[0] for row in source.rows})
    prompts = sorted({_judge_of(row)[1] for row in source.rows})
    files = [source.judgments, *([source.file] if source.file is not None else [])]
    return Description(
        type=KIND,
        version=f"1.{RULES}",
        mode=source.mode,
        reference=source.baseline,
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


def _place_of(row: Row) -> tuple[str, int]:
    return str(row["question_id"]), int(row["turn"])


def _in_order(places: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Numbers by their size, other names by their letters."""
    return sorted(places, key=lambda place: (len(place[0]), place))


def _shown(places: list[tuple[str, int]]) -> str:
    return few([f"question {question} turn {turn}" for question, turn in places])


def _count(source: _Source) -> Iterator[Finding]:
    expected = catalogue.BENCHMARKS[KIND].samples
    judged = {_place_of(row) for row in source.rows}
    questions = {question for question, _ in judged}
    strange = [(q, 0) for q in questions if source.questions and q not in source.questions]
    foreign = [q for q, _ in _in_order(strange)]
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
    if not source.questions:
        yield remark(
            "no_questions",
            "MT-Bench's questions are not here, so answers have no category, and missing ones "
            "cannot be counted",
        )
    if source.turns != (1, 2):
        yield remark("one_turn", f"only turn {source.turns[0]} was judged, MT-Bench has two")
    every = ((q, t) for q in questions for t in source.turns)
    lacking = _in_order(place for place in every if place not in judged)
    if lacking:
        yield Finding(
            "missing_turns",
            f"{len(lacking)} of {len(source.turns) * len(questions)} answers have no judgment: "
            f"{_shown(lacking)}",
        )


def _repeats(source: _Source) -> Iterator[Finding]:
    counts = Counter(
        (_place_of(row), _rival(row, source.stored) if source.rivals else "") for row in source.rows
    )
    repeated = _in_order(place for (place, _), n in counts.items() if n > 1)
    if not repeated:
        return
    extra = sum(n - 1 for n in counts.values())
    yield Finding(
        "repeated_rows",
        f"{named_rows(extra)} judge an answer again ({len(repeated)} answers, {_shown(repeated)}); "
        f"FastChat's averages count every row, and so do these",
    )


def _failed(source: _Source) -> Iterator[Finding]:
    failed = [row for row in source.rows if _is_failed(row)]
    if not failed:
        return
    share = len(failed) / len(source.rows)
    left = len(source.rows) - len(failed)
    where = _shown([_place_of(row) for row in failed])
    if share > _MOSTLY:
        yield Finding(
            "mostly_unparsable",
            f"{len(failed)} of {len(source.rows)} judgments have no verdict (-1, error): the "
            f"judge's run is broken; FastChat would print the mean of the {left} that are left",
        )
    else:
        yield Finding(
            "unparsable",
            f"{len(failed)} of {len(source.rows)} judgments have no verdict (-1, error: {where}); "
            f"they are left out of the averages and counted as missing",
            damaged=False,
        )


def _is_failed(row: Row) -> bool:
    return row.get("score") == -1 or "error" in (row.get("g1_winner"), row.get("g2_winner"))


def _scores(source: _Source) -> Iterator[Finding]:
    """What the judgment says must be what was written down as its score."""
    other = []
    for row in source.rows:
        if source.mode == "pairwise":
            same = _says_winner(row, "g1", "model_1") and _says_winner(row, "g2", "model_2")
        else:
            read = read_score(row["judgment"])
            same = math.isclose(-1.0 if read is None else read, float(row["score"]))
        if not same:
            other.append(_place_of(row))
    if other:
        yield Finding(
            "score_not_in_text",
            f"{len(other)} of {len(source.rows)} scores are not what FastChat's pattern reads from "
            f"their judgments: {_shown(other)}; the scores as written down are used",
        )
    rated = [r for r in source.rows if source.mode == "single" and not _is_failed(r)]
    beyond = [_place_of(r) for r in rated if not 1 <= r["score"] <= 10]
    if beyond:
        yield Finding(
            "impossible_score",
            f"{named_rows(len(beyond))} with a score outside 1 to 10: {_shown(beyond)}",
        )


def _says_winner(row: Row, game: str, first: str) -> bool:
    """Whether the reply names the stored winner, where both are there; `first` was called A."""
    reply, winner = row.get(f"{game}_judgment"), row[f"{game}_winner"]
    if not isinstance(reply, str) or winner == "error":
        return True
    shown = {"A": first, "B": "model_2" if first == "model_1" else "model_1", "tie": "tie"}
    read = read_winner(reply)
    return read is not None and shown[read] == winner


def _prompt_of(row: Row) -> str:
    return str(row.get("user_prompt") or row.get("g1_user_prompt") or "")


def _other_answers(source: _Source) -> Iterator[Finding]:
    if source.file is None:
        return
    other, checked = [], 0
    for row in source.rows:
        question, turn = _place_of(row)
        turns = source.answers.get(question, ())
        prompt = _prompt_of(row)
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
    lacking = {(q, 0) for q, _ in map(_place_of, source.rows) if q not in source.answers}
    unanswered = [q for q, _ in _in_order(lacking)]
    if unanswered:
        yield Finding(
            "answers_missing",
            f"{source.file.path.name} has no answers to {len(unanswered)} of the judged questions: "
            f"{few(unanswered)}",
        )


def _prompts(source: _Source) -> Iterator[Finding]:
    names = {_judge_of(row)[1] for row in source.rows} - {""}
    if unknown := sorted(names - _PROMPTS[source.mode]):
        kind = "single grading" if source.mode == "single" else "pairs"
        yield Finding(
            "other_prompts",
            f"judged with prompts that are not FastChat's for {kind}: {', '.join(unknown)}",
        )
    lost = [
        _place_of(row)
        for row in source.rows
        if _prompt_of(row)
        and str(row["question_id"]) in source.questions
        and source.questions[str(row["question_id"])]["turns"][int(row["turn"]) - 1]
        not in _prompt_of(row)
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
