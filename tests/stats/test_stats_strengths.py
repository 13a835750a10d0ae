"""Bradley-Terry strengths against choix, errors against statsmodels, and when there are none."""

from __future__ import annotations

import math
import random

import choix
import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats.means import p_value
from evalkit.stats.strengths import BradleyTerry, Game, bradley_terry, strength_difference
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


def wins_of(games: list[Game]) -> list[tuple[int, int]]:
    """For choix, each game twice: a tie is a win for either."""
    found = []
    for game in games:
        a, b = NAMES.index(game.a), NAMES.index(game.b)
        found += [(a, b)] * round(2 * game.score) + [(b, a)] * round(2 - 2 * game.score)
    return found


def points(result: BradleyTerry) -> list[float]:
    found = [strength.point for strength in result.strengths.values()]
    assert None not in found
    return [p for p in found if p is not None]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [2, 3, 6])
def test_strengths_are_choixs(seed: int, k: int) -> None:
    truth = [float(x) for x in np.random.default_rng(seed).normal(0, 1, k)]
    games = drawn(truth, 40, seed)
    oracle = choix.opt_pairwise(k, wins_of(games), tol=1e-13)
    got = points(bradley_terry(games, 0.95, replicates=10))
    assert got == pytest.approx(oracle - oracle.mean(), abs=1e-6)
    # The optimiser stops early; the minorisation does not.
    finer = choix.mm_pairwise(k, wins_of(games), max_iter=100_000, tol=1e-13)
    assert got == pytest.approx(finer - finer.mean(), abs=1e-9)


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


def test_two_models_are_the_log_odds_of_their_games() -> None:
    games = [Game("a", "b", 1.0, i) for i in range(30)] + [
        Game("b", "a", 1.0, 30 + i) for i in range(12)
    ]
    got = strength_difference(bradley_terry(games, 0.95), "a", "b")
    assert got.point == pytest.approx(math.log(30 / 12), abs=1e-9)
    assert got.standard_error == pytest.approx(math.sqrt(1 / 30 + 1 / 12), rel=0.1)
    assert got.n == 42
    z = (got.point or 0) / (got.standard_error or 1)
    assert p_value(got) == pytest.approx(2 * scipy.stats.norm.sf(z), abs=1e-12)
    assert "normal interval" in got.how


def test_points_and_errors_are_about_those_of_a_logistic_regression() -> None:
    games = drawn([0.0, 0.5, -0.4, 1.0], 60, 1, ties=0.0)
    design = np.zeros((len(games), 4))
    for row, game in enumerate(games):
        design[row, NAMES.index(game.a)], design[row, NAMES.index(game.b)] = 1, -1
    # The first model is the reference: its column is left out.
    fit = sm.Logit([g.score for g in games], design[:, 1:]).fit(disp=0, tol=1e-13)
    result = bradley_terry(games, 0.95)
    for i, model in enumerate("bcd"):
        got = strength_difference(result, model, "a")
        assert got.point == pytest.approx(fit.params[i], abs=1e-8)
        assert got.standard_error == pytest.approx(fit.bse[i], rel=0.25)


def test_repeating_the_games_of_a_question_adds_nothing() -> None:
    games = drawn([0.0, 0.4, -0.6], 80, 2, ties=0.0)
    apart, repeated = bradley_terry(games, 0.95), bradley_terry([*games, *games], 0.95)
    for model in "abc":
        one, two = apart.strengths[model], repeated.strengths[model]
        assert two.standard_error == pytest.approx(one.standard_error, rel=1e-6)
        assert (two.n, two.n_units) == (320, 80)


def test_undefined_is_none_and_says_why() -> None:
    assert bradley_terry([], 0.95).strengths == {}
    for games, why in (
        (
            [Game("a", "b", 0.5, 1), Game("c", "d", 0.5, 2)],
            "undefined: a, b never met the others, not even through a third model",
        ),
        (
            [Game("a", "b", 1.0, 1), Game("a", "c", 1.0, 2), Game("b", "c", 0.5, 3)],
            "a won every game against the others",
        ),
        (
            [Game("a", "b", 0.5, 1), Game("b", "c", 1.0, 2)],
            "a, b won every game against the others",
        ),
    ):
        found = bradley_terry(games, 0.95)
        assert all(s.point is None and why in s.how for s in found.strengths.values())
        assert strength_difference(found, "a", "b").point is None


def test_too_few_units_leave_points_without_error() -> None:
    one = bradley_terry([Game("a", "b", 0.7, 1)], 0.95)
    assert points(one) == pytest.approx([math.log(0.7 / 0.3) / 2, -math.log(0.7 / 0.3) / 2])
    assert one.covariance is None
    assert "one unit" in one.strengths["a"].how
    difference = strength_difference(one, "a", "b")
    assert difference.point == pytest.approx(math.log(0.7 / 0.3))
    assert (difference.standard_error, p_value(difference)) == (None, None)
    rare = bradley_terry([Game("a", "b", float(i > 0), i) for i in range(6)], 0.95)
    assert rare.strengths["a"].standard_error is None
    assert "too few" in rare.strengths["a"].how


@examples(60)
@given(some_games)
def test_expected_scores_are_the_observed_ones_from_either_side(games: list[Game]) -> None:
    """What maximum likelihood means: each model's expected score equals its score."""
    result = bradley_terry(games, 0.9, replicates=1)
    point = {model: strength.point for model, strength in result.strengths.items()}
    turned = [Game(g.b, g.a, 1 - g.score, g.cluster) for g in games]
    other = bradley_terry(turned, 0.9, replicates=1).strengths
    if None in point.values():
        assert all(s.point is None and s.how.startswith("undefined") for s in other.values())
        return
    for model, strength in point.items():
        assert other[model].point == pytest.approx(strength, abs=1e-8)
        balance = 0.0
        for game in games:
            difference = (point[game.a] or 0) - (point[game.b] or 0)
            surplus = game.score - 1 / (1 + math.exp(-difference))
            balance += surplus * ((game.a == model) - (game.b == model))
        assert balance == pytest.approx(0, abs=1e-8)


@pytest.mark.slow
def test_intervals_cover_nearly_as_often_as_they_say() -> None:
    hits = 0
    for run in range(80):
        games = drawn([0.5, -0.5, 0.0], 60, run, ties=0.0)
        got = bradley_terry(games, 0.95, replicates=200).strengths["a"]
        assert got.low is not None
        assert got.high is not None
        hits += got.low <= 0.5 <= got.high
    assert abs(hits / 80 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 80)
