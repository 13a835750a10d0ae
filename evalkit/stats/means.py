"""Means and shares of scores, differences of two models or two sides, and the noise of whole runs.

Scores may come in clusters (questions with two turns, passages with several questions); the
cluster is the unit of resampling.  statsmodels gives the same numbers (OLS on a constant with
clustered errors, `proportion_confint`), but takes a second to import, and its sums depend on the
order of the scores.  Quantiles and tails are from `scipy.special`, which loads in a quarter of a
second; `scipy.stats` takes two thirds, which `gate` and `report` would pay on every call.

Scores vary for three reasons: items differ; a judge or a sampler answers one item differently each
time; and a whole run shifts all its items alike (another server, build, judge version).  A standard
error computed from the scores of items contains the first two.  The third is in no interval from a
single run, because all its items share it; only repeated runs (A/A) show it (`run_noise`), and
`widened` adds it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from evalkit.core.figures import Estimator, Interval, Measured, Method

__all__ = [
    "Noise", "Paired", "check_finite", "check_probability", "check_size", "contrast", "is_binary",
    "mean", "normal_cdf", "normal_quantile", "p_above", "p_value", "paired_difference", "run_noise",
    "share", "t_cdf", "t_quantile", "widened",
]  # fmt: skip

K = TypeVar("K", bound=Hashable)

_FEWEST = 10
"""Values on either side of a contrast; of fewer, a cluster-robust standard error is too small."""
_ROUNDING = 1e-12
"""A standard error below this share of the largest value is rounding noise, hence 0."""


def mean(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    level: float,
    *,
    magnitude: float | None = None,
    scale: tuple[float, float] | None = None,
) -> Measured:
    """Mean of `values`, its cluster-robust standard error, and the two-sided t interval.

    SE = √(G/(G-1) · Σ_g (Σ_{i∈g} (x_i - x̄))²) / n with G clusters: the CR1 estimator for the
    mean (Cameron and Miller 2015, "A practitioner's guide to cluster-robust inference",
    eq. 11, for a regression on a constant).  Where every cluster has one value it equals
    sd(ddof = 1)/√n.  Interval: mean ± t(G - 1)·SE.  Sums are exact before the last rounding
    (`math.fsum`): the order of values does not matter.

    Args:
        values: finite scores.
        clusters: one per value; values of one cluster are not independent.
        level: confidence level, between 0 and 1.
        magnitude: size of the numbers `values` were computed from, to distinguish rounding noise
            from variation; default: the largest absolute value.
        scale: smallest and largest possible value; where all values are within, the interval is
            cut to it.

    Returns:
        In the unit of the values; `n_missing` is 0, for the caller to set.  n = 0: all None.
        One cluster: the point only.  No variation between clusters: SE 0 and an interval of no
        width (`Method.no_variation`).

    Raises:
        ValueError: `values` and `clusters` differ in length, or a value is not finite.
    """
    check_probability("confidence level", level)
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values but {len(clusters)} clusters; expected one each")
    check_finite("score", values)
    n, units = len(values), len(set(clusters))
    method = Method(Estimator.MEAN, clustered=n != units)
    if n == 0:
        none = replace(method, detail="no scores")
        return Measured(None, None, None, None, level, 0, 0, 0, none)
    point = math.fsum(values) / n
    if units < 2:
        alone = replace(method, detail="no standard error from one unit")
        return Measured(point, None, None, None, level, n, units, 0, alone)
    residuals: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        residuals.setdefault(cluster, []).append(value - point)
    squares = math.fsum(math.fsum(rest) ** 2 for rest in residuals.values())
    error = math.sqrt(units / (units - 1) * squares) / n
    df = float(units - 1)
    if error <= _ROUNDING * (max(map(abs, values)) if magnitude is None else magnitude):
        flat = replace(method, interval=Interval.T, no_variation=True)
        return Measured(point, 0.0, point, point, level, n, units, 0, flat, df)
    half = t_quantile(0.5 + level / 2, df) * error
    low, high = point - half, point + half
    method = replace(method, interval=Interval.T)
    if scale is not None and scale[0] <= min(values) <= max(values) <= scale[1]:
        method = replace(method, cut_to_scale=low < scale[0] or high > scale[1])
        low, high = max(low, scale[0]), min(high, scale[1])
    return Measured(point, error, low, high, level, n, units, 0, method, df)


def is_binary(values: Sequence[float], clusters: Sequence[Hashable]) -> bool:
    """Only 0 and 1, each an independent unit: what a binomial interval assumes."""
    return len(set(clusters)) == len(values) and set(values) <= {0, 1}


def share(values: Sequence[float], clusters: Sequence[Hashable], level: float) -> Measured:
    """Mean of 0/1 `values` with sd(ddof = 1)/√n and the Wilson score interval, 0 to 1.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference":
    (p + z²/2n ± z·√(p(1 - p)/n + z²/4n²)) / (1 + z²/n).  Unlike a t interval it has a width
    when all samples agree, and never leaves 0 to 1.

    Returns:
        As `mean`; n = 0: all None; one value: no standard error, but an interval.

    Raises:
        ValueError: a value other than 0 and 1, or units that are not independent.
    """
    if not is_binary(values, clusters):
        raise ValueError("expected values 0 and 1, each in a cluster of its own")
    found = mean(values, clusters, level)
    if found.point is None:
        return replace(found, method=replace(found.method, estimator=Estimator.SHARE))
    z, n, p = normal_quantile(0.5 + level / 2), found.n, found.point
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    shrink = 1 + z * z / n
    return replace(
        found,
        # At the ends the bound is exact, but its floating-point form is not.
        low=0.0 if p == 0 else (centre - spread) / shrink,
        high=1.0 if p == 1 else (centre + spread) / shrink,
        method=Method(Estimator.SHARE, Interval.WILSON),
        df=None,
    )


@dataclass(frozen=True)
class Paired:
    """Two models on the samples both have."""

    measured: Measured
    """Of a - b, in the unit of the values; `n`: keys both have."""
    p: float | None
    """`p_value` of it."""
    wins: int
    """Pairs on which a is better, by any amount."""
    losses: int
    ties: int


def paired_difference(
    a: Mapping[K, float],
    b: Mapping[K, float],
    clusters: Mapping[K, Hashable],
    level: float,
    *,
    higher_is_better: bool = True,
) -> Paired:
    """Difference a - b on common keys, with cluster-robust SE, t interval and t test.

    d_k = a_k - b_k on the keys both have; mean, SE and interval as `mean` of d.  With one key a
    cluster the test is the paired t test (scipy's `ttest_rel`).  Pairing removes the samples'
    difficulty from the error; a key only one side has is left out of both.

    Args:
        a: score per key (sample, and part where a sample has several).
        b: the same for the other side.
        clusters: unit of resampling of every common key.
        level: confidence level, between 0 and 1.
        higher_is_better: defines a win; the difference keeps its sign.

    Returns:
        Nothing common: all None.  No variation between clusters: SE 0 and no p.

    Raises:
        ValueError: a value is not finite.
        KeyError: a common key has no cluster.
    """
    common = [key for key in a if key in b]
    size = max((max(abs(a[key]), abs(b[key])) for key in common), default=0.0)
    differences = [a[key] - b[key] for key in common]
    found = mean(differences, [clusters[key] for key in common], level, magnitude=size)
    detail = found.method.detail if common else "no common samples"
    method = replace(found.method, estimator=Estimator.PAIRED, paired=True, detail=detail)
    found = replace(found, method=method)
    above, below = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    wins, losses = (above, below) if higher_is_better else (below, above)
    return Paired(found, p_value(found), wins, losses, len(common) - wins - losses)


def p_value(value: Measured) -> float | None:
    """Two-sided p of the null that the true value (usually a difference) is 0.

    P(|T| ≥ |point|/SE) of Student's t with the value's degrees of freedom; of the normal
    distribution where it has none.

    Returns:
        None without a standard error, and where it is 0: the statistic would divide by 0, and a
        p of 0 would claim certainty from it.
    """
    if value.point is None or not value.standard_error:
        return None
    statistic = -abs(value.point / value.standard_error)
    return 2 * (normal_cdf(statistic) if value.df is None else t_cdf(statistic, value.df))


def p_above(value: Measured, amount: float = 0.0) -> float | None:
    """One-sided p of the null that the true value is at most `amount`; None as `p_value`."""
    if value.point is None or not value.standard_error:
        return None
    statistic = (amount - value.point) / value.standard_error
    return normal_cdf(statistic) if value.df is None else t_cdf(statistic, value.df)


def contrast(
    values: Sequence[float],
    sides: Sequence[bool],
    groups: Sequence[Hashable],
    clusters: Sequence[Hashable],
    level: float,
) -> Measured:
    """How much higher values are on one side than on the other, within groups.

    The slope of the least-squares line of `values` on `sides` with an intercept for each group, so
    that what a group's values have in common (a model's strength) cancels.  Standard error: CR1
    with (N - 1)/(N - K) for K coefficients (Cameron and Miller 2015, "A practitioner's guide to
    cluster-robust inference", section II.B); interval: t with clusters - 1 degrees of freedom.
    statsmodels' OLS with `cov_type="cluster"` gives the same.

    Args:
        values: finite.
        sides: one per value.
        groups: one per value.
        clusters: one per value; values of one cluster are not independent.
        level: confidence level, between 0 and 1.

    Returns:
        In the unit of the values.  Undefined with fewer than 10 values on either side, or where no
        group has both.

    Raises:
        ValueError: a value is not finite, or lengths differ.
    """
    check_probability("confidence level", level)
    check_finite("value", values)
    n, units = len(values), len(set(clusters))
    held: dict[Hashable, list[int]] = {}
    for i, (group, _) in enumerate(zip(groups, values, strict=True)):
        held.setdefault(group, []).append(i)
    x, y = [0.0] * n, [0.0] * n
    for places in held.values():
        on = math.fsum(sides[i] for i in places) / len(places)
        middle = math.fsum(values[i] for i in places) / len(places)
        for i in places:
            x[i], y[i] = sides[i] - on, values[i] - middle
    spread = math.fsum(v * v for v in x)
    if min(sum(sides), n - sum(sides)) < _FEWEST or spread == 0:
        why = Method(Estimator.MEAN, detail=f"fewer than {_FEWEST} on either side")
        return Measured(None, None, None, None, level, n, units, 0, why)
    slope = math.fsum(a * b for a, b in zip(x, y, strict=True)) / spread
    pulls: dict[Hashable, list[float]] = {}
    for a, b, cluster in zip(x, y, clusters, strict=True):
        pulls.setdefault(cluster, []).append(a * (b - slope * a))
    free = n - len(held) - 1
    if units < 2 or free < 1:
        why = Method(Estimator.MEAN, detail="no standard error from one unit")
        return Measured(slope, None, None, None, level, n, units, 0, why)
    squares = math.fsum(math.fsum(pull) ** 2 for pull in pulls.values())
    error = math.sqrt(units / (units - 1) * (n - 1) / free * squares) / spread
    half = t_quantile(0.5 + level / 2, units - 1) * error
    how = f"difference within groups, SE clustered (CR1, {units} clusters), t interval"
    method = Method(Estimator.MEAN, Interval.STATED, clustered=True, detail=how)
    low, high = slope - half, slope + half
    return Measured(slope, error, low, high, level, n, units, 0, method, float(units - 1))


# --- the noise of whole runs --------------------------------------------------------------------


@dataclass(frozen=True)
class Noise:
    """Between-run noise of one model; equal ones count as one estimate, used twice."""

    run: float
    """Variance of a run's shift, common to its items, in the squared unit of the scores."""
    n_runs: int
    within: float | None = None
    """Variance of one score about its item and run; None: not estimated."""


def run_noise(runs: Sequence[Mapping[K, float]]) -> Noise | None:
    """Variance of whole runs from repeated runs of one model (A/A), on the items all have.

    Two-way random effects without replication (Searle, Casella and McCulloch 1992, "Variance
    Components", section 4.7): with n items, within = MS_rest and run = (MS_runs - MS_rest)/n,
    a negative estimate being 0.

    Where items come in clusters, pass one mean per cluster: noise that a cluster shares would
    otherwise count as a shift of the run.

    Args:
        runs: score by item, of each run.  The runs must differ in what the claim should hold over:
            seeds, servers or days.

    Returns:
        None for fewer than two runs, or fewer than two common items.

    Raises:
        ValueError: a score is not finite.
    """
    import numpy as np

    for scores in runs:
        check_finite("score", scores.values())
    common = [key for key in runs[0] if all(key in run for run in runs)] if runs else []
    n, n_runs = len(common), len(runs)
    if n < 2 or n_runs < 2:
        return None
    table = np.array([[run[key] for key in common] for run in runs])
    # Centred, so that the variance of large scores that hardly vary is not lost to rounding.
    table = table - table.mean()
    of_run, of_item = table.mean(axis=1), table.mean(axis=0)
    rest = table - of_run[:, None] - of_item[None, :]
    within = float((rest**2).sum()) / ((n - 1) * (n_runs - 1))
    ms_run = n * float((of_run**2).sum()) / (n_runs - 1)
    return Noise(max(0.0, (ms_run - within) / n), n_runs, within)


def widened(value: Measured, noises: Sequence[Noise], runs: Sequence[int]) -> Measured:
    """An estimate from the scores of items, with the noise of runs added to its error.

    SE² + Σ run/R, one term per model whose runs shift on their own: one for a mean, two
    for a difference (the same noise twice where only one of the models was repeated).  Noise
    within items is not added, as the standard error contains it already.  Student's t with
    Satterthwaite's degrees of freedom, each run component having its runs less one; a component
    that enters twice is one estimate, not two.

    Args:
        value: the mean or difference, from scores that are means over the runs.
        noises: one per model.
        runs: of each model.

    Returns:
        `value` itself where it has no standard error or degrees of freedom, or nothing varies.

    Raises:
        ValueError: `runs` under 1, or not one for each of `noises`.
    """
    if len(runs) != len(noises) or min(runs, default=1) < 1:
        raise ValueError(f"runs {runs!r} of {len(noises)} models; expected at least 1 of each")
    point, error, df = value.point, value.standard_error, value.df
    if point is None or error is None or df is None:
        return value
    added: dict[Noise, float] = {}
    for noise, size in zip(noises, runs, strict=True):
        added[noise] = added.get(noise, 0.0) + noise.run / size
    variance = error**2 + math.fsum(added.values())
    if variance == 0:
        return value
    spread = error**4 / df + math.fsum(v * v / (noise.n_runs - 1) for noise, v in added.items())
    total_df = variance**2 / spread
    half = t_quantile(0.5 + value.level / 2, total_df) * math.sqrt(variance)
    counts = (runs[0], runs[-1]) if runs else None
    method = replace(value.method, interval=Interval.T, runs=counts, no_variation=False)
    return replace(
        value,
        standard_error=math.sqrt(variance),
        low=point - half,
        high=point + half,
        df=total_df,
        method=method,
    )


# --- distributions and checks ---------------------------------------------------------------------


def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal distribution."""
    from scipy.special import ndtri

    return float(ndtri(probability))


def normal_cdf(z: float) -> float:
    """P(Z ≤ z) for the standard normal distribution."""
    from scipy.special import ndtr

    return float(ndtr(z))


def t_cdf(t: float, df: float, noncentrality: float = 0.0) -> float:
    """P(T ≤ t) for Student's t, noncentral where `noncentrality` is not 0."""
    from scipy.special import nctdtr, stdtr

    if noncentrality == 0:
        return float(stdtr(df, t))
    found = float(nctdtr(df, noncentrality, t))
    if not math.isnan(found):
        return found
    # scipy has NaN where the tail is under about 1e-200; Abramowitz, Stegun 26.7.10.
    spread = (1 + t * t / (2 * df)) ** 0.5
    return normal_cdf((t * (1 - 1 / (4 * df)) - noncentrality) / spread)


def t_quantile(probability: float, df: float) -> float:
    """Quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(df, probability))


def check_probability(name: str, value: float) -> None:
    """Refuse a level, alpha or power that is no number between 0 and 1 (both excluded).

    Raises:
        ValueError: names the parameter and quotes the value.
    """
    if not 0 < value < 1:
        raise ValueError(f"{name} {value!r}; expected a number between 0 and 1")


def check_size(name: str, value: float) -> None:
    """Refuse a negative or infinite number.  Raises ValueError as above."""
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} {value!r}; expected a finite number from 0 up")


def check_finite(name: str, values: Iterable[float]) -> None:
    """Refuse values that are no finite numbers.

    Raises:
        ValueError: names the parameter and quotes the first bad value.
    """
    bad = next((v for v in values if not math.isfinite(v)), None)
    if bad is not None:
        raise ValueError(f"{name} {bad!r}; expected finite numbers (leave missing values out)")
