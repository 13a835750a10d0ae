"""Several models in the order the data carry: rank ranges, strengths, published rows unranked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from evalkit.compare.family import floors
from evalkit.compare.old_ranking import Pairing, Ranking, rankings
from evalkit.compare.strengths import ELO, Strengths, strengths
from evalkit.core import Comparison, Estimate, Metric
from evalkit.draw import Cell, Column, Group, Table, count, difference, figure, interval, p_value
from evalkit.report.blocks import Block, Details, Note, Section, Text
from evalkit.report.health import weakly_judged
from evalkit.report.published import PUBLISHED, is_published
from evalkit.report.view import BenchmarkView, Measure, View, mapping
from evalkit.report.words import (
    COUNTED,
    benchmark_label,
    bounds,
    has_width,
    level_text,
    measure_label,
    metric_label,
    unit_text,
)

__all__ = ["build"]

_WEAK = "Weak judge."
_ENOUGH = 3
"""Models from which on there is a leaderboard."""
_ALL_PAIRS = 10
"""Models up to which every pair is shown; with more, neighbours only."""

_Ranked = tuple[Ranking, tuple[Comparison, ...]]


def build(view: View) -> Section | None:
    """One subsection per benchmark where three models or more have a headline figure."""
    if not view.sealed or len(view.models) < _ENOUGH:
        return None
    metrics = {b.name: _metrics(b) for b in view.benchmarks}
    floor = floors(view.rows)
    ranked = {
        (benchmark, task): (ranking, pairs)
        for benchmark, task, ranking, pairs in rankings(
            view.run.records, metrics, view.level, floor
        )
    }
    played = {
        (s.benchmark, s.task): s
        for s in strengths(view.run.records, metrics, view.level, _references(view), floor)
    }
    parts = []
    for benchmark in view.benchmarks:
        blocks = [
            block
            for measure in benchmark.measures
            if measure.metric.primary
            for key in [(measure.benchmark, measure.task)]
            for block in _blocks(view, measure, ranked.get(key), played.get(key))
        ]
        if blocks:
            parts.append(Section(benchmark_label(benchmark.name), tuple(blocks)))
    return Section("Leaderboard", (_intro(view), *parts)) if parts else None


def _metrics(benchmark: BenchmarkView) -> Mapping[str, Sequence[Metric]]:
    return {
        task: [m.metric for m in benchmark.measures if m.task == task] for task in benchmark.tasks
    }


def _references(view: View) -> dict[str, str]:
    """What the models of AlpacaEval were preferred to, by the name that is stored."""
    found = {}
    for benchmark in view.benchmarks:
        about = benchmark.description
        name = about.get("reference") or mapping(about.get("data")).get("file")
        if name:
            found[benchmark.name] = f"{name} (reference)"
    return found


def _intro(view: View) -> Text:
    return Text(
        "A rank is a range where the data leave it open: two models are in order only where "
        "their paired difference is, after Holm's correction over all pairs of the table, and "
        "never where the verdict above leaves the two open. All "
        f"ranges of a table hold together with {level_text(view.level)} confidence. Published "
        "figures have no samples to pair, and no rank."
    )


def _blocks(
    view: View, measure: Measure, ranked: _Ranked | None, played: Strengths | None
) -> Iterator[Block]:
    figures = [e for m in view.models if (e := view.estimate(m.name, measure)) is not None]
    if sum(e.point is not None for e in figures) < _ENOUGH:
        return
    ranking = ranked[0] if ranked else None
    by_strength = played is not None and played.several_rivals
    if by_strength:
        ranking = None
    if measure.benchmark in weakly_judged(view) and (ranking or by_strength):
        yield Note("The order is what a model of the suite prefers, not what people would.", _WEAK)
    yield _board(view, measure, figures, ranking)
    if by_strength:
        yield Text(
            "These rates are against different opponents, which the strengths below take into "
            "account; so ranks are given there."
        )
    elif ranking is not None and ranked is not None:
        yield Text(_certain(ranking), "What is certain:")
        yield Details(_pairs_summary(ranking), (_pairs(measure, ranked),))
    if played is not None:
        yield _strengths(played)


def _board(
    view: View, measure: Measure, figures: Sequence[Estimate], ranking: Ranking | None
) -> Table:
    columns = (
        Column("Rank", "right"),
        Column("Model", header=True),
        Column("Figure", "right"),
        Column(f"{level_text(view.level)} interval", "right"),
        Column("n", "right"),
        Column("Missing", "right"),
        Column("Role"),
    )
    roles = {m.name: m.role for m in view.models}
    known = {e.model: e for e in figures}
    places = ranking.places if ranking else ()
    ours = [p.model for p in places if p.model in known]
    sign = -1 if measure.metric.higher_is_better else 1
    rest = sorted(
        (e for e in figures if e.model not in ours),
        key=lambda e: (e.point is None, sign * (e.point or 0.0)),
    )
    groups = [
        Group("", tuple(_row(known[name], ranking, roles[name]) for name in ours)),
        Group(
            "Not ranked: published or recorded figures, without samples to pair"
            if all(e.source for e in rest)
            else "Not ranked",
            tuple(_row(e, None, roles[e.model]) for e in rest),
        ),
    ]
    label = f"{measure_label(measure)}: {metric_label(measure.metric)}"
    direction = "" if measure.metric.higher_is_better else ", lower is better"
    note = (
        f"In {unit_text(measure.metric.unit)}{direction}. The interval is of the figure alone: "
        f"two that overlap may be in order, because differences are paired. {COUNTED}"
    )
    return Table(label, columns, tuple(g for g in groups if g.rows), note)


def _row(e: Estimate, ranking: Ranking | None, role: str) -> tuple[Cell, ...]:
    if is_published(e):
        role = PUBLISHED
    elif e.source:
        role = f"{role}, recorded"
    text = bounds(e)
    return (
        _rank(e.model, ranking),
        Cell.text(e.model),
        Cell(e.point, figure(e.point, e.unit), e.source or e.method),
        Cell(text if has_width(e) else None, text),
        Cell(e.n, count(e.n)) if e.n else Cell.missing("not stated"),
        Cell.missing("not stated") if e.source else Cell(e.n_missing, count(e.n_missing)),
        Cell.text(role),
    )


def _rank(model: str, ranking: Ranking | None) -> Cell:
    place = ranking.place(model) if ranking else None
    if place is None:
        return Cell.missing("not ranked")
    if place.first == place.last:
        return Cell(place.first, count(place.first))
    return Cell.text(f"{count(place.first)} to {count(place.last)}")


def _certain(ranking: Ranking) -> str:
    """The order of tiers in a sentence, and what goes round in a circle."""
    tiers = ranking.tiers
    if not any(p.separated for p in ranking.pairings):
        return f"nothing; {_listed([p.model for p in ranking.places])} are in no certain order."
    if len(tiers) > 1:
        text = f"{', above '.join(_tier(tier) for tier in tiers)}."
    else:
        some = [f"{p.above} above {p.below}" for p in ranking.pairings if p.separated]
        rest = f" and {count(len(some) - 5)} more pairs" if len(some) > 5 else ""
        text = f"only {', '.join(some[:5])}{rest}; no model is above all the others."
    if ranking.contradictory:
        text += (
            f" The samples that {_listed(ranking.contradictory)} share contradict each other "
            "from pair to pair, so these are left open among themselves."
        )
    return text


def _tier(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{_listed(names)} (in no certain order)"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _pairs_summary(ranking: Ranking) -> str:
    return "Every pair" if len(ranking.places) <= _ALL_PAIRS else "Every pair of neighbours"


def _pairs(measure: Measure, ranked: _Ranked) -> Table:
    ranking, comparisons = ranked
    level = level_text(comparisons[0].level)
    columns = (
        Column("Pair", header=True),
        Column("Difference", "right"),
        Column(f"{level} interval", "right"),
        Column("p (Holm)", "right"),
        Column("n", "right"),
        Column("Order"),
    )
    places = [p.model for p in ranking.places]
    neighbours = set(pairwise(places))
    shown = [
        _pair_row(pairing, c)
        for pairing, c in zip(ranking.pairings, comparisons, strict=True)
        if len(places) <= _ALL_PAIRS or (pairing.above, pairing.below) in neighbours
    ]
    note = (
        "Differences are of the samples both have; intervals are of one pair, uncorrected. "
        "p: that the order is the other way round or there is none, corrected for all pairs, or "
        "for the headline comparisons where that is more."
    )
    return Table.of(f"{measure_label(measure)}: pairs", columns, shown, note)


def _pair_row(pairing: Pairing, c: Comparison) -> tuple[Cell, ...]:
    word = "in order" if pairing.separated else "open"
    if pairing.follows:
        word = "in order by way of a third"
    return (
        Cell.text(f"{pairing.above} minus {pairing.below}"),
        Cell(c.difference, difference(c.difference, c.unit), c.method),
        Cell(c.low, bounds(c)),
        Cell(pairing.p_adjusted, p_value(pairing.p_adjusted)),
        Cell(c.n, count(c.n)),
        Cell.text(word, tone="" if pairing.separated else "unclear"),
    )


def _strengths(played: Strengths) -> Details | Table:
    """Folded away where plain rates say the same: against one reference."""
    result, ranking = played.result, played.ranking
    columns = (
        Column("Rank", "right"),
        Column("Player", header=True),
        Column("Strength", "right"),
        Column(f"{level_text(result.level)} interval", "right"),
        Column("Games", "right"),
    )
    order = [p.model for p in ranking.places] if ranking else [s.model for s in result.strengths]
    by_name = {s.model: s for s in result.strengths}
    rows = []
    for s in (by_name[name] for name in order):
        point, low, high = (None if v is None else ELO * v for v in (s.point, s.low, s.high))
        rows.append(
            (
                _rank(s.model, ranking),
                Cell.text(s.model),
                Cell(point, difference(point, "characters"), result.method),
                Cell(low, interval(low, high, "characters", signed=True)),
                Cell(s.n, count(s.n)),
            )
        )
    note = (
        f"{result.method[:1].upper()}{result.method[1:]}. In Elo points from the mean of all "
        "players: 100 more is won 64 times in 100."
    )
    table = Table.of("Strengths from games between pairs", columns, rows, note)
    return table if played.several_rivals else Details("Strengths (Bradley-Terry)", (table,))
