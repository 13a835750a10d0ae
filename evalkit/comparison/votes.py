"""What people say of the answers that judges compared, and how far judges agree, with them or not.

    run.votes ─┬─ agreement with each judge, and of people among themselves
               └─ the figure that people would give, from few votes and all judgments

A judge's choice counts as people's does: a preference above one half is a choice for the answer,
one half is a tie.  Ties, and several votes on one pair, are counted as FastChat's compute_agreement
counts them: each vote with the judge's verdict, and each two votes with each other.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import correlation, fmean
from typing import TypeAlias

from pydantic_core import to_jsonable_python

from evalkit.comparison.pairs import Pair, Place, judged_pairs, model_pairs
from evalkit.core import Json, Record
from evalkit.core.figures import Measured
from evalkit.core.run import Run
from evalkit.core.votes import Vote
from evalkit.draw import (
    Cell,
    Column,
    Table,
    benchmark_label,
    bounds,
    ci,
    count,
    figure,
    significant,
)
from evalkit.stats.agreement import Agreement, Choices, agreement
from evalkit.stats.means import mean
from evalkit.stats.ppi import ppi_mean

__all__ = [
    "JudgeAgreement",
    "People",
    "Preferred",
    "agreement_table",
    "all_pairs",
    "judge_agreement",
    "judge_agreements",
    "people",
    "people_json",
    "people_tables",
]

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
    preferred: tuple[Preferred, ...]
    """For each two whose answers the judge compared and people voted on."""


@dataclass(frozen=True)
class Preferred:
    """How often one's answers are preferred to another's; ties are half."""

    judge: str
    benchmark: str
    task: str
    model: str
    other: str
    """Another model, or the reference."""
    by_people: Measured
    """Percent; what people would say of all pairs, from their votes and the judge's verdicts
    (`ppi_mean`).  `n`: pairs with both."""
    by_judge: Measured
    """Percent, of all pairs the judge compared."""

    @property
    def sentence(self) -> str:
        """Both, with their intervals."""
        people, judge = (
            f"{figure(value.point, 'percent')}% ({ci(value.level)} {bounds(value, 'percent')})"
            for value in (self.by_people, self.by_judge)
        )
        return (
            f"{benchmark_label(self.benchmark)}: people would prefer {self.model} to {self.other} "
            f"in {people}, estimated from votes on {count(self.by_people.n)} of "
            f"{count(self.by_judge.n)} pairs and all verdicts; {self.judge} prefers it in {judge}."
        )


def people(run: Run, level: float = 0.95) -> list[People]:
    """A row for each judge of a benchmark with votes, in the run's order; empty without votes."""
    by_place: dict[Place, list[Vote]] = {}
    for vote in run.votes:
        if vote.choice != "skip":
            by_place.setdefault(vote.place, []).append(vote)
    pairs = all_pairs(run) if by_place else ()
    found: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        found.setdefault((pair.judge, pair.record.benchmark), []).append(pair)
    return [
        _people(*key, held, by_place, level)
        for key, held in found.items()
        if any(pair.place in by_place for pair in held)
    ]


def all_pairs(run: Run) -> Iterator[Pair]:
    """Of each judge what it compared, then models by the scores each got."""
    judges = dict.fromkeys(j.judge for r in run.records for j in r.outcome.judgments)
    for judge in judges:
        yield from judged_pairs(run, judge)
    for pair in model_pairs(run):
        named = ", ".join(run.benchmark(pair.record.benchmark).judges)
        yield replace(pair, judge=named or pair.judge)


def _people(
    judge: str,
    benchmark: str,
    pairs: Sequence[Pair],
    by_place: Mapping[Place, list[Vote]],
    level: float,
) -> People:
    with_judge: list[Choices] = []
    among: list[Choices] = []
    cast: list[Vote] = []
    voted = [pair for pair in pairs if pair.place in by_place]
    for pair in voted:
        votes, unit = by_place[pair.place], _unit(pair)
        choices = [_for(vote, pair.record.model) for vote in votes]
        if pair.preference is not None:
            with_judge += [(unit, pair.preference, choice) for choice in choices]
        among += [(unit, *two) for two in combinations(choices, 2)]
        cast += votes
    return People(
        judge=judge,
        benchmark=benchmark,
        n_votes=len(cast),
        n_pairs=len(voted),
        n_voters=len({vote.voter for vote in cast}),
        with_judge=agreement(with_judge, level),
        among_people=agreement(among, level, symmetric=True),
        preferred=tuple(_preferred(pairs, by_place, level)),
    )


def _preferred(
    pairs: Sequence[Pair], by_place: Mapping[Place, list[Vote]], level: float
) -> Iterator[Preferred]:
    sides: dict[tuple[str, str, str], list[Pair]] = {}
    for pair in pairs:
        sides.setdefault((pair.record.task, pair.record.model, pair.other), []).append(pair)
    for (task, model, other), held in sides.items():
        units = {pair.place: _unit(pair) for pair in held}
        verdicts = {p.place: 100 * p.preference for p in held if p.preference is not None}
        votes = {
            place: 100 * fmean(_for(vote, model) for vote in by_place[place])
            for place in units
            if place in by_place
        }
        if votes:
            yield Preferred(
                judge=held[0].judge,
                benchmark=held[0].record.benchmark,
                task=task,
                model=model,
                other=other,
                by_people=ppi_mean(votes, verdicts, units, level).measured,
                by_judge=mean(
                    list(verdicts.values()), [units[place] for place in verdicts], level,
                    scale=(0.0, 100.0),
                ),
            )  # fmt: skip


def _unit(pair: Pair) -> tuple[str, str]:
    return pair.record.task, pair.record.cluster or pair.record.sample


def _for(vote: Vote, model: str) -> float:
    preference = vote.preference_for(model)
    assert preference is not None, "skipped votes are left out"
    return preference


def people_tables(found: Sequence[People]) -> list[Table]:
    """Agreement, and what people prefer beside what the judge does."""

    def row(one: People, who: str, n: int, of: Agreement) -> tuple[Cell, ...]:
        shares = (of.alike, of.without_ties)
        return (
            Cell.text(benchmark_label(one.benchmark)),
            Cell.text(who),
            Cell(n, count(n)),
            *(cell for share in shares for cell in _measured(share)),
            Cell(of.kappa.point, significant(of.kappa.point), of.kappa.how),
            Cell.text(_ends(of.kappa)),
        )

    rows = []
    for one in found:
        rows.append(row(one, f"{one.judge} and people", one.with_judge.alike.n, one.with_judge))
        rows.append(row(one, "people among themselves", one.among_people.alike.n, one.among_people))
    confidence = ci(found[0].with_judge.alike.level) if found else ""
    columns = (
        Column("Benchmark", header=True),
        Column("Who"),
        Column("n", "right"),
        Column("Agree", "right"),
        Column(confidence, "right"),
        Column("Without ties", "right"),
        Column(confidence, "right"),
        Column("Kappa", "right"),
        Column(confidence, "right"),
    )
    note = (
        "Agree: percent of votes with the verdict on the same answers, or with another vote; a tie "
        "is a choice. Without ties: where neither is one. Kappa: Cohen's; 0 is chance, 1 always "
        "alike."
    )
    preferred = [p for one in found for p in one.preferred]
    sides = (
        Column("Benchmark", header=True),
        Column("Preferred"),
        Column("To"),
        Column("Votes on", "right"),
        Column("People, %", "right"),
        Column(confidence, "right"),
        Column("Judge"),
        Column("Judge, %", "right"),
        Column(confidence, "right"),
        Column("Pairs", "right"),
    )
    how = (
        "People: what they would say of all pairs, estimated from their votes and all verdicts "
        "(prediction-powered); it presumes that the pairs voted on are a random choice. A tie is "
        "half."
    )
    return [
        Table.of("Agreement with people", columns, rows, note),
        Table.of(
            "What people prefer",
            sides,
            [
                (
                    Cell.text(benchmark_label(p.benchmark)),
                    Cell.text(p.model),
                    Cell.text(p.other),
                    Cell(p.by_people.n, count(p.by_people.n)),
                    *_measured(p.by_people),
                    Cell.text(p.judge),
                    *_measured(p.by_judge),
                    Cell(p.by_judge.n, count(p.by_judge.n)),
                )
                for p in preferred
            ],
            how,
        ),
    ]


def _measured(value: Measured) -> tuple[Cell, Cell]:
    return (
        Cell(value.point, figure(value.point, "percent"), value.how),
        Cell.text(bounds(value, "percent")),
    )


def _ends(value: Measured) -> str:
    if value.low is None:
        return significant(None)
    return f"{significant(value.low)} to {significant(value.high)}"


def people_json(found: Sequence[People]) -> list[Json]:
    """By field name."""
    return [to_jsonable_python(one) for one in found]


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


def agreement_table(between: Sequence[JudgeAgreement]) -> Table:
    """One row each."""
    columns = (
        Column("Benchmark", header=True),
        Column("Judges"),
        Column("Answers", "right"),
        Column("Same verdict", "right"),
        Column("Kappa", "right"),
        Column("Correlation", "right"),
    )
    note = (
        "Over answers that both judges judged. Same verdict: the same answer preferred, or none. "
        "Kappa: Cohen's, of these verdicts; 0 is chance, 1 always the same. Correlation: "
        "Pearson's, of preferences or ratings. A panel's score is the mean of its judges' valid "
        "judgments."
    )
    rows = [_agreement_row(one) for one in between]
    return Table.of("Agreement between judges", columns, rows, note)


def _agreement_row(one: JudgeAgreement) -> tuple[Cell, ...]:
    alike, kappa = Cell.missing("ratings"), Cell.missing("ratings")
    if one.verdicts is not None:
        share, beyond = one.verdicts.alike.point, one.verdicts.kappa.point
        alike = Cell(share, figure(share, "percent"))
        kappa = Cell(beyond, significant(beyond))
    return (
        Cell.text(one.benchmark),
        Cell.text(" and ".join(one.judges)),
        Cell(one.n, count(one.n)),
        alike,
        kappa,
        Cell(one.correlation, significant(one.correlation)),
    )
