"""How often two choose alike between the same answers, and how alike repeated ratings are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from evalkit.core.figures import Estimator, Interval, Measured, Method
from evalkit.stats.means import (
    check_finite,
    check_probability,
    is_binary,
    mean,
    share,
    t_quantile,
)

__all__ = ["Agreement", "Choices", "agreement", "intraclass"]

Choices: TypeAlias = tuple[Hashable, float, float]
"""Unit of resampling, and two preferences for the same answer: above, at or below one half."""
_TIE = 0.5


@dataclass(frozen=True)
class Agreement:
    """Of one who judges with another."""

    alike: Measured
    """Percent of pairs of choices that are the same, ties counting as a choice."""
    without_ties: Measured
    """The same where neither of the two is a tie: FastChat's second setup."""
    kappa: Measured
    """Cohen's kappa over better, worse, tie: 0 is chance, 1 always alike."""


def agreement(choices: Sequence[Choices], level: float, *, symmetric: bool = False) -> Agreement:
    """Agreement, and what is left of it once chance is taken off.

    Shares: `stats.means.share` where every pair of choices is a unit of its own, else
    `stats.means.mean`.  Kappa: Cohen 1960, (p - e) / (1 - e) with the chance agreement e of the two
    margins; its error is the delete-one-cluster jackknife's (Efron and Tibshirani 1993, eq. 11.5),
    with a t interval.  Undefined where both always choose the same (e is 1).

    Args:
        choices: one for each two choices on the same answers.
        level: confidence level, between 0 and 1.
        symmetric: who is named first means nothing (people among themselves): the margins are then
            those of both together.
    """
    rows = [(unit, _side(a), _side(b)) for unit, a, b in choices]
    decided = [row for row in rows if 0 not in row[1:]]
    return Agreement(_share(rows, level), _share(decided, level), _kappa(rows, level, symmetric))


def _side(preference: float) -> int:
    return (preference > _TIE) - (preference < _TIE)


def _share(rows: Sequence[tuple[Hashable, int, int]], level: float) -> Measured:
    values, units = [float(a == b) for _, a, b in rows], [unit for unit, _, _ in rows]
    if is_binary(values, units):
        return share(values, units, level).times(100)
    return mean(values, units, level, scale=(0.0, 1.0)).times(100)


def _kappa(rows: Sequence[tuple[Hashable, int, int]], level: float, symmetric: bool) -> Measured:
    tables: dict[Hashable, Counter[tuple[int, int]]] = {}
    for unit, a, b in rows:
        tables.setdefault(unit, Counter()).update([(a, b), (b, a)] if symmetric else [(a, b)])
    every = sum(tables.values(), Counter[tuple[int, int]]())
    point, n, units = _kappa_of(every), len(rows), len(tables)
    left_out = [_kappa_of(every - own) for own in tables.values()]
    method = Method(Estimator.KAPPA, clustered=units < n)
    known = [value for value in left_out if value is not None]
    if point is None or units < 2 or len(known) < units:
        return Measured(point, None, None, None, level, n, units, 0, method)
    centre = math.fsum(known) / units
    squares = math.fsum((value - centre) ** 2 for value in known)
    error = math.sqrt((units - 1) / units * squares)
    half = t_quantile(0.5 + level / 2, units - 1) * error
    method = Method(Estimator.KAPPA, Interval.T, clustered=units < n)
    low, high = max(-1.0, point - half), min(1.0, point + half)
    return Measured(point, error, low, high, level, n, units, 0, method, float(units - 1))


def _kappa_of(table: Counter[tuple[int, int]]) -> float | None:
    total = table.total()
    if not total:
        return None
    alike = sum(n for (a, b), n in table.items() if a == b) / total
    products = (_margin(table, 0, side) * _margin(table, 1, side) for side in (-1, 0, 1))
    chance = sum(products) / (total * total)
    return None if math.isclose(chance, 1) else (alike - chance) / (1 - chance)


def _margin(table: Counter[tuple[int, int]], which: int, side: int) -> int:
    return sum(n for pair, n in table.items() if pair[which] == side)


def intraclass(groups: Sequence[Sequence[float]], level: float) -> Measured:
    """Intraclass correlation of repeated ratings: the share of their variance that items explain.

    ICC(1) of a one-way analysis of variance with its F interval: Shrout and Fleiss (1979),
    "Intraclass correlations: uses in assessing rater reliability"; for unequal numbers of ratings
    with their k₀ = (N - Σk²/N)/(n - 1).  1: an item always gets the same rating; 0: ratings of one
    item are no more alike than ratings of different items.

    Args:
        groups: per item its ratings, two or more.
        level: confidence level, between 0 and 1.

    Returns:
        Undefined for fewer than two items, and where all ratings are equal.

    Raises:
        ValueError: a rating is not finite.
    """
    from scipy.special import fdtri

    check_probability("confidence level", level)
    check_finite("rating", [v for group in groups for v in group])
    n, total = len(groups), sum(map(len, groups))
    name = "intraclass correlation ICC(1)"

    def undefined(why: str) -> Measured:
        method = Method(Estimator.CORPUS, detail=why)
        return Measured(None, None, None, None, level, total, n, 0, method)

    if n < 2 or total <= n:
        return undefined(f"{name} of fewer than two items")
    means = [math.fsum(group) / len(group) for group in groups]
    grand = math.fsum(v for group in groups for v in group) / total
    between = math.fsum(len(g) * (m - grand) ** 2 for g, m in zip(groups, means, strict=True))
    within = math.fsum((v - m) ** 2 for g, m in zip(groups, means, strict=True) for v in g)
    ms_between, ms_within = between / (n - 1), within / (total - n)
    k = (total - math.fsum(len(g) ** 2 for g in groups) / total) / (n - 1)
    if ms_between + ms_within == 0:
        return undefined("all ratings are equal")
    point = (ms_between - ms_within) / (ms_between + (k - 1) * ms_within)
    method = Method(Estimator.CORPUS, Interval.STATED, detail=f"{name}, F interval")
    if ms_within == 0:
        method = Method(Estimator.CORPUS, Interval.STATED, detail=name, no_variation=True)
        return Measured(1.0, 0.0, 1.0, 1.0, level, total, n, 0, method)
    f, tail = ms_between / ms_within, 0.5 + level / 2
    ends = (f / fdtri(n - 1, total - n, tail), f * fdtri(total - n, n - 1, tail))
    low, high = (float((end - 1) / (end + k - 1)) for end in ends)
    return Measured(point, None, low, high, level, total, n, 0, method)
