"""The functions as they were, for callers that are not moved yet; they go with the last of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from evalkit.core.figures import Estimator, Measured, Method
from evalkit.stats import decisions, means, strengths
from evalkit.stats.decisions import (
    Verdict,
    holm,
    minimum_detectable_effect,
    unit_variance,
    units_for_margin,
)
from evalkit.stats.means import is_binary
from evalkit.stats.strengths import BradleyTerry as NewBradleyTerry
from evalkit.stats.strengths import Game

__all__ = [
    "BradleyTerry",
    "Game",
    "MarginRule",
    "Mean",
    "NonInferiority",
    "PairedDifference",
    "Strength",
    "Verdict",
    "bradley_terry",
    "holm",
    "is_binary",
    "mean_estimate",
    "minimum_detectable_effect",
    "non_inferiority",
    "paired_difference",
    "proportion_estimate",
    "strength_difference",
    "unit_variance",
    "units_for_margin",
]


@dataclass(frozen=True)
class Mean:
    """Of scores."""

    point: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    n: int
    n_clusters: int
    method: str


@dataclass(frozen=True)
class PairedDifference:
    """Of two models."""

    difference: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int
    n_clusters: int
    wins: int
    losses: int
    ties: int
    method: str


@dataclass(frozen=True)
class MarginRule:
    """Of a gate."""

    margin: float
    alpha: float = 0.05
    power: float = 0.8
    span: float | None = None


@dataclass(frozen=True)
class NonInferiority:
    """With bounds."""

    verdict: Verdict
    low: float | None
    high: float | None
    p: float | None
    p_regression: float | None
    resolvable: float | None
    method: str


K = TypeVar("K", bound=Hashable)


def old_mean(found: Measured) -> Mean:
    """The same numbers."""
    numbers = (found.point, found.standard_error, found.low, found.high)
    return Mean(*numbers, found.n, found.n_units, found.how)


def mean_estimate(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    level: float,
    magnitude: float | None = None,
) -> Mean:
    """See `means.mean`."""
    return old_mean(means.mean(values, clusters, level, magnitude=magnitude))


def proportion_estimate(
    values: Sequence[float], clusters: Sequence[Hashable], level: float
) -> Mean:
    """See `means.share`."""
    return old_mean(means.share(values, clusters, level))


def paired_difference(
    a: Mapping[K, float],
    b: Mapping[K, float],
    clusters: Mapping[K, Hashable],
    level: float,
) -> PairedDifference:
    """See `means.paired_difference`."""
    found = means.paired_difference(a, b, clusters, level)
    m = found.measured
    return PairedDifference(
        m.point,
        m.standard_error,
        m.low,
        m.high,
        found.p,
        m.n,
        m.n_units,
        found.wins,
        found.losses,
        found.ties,
        m.how,
    )


def non_inferiority(
    difference: float | None, standard_error: float | None, df: float | None, rule: MarginRule
) -> NonInferiority:
    """See `decisions.non_inferiority`."""
    units = 0 if df is None else round(df) + 1
    numbers = (difference, standard_error, None, None, 0.95, units, units, 0)
    found = decisions.non_inferiority(
        Measured(*numbers, Method(Estimator.PAIRED, paired=True), df),
        rule.margin,
        alpha=rule.alpha,
        power=rule.power,
        span=None if df is None else rule.span,
    )
    b = found.bounds
    rest = (found.p, found.p_regression, found.resolvable, b.how)
    return NonInferiority(found.verdict, b.low, b.high, *rest)


@dataclass(frozen=True)
class Strength:
    """Of a player."""

    model: str
    point: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class BradleyTerry:
    """Of all players."""

    strengths: tuple[Strength, ...]
    covariance: tuple[tuple[float, ...], ...] | None
    level: float
    method: str
    new: NewBradleyTerry


def _strength(model: str, m: Measured) -> Strength:
    return Strength(model, m.point, m.standard_error, m.low, m.high, m.n)


def bradley_terry(games: Sequence[strengths.Game], level: float) -> BradleyTerry:
    """See `strengths.bradley_terry`."""
    found = strengths.bradley_terry(games, level)
    rows = tuple(_strength(model, m) for model, m in found.strengths.items())
    how = next((m.how for m in found.strengths.values()), "undefined: no games")
    return BradleyTerry(rows, found.covariance, level, how, found)


def strength_difference(result: BradleyTerry, a: str, b: str) -> Strength:
    """See `strengths.strength_difference`."""
    return _strength(f"{a} - {b}", strengths.strength_difference(result.new, a, b))
