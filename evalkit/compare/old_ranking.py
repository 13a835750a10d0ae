"""In which order several models stand, as far as the data say: rank ranges, never a bare order.

    per-sample scores ─ every pair, paired ─▶ p ─ Holm ─▶ which pairs are separated ─▶ rank ranges

A pair is separated where one model is better once all pairs are corrected for; everything else is
left open.  Games between models (pairwise judgments) are ranked by strength in `strengths.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import TypeAlias

from evalkit.compare.comparisons import compare_cell
from evalkit.compare.scores import Metrics, cells
from evalkit.core import Comparison, Record
from evalkit.stats import holm

__all__ = ["Contrast", "Floor", "Pairing", "Place", "Ranking", "rank", "rankings"]

Floor: TypeAlias = Mapping[frozenset[str], float]
"""By pair the adjusted p that the same difference has elsewhere in the run: a ranking corrects over
other pairs, and must not order what the run's own comparisons leave open."""
_NONE: Floor = MappingProxyType({})


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
class Place:
    """The ranks that the data leave to one model; 1 is best."""

    model: str
    first: int
    last: int


@dataclass(frozen=True)
class Ranking:
    """All that may be said about the order of some models."""

    places: tuple[Place, ...]
    """By points, best first; but nothing stands above what it is separated from below."""
    pairings: tuple[Pairing, ...]
    """Every pair once, in the order of `places`."""
    tiers: tuple[tuple[str, ...], ...]
    """The order that is certain: every model of a tier stands above every model of the next."""
    contradictory: tuple[str, ...] = ()
    """Models whose pairs go round in a circle, which only happens where they share too few
    samples; among themselves they are left open."""

    def place(self, model: str) -> Place | None:
        """A model's place; None where it has no points."""
        return next((p for p in self.places if p.model == model), None)


def rankings(
    records: Sequence[Record],
    metrics: Metrics,
    level: float,
    floors: Mapping[tuple[str, str, str], Floor] = MappingProxyType({}),
) -> Iterator[tuple[str, str, Ranking, tuple[Comparison, ...]]]:
    """The ranking of all models on the primary metric of every task.

    Args:
        records: canonical order.
        metrics: by benchmark entry and task; others than primary ones are passed over.
        level: probability that all of a ranking's statements hold together.
        floors: by benchmark, task and metric.

    Yields:
        (benchmark, task, ranking, every pair's comparison in the order of its pairings) for tasks
        with scores of two models or more.
    """
    primary = {
        benchmark: {task: [m for m in found if m.primary] for task, found in tasks.items()}
        for benchmark, tasks in metrics.items()
    }
    for cell in cells(records, primary):
        models = [model for model, scores in cell.scores.items() if scores]
        if cell.category is not None or len(models) < 2:
            continue
        sign = 1 if cell.metric.higher_is_better else -1
        known = [compare_cell(cell, a, b, level) for a, b in combinations(models, 2)]
        contrasts = [
            Contrast(c.candidate, c.baseline, _times(sign, c.difference), c.p) for c in known
        ]
        points = {
            model: sign * sum(cell.scores[model].values()) / len(cell.scores[model])
            for model in models
        }
        floor = floors.get((cell.benchmark, cell.task, cell.metric.name), _NONE)
        ranking = rank(points, contrasts, level, floor)
        rows = [compare_cell(cell, p.above, p.below, level) for p in ranking.pairings]
        yield cell.benchmark, cell.task, ranking, tuple(rows)


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
            Place(
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


def _times(sign: int, value: float | None) -> float | None:
    return None if value is None else sign * value


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
