"""A few labels of one kind and many of another: prediction-powered means.

People's labels and a judge's, or an earlier judge's and its successor's: the many alone are biased,
the few alone are few.  The combined mean is unbiased for any judge; a better judge makes the
interval narrower.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from evalkit.core.figures import Estimator, Interval, Measured, Method
from evalkit.stats.means import check_finite, check_probability, p_value, t_quantile

__all__ = ["PredictionPowered", "control_variate_mean", "ppi_mean"]

K = TypeVar("K", bound=Hashable)

_ROUNDING = 1e-12
"""A standard error below this share of the largest label is rounding noise, hence 0."""


@dataclass(frozen=True)
class PredictionPowered:
    """A mean of human labels, estimated with a judge's."""

    measured: Measured
    """In the unit of the labels; `n`: samples with both labels; `n_units`: clusters of those."""
    p: float | None
    """`means.p_value` of it (for differences)."""
    judge_weight: float | None
    """λ: 0 uses the human labels only, 1 treats the judge as a human up to a shift."""
    n_judge: int
    """Samples with the judge's label only."""


def ppi_mean(
    human: Mapping[K, float],
    judge: Mapping[K, float],
    clusters: Mapping[K, Hashable],
    level: float,
    judge_weight: float | None = None,
) -> PredictionPowered:
    """Mean human label of all samples, from humans on some and a judge on all of them.

    PPI++ (Angelopoulos, Duchi and Zrnic 2023, arXiv:2311.01453, section 2 and example 6.1):
    with n samples of both labels (Y, Ŷ) and N of the judge's label alone (Ũ),

        θ = λ·mean(Ũ) + mean(Y - λŶ),   λ = Cov(Y, Ŷ) / ((1 + n/N)·Var(Ŷ, Ũ)), cut to 0..1,
        SE² = λ²·Var(Ũ)/N + Var(Y - λŶ)/n.

    Point and λ are those of `ppi_py` 0.2.3 (covariance over n, variance over n + N - 1).  Error
    and interval are more careful than there, because labels are few: CR1 over clusters (so
    ddof = 1 instead of 0), a cluster of both kinds of samples counted once, and Student's t with
    Satterthwaite's degrees of freedom of the two parts instead of z.  In simulations with 30
    binary human labels 95% intervals cover 93.5 to 94%: choosing λ costs a little.

    The samples humans labelled must be a random choice of all: only then is the judge's error on
    them its error on the others.  A judge that saw the human label, or was tuned on these labels,
    violates that.

    Args:
        human: label by sample, of those a human labelled.
        judge: the judge's label by sample.  Human labels without one are left out.
        clusters: unit of resampling of every sample with a judge's label.
        level: confidence level, between 0 and 1.
        judge_weight: λ, 0 to 1; None: the one that minimises the error.

    Returns:
        No sample with both: all None.  One cluster with both: the point only (λ 0 unless
        given).  No further judge labels, or a judge that never varies: λ = 0, the humans' mean.
        SE 0: no p, and `method` says that it is no evidence of precision.

    Raises:
        KeyError: a sample has no cluster.
        ValueError: a label is not finite, or `judge_weight` or `level` out of range.
    """
    check_probability("confidence level", level)
    check_finite("label", [*human.values(), *judge.values()])
    if judge_weight is not None and not 0 <= judge_weight <= 1:
        raise ValueError(f"judge_weight {judge_weight!r}; expected a number from 0 to 1, or None")
    both = [key for key in human if key in judge]
    alone = [key for key in judge if key not in human]
    units = {clusters[key] for key in both}
    method = Method(Estimator.PREDICTION_POWERED, clustered=len(units) < len(both))
    none = Measured(None, None, None, None, level, len(both), len(units), 0, method)

    def found(value: Measured, weight: float | None, detail: str) -> PredictionPowered:
        value = replace(value, method=replace(value.method, detail=detail))
        return PredictionPowered(value, p_value(value), weight, len(alone))

    if not both:
        return found(none, None, "no sample has both a human's and the judge's label")
    weight = _weight(human, judge, both, alone) if judge_weight is None else judge_weight
    if not alone or (judge_weight is None and len(units) < 2):
        weight = 0.0
    corrected = {key: human[key] - weight * judge[key] for key in both}
    predicted = {key: weight * judge[key] for key in alone} if weight else {}
    point = _mean(corrected) + (_mean(predicted) if predicted else 0.0)
    words = f"{len(both)} human and {len(alone)} further judge labels, judge's weight {weight:.3g}"
    if len(units) < 2 or (predicted and len({clusters[key] for key in alone}) < 2):
        words = "no standard error from one unit"
        return found(replace(none, point=point), weight, words)
    error, df = _error([part for part in (corrected, predicted) if part], clusters)
    method = replace(method, interval=Interval.T)
    if df == 0 or error <= _ROUNDING * max(map(abs, [*human.values(), *judge.values()])):
        method = replace(method, no_variation=True)
        value = replace(none, point=point, standard_error=0.0, low=point, high=point, method=method)
        return found(value, weight, words)
    half = t_quantile(0.5 + level / 2, df) * error
    low, high = point - half, point + half
    numbers = (point, error, low, high, level, len(both), len(units), 0)
    return found(Measured(*numbers, method, df), weight, words)


def control_variate_mean(
    few: Mapping[K, float], many: Mapping[K, float], clusters: Mapping[K, Hashable], level: float
) -> Measured:
    """Mean label of exactly these samples, known for a random few, from a covariate of all.

    The linear regression estimator of survey sampling (Cochran 1977, "Sampling Techniques",
    section 7.3), which is the prediction-powered mean of a finite population: with labels y of n
    of N samples, the covariate x of all and β the least-squares slope,

        θ = mean(y) + β·(mean of all x - mean of these x) = Σ w_i·y_i,
        SE² = (1 - n/N)·Σ_g(Σ_{i∈g} w_i·e_i)², with residuals e, CR1 over clusters g.

    Without clusters the sum is that of statsmodels' OLS prediction with HC1 errors.  Unlike
    `ppi_mean`, whose interval is for the questions these are a sample of, it says how far the mean
    of all N labels may be from θ, and nothing of other samples.

    Args:
        few: label by sample; each has a covariate.
        many: covariate by sample, of all.
        clusters: unit of resampling of every labelled sample.
        level: confidence level, between 0 and 1.

    Returns:
        In the unit of the labels; `n`: labelled samples.  Undefined for fewer than three clusters,
        and where the covariate never varies.

    Raises:
        KeyError: a sample has no cluster or covariate.
        ValueError: a label is not finite, or a bad level.
    """
    check_probability("confidence level", level)
    check_finite("label", [*few.values(), *many.values()])
    n, units = len(few), len({clusters[key] for key in few})
    method = Method(Estimator.PREDICTION_POWERED, clustered=units < n)
    x_few = {key: many[key] for key in few}
    spread = math.fsum((x - _mean(x_few)) ** 2 for x in x_few.values()) if few else 0.0
    if units < 3 or spread == 0:
        why = "no slope from fewer than three units" if spread else "the covariate never varies"
        method = replace(method, detail=why)
        return Measured(None, None, None, None, level, n, units, 0, method)
    x_mean, y_mean = _mean(x_few), _mean(few)
    slope = math.fsum((x_few[key] - x_mean) * (y - y_mean) for key, y in few.items()) / spread
    ahead = _mean(many) - x_mean
    sums: dict[Hashable, list[float]] = {}
    for key, y in few.items():
        weight = 1 / n + ahead * (x_few[key] - x_mean) / spread
        residual = y - y_mean - slope * (x_few[key] - x_mean)
        sums.setdefault(clusters[key], []).append(weight * residual)
    squares = math.fsum(math.fsum(parts) ** 2 for parts in sums.values())
    correction = units / (units - 1) * (n - 1) / (n - 2) * (1 - n / len(many))
    point, error, df = y_mean + slope * ahead, math.sqrt(correction * squares), float(units - 2)
    half = t_quantile(0.5 + level / 2, df) * error
    method = replace(method, interval=Interval.T)
    return Measured(point, error, point - half, point + half, level, n, units, 0, method, df)


def _mean(values: Mapping[K, float]) -> float:
    return math.fsum(values.values()) / len(values)


def _weight(
    human: Mapping[K, float], judge: Mapping[K, float], both: list[K], alone: list[K]
) -> float:
    if not alone:
        return 0.0
    n, every = len(both), [judge[key] for key in (*both, *alone)]
    mean_human = math.fsum(human[key] for key in both) / n
    mean_judge = math.fsum(judge[key] for key in both) / n
    covariance = math.fsum((human[k] - mean_human) * (judge[k] - mean_judge) for k in both) / n
    mean = math.fsum(every) / len(every)
    variance = math.fsum((value - mean) ** 2 for value in every) / (len(every) - 1)
    if variance == 0:
        return 0.0
    return min(1.0, max(0.0, covariance / ((1 + n / len(alone)) * variance)))


def _error(parts: list[dict[K, float]], clusters: Mapping[K, Hashable]) -> tuple[float, float]:
    """CR1 standard error of the sum of the parts' means, and degrees of freedom."""
    totals: dict[Hashable, float] = {}
    variances, dfs = [], []
    for part in parts:
        mean = _mean(part)
        found: dict[Hashable, list[float]] = {}
        for key, value in part.items():
            found.setdefault(clusters[key], []).append(value - mean)
        factor = math.sqrt(len(found) / (len(found) - 1)) / len(part)
        sums = {cluster: factor * math.fsum(rest) for cluster, rest in found.items()}
        variances.append(math.fsum(s * s for s in sums.values()))
        dfs.append(len(found) - 1)
        for cluster, value in sums.items():
            totals[cluster] = totals.get(cluster, 0.0) + value
    error = math.sqrt(math.fsum(s * s for s in totals.values()))
    spread = math.fsum(v * v / df for v, df in zip(variances, dfs, strict=True))
    return error, math.fsum(variances) ** 2 / spread if spread else 0.0
