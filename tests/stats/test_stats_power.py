"""Minimum detectable effects, sample sizes and power against statsmodels, scipy and errorbars."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import errorbars.power
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.power import NormalIndPower, TTestPower

from evalkit.stats import (
    minimum_detectable_effect,
    paired_difference,
    power_at,
    required_n,
    unit_variance,
    worst_case_variance,
)
from tests.support.alpaca_eval import preferences

errors = st.floats(0.01, 100)
powers = st.floats(0.5, 0.99)
alphas = st.floats(0.001, 0.2)


def some(x: float | None) -> float:
    assert x is not None
    return x


@pytest.mark.parametrize(("n", "variance"), [(50, 0.2), (805, 0.0873), (1319, 0.25)])
def test_mde_is_that_of_errorbars(n: int, variance: float) -> None:
    """errorbars takes the variance of one score and doubles it for a pair."""
    oracle = errorbars.power.minimum_detectable_effect(n, variance=variance / 2, alpha=0.1)
    got = minimum_detectable_effect(math.sqrt(variance / n), alpha=0.1)
    assert got == pytest.approx(oracle, abs=1e-9)


@given(st.floats(0.005, 0.5), st.floats(0.01, 1), alphas, powers)
def test_n_is_that_of_errorbars(effect: float, variance: float, alpha: float, power: float) -> None:
    oracle = errorbars.power.questions_needed(
        effect, variance=variance / 2, alpha=alpha, power=power
    )
    assert required_n(effect, variance, alpha=alpha, power=power) == oracle.n_questions


@given(st.floats(0, 5), alphas, st.integers(2, 500))
def test_power_is_that_of_statsmodels(effect: float, alpha: float, n: int) -> None:
    error = 1 / math.sqrt(n)
    one_sided = {"alpha": alpha, "alternative": "larger"}
    z = NormalIndPower().power(effect, n, ratio=0, **one_sided)
    assert power_at(effect, error, alpha=alpha, sides=1) == pytest.approx(z, abs=1e-9)
    t = TTestPower().power(effect, n, **one_sided)
    got = some(power_at(effect, error, alpha=2 * alpha, df=n - 1))
    # statsmodels' noncentral t gives NaN where the power is 1 in all digits.
    assert got == pytest.approx(1.0 if math.isnan(t) else t, abs=1e-9)


@pytest.mark.parametrize("df", [1, 4, 9, 79, 801])
@pytest.mark.parametrize("sides", [1, 2])
def test_the_effect_a_t_test_detects_has_the_power(df: int, sides: Literal[1, 2]) -> None:
    effect = some(minimum_detectable_effect(2.5, power=0.9, sides=sides, df=df))
    critical = scipy.stats.t.ppf(1 - 0.05 / sides, df)
    assert scipy.stats.nct.sf(critical, df, effect / 2.5) == pytest.approx(0.9, abs=1e-9)
    assert effect > some(minimum_detectable_effect(2.5, power=0.9, sides=sides))


@given(errors, alphas, powers)
def test_the_detectable_effect_has_its_power(error: float, alpha: float, power: float) -> None:
    effect = some(minimum_detectable_effect(error, alpha=alpha, power=power))
    assert power_at(effect, error, alpha=alpha) == pytest.approx(power, abs=1e-9)
    assert power_at(-effect, error, alpha=alpha) == pytest.approx(power, abs=1e-9)


@given(errors, st.floats(0.1, 10))
def test_effects_scale_with_the_unit(error: float, scale: float) -> None:
    assert minimum_detectable_effect(scale * error) == pytest.approx(
        scale * some(minimum_detectable_effect(error))
    )


@given(st.floats(0.01, 10), st.floats(0.01, 10))
def test_n_is_the_least_that_detects(effect: float, variance: float) -> None:
    n = some(required_n(effect, variance))
    assert some(minimum_detectable_effect(math.sqrt(variance / n))) <= effect * (1 + 1e-9)
    if n > 2:
        assert some(minimum_detectable_effect(math.sqrt(variance / (n - 1)))) > effect * (1 - 1e-9)


def test_a_whole_number_is_not_rounded_up_past_itself() -> None:
    quantiles = some(minimum_detectable_effect(1.0))
    assert [required_n(quantiles / math.sqrt(n), 1.0) for n in range(2, 400)] == [*range(2, 400)]


def test_undefined_is_none() -> None:
    assert minimum_detectable_effect(None) is None
    assert minimum_detectable_effect(0.0) is None
    assert power_at(1.0, None) is None
    assert power_at(1.0, 0.0) is None
    assert required_n(0.0, 1.0) is None
    assert required_n(1.0, 0.0) == 2
    assert unit_variance(None, 9) is None
    assert unit_variance(0.5, 100) == 25.0


def test_what_is_no_probability_or_number_is_refused() -> None:
    with pytest.raises(ValueError, match="alpha 5"):
        minimum_detectable_effect(1.0, alpha=5)
    with pytest.raises(ValueError, match=r"power 0\.0"):
        required_n(1.0, 1.0, power=0.0)
    with pytest.raises(ValueError, match="standard error -1"):
        power_at(1.0, -1.0)
    with pytest.raises(ValueError, match="variance -1"):
        required_n(1.0, -1.0)
    with pytest.raises(ValueError, match="effect nan"):
        power_at(math.nan, 1.0)
    with pytest.raises(ValueError, match="df 0"):
        power_at(1.0, 1.0, df=0)
    with pytest.raises(ValueError, match="ascending"):
        worst_case_variance(1, 0)
    with pytest.raises(ValueError, match="share_different 2"):
        worst_case_variance(0, 1, paired=True, share_different=2)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30))
def test_no_scores_vary_more_than_the_worst_case(scores: list[float]) -> None:
    assert np.var(scores) <= worst_case_variance(0, 10) + 1e-9


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=30))
def test_no_differences_vary_more_than_the_worst_case(pairs: list[tuple[float, float]]) -> None:
    differences = [a - b for a, b in pairs]
    share = sum(d != 0 for d in differences) / len(pairs)
    assert np.var(differences) <= worst_case_variance(0, 10, paired=True) + 1e-9
    bound = worst_case_variance(0, 10, paired=True, share_different=share)
    assert np.var(differences) <= bound + 1e-9


def test_the_worst_cases_are_reached() -> None:
    assert np.var([0.0, 10.0]) == worst_case_variance(0, 10)
    assert np.var([-10.0, 10.0]) == worst_case_variance(0, 10, paired=True)


@pytest.mark.data
def test_what_alpaca_eval_resolves(public_data: Path) -> None:
    notus, zephyr = (preferences(public_data, m) for m in ("notus-7b-v1", "zephyr-7b-beta"))
    got = paired_difference(notus, zephyr, {key: key for key in notus}, 0.95)
    assert round(100 * some(minimum_detectable_effect(got.standard_error)), 2) == 2.91
    variance = some(unit_variance(got.standard_error, got.n_clusters))
    bound = worst_case_variance(0, 1, paired=True, share_different=70 / 802)
    assert 0.98 * bound < variance <= bound
    assert required_n(0.0291, variance) == pytest.approx(802, abs=4)
