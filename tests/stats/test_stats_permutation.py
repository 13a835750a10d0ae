"""Sign-flip tests against scipy's permutation test, the binomial, and their own level."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats import mcnemar_exact, paired_difference, sign_flip
from tests.support.alpaca_eval import preferences
from tests.support.properties import examples

rows = st.lists(
    st.tuples(st.floats(-10, 10).map(lambda x: round(x, 2)), st.integers(0, 6)),
    min_size=1,
    max_size=25,
)


def mean(x: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(np.mean(x, axis=axis))


@pytest.mark.parametrize(("seed", "n"), [(0, 3), (1, 8), (2, 12), (3, 13)])
def test_exact_p_is_scipys(seed: int, n: int) -> None:
    values = np.random.default_rng(seed).normal(0.5, 1, n).round(1)
    oracle = scipy.stats.permutation_test(
        [values], mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    got = sign_flip([float(v) for v in values], range(n))
    assert got.exact
    assert got.p == pytest.approx(oracle.pvalue, abs=1e-12)
    assert got.difference == pytest.approx(values.mean())


def test_clusters_flip_together() -> None:
    values = np.random.default_rng(4).normal(0.3, 1, (9, 3))
    oracle = scipy.stats.permutation_test(
        [values.sum(axis=1)], mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    got = sign_flip([float(v) for v in values.ravel()], [i // 3 for i in range(27)])
    assert got.p == pytest.approx(oracle.pvalue, abs=1e-12)
    assert (got.n, got.n_clusters) == (27, 9)


@given(st.integers(0, 10), st.integers(0, 10), st.integers(0, 30))
def test_of_right_and_wrong_answers_it_is_the_exact_mcnemar_test(
    wins: int, losses: int, ties: int
) -> None:
    values = [1.0] * wins + [-1.0] * losses + [0.0] * ties
    got = sign_flip(values, range(len(values)))
    if values:
        assert got.p == pytest.approx(mcnemar_exact(wins, losses).p, abs=1e-12)
    else:
        assert (got.p, got.method) == (None, "undefined: no differences")


def test_random_assignments_estimate_the_exact_p() -> None:
    values = [1.0] * 38 + [-1.0] * 31 + [0.0] * 733
    got = sign_flip(values, range(802), draws=20000, seed=5)
    exact = mcnemar_exact(38, 31).p
    assert exact is not None
    assert not got.exact
    assert abs((got.p or 0) - exact) < 4 * math.sqrt(exact * (1 - exact) / 20000)


def test_p_is_never_0() -> None:
    assert sign_flip([1.0] * 40, range(40), draws=99).p == 1 / 100
    assert sign_flip([1.0] * 5, range(5)).p == 2 / 2**5


@examples(40)
@given(rows, st.randoms(use_true_random=False), st.sampled_from([0.125, 1.0, 32.0]))
def test_order_sign_and_scale_do_not_matter(
    found: list[tuple[float, int]], draw: random.Random, scale: float
) -> None:
    mixed = draw.sample(found, len(found))
    plain = sign_flip([v for v, _ in found], [c for _, c in found])
    other = sign_flip([-scale * v for v, _ in mixed], [c for _, c in mixed])
    assert plain.p == other.p
    assert plain.difference == pytest.approx(-(other.difference or 0.0) / scale, abs=1e-12)


def test_order_and_sign_do_not_matter_to_random_assignments_either() -> None:
    values = [float(v) for v in np.random.default_rng(1).normal(0.2, 1, 60)]
    plain = sign_flip(values, range(60), seed=3)
    assert sign_flip([-v for v in values[::-1]], range(60), seed=3).p == plain.p
    assert sign_flip(values, range(60), seed=4).p != plain.p


def test_equal_models_are_told_apart_at_most_alpha_of_the_time() -> None:
    """Six skewed clusters of unequal size: exact level at most 5%, where the t test is off."""
    rng = np.random.default_rng(8)
    clusters = [0, 0, 0, 1, 2, 2, 3, 4, 5, 5, 6, 7]
    runs, false = 1000, 0
    for _ in range(runs):
        shocks = rng.standard_t(2, 8)
        values = [float(shocks[c] + rng.laplace()) for c in clusters]
        false += (sign_flip(values, clusters).p or 0) <= 0.05
    assert false / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)
    assert false / runs >= 0.02


def test_what_cannot_be_tested_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        sign_flip([math.nan], "a")
    with pytest.raises(ValueError, match="2 values but 1"):
        sign_flip([1.0, 2.0], "a")
    with pytest.raises(ValueError, match="draws 0"):
        sign_flip([1.0], "a", draws=0)


@pytest.mark.data
def test_the_real_case_agrees_with_its_t_test(public_data: Path) -> None:
    notus, zephyr = (preferences(public_data, m) for m in ("notus-7b-v1", "zephyr-7b-beta"))
    paired = paired_difference(notus, zephyr, {key: key for key in notus}, 0.95)
    values = [notus[k] - zephyr[k] for k in notus if k in zephyr]
    got = sign_flip(values, range(802), draws=20000)
    assert got.difference == pytest.approx(paired.difference)
    # Discrete sums make the permutation p the larger one.
    assert paired.p is not None
    assert paired.p < (got.p or 0) < paired.p + 0.06
