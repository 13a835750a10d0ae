"""`paired_difference` against scipy, statsmodels and a real published pair of models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats import paired_difference
from tests.support.alpaca_eval import preferences

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
    assert got.low == pytest.approx(interval.low, abs=1e-9)
    assert got.high == pytest.approx(interval.high, abs=1e-9)
    assert got.n == got.n_clusters == 60
    assert "two-sided t test" in got.method


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
    assert got.difference == pytest.approx(fit.params[0], abs=1e-9)
    assert got.standard_error == pytest.approx(fit.bse[0], abs=1e-9)
    assert got.p == pytest.approx(fit.pvalues[0], abs=1e-9)
    assert got.low == pytest.approx(low, abs=1e-9)
    assert got.high == pytest.approx(high, abs=1e-9)
    assert (got.n, got.n_clusters) == (len(keys), 15)


def test_only_common_keys_enter() -> None:
    got = paired_difference(
        {"x": 1.0, "y": 0.0, "only a": 1.0},
        {"y": 1.0, "x": 0.5, "only b": 0.0},
        CLUSTER_ITSELF,
        0.9,
    )
    assert (got.n, got.wins, got.losses, got.ties) == (2, 1, 1, 0)
    assert got.difference == -0.25


CLUSTER_ITSELF = {k: k for k in ("x", "y", "only a", "only b")}


def test_nothing_common_is_undefined() -> None:
    got = paired_difference({"x": 1.0}, {"y": 1.0}, CLUSTER_ITSELF, 0.9)
    assert (got.difference, got.standard_error, got.low, got.high, got.p) == (None,) * 5
    assert (got.n, got.wins, got.losses, got.ties) == (0, 0, 0, 0)


@pytest.mark.parametrize("difference", [0.0, 0.1])
def test_no_variation_has_no_p(difference: float) -> None:
    a = {i: i / 10 + difference for i in range(9)}
    b = {i: i / 10 for i in range(9)}
    got = paired_difference(a, b, {i: i for i in a}, 0.95)
    assert (got.standard_error, got.p) == (0.0, None)
    assert got.difference == pytest.approx(difference)
    assert "no evidence" in got.method


@given(table, table)
def test_swapping_the_sides_flips_the_sign(a: dict[int, float], b: dict[int, float]) -> None:
    ab, ba = paired_difference(a, b, CLUSTERS, 0.95), paired_difference(b, a, CLUSTERS, 0.95)
    if ab.difference is None or ba.difference is None:
        assert not set(a) & set(b)
        return
    assert ab.difference == -ba.difference
    assert (ab.standard_error, ab.p) == (ba.standard_error, ba.p)
    assert (ab.wins, ab.losses, ab.ties) == (ba.losses, ba.wins, ba.ties)
    if ab.low is not None and ba.high is not None:
        assert ab.low == -ba.high
    assert ab.wins + ab.losses + ab.ties == ab.n == len(set(a) & set(b))


@given(table, table, st.dictionaries(st.integers(0, 30), st.integers(-5, 5)))
def test_difficulty_common_to_both_cancels(
    a: dict[int, float], b: dict[int, float], hard: dict[int, int]
) -> None:
    harder_a = {k: v + hard.get(k, 0) for k, v in a.items()}
    harder_b = {k: v + hard.get(k, 0) for k, v in b.items()}
    plain = paired_difference(a, b, CLUSTERS, 0.95)
    moved = paired_difference(harder_a, harder_b, CLUSTERS, 0.95)
    assert moved.difference == pytest.approx(plain.difference, abs=1e-9)
    assert moved.standard_error == pytest.approx(plain.standard_error, abs=1e-9)


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
    assert got.n == got.n_clusters == 802
    percent = [100 * (x or 0) for x in (got.difference, got.standard_error, got.low, got.high)]
    assert [round(x, 2) for x in percent] == [0.94, 1.04, -1.10, 2.97]
    assert round(got.p or 0, 3) == 0.368
    assert (got.wins, got.losses, got.ties) == (39, 31, 732)
    common = notus.keys() & zephyr.keys()
    reversals = [notus[k] - zephyr[k] for k in common if abs(notus[k] - zephyr[k]) == 1]
    assert (reversals.count(1.0), reversals.count(-1.0)) == (38, 31)
