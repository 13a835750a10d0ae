"""The length-controlled win rate against alpaca_eval's own code, and its bootstrap's properties."""

from __future__ import annotations

import csv
import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.figures import Measured
from evalkit.stats.length_control import Games, Pair, length_controlled
from tests.support.properties import examples


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def some_games(n: int, seed: int = 1) -> Games:
    """A baseline whose longer answers do better, n instructions, two gamed models."""
    draw = random.Random(seed)
    difficulty = {i: draw.gauss(0, 1.5) for i in range(n)}
    delta = [draw.gauss(-1, 1) for _ in range(n)] + [draw.gauss(1.5, 1) for _ in range(n)]
    return Games(
        preference=tuple(logistic(-2 * math.tanh(d) + draw.gauss(0, 0.5)) for d in delta),
        std_delta_len=tuple(delta),
        instruction=(*range(n), *range(n)),
        difficulty=difficulty,
    )


def some_pairs(games: Games, instructions: Sequence[int], seed: int) -> list[Pair]:
    """A model that is a little worse than the baseline and profits from length."""
    draw = random.Random(seed)
    pairs = []
    for i in instructions:
        reference, answer = draw.randint(500, 3000), draw.randint(100, 3500)
        gain = -1.5 * math.tanh((reference - answer) / 1200) + 0.5 * games.difficulty[i] - 0.5
        preference = float(draw.random() < logistic(gain))
        pairs.append(Pair(i, answer, reference, preference if draw.random() < 0.98 else None))
    return pairs


def upstream(pairs: Sequence[Pair], games: Games, folder: Path) -> float:
    """alpaca_eval's figure, its download of the games answered with a local file."""
    import pandas as pd
    import sklearn
    from alpaca_eval.metrics import glm_winrate

    path = folder / "df_gamed.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        names = ["preference", "index", "std_delta_len", "instruction_difficulty"]
        table.writerow([*names, "not_gamed_baseline", "model"])
        for p, i, d in zip(games.preference, games.instruction, games.std_delta_len, strict=True):
            table.writerow([p, i, d, games.difficulty[i], False, "gamed"])
    rows = pd.DataFrame(
        {
            "preference": [None if p.preference is None else 1 + p.preference for p in pairs],
            "output_1": ["r" * p.reference_length for p in pairs],
            "output_2": ["a" * p.answer_length for p in pairs],
            "generator_1": "baseline",
            "generator_2": "model",
        }
    )
    with pytest.MonkeyPatch.context() as patch, sklearn.config_context():
        patch.setattr(glm_winrate, "hf_hub_download", lambda **_: str(path))
        found = glm_winrate.get_length_controlled_winrate(rows, save_weights_dir=None)
    return float(found["length_controlled_winrate"]) / 100


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(4))
def test_the_point_is_alpaca_evals(tmp_path: Path, seed: int) -> None:
    games = some_games(120, seed)
    pairs = some_pairs(games, range(120), seed)
    ours = length_controlled(pairs[::-1], games, 0.95, replicates=0)
    assert ours.point == pytest.approx(upstream(pairs, games, tmp_path), abs=1e-9)


def figures(pairs: Sequence[Pair], games: Games, seed: int = 0) -> Measured:
    return length_controlled(pairs, games, 0.9, cap_quantile=0.98, replicates=20, seed=seed)


@examples(10)
@given(st.randoms(use_true_random=False), st.integers(2, 12))
def test_neither_the_order_of_pairs_nor_the_hour_matters(draw: random.Random, n: int) -> None:
    games = some_games(12)
    pairs = some_pairs(games, range(n), draw.randint(0, 999))
    shuffled = draw.sample(pairs, len(pairs))
    assert figures(shuffled, games) == figures(pairs, games)


def test_another_seed_draws_another_bootstrap() -> None:
    games = some_games(40)
    pairs = some_pairs(games, range(40), 3)
    one, other = figures(pairs, games, 1), figures(pairs, games, 2)
    assert one.point == other.point
    assert one.standard_error != other.standard_error
    assert one.low is not None
    assert one.high is not None
    assert 0 < one.low < one.high < 1


def test_a_weight_stands_for_repeated_rows() -> None:
    """One instruction judged twice is one unit of resampling, and two rows."""
    games = some_games(30)
    pairs = some_pairs(games, range(30), 5)
    twice = figures([*pairs, *pairs], games)
    once = figures(pairs, games)
    assert (twice.n, twice.n_units) == (2 * once.n, once.n_units)
    assert twice.standard_error is not None
    assert once.standard_error is not None
    # Rows that carry nothing new must not halve the variance.
    assert twice.standard_error > 0.8 * once.standard_error


def test_pairs_without_preference_are_predicted_but_not_fitted() -> None:
    games = some_games(40)
    pairs = [p for p in some_pairs(games, range(40), 1) if p.preference is not None]
    hard = min(games.difficulty, key=lambda i: games.difficulty[i])
    extra = Pair(hard, pairs[0].answer_length, pairs[0].reference_length, None)
    both = figures([*pairs, extra], games)
    alone = figures(pairs, games)
    assert both.n == alone.n == len(pairs)
    assert both.point is not None
    assert alone.point is not None
    assert both.point < alone.point


def test_a_cap_at_the_longest_changes_nothing() -> None:
    games = some_games(40)
    pairs = some_pairs(games, range(40), 2)
    plain = length_controlled(pairs, games, 0.9, replicates=30)
    capped = length_controlled(pairs, games, 0.9, cap_quantile=1.0, replicates=30)
    assert capped.point == pytest.approx(plain.point, abs=1e-12)
    assert capped.standard_error == pytest.approx(plain.standard_error, abs=1e-12)
    assert "capped" in capped.how
    assert "capped" not in plain.how


def test_capping_undoes_runaway_answers() -> None:
    """Three answers 30 times as long as any other move the figure, and hardly the capped one."""
    games = some_games(400)
    # Longer than the reference on average: else equal lengths would change little.
    pairs = [
        replace(p, answer_length=p.answer_length + 1500) for p in some_pairs(games, range(400), 4)
    ]
    runaway = [Pair(p.instruction, 100_000, p.reference_length, 1.0) for p in pairs[:3]]
    inflated = [*runaway, *pairs[3:]]

    def points(rows: Sequence[Pair]) -> list[float]:
        found = [
            length_controlled(rows, games, 0.9, cap_quantile=c, replicates=0).point
            for c in (None, 0.99)
        ]
        return [100 * f for f in found if f is not None]

    plain, capped = points(pairs)
    plain_inflated, capped_inflated = points(inflated)
    assert abs(plain_inflated - plain) > 4
    assert abs(capped_inflated - capped) < 1


def test_undefined_is_none_and_says_why() -> None:
    games = some_games(10)
    nothing = length_controlled([], games, 0.95)
    assert (nothing.point, nothing.how) == (None, "undefined: no pair has a preference")
    unjudged = length_controlled([Pair(0, 5, 9, None)], games, 0.95)
    assert (unjudged.point, unjudged.n) == (None, 0)
    one = length_controlled([Pair(0, 5, 9, 1.0)], games, 0.95)
    assert (one.point, one.standard_error) == (None, None)
    same = length_controlled([Pair(i, 7, 9, float(i % 2)) for i in range(6)], games, 0.95)
    assert (same.point, same.how) == (None, "undefined: all length differences are equal")
    twice = length_controlled([Pair(0, 5, 9, 1.0), Pair(0, 9, 5, 0.0)], games, 0.95)
    assert twice.point is not None
    assert (twice.standard_error, twice.low, twice.high, twice.n_units) == (None, None, None, 1)
    assert "too few" in twice.how


def test_the_baseline_against_itself_is_one_half() -> None:
    """Upstream: 50 by construction where model and baseline are the same generator."""
    games = some_games(10)
    result = length_controlled([Pair(i, 90 + i, 90 + i, 0.5) for i in range(10)], games, 0.95)
    assert (result.point, result.standard_error, result.low) == (0.5, 0.0, 0.5)
    assert "by construction" in result.how


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (Pair(99, 1, 2, 0.5), "instruction 99 has no difficulty"),
        (Pair(0, 1, 2, 1.5), "preference 1.5; expected None or 0 to 1"),
        (Pair(0, 1, 2, math.nan), "preference nan; expected"),
    ],
)
def test_what_cannot_be_is_refused(pair: Pair, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        length_controlled([pair], some_games(5), 0.95)


def test_metadata_routing_stays_off() -> None:
    import sklearn

    games = some_games(20)
    assert figures(some_pairs(games, range(20), 0), games).point is not None
    assert sklearn.get_config()["enable_metadata_routing"] is False


@pytest.mark.slow
def test_the_interval_covers_about_as_often_as_it_says() -> None:
    """Instructions drawn anew 100 times: the 90% interval holds the mean figure 9 times in 10."""
    games = some_games(1000)
    draw = random.Random(7)
    found = []
    for seed in range(100):
        pairs = some_pairs(games, draw.sample(range(1000), 250), seed)
        found.append(length_controlled(pairs, games, 0.9, replicates=60, seed=seed))
    points = [f.point for f in found if f.point is not None]
    truth = statistics.fmean(points)
    covered = [f.low is not None and f.high is not None and f.low <= truth <= f.high for f in found]
    errors = [f.standard_error for f in found if f.standard_error is not None]
    # 0.9 within 2.7 binomial standard errors (0.03 each).
    assert 0.82 <= statistics.fmean(covered) <= 0.98
    assert statistics.fmean(errors) == pytest.approx(statistics.stdev(points), rel=0.2)
