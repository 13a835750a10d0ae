"""Rank ranges: what the data order, and nothing else.

Oracles: scipy's paired t test, Holm's correction by hand, every order of a few models that agrees
with the separations, tried one by one; of games the log odds of a win rate, and choix's
maximum-likelihood strengths.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, permutations

import choix
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from evalkit.comparison.contests import stored
from evalkit.comparison.ranking import (
    ELO,
    Contrast,
    Ranking,
    floors,
    games,
    rank,
    rankings,
    strengths,
)
from evalkit.core import Record, Score
from evalkit.core.figures import Metric
from evalkit.core.run import Run
from tests.comparison.conftest import MakeRecord
from tests.support.compared import entry
from tests.support.runs import Plan, build_run

METRIC = Metric("m", "percent", 100, primary=True)
LOWER = Metric("m", "raw", higher_is_better=False, primary=True)


def records(make: MakeRecord, scores: Mapping[str, Mapping[str, float]]) -> list[Record]:
    return [
        make(model, sample, [Score("m", value)])
        for model, found in scores.items()
        for sample, value in found.items()
    ]


def ranked(given: Sequence[Record], metric: Metric = METRIC) -> Ranking:
    ((_, ranking, pairs),) = rankings(given, [entry(metric)], 0.95)
    for pairing, pair in zip(ranking.pairings, pairs, strict=True):
        assert (pairing.above, pairing.below) == (pair.candidate, pair.baseline)
    return ranking


def noisy(seed: int, means: Mapping[str, float], n: int = 40) -> dict[str, dict[str, float]]:
    rng = random.Random(seed)
    hard = [rng.gauss(0, 1) for _ in range(n)]
    return {
        model: {f"{i:03}": mean + hard[i] + rng.gauss(0, 0.3) for i in range(n)}
        for model, mean in means.items()
    }


def test_known_order_with_one_open_pair(record: MakeRecord) -> None:
    scores = noisy(6, {"low": 0.0, "mid": 1.0, "twin": 1.02, "top": 2.0})
    found = ranked(records(record, scores))
    assert {p.model: (p.first, p.last) for p in found.places} == {
        "top": (1, 1),
        "mid": (2, 3),
        "twin": (2, 3),
        "low": (4, 4),
    }
    assert [set(tier) for tier in found.tiers] == [{"top"}, {"mid", "twin"}, {"low"}]


def test_adjusted_p_is_holms_over_both_directions(record: MakeRecord) -> None:
    scores = noisy(2, {"a": 0.0, "b": 0.08, "c": 0.2}, n=25)
    found = ranked(records(record, scores))
    plain = {}
    for a, b in combinations(scores, 2):
        tested = scipy_stats.ttest_rel(list(scores[a].values()), list(scores[b].values()))
        plain[frozenset((a, b))] = float(tested.pvalue)
    # Six one-sided hypotheses; those against the data's direction come last and change nothing.
    largest, expected = 0.0, {}
    for place, (pair, p) in enumerate(sorted(plain.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (6 - place) * p / 2))
        expected[pair] = largest
    for pairing in found.pairings:
        pair = frozenset((pairing.above, pairing.below))
        assert pairing.p_adjusted == pytest.approx(expected[pair])
        assert pairing.separated == (expected[pair] <= 0.05) or pairing.follows


def test_two_models_are_the_plain_two_sided_test() -> None:
    for p, open_ in ((0.049, False), (0.051, True)):
        found = rank({"a": 1.0, "b": 2.0}, [Contrast("a", "b", -1.0, p)], 0.95)
        assert found.pairings[0].p_adjusted == pytest.approx(p)
        assert found.pairings[0].separated != open_
        assert found.places[0].model == "b"
        assert (found.places[0].first, found.places[0].last) == ((1, 2) if open_ else (1, 1))


def test_lower_is_better_turns_the_order(record: MakeRecord) -> None:
    scores = noisy(3, {"high": 3.0, "low": 0.0, "mid": 1.5})
    assert [p.model for p in ranked(records(record, scores), LOWER).places] == [
        "low",
        "mid",
        "high",
    ]


def test_what_never_varies_is_left_open(record: MakeRecord) -> None:
    # A difference that is the same on every sample has no error to measure.
    scores = {m: {str(i): v for i in range(9)} for m, v in (("a", 0.9), ("b", 0.1), ("c", 0.5))}
    found = ranked(records(record, scores))
    assert not any(p.separated for p in found.pairings)
    assert {(p.first, p.last) for p in found.places} == {(1, 3)}


def test_models_without_common_samples_are_left_open(record: MakeRecord) -> None:
    scores = noisy(4, {"a": 0.0, "b": 3.0, "c": 1.5})
    scores["b"] = {f"other {k}": v for k, v in scores["b"].items()}
    found = ranked(records(record, scores))
    open_ = {frozenset((p.above, p.below)) for p in found.pairings if not p.separated}
    assert open_ == {frozenset("ab"), frozenset("bc")}
    place = found.place("b")
    assert place is not None
    assert (place.first, place.last) == (1, 3)


def test_what_follows_by_way_of_a_third_is_used() -> None:
    contrasts = [
        Contrast("a", "b", 1.0, 1e-9),
        Contrast("b", "c", 1.0, 1e-9),
        Contrast("a", "c", None, None),
    ]
    found = rank({"a": 3.0, "b": 2.0, "c": 1.0}, contrasts, 0.95)
    assert [(p.first, p.last) for p in found.places] == [(1, 1), (2, 2), (3, 3)]
    assert [p.follows for p in found.pairings] == [False, True, False]
    assert found.pairings[1].p_adjusted is None


def test_a_circle_is_left_open_and_named() -> None:
    contrasts = [
        Contrast("a", "b", 1.0, 1e-9),
        Contrast("b", "c", 1.0, 1e-9),
        Contrast("c", "a", 1.0, 1e-9),
        Contrast("a", "d", 1.0, 1e-9),
    ]
    found = rank({"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}, contrasts, 0.95)
    assert found.contradictory == ("a", "b", "c")
    separated = {(p.above, p.below) for p in found.pairings if p.separated}
    assert separated == {("a", "d")}


def test_a_row_never_stands_above_what_it_is_below() -> None:
    # Points say a, the paired difference says b: rows follow the difference.
    found = rank({"a": 2.0, "b": 1.0}, [Contrast("a", "b", -1.0, 1e-9)], 0.95)
    assert [p.model for p in found.places] == ["b", "a"]


CONTRASTS = st.integers(2, 6).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(-3, 3), min_size=n, max_size=n),
        st.lists(
            st.tuples(
                st.one_of(st.none(), st.floats(-2, 2)),
                st.one_of(st.none(), st.sampled_from([1e-12, 1e-4, 0.01, 0.04, 0.3, 1.0])),
            ),
            min_size=n * (n - 1) // 2,
            max_size=n * (n - 1) // 2,
        ),
    )
)


@given(CONTRASTS)
def test_ranges_are_what_all_agreeing_orders_leave(
    drawn: tuple[list[float], list[tuple[float | None, float | None]]],
) -> None:
    values, known = drawn
    points = {chr(97 + i): value for i, value in enumerate(values)}
    contrasts = [
        Contrast(a, b, advantage, p)
        for (a, b), (advantage, p) in zip(combinations(points, 2), known, strict=True)
    ]
    found = rank(points, contrasts, 0.95)
    above = {(p.above, p.below) for p in found.pairings if p.separated}
    assert not any((b, a) in above for a, b in above)
    assert all((a, d) in above for a, b in above for c, d in above if b == c)
    assert len(found.pairings) == len(contrasts)
    orders = [
        order
        for order in permutations(points)
        if all(order.index(a) < order.index(b) for a, b in above)
    ]
    assert tuple(p.model for p in found.places) in orders
    for place in found.places:
        ranks = {1 + order.index(place.model) for order in orders}
        assert (min(ranks), max(ranks)) == (place.first, place.last)
    # Tiers: every agreeing order has them one after the other, and no finer cut has that.
    flat = [m for tier in found.tiers for m in tier]
    assert flat == [p.model for p in found.places]
    for cut in range(1, len(flat)):
        certain = all(set(order[:cut]) == set(flat[:cut]) for order in orders)
        is_cut = cut in {sum(map(len, found.tiers[:i])) for i in range(len(found.tiers) + 1)}
        assert certain == is_cut


@given(CONTRASTS)
def test_the_order_of_contrasts_and_their_sides_do_not_matter(
    drawn: tuple[list[float], list[tuple[float | None, float | None]]],
) -> None:
    values, known = drawn
    points = {chr(97 + i): value for i, value in enumerate(values)}
    contrasts = [
        Contrast(a, b, advantage, p)
        for (a, b), (advantage, p) in zip(combinations(points, 2), known, strict=True)
    ]
    turned = [
        Contrast(c.b, c.a, None if c.advantage is None else -c.advantage, c.p)
        for c in reversed(contrasts)
        if c.advantage != 0
    ]
    straight = [c for c in contrasts if c.advantage != 0]
    assert rank(points, straight, 0.95) == rank(points, turned, 0.95)


@pytest.mark.slow
def test_true_ranks_lie_in_all_ranges_nineteen_times_in_twenty() -> None:
    # Equal, close and distant means; 2,000 experiments: 3 standard errors of the rate are 1.5%.
    rng = random.Random(7)
    means = {"a": 0.0, "b": 0.0, "c": 0.12, "d": 0.12, "e": 0.5}
    true = {
        m: (
            1 + sum(v > means[m] for v in means.values()),
            sum(v >= means[m] for v in means.values()),
        )
        for m in means
    }
    wrong = 0
    for _ in range(2000):
        error = 0.1
        seen = {m: v + rng.gauss(0, error) for m, v in means.items()}
        contrasts = [
            Contrast(a, b, seen[a] - seen[b], math.erfc(abs(seen[a] - seen[b]) / error / 2))
            for a, b in combinations(means, 2)
        ]
        found = rank(seen, contrasts, 0.95)
        wrong += any(p.first > true[p.model][0] or p.last < true[p.model][1] for p in found.places)
    assert wrong / 2000 <= 0.05 + 0.015


# --- a run's own comparisons are a floor ---------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """In some of them a difference holds alone and not among the eight of the report."""
    folder = tmp_path_factory.mktemp("runs")
    plan = Plan(models=("a", "b", "c"), samples=(60, 30, 60), advantage=0.1, local_judge=False)
    return [build_run(replace(plan, seed=n), folder / str(n)) for n in range(1, 7)]


def test_a_leaderboard_orders_nothing_that_the_headlines_leave_open(runs: Sequence[Run]) -> None:
    kept = loose = 0
    for run in runs:
        found, entries = stored(run), run.manifest.benchmarks
        verdicts = {
            (c.key, frozenset((c.comparison.candidate, c.comparison.baseline))): c.verdict
            for c in found
            if c.family == "headline"
        }
        for key, ranking, _ in rankings(run.records, entries, 0.95, floors(found)):
            for pairing in ranking.pairings:
                verdict = verdicts.get((key, frozenset((pairing.above, pairing.below))))
                if verdict not in (None, "better", "worse"):
                    assert not pairing.separated
                    assert pairing.p_adjusted is None or pairing.p_adjusted > 0.05
                    kept += 1
        for key, ranking, _ in rankings(run.records, entries, 0.95):
            for pairing in ranking.pairings:
                verdict = verdicts.get((key, frozenset((pairing.above, pairing.below))))
                loose += verdict == "not_significant" and pairing.separated
    assert kept
    assert loose, "no ranking was stricter for its floor"


MODELS = "wxyz"
PAIRS = [(a, b) for i, a in enumerate(MODELS) for b in MODELS[i + 1 :]]


@given(
    st.lists(st.floats(1e-9, 1.0), min_size=6, max_size=6),
    st.dictionaries(st.sampled_from(PAIRS), st.floats(0, 1), max_size=6),
)
def test_a_floor_only_takes_away(
    p_values: list[float], above: Mapping[tuple[str, str], float]
) -> None:
    points = {m: -float(i) for i, m in enumerate(MODELS)}
    contrasts = [Contrast(a, b, 1.0, p) for (a, b), p in zip(PAIRS, p_values, strict=True)]
    floor = {frozenset(pair): p for pair, p in above.items()}
    plain, strict = rank(points, contrasts, 0.95), rank(points, contrasts, 0.95, floor)
    ordered = {(p.above, p.below) for p in plain.pairings if p.separated}
    left = {(p.above, p.below) for p in strict.pairings if p.separated}
    assert left <= ordered
    assert not any(frozenset(pair) in floor and floor[frozenset(pair)] > 0.05 for pair in left)
    for place in strict.places:
        before = plain.place(place.model)
        assert before is not None
        assert place.first <= before.first
        assert place.last >= before.last


# --- games ---------------------------------------------------------------------------------------

WIN_RATE = Metric("win_rate", "percent", 100, primary=True)
BY_PAIRS = Metric("win_rate_adjusted", "percent", 100, primary=True, parts=("turn_1", "turn_2"))


def test_against_one_reference_strength_is_the_log_odds(record: MakeRecord) -> None:
    won = {"a": 60, "b": 80}
    played = [
        record(model, str(i), [Score("win_rate", float(i < n))])
        for model, n in won.items()
        for i in range(100)
    ]
    (found,) = strengths(played, [entry(WIN_RATE)], 0.95, {"b": "ref"})
    points = {m: s.point for m, s in found.result.strengths.items()}
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
    played = match(record, "a", "b", "81", 1.0)
    (game,) = games(played, {"win_rate_adjusted"}, "reference")
    assert (game.a, game.b, game.score, game.cluster) == ("a", "b", 1.0, "81")


def test_the_baselines_draw_with_itself_is_no_game(record: MakeRecord) -> None:
    played = [record("a", "81", [Score("win_rate_adjusted", 0.5, "turn_1#a")])]
    assert list(games(played, {"win_rate_adjusted"}, "reference")) == []


def test_other_metrics_and_excluded_samples_are_no_games(record: MakeRecord) -> None:
    played = [
        record("a", "1", [Score("loss_rate", 1.0, "turn_1#b"), Score("score", 7.0, "turn_1")]),
        record("a", "2", [Score("win_rate", 1.0)], status="excluded"),
    ]
    assert list(games(played, {"win_rate_adjusted", "win_rate", "score"}, "reference")) == []


def test_models_that_met_each_other_are_ranked_as_choix_does(record: MakeRecord) -> None:
    rng = random.Random(5)
    names, true = ["a", "b", "c", "d"], [0.0, 0.4, 1.0, 1.1]
    played, won = [], []
    for sample in range(60):
        for i in range(4):
            for j in range(i + 1, 4):
                first = rng.random() < 1 / (1 + math.exp(true[j] - true[i]))
                played += match(record, names[i], names[j], str(sample), float(first))
                won.append((i, j) if first else (j, i))
    (found,) = strengths(played, [entry(BY_PAIRS)], 0.95, {})
    expected = choix.ilsr_pairwise(4, won)
    points = [s.point for s in found.result.strengths.values()]
    assert points == pytest.approx(list(expected - np.mean(expected)), abs=1e-6)
    assert found.several_rivals
    assert found.ranking is not None
    best, *_, last = found.ranking.places
    assert best.last < last.first
    assert last.model == "a"


def test_two_players_are_no_league(record: MakeRecord) -> None:
    played = match(record, "a", "b", "81", 1.0)
    assert strengths(played, [entry(BY_PAIRS)], 0.95, {}) == []


def test_a_hundred_elo_points_are_64_wins_in_100() -> None:
    assert 1 / (1 + math.exp(-100 / ELO)) == pytest.approx(0.64, abs=0.001)
