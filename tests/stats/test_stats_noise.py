"""Noise of runs against statsmodels' analysis of variance, and intervals that count it once."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import scipy.stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from evalkit.core.figures import Estimator, Measured, Method
from evalkit.stats.means import Noise, mean, p_value, run_noise, widened


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


@pytest.mark.parametrize("seed", range(3))
def test_repeated_runs_are_decomposed_as_statsmodels_anova_does(seed: int) -> None:
    found = table(25, 4, (1.0, 0.5, 0.3), np.random.default_rng(seed))
    rows = [(r, i, found[r, i]) for r in range(4) for i in range(25)]
    frame = pd.DataFrame(rows, columns=["run", "item", "y"])
    ms = anova_lm(ols("y ~ C(run) + C(item)", frame).fit())["mean_sq"]
    got = run_noise(as_runs(found))
    assert got is not None
    assert got.within == pytest.approx(ms["Residual"], abs=1e-9)
    assert got.run == pytest.approx(max(0, (ms["C(run)"] - ms["Residual"]) / 25), abs=1e-9)


def test_components_are_found_again() -> None:
    rng = np.random.default_rng(4)
    every = [run_noise(as_runs(table(40, 5, (1.0, 0.7, 0.4), rng))) for _ in range(400)]
    assert np.mean([n.within for n in every if n]) == pytest.approx(0.49, rel=0.08)
    assert np.mean([n.run for n in every if n]) == pytest.approx(0.16, rel=0.08)


def test_runs_may_come_in_any_order_and_with_items_of_their_own() -> None:
    runs = as_runs(table(12, 3, (1.0, 0.5, 0.3), np.random.default_rng(8)))
    plain, got = run_noise(runs), run_noise([{**runs[2], 99: 5.0}, runs[0], runs[1]])
    assert plain is not None
    assert got is not None
    assert (got.run, got.within) == pytest.approx((plain.run, plain.within), abs=1e-12)


def test_too_few_runs_or_common_items_say_nothing() -> None:
    assert run_noise([]) is None
    assert run_noise([{1: 1.0, 2: 2.0}]) is None
    assert run_noise([{1: 1.0, 2: 2.0}, {2: 2.0, 3: 1.0}]) is None
    still = run_noise([{1: 1.0, 2: 2.0}, {1: 1.0, 2: 2.0}])
    assert still == Noise(run=0.0, n_runs=2, within=0.0)
    with pytest.raises(ValueError, match="finite"):
        run_noise([{"x": math.inf}])


def estimate(error: float | None = 0.3, df: float | None = 99) -> Measured:
    method = Method(Estimator.PAIRED, paired=True)
    return Measured(1.0, error, None, None, 0.95, 100, 100, 0, method, df)


def test_each_model_may_have_its_own_number_of_runs() -> None:
    noise, other = Noise(0.04, 5), Noise(0.06, 3)
    got = widened(estimate(), [noise, other], [4, 2])
    variance = 0.09 + 0.01 + 0.03
    df = variance**2 / (0.09**2 / 99 + 0.01**2 / 4 + 0.03**2 / 2)
    half = scipy.stats.t.ppf(0.975, df) * math.sqrt(variance)
    assert got.standard_error == pytest.approx(math.sqrt(variance))
    assert got.df == pytest.approx(df)
    assert (got.low, got.high) == pytest.approx((1 - half, 1 + half))
    assert p_value(got) == pytest.approx(2 * scipy.stats.t.sf(1 / math.sqrt(variance), df))
    assert "4 runs of the candidate, 2 of the baseline" in got.how


def test_a_borrowed_noise_is_one_estimate() -> None:
    """Twice the same component has its degrees of freedom once: (2v)², not 2v²."""
    got = widened(estimate(), [Noise(0.04, 5)] * 2, [1, 1])
    assert got.standard_error == pytest.approx(math.sqrt(0.17))
    assert got.df == pytest.approx(0.17**2 / (0.09**2 / 99 + 0.08**2 / 4))


def test_what_has_no_error_is_not_widened() -> None:
    still = Noise(0.0, 2)
    for value in (estimate(None), estimate(df=None), estimate(0.0)):
        assert widened(value, [still, still], [2, 2]) is value


@pytest.mark.parametrize("runs", [(1,), (1, 0), (1, 1, 1)])
def test_runs_are_one_number_for_each_noise(runs: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="of 2 models"):
        widened(estimate(), [Noise(0.04, 5)] * 2, runs)


def test_intervals_cover_only_with_the_noise_of_runs() -> None:
    """60 items, six A/A runs, one more run to judge: 95% with the noise, far less without."""
    rng = np.random.default_rng(7)
    runs, with_noise, without = 1000, 0, 0
    for _ in range(runs):
        noise = run_noise(as_runs(table(60, 6, (1.0, 0.5, 0.25), rng)))
        fresh = table(60, 1, (1.0, 0.5, 0.25), rng)[0]
        plain = mean([float(x) for x in fresh], range(60), 0.95)
        assert noise is not None
        got = widened(plain, [noise], [1])
        assert None not in (plain.low, plain.high, got.low, got.high)
        without += (plain.low or 0) <= 0 <= (plain.high or 0)
        with_noise += (got.low or 0) <= 0 <= (got.high or 0)
    assert without / runs < 0.80
    assert 0.93 < with_noise / runs < 0.98
