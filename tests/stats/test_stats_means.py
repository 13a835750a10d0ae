"""`mean_estimate` against scipy and statsmodels, and the properties any such estimate has."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats import mean_estimate

scores = st.floats(-100, 100).map(lambda x: round(x, 6))
clustered = st.lists(st.tuples(scores, st.integers(0, 5)), min_size=1, max_size=40)


def test_independent_samples_agree_with_scipy() -> None:
    rng = np.random.default_rng(5)
    values = [float(v) for v in rng.normal(3, 2, 41)]
    got = mean_estimate(values, range(41), 0.9)
    oracle = scipy.stats.ttest_1samp(values, 0.0)
    interval = oracle.confidence_interval(0.9)
    assert got.point == pytest.approx(np.mean(values), abs=1e-12)
    assert got.standard_error == pytest.approx(scipy.stats.sem(values), abs=1e-12)
    assert got.low == pytest.approx(interval.low, abs=1e-9)
    assert got.high == pytest.approx(interval.high, abs=1e-9)
    assert (got.n, got.n_clusters) == (41, 41)
    assert "independent" in got.method
    assert "40 df" in got.method


def test_clustered_error_agrees_with_statsmodels() -> None:
    rng = np.random.default_rng(6)
    clusters = [int(c) for c in rng.integers(0, 12, 90)]
    effect = rng.normal(0, 2, 12)
    values = [float(effect[c] + rng.normal()) for c in clusters]
    fit = sm.OLS(values, np.ones(90)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": True}, use_t=True
    )
    got = mean_estimate(values, clusters, 0.95)
    low, high = fit.conf_int(alpha=0.05)[0]
    assert got.standard_error == pytest.approx(fit.bse[0], abs=1e-9)
    assert got.low == pytest.approx(low, abs=1e-9)
    assert got.high == pytest.approx(high, abs=1e-9)
    assert got.n_clusters == 12
    naive = mean_estimate(values, range(90), 0.95).standard_error
    assert naive is not None
    assert got.standard_error is not None
    assert got.standard_error > 1.5 * naive, "clusters this alike must widen the error"


def test_two_equal_halves_of_a_cluster_add_nothing() -> None:
    once = mean_estimate([1.0, 0.0, 1.0], "abc", 0.95)
    twice = mean_estimate([1.0, 0.0, 1.0] * 2, "abcabc", 0.95)
    assert twice.standard_error == pytest.approx(once.standard_error)
    assert (twice.n, twice.n_clusters) == (6, 3)


def test_undefined_is_none() -> None:
    none = mean_estimate([], [], 0.95)
    assert (none.point, none.standard_error, none.low, none.high, none.n) == (None,) * 4 + (0,)
    one = mean_estimate([4.0], ["a"], 0.95)
    assert (one.point, one.standard_error, one.low, one.high) == (4.0, None, None, None)
    cluster = mean_estimate([4.0, 6.0], ["a", "a"], 0.95)
    assert (cluster.point, cluster.standard_error, cluster.n_clusters) == (5.0, None, 1)


@pytest.mark.parametrize("value", [1.0, 0.1, 1 / 3, 0.0])
def test_no_variation_is_zero_and_said_to_be_no_evidence(value: float) -> None:
    got = mean_estimate([value] * 7, range(7), 0.95)
    assert (got.standard_error, got.low, got.high) == (0.0, got.point, got.point)
    assert "no evidence" in got.method


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        mean_estimate([1.0, bad], "ab", 0.95)


def test_bad_level_and_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        mean_estimate([1.0], "a", 95)
    with pytest.raises(ValueError, match="2 values but 1 clusters"):
        mean_estimate([1.0, 2.0], "a", 0.95)


@given(clustered, st.randoms(use_true_random=False))
def test_order_of_values_does_not_change_one_bit(
    rows: list[tuple[float, int]], shuffler: random.Random
) -> None:
    shuffled = rows[:]
    shuffler.shuffle(shuffled)
    values, clusters = zip(*rows, strict=True)
    assert mean_estimate(values, clusters, 0.95) == mean_estimate(
        [v for v, _ in shuffled], [c for _, c in shuffled], 0.95
    )


@given(clustered, st.floats(-50, 50), st.floats(0.1, 100))
def test_shift_and_scale(rows: list[tuple[float, int]], shift: float, scale: float) -> None:
    values, clusters = zip(*rows, strict=True)
    plain = mean_estimate(values, clusters, 0.95)
    moved = mean_estimate([scale * (v + shift) for v in values], clusters, 0.95)
    assert plain.point is not None
    assert moved.point == pytest.approx(scale * (plain.point + shift), abs=1e-6)
    if plain.standard_error is None:
        assert moved.standard_error is None
    else:
        assert moved.standard_error == pytest.approx(scale * plain.standard_error, abs=1e-6)


@given(clustered)
def test_interval_holds_the_point_and_grows_with_the_level(rows: list[tuple[float, int]]) -> None:
    values, clusters = zip(*rows, strict=True)
    narrow, wide = (mean_estimate(values, clusters, level) for level in (0.8, 0.99))
    if narrow.low is None:
        assert narrow.n_clusters == 1
        return
    assert narrow.high is not None
    assert wide.low is not None
    assert wide.high is not None
    assert wide.low <= narrow.low <= (narrow.point or 0.0) <= narrow.high <= wide.high


def test_the_interval_covers_as_often_as_it_says() -> None:
    """95% of intervals over simulated clustered data hold the true mean (seeded)."""
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(1000):
        effects = rng.normal(0, 1, 20)
        values = [float(e + rng.normal()) for e in effects for _ in range(2)]
        got = mean_estimate(values, [i // 2 for i in range(40)], 0.95)
        assert got.low is not None
        assert got.high is not None
        hits += got.low <= 0 <= got.high
    assert 930 <= hits <= 970
