"""Bradley-Terry strengths against choix, errors against statsmodels, and when there are none."""

from __future__ import annotations

import math
import random
from typing import Literal

import choix
import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats import BradleyTerry, Game, bradley_terry, strength_difference
from tests.support.properties import examples

NAMES = "abcdef"


def drawn(truth: list[float], rounds: int, seed: int, ties: float = 0.2) -> list[Game]:
    """Every pair once a round, which is a cluster."""
    rng = np.random.default_rng(seed)
    games = []
    for cluster in range(rounds):
        for i in range(len(truth)):
            for j in range(i):
                won = rng.random() < 1 / (1 + math.exp(truth[j] - truth[i]))
                score = 0.5 if rng.random() < ties else float(won)
                games.append(Game(NAMES[i], NAMES[j], score, cluster))
    return games


def points(result: BradleyTerry) -> list[float]:
    found = [strength.point for strength in result.strengths]
    assert None not in found
    return [p for p in found if p is not None]


def wins_of(games: list[Game]) -> list[tuple[int, int]]:
    """For choix, each game twice: a tie is a win for either."""
    found = []
    for game in games:
        a, b = NAMES.index(game.a), NAMES.index(game.b)
        found += [(a, b)] * round(2 * game.score) + [(b, a)] * round(2 - 2 * game.score)
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [2, 3, 6])
def test_strengths_are_choixs(seed: int, k: int) -> None:
    truth = [float(x) for x in np.random.default_rng(seed).normal(0, 1, k)]
    games = drawn(truth, 40, seed)
    oracle = choix.opt_pairwise(k, wins_of(games), tol=1e-13)
    got = points(bradley_terry(games, 0.95, errors="information"))
    assert got == pytest.approx(oracle - oracle.mean(), abs=1e-6)
    # The optimiser stops early; the minorisation does not.
    finer = choix.mm_pairwise(k, wins_of(games), max_iter=100_000, tol=1e-13)
    assert got == pytest.approx(finer - finer.mean(), abs=1e-9)


def test_two_models_are_the_log_odds_of_their_games() -> None:
    games = [Game("a", "b", 1.0, i) for i in range(30)] + [
        Game("b", "a", 1.0, i) for i in range(12)
    ]
    got = strength_difference(bradley_terry(games, 0.95, errors="information"), "a", "b")
    assert got.point == pytest.approx(math.log(30 / 12), abs=1e-9)
    assert got.standard_error == pytest.approx(math.sqrt(1 / 30 + 1 / 12), abs=1e-9)


def test_errors_are_those_of_a_logistic_regression() -> None:
    games = drawn([0.0, 0.5, -0.4, 1.0], 30, 1, ties=0.0)
    design = np.zeros((len(games), 4))
    for row, game in enumerate(games):
        design[row, NAMES.index(game.a)], design[row, NAMES.index(game.b)] = 1, -1
    # The first model is the reference: its column is left out.
    fit = sm.Logit([g.score for g in games], design[:, 1:]).fit(disp=0, tol=1e-13)
    result = bradley_terry(games, 0.95, errors="information")
    for i, model in enumerate("bcd"):
        got = strength_difference(result, model, "a")
        assert got.point == pytest.approx(fit.params[i], abs=1e-8)
        assert got.standard_error == pytest.approx(fit.bse[i], abs=1e-8)
        low, high = fit.conf_int(0.05)[i]
        assert (got.low, got.high) == pytest.approx((low, high), abs=1e-8)


def test_the_bootstrap_sees_what_games_of_a_question_share() -> None:
    games = drawn([0.0, 0.4, -0.6], 80, 2, ties=0.0)
    information = bradley_terry(games, 0.95, errors="information")
    apart = bradley_terry(games, 0.95)
    repeated = bradley_terry([*games, *games], 0.95)
    for model in range(3):
        errors = [r.strengths[model].standard_error or 0 for r in (information, apart, repeated)]
        assert errors[1] == pytest.approx(errors[0], rel=0.25)
        assert errors[2] == pytest.approx(errors[1], rel=1e-6)
    assert (repeated.n, repeated.n_clusters) == (480, 80)
    assert strength_difference(apart, "b", "c").standard_error == pytest.approx(
        strength_difference(information, "b", "c").standard_error, rel=0.25
    )


def test_undefined_is_none_and_says_why() -> None:
    assert bradley_terry([], 0.95).method == "undefined: no games"
    apart = bradley_terry([Game("a", "b", 0.5, 1), Game("c", "d", 0.5, 2)], 0.95)
    assert [s.point for s in apart.strengths] == [None] * 4
    assert apart.method == ("undefined: a, b never met the others, not even through a third model")
    best = bradley_terry(
        [Game("a", "b", 1.0, 1), Game("a", "c", 1.0, 2), Game("b", "c", 0.5, 3)], 0.95
    )
    assert [s.point for s in best.strengths] == [None] * 3
    assert "a won every game against the others" in best.method
    worst = bradley_terry([Game("a", "b", 0.5, 1), Game("b", "c", 1.0, 2)], 0.95)
    assert "a, b won every game against the others" in worst.method
    assert strength_difference(worst, "a", "c").point is None


def test_too_few_units_leave_points_without_error() -> None:
    one = bradley_terry([Game("a", "b", 0.7, 1)], 0.95)
    assert points(one) == pytest.approx([math.log(0.7 / 0.3) / 2, -math.log(0.7 / 0.3) / 2])
    assert one.covariance is None
    assert "one unit" in one.method
    assert strength_difference(one, "a", "b").standard_error is None
    rare = bradley_terry([Game("a", "b", float(i > 0), i) for i in range(6)], 0.95)
    assert rare.strengths[0].standard_error is None
    assert "too few" in rare.method


def test_what_is_no_game_is_refused() -> None:
    with pytest.raises(ValueError, match=r"score 1\.5 of 'a'"):
        bradley_terry([Game("a", "b", 1.5, 1)], 0.95)
    with pytest.raises(ValueError, match="'a' against itself"):
        bradley_terry([Game("a", "a", 0.5, 1)], 0.95)
    with pytest.raises(ValueError, match="level 95"):
        bradley_terry([], 95)


scores = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
some_games = st.lists(
    st.tuples(st.permutations(range(4)), scores, st.integers(0, 5)).map(
        lambda x: Game(NAMES[x[0][0]], NAMES[x[0][1]], x[1], x[2])
    ),
    max_size=40,
)


@examples(40)
@given(some_games, st.randoms(use_true_random=False))
def test_order_does_not_matter(games: list[Game], draw: random.Random) -> None:
    mixed = draw.sample(games, len(games))
    one, other = (bradley_terry(g, 0.9, replicates=20) for g in (games, mixed))
    assert one == other


@examples(60)
@given(some_games)
def test_sides_and_signs(games: list[Game]) -> None:
    plain = bradley_terry(games, 0.9, errors="information")
    turned = bradley_terry(
        [Game(g.b, g.a, 1 - g.score, g.cluster) for g in games], 0.9, errors="information"
    )
    against = bradley_terry(
        [Game(g.a, g.b, 1 - g.score, g.cluster) for g in games], 0.9, errors="information"
    )
    for one, same, opposite in zip(
        plain.strengths, turned.strengths, against.strengths, strict=True
    ):
        if one.point is None:
            assert same.point is None
            assert opposite.point is None
            continue
        assert same.point == pytest.approx(one.point, abs=1e-8)
        assert opposite.point == pytest.approx(-one.point, abs=1e-8)
        assert opposite.standard_error == pytest.approx(one.standard_error, abs=1e-8)


@examples(60)
@given(some_games)
def test_expected_scores_are_the_observed_ones(games: list[Game]) -> None:
    """What maximum likelihood means: each model's expected score equals its score."""
    result = bradley_terry(games, 0.9, errors="information")
    point = {s.model: s.point for s in result.strengths}
    if None in point.values():
        assert result.method.startswith("undefined")
        return
    for model in point:
        balance = 0.0
        for game in games:
            difference = (point[game.a] or 0) - (point[game.b] or 0)
            surplus = game.score - 1 / (1 + math.exp(-difference))
            balance += surplus * ((game.a == model) - (game.b == model))
        assert balance == pytest.approx(0, abs=1e-8)


def coverage(errors: Literal["information", "bootstrap"], runs: int) -> float:
    hits = 0
    for run in range(runs):
        games = drawn([0.5, -0.5, 0.0], 60, run, ties=0.0)
        got = bradley_terry(games, 0.95, errors=errors, replicates=200).strengths[0]
        assert got.low is not None
        assert got.high is not None
        hits += got.low <= 0.5 <= got.high
    return hits / runs


def test_normal_intervals_cover_as_often_as_they_say() -> None:
    assert abs(coverage("information", 600) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 600)


@pytest.mark.slow
def test_bootstrap_intervals_cover_nearly_as_often_as_they_say() -> None:
    assert abs(coverage("bootstrap", 80) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 80)
