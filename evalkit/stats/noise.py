"""Noise of judges and of inference: what repeating a measurement says about its error.

A score varies for three reasons: items differ (`item`), a judge or a sampler answers one item
differently each time (`within`), and a whole run is off, all items alike (`run`: another
server, build, judge version).

What an interval holds already.  A standard error computed from the scores of items contains the
first two, measured or not: each item's score carries its own `within` noise, so the variance
between scores is item + within/trials.  Adding the noise of repeated judgments of the same items
to such an interval counts it twice.  The third is in no interval made from one run, because all
its items share it; only repeated runs (A/A) show it, and `widened` adds it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from evalkit.stats._distributions import (
    check_finite,
    check_probability,
    t_quantile,
    t_two_sided,
)

__all__ = ["ErrorParts", "Noise", "Widened", "error_parts", "judge_noise", "run_noise", "widened"]

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Noise:
    """Variance components of one score, in the squared unit of the scores."""

    item: float | None
    """Between items, freed of noise.  None where it is undefined; `method` says why."""
    within: float | None
    """Of one score about its item: judge or sampling noise, independent between items."""
    run: float | None
    """Of a run's shift, common to its items; None where repetitions are not whole runs."""
    p_run: float | None
    """F test that runs do not shift; None like `run`, or where scores never vary."""
    n_items: int
    n_runs: int
    """Whole runs, or the most repetitions of one item."""
    method: str


@dataclass(frozen=True)
class ErrorParts:
    """Where the standard error of a mean comes from, in the unit of the scores."""

    item: float
    """From the choice of items: shrinks with more items only."""
    within: float
    """From noise of single scores: shrinks with more items or more trials."""
    run: float
    """From shifts of whole runs: shrinks with more trials only."""
    standard_error: float
    """All three: the root of the sum of squares."""


@dataclass(frozen=True)
class Widened:
    """An interval with the noise of whole runs."""

    standard_error: float | None
    low: float | None
    high: float | None
    df: float | None
    noise_share: float | None
    """Of the variance, from shifts of runs, 0 to 1."""
    method: str
    p: float | None = None
    """Two-sided, of the null that the mean or difference is 0; None where the error is 0."""


def judge_noise(scores: Mapping[K, Sequence[float]]) -> Noise:
    """Components from repeated judgments (or samplings) of single items, some only once.

    One-way random effects by analysis of variance (Searle, Casella and McCulloch 1992,
    "Variance Components", section 3.6): within = SS_within/(N - n); item = (MS_between - within)/k₀
    with k₀ = (N - Σk²/N)/(n - 1), a negative estimate being 0.

    Args:
        scores: all scores of each item.

    Returns:
        No item scored twice: within None, and item None with it.  One item: item None.

    Raises:
        ValueError: a score is not finite.
    """
    groups = [list(group) for group in scores.values() if len(group)]
    check_finite("score", (x for group in groups for x in group))
    n, total, most = len(groups), sum(map(len, groups)), max(map(len, groups), default=0)
    nothing = Noise(None, None, None, None, n, most, "undefined: no item was scored twice")
    if total == n:
        return nothing
    means = [math.fsum(group) / len(group) for group in groups]
    squares = math.fsum((x - m) ** 2 for g, m in zip(groups, means, strict=True) for x in g)
    within = squares / (total - n)
    if n < 2:
        return replace(nothing, within=within, method="within from one item; item undefined")
    grand = math.fsum(x for group in groups for x in group) / total
    between = math.fsum(len(g) * (m - grand) ** 2 for g, m in zip(groups, means, strict=True))
    size = (total - sum(len(group) ** 2 for group in groups) / total) / (n - 1)
    item = (between / (n - 1) - within) / size
    return Noise(
        item=max(0.0, item),
        within=within,
        run=None,
        p_run=None,
        n_items=n,
        n_runs=most,
        method=f"one-way components of variance, {total} scores of {n} items{_cut(item)}",
    )


def run_noise(runs: Sequence[Mapping[K, float]]) -> Noise:
    """Components from repeated whole runs of one model (A/A), on the items all have.

    Two-way random effects without replication (Searle, Casella and McCulloch 1992, section
    4.7): with n items and R runs, within = MS_rest, run = (MS_runs - MS_rest)/n, item =
    (MS_items - MS_rest)/R, negative estimates being 0; p_run from F = MS_runs/MS_rest with
    R - 1 and (n - 1)(R - 1) degrees of freedom.

    Where items come in clusters, hand over one mean per cluster: noise that a cluster shares
    would else pass for a shift of the run.

    Args:
        runs: score by item, of each run; runs under different seeds, servers or days as the
            claim is to hold over.

    Returns:
        Fewer than two runs, or fewer than two common items: all None.

    Raises:
        ValueError: a score is not finite.
    """
    import numpy as np
    from scipy.special import fdtrc

    for scores in runs:
        check_finite("score", scores.values())
    common = [key for key in runs[0] if all(key in run for run in runs)] if runs else []
    n, n_runs = len(common), len(runs)
    if n < 2 or n_runs < 2:
        words = f"undefined: {n_runs} runs with {n} common items; expected two of each"
        return Noise(None, None, None, None, n, n_runs, words)
    table = np.array([[run[key] for key in common] for run in runs])
    # About the mean, so that large scores that hardly vary do not drown their variance.
    table = table - table.mean()
    of_run, of_item = table.mean(axis=1), table.mean(axis=0)
    rest = table - of_run[:, None] - of_item[None, :]
    within = float((rest**2).sum()) / ((n - 1) * (n_runs - 1))
    ms_run = n * float((of_run**2).sum()) / (n_runs - 1)
    ms_item = n_runs * float((of_item**2).sum()) / (n - 1)
    run, item = (ms_run - within) / n, (ms_item - within) / n_runs
    p = float(fdtrc(n_runs - 1, (n - 1) * (n_runs - 1), ms_run / within)) if within else None
    return Noise(
        item=max(0.0, item),
        within=within,
        run=max(0.0, run),
        p_run=p,
        n_items=n,
        n_runs=n_runs,
        method=f"two-way components of variance, {n_runs} runs of {n} items{_cut(min(run, item))}",
    )


def error_parts(noise: Noise, n_items: int, trials: int = 1) -> ErrorParts | None:
    """Standard error of a mean of `n_items`, each the mean over `trials` runs, and its parts.

    SE² = item/n + within/(n·trials) + run/trials (Miller 2024, "Adding error bars to evals",
    arXiv:2411.00640, section 3.1, with a component of runs).  For planning: more items, or more
    trials of the same?

    Returns:
        None where the components are undefined; a run component that is not known counts 0.

    Raises:
        ValueError: `n_items` or `trials` under 1.
    """
    if n_items < 1 or trials < 1:
        raise ValueError(f"{n_items!r} items, {trials!r} trials; expected at least one of each")
    if noise.item is None or noise.within is None:
        return None
    item, within = noise.item / n_items, noise.within / (n_items * trials)
    run = (noise.run or 0.0) / trials
    return ErrorParts(
        math.sqrt(item), math.sqrt(within), math.sqrt(run), math.sqrt(item + within + run)
    )


def widened(
    point: float | None,
    standard_error: float | None,
    df: float | None,
    noises: Sequence[Noise],
    level: float,
    trials: int | Sequence[int] = 1,
) -> Widened:
    """An interval from the scores of items, with the noise of runs added to it.

    SE² + Σ run/trials, one term per model whose runs shift on their own: one for a mean, two
    for a difference (the same noise twice where only one of the models was repeated).  Within-item
    noise is not added: it is in `standard_error` already (see the top of this file).  Student's
    t with Satterthwaite's degrees of freedom, each run component having its runs less one; a
    component that enters twice is one estimate, not two.

    Args:
        point: the mean or difference.
        standard_error: from the scores of items.
        df: its degrees of freedom.
        noises: from `run_noise`; those of `judge_noise` have nothing to add.
        level: confidence level, between 0 and 1.
        trials: runs each item's score is the mean of, one number for all models or one each.

    Returns:
        Undefined point, error or df: all None.  Nothing measured: the interval as it was.

    Raises:
        ValueError: a bad level, `trials` under 1, or not one for each of `noises`.
    """
    check_probability("confidence level", level)
    added = _added(noises, trials)
    if point is None or standard_error is None or df is None:
        return Widened(None, None, None, None, None, "undefined: no standard error to widen")
    times = sum(source.run is not None for source in noises)
    noise = math.fsum(added.values())
    variance = standard_error**2 + noise
    words = "within-item noise is in the item-level variance already; "
    words += f"noise of runs added {times} times" if added else "noise of runs not measured"
    if variance == 0:
        return Widened(0.0, point, point, df, 0.0, words)
    spread = standard_error**4 / df
    spread += math.fsum(v * v / (source.n_runs - 1) for source, v in added.items())
    total_df = variance**2 / spread
    half = t_quantile(0.5 + level / 2, total_df) * math.sqrt(variance)
    return Widened(
        standard_error=math.sqrt(variance),
        low=point - half,
        high=point + half,
        df=total_df,
        noise_share=noise / variance,
        method=f"{words}; t interval, {total_df:.4g} df (Satterthwaite)",
        p=t_two_sided(point / math.sqrt(variance), total_df),
    )


def _added(noises: Sequence[Noise], trials: int | Sequence[int]) -> dict[Noise, float]:
    """Variance that each run component adds; one that enters twice adds twice as much."""
    each = [trials] * len(noises) if isinstance(trials, int) else list(trials)
    counts = [trials] if isinstance(trials, int) else each
    if len(each) != len(noises) or min(counts, default=1) < 1:
        raise ValueError(f"trials {trials!r} of {len(noises)} models; expected at least 1 of each")
    added: dict[Noise, float] = {}
    for source, size in zip(noises, each, strict=True):
        if source.run is not None:
            added[source] = added.get(source, 0.0) + source.run / size
    return added


def _cut(estimate: float) -> str:
    return "; a negative estimate counts as 0" if estimate < 0 else ""
