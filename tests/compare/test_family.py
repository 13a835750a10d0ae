"""One rule for all commands: a claim holds only among all that its run compares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.power import TTestPower

from evalkit import compare, gate
from evalkit.compare.family import floors, stated_rows
from evalkit.compare.old_ranking import Contrast, rank, rankings
from evalkit.core import Run
from evalkit.core.specs import GateSpec
from tests.support.runs import METRICS, Plan, build_run

OPTIONS = compare.Options()
PLAN = Plan(models=("a", "b", "c"), samples=(60, 30, 60), advantage=0.1, local_judge=False)
PLACES = ("alpaca_eval", "mt_bench", "lm_eval/sums", "lm_eval/opposites")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """In some of them a difference holds alone and not among the eight of the report."""
    folder = tmp_path_factory.mktemp("runs")
    return [build_run(folder / str(n), replace(PLAN, seed=n)) for n in range(1, 7)]


def test_a_leaderboard_orders_nothing_that_the_headline_leaves_open(runs: Sequence[Run]) -> None:
    kept = loose = 0
    for run in runs:
        rows = stated_rows(run)
        verdicts = {
            (r.comparison.task, frozenset((r.comparison.candidate, r.comparison.baseline))): r
            for r in rows
            if r.headline
        }
        for _, task, ranking, _ in rankings(run.records, METRICS, 0.95, floors(rows)):
            for pairing in ranking.pairings:
                row = verdicts.get((task, frozenset((pairing.above, pairing.below))))
                if row is not None and row.verdict not in ("better", "worse"):
                    assert not pairing.separated
                    assert pairing.p_adjusted is None or pairing.p_adjusted > 0.05
                    kept += 1
        for _, task, ranking, _ in rankings(run.records, METRICS, 0.95):
            for pairing in ranking.pairings:
                row = verdicts.get((task, frozenset((pairing.above, pairing.below))))
                loose += row is not None and row.verdict == "unclear" and pairing.separated
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


# --- what samples resolve -----------------------------------------------------------------------


def test_what_samples_resolve_is_the_t_tests(runs: Sequence[Run]) -> None:
    """By statsmodels; the gate's one-sided test resolves what the comparison at 90% does."""
    run = runs[0]
    for row in compare.compare([run], "a", ["b"], OPTIONS):
        c = row.comparison
        if row.mde is None:
            assert not c.standard_error or c.n_clusters < 5
            continue
        assert c.standard_error is not None
        solved = TTestPower().solve_power(
            nobs=c.n_clusters, alpha=0.025, power=0.8, alternative="larger"
        )
        assert row.mde == pytest.approx(
            solved * c.standard_error * math.sqrt(c.n_clusters), rel=1e-4
        )
    policy = GateSpec(baseline="b", margins={"default": 3.0})
    decided = {d.place: d.resolvable for d in gate.gate_run(run, policy).decisions}
    for row in compare.compare([run], "a", ["b"], compare.Options(level=0.9)):
        if row.headline:
            place = row.comparison.benchmark, row.comparison.task
            assert decided[place] == pytest.approx(row.mde, rel=1e-12)
