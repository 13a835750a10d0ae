"""Pairs of answers to one question, with what the judge made of them, out of runs.

Two kinds: `judged` is what a judge compared (an AlpacaEval answer with the reference's, an MT-Bench
answer with a rival's), `models` sets candidate and baseline side by side on every sample both
answered, with the better score as the judge's preference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evalkit.core import Json, Judgment, Record, Run
from evalkit.exporters import _about as about

__all__ = ["Pair", "judged_pairs", "model_pairs"]


@dataclass(frozen=True)
class Pair:
    """One answer beside another to the same question."""

    run_id: str
    record: Record
    """Of the model whose answer it is."""
    part: str
    """`turn_2`: up to the second answer; empty: the whole conversation."""
    other: str
    """Whose the other answer is: a model, or the generator of the reference."""
    question: str
    answer: str
    other_answer: str
    preference: float | None
    """For `answer`, 0 to 1; None: the judge gave no verdict."""
    judge: str
    """Judge's name; `scores` where the preference is that of two scores."""
    protocol: str
    votes: tuple[float, ...] = ()

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes it this pair, whatever run it is from."""
        r = self.record
        return (r.benchmark, r.task, r.sample, self.part, r.model, self.other)


def judged_pairs(run: Run) -> tuple[list[Pair], int]:
    """What judges of `run` compared, and how many comparisons lack the other answer's text."""
    by_key = {r.key: r for r in run.records}
    found: dict[frozenset[str], Pair] = {}
    lacking = 0
    for record in run.records:
        described = about.description(run, record.benchmark)
        for judgment in record.outcome.judgments:
            if described.get("type") == "alpaca_eval":
                pair = _with_reference(run, record, judgment, described)
            elif "#" in judgment.part:
                pair = _with_rival(run, record, judgment, by_key)
            else:
                continue
            lacking += pair is None
            if pair is not None:  # both models of a match keep a record of it: one is enough
                found.setdefault(frozenset((*pair.identity[:4], record.model, pair.other)), pair)
    return list(found.values()), lacking


def _with_reference(
    run: Run, record: Record, judgment: Judgment, described: Mapping[str, Json]
) -> Pair | None:
    outcome = record.outcome
    if not outcome.answers or not outcome.reference:
        return None
    generator = described.get("reference")
    other = generator if isinstance(generator, str) else "reference"
    texts = (_questions(record, None), outcome.answers[0], outcome.reference[0])
    return _pair(run, record, judgment, ("", other), texts)


def _with_rival(
    run: Run, record: Record, judgment: Judgment, by_key: Mapping[tuple[str, str, str, str], Record]
) -> Pair | None:
    part, _, rival = judgment.part.partition("#")
    theirs = by_key.get((rival, record.benchmark, record.task, record.sample))
    turn = int(part.rpartition("_")[2])
    if theirs is None or min(len(r.outcome.answers) for r in (record, theirs)) < turn:
        return None
    texts = (_questions(record, turn), _answers(record, turn), _answers(theirs, turn))
    return _pair(run, record, judgment, (part, rival), texts)


def _pair(
    run: Run,
    record: Record,
    judgment: Judgment,
    names: tuple[str, str],
    texts: tuple[str, str, str],
) -> Pair:
    part, other = names
    return Pair(
        str(run.manifest.get("run_id")), record, part, other, *texts, judgment.value,
        judgment.judge, judgment.protocol, judgment.votes,
    )  # fmt: skip


def model_pairs(run: Run) -> Iterator[Pair]:
    """Candidate and baseline on every sample that both answered and that has a primary score."""
    by_key = {r.key: r for r in run.records}
    for candidate, baseline in dict.fromkeys((c.candidate, c.baseline) for c in run.comparisons):
        for record in run.records:
            theirs = by_key.get((baseline, *record.key[1:]))
            if record.model != candidate or theirs is None:
                continue
            if record.outcome.answers and theirs.outcome.answers and _is_generated(record):
                yield _side_by_side(run, record, theirs)


def _is_generated(record: Record) -> bool:
    """The answers are text that the model wrote, not choices with their log-probabilities."""
    return any(message.role == "assistant" for message in record.outcome.conversation)


def _side_by_side(run: Run, record: Record, theirs: Record) -> Pair:
    metric = _primary(run, record)
    ours, other = (_mean(r, str(metric.get("name"))) for r in (record, theirs))
    preference = None
    if ours is not None and other is not None:
        sign = 1 if metric.get("higher_is_better", True) else -1
        preference = 0.5 if ours == other else float(sign * (ours - other) > 0)
    return Pair(
        run_id=str(run.manifest.get("run_id")),
        record=record,
        part="",
        other=theirs.model,
        question=_questions(record, None),
        answer=_answers(record, None),
        other_answer=_answers(theirs, None),
        preference=preference,
        judge="scores",
        protocol=str(metric.get("name", "")),
    )


def _primary(run: Run, record: Record) -> Mapping[str, Json]:
    metrics = about.declared(run, record.benchmark, record.task)
    return next((m for m in metrics if m.get("primary")), {})


def _mean(record: Record, metric: str) -> float | None:
    values = [s.value for s in record.outcome.scores if s.metric == metric]
    excluded = record.outcome.status == "excluded"
    return math.fsum(values) / len(values) if values and not excluded else None


def _questions(record: Record, turns: int | None) -> str:
    asked = [m for m in record.outcome.conversation if m.role == "user"]
    return _numbered([m.content for m in asked][:turns], "Question")


def _answers(record: Record, turns: int | None) -> str:
    return _numbered(list(record.outcome.answers)[:turns], "Answer")


def _numbered(texts: Sequence[str], word: str) -> str:
    if len(texts) == 1:
        return texts[0]
    return "\n\n".join(f"[{word} {n}]\n{text}" for n, text in enumerate(texts, 1))
