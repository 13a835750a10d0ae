"""Contrasts and intraclass correlations, against statsmodels and Shrout and Fleiss (1979)."""

from __future__ import annotations

import random

import pytest

from evalkit.stats.agreement import intraclass
from evalkit.stats.means import contrast

# Table 2 of Shrout and Fleiss (1979): six subjects, four ratings each.
RATINGS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def test_icc_is_the_one_its_authors_print() -> None:
    found = intraclass(RATINGS, 0.95)
    assert found.point == pytest.approx(0.17, abs=0.005)
    # psych's ICC() of the same table: -0.13 to 0.72.
    assert (found.low, found.high) == pytest.approx((-0.13, 0.72), abs=0.005)
    assert (found.n, found.n_units) == (24, 6)


def test_icc_is_1_where_repeats_agree_and_undefined_where_nothing_varies() -> None:
    assert intraclass([[3.0, 3.0], [8.0, 8.0]], 0.95).point == 1.0
    for groups in ([], [[7.0, 7.0]], [[7.0, 7.0], [7.0, 7.0]]):
        found = intraclass(groups, 0.95)
        assert found.point is None
        assert found.method.detail


def test_a_contrast_is_statsmodels_slope_with_clustered_errors() -> None:
    import numpy as np
    import statsmodels.api as sm

    rng = random.Random(3)
    n = 90
    groups, clusters = [rng.randrange(3) for _ in range(n)], [rng.randrange(30) for _ in range(n)]
    sides = [rng.random() < 0.4 for _ in range(n)]
    values = [rng.random() + 0.3 * g + 0.2 * s for g, s in zip(groups, sides, strict=True)]
    x = np.array([[s, *(g == k for k in range(3))] for s, g in zip(sides, groups, strict=True)])
    fit = sm.OLS(np.array(values), x.astype(float)).fit(
        cov_type="cluster", cov_kwds={"groups": np.array(clusters)}, use_t=True
    )
    found = contrast(values, sides, groups, clusters, 0.95)
    assert (found.point, found.standard_error) == pytest.approx((fit.params[0], fit.bse[0]))
    assert (found.low, found.high) == pytest.approx(tuple(fit.conf_int()[0]))


def test_a_contrast_with_few_on_one_side_is_undefined() -> None:
    sides = [i < 9 for i in range(50)]
    assert contrast([1.0] * 50, sides, [0] * 50, list(range(50)), 0.95).point is None
    apart = contrast([1.0] * 50, [i < 25 for i in range(50)], sides, list(range(50)), 0.95)
    assert apart.point == 0.0
    alone = [i < 25 for i in range(50)]
    assert contrast([1.0] * 50, alone, alone, list(range(50)), 0.95).point is None
