"""The gate's rule: bounds against scipy, the measured operating characteristics, edge cases."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats import (
    MarginRule,
    non_inferiority,
    paired_difference,
    unit_variance,
    units_for_margin,
)
from tests.support.alpaca_eval import preferences

differences = st.floats(-20, 20)
errors = st.floats(0.01, 10)
units = st.integers(2, 2000)
margins = st.floats(0, 10)


@given(differences, errors, units, margins)
def test_bounds_and_p_are_scipys(d: float, error: float, n: int, margin: float) -> None:
    got = non_inferiority(d, error, n - 1, MarginRule(margin))
    interval = scipy.stats.t.interval(0.9, n - 1, d, error)
    assert (got.low, got.high) == pytest.approx(interval, abs=1e-9)
    assert got.p == pytest.approx(scipy.stats.t.sf((d + margin) / error, n - 1), abs=1e-9)
    assert got.p_regression == pytest.approx(scipy.stats.t.cdf(d / error, n - 1), abs=1e-9)


def test_p_is_the_one_sided_t_test_of_shifted_differences() -> None:
    values = np.random.default_rng(4).normal(-0.2, 1, 40)
    oracle = scipy.stats.ttest_1samp(values, -0.5, alternative="greater")
    got = non_inferiority(float(values.mean()), float(scipy.stats.sem(values)), 39, MarginRule(0.5))
    assert got.p == pytest.approx(oracle.pvalue, abs=1e-9)


@given(differences, errors, units, margins)
def test_the_verdict_is_what_bounds_and_p_values_say(
    d: float, error: float, n: int, margin: float
) -> None:
    got = non_inferiority(d, error, n - 1, MarginRule(margin))
    assert got.low is not None
    assert got.high is not None
    assert got.p is not None
    assert got.p_regression is not None
    if abs(got.p - 0.05) > 1e-9:
        assert (got.verdict == "pass") == (got.p < 0.05)
    if got.verdict != "pass" and abs(got.p_regression - 0.05) > 1e-9:
        assert (got.verdict == "regression") == (got.p_regression < 0.05)


@given(differences, errors, units, margins, st.floats(0, 5))
def test_a_better_candidate_or_a_wider_margin_never_loses_a_pass(
    d: float, error: float, n: int, margin: float, more: float
) -> None:
    if non_inferiority(d, error, n - 1, MarginRule(margin)).verdict == "pass":
        assert non_inferiority(d + more, error, n - 1, MarginRule(margin)).verdict == "pass"
        assert non_inferiority(d, error, n - 1, MarginRule(margin + more)).verdict == "pass"


@given(differences, errors, units, margins, st.integers(-6, 6))
def test_the_unit_does_not_matter(
    d: float, error: float, n: int, margin: float, exponent: int
) -> None:
    scale = 2.0**exponent
    plain = non_inferiority(d, error, n - 1, MarginRule(margin))
    scaled = non_inferiority(scale * d, scale * error, n - 1, MarginRule(scale * margin))
    assert (plain.verdict, plain.p) == (scaled.verdict, scaled.p)


@pytest.mark.parametrize(
    ("d", "verdict"), [(0.0, "pass"), (-1.5, "inconclusive"), (-4.0, "regression"), (3.0, "pass")]
)
def test_three_verdicts(d: float, verdict: str) -> None:
    assert non_inferiority(d, 1.04, 801, MarginRule(3.0)).verdict == verdict


def test_worse_by_less_than_the_margin_passes() -> None:
    got = non_inferiority(-1.0, 0.1, 801, MarginRule(3.0))
    assert got.verdict == "pass"
    assert got.high is not None
    assert got.high < 0


def test_undefined_is_inconclusive_and_says_why() -> None:
    nothing = non_inferiority(None, None, None, MarginRule(3.0))
    assert (nothing.verdict, nothing.low, nothing.p) == ("inconclusive", None, None)
    assert nothing.method == "undefined: no difference"
    one = non_inferiority(5.0, None, None, MarginRule(3.0))
    assert (one.verdict, one.high) == ("inconclusive", None)
    assert "fewer than two units" in one.method


def test_an_unchanged_model_passes_where_its_units_can_say_so() -> None:
    """0 of 802 units differ: at most 0.37% of all do (Clopper-Pearson), so 0.37 points."""
    bound = scipy.stats.binomtest(0, 802, alternative="less").proportion_ci(0.95).high
    got = non_inferiority(0.0, 0.0, 801, MarginRule(3.0, span=100))
    assert (got.verdict, got.p, got.resolvable) == ("pass", None, None)
    assert (got.low, got.high) == pytest.approx((-100 * bound, 100 * bound), abs=1e-9)
    assert non_inferiority(0.0, 0.0, 1, MarginRule(3.0, span=100)).verdict == "inconclusive"
    plain = non_inferiority(0.0, 0.0, 1, MarginRule(3.0))
    assert (plain.verdict, plain.low) == ("pass", 0.0)
    assert "no evidence of precision" in plain.method


def test_all_units_worse_alike() -> None:
    assert non_inferiority(-5.0, 0.0, 801, MarginRule(3.0, span=100)).verdict == "regression"
    assert non_inferiority(-5.0, 0.0, 5, MarginRule(3.0, span=100)).verdict == "inconclusive"
    assert non_inferiority(-5.0, 0.0, None, MarginRule(3.0)).verdict == "regression"


@given(st.floats(0.01, 100), st.floats(0.05, 5))
def test_units_for_a_margin_are_the_least_that_resolve_it(variance: float, margin: float) -> None:
    n = units_for_margin(variance, margin)
    assert n is not None

    def resolvable(units: int) -> float:
        error = math.sqrt(variance / units)
        got = non_inferiority(0.0, error, units - 1, MarginRule(margin)).resolvable
        assert got is not None
        return got

    assert resolvable(n) <= margin
    if n > 2:
        assert resolvable(n - 1) > margin


def test_no_number_of_units_resolves_margin_0() -> None:
    assert units_for_margin(1.0, 0.0) is None
    assert units_for_margin(0.0, 1.0) == 2


def pass_rate(units: np.ndarray, shift: float, runs: int, seed: int) -> float:
    """Share of passes at a 3-point margin, drawing `units` anew with true mean `shift`."""
    rng = np.random.default_rng(seed)
    passed = 0
    for _ in range(runs):
        sample = rng.choice(units, len(units)) + shift
        error = float(sample.std(ddof=1)) / math.sqrt(len(sample))
        passed += (
            non_inferiority(float(sample.mean()), error, len(sample) - 1, MarginRule(3.0)).verdict
            == "pass"
        )
    return passed / runs


def test_operating_characteristics_at_the_published_discordance() -> None:
    """38 wins and 31 losses of 802, as Notus and Zephyr: equal models pass 89%, -3 points 5%."""
    units = np.array([100.0] * 35 + [-100.0] * 35 + [0.0] * 732)
    runs = 2000
    error = float(units.std(ddof=1)) / math.sqrt(802)
    for shift, expected in [(0.0, scipy.stats.norm.cdf(3 / error - 1.6467)), (-3.0, 0.05)]:
        rate = pass_rate(units, shift, runs, seed=int(10 - shift))
        assert abs(rate - expected) < 4 * math.sqrt(expected * (1 - expected) / runs) + 0.005


@pytest.mark.data
def test_operating_characteristics_on_real_judgments(public_data: Path) -> None:
    """Real differences, centred: about 90% of equal models and 6% of -3-point models pass."""
    notus, zephyr = (preferences(public_data, m) for m in ("notus-7b-v1", "zephyr-7b-beta"))
    real = np.array([100 * (notus[k] - zephyr[k]) for k in notus if k in zephyr])
    units = real - real.mean()
    assert pass_rate(units, 0.0, 2000, 1) == pytest.approx(0.90, abs=0.03)
    assert pass_rate(units, -3.0, 2000, 2) == pytest.approx(0.055, abs=0.02)
    got = paired_difference(notus, zephyr, {key: key for key in notus}, 0.95)
    assert got.difference is not None
    assert got.standard_error is not None
    verdict = non_inferiority(
        100 * got.difference, 100 * got.standard_error, got.n_clusters - 1, MarginRule(3.0)
    )
    assert verdict.verdict == "pass"
    assert verdict.resolvable == pytest.approx(2.58, abs=0.01)
    variance = unit_variance(100 * got.standard_error, got.n_clusters)
    assert variance is not None
    assert units_for_margin(variance, 3.0) == 595
