"""Joint claims: the weakest part decides, and errors stay at alpha."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats import intersection_union, one_sided

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=8)


@given(p_values)
def test_the_weakest_part_decides(p: list[float]) -> None:
    got = intersection_union(p)
    assert got.p == max(p)
    assert got.weakest == p.index(max(p))
    assert got.n == len(p)


@given(p_values, st.floats(0, 1))
def test_another_part_never_makes_a_claim_stronger(p: list[float], extra: float) -> None:
    alone, more = intersection_union(p).p, intersection_union([*p, extra]).p
    assert alone is not None
    assert more is not None
    assert more >= alone


def test_a_part_that_could_not_be_tested_leaves_the_claim_open() -> None:
    got = intersection_union([0.001, None])
    assert (got.p, got.weakest, got.method) == (None, 1, "undefined: part 2 has no p")
    assert intersection_union([]).method == "undefined: no parts"
    with pytest.raises(ValueError, match="from 0 to 1"):
        intersection_union([0.1, 2.0])


@pytest.mark.parametrize("seed", range(6))
def test_one_sided_is_scipys_t_test_for_greater(seed: int) -> None:
    values = np.random.default_rng(seed).normal(0.2 * (seed - 3), 1, 12)
    two = scipy.stats.ttest_1samp(values, 0)
    greater = scipy.stats.ttest_1samp(values, 0, alternative="greater")
    got = one_sided(float(two.pvalue), float(values.mean()))
    assert got == pytest.approx(greater.pvalue, abs=1e-12)


def test_one_sided_without_evidence() -> None:
    assert one_sided(None, 1.0) is None
    assert one_sided(0.3, None) is None
    assert one_sided(1.0, 0.0) == 0.5


def test_a_false_joint_claim_is_made_at_most_alpha_of_the_time() -> None:
    """One part true beyond doubt, the other exactly equal: the worst case, 5% (SE 0.5)."""
    rng = np.random.default_rng(1)
    sure = rng.normal(5, 1, 2000)
    equal = rng.normal(0, 1, 2000)
    false = sum(
        (intersection_union([float(scipy.stats.norm.sf(x)) for x in pair]).p or 0) <= 0.05
        for pair in zip(sure, equal, strict=True)
    )
    assert 70 <= false <= 130
