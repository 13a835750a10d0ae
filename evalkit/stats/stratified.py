"""Averages over tasks: each task counts once, whatever its size.

A leaderboard average of fixed tasks says nothing about other tasks, so only documents (or their
clusters) are sampled: a task's mean has an error, the choice of tasks has none.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from evalkit.stats._distributions import t_quantile, t_two_sided
from evalkit.stats.means import Mean, mean_estimate
from evalkit.stats.paired import paired_mean

__all__ = ["Stratified", "average_of_tasks", "stratified_difference", "stratified_mean"]

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Stratified:
    """An unweighted mean of task means, in the unit of the values."""

    point: float | None
    """None where it is undefined; `method` says why."""
    standard_error: float | None
    """None where a task has fewer than two clusters."""
    low: float | None
    high: float | None
    p: float | None
    """Two-sided, of the null that the average is 0 (for differences); None where there is no
    standard error, or it is 0."""
    df: float | None
    """Degrees of freedom of the t interval."""
    n: int
    """Values of all tasks."""
    n_clusters: int
    """Units of resampling of all tasks."""
    n_tasks: int
    method: str


Part: TypeAlias = Mean | Stratified
"""A task, or an average of tasks that counts as one (MMLU's 57 subjects among six)."""


def stratified_mean(
    values: Mapping[str, Mapping[K, float]],
    clusters: Mapping[str, Mapping[K, Hashable]],
    level: float,
) -> Stratified:
    """Unweighted mean over tasks of the mean over their documents.

    See `average_of_tasks`; each task's mean and SE as `mean_estimate` gives them.

    Args:
        values: score by document, by task.
        clusters: unit of resampling by document, by task.
        level: confidence level, between 0 and 1.

    Raises:
        KeyError: a document has no cluster.
        ValueError: a value is not finite.
    """
    return average_of_tasks(
        {
            task: mean_estimate(list(scores.values()), [clusters[task][k] for k in scores], level)
            for task, scores in values.items()
        },
        level,
    )


def stratified_difference(
    a: Mapping[str, Mapping[K, float]],
    b: Mapping[str, Mapping[K, float]],
    clusters: Mapping[str, Mapping[K, Hashable]],
    level: float,
) -> Stratified:
    """Difference a - b of two such averages, paired on the documents both have of each task.

    The average over tasks of the mean of d_k = a_k - b_k; see `average_of_tasks`.

    Args:
        a: score by document, by task.
        b: the same for the other side.
        clusters: unit of resampling of every common document, by task.
        level: confidence level, between 0 and 1.

    Returns:
        A task only one side has, or without common documents: undefined, because the average
        would be over other tasks than its name says.

    Raises:
        KeyError: a common document has no cluster.
        ValueError: a value is not finite.
    """
    return average_of_tasks(
        {
            task: paired_mean(a.get(task, {}), b.get(task, {}), clusters.get(task, {}), level)
            for task in dict.fromkeys([*a, *b])
        },
        level,
    )


def average_of_tasks(
    tasks: Mapping[str, Part], level: float, *, by_size: bool = False
) -> Stratified:
    """Mean of estimates that share no documents, with its error; by default every task counts once.

    Point: Σ w_t x̄_t with w_t = 1/T, or n_t/n by size.  SE = √(Σ w_t² SE_t²): the variance of a
    stratified mean (Cochran 1977, "Sampling Techniques", eq. 5.7, without finite-population
    correction).  Interval and p: Student's t with Satterthwaite's (1946) degrees of freedom,
    (Σ w_t² SE_t²)² / Σ(w_t⁴ SE_t⁴ / df_t) (Cochran eq. 5.16).

    Args:
        tasks: estimate of each, paired differences included; an average is a task in turn.
        level: confidence level, between 0 and 1; intervals of the parts are not used.
        by_size: weight each task by its number of values.

    Returns:
        No task, or a task without values: all None.  A task of one cluster: the point only.
        SE 0 in every task: an interval of no width, which `method` says is no evidence of
        precision, and no p.
    """
    parts = list(tasks.values())
    empty = Stratified(
        point=None,
        standard_error=None,
        low=None,
        high=None,
        p=None,
        df=None,
        n=sum(part.n for part in parts),
        n_clusters=sum(part.n_clusters for part in parts),
        n_tasks=len(parts),
        method="undefined: no tasks",
    )
    if not tasks:
        return empty
    points = [part.point for part in parts if part.point is not None]
    if len(points) < len(parts):
        names = _names(task for task, part in tasks.items() if part.point is None)
        return replace(empty, method=f"undefined: no scores in task {names}")
    weights = _weights(parts, by_size=by_size)
    point = math.fsum(w * x for w, x in zip(weights, points, strict=True))
    average = replace(empty, point=point if by_size else math.fsum(points) / len(parts))
    how = "weighted by size" if by_size else "unweighted"
    words = f"{how} mean of {len(parts)} task means"
    if any(part.standard_error is None for part in parts):
        names = _names(task for task, part in tasks.items() if part.standard_error is None)
        return replace(average, method=f"{words}; no standard error from one unit in task {names}")
    return _with_interval(average, (parts, weights), level, words)


def _weights(parts: Sequence[Part], *, by_size: bool) -> list[float]:
    n = sum(part.n for part in parts)
    return [part.n / n if by_size else 1 / len(parts) for part in parts]


def _with_interval(
    average: Stratified,
    weighted: tuple[Sequence[Part], Sequence[float]],
    level: float,
    words: str,
) -> Stratified:
    point, (error, df) = average.point, _error(*weighted)
    assert point is not None
    if error == 0:
        none = "; all units agree, so the width 0 is no evidence of precision"
        return replace(average, standard_error=0.0, low=point, high=point, method=words + none)
    half = t_quantile(0.5 + level / 2, df) * error
    return replace(
        average,
        standard_error=error,
        low=point - half,
        high=point + half,
        p=t_two_sided(point / error, df),
        df=df,
        method=f"{words}; SE of a stratified mean; t interval, {df:.4g} df (Satterthwaite)",
    )


def _error(parts: Sequence[Part], weights: Sequence[float]) -> tuple[float, float]:
    """Standard error of the average and its degrees of freedom (0 where the error is 0)."""
    errors = [w * (part.standard_error or 0.0) for part, w in zip(parts, weights, strict=True)]
    largest = max(errors)
    if largest == 0:
        return 0.0, 0.0
    # Relative to the largest, so that squares of squares neither overflow nor vanish.
    squares = [(error / largest) ** 2 for error in errors]
    total = math.fsum(squares)
    spread = math.fsum(s * s / _df(part) for s, part in zip(squares, parts, strict=True) if s)
    return largest * math.sqrt(total), total**2 / spread


def _df(part: Part) -> float:
    if isinstance(part, Stratified):
        # An average with an error has degrees of freedom.
        return part.df or math.inf
    return part.n_clusters - 1


def _names(tasks: Iterable[str]) -> str:
    return ", ".join(repr(task) for task in tasks)
