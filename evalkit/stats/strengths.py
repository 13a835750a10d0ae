"""Strengths of several models from games between pairs of them.

The caller decides which judgments are games, and on which scale strengths are shown (times
400/ln 10 they are Elo points).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from evalkit.core.figures import Estimator, Interval, Measured, Method
from evalkit.stats.means import check_probability, normal_quantile
from evalkit.stats.resampling import Floats, drawn_weights

__all__ = ["BradleyTerry", "Game", "bradley_terry", "strength_difference"]

REPLICATES = 1000
ENOUGH = 0.9
"""Share of replicates in which the strengths exist, or there is no bootstrap error."""
_STEPS = 100
_DONE = 1e-12
"""Largest gradient per game at which Newton's method has arrived."""
_LAST = 1e-9
"""Largest step of strengths that is the last: the next would be its square."""


@dataclass(frozen=True)
class Game:
    """One comparison of two models."""

    a: str
    b: str
    score: float
    """For a, 0 to 1: 1 a win, 0.5 a tie, 0 a loss; other values a preference."""
    cluster: Hashable
    """Unit of resampling: games on one question are not independent."""


@dataclass(frozen=True)
class BradleyTerry:
    """Strengths of all models."""

    strengths: Mapping[str, Measured]
    """Log strength by model, in alphabetical order: exp of a difference is the odds that the first
    wins.  Their mean is 0; errors and intervals are of the difference from the mean.  `n`: the
    model's games; `n_units`: clusters of all games."""
    covariance: tuple[tuple[float, ...], ...] | None
    """Of the points, in the order of `strengths`; for errors of differences."""


def bradley_terry(
    games: Sequence[Game], level: float, *, replicates: int = REPLICATES, seed: int = 0
) -> BradleyTerry:
    """Maximum-likelihood strengths: P(a beats b) = 1/(1 + exp(s_b - s_a)); a tie is half a win.

    Bradley and Terry (1952), "Rank analysis of incomplete block designs"; Newton's method on
    the log-likelihood, which is concave (Hunter 2004, "MM algorithms for generalized
    Bradley-Terry models", section 2).  They exist, and are unique, only if every group of models
    has won, or tied, at least one game against the rest (Ford 1957).

    Errors: a bootstrap resamples clusters, refits, and takes the replicates' covariance and
    percentile intervals; replicates in which strengths do not exist are left out, which
    understates the error of models that hardly lose or hardly win.

    Args:
        games: in any order and orientation.
        level: confidence level, between 0 and 1.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        Models that never met even through others, or a group that lost all or won all its games
        against the others: all points None.  Fewer than two clusters, or fewer than 90% of
        replicates defined: points only.

    Raises:
        ValueError: a score outside 0 to 1, a model against itself, or a bad level.
    """
    import numpy as np

    check_probability("confidence level", level)
    for game in games:
        if not 0 <= game.score <= 1:
            raise ValueError(f"score {game.score!r} of {game.a!r}; expected a number from 0 to 1")
        if game.a == game.b:
            raise ValueError(f"{game.a!r} against itself; a game needs two models")
    models = sorted({model for game in games for model in (game.a, game.b)})
    wins = _wins(games, models)
    units = len(wins)

    def found(detail: str, points: Floats | None = None) -> BradleyTerry:
        none = Measured(None, None, None, None, level, 0, units, 0, Method(Estimator.STRENGTH))
        return BradleyTerry(
            {
                model: replace(
                    none,
                    point=None if points is None else float(points[i]),
                    n=sum(model in (game.a, game.b) for game in games),
                    method=replace(none.method, detail=detail),
                )
                for i, model in enumerate(models)
            },
            None,
        )

    if not games:
        return found("no games")
    total = wins.sum(axis=0)
    reason = _why_undefined(total, models)
    if reason is not None:
        return found(reason)
    points = _fit(total)
    if units < 2:
        return found("no standard error from one unit", points)
    flat, drawn = wins.reshape(units, -1), []
    for block in drawn_weights(units, replicates, seed):
        for sums in (block @ flat).reshape(len(block), *wins.shape[1:]):
            if _exist(sums):
                drawn.append(_fit(sums, points))
    lost = replicates - len(drawn)
    if len(drawn) < max(2, ENOUGH * replicates):
        words = f"strengths exist in {len(drawn)} of {replicates} replicates: too few for an error"
        return found(words, points)
    covariance = np.asarray(np.cov(np.array(drawn).T), dtype=float)
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    plain = found(f"{lost} replicates undefined" if lost else "", points)
    strengths = {
        model: replace(
            value,
            standard_error=math.sqrt(max(0.0, float(covariance[i, i]))),
            low=float(low[i]),
            high=float(high[i]),
            method=replace(value.method, interval=Interval.BOOTSTRAP, replicates=replicates),
        )
        for i, (model, value) in enumerate(plain.strengths.items())
    }
    return BradleyTerry(strengths, tuple(tuple(float(v) for v in row) for row in covariance))


def strength_difference(result: BradleyTerry, a: str, b: str) -> Measured:
    """Strength of a minus strength of b, with its own error (that of a contrast).

    The interval is normal, as is its `means.p_value`.  `n` is that of a.

    Raises:
        KeyError: a model had no games.
    """
    ours, theirs = result.strengths[a], result.strengths[b]
    if ours.point is None or theirs.point is None or result.covariance is None:
        point = None if ours.point is None or theirs.point is None else ours.point - theirs.point
        return replace(ours, point=point)
    point, v = ours.point - theirs.point, result.covariance
    i, j = list(result.strengths).index(a), list(result.strengths).index(b)
    error = math.sqrt(max(0.0, v[i][i] + v[j][j] - 2 * v[i][j]))
    half = normal_quantile(0.5 + ours.level / 2) * error
    method = replace(ours.method, interval=Interval.NORMAL)
    low, high = point - half, point + half
    return replace(ours, point=point, standard_error=error, low=low, high=high, method=method)


def _wins(games: Sequence[Game], models: Sequence[str]) -> Floats:
    """Per cluster, what each model won against each: shape (clusters, models, models), sorted."""
    import numpy as np

    index = {model: i for i, model in enumerate(models)}
    found: dict[Hashable, dict[tuple[int, int], list[float]]] = {}
    for game in games:
        i, j = index[game.a], index[game.b]
        cells = found.setdefault(game.cluster, {})
        cells.setdefault((i, j), []).append(game.score)
        cells.setdefault((j, i), []).append(1 - game.score)
    # Sorted, so that equal games and seed give equal replicates whatever the order of rows.
    rows = sorted(sorted((at, math.fsum(won)) for at, won in c.items()) for c in found.values())
    wins = np.zeros((len(rows), len(models), len(models)))
    for cluster, row in enumerate(rows):
        for at, won in row:
            wins[cluster][at] = won
    return wins


def _why_undefined(wins: Floats, models: Sequence[str]) -> str | None:
    """The reason why no strengths maximise the likelihood; None: they exist."""
    from scipy.sparse.csgraph import connected_components

    count, met = connected_components(wins + wins.T > 0, directed=False)
    if count > 1:
        first = ", ".join(m for m, part in zip(models, met, strict=True) if part == met[0])
        return f"{first} never met the others, not even through a third model"
    count, strong = connected_components(wins > 0, directed=True, connection="strong")
    if count == 1:
        return None
    for part in range(count):
        inside = strong == part
        names = ", ".join(m for m, here in zip(models, inside, strict=True) if here)
        if not wins[~inside][:, inside].any():
            return f"{names} won every game against the others, so their strength has no bound"
    return None


def _exist(wins: Floats) -> bool:
    """Whether strengths exist: each model reaches each other one by a chain of wins or ties."""
    import numpy as np

    reached = (wins > 0) | np.eye(len(wins), dtype=bool)
    # Each squaring doubles the length of the chains.
    for _ in range(len(wins).bit_length()):
        reached = reached @ reached
    return bool(reached.all())


def _fit(wins: Floats, start: Floats | None = None) -> Floats:
    """Newton's method from `start` or equal strengths; steps that do not climb are halved."""
    import numpy as np

    games = wins + wins.T
    points: Floats = np.zeros(len(wins)) if start is None else start
    best = _log_likelihood(wins, points)
    for _ in range(_STEPS):
        gradient = wins.sum(axis=1) - (games * _expected(points)).sum(axis=1)
        if abs(gradient).max() <= _DONE * games.sum():
            break
        step = _inverse_information(wins, points) @ gradient
        if abs(step).max() <= _LAST:
            points = points + step
            break
        size = 1.0
        while size > 1e-10 and _log_likelihood(wins, points + size * step) < best:
            size /= 2
        points = points + size * step
        best = max(best, _log_likelihood(wins, points))
    found: Floats = points - points.mean()
    return found


def _expected(points: Floats) -> Floats:
    """Probability that the row's model beats the column's."""
    from scipy.special import expit

    found: Floats = expit(points[:, None] - points[None, :])
    return found


def _log_likelihood(wins: Floats, points: Floats) -> float:
    from scipy.special import log_expit

    return float((wins * log_expit(points[:, None] - points[None, :])).sum())


def _inverse_information(wins: Floats, points: Floats) -> Floats:
    """Covariance of the strengths less their mean: the inverse on contrasts."""
    import numpy as np

    expected = _expected(points)
    weight = (wins + wins.T) * expected * (1 - expected)
    np.fill_diagonal(weight, 0.0)
    information = np.diag(weight.sum(axis=1)) - weight
    # Adding the direction of all ones, which no game informs, makes it invertible; of the size
    # of the others, it costs no accuracy.
    k, size = len(points), float(np.trace(information)) / len(points)
    found: Floats = np.asarray(np.linalg.inv(information + size / k), dtype=float)
    return found - 1 / (size * k)
