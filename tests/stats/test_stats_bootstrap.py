"""Bootstrap intervals against scipy's on the same draws, their coverage, and their properties."""

from __future__ import annotations

import math
import random

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats import bootstrap, bootstrap_mean, mean_estimate
from evalkit.stats.bootstrap import Kind
from tests.support.properties import examples

KINDS: list[Kind] = ["percentile", "bca"]
rows = st.lists(
    st.tuples(st.floats(-10, 10).map(lambda x: round(x, 2)), st.integers(0, 6)),
    min_size=1,
    max_size=25,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_intervals_are_scipys_on_the_same_draws(kind: Kind, seed: int) -> None:
    """Sorted, because units are; skewed and with ties, because there BCa differs.

    64 multiples of 1/8 have exact means, so that scipy sees which replicates equal the point.
    """
    values = np.sort((8 * np.random.default_rng(seed).exponential(1, 64)).round() / 8)
    oracle = scipy.stats.bootstrap(
        [values],
        np.mean,
        n_resamples=2000,
        confidence_level=0.9,
        method=kind,
        rng=np.random.default_rng(7),
    )
    got = bootstrap_mean([float(v) for v in values], range(64), 0.9, kind=kind, seed=7)
    low, high = oracle.confidence_interval
    assert got.low == pytest.approx(low, abs=1e-9)
    assert got.high == pytest.approx(high, abs=1e-9)
    assert got.standard_error == pytest.approx(oracle.standard_error, abs=1e-9)


def test_clusters_widen_the_error_as_the_closed_form_does() -> None:
    rng = np.random.default_rng(3)
    clusters = [i // 4 for i in range(240)]
    shift = rng.normal(0, 2, 60)
    values = [float(shift[c] + rng.normal()) for c in clusters]
    got = bootstrap_mean(values, clusters, 0.95, replicates=4000)
    closed = mean_estimate(values, clusters, 0.95)
    assert got.point == pytest.approx(closed.point, abs=1e-12)
    # The bootstrap has no G/(G - 1), and an error of 1/√(2·4000) of its own.
    assert got.standard_error == pytest.approx(closed.standard_error, rel=0.05)
    assert got.n_clusters == 60


def test_any_statistic_of_weighted_units() -> None:
    """The median of 101 values; its error is that of the normal order statistic, sd·√(π/2n)."""
    values = np.sort(np.random.default_rng(5).normal(0, 1, 101))

    def median(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        reached = np.cumsum(weights, axis=1) >= weights.sum(axis=1, keepdims=True) / 2
        found: npt.NDArray[np.float64] = values[np.argmax(reached, axis=1)]
        return found

    got = bootstrap(median, 101, 0.95, kind="percentile")
    assert got.point == np.median(values)
    assert got.standard_error == pytest.approx(math.sqrt(math.pi / 202), rel=0.3)


def test_undefined_is_none_and_says_why() -> None:
    assert bootstrap_mean([], [], 0.95).method == "undefined: no units"
    one = bootstrap_mean([3.0, 5.0], "aa", 0.95)
    assert (one.point, one.standard_error, one.low) == (4.0, None, None)
    assert one.method == "no standard error from one unit"
    agree = bootstrap_mean([0.1] * 7, range(7), 0.95)
    assert (agree.standard_error, agree.low, agree.high) == (0.0, agree.point, agree.point)
    assert "no evidence" in agree.method
    nothing = bootstrap(lambda w: np.full(len(w), math.nan), 5, 0.95)
    assert (nothing.point, nothing.method) == (None, "undefined: the statistic has no value")


def test_too_many_undefined_replicates_leave_no_interval() -> None:
    def all_or_nothing(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.where((weights > 0).all(axis=1), 1.0, math.nan)

    got = bootstrap(all_or_nothing, 5, 0.95)
    assert (got.point, got.standard_error, got.low) == (1.0, None, None)
    assert "too few" in got.method


def test_bca_without_bias_or_acceleration_has_no_interval() -> None:
    def distinct(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray((weights > 0).sum(axis=1), dtype=float)

    got = bootstrap(distinct, 30, 0.95)
    assert (got.low, got.high) == (None, None)
    assert "one side" in got.method
    middle = bootstrap(lambda w: w[:, 0] * (w.max(axis=1) > 1), 30, 0.95)
    assert "leaving one unit out" in middle.method


def test_what_is_no_level_is_refused() -> None:
    with pytest.raises(ValueError, match="confidence level 95"):
        bootstrap_mean([1.0], "a", 95)
    with pytest.raises(ValueError, match="replicates 1"):
        bootstrap_mean([1.0], "a", 0.9, replicates=1)


@examples(30)
@given(rows, st.randoms(use_true_random=False), st.sampled_from(KINDS))
def test_order_of_rows_does_not_matter(
    found: list[tuple[float, int]], draw: random.Random, kind: Kind
) -> None:
    mixed = draw.sample(found, len(found))
    one, other = (
        bootstrap_mean([v for v, _ in r], [c for _, c in r], 0.9, kind=kind, replicates=200)
        for r in (found, mixed)
    )
    assert one == other


@examples(30)
@given(rows, st.sampled_from(KINDS), st.integers(-20, 20))
def test_shift(found: list[tuple[float, int]], kind: Kind, shift: int) -> None:
    """Of scores one a cluster: then the order of units is that of the scores."""
    values = [v for v, _ in found]
    plain = bootstrap_mean(values, range(len(found)), 0.9, kind=kind, replicates=99)
    moved = bootstrap_mean(
        [v + shift for v in values], range(len(found)), 0.9, kind=kind, replicates=99
    )
    assert moved.point == pytest.approx((plain.point or 0) + shift, abs=1e-9)
    assert moved.standard_error == pytest.approx(plain.standard_error, abs=1e-9)
    if plain.low is not None:
        assert moved.low == pytest.approx(plain.low + shift, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_nearly_as_often_as_they_say(kind: Kind) -> None:
    """30 clusters of two: a little under 95%, as the docstring warns."""
    rng = np.random.default_rng(11)
    runs, hits = 600, 0
    for run in range(runs):
        effects = rng.normal(0, 1, 30)
        values = [float(e + rng.normal()) for e in effects for _ in range(2)]
        got = bootstrap_mean(
            values, [i // 2 for i in range(60)], 0.95, kind=kind, replicates=1000, seed=run
        )
        assert got.low is not None
        assert got.high is not None
        hits += got.low <= 0 <= got.high
    assert 0.935 - 4 * math.sqrt(0.05 * 0.95 / runs) < hits / runs < 0.97
