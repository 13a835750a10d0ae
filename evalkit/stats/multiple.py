"""p values of several tests that are read together.

Which tests form a family is the caller's to say, before the results are seen: adding a row
later changes every adjusted p of its family.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["benjamini_hochberg", "holm"]


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Holm's adjusted p values: those at most alpha are claims with family-wise error alpha.

    Holm (1979), "A simple sequentially rejective multiple test procedure"; in adjusted form
    (Wright 1992, "Adjusted p-values for simultaneous inference"): with p₍₁₎ ≤ ... ≤ p₍ₘ₎,
    p̃₍ᵢ₎ = max over j ≤ i of min(1, (m - j + 1)·p₍ⱼ₎).  Valid however the tests depend on
    each other.

    Args:
        p_values: in any order; None is a test that could not be made, and does not count in m
            (as R's `p.adjust` treats NA).

    Returns:
        In the order given, None where the p value is None.  Equal p values stay equal.

    Raises:
        ValueError: a p value outside 0 to 1.
    """
    order, m = _ascending(p_values)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(order):
        largest = max(largest, min(1.0, (m - rank) * p))
        adjusted[index] = largest
    return tuple(adjusted)


def benjamini_hochberg(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Adjusted p values whose rejections have a false discovery rate of at most alpha.

    Benjamini and Hochberg (1995), "Controlling the false discovery rate": in adjusted form,
    p̃₍ᵢ₎ = min over j ≥ i of min(1, m·p₍ⱼ₎/j).  For independent tests, and for positively
    dependent ones (Benjamini and Yekutieli 2001), as comparisons with one baseline are.

    Args:
        p_values: as for `holm`.

    Returns:
        In the order given, None where the p value is None.

    Raises:
        ValueError: a p value outside 0 to 1.
    """
    order, m = _ascending(p_values)
    adjusted: list[float | None] = [None] * len(p_values)
    smallest = 1.0
    for rank in range(m, 0, -1):
        p, index = order[rank - 1]
        smallest = min(smallest, m * p / rank)
        # m·p/m may round below p itself.
        adjusted[index] = max(smallest, p)
    return tuple(adjusted)


def _ascending(p_values: Sequence[float | None]) -> tuple[list[tuple[float, int]], int]:
    defined = [(p, index) for index, p in enumerate(p_values) if p is not None]
    for p, _ in defined:
        if not 0 <= p <= 1:
            raise ValueError(f"p value {p!r}; expected a number from 0 to 1, or None")
    return sorted(defined), len(defined)
