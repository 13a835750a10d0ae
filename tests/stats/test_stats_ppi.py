"""Prediction-powered means against ppi-python, their limits, and their coverage.

ppi-python is imported in the tests that need it: it brings numba, and these tests are collected
beside those that start vLLM.
"""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats.means import mean
from evalkit.stats.ppi import control_variate_mean, ppi_mean

Labels = dict[int, float]
label = st.floats(-5, 5).map(lambda x: round(x, 2))
humans = st.dictionaries(st.integers(0, 30), label, min_size=3)
judges = st.dictionaries(st.integers(0, 60), label, min_size=3)
ITSELF = {i: i for i in range(10_000)}


def drawn(n: int, further: int, seed: int, quality: float = 0.8) -> tuple[Labels, Labels]:
    """Humans on the first n, a biased judge on all."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(1, 1, n + further)
    judged = 0.5 + quality * truth + math.sqrt(1 - quality**2) * rng.normal(0, 1, n + further)
    return dict(enumerate(map(float, truth[:n]))), dict(enumerate(map(float, judged)))


def arrays(human: Labels, judge: Labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    both = [k for k in human if k in judge]
    return (
        np.array([human[k] for k in both]),
        np.array([judge[k] for k in both]),
        np.array([judge[k] for k in judge if k not in human]),
    )


@pytest.mark.parametrize(("n", "further"), [(20, 100), (50, 50), (100, 2000)])
@pytest.mark.parametrize("quality", [0.0, 0.6, 0.95])
def test_the_point_is_ppi_pythons(n: int, further: int, quality: float) -> None:
    human, judge = drawn(n, further, n, quality)
    import ppi_py

    oracle = ppi_py.ppi_mean_pointestimate(*arrays(human, judge))
    got = ppi_mean(human, judge, ITSELF, 0.9)
    assert got.measured.point == pytest.approx(float(np.squeeze(oracle)), abs=1e-9)
    assert (got.measured.n, got.n_judge) == (n, further)


def test_the_error_is_ppi_pythons_with_one_degree_of_freedom_less() -> None:
    """As many with as without a human's label, so that n/(n - 1) is the same for both parts."""
    human, judge = drawn(40, 40, 3)
    import ppi_py

    low, high = ppi_py.ppi_mean_ci(*arrays(human, judge), alpha=0.1)
    theirs = float(np.squeeze(high - low)) / 2 / scipy.stats.norm.ppf(0.95)
    got = ppi_mean(human, judge, ITSELF, 0.9)
    assert got.measured.standard_error == pytest.approx(theirs * math.sqrt(40 / 39), abs=1e-9)


def test_many_labels_give_ppi_pythons_interval() -> None:
    human, judge = drawn(3000, 6000, 4)
    import ppi_py

    low, high = ppi_py.ppi_mean_ci(*arrays(human, judge), alpha=0.05)
    got = ppi_mean(human, judge, ITSELF, 0.95)
    assert got.measured.low == pytest.approx(float(np.squeeze(low)), abs=1e-4)
    assert got.measured.high == pytest.approx(float(np.squeeze(high)), abs=1e-4)


def test_weight_0_is_the_t_interval_of_the_humans() -> None:
    human, judge = drawn(25, 100, 5)
    got = ppi_mean(human, judge, ITSELF, 0.9, judge_weight=0.0)
    oracle = scipy.stats.ttest_1samp([*human.values()], 0.0)
    interval = oracle.confidence_interval(0.9)
    assert got.p == pytest.approx(oracle.pvalue, abs=1e-12)
    assert (got.measured.low, got.measured.high) == pytest.approx(
        (interval.low, interval.high), abs=1e-9
    )


def test_a_good_judge_narrows_and_a_useless_one_hardly_widens() -> None:
    errors = []
    for quality in (0.0, 0.95):
        human, judge = drawn(50, 2000, 6, quality)
        powered = ppi_mean(human, judge, ITSELF, 0.95).measured.standard_error
        alone = mean([*human.values()], range(50), 0.95).standard_error
        assert powered is not None
        assert alone is not None
        errors.append(powered / alone)
    assert 0.9 < errors[0] < 1.02
    assert errors[1] < 0.45


def test_clusters_widen_as_the_cluster_robust_mean_does() -> None:
    human, judge = drawn(30, 60, 7)
    clusters = {i: i // 3 for i in range(90)}
    got = ppi_mean(human, judge, clusters, 0.95, judge_weight=0.7)
    rest = mean([human[i] - 0.7 * judge[i] for i in range(30)], [*clusters.values()][:30], 0.95)
    predicted = mean([0.7 * judge[i] for i in range(30, 90)], [*clusters.values()][30:], 0.95)
    assert got.measured.standard_error == pytest.approx(
        math.hypot(rest.standard_error or 0, predicted.standard_error or 0), abs=1e-12
    )


def test_a_cluster_of_both_kinds_counts_once() -> None:
    """Samples in pairs, a human on one of each: what a pair shares enters with opposite signs."""
    rng = np.random.default_rng(8)
    shared = rng.normal(0, 1, 60)
    human = {2 * i: float(shared[i]) for i in range(60)}
    judge = {2 * i + j: float(shared[i] + 0.1 * rng.normal()) for i in range(60) for j in (0, 1)}
    together = ppi_mean(human, judge, {k: k // 2 for k in judge}, 0.95, judge_weight=1.0)
    apart = ppi_mean(human, judge, ITSELF, 0.95, judge_weight=1.0)
    assert together.measured.point == apart.measured.point
    assert together.measured.standard_error == pytest.approx(
        apart.measured.standard_error, rel=0.05
    )


def test_undefined_is_none_and_says_why() -> None:
    nothing = ppi_mean({1: 1.0}, {2: 1.0}, ITSELF, 0.95)
    assert (nothing.measured.point, nothing.measured.n, nothing.n_judge) == (None, 0, 1)
    assert "no sample has both" in nothing.measured.how
    one = ppi_mean({1: 3.0}, {1: 2.0, 2: 1.0, 3: 0.0}, ITSELF, 0.95)
    assert (one.measured.point, one.judge_weight, one.measured.standard_error) == (3.0, 0.0, None)
    flat = ppi_mean({1: 1.0, 2: 3.0}, {1: 5.0, 2: 5.0, 3: 5.0}, ITSELF, 0.95)
    assert (flat.measured.point, flat.judge_weight) == (2.0, 0.0)
    agree = ppi_mean({1: 1.0, 2: 1.0}, {1: 1.0, 2: 1.0}, ITSELF, 0.95)
    assert (agree.measured.standard_error, agree.p) == (0.0, None)
    assert "no evidence" in agree.measured.how


def test_what_is_no_label_or_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="label nan"):
        ppi_mean({1: math.nan}, {1: 1.0}, ITSELF, 0.95)
    with pytest.raises(ValueError, match="judge_weight 2"):
        ppi_mean({1: 1.0}, {1: 1.0}, ITSELF, 0.95, judge_weight=2)
    with pytest.raises(ValueError, match="level 95"):
        ppi_mean({1: 1.0}, {1: 1.0}, ITSELF, 95)


@given(humans, judges, st.randoms(use_true_random=False))
def test_order_does_not_matter(human: Labels, judge: Labels, draw: random.Random) -> None:
    mixed = [dict(draw.sample(sorted(x.items()), len(x))) for x in (human, judge)]
    assert ppi_mean(human, judge, ITSELF, 0.9) == ppi_mean(mixed[0], mixed[1], ITSELF, 0.9)


@given(humans, judges, st.sampled_from([-1.0, 0.25, 8.0]), st.floats(-9, 9))
def test_the_judges_scale_keeps_its_meaning(
    human: Labels, judge: Labels, scale: float, bias: float
) -> None:
    """Both scaled alike: so is the mean.  A judge's constant bias drops out."""
    plain = ppi_mean(human, judge, ITSELF, 0.9)
    scaled = ppi_mean(
        {k: scale * v for k, v in human.items()},
        {k: scale * v for k, v in judge.items()},
        ITSELF,
        0.9,
    )
    biased = ppi_mean(human, {k: v + bias for k, v in judge.items()}, ITSELF, 0.9)
    if plain.measured.point is None:
        assert scaled.measured.point is None
        assert biased.measured.point is None
        return
    assert scaled.measured.point == pytest.approx(scale * plain.measured.point, abs=1e-9)
    assert biased.measured.point == pytest.approx(plain.measured.point, abs=1e-6)
    if plain.measured.standard_error is not None:
        assert scaled.measured.standard_error == pytest.approx(
            abs(scale) * plain.measured.standard_error, abs=1e-9
        )


@pytest.mark.parametrize("quality", [0.3, 0.9])
def test_intervals_cover_as_often_as_they_say(quality: float) -> None:
    """30 human labels, 150 of the judge's, 1000 draws; binary labels, a biased judge."""
    rng = np.random.default_rng(12)
    runs, hits = 1000, 0
    for _ in range(runs):
        truth = rng.random(180) < 0.6
        noise = rng.random(180) < 0.5
        judged = np.where(rng.random(180) < quality, truth, noise)
        got = ppi_mean(
            dict(enumerate(map(float, truth[:30]))),
            dict(enumerate(map(float, judged))),
            ITSELF,
            0.95,
        )
        assert got.measured.low is not None
        assert got.measured.high is not None
        hits += got.measured.low <= 0.6 <= got.measured.high
    assert abs(hits / runs - 0.95) < 4 * math.sqrt(0.95 * 0.05 / runs)


# --- a finite population, from a covariate of all of it -------------------------------------------


@pytest.mark.parametrize("size", [1, 2])
def test_the_control_variate_mean_is_statsmodels_prediction_and_ppi_pythons_point(
    size: int,
) -> None:
    """OLS at the mean covariate, errors by cluster; n of N labelled leave 1 - n/N of the variance.

    PPI's point with the least-squares slope as its weight is the same.
    """
    import ppi_py
    import statsmodels.api as sm

    human, judge = drawn(60, 400, 7)
    clusters = {i: i // size for i in human}
    got = control_variate_mean(human, judge, clusters, 0.9)
    y, x, every = list(human.values()), [judge[i] for i in human], list(judge.values())
    fit = sm.OLS(y, sm.add_constant(x)).fit(
        cov_type="cluster", cov_kwds={"groups": list(clusters.values())}
    )
    predicted = fit.get_prediction([[1.0, float(np.mean(every))]])
    assert got.point == pytest.approx(float(predicted.predicted_mean[0]), abs=1e-12)
    finite = math.sqrt(1 - 60 / 460)
    assert got.standard_error == pytest.approx(finite * float(predicted.se_mean[0]), abs=1e-12)
    theirs = ppi_py.ppi_mean_pointestimate(
        np.array(y), np.array(x), np.array(every), lam=fit.params[1]
    )
    assert got.point == pytest.approx(float(np.squeeze(theirs)), abs=1e-12)


def test_all_labels_leave_no_error_and_few_no_estimate() -> None:
    human, judge = drawn(30, 0, 8)
    whole = control_variate_mean(human, judge, ITSELF, 0.95)
    assert whole.point == pytest.approx(sum(human.values()) / 30)
    assert whole.standard_error == pytest.approx(0, abs=1e-12)
    two = control_variate_mean({0: 1.0, 1: 2.0}, judge, ITSELF, 0.95)
    assert (two.point, two.how) == (None, "undefined: no slope from fewer than three units")
    flat = control_variate_mean(human, dict.fromkeys(judge, 1.0), ITSELF, 0.95)
    assert (flat.point, flat.how) == (None, "undefined: the covariate never varies")
