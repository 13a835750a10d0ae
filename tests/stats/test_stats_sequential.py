"""Alpha spending against published boundaries, scipy's multivariate normal, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats import alpha_spending, spent
from evalkit.stats.sequential import Dependence, Spending
from tests.support.properties import examples

SPENDING: list[Spending] = ["even", "obrien_fleming", "pocock"]
looks = (
    st.lists(st.integers(1, 40), min_size=1, max_size=8, unique=True)
    .map(sorted)
    .map(lambda found: [x / 40 for x in found])
)
FIFTHS = [0.2, 0.4, 0.6, 0.8, 1.0]


@pytest.mark.parametrize(
    ("spending", "boundaries"),
    [
        ("obrien_fleming", [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
        ("pocock", [2.4380, 2.4268, 2.4101, 2.3966, 2.3859]),
    ],
)
def test_five_looks_have_the_published_boundaries(
    spending: Spending, boundaries: list[float]
) -> None:
    """One-sided 2.5%: R's gsDesign, sfLDOF and sfLDPocock; O'Brien-Fleming also in Lan, DeMets."""
    got = alpha_spending(FIFTHS, 0.025, spending=spending, dependence="increments")
    z = [float(scipy.stats.norm.isf(level)) for level in got.levels]
    assert z == pytest.approx(boundaries, abs=2e-4)


@pytest.mark.parametrize("spending", SPENDING)
@pytest.mark.parametrize("fractions", [[0.5, 1.0], [0.1, 0.9], [0.01, 0.7], [0.98, 1.0]])
def test_two_looks_spend_what_the_bivariate_normal_says(
    spending: Spending, fractions: list[float]
) -> None:
    got = alpha_spending(fractions, 0.05, spending=spending, dependence="increments")
    z = scipy.stats.norm.isf(got.levels)
    z = np.minimum(z, 30.0)
    correlation = math.sqrt(fractions[0] / fractions[1])
    never = scipy.stats.multivariate_normal.cdf(z, cov=[[1, correlation], [correlation, 1]])
    assert 1 - never == pytest.approx(spent(fractions[1], 0.05, spending), abs=1e-9)


def test_four_looks_spend_what_the_multivariate_normal_says() -> None:
    fractions = [0.01, 0.02, 0.5, 1.0]
    got = alpha_spending(fractions, 0.05, spending="pocock", dependence="increments")
    corr = [[math.sqrt(min(a, b) / max(a, b)) for b in fractions] for a in fractions]
    never = scipy.stats.multivariate_normal.cdf(
        scipy.stats.norm.isf(got.levels), cov=corr, abseps=1e-8, releps=1e-8, maxpts=200_000
    )
    assert 1 - never == pytest.approx(0.05, abs=1e-6)


@given(looks, st.floats(0.001, 0.2), st.sampled_from(SPENDING))
def test_one_look_at_the_end_spends_all_and_none_spends_more(
    fractions: list[float], alpha: float, spending: Spending
) -> None:
    split = alpha_spending(fractions, alpha, spending=spending)
    assert math.fsum(split.levels) == pytest.approx(split.spent[-1], abs=1e-12)
    assert split.spent[-1] <= alpha
    assert list(split.spent) == sorted(split.spent)
    alone = alpha_spending([1.0], alpha, spending=spending, dependence="increments")
    assert alone.levels == pytest.approx([alpha], abs=1e-12)


@examples(30)
@given(looks, st.floats(0.005, 0.2), st.sampled_from(SPENDING))
def test_independent_increments_never_test_stricter_than_the_split(
    fractions: list[float], alpha: float, spending: Spending
) -> None:
    split = alpha_spending(fractions, alpha, spending=spending).levels
    exact = alpha_spending(fractions, alpha, spending=spending, dependence="increments").levels
    for strict, level in zip(split, exact, strict=True):
        assert strict - 1e-12 <= level <= alpha + 1e-12


@examples(30)
@given(looks, st.sampled_from(SPENDING), st.sampled_from(["increments", "any"]))
def test_levels_do_not_depend_on_later_looks(
    fractions: list[float], spending: Spending, dependence: Dependence
) -> None:
    whole = alpha_spending(fractions, 0.05, spending=spending, dependence=dependence).levels
    for k in range(1, len(fractions)):
        part = alpha_spending(fractions[:k], 0.05, spending=spending, dependence=dependence)
        assert part.levels == pytest.approx(whole[:k], abs=1e-10)


def false_alarms(levels: tuple[float, ...], statistics: np.ndarray) -> float:
    bounds = scipy.stats.norm.isf(levels)
    return float((statistics >= bounds).any(axis=1).mean())


@pytest.mark.parametrize("spending", SPENDING)
def test_peeking_at_a_growing_sample_keeps_alpha(spending: Spending) -> None:
    """Sixteen looks at a sum of noise, 40000 times; testing at 5% each time alarms in 20%."""
    fractions = [k / 16 for k in range(1, 17)]
    rng = np.random.default_rng(1)
    sums = rng.normal(0, 1 / 4, (40_000, 16)).cumsum(axis=1)
    z = sums / np.sqrt(fractions)
    exact = alpha_spending(fractions, 0.05, spending=spending, dependence="increments")
    split = alpha_spending(fractions, 0.05, spending=spending)
    error = 4 * math.sqrt(0.05 * 0.95 / 40_000)
    assert abs(false_alarms(exact.levels, z) - 0.05) < error
    assert false_alarms(split.levels, z) < 0.05
    assert false_alarms((0.05,) * 16, z) > 0.19


def test_checkpoints_on_one_test_set_keep_alpha_only_with_the_split() -> None:
    """Independent statistics at every look, as unrelated checkpoints might have."""
    fractions = [k / 16 for k in range(1, 17)]
    z = np.random.default_rng(2).normal(0, 1, (40_000, 16))
    split = alpha_spending(fractions, 0.05, spending="pocock")
    exact = alpha_spending(fractions, 0.05, spending="pocock", dependence="increments")
    assert false_alarms(split.levels, z) < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 40_000)
    assert false_alarms(exact.levels, z) > 0.10


def test_edges() -> None:
    assert spent(0, 0.05, "pocock") == 0
    assert spent(1.5, 0.05, "obrien_fleming") == 0.05
    assert spent(1, 0.05, "pocock") == 0.05
    nothing = alpha_spending([], 0.05)
    assert (nothing.levels, nothing.spent) == ((), ())
    tiny = alpha_spending([0.001, 1.0], 0.05, dependence="increments")
    assert tiny.levels == pytest.approx([0.0, 0.05], abs=1e-12)


def test_what_are_no_looks_is_refused() -> None:
    for bad in ([0.5, 0.5], [0.0, 1.0], [0.5, 1.2], [0.6, 0.5], [math.nan]):
        with pytest.raises(ValueError, match="ascending"):
            alpha_spending(bad, 0.05)
    with pytest.raises(ValueError, match="alpha 5"):
        alpha_spending([1.0], 5)
    with pytest.raises(ValueError, match="fraction -1"):
        spent(-1, 0.05, "pocock")
    with pytest.raises(ValueError, match="leave looks out"):
        alpha_spending([0.5, 0.50001, 1.0], 0.05, spending="pocock", dependence="increments")
