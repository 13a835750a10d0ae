"""The honest score of the best of several: simulations with known truth, and properties."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats.resampling import selection_optimism
from tests.support.properties import examples

Scores = dict[str, dict[int, float]]
ITSELF = {i: i for i in range(1000)}
tables = st.dictionaries(
    st.sampled_from("abcde"),
    st.dictionaries(st.integers(0, 8), st.floats(-5, 5).map(lambda x: round(x, 2)), min_size=1),
    min_size=1,
)


def drawn(truth: list[float], n: int, rng: np.random.Generator) -> Scores:
    shared = rng.normal(0, 1, n)
    return {
        f"m{i}": dict(enumerate(float(mean + s + rng.normal()) for s in shared))
        for i, mean in enumerate(truth)
    }


@pytest.mark.parametrize(
    ("truth", "least", "most"),
    [([0.0] * 8, 0.85, 1.15), ([0.0, 0.05, 0.1, 0.15, 0.2], 0.95, 2.0)],
)
def test_the_honest_score_is_right_for_equals_and_never_flatters(
    truth: list[float], least: float, most: float
) -> None:
    """Over 200 draws of 80 samples: estimated over true optimism, whose mean is known here."""
    rng = np.random.default_rng(3)
    true, estimated = [], []
    for seed in range(200):
        got = selection_optimism(drawn(truth, 80, rng), ITSELF, replicates=100, seed=seed)
        assert got.winner is not None
        assert got.point is not None
        assert got.optimism is not None
        true.append(got.point - truth[int(got.winner[1:])])
        estimated.append(got.optimism)
    assert least < np.mean(estimated) / np.mean(true) < most


def test_a_clear_winner_has_no_optimism() -> None:
    scores = drawn([0.0, 0.0, 5.0], 100, np.random.default_rng(4))
    got = selection_optimism(scores, ITSELF)
    assert got.winner == "m2"
    assert got.optimism == pytest.approx(0, abs=0.01)


def test_clusters_are_drawn_whole() -> None:
    """Five copies of each sample are no new evidence: the optimism stays."""
    rng = np.random.default_rng(5)
    once = drawn([0.0] * 6, 40, rng)
    copies = {m: {i: s[i // 5] for i in range(200)} for m, s in once.items()}
    apart = selection_optimism(once, ITSELF)
    together = selection_optimism(copies, {i: i // 5 for i in range(200)})
    ignored = selection_optimism(copies, ITSELF)
    assert together.optimism == pytest.approx(apart.optimism, abs=1e-9)
    assert together.n == 200
    assert (ignored.optimism or 0) < 0.8 * (together.optimism or 0)


def test_undefined_is_none_and_says_why() -> None:
    assert selection_optimism({}, ITSELF).method == "undefined: no common samples"
    apart = selection_optimism({"a": {1: 1.0}, "b": {2: 1.0}}, ITSELF)
    assert (apart.winner, apart.point, apart.n_models) == (None, None, 2)
    one = selection_optimism({"a": {1: 1.0}, "b": {1: 2.0}}, ITSELF)
    assert (one.winner, one.point, one.honest, one.optimism) == ("b", 2.0, None, None)
    assert "one unit" in one.method


def test_one_model_and_equal_models() -> None:
    alone = selection_optimism({"a": {1: 1.0, 2: 0.0, 3: 1.0}}, ITSELF)
    assert alone.optimism == pytest.approx(0, abs=1e-12)
    scores = {1: 1.0, 2: 0.0, 3: 1.0}
    twins = selection_optimism({"b": scores, "a": scores}, ITSELF)
    assert twins.winner == "a"
    assert twins.optimism == pytest.approx(0, abs=1e-12)


def test_what_is_no_score_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        selection_optimism({"a": {1: math.nan}}, ITSELF)


@examples(40)
@given(tables, st.randoms(use_true_random=False))
def test_order_does_not_matter(scores: Scores, draw: random.Random) -> None:
    mixed = {
        m: dict(draw.sample(sorted(scores[m].items()), len(scores[m])))
        for m in draw.sample(sorted(scores), len(scores))
    }
    plain = selection_optimism(scores, ITSELF, replicates=50)
    assert selection_optimism(mixed, ITSELF, replicates=50) == plain


@examples(40)
@given(tables, st.integers(-5, 5), st.sampled_from([0.5, 4.0]))
def test_shift_and_scale(scores: Scores, shift: int, scale: float) -> None:
    plain = selection_optimism(scores, ITSELF, replicates=50)
    moved = {m: {k: scale * v + shift for k, v in s.items()} for m, s in scores.items()}
    got = selection_optimism(moved, ITSELF, replicates=50)
    assert (got.winner, got.n) == (plain.winner, plain.n)
    if plain.point is not None:
        assert got.point == pytest.approx(scale * plain.point + shift, abs=1e-9)
    if plain.optimism is not None:
        assert got.optimism == pytest.approx(scale * plain.optimism, abs=1e-9)
