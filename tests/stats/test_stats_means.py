"""Means, shares and paired differences against scipy, statsmodels and a real pair of models."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from evalkit.stats.means import is_binary, mean, p_above, p_value, paired_difference, share
from tests.support.alpaca_eval import preferences

scores = st.floats(-100, 100).map(lambda x: round(x, 6))
clustered = st.lists(st.tuples(scores, st.integers(0, 5)), min_size=1, max_size=40)


def test_independent_samples_agree_with_scipy() -> None:
    rng = np.random.default_rng(5)
    values = [float(v) for v in rng.normal(3, 2, 41)]
    got = mean(values, range(41), 0.9)
    oracle = scipy.stats.ttest_1samp(values, 0.0)
    interval = oracle.confidence_interval(0.9)
    assert got.point == pytest.approx(np.mean(values), abs=1e-12)
    assert got.standard_error == pytest.approx(scipy.stats.sem(values), abs=1e-12)
    assert got.low == pytest.approx(interval.low, abs=1e-9)
    assert got.high == pytest.approx(interval.high, abs=1e-9)
    assert (got.n, got.n_units) == (41, 41)
    assert "independent" in got.how
    assert "40 df" in got.how


def test_clustered_error_agrees_with_statsmodels() -> None:
    rng = np.random.default_rng(6)
    clusters = [int(c) for c in rng.integers(0, 12, 90)]
    effect = rng.normal(0, 2, 12)
    values = [float(effect[c] + rng.normal()) for c in clusters]
    fit = sm.OLS(values, np.ones(90)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": True}, use_t=True
    )
    got = mean(values, clusters, 0.95)
    low, high = fit.conf_int(alpha=0.05)[0]
    assert got.standard_error == pytest.approx(fit.bse[0], abs=1e-9)
    assert got.low == pytest.approx(low, abs=1e-9)
    assert got.high == pytest.approx(high, abs=1e-9)
    assert got.n_units == 12
    naive = mean(values, range(90), 0.95).standard_error
    assert naive is not None
    assert got.standard_error is not None
    assert got.standard_error > 1.5 * naive, "clusters this alike must widen the error"


def test_two_equal_halves_of_a_cluster_add_nothing() -> None:
    once = mean([1.0, 0.0, 1.0], "abc", 0.95)
    twice = mean([1.0, 0.0, 1.0] * 2, "abcabc", 0.95)
    assert twice.standard_error == pytest.approx(once.standard_error)
    assert (twice.n, twice.n_units) == (6, 3)


def test_undefined_is_none() -> None:
    none = mean([], [], 0.95)
    assert (none.point, none.standard_error, none.low, none.high, none.n) == (None,) * 4 + (0,)
    one = mean([4.0], ["a"], 0.95)
    assert (one.point, one.standard_error, one.low, one.high) == (4.0, None, None, None)
    cluster = mean([4.0, 6.0], ["a", "a"], 0.95)
    assert (cluster.point, cluster.standard_error, cluster.n_units) == (5.0, None, 1)


@pytest.mark.parametrize("value", [1.0, 0.1, 1 / 3, 0.0])
def test_no_variation_is_zero_and_said_to_be_no_evidence(value: float) -> None:
    got = mean([value] * 7, range(7), 0.95)
    assert (got.standard_error, got.low, got.high) == (0.0, got.point, got.point)
    assert "no evidence" in got.how


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        mean([1.0, bad], "ab", 0.95)


def test_bad_level_and_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        mean([1.0], "a", 95)
    with pytest.raises(ValueError, match="2 values but 1 clusters"):
        mean([1.0, 2.0], "a", 0.95)


@given(clustered, st.randoms(use_true_random=False))
def test_order_of_values_does_not_change_one_bit(
    rows: list[tuple[float, int]], shuffler: random.Random
) -> None:
    shuffled = rows[:]
    shuffler.shuffle(shuffled)
    values, clusters = zip(*rows, strict=True)
    assert mean(values, clusters, 0.95) == mean(
        [v for v, _ in shuffled], [c for _, c in shuffled], 0.95
    )


@given(clustered, st.floats(-50, 50), st.floats(0.1, 100))
def test_shift_and_scale(rows: list[tuple[float, int]], shift: float, scale: float) -> None:
    values, clusters = zip(*rows, strict=True)
    plain = mean(values, clusters, 0.95)
    moved = mean([scale * (v + shift) for v in values], clusters, 0.95)
    assert plain.point is not None
    assert moved.point == pytest.approx(scale * (plain.point + shift), abs=1e-6)
    if plain.standard_error is None:
        assert moved.standard_error is None
    else:
        assert moved.standard_error == pytest.approx(scale * plain.standard_error, abs=1e-6)


@given(clustered)
def test_interval_holds_the_point_and_grows_with_the_level(rows: list[tuple[float, int]]) -> None:
    values, clusters = zip(*rows, strict=True)
    narrow, wide = (mean(values, clusters, level) for level in (0.8, 0.99))
    if narrow.low is None:
        assert narrow.n_units == 1
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
        got = mean(values, [i // 2 for i in range(40)], 0.95)
        assert got.low is not None
        assert got.high is not None
        hits += got.low <= 0 <= got.high
    assert 930 <= hits <= 970


@given(clustered, st.floats(-100, 0), st.floats(0, 100))
def test_an_interval_keeps_to_the_scale_that_its_values_keep_to(
    rows: list[tuple[float, int]], least: float, most: float
) -> None:
    values, units = zip(*rows, strict=True)
    plain, cut = (mean(values, units, 0.95, scale=s) for s in (None, (least, most)))
    if plain.low is None or min(values) < least or max(values) > most:
        assert cut == plain
        return
    assert (cut.low, cut.high) == (max(plain.low, least), min(plain.high or 0.0, most))
    assert (cut.point, cut.standard_error) == (plain.point, plain.standard_error)
    assert ("cut to the scale" in cut.how) == ((cut.low, cut.high) != (plain.low, plain.high))


# --- shares -------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=1), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_interval_is_statsmodels(values: list[float], level: float) -> None:
    found = share(values, range(len(values)), level)
    low, high = proportion_confint(sum(values), len(values), 1 - level, "wilson")
    assert found.low is not None
    assert found.high is not None
    assert math.isclose(found.low, low, abs_tol=1e-9)
    assert math.isclose(found.high, high, abs_tol=1e-9)
    assert 0 <= found.low <= (found.point or 0) <= found.high <= 1
    assert found.standard_error == mean(values, range(len(values)), level).standard_error


def test_unanimous_samples_are_no_proof() -> None:
    found = share([1.0] * 40, range(40), 0.95)
    assert found.point == 1
    assert found.low == pytest.approx(0.91238, abs=1e-5)
    assert found.high == 1


def test_nothing_has_no_interval() -> None:
    found = share([], [], 0.95)
    assert (found.point, found.low, found.high) == (None, None, None)


def test_what_is_not_binary_is_refused() -> None:
    assert not is_binary([0.5], [1])
    assert not is_binary([0, 1], ["a", "a"])
    with pytest.raises(ValueError, match="0 and 1"):
        share([0.5], [1], 0.95)


# --- paired differences -------------------------------------------------------------------------

table = st.dictionaries(st.integers(0, 30), st.floats(-10, 10).map(lambda x: round(x, 3)))
CLUSTERS = {key: key // 3 for key in range(31)}


def test_one_sample_a_cluster_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(1)
    a = {i: float(v) for i, v in enumerate(rng.normal(0.3, 1, 60))}
    b = {i: float(v) for i, v in enumerate(rng.normal(0, 1, 60))}
    got = paired_difference(a, b, {i: i for i in a}, 0.9)
    oracle = scipy.stats.ttest_rel(list(a.values()), list(b.values()))
    interval = oracle.confidence_interval(0.9)
    assert got.p == pytest.approx(oracle.pvalue, abs=1e-9)
    assert got.measured.low == pytest.approx(interval.low, abs=1e-9)
    assert got.measured.high == pytest.approx(interval.high, abs=1e-9)
    assert got.measured.n == got.measured.n_units == 60
    assert "two-sided t test" in got.measured.how


def test_clusters_agree_with_statsmodels() -> None:
    rng = np.random.default_rng(2)
    keys = [(q, part) for q in range(15) for part in range(1 + q % 3)]
    shift = rng.normal(0.4, 1, 15)
    a = {k: float(shift[k[0]] + rng.normal()) for k in keys}
    b = {k: float(rng.normal()) for k in keys}
    groups = [k[0] for k in keys]
    fit = sm.OLS([a[k] - b[k] for k in keys], np.ones(len(keys))).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": True}, use_t=True
    )
    got = paired_difference(a, b, dict(zip(keys, groups, strict=True)), 0.95)
    low, high = fit.conf_int()[0]
    assert got.measured.point == pytest.approx(fit.params[0], abs=1e-9)
    assert got.measured.standard_error == pytest.approx(fit.bse[0], abs=1e-9)
    assert got.p == pytest.approx(fit.pvalues[0], abs=1e-9)
    assert got.measured.low == pytest.approx(low, abs=1e-9)
    assert got.measured.high == pytest.approx(high, abs=1e-9)
    assert (got.measured.n, got.measured.n_units) == (len(keys), 15)


def test_only_common_keys_enter() -> None:
    got = paired_difference(
        {"x": 1.0, "y": 0.0, "only a": 1.0},
        {"y": 1.0, "x": 0.5, "only b": 0.0},
        CLUSTER_ITSELF,
        0.9,
    )
    assert (got.measured.n, got.wins, got.losses, got.ties) == (2, 1, 1, 0)
    assert got.measured.point == -0.25


CLUSTER_ITSELF = {k: k for k in ("x", "y", "only a", "only b")}


def test_nothing_common_is_undefined() -> None:
    got = paired_difference({"x": 1.0}, {"y": 1.0}, CLUSTER_ITSELF, 0.9)
    assert (
        got.measured.point,
        got.measured.standard_error,
        got.measured.low,
        got.measured.high,
        got.p,
    ) == (None,) * 5
    assert (got.measured.n, got.wins, got.losses, got.ties) == (0, 0, 0, 0)


@pytest.mark.parametrize("difference", [0.0, 0.1])
def test_no_variation_has_no_p(difference: float) -> None:
    a = {i: i / 10 + difference for i in range(9)}
    b = {i: i / 10 for i in range(9)}
    got = paired_difference(a, b, {i: i for i in a}, 0.95)
    assert (got.measured.standard_error, got.p) == (0.0, None)
    assert got.measured.point == pytest.approx(difference)
    assert "no evidence" in got.measured.how


@given(table, table)
def test_swapping_the_sides_flips_the_sign(a: dict[int, float], b: dict[int, float]) -> None:
    ab, ba = paired_difference(a, b, CLUSTERS, 0.95), paired_difference(b, a, CLUSTERS, 0.95)
    if ab.measured.point is None or ba.measured.point is None:
        assert not set(a) & set(b)
        return
    assert ab.measured.point == -ba.measured.point
    assert (ab.measured.standard_error, ab.p) == (ba.measured.standard_error, ba.p)
    assert (ab.wins, ab.losses, ab.ties) == (ba.losses, ba.wins, ba.ties)
    if ab.measured.low is not None and ba.measured.high is not None:
        assert ab.measured.low == -ba.measured.high
    assert ab.wins + ab.losses + ab.ties == ab.measured.n == len(set(a) & set(b))


@given(table, table, st.dictionaries(st.integers(0, 30), st.integers(-5, 5)))
def test_difficulty_common_to_both_cancels(
    a: dict[int, float], b: dict[int, float], hard: dict[int, int]
) -> None:
    harder_a = {k: v + hard.get(k, 0) for k, v in a.items()}
    harder_b = {k: v + hard.get(k, 0) for k, v in b.items()}
    plain = paired_difference(a, b, CLUSTERS, 0.95)
    moved = paired_difference(harder_a, harder_b, CLUSTERS, 0.95)
    assert moved.measured.point == pytest.approx(plain.measured.point, abs=1e-9)
    assert moved.measured.standard_error == pytest.approx(plain.measured.standard_error, abs=1e-9)


@given(table, table)
def test_order_of_keys_does_not_matter(a: dict[int, float], b: dict[int, float]) -> None:
    backwards = dict(reversed(a.items()))
    assert paired_difference(a, b, CLUSTERS, 0.95) == paired_difference(
        backwards, b, CLUSTERS, 0.95
    )


@pytest.mark.data
def test_notus_against_zephyr_on_alpaca_eval(public_data: Path) -> None:
    """Real GPT-4 judgments of argilla-io/notus and tatsu-lab/alpaca_eval.

    38 samples went fully from loss to win and 31 the other way; one more is a win over a draw
    (Zephyr's only draw), so by sign it is 39 wins and 31 losses.
    """
    notus, zephyr = (preferences(public_data, m) for m in ("notus-7b-v1", "zephyr-7b-beta"))
    got = paired_difference(notus, zephyr, {key: key for key in notus}, 0.95)
    assert got.measured.n == got.measured.n_units == 802
    percent = [
        100 * (x or 0)
        for x in (
            got.measured.point,
            got.measured.standard_error,
            got.measured.low,
            got.measured.high,
        )
    ]
    assert [round(x, 2) for x in percent] == [0.94, 1.04, -1.10, 2.97]
    assert round(got.p or 0, 3) == 0.368
    assert (got.wins, got.losses, got.ties) == (39, 31, 732)
    common = notus.keys() & zephyr.keys()
    reversals = [notus[k] - zephyr[k] for k in common if abs(notus[k] - zephyr[k]) == 1]
    assert (reversals.count(1.0), reversals.count(-1.0)) == (38, 31)


def test_a_win_is_better_in_the_metrics_own_sense() -> None:
    a, b = {i: float(i) for i in range(5)}, dict.fromkeys(range(5), 2.0)
    found = paired_difference(a, b, {i: i for i in a}, 0.95, higher_is_better=False)
    assert (found.wins, found.losses, found.ties) == (2, 2, 1)
    shorter = paired_difference({0: 1.0}, {0: 2.0}, {0: 0}, 0.95, higher_is_better=False)
    assert (shorter.wins, shorter.measured.point) == (1, -1.0)


@pytest.mark.parametrize("seed", range(6))
def test_one_sided_p_is_scipys_for_greater(seed: int) -> None:
    values = [float(v) for v in np.random.default_rng(seed).normal(0.2 * (seed - 3), 1, 12)]
    found = mean(values, range(12), 0.95)
    for amount in (0.0, 0.4):
        oracle = scipy.stats.ttest_1samp(values, amount, alternative="greater").pvalue
        assert p_above(found, amount) == pytest.approx(oracle, abs=1e-12)
    assert p_value(found) == pytest.approx(scipy.stats.ttest_1samp(values, 0.0).pvalue, abs=1e-12)


def test_there_is_no_p_without_an_error() -> None:
    for values in ([], [1.0], [1.0, 1.0]):
        found = mean(values, range(len(values)), 0.95)
        assert (p_value(found), p_above(found)) == (None, None)
