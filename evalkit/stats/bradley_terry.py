"""Strengths of several models from games between pairs of them.

Here belongs the model; which judgments are games, and on which scale strengths are shown
(400/ln 10 times them are Elo points), is the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from evalkit.stats._distributions import check_probability, normal_quantile

if TYPE_CHECKING:
    from evalkit.stats._clusters import Floats

__all__ = ["BradleyTerry", "Game", "Strength", "bradley_terry", "strength_difference"]

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
    """For a, 0 to 1: 1 a win, 0.5 a tie, 0 a loss; between them a preference."""
    cluster: Hashable
    """Unit of resampling: games on one question are not independent."""


@dataclass(frozen=True)
class Strength:
    """One model's log strength: e to a difference of two is the odds that the first wins."""

    model: str
    point: float | None
    """Mean over the models 0.  None where it is undefined; `BradleyTerry.method` says why."""
    standard_error: float | None
    """Of the difference to the mean of all models."""
    low: float | None
    high: float | None
    n: int
    """Games it was in."""


@dataclass(frozen=True)
class BradleyTerry:
    """Strengths of all models, in alphabetical order."""

    strengths: tuple[Strength, ...]
    covariance: tuple[tuple[float, ...], ...] | None
    """Of the points, in the order of `strengths`; for errors of differences."""
    level: float
    n: int
    """Games."""
    n_clusters: int
    method: str


def bradley_terry(
    games: Sequence[Game],
    level: float,
    *,
    errors: Literal["information", "bootstrap"] = "bootstrap",
    replicates: int = REPLICATES,
    seed: int = 0,
) -> BradleyTerry:
    """Maximum-likelihood strengths: P(a beats b) = 1/(1 + exp(s_b - s_a)), a tie is half a win.

    Bradley and Terry (1952), "Rank analysis of incomplete block designs"; Newton's method on
    the log-likelihood, which is concave (Hunter 2004, "MM algorithms for generalized
    Bradley-Terry models", section 2).  They exist, and are unique, only if no group of models
    has won nothing against the rest (Ford 1957): every group must take at least a tie off the
    others.

    Errors: `information` inverts the Fisher information Σ p(1 - p)(e_a - e_b)(e_a - e_b)ᵀ on
    contrasts: right for independent games that are won or lost, too wide where most are ties, too
    narrow where games share a question.  `bootstrap` resamples clusters, refits, and takes
    the replicates' covariance and percentile intervals; replicates in which strengths do not exist
    are left out, which understates the error of models that hardly lose or hardly win.

    Args:
        games: in any order; each orientation alike.
        level: confidence level, between 0 and 1.
        errors: see above; normal intervals for `information`.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        No games, models that never met even through others, or a group that lost all or won all
        its games against the others: all points None.  Bootstrap of fewer than two clusters, or
        with fewer than 90% of replicates defined: points only.

    Raises:
        ValueError: a score outside 0 to 1, a model against itself, or a bad level.
    """
    check_probability("confidence level", level)
    _check(games)
    models = sorted({model for game in games for model in (game.a, game.b)})
    wins = _wins(games, models)
    n_games = [sum(model in (game.a, game.b) for game in games) for model in models]
    result = BradleyTerry(
        strengths=tuple(
            Strength(model, None, None, None, None, n)
            for model, n in zip(models, n_games, strict=True)
        ),
        covariance=None,
        level=level,
        n=len(games),
        n_clusters=len(wins),
        method="Bradley-Terry, ties half a win",
    )
    if not games:
        return replace(result, method="undefined: no games")
    total = wins.sum(axis=0)
    reason = _why_undefined(total, models)
    if reason is not None:
        return replace(result, method=f"undefined: {reason}")
    points = _fit(total)
    if errors == "information":
        return _informed(result, total, points)
    return _bootstrapped(result, wins, points, (replicates, seed))


def strength_difference(result: BradleyTerry, a: str, b: str) -> Strength:
    """Strength of a minus strength of b, with its own error (that of a contrast).

    The interval is normal, also after a bootstrap.  `n` is that of a.

    Raises:
        KeyError: a model had no games.
    """
    position = {strength.model: i for i, strength in enumerate(result.strengths)}
    i, j = position[a], position[b]
    ours, theirs = result.strengths[i], result.strengths[j]
    found = Strength(f"{a} - {b}", None, None, None, None, ours.n)
    if ours.point is None or theirs.point is None:
        return found
    point = ours.point - theirs.point
    if result.covariance is None:
        return replace(found, point=point)
    v = result.covariance
    error = math.sqrt(max(0.0, v[i][i] + v[j][j] - 2 * v[i][j]))
    half = normal_quantile(0.5 + result.level / 2) * error
    return replace(found, point=point, standard_error=error, low=point - half, high=point + half)


def _check(games: Iterable[Game]) -> None:
    for game in games:
        if not 0 <= game.score <= 1:
            raise ValueError(f"score {game.score!r} of {game.a!r}; expected a number from 0 to 1")
        if game.a == game.b:
            raise ValueError(f"{game.a!r} against itself; a game needs two models")


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
    """Whether strengths do: everyone has won something off everyone, at least by way of others."""
    import numpy as np

    reached = (wins > 0) | np.eye(len(wins), dtype=bool)
    # Each squaring doubles how many steps a way may have.
    for _ in range(len(wins).bit_length()):
        reached = reached @ reached
    return bool(reached.all())


def _fit(wins: Floats, start: Floats | None = None) -> Floats:
    """Newton's method from `start` or equal strengths, halving steps that do not climb."""
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


def _informed(result: BradleyTerry, wins: Floats, points: Floats) -> BradleyTerry:
    import numpy as np

    covariance = _inverse_information(wins, points)
    half = normal_quantile(0.5 + result.level / 2) * np.sqrt(np.diag(covariance))
    words = f"{result.method}; errors from the Fisher information; normal intervals"
    ends = (points - half, points + half)
    return _filled(replace(result, method=words), points, covariance, ends)


def _bootstrapped(
    result: BradleyTerry, wins: Floats, points: Floats, draws: tuple[int, int]
) -> BradleyTerry:
    import numpy as np

    from evalkit.stats._clusters import drawn_weights

    replicates, seed = draws
    n = len(wins)
    plain = _filled(result, points, None, None)
    if n < 2:
        return replace(plain, method=f"{result.method}; no standard error from one unit")
    flat, found = wins.reshape(n, -1), []
    for block in drawn_weights(n, replicates, seed):
        for total in (block @ flat).reshape(len(block), *wins.shape[1:]):
            if _exist(total):
                found.append(_fit(total, points))
    if len(found) < max(2, ENOUGH * replicates):
        words = f"strengths exist in {len(found)} of {replicates} replicates: too few for an error"
        return replace(plain, method=f"{result.method}; {words}")
    covariance = np.asarray(np.cov(np.array(found).T), dtype=float)
    ends = np.quantile(found, [0.5 - result.level / 2, 0.5 + result.level / 2], axis=0)
    lost = replicates - len(found)
    note = f" ({lost} undefined)" if lost else ""
    words = f"bootstrap over {n} units, {replicates} refits{note}; percentile intervals"
    result = replace(result, method=f"{result.method}; {words}")
    return _filled(result, points, covariance, (ends[0], ends[1]))


def _filled(
    result: BradleyTerry,
    points: Floats,
    covariance: Floats | None,
    ends: tuple[Floats, Floats] | None,
) -> BradleyTerry:
    strengths = [
        replace(strength, point=float(point))
        for strength, point in zip(result.strengths, points, strict=True)
    ]
    if covariance is None or ends is None:
        return replace(result, strengths=tuple(strengths))
    low, high = ends
    strengths = [
        replace(
            strength,
            standard_error=math.sqrt(max(0.0, float(covariance[i, i]))),
            low=float(low[i]),
            high=float(high[i]),
        )
        for i, strength in enumerate(strengths)
    ]
    rows = tuple(tuple(float(v) for v in row) for row in covariance)
    return replace(result, strengths=tuple(strengths), covariance=rows)
