"""One rule for all commands: a claim holds only among all that its run compares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
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


def test_the_correction_is_that_of_the_report(runs: Sequence[Run]) -> None:
    """Holm, as statsmodels computes it over all headline comparisons of the run."""
    for run in runs:
        rows = [r for r in stated_rows(run) if r.headline]
        oracle = multipletests([r.comparison.p for r in rows], method="holm")[1]
        for row, p in zip(rows, oracle, strict=True):
            c = row.comparison
            place = c.benchmark if c.benchmark == c.task else f"{c.benchmark}/{c.task}"
            found = compare.check_claim([run], f"a beats {c.baseline} on {place}", OPTIONS)
            assert found.p_adjusted == pytest.approx(p)
            assert found.tests == len(rows) == 8


def test_a_claim_says_what_the_report_says(runs: Sequence[Run]) -> None:
    hidden = 0
    for run in runs:
        said = {
            (r.comparison.baseline, r.comparison.task): r for r in stated_rows(run) if r.headline
        }
        for other in "bc":
            for place in PLACES:
                row = said[other, place.rpartition("/")[2]]
                found = compare.check_claim([run], f"a beats {other} on {place}", OPTIONS)
                wanted = {"better": "supported", "worse": "contradicted"}
                assert found.answer == wanted.get(row.verdict, "not supported")
                assert found.reasons[0].startswith(row.sentence)
                turned = compare.check_claim([run], f"{other} beats a on {place}", OPTIONS)
                wanted = {"better": "contradicted", "worse": "supported"}
                assert turned.answer == wanted.get(row.verdict, "not supported")
                if row.verdict == "unclear" and (row.comparison.p or 1) < 0.05:
                    hidden += 1
                    assert "cannot be told apart" in found.reasons[0]
                    assert "among the 8 headline comparisons of the run" in found.reasons[0]
                    alone = compare.compare([run], "a", [other], OPTIONS)
                    assert "4 headline comparisons" in compare.corrected_text(alone)
    assert hidden, "no run tells the rules apart"


def test_an_amount_is_corrected_too(runs: Sequence[Run]) -> None:
    """Better by more than next to nothing is no way around the correction."""
    checked = 0
    for run in runs:
        for place in PLACES:
            plain = compare.check_claim([run], f"a beats b on {place}", OPTIONS)
            text = f"a beats b by more than 0.0001 points on {place}"
            amount = compare.check_claim([run], text, OPTIONS)
            assert amount.p_adjusted == pytest.approx(plain.p_adjusted, abs=1e-3)
            checked += plain.answer == amount.answer
    assert checked >= 4 * len(runs) - 1


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


def test_best_needs_the_leaderboards_first_place(runs: Sequence[Run]) -> None:
    for run in runs:
        floor = floors(stated_rows(run))
        first = {
            task: ranking.place("a")
            for _, task, ranking, _ in rankings(run.records, METRICS, 0.95, floor)
        }
        for place in PLACES:
            found = compare.check_claim([run], f"a is best on {place}", OPTIONS)
            place_of_a = first[place.rpartition("/")[2]]
            assert place_of_a is not None
            if found.answer == "supported":
                assert (place_of_a.first, place_of_a.last) == (1, 1)
            if place_of_a.last > 1:
                assert found.answer != "supported"


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
