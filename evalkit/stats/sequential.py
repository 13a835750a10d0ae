"""Looking more than once: how much of alpha each look may spend.

Two kinds of looks.  Looks at one growing sample have independent increments, and a boundary
computed for them wastes nothing.  Looks at successive checkpoints on one and the same sample do
not: their statistics depend on each other in no known way, and only the sum of what is spent
bounds the error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from evalkit.stats._distributions import check_probability, normal_cdf, normal_quantile

if TYPE_CHECKING:
    from evalkit.stats._clusters import Floats

__all__ = ["Dependence", "Looks", "Spending", "alpha_spending", "spent"]

Spending: TypeAlias = Literal["even", "obrien_fleming", "pocock"]
Dependence: TypeAlias = Literal["increments", "any"]

_FAR = 8.5
"""Standard deviations beyond which no probability is left (1e-17)."""
_NODES = 20
"""Of each panel of an integral."""
_PANEL = 4.0
"""Its width, in standard deviations of one increment."""
_PANELS = 200
"""Most panels."""


@dataclass(frozen=True)
class Looks:
    """What each look may spend and the level it tests at; one number per look."""

    fractions: tuple[float, ...]
    """Information so far, as a share of all that is planned."""
    spent: tuple[float, ...]
    """Alpha spent up to and with each look."""
    levels: tuple[float, ...]
    """Nominal one-sided level: claim at this look where its p is at most that."""
    method: str


def spent(fraction: float, alpha: float, spending: Spending) -> float:
    """Alpha spent when that share of the information is in, of a one-sided `alpha` in all.

    Lan and DeMets (1983), "Discrete sequential boundaries for clinical trials":
    O'Brien-Fleming type 2(1 - Φ(z_{1-alpha/2}/√t)), which keeps nearly all for the end; Pocock
    type alpha·ln(1 + (e - 1)t), whose looks at a growing sample test at about one level.  Kim and
    DeMets (1987), Biometrika 74:149, with exponent 1: `even`, alpha·t, as much for each look.

    Returns:
        0 at fraction 0; alpha from fraction 1 on.

    Raises:
        ValueError: a negative fraction, or alpha outside 0 to 1.
    """
    check_probability("alpha", alpha)
    if not fraction >= 0:
        raise ValueError(f"fraction {fraction!r}; expected a number from 0 up")
    if fraction == 0:
        return 0.0
    if fraction >= 1:
        return alpha
    if spending == "even":
        return alpha * fraction
    if spending == "pocock":
        return alpha * math.log1p((math.e - 1) * fraction)
    return 2 * normal_cdf(normal_quantile(alpha / 2) / math.sqrt(fraction))


def alpha_spending(
    fractions: Sequence[float],
    alpha: float,
    *,
    spending: Spending = "obrien_fleming",
    dependence: Dependence = "any",
) -> Looks:
    """Nominal one-sided levels for looks at those fractions of the planned information.

    `increments`: for z statistics of one growing sample, whose increments are independent; the
    level of look k is solved so that crossing first at k has the probability to be spent there
    (Armitage, McPherson and Rowe 1969; Jennison and Turnbull 2000, "Group Sequential
    Methods", ch. 19; recursive Gauss-Legendre integration, accurate to about 1e-12).

    `any`: the level of look k is what is spent there, spent(t_k) - spent(t_{k-1}): a Bonferroni
    split with weights.  It holds whatever the looks share, checkpoints of one training run on one
    test set included, and is conservative: five evenly spaced Pocock looks at 5% test at 1.5%
    to 0.7% instead of 1.5% to 1.9%.

    A look's level depends only on the looks before it, so looks may be added as they come, but
    not chosen by what was seen, and `spending` and the plan (what fraction 1 is) stay fixed.

    Args:
        fractions: ascending, above 0, at most 1.
        alpha: one-sided, over all looks together.
        spending: see `spent`.
        dependence: of the looks.

    Raises:
        ValueError: fractions that do not ascend within 0 to 1, alpha outside 0 to 1, or, for
            `increments`, looks closer than 0.0005 of the information.
    """
    check_probability("alpha", alpha)
    steps = [b - a for a, b in zip([0.0, *fractions], fractions, strict=False)]
    if any(not step > 0 for step in steps) or (fractions and not fractions[-1] <= 1):
        raise ValueError(f"fractions {list(fractions)!r}; expected ascending numbers above 0 to 1")
    total = [spent(fraction, alpha, spending) for fraction in fractions]
    shares = [max(0.0, b - a) for a, b in zip([0.0, *total], total, strict=False)]
    name = {"even": "even", "obrien_fleming": "O'Brien-Fleming", "pocock": "Pocock"}[spending]
    if dependence == "any":
        levels = shares
        words = "each look tests at what it spends, which holds under any dependence"
    else:
        levels = _levels(fractions, steps, shares)
        words = "levels for independent increments"
    return Looks(
        fractions=tuple(fractions),
        spent=tuple(total),
        levels=tuple(levels),
        method=f"alpha spending ({name} type, Lan-DeMets), one-sided {alpha:g}; {words}",
    )


@dataclass(frozen=True)
class _Continuing:
    """Brownian motion among those not yet stopped, on the nodes of an integral."""

    at: Floats
    mass: Floats
    """Density times the node's weight."""


def _levels(
    fractions: Sequence[float], steps: Sequence[float], shares: Sequence[float]
) -> list[float]:
    import numpy as np

    state = _Continuing(np.zeros(1), np.ones(1))
    levels = []
    for k, (fraction, step, share) in enumerate(zip(fractions, steps, shares, strict=True)):
        boundary = _boundary(state, fraction, step, share)
        levels.append(normal_cdf(-boundary / math.sqrt(fraction)))
        if k + 1 < len(steps):
            state = _advanced(state, fraction, step, (boundary, steps[k + 1]))
    return levels


def _boundary(state: _Continuing, fraction: float, step: float, share: float) -> float:
    """Where crossing has probability `share`; infinite where that is nothing."""
    from scipy.optimize import brentq
    from scipy.special import ndtr

    scale = math.sqrt(step)

    def excess(boundary: float) -> float:
        return float(state.mass @ ndtr((state.at - boundary) / scale)) - share

    far = _FAR * math.sqrt(fraction)
    if share <= 0 or excess(far) >= 0:
        return math.inf
    return float(brentq(excess, -far, far, xtol=1e-12))


def _advanced(
    state: _Continuing, fraction: float, step: float, then: tuple[float, float]
) -> _Continuing:
    import numpy as np

    boundary, next_step = then
    low, high = -_FAR * math.sqrt(fraction), min(boundary, _FAR * math.sqrt(fraction))
    # Fine enough for the density now, and for the next increment's kernel over it.
    finest = math.sqrt(min(step, next_step))
    panels = max(2, math.ceil((high - low) / (_PANEL * finest)))
    if panels > _PANELS:
        raise ValueError(
            f"looks {min(step, next_step):.2g} of the information apart; expected at least "
            f"0.0005 for levels by integration: leave looks out, or use dependence 'any'"
        )
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    width = (high - low) / panels
    at = (low + width * (np.arange(panels)[:, None] + (nodes + 1) / 2)).ravel()
    scale = math.sqrt(step)
    mass = np.zeros(len(at))
    for start in range(0, len(at), 500):
        some = slice(start, start + 500)
        distance = (at[some, None] - state.at[None, :]) / scale
        density = np.exp(-(distance**2) / 2) / (scale * math.sqrt(2 * math.pi))
        mass[some] = density @ state.mass
    return _Continuing(at, mass * np.tile(weights, panels) * width / 2)
