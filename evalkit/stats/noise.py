"""Noise of whole runs: what repeating a measurement adds to its error.

A score varies for three reasons: items differ, a judge or a sampler answers one item differently
each time, and a whole run is off, all items alike (another server, build, judge version).  A
standard error computed from the scores of items contains the first two, measured or not.  The
third is in no interval made from one run, because all its items share it; only repeated runs
(A/A) show it, and `widened` adds it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from evalkit.core.figures import Interval, Measured
from evalkit.stats._distributions import check_finite, t_quantile

__all__ = ["Noise", "run_noise", "widened"]

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Noise:
    """What runs of one model shift by; equal ones count as one estimate, used twice."""

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

    Where items come in clusters, hand over one mean per cluster: noise that a cluster shares
    would else pass for a shift of the run.

    Args:
        runs: score by item, of each run; runs under different seeds, servers or days as the
            claim is to hold over.

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
    # About the mean, so that large scores that hardly vary do not drown their variance.
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
    within items is not added: it is in the standard error already.  Student's t with
    Satterthwaite's degrees of freedom, each run component having its runs less one; a component
    that enters twice is one estimate, not two.

    Args:
        value: the mean or difference, from scores that are means over the runs.
        noises: one per model.
        runs: of each model.

    Returns:
        As it was where it has no standard error or degrees of freedom, or where nothing varies.

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
