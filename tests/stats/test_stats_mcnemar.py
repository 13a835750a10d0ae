"""The exact McNemar test against statsmodels, errorbars and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from errorbars.compare import mcnemar_exact as errorbars_mcnemar
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from evalkit.stats import mcnemar, mcnemar_exact

counts = st.integers(0, 400)
outcomes = st.dictionaries(st.integers(0, 40), st.integers(0, 1).map(float))


@given(counts, counts)
def test_the_p_value_is_that_of_statsmodels_and_scipy(wins: int, losses: int) -> None:
    got = mcnemar_exact(wins, losses)
    assert got.p == pytest.approx(
        statsmodels_mcnemar([[9, wins], [losses, 9]], exact=True).pvalue, abs=1e-9
    )
    if wins + losses:
        assert got.p == pytest.approx(scipy.stats.binomtest(wins, wins + losses).pvalue, abs=1e-9)


def test_the_real_case() -> None:
    """Notus against Zephyr-7B-beta on AlpacaEval: 38 samples turned for, 31 against."""
    assert mcnemar_exact(38, 31).p == pytest.approx(0.4704, abs=5e-5)


@given(outcomes, outcomes)
def test_outcomes_are_counted_as_errorbars_counts(a: dict[int, float], b: dict[int, float]) -> None:
    got = mcnemar(a, b)
    common = sorted(a.keys() & b.keys())
    if not common:
        assert (got.p, got.method) == (None, "undefined: no common samples")
        return
    oracle = errorbars_mcnemar([a[k] for k in common], [b[k] for k in common])
    assert (got.wins, got.losses) == (oracle.n10, oracle.n01)
    assert got.p == pytest.approx(oracle.p_value, abs=1e-12)


@given(counts, counts)
def test_sides_are_alike_and_more_of_one_side_is_more_evidence(wins: int, losses: int) -> None:
    p = mcnemar_exact(wins, losses).p
    assert p == mcnemar_exact(losses, wins).p
    assert p is not None
    if wins >= losses:
        more = mcnemar_exact(wins + 1, losses).p
        assert more is not None
        assert more <= p + 1e-12


def test_no_discordant_pairs_are_no_evidence() -> None:
    assert mcnemar_exact(0, 0).p == 1.0


def test_what_is_no_count_or_outcome_is_refused() -> None:
    with pytest.raises(ValueError, match="losses -1"):
        mcnemar_exact(3, -1)
    with pytest.raises(ValueError, match=r"outcome 0.5 of 'x'"):
        mcnemar({"x": 0.5}, {"x": 1.0})


def test_equal_models_are_told_apart_at_most_alpha_of_the_time() -> None:
    rng = np.random.default_rng(2)
    wins = rng.binomial(70, 0.5, 4000)
    false = sum((mcnemar_exact(int(w), 70 - int(w)).p or 0) <= 0.05 for w in wins)
    # The test is discrete: its size at n = 70 is 4.1%, and never more than 5%.
    size = 2 * scipy.stats.binom.cdf(26, 70, 0.5)
    assert size <= 0.05
    assert abs(false / 4000 - size) < 4 * (size * (1 - size) / 4000) ** 0.5
