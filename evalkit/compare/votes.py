"""What people say of the answers that judges compared, and how far judges agree, with them or not.

    run.votes ─┬─ agreement with each judge, and of people among themselves
               └─ the figure that people would give, from few votes and all judgments

A judge's choice counts as people's does: a preference above one half is a choice for the answer,
one half is a tie.  Ties, and several votes on one pair, are counted as FastChat's compute_agreement
counts them: each vote with the judge's verdict, and each two votes with each other.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import correlation
from typing import TypeAlias

from evalkit.compare.pairs import Pair, Place, judged_pairs, model_pairs
from evalkit.core import Record
from evalkit.core.run import Run
from evalkit.core.votes import Vote
from evalkit.stats.agreement import Agreement, Choices, agreement

__all__ = ["JudgeAgreement", "People", "judge_agreement", "judge_agreements", "people"]

Answer: TypeAlias = tuple[str, Hashable, str]
"""Unit of resampling, its record's key, and the part of it that was judged."""


@dataclass(frozen=True)
class People:
    """One judge on one benchmark beside the people who voted on what it judged."""

    judge: str
    """`scores` where two answers were compared by the scores each got."""
    benchmark: str
    n_votes: int
    """Choices between answers that the judge compared, too; what was skipped does not count."""
    n_pairs: int
    """Pairs of answers that were voted on."""
    n_voters: int
    with_judge: Agreement
    """A judge's verdict and one vote on it are a pair of choices."""
    among_people: Agreement
    """Two votes on the same answers are a pair of choices."""


def people(run: Run, level: float = 0.95) -> list[People]:
    """A row for each judge of a benchmark with votes, in the run's order; empty without votes."""
    by_place: dict[Place, list[Vote]] = {}
    for vote in run.votes:
        if vote.choice != "skip":
            by_place.setdefault(vote.place, []).append(vote)
    pairs = _pairs(run) if by_place else ()
    found: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        if pair.place in by_place:
            found.setdefault((pair.judge, pair.record.benchmark), []).append(pair)
    return [_people(*key, held, by_place, level) for key, held in found.items()]


def _pairs(run: Run) -> Iterator[Pair]:
    judges = dict.fromkeys(j.judge for r in run.records for j in r.outcome.judgments)
    for judge in judges:
        yield from judged_pairs(run, judge)
    for pair in model_pairs(run):
        named = ", ".join(run.benchmark(pair.record.benchmark).judges)
        yield replace(pair, judge=named or pair.judge)


def _people(
    judge: str,
    benchmark: str,
    pairs: Iterable[Pair],
    by_place: Mapping[Place, list[Vote]],
    level: float,
) -> People:
    with_judge: list[Choices] = []
    among: list[Choices] = []
    cast: list[Vote] = []
    places = set()
    for pair in pairs:
        votes, record = by_place[pair.place], pair.record
        unit = (record.task, record.cluster or record.sample)
        choices = [_for(vote, record.model) for vote in votes]
        if pair.preference is not None:
            with_judge += [(unit, pair.preference, choice) for choice in choices]
        among += [(unit, *two) for two in combinations(choices, 2)]
        cast += votes
        places.add(pair.place)
    return People(
        judge=judge,
        benchmark=benchmark,
        n_votes=len(cast),
        n_pairs=len(places),
        n_voters=len({vote.voter for vote in cast}),
        with_judge=agreement(with_judge, level),
        among_people=agreement(among, level, symmetric=True),
    )


def _for(vote: Vote, model: str) -> float:
    preference = vote.preference_for(model)
    assert preference is not None, "skipped votes are left out"
    return preference


# --- judges with one another ----------------------------------------------------------------------


@dataclass(frozen=True)
class JudgeAgreement:
    """Two judges of the same answers of one benchmark."""

    benchmark: str
    judges: tuple[str, str]
    n: int
    """Answers that both gave a valid judgment."""
    verdicts: Agreement | None
    """How often both preferred the same answer, or neither; None: they rate."""
    correlation: float | None
    """Pearson's, of the judgments' values; None where a judge gave one value only."""


def judge_agreements(records: Sequence[Record], level: float) -> list[JudgeAgreement]:
    """A row per benchmark and two judges that judged the same answers, in order."""
    found: dict[str, dict[str, dict[Answer, float]]] = {}
    for record in records:
        for j in record.outcome.judgments:
            if j.status == "ok" and j.value is not None:
                of = found.setdefault(record.benchmark, {}).setdefault(j.judge, {})
                of[record.cluster, record.key, j.part] = j.value
    return [
        judge_agreement(benchmark, (first, second), judges[first], judges[second], level)
        for benchmark, judges in found.items()
        for first, second in combinations(judges, 2)
        if not judges[first].keys().isdisjoint(judges[second])
    ]


def judge_agreement(
    benchmark: str,
    judges: tuple[str, str],
    first: Mapping[Answer, float],
    second: Mapping[Answer, float],
    level: float,
) -> JudgeAgreement:
    """Of two judges' values by answer, at least one answer common to both."""
    common = [(of[0], value, second[of]) for of, value in first.items() if of in second]
    ours, theirs = [a for _, a, _ in common], [b for _, _, b in common]
    preferences = max(*ours, *theirs) <= 1
    varied = len(set(ours)) > 1 and len(set(theirs)) > 1
    return JudgeAgreement(
        benchmark,
        judges,
        len(common),
        agreement(common, level) if preferences else None,
        correlation(ours, theirs) if varied else None,
    )
