"""Wilson intervals against statsmodels' own."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from evalkit.stats import is_binary, mean_estimate, proportion_estimate


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=1), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_interval_is_statsmodels(values: list[float], level: float) -> None:
    found = proportion_estimate(values, range(len(values)), level)
    low, high = proportion_confint(sum(values), len(values), 1 - level, "wilson")
    assert found.low is not None
    assert found.high is not None
    assert math.isclose(found.low, low, abs_tol=1e-9)
    assert math.isclose(found.high, high, abs_tol=1e-9)
    assert 0 <= found.low <= (found.point or 0) <= found.high <= 1
    assert found.standard_error == mean_estimate(values, range(len(values)), level).standard_error


def test_unanimous_samples_are_no_proof() -> None:
    found = proportion_estimate([1.0] * 40, range(40), 0.95)
    assert found.point == 1
    assert found.low == pytest.approx(0.91238, abs=1e-5)
    assert found.high == 1


def test_nothing_has_no_interval() -> None:
    found = proportion_estimate([], [], 0.95)
    assert (found.point, found.low, found.high) == (None, None, None)


def test_what_is_not_binary_is_refused() -> None:
    assert not is_binary([0.5], [1])
    assert not is_binary([0, 1], ["a", "a"])
    with pytest.raises(ValueError, match="0 and 1"):
        proportion_estimate([0.5], [1], 0.95)
