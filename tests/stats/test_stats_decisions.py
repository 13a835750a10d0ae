"""Corrections, margins, power and looks against scipy, statsmodels and errorbars; error rates."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Literal

import errorbars.power
import numpy as np
import pytest
import scipy.stats
from errorbars.leaderboard import holm_correction
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from evalkit.core.figures import Estimator, Measured, Method
from evalkit.stats.decisions import (
    NonInferiority,
    Spending,
    alpha_spending,
    holm,
    intersection_union,
    minimum_detectable_effect,
    non_inferiority,
    spent,
    unit_variance,
    units_for_margin,
    worst_case_variance,
)
from evalkit.stats.means import mean, paired_difference
from tests.support.alpaca_eval import preferences

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=30)
differences = st.floats(-20, 20)
errors = st.floats(0.01, 10)
units = st.integers(2, 2000)
margins = st.floats(0, 10)


def measured(point: float | None, error: float | None, n: int) -> Measured:
    method = Method(Estimator.PAIRED, paired=True)
    return Measured(point, error, None, None, 0.95, n, n, 0, method, n - 1 if n > 1 else None)


def gate(d: float | None, error: float | None, n: int, margin: float = 3.0) -> NonInferiority:
    return non_inferiority(measured(d, error, n), margin)


# --- p values read together ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_that_of_statsmodels(seed: int) -> None:
    p = [float(x) for x in np.random.default_rng(seed).uniform(0, 0.2, 3 + 4 * seed)]
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-12)


@given(p_values)
def test_holm_is_that_of_errorbars(p: list[float]) -> None:
    assert holm(p) == pytest.approx(holm_correction(p), abs=1e-12)


@given(p_values, st.randoms(use_true_random=False))
def test_holm_keeps_the_order_of_evidence_whatever_the_order_of_rows(
    p: list[float], draw: random.Random
) -> None:
    adjusted = holm(p)
    assert all(raw <= (corrected or 0) <= 1 for raw, corrected in zip(p, adjusted, strict=True))
    by_raw = [adjusted[i] or 0 for i in sorted(range(len(p)), key=lambda i: (p[i], adjusted[i]))]
    assert by_raw == sorted(by_raw)
    order = draw.sample(range(len(p)), len(p))
    assert [adjusted[i] for i in order] == list(holm([p[i] for i in order]))


def test_tests_that_could_not_be_made_stay_none_and_do_not_count() -> None:
    small, large = holm([0.02, 0.5])
    assert holm([None, 0.02, None, 0.5]) == (None, small, None, large)
    assert holm([]) == ()
    assert holm([None]) == (None,)


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_no_probability_is_refused(bad: float) -> None:
    for function in (holm, intersection_union):
        with pytest.raises(ValueError, match="from 0 to 1"):
            function([0.1, bad])


def test_one_true_null_among_many_is_claimed_no_more_often_than_alpha() -> None:
    """Family-wise error of ten true nulls at 5%: within Monte Carlo error of 5% (SE 0.5)."""
    rng = np.random.default_rng(3)
    false = sum(min(x or 0 for x in holm(list(rng.uniform(0, 1, 10)))) <= 0.05 for _ in range(2000))
    assert 70 <= false <= 130


@given(p_values)
def test_a_joint_claim_is_as_strong_as_its_weakest_part(p: list[float]) -> None:
    assert intersection_union(p) == max(p)
    assert intersection_union([*p, None]) is None
    assert intersection_union([]) is None


def test_a_false_joint_claim_is_made_at_most_alpha_of_the_time() -> None:
    """One part certainly true, the other exactly equal: the worst case, 5% (SE 0.5)."""
    rng = np.random.default_rng(1)
    pairs = zip(rng.normal(5, 1, 2000), rng.normal(0, 1, 2000), strict=True)
    p = [intersection_union([float(scipy.stats.norm.sf(x)) for x in pair]) or 0 for pair in pairs]
    assert 70 <= sum(x <= 0.05 for x in p) <= 130


# --- margins ------------------------------------------------------------------------------------


@given(differences, errors, units, margins)
def test_bounds_p_and_verdict_are_scipys(d: float, error: float, n: int, margin: float) -> None:
    got = gate(d, error, n, margin)
    interval = scipy.stats.t.interval(0.9, n - 1, d, error)
    assert (got.bounds.low, got.bounds.high) == pytest.approx(interval, abs=1e-9)
    assert (got.bounds.point, got.bounds.level) == (d, 0.95)
    p = float(scipy.stats.t.sf((d + margin) / error, n - 1))
    p_regression = float(scipy.stats.t.cdf(d / error, n - 1))
    assert (got.p, got.p_regression) == pytest.approx((p, p_regression), abs=1e-9)
    if abs(p - 0.05) > 1e-9:
        assert (got.verdict == "pass") == (p < 0.05)
    if got.verdict != "pass" and abs(p_regression - 0.05) > 1e-9:
        assert (got.verdict == "regression") == (p_regression < 0.05)


@given(differences, errors, units, margins)
def test_where_lower_is_better_everything_is_mirrored(
    d: float, error: float, n: int, margin: float
) -> None:
    plain = gate(d, error, n, margin)
    turned = non_inferiority(measured(-d, error, n), margin, higher_is_better=False)
    assert (turned.verdict, turned.p) == (plain.verdict, plain.p)
    assert (turned.p_regression, turned.resolvable) == (plain.p_regression, plain.resolvable)
    assert turned.bounds == plain.bounds.times(-1.0)


@given(differences, errors, units, margins, st.floats(0, 5))
def test_a_better_candidate_or_a_wider_margin_never_loses_a_pass(
    d: float, error: float, n: int, margin: float, more: float
) -> None:
    if gate(d, error, n, margin).verdict == "pass":
        assert gate(d + more, error, n, margin).verdict == "pass"
        assert gate(d, error, n, margin + more).verdict == "pass"


@pytest.mark.parametrize(
    ("d", "verdict"), [(0.0, "pass"), (-1.5, "inconclusive"), (-4.0, "regression"), (3.0, "pass")]
)
def test_three_verdicts(d: float, verdict: str) -> None:
    assert gate(d, 1.04, 802).verdict == verdict


def test_worse_by_less_than_the_margin_passes() -> None:
    got = gate(-1.0, 0.1, 802)
    assert got.verdict == "pass"
    assert (got.bounds.high or 0) < 0


def test_undefined_is_inconclusive_and_says_why() -> None:
    nothing = gate(None, None, 0)
    assert (nothing.verdict, nothing.bounds.low, nothing.p) == ("inconclusive", None, None)
    assert nothing.bounds.how == "undefined: no difference"
    one = gate(5.0, None, 1)
    assert (one.verdict, one.bounds.high) == ("inconclusive", None)
    assert "fewer than two units" in one.bounds.how


def test_an_unchanged_model_passes_where_its_units_can_say_so() -> None:
    """0 of 802 units differ: at most 0.37% of all do (Clopper-Pearson), so 0.37 points."""
    bound = scipy.stats.binomtest(0, 802, alternative="less").proportion_ci(0.95).high
    got = non_inferiority(measured(0.0, 0.0, 802), 3.0, span=100)
    assert (got.verdict, got.p, got.resolvable) == ("pass", None, None)
    assert (got.bounds.low, got.bounds.high) == pytest.approx((-100 * bound, 100 * bound), abs=1e-9)
    assert non_inferiority(measured(0.0, 0.0, 2), 3.0, span=100).verdict == "inconclusive"
    plain = gate(0.0, 0.0, 2)
    assert (plain.verdict, plain.bounds.low) == ("pass", 0.0)
    assert "no evidence of precision" in plain.bounds.how
    assert non_inferiority(measured(-5.0, 0.0, 802), 3.0, span=100).verdict == "regression"
    assert non_inferiority(measured(-5.0, 0.0, 6), 3.0, span=100).verdict == "inconclusive"


def test_what_makes_no_rule_is_refused() -> None:
    fine = measured(0.0, 1.0, 6)
    for rule, message in (
        ({"margin": -1}, "margin -1"),
        ({"margin": 1, "alpha": 0}, "alpha 0"),
        ({"margin": 1, "power": 80}, "power 80"),
        ({"margin": 1, "span": math.inf}, "span inf"),
    ):
        with pytest.raises(ValueError, match=message):
            non_inferiority(fine, **rule)
    for value, message in (
        (measured(0.0, -1.0, 6), "standard error -1"),
        (measured(math.nan, 1.0, 6), "difference nan"),
        (measured(0.0, 1.0, 1), "df None"),
    ):
        with pytest.raises(ValueError, match=message):
            non_inferiority(value, 1.0)


@given(st.floats(0.01, 100), st.floats(0.05, 5))
def test_units_for_a_margin_are_the_least_at_which_an_equal_candidate_passes(
    variance: float, margin: float
) -> None:
    n = units_for_margin(variance, margin)
    assert n is not None

    def resolvable(count: int) -> float:
        got = gate(0.0, math.sqrt(variance / count), count, margin).resolvable
        assert got is not None
        return got

    assert resolvable(n) <= margin
    if n > 2:
        assert resolvable(n - 1) > margin


def test_no_number_of_units_is_enough_for_margin_0() -> None:
    assert units_for_margin(1.0, 0.0) is None
    assert units_for_margin(0.0, 1.0) == 2


def pass_rate(scores: np.ndarray, shift: float, runs: int, seed: int) -> float:
    """Share of passes at a 3-point margin, drawing `scores` anew with true mean `shift`."""
    rng = np.random.default_rng(seed)
    passed = 0
    for _ in range(runs):
        sample = rng.choice(scores, len(scores)) + shift
        error = float(sample.std(ddof=1)) / math.sqrt(len(sample))
        passed += gate(float(sample.mean()), error, len(sample)).verdict == "pass"
    return passed / runs


def test_operating_characteristics_at_the_published_discordance() -> None:
    """38 wins and 31 losses of 802, as Notus and Zephyr: equal models pass 89%, -3 points 5%."""
    scores = np.array([100.0] * 35 + [-100.0] * 35 + [0.0] * 732)
    runs = 2000
    error = float(scores.std(ddof=1)) / math.sqrt(802)
    for shift, expected in [(0.0, scipy.stats.norm.cdf(3 / error - 1.6467)), (-3.0, 0.05)]:
        rate = pass_rate(scores, shift, runs, seed=int(10 - shift))
        assert abs(rate - expected) < 4 * math.sqrt(expected * (1 - expected) / runs) + 0.005


@pytest.mark.data
def test_operating_characteristics_on_real_judgments(public_data: Path) -> None:
    """Real differences, centred: about 90% of equal models and 6% of -3-point models pass."""
    notus, zephyr = (preferences(public_data, m) for m in ("notus-7b-v1", "zephyr-7b-beta"))
    real = [100 * (notus[k] - zephyr[k]) for k in notus if k in zephyr]
    scores = np.array(real) - np.mean(real)
    assert pass_rate(scores, 0.0, 2000, 1) == pytest.approx(0.90, abs=0.03)
    assert pass_rate(scores, -3.0, 2000, 2) == pytest.approx(0.055, abs=0.02)
    found = mean(real, range(len(real)), 0.95)
    got = non_inferiority(found, 3.0)
    assert got.verdict == "pass"
    assert got.resolvable == pytest.approx(2.58, abs=0.01)
    variance = unit_variance(found.standard_error, found.n_units)
    assert variance is not None
    assert units_for_margin(variance, 3.0) == 595


# --- power --------------------------------------------------------------------------------------


def some(x: float | None) -> float:
    assert x is not None
    return x


@pytest.mark.parametrize(("n", "variance"), [(50, 0.2), (805, 0.0873), (1319, 0.25)])
def test_mde_is_that_of_errorbars(n: int, variance: float) -> None:
    """errorbars takes the variance of one score and doubles it for a pair."""
    oracle = errorbars.power.minimum_detectable_effect(n, variance=variance / 2, alpha=0.1)
    got = minimum_detectable_effect(math.sqrt(variance / n), alpha=0.1)
    assert got == pytest.approx(oracle, abs=1e-9)


@pytest.mark.parametrize("df", [1, 4, 9, 79, 801])
@pytest.mark.parametrize("sides", [1, 2])
def test_the_effect_a_t_test_detects_has_the_power(df: int, sides: Literal[1, 2]) -> None:
    effect = some(minimum_detectable_effect(2.5, power=0.9, sides=sides, df=df))
    critical = scipy.stats.t.ppf(1 - 0.05 / sides, df)
    assert scipy.stats.nct.sf(critical, df, effect / 2.5) == pytest.approx(0.9, abs=1e-9)
    assert effect > some(minimum_detectable_effect(2.5, power=0.9, sides=sides))


@pytest.mark.parametrize("n", [5, 30, 200])
def test_the_detectable_effect_has_its_power_in_statsmodels(n: int) -> None:
    effect = some(minimum_detectable_effect(1 / math.sqrt(n), df=n - 1, sides=1))
    power = TTestPower().power(effect, n, alpha=0.05, alternative="larger")
    assert power == pytest.approx(0.8, abs=1e-9)


@given(errors, st.floats(0.1, 10))
def test_effects_scale_with_the_unit(error: float, scale: float) -> None:
    assert minimum_detectable_effect(scale * error) == pytest.approx(
        scale * some(minimum_detectable_effect(error))
    )


def test_without_an_error_nothing_is_known_of_power() -> None:
    assert minimum_detectable_effect(None) is None
    assert minimum_detectable_effect(0.0) is None
    assert unit_variance(None, 9) is None
    assert unit_variance(0.5, 100) == 25.0


def test_what_is_no_probability_or_number_is_refused() -> None:
    with pytest.raises(ValueError, match="alpha 5"):
        minimum_detectable_effect(1.0, alpha=5)
    with pytest.raises(ValueError, match=r"power 0\.0"):
        units_for_margin(1.0, 1.0, power=0.0)
    with pytest.raises(ValueError, match="standard error -1"):
        minimum_detectable_effect(-1.0)
    with pytest.raises(ValueError, match="df 0"):
        minimum_detectable_effect(1.0, df=0)
    with pytest.raises(ValueError, match="ascending"):
        worst_case_variance(1, 0)
    with pytest.raises(ValueError, match="share_different 2"):
        worst_case_variance(0, 1, share_different=2)


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=30))
def test_no_differences_vary_more_than_the_worst_case(pairs: list[tuple[float, float]]) -> None:
    gaps = [a - b for a, b in pairs]
    share = sum(d != 0 for d in gaps) / len(pairs)
    assert np.var(gaps) <= worst_case_variance(0, 10) + 1e-9
    assert np.var(gaps) <= worst_case_variance(0, 10, share_different=share) + 1e-9
    assert np.var([-10.0, 10.0]) == worst_case_variance(0, 10)


@pytest.mark.data
def test_what_alpaca_eval_detects(public_data: Path) -> None:
    notus, zephyr = (preferences(public_data, m) for m in ("notus-7b-v1", "zephyr-7b-beta"))
    got = paired_difference(notus, zephyr, {key: key for key in notus}, 0.95).measured
    assert round(100 * some(minimum_detectable_effect(got.standard_error)), 2) == 2.91
    variance = some(unit_variance(got.standard_error, got.n_units))
    bound = worst_case_variance(0, 1, share_different=70 / 802)
    assert 0.98 * bound < variance <= bound


# --- looks --------------------------------------------------------------------------------------

SPENDING: list[Spending] = ["even", "obrien_fleming", "pocock"]
looks = (
    st.lists(st.integers(1, 40), min_size=1, max_size=8, unique=True)
    .map(sorted)
    .map(lambda found: [x / 40 for x in found])
)


@given(looks, st.floats(0.001, 0.2), st.sampled_from(SPENDING))
def test_looks_spend_alpha_and_no_more(
    fractions: list[float], alpha: float, spending: Spending
) -> None:
    split = alpha_spending(fractions, alpha, spending)
    assert math.fsum(split.levels) == pytest.approx(split.spent[-1], abs=1e-12)
    assert split.spent[-1] <= alpha
    assert list(split.spent) == sorted(split.spent)
    assert alpha_spending([1.0], alpha, spending).levels == (alpha,)
    for k in range(1, len(fractions)):
        assert alpha_spending(fractions[:k], alpha, spending).levels == split.levels[:k]


def test_obrien_fleming_spends_what_lan_and_demets_publish() -> None:
    """One-sided 2.5%, R's gsDesign sfLDOF: z 4.8769 at one fifth, where all is spent at once."""
    level = alpha_spending([0.2], 0.025, "obrien_fleming").levels[0]
    assert scipy.stats.norm.isf(level) == pytest.approx(4.8769, abs=2e-4)
    level = alpha_spending([0.2], 0.025, "pocock").levels[0]
    assert scipy.stats.norm.isf(level) == pytest.approx(2.4380, abs=2e-4)


@pytest.mark.parametrize("spending", SPENDING)
def test_looks_keep_alpha_whatever_they_share(spending: Spending) -> None:
    """Sixteen looks, 40000 times: at a growing sample, and at checkpoints on one test set."""
    fractions = [k / 16 for k in range(1, 17)]
    rng = np.random.default_rng(1)
    steps = rng.normal(0, 1, (40_000, 16))
    growing = steps.cumsum(axis=1) / 4 / np.sqrt(fractions)
    bounds = scipy.stats.norm.isf(alpha_spending(fractions, 0.05, spending).levels)
    for z in (growing, steps):
        alarms = float((z >= bounds).any(axis=1).mean())
        assert alarms < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 40_000)
        assert float((z >= scipy.stats.norm.isf(0.05)).any(axis=1).mean()) > 0.19


def test_what_are_no_looks_is_refused() -> None:
    assert spent(0, 0.05, "pocock") == 0
    assert spent(1.5, 0.05, "obrien_fleming") == spent(1, 0.05, "pocock") == 0.05
    assert alpha_spending([], 0.05, "even").levels == ()
    for bad in ([0.5, 0.5], [0.0, 1.0], [0.5, 1.2], [0.6, 0.5], [math.nan]):
        with pytest.raises(ValueError, match="ascending"):
            alpha_spending(bad, 0.05, "even")
    with pytest.raises(ValueError, match="alpha 5"):
        alpha_spending([1.0], 5, "even")
    with pytest.raises(ValueError, match="fraction -1"):
        spent(-1, 0.05, "pocock")
