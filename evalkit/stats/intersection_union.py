"""Claims that hold only if every one of their parts holds ("A beats both B and C")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["IntersectionUnion", "intersection_union", "one_sided"]


@dataclass(frozen=True)
class IntersectionUnion:
    """A joint claim as strong as its weakest part."""

    p: float | None
    """One-sided.  None where it is undefined; `method` says why."""
    weakest: int | None
    """Position of the part with the largest p (the first of equals)."""
    n: int
    """Parts."""
    method: str


def intersection_union(p_values: Sequence[float | None]) -> IntersectionUnion:
    """Test that all of several one-sided claims hold: p is the largest of theirs.

    Berger (1982), "Multiparameter hypothesis testing and acceptance sampling", theorem 1: the
    null "at least one part fails" is rejected at alpha when every part is rejected at alpha.
    No correction for the number of parts is needed, however they depend on each other; "at
    least one part holds" is another claim, for which see `multiple.holm`.

    Args:
        p_values: one-sided, of each part in its claimed direction (see `one_sided`).

    Returns:
        No parts, or a part without p: None, because a claim is not shown by leaving out the
        part that could not be tested.

    Raises:
        ValueError: a p value outside 0 to 1.
    """
    n = len(p_values)
    for p in p_values:
        if p is not None and not 0 <= p <= 1:
            raise ValueError(f"p value {p!r}; expected a number from 0 to 1, or None")
    if n == 0:
        return IntersectionUnion(None, None, 0, "undefined: no parts")
    missing = next((i for i, p in enumerate(p_values) if p is None), None)
    if missing is not None:
        return IntersectionUnion(None, missing, n, f"undefined: part {missing + 1} has no p")
    defined = [p for p in p_values if p is not None]
    largest = max(defined)
    words = f"intersection-union test of {n} parts: largest one-sided p"
    return IntersectionUnion(largest, defined.index(largest), n, words)


def one_sided(p: float | None, difference: float | None) -> float | None:
    """One-sided p for "the difference is above 0" of a symmetric two-sided test.

    p/2 where the difference is positive, 1 - p/2 where it is negative, 1/2 where it is 0;
    None where either is None.  Exact for the t test, whose statistic has a symmetric null.
    """
    if p is None or difference is None:
        return None
    if difference == 0:
        return 0.5
    return p / 2 if difference > 0 else 1 - p / 2
