"""Holm and Benjamini-Hochberg against statsmodels and errorbars, and their properties."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from errorbars.leaderboard import holm_correction
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from evalkit.stats import benjamini_hochberg, holm

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=30)
Adjust = Callable[[Sequence[float | None]], tuple[float | None, ...]]
METHODS: dict[str, Adjust] = {"holm": holm, "fdr_bh": benjamini_hochberg}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(5))
def test_adjusted_values_are_those_of_statsmodels(method: str, seed: int) -> None:
    p = [float(x) for x in np.random.default_rng(seed).uniform(0, 0.2, 3 + 4 * seed)]
    assert METHODS[method](p) == pytest.approx(multipletests(p, method=method)[1], abs=1e-12)


@given(p_values)
def test_holm_is_that_of_errorbars(p: list[float]) -> None:
    assert holm(p) == pytest.approx(holm_correction(p), abs=1e-12)


def test_a_family_worked_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])


@pytest.mark.parametrize("adjust", METHODS.values())
def test_tests_that_could_not_be_made_stay_none_and_do_not_count(adjust: Adjust) -> None:
    small, large = adjust([0.02, 0.5])
    assert adjust([None, 0.02, None, 0.5]) == (None, small, None, large)
    assert adjust([]) == ()
    assert adjust([None]) == (None,)


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("adjust", METHODS.values())
def test_no_probability_is_refused(adjust: Adjust, bad: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        adjust([0.1, bad])


@given(p_values)
def test_holm_is_no_smaller_than_the_false_discovery_rate_and_that_no_smaller_than_p(
    p: list[float],
) -> None:
    for raw, fdr, strict in zip(p, benjamini_hochberg(p), holm(p), strict=True):
        assert fdr is not None
        assert strict is not None
        assert raw <= fdr <= strict + 1e-12
        assert strict <= 1


@given(p_values)
def test_the_order_of_evidence_is_kept(p: list[float]) -> None:
    for adjust in METHODS.values():
        adjusted = adjust(p)
        by_raw = [adjusted[i] for i in sorted(range(len(p)), key=lambda i: (p[i], adjusted[i]))]
        assert by_raw == sorted(by_raw, key=lambda x: x or 0.0)


@given(p_values, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(p: list[float], draw: random.Random) -> None:
    order = draw.sample(range(len(p)), len(p))
    for adjust in METHODS.values():
        plain, shuffled = adjust(p), adjust([p[i] for i in order])
        assert [plain[i] for i in order] == list(shuffled)


def test_one_true_null_among_many_is_claimed_no_more_often_than_alpha() -> None:
    """Family-wise error of ten true nulls at 5%: within Monte Carlo error of 5% (SE 0.5)."""
    rng = np.random.default_rng(3)
    false = sum(min(x or 0 for x in holm(list(rng.uniform(0, 1, 10)))) <= 0.05 for _ in range(2000))
    assert 70 <= false <= 130
