"""Pairs of answers to one question, for people to choose from and for a judge to be checked by.

`judged_pairs`: what a judge compared (an AlpacaEval answer with the reference's, an MT-Bench answer
with a rival's).  `model_pairs`: candidate beside baseline on every sample that both answered, with
the better score as the judge's preference.  Argilla's export, the report's voting page and the
agreement of judges with people are all over these.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from evalkit.core.run import Run
from evalkit.core.samples import Judgment, Outcome, Record

__all__ = ["Pair", "Place", "judged_pairs", "model_pairs"]

Place: TypeAlias = tuple[str, str, str, str, frozenset[str]]
"""Benchmark entry, task, sample, part, and whose answers are compared."""


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
    has_texts: bool
    """The run has both answers; else the three texts are of no use to people."""
    preference: float | None
    """For `answer`, 0 to 1; None: the judge gave no verdict."""
    judge: str
    """Judge's name; `scores` where the preference is that of two scores."""
    protocol: str
    votes: tuple[float, ...] = ()

    @property
    def place(self) -> Place:
        """Where it is, whichever of the two answers is named first."""
        r = self.record
        return r.benchmark, r.task, r.sample, self.part, frozenset((r.model, self.other))

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes it this pair, whatever run it is from."""
        r = self.record
        return (r.benchmark, r.task, r.sample, self.part, r.model, self.other)


def judged_pairs(run: Run, judge: str | None = None) -> list[Pair]:
    """What a judge compared (None: any), in the run's order; also what it gave no verdict on.

    Once each: where both models of a match keep a record of it, the first counts; of any judges,
    a panel's judgments of one answer are one, with their mean.
    """
    by_key = {r.key: r for r in run.records}
    found: dict[Place, Pair] = {}
    for record in run.records:
        said = run.benchmark(record.benchmark).description
        for judgment in _judgments(record.outcome, judge):
            part, _, rival = judgment.part.partition("#")
            if said.type == "alpaca_eval":
                other = said.reference if isinstance(said.reference, str) else "reference"
                theirs = record.outcome.reference[:1]
            elif rival:
                opponent = by_key.get((rival, *record.key[1:]))
                other, theirs = rival, () if opponent is None else opponent.outcome.answers
            else:
                continue
            turns = int(part.rpartition("_")[2]) if part else 1
            has_texts = min(len(record.outcome.answers), len(theirs)) >= turns
            pair = Pair(
                run_id=run.manifest.run_id,
                record=record,
                part=part,
                other=other,
                question=_questions(record, turns if part else None),
                answer=_numbered(record.outcome.answers[:turns], "Answer") if has_texts else "",
                other_answer=_numbered(theirs[:turns], "Answer") if has_texts else "",
                has_texts=has_texts,
                preference=judgment.value,
                judge=judgment.judge,
                protocol=judgment.protocol,
                votes=judgment.votes,
            )
            found.setdefault(pair.place, pair)
    return list(found.values())


def _judgments(outcome: Outcome, judge: str | None) -> Iterator[Judgment]:
    """A judge's; of any (None), those of several judges of one answer as one, without votes."""
    by_part: dict[str, list[Judgment]] = {}
    for judgment in outcome.judgments:
        by_part.setdefault(judgment.part, []).append(judgment)
    for found in by_part.values():
        names = dict.fromkeys(j.judge for j in found)
        if judge is not None or len(names) == 1:
            yield from (j for j in found if judge in (None, j.judge))
            continue
        values = [j.value for j in found if j.value is not None]
        mean = math.fsum(values) / len(values) if values else None
        yield replace(found[0], judge=", ".join(names), protocol="panel", value=mean, votes=())


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
    metrics = run.benchmark(record.benchmark).metrics.get(record.task, ())
    metric = next((m for m in metrics if m.primary), None)
    name = "" if metric is None else metric.name
    ours, other = (_mean(r, name) for r in (record, theirs))
    preference = None
    if metric is not None and ours is not None and other is not None:
        sign = 1 if metric.higher_is_better else -1
        preference = 0.5 if ours == other else float(sign * (ours - other) > 0)
    return Pair(
        run_id=run.manifest.run_id,
        record=record,
        part="",
        other=theirs.model,
        question=_questions(record, None),
        answer=_numbered(record.outcome.answers, "Answer"),
        other_answer=_numbered(theirs.outcome.answers, "Answer"),
        has_texts=True,
        preference=preference,
        judge="scores",
        protocol=name,
    )


def _mean(record: Record, metric: str) -> float | None:
    values = [s.value for s in record.outcome.scores if s.metric == metric]
    excluded = record.outcome.status == "excluded"
    return math.fsum(values) / len(values) if values and not excluded else None


def _questions(record: Record, turns: int | None) -> str:
    texts = [m.content for m in record.outcome.conversation if m.role == "user"]
    return _numbered(texts[:turns], "Question")


def _numbered(texts: Sequence[str], word: str) -> str:
    if len(texts) == 1:
        return texts[0]
    return "\n\n".join(f"[{word} {n}]\n{text}" for n, text in enumerate(texts, 1))
