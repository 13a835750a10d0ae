"""Exact tests on the pairs where two models differ, for outcomes that are right or wrong."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from evalkit.stats._distributions import binomial_cdf

__all__ = ["McNemar", "mcnemar", "mcnemar_exact"]

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class McNemar:
    """The discordant pairs of two models and what they say."""

    wins: int
    """Pairs only the first has right."""
    losses: int
    """Pairs only the second has right."""
    p: float | None
    """Two-sided.  None where it is undefined; `method` says why."""
    method: str


def mcnemar_exact(wins: int, losses: int) -> McNemar:
    """Exact McNemar test: under equality the wins are Binomial(wins + losses, 1/2).

    McNemar (1947), "Note on the sampling error of the difference between correlated
    proportions"; exact two-sided p = min(1, 2·P(X ≤ min(wins, losses))), as in Fagerland,
    Lydersen and Laake (2013), "The McNemar test for binary matched-pairs data", eq. 2.  Pairs
    are independent: where samples come in clusters, use `permutation.sign_flip` over them.
    For scores that are not binary this is the sign test on whether they differ, which ignores by
    how much.

    Returns:
        No discordant pairs: p = 1, since any outcome would be at least as extreme.

    Raises:
        ValueError: a count is negative.
    """
    for name, count in (("wins", wins), ("losses", losses)):
        if count < 0:
            raise ValueError(f"{name} {count!r}; expected a count from 0 up")
    n = wins + losses
    p = 1.0 if n == 0 else min(1.0, 2 * binomial_cdf(min(wins, losses), n))
    return McNemar(wins, losses, p, f"exact McNemar test on {n} discordant pairs")


def mcnemar(a: Mapping[K, float], b: Mapping[K, float]) -> McNemar:
    """`mcnemar_exact` of two models' 0/1 outcomes on the keys both have.

    Returns:
        Nothing common: p is None.

    Raises:
        ValueError: a common outcome is neither 0 nor 1.
    """
    common = [key for key in a if key in b]
    for key in common:
        for outcome in (a[key], b[key]):
            if outcome not in (0, 1):
                raise ValueError(f"outcome {outcome!r} of {key!r}; expected 0 or 1")
    if not common:
        return McNemar(0, 0, None, "undefined: no common samples")
    wins = sum(a[key] > b[key] for key in common)
    losses = sum(a[key] < b[key] for key in common)
    return mcnemar_exact(wins, losses)
