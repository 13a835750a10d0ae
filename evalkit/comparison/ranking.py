"""In which order several models stand, as far as the data say: rank ranges, never a bare order.

    per-sample scores ─ every pair, paired ─▶ p ─ Holm ─▶ which pairs are separated ─▶ rank ranges
    pairwise games ───── Bradley-Terry strengths ──────▶ differences ─ the same ─▶ rank ranges

A pair is separated where one model is better once all pairs are corrected for; everything else is
left open.  Two benchmarks have games: AlpacaEval, where every model meets one reference
(`win_rate`), and MT-Bench by pairs (`win_rate_adjusted`), where models meet named rivals, turn by
turn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import TypeAlias

from evalkit.comparison.figures import compare_scores, scores_of
from evalkit.core import Record
from evalkit.core.contests import Contest
from evalkit.core.figures import Comparison, FigureKey
from evalkit.core.run import BenchmarkEntry
from evalkit.stats.decisions import holm
from evalkit.stats.means import p_value
from evalkit.stats.strengths import BradleyTerry, Game, bradley_terry, strength_difference

__all__ = [
    "ELO",
    "Contrast",
    "Floor",
    "Pairing",
    "Rank",
    "Ranking",
    "Strengths",
    "floors",
    "games",
    "rank",
    "rankings",
    "strengths",
]

Floor: TypeAlias = Mapping[frozenset[str], float]
"""By pair the adjusted p that the same difference has elsewhere in the run: a ranking corrects over
other pairs, and must not order what the run's own contests leave open."""
_NONE: Floor = MappingProxyType({})
_NO_FLOORS: Mapping[FigureKey, Floor] = MappingProxyType({})
ELO = 400 / math.log(10)
"""Elo points of one unit of log strength."""
_AGAINST_REFERENCE = "win_rate"
_AGAINST_RIVALS = "win_rate_adjusted"


@dataclass(frozen=True)
class Contrast:
    """What is known of two models before all pairs are corrected for."""

    a: str
    b: str
    advantage: float | None
    """How much better a is than b, whatever the metric's direction; None: not comparable."""
    p: float | None
    """Two-sided."""


@dataclass(frozen=True)
class Pairing:
    """Two models and whether the data order them."""

    above: str
    below: str
    separated: bool
    """The data carry this order; else it is left open, and only says whose points are higher."""
    p_adjusted: float | None
    """Of the order that its own contrast points to, by Holm over both directions of all pairs."""
    follows: bool = False
    """Separated, though not by its own p: a third model stands between them."""


@dataclass(frozen=True)
class Rank:
    """The ranks that the data leave to one model; 1 is best."""

    model: str
    first: int
    last: int


@dataclass(frozen=True)
class Ranking:
    """The order of some models, as far as it is known."""

    places: tuple[Rank, ...]
    """By points, best first; but nothing stands above what it is separated from below."""
    pairings: tuple[Pairing, ...]
    """Every pair once, in the order of `places`."""
    tiers: tuple[tuple[str, ...], ...]
    """The order that is certain: every model of a tier stands above every model of the next."""
    contradictory: tuple[str, ...] = ()
    """Models whose pairs go round in a circle, which only happens where they share too few
    samples; among themselves they are left open."""

    def place(self, model: str) -> Rank | None:
        """A model's place; None where it has no points."""
        return next((p for p in self.places if p.model == model), None)


def floors(contests: Iterable[Contest]) -> dict[FigureKey, dict[frozenset[str], float]]:
    """By figure what a leaderboard's p of a pair may not fall below."""
    found: dict[FigureKey, dict[frozenset[str], float]] = {}
    for contest in contests:
        if contest.key.category is None:
            pair = frozenset((contest.comparison.candidate, contest.comparison.baseline))
            p = 1.0 if contest.p_adjusted is None else contest.p_adjusted
            found.setdefault(contest.key, {})[pair] = p
    return found


def rankings(
    records: Sequence[Record],
    entries: Sequence[BenchmarkEntry],
    level: float,
    floors: Mapping[FigureKey, Floor] = _NO_FLOORS,
) -> Iterator[tuple[FigureKey, Ranking, tuple[Comparison, ...]]]:
    """The ranking of all models on the primary metric of every task.

    Args:
        records: canonical order.
        entries: benchmarks with their metrics; others than primary ones are passed over.
        level: probability that all of a ranking's statements hold together.
        floors: by figure.

    Yields:
        (figure, ranking, every pair's comparison in the order of its pairings) for tasks with
        scores of two models or more.
    """
    for of in scores_of(records, entries):
        models = [model for model, scores in of.scores.items() if scores]
        if not of.metric.primary or of.key.category is not None or len(models) < 2:
            continue
        sign = 1 if of.metric.higher_is_better else -1
        known = [compare_scores(of, a, b, level) for a, b in combinations(models, 2)]
        contrasts = [
            Contrast(c.candidate, c.baseline, None if point is None else sign * point, c.p)
            for c in known
            for point in [c.difference.point]
        ]
        points = {m: sign * sum(of.scores[m].values()) / len(of.scores[m]) for m in models}
        ranking = rank(points, contrasts, level, floors.get(of.key, _NONE))
        rows = [compare_scores(of, p.above, p.below, level) for p in ranking.pairings]
        yield of.key, ranking, tuple(rows)


def rank(
    points: Mapping[str, float], contrasts: Sequence[Contrast], level: float, floor: Floor = _NONE
) -> Ranking:
    """Rank ranges from contrasts of all pairs.

    Both directions of every pair are one-sided hypotheses, and Holm's correction is over all of
    them; so with probability `level` or more every separation is right at once, whatever the
    dependence, and every true rank lies in its range (the sets of Mogstad, Romano, Shaikh and
    Wilhelm 2024, "Inference for ranks", from a step-down family).  With two models this is the
    plain two-sided test.  What follows from two separations (a above b, b above c) holds with
    them, and is used.

    Args:
        points: of every model, higher is better; decides nothing but the order of rows.
        contrasts: at most one a pair; a pair without one is open.
        level: see above, between 0 and 1.
        floor: adjusted p that a pair has elsewhere.  Where that leaves it open, it is open here,
            by way of a third model too: the weakest separations that would order it go.

    Raises:
        KeyError: a contrast of a model without points.
    """
    models = sorted(points, key=lambda m: -points[m])
    adjusted = {
        pair: None if p is None else max(p, floor.get(frozenset(pair), 0.0))
        for pair, p in _adjusted(contrasts).items()
    }
    own = {pair for pair, p in adjusted.items() if p is not None and p <= 1 - level}
    above = _closed(own)
    contradictory = {a for a, b in above if (b, a) in above}
    own = {(a, b) for a, b in own if (b, a) not in above}
    undecided = {pair for pair, p in floor.items() if p > 1 - level}
    own = _leaving_open(own, undecided, adjusted)
    above = _closed(own)
    order = _in_order(models, above)
    return Ranking(
        places=tuple(
            Rank(
                model,
                1 + sum((other, model) in above for other in models),
                len(models) - sum((model, other) in above for other in models),
            )
            for model in order
        ),
        pairings=tuple(_pairing((a, b), adjusted, (own, above)) for a, b in combinations(order, 2)),
        tiers=_tiers(order, above),
        contradictory=tuple(m for m in order if m in contradictory),
    )


def _adjusted(contrasts: Sequence[Contrast]) -> dict[tuple[str, str], float | None]:
    """Per (better, worse) the adjusted one-sided p that `better` is not."""
    directions: dict[tuple[str, str], float | None] = {}
    for c in contrasts:
        unknown = c.p is None or c.advantage is None
        half = 0.0 if c.p is None else c.p / 2
        ahead = (c.advantage or 0.0) > 0
        directions[c.a, c.b] = None if unknown else half if ahead else 1 - half
        directions[c.b, c.a] = None if unknown else 1 - half if ahead else half
    adjusted = holm(list(directions.values()))
    return dict(zip(directions, adjusted, strict=True))


def _leaving_open(
    own: set[tuple[str, str]],
    undecided: set[frozenset[str]],
    adjusted: Mapping[tuple[str, str], float | None],
) -> set[tuple[str, str]]:
    """The separations, strongest first, that put no undecided pair in order between them."""
    if not any(frozenset(pair) in undecided for pair in _closed(own)):
        return own
    kept: set[tuple[str, str]] = set()
    for pair in sorted(own, key=lambda q: (adjusted[q] or 0.0, q)):
        if not any(frozenset(q) in undecided for q in _closed({*kept, pair})):
            kept.add(pair)
    return kept


def _closed(above: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """With everything that follows."""
    below: dict[str, set[str]] = {}
    for a, b in above:
        below.setdefault(a, set()).add(b)
    return {(a, b) for a in below for b in _reached(a, below)}


def _reached(start: str, below: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = list(below.get(start, ()))
    while todo:
        model = todo.pop()
        if model not in found:
            found.add(model)
            todo += below.get(model, ())
    return found


def _in_order(models: Sequence[str], above: set[tuple[str, str]]) -> list[str]:
    """By points, but after every model that stands above."""
    left, order = list(models), []
    while left:
        free = next(m for m in left if not any((other, m) in above for other in left))
        left.remove(free)
        order.append(free)
    return order


def _tiers(order: Sequence[str], above: set[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    tiers: list[tuple[str, ...]] = []
    start = 0
    for end in range(1, len(order) + 1):
        if all((a, b) in above for a in order[start:end] for b in order[end:]):
            tiers.append(tuple(order[start:end]))
            start = end
    return tuple(tiers)


def _pairing(
    pair: tuple[str, str],
    adjusted: Mapping[tuple[str, str], float | None],
    relations: tuple[set[tuple[str, str]], set[tuple[str, str]]],
) -> Pairing:
    own, above = relations
    known = [p for p in (adjusted.get(pair), adjusted.get(pair[::-1])) if p is not None]
    return Pairing(*pair, pair in above, min(known, default=None), pair in above - own)


# --- games ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Strengths:
    """One task's players."""

    benchmark: str
    task: str
    result: BradleyTerry
    ranking: Ranking | None
    """By differences of strengths; None where strengths or their errors do not exist."""
    several_rivals: bool
    """Models met more than one opponent, so that plain rates have different opponents."""


def strengths(
    records: Sequence[Record],
    entries: Sequence[BenchmarkEntry],
    level: float,
    references: Mapping[str, str],
    floors: Mapping[FigureKey, Floor] = _NO_FLOORS,
) -> list[Strengths]:
    """Bradley-Terry strengths of every task with games between three players or more.

    Args:
        records: canonical order.
        entries: benchmarks with their metrics.
        level: of intervals and rankings.
        references: what to call the reference of a benchmark entry; default: `reference`.
        floors: see `rankings`.
    """
    found = []
    for entry in entries:
        for task, metrics in entry.metrics.items():
            mine = [r for r in records if (r.benchmark, r.task) == (entry.name, task)]
            primary = {m.name for m in metrics if m.primary}
            played = list(games(mine, primary, references.get(entry.name, "reference")))
            if len({name for game in played for name in (game.a, game.b)}) > 2:
                result = bradley_terry(played, level)
                rivals = {game.b for game in played}
                floor = {
                    pair: p
                    for name in sorted(primary)
                    for pair, p in floors.get(FigureKey(entry.name, task, name), {}).items()
                }
                ranking = _by_strength(result, level, floor)
                found.append(Strengths(entry.name, task, result, ranking, len(rivals) > 1))
    return found


def games(records: Sequence[Record], primary: set[str], reference: str) -> Iterator[Game]:
    """Games in one task's records, each once though both players may have a record of it."""
    seen: set[tuple[frozenset[str], str, str]] = set()
    for record in records:
        if record.outcome.status == "excluded":
            continue
        for score in record.outcome.scores:
            turn, _, rival = score.part.partition("#")
            if score.metric not in primary:
                continue
            if score.metric == _AGAINST_REFERENCE and not score.part:
                rival = reference
            elif score.metric != _AGAINST_RIVALS or not rival:
                continue
            key = (frozenset((record.model, rival)), record.sample, turn)
            if rival != record.model and key not in seen:
                seen.add(key)
                cluster = record.cluster or record.sample
                yield Game(record.model, rival, score.value, cluster)


def _by_strength(result: BradleyTerry, level: float, floor: Floor) -> Ranking | None:
    strengths = result.strengths
    points = {name: s.point for name, s in strengths.items() if s.point is not None}
    if result.covariance is None or len(points) < len(strengths):
        return None
    contrasts = []
    for a, b in combinations(points, 2):
        found = strength_difference(result, a, b)
        contrasts.append(Contrast(a, b, found.point, p_value(found)))
    return rank(points, contrasts, level, floor)
