"""What people say of the answers that judges compared, and how far judges agree with them.

    run.votes ─┬─ agreement with each judge, and of people among themselves
               └─ the figure that people would give, from few votes and all judgments

A judge's choice counts as people's does: a preference above one half is a choice for the answer,
one half is a tie.  Ties, and several votes on one pair, are counted as FastChat's compute_agreement
counts them: each vote with the judge's verdict, and each two votes with each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from evalkit.compare.pairs import Pair, Place, judged_pairs, model_pairs
from evalkit.core.run import Run
from evalkit.core.votes import Vote
from evalkit.stats.agreement import Agreement, Choices, agreement

__all__ = ["People", "people"]


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
        named = run.benchmark(pair.record.benchmark).judge
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
