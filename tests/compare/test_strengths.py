"""Games out of pairwise judgments, and their strengths.

Known answers: with one opponent only, a strength's distance to it is the log odds of the win
rate; choix's maximum-likelihood strengths for models that met each other.
"""

from __future__ import annotations

import math
import random

import choix
import numpy as np
import pytest

from evalkit.compare.strengths import ELO, games, strengths
from evalkit.core import Metric, Record, Score
from tests.compare.conftest import MakeRecord

WIN_RATE = Metric("win_rate", "percent", 100, primary=True)
PAIRS = Metric("win_rate_adjusted", "percent", 100, primary=True, parts=("turn_1", "turn_2"))


def test_against_one_reference_strength_is_the_log_odds(record: MakeRecord) -> None:
    won = {"a": 60, "b": 80}
    made = [
        record(model, str(i), [Score("win_rate", float(i < n))])
        for model, n in won.items()
        for i in range(100)
    ]
    (found,) = strengths(made, {"b": {"t": [WIN_RATE]}}, 0.95, {"b": "ref"})
    points = {s.model: s.point for s in found.result.strengths}
    for model, n in won.items():
        ours, theirs = points[model], points["ref"]
        assert ours is not None
        assert theirs is not None
        assert ours - theirs == pytest.approx(math.log(n / (100 - n)))
    assert not found.several_rivals
    assert found.ranking is not None
    assert [p.model for p in found.ranking.places] == ["b", "a", "ref"]


def match(record: MakeRecord, a: str, b: str, sample: str, value: float) -> list[Record]:
    """As MT-Bench by pairs keeps it: both players have a record of the match."""
    return [
        record(a, sample, [Score("win_rate_adjusted", value, f"turn_1#{b}")]),
        record(b, sample, [Score("win_rate_adjusted", 1 - value, f"turn_1#{a}")]),
    ]


def test_a_match_that_both_players_keep_is_one_game(record: MakeRecord) -> None:
    made = match(record, "a", "b", "81", 1.0)
    (game,) = games(made, {"win_rate_adjusted"}, "reference")
    assert (game.a, game.b, game.score, game.cluster) == ("a", "b", 1.0, "81")


def test_the_baselines_draw_with_itself_is_no_game(record: MakeRecord) -> None:
    made = [record("a", "81", [Score("win_rate_adjusted", 0.5, "turn_1#a")])]
    assert list(games(made, {"win_rate_adjusted"}, "reference")) == []


def test_other_metrics_and_excluded_samples_are_no_games(record: MakeRecord) -> None:
    made = [
        record("a", "1", [Score("loss_rate", 1.0, "turn_1#b"), Score("score", 7.0, "turn_1")]),
        record("a", "2", [Score("win_rate", 1.0)], status="excluded"),
    ]
    assert list(games(made, {"win_rate_adjusted", "win_rate", "score"}, "reference")) == []


def test_models_that_met_each_other_are_ranked_as_choix_does(record: MakeRecord) -> None:
    rng = random.Random(5)
    names, true = ["a", "b", "c", "d"], [0.0, 0.4, 1.0, 1.1]
    made, won = [], []
    for sample in range(60):
        for i in range(4):
            for j in range(i + 1, 4):
                first = rng.random() < 1 / (1 + math.exp(true[j] - true[i]))
                made += match(record, names[i], names[j], str(sample), float(first))
                won.append((i, j) if first else (j, i))
    (found,) = strengths(made, {"b": {"t": [PAIRS]}}, 0.95, {})
    expected = choix.ilsr_pairwise(4, won)
    points = [s.point for s in found.result.strengths]
    assert points == pytest.approx(list(expected - np.mean(expected)), abs=1e-6)
    assert found.several_rivals
    assert found.ranking is not None
    best, *_, last = found.ranking.places
    assert best.last < last.first
    assert last.model == "a"


def test_two_players_are_no_league(record: MakeRecord) -> None:
    made = match(record, "a", "b", "81", 1.0)
    assert strengths(made, {"b": {"t": [PAIRS]}}, 0.95, {}) == []


def test_a_hundred_elo_points_are_64_wins_in_100() -> None:
    assert 1 / (1 + math.exp(-100 / ELO)) == pytest.approx(0.64, abs=0.001)
