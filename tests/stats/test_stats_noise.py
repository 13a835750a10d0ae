"""Variance components against statsmodels and errorbars, and intervals that count noise once."""

from __future__ import annotations

import math
import random

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import scipy.stats
from errorbars.stats import within_between_variance
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from evalkit.stats import Noise, error_parts, judge_noise, mean_estimate, run_noise, widened

score = st.floats(-5, 5).map(lambda x: round(x, 2))
repeated = st.dictionaries(st.integers(0, 9), st.lists(score, min_size=1, max_size=4), min_size=2)


def table(
    items: int, runs: int, sds: tuple[float, float, float], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Scores, shape (runs, items), with those deviations of items, within, and runs."""
    item, within, run = sds
    found: npt.NDArray[np.float64] = (
        rng.normal(0, item, items)[None, :]
        + rng.normal(0, within, (runs, items))
        + rng.normal(0, run, runs)[:, None]
    )
    return found


def as_runs(found: npt.NDArray[np.float64]) -> list[dict[int, float]]:
    return [dict(enumerate(map(float, row))) for row in found]


@given(repeated)
def test_repeated_judgments_are_decomposed_as_errorbars_does(
    scores: dict[int, list[float]],
) -> None:
    got = judge_noise(scores)
    if all(len(group) == 1 for group in scores.values()):
        assert got.within is None
        assert got.method == "undefined: no item was scored twice"
        return
    values = [x for group in scores.values() for x in group]
    names = [key for key, group in scores.items() for _ in group]
    within, between = within_between_variance(values, names)
    assert got.within == pytest.approx(within, abs=1e-9)
    assert got.item == pytest.approx(between, abs=1e-9)
    assert got.run is None


@pytest.mark.parametrize("seed", range(3))
def test_repeated_runs_are_decomposed_as_statsmodels_anova_does(seed: int) -> None:
    found = table(25, 4, (1.0, 0.5, 0.3), np.random.default_rng(seed))
    rows = [(r, i, found[r, i]) for r in range(4) for i in range(25)]
    frame = pd.DataFrame(rows, columns=["run", "item", "y"])
    anova = anova_lm(ols("y ~ C(run) + C(item)", frame).fit())
    ms = anova["mean_sq"]
    got = run_noise(as_runs(found))
    assert got.within == pytest.approx(ms["Residual"], abs=1e-9)
    assert got.run == pytest.approx(max(0, (ms["C(run)"] - ms["Residual"]) / 25), abs=1e-9)
    assert got.item == pytest.approx((ms["C(item)"] - ms["Residual"]) / 4, abs=1e-9)
    assert got.p_run == pytest.approx(anova["PR(>F)"]["C(run)"], abs=1e-9)


def test_components_are_found_again() -> None:
    rng = np.random.default_rng(4)
    every = [run_noise(as_runs(table(40, 5, (1.0, 0.7, 0.4), rng))) for _ in range(400)]
    for name, truth in [("item", 1.0), ("within", 0.49), ("run", 0.16)]:
        assert np.mean([getattr(n, name) for n in every]) == pytest.approx(truth, rel=0.08)


def test_runs_that_do_not_shift_are_said_to_at_most_alpha_of_the_time() -> None:
    rng = np.random.default_rng(5)
    p = [run_noise(as_runs(table(20, 3, (1.0, 0.7, 0.0), rng))).p_run or 0 for _ in range(1000)]
    assert abs(np.mean([x <= 0.05 for x in p]) - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 1000)


def test_the_error_of_a_mean_is_the_sum_of_its_parts() -> None:
    parts = error_parts(Noise(9.0, 4.0, 0.25, None, 50, 3, ""), 100, trials=2)
    assert parts is not None
    assert parts.item == pytest.approx(0.3)
    assert parts.within == pytest.approx(math.sqrt(0.02))
    assert parts.run == pytest.approx(math.sqrt(0.125))
    assert parts.standard_error == pytest.approx(math.sqrt(0.09 + 0.02 + 0.125))


def test_within_noise_is_in_the_item_level_variance_already() -> None:
    """The error from one score an item equals that from its components: nothing to add."""
    rng = np.random.default_rng(6)
    found = table(4000, 2, (1.0, 0.8, 0.0), rng)
    once = mean_estimate([float(x) for x in found[0]], range(4000), 0.95)
    parts = error_parts(run_noise(as_runs(found)), 4000)
    assert parts is not None
    assert once.standard_error == pytest.approx(math.hypot(parts.item, parts.within), rel=0.03)
    noise = judge_noise({i: [float(x) for x in found[:, i]] for i in range(4000)})
    got = widened(once.point, once.standard_error, 3999, [noise], 0.95)
    assert (got.low, got.high) == pytest.approx((once.low, once.high), abs=1e-12)
    assert got.noise_share == 0.0
    assert "not measured" in got.method


def test_two_noisy_models_widen_a_difference_twice() -> None:
    noise = Noise(1.0, 1.0, 0.04, None, 100, 5, "")
    once = widened(1.0, 0.3, 99, [noise], 0.95)
    twice = widened(1.0, 0.3, 99, [noise, noise], 0.95)
    halved = widened(1.0, 0.3, 99, [noise, noise], 0.95, trials=2)
    assert once.standard_error == pytest.approx(math.sqrt(0.09 + 0.04))
    assert twice.standard_error == pytest.approx(math.sqrt(0.09 + 0.08))
    assert halved.standard_error == pytest.approx(once.standard_error)
    assert twice.noise_share == pytest.approx(0.08 / 0.17)
    assert once.df is not None
    assert 4 < once.df < 99


def test_intervals_cover_only_with_the_noise_of_runs() -> None:
    """60 items, six A/A runs, one more run to judge: 95% with the noise, far less without."""
    rng = np.random.default_rng(7)
    runs, with_noise, without = 1000, 0, 0
    for _ in range(runs):
        noise = run_noise(as_runs(table(60, 6, (1.0, 0.5, 0.25), rng)))
        fresh = table(60, 1, (1.0, 0.5, 0.25), rng)[0]
        mean = mean_estimate([float(x) for x in fresh], range(60), 0.95)
        got = widened(mean.point, mean.standard_error, 59, [noise], 0.95)
        assert None not in (mean.low, mean.high, got.low, got.high)
        without += (mean.low or 0) <= 0 <= (mean.high or 0)
        with_noise += (got.low or 0) <= 0 <= (got.high or 0)
    assert without / runs < 0.80
    assert 0.93 < with_noise / runs < 0.98


def test_undefined_is_none_and_says_why() -> None:
    assert judge_noise({}).within is None
    one = judge_noise({"x": [1.0, 3.0]})
    assert (one.within, one.item) == (2.0, None)
    assert error_parts(one, 10) is None
    assert run_noise([]).method == "undefined: 0 runs with 0 common items; expected two of each"
    assert run_noise([{1: 1.0, 2: 2.0}]).run is None
    assert run_noise([{1: 1.0, 2: 2.0}, {2: 2.0, 3: 1.0}]).run is None
    still = run_noise([{1: 1.0, 2: 2.0}, {1: 1.0, 2: 2.0}])
    assert (still.within, still.run, still.item, still.p_run) == (0.0, 0.0, 0.5, None)
    nothing = widened(None, None, None, [still], 0.95)
    assert (nothing.low, nothing.df) == (None, None)
    same = widened(1.0, 0.0, 5.0, [still], 0.95)
    assert (same.standard_error, same.low, same.high) == (0.0, 1.0, 1.0)


def test_what_is_no_score_or_count_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        judge_noise({"x": [1.0, math.nan]})
    with pytest.raises(ValueError, match="finite"):
        run_noise([{"x": math.inf}])
    with pytest.raises(ValueError, match="0 items"):
        error_parts(Noise(1.0, 1.0, None, None, 1, 1, ""), 0)
    with pytest.raises(ValueError, match="trials 0"):
        widened(1.0, 1.0, 1.0, [], 0.95, trials=0)
    with pytest.raises(ValueError, match="level 95"):
        widened(1.0, 1.0, 1.0, [], 95)


@given(repeated, st.randoms(use_true_random=False), st.floats(-20, 20))
def test_order_shift_and_scale(
    scores: dict[int, list[float]], draw: random.Random, shift: float
) -> None:
    plain = judge_noise(scores)
    mixed = {
        key: [3 * x + shift for x in draw.sample(scores[key], len(scores[key]))]
        for key in draw.sample(sorted(scores), len(scores))
    }
    got = judge_noise(mixed)
    for one, other in ((plain.within, got.within), (plain.item, got.item)):
        assert (one is None) == (other is None)
        if one is not None:
            assert other == pytest.approx(9 * one, abs=1e-8)


def test_runs_may_come_in_any_order_and_with_items_of_their_own() -> None:
    runs = as_runs(table(12, 3, (1.0, 0.5, 0.3), np.random.default_rng(8)))
    plain = run_noise(runs)
    got = run_noise([{**runs[2], 99: 5.0}, runs[0], runs[1]])
    for name in ("item", "within", "run", "p_run"):
        assert getattr(got, name) == pytest.approx(getattr(plain, name), abs=1e-12)
    assert got.n_items == 12


def test_each_model_may_have_its_own_number_of_runs() -> None:
    noise, other = Noise(1.0, 1.0, 0.04, None, 100, 5, ""), Noise(1.0, 1.0, 0.06, None, 100, 3, "")
    got = widened(1.0, 0.3, 99, [noise, other], 0.95, trials=(4, 2))
    variance = 0.09 + 0.01 + 0.03
    assert got.standard_error == pytest.approx(math.sqrt(variance))
    df = variance**2 / (0.09**2 / 99 + 0.01**2 / 4 + 0.03**2 / 2)
    assert got.df == pytest.approx(df)
    assert got.p == pytest.approx(2 * scipy.stats.t.sf(1 / math.sqrt(variance), df))


def test_a_borrowed_noise_is_one_estimate() -> None:
    """Twice the same component has its degrees of freedom once: (2v)², not 2v²."""
    noise = Noise(1.0, 1.0, 0.04, None, 100, 5, "")
    got = widened(1.0, 0.3, 99, [noise, noise], 0.95)
    assert got.df == pytest.approx(0.17**2 / (0.09**2 / 99 + 0.08**2 / 4))


@pytest.mark.parametrize("trials", [(1,), (1, 0), (1, 1, 1)])
def test_trials_are_one_for_each_noise(trials: tuple[int, ...]) -> None:
    noise = Noise(1.0, 1.0, 0.04, None, 100, 5, "")
    with pytest.raises(ValueError, match="of 2 models"):
        widened(1.0, 0.3, 99, [noise, noise], 0.95, trials=trials)
