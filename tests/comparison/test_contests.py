"""Contests: who meets whom, the guard, Holm's families, repeated runs, cautions, what is left out.

Oracles: statsmodels' power of the t test, numpy's variance of runs that are shifted by hand, and
the truth that a simulation draws from.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.power import TTestPower

from evalkit import draw, store
from evalkit.cli.compare import compare as command
from evalkit.comparison.cautions import damages, doubts
from evalkit.comparison.contests import (
    Options,
    Uncompared,
    contests,
    corrected,
    stored,
    uncompared,
    unvaried,
)
from evalkit.comparison.guard import allowed_fields, differences, settings
from evalkit.comparison.resolve import Part, find, pick
from evalkit.core import Outcome
from evalkit.core.contests import Contest, Damaged, Limited, LocalJudge, SettingsDiffer, StatedByOne
from evalkit.core.figures import (
    Comparison,
    Estimator,
    Figure,
    FigureKey,
    Interval,
    Measured,
    Method,
    Metric,
    Source,
)
from evalkit.core.run import Run
from evalkit.errors import ComparisonError
from evalkit.stats.decisions import holm
from tests.support.compared import against, bare, changed, keeping, one_model
from tests.support.leaderboards import ENTRY, board_run
from tests.support.runs import Plan, build_run, with_manifest, with_records, write_run

POINTS = Metric("score", "points", primary=True)
REPEATS = Options(repeats=True)


@pytest.fixture(scope="module")
def apart(three: Run) -> list[Run]:
    """Two models, each in a run of its own."""
    return [one_model(three, model, model) for model in ("a", "b")]


def both(contest: Contest) -> frozenset[str]:
    return frozenset((contest.comparison.candidate, contest.comparison.baseline))


def only(found: Sequence[Contest], benchmark: str, metric: str) -> Contest:
    wanted = (benchmark, metric, None)
    (one,) = (c for c in found if (c.key.benchmark, c.key.metric, c.key.category) == wanted)
    return one


# --- who meets whom -----------------------------------------------------------------------------


def test_contests_are_the_runs_own_comparisons(three: Run) -> None:
    found = contests([three], "a", ["b", "c"], Options())
    own = {(c.baseline, c.key): c for c in three.comparisons}
    assert len(found) == len(own)
    for contest in found:
        c = contest.comparison
        mine = own[c.baseline, c.key]
        # Kept in format 1, the method is a sentence.
        mine = replace(mine, difference=replace(mine.difference, method=c.difference.method))
        assert replace(mine, difference=c.difference) == c
        assert mine.difference.point == c.difference.point


def test_models_of_two_runs_compare_as_in_one(three: Run, apart: list[Run]) -> None:
    assert [c.comparison for c in against(apart)] == [c.comparison for c in against(three)]


def test_a_name_in_two_runs_needs_its_run(three: Run, tmp_path: Path) -> None:
    other = build_run(Plan(models=("a", "b"), seed=3, local_judge=False), tmp_path / "two")
    with pytest.raises(ComparisonError, match=r"one:a or two:a; or, if they repeat .* --repeats"):
        find([three, other], "a")
    first = contests([three, other], "one:a", ["two:a"], Options())[0]
    assert (first.comparison.candidate, first.comparison.baseline) == ("one:a", "two:a")


def test_unknown_names_list_what_there_is(three: Run, tmp_path: Path) -> None:
    with pytest.raises(ComparisonError, match=r"'x' has no records .* one of: a, b, c"):
        find([three], "x")
    with pytest.raises(ComparisonError, match="itself"):
        against(three, b="a")
    published = build_run(Plan(published=True), tmp_path)
    with pytest.raises(ComparisonError, match="published figures only"):
        find([published], "claude-2")


def test_who_is_compared_when_nobody_says(three: Run) -> None:
    assert pick([three], None, []) == ("a", ["b", "c"])
    assert pick([three], None, ["c"]) == ("a", ["c"])
    assert pick([three], "b", []) == ("b", ["c"])
    with pytest.raises(ComparisonError, match="0 candidates"):
        pick([one_model(three, "b", "alone")], None, [])


# --- Holm, verdicts, MDE ------------------------------------------------------------------------


def test_holm_is_over_the_headlines_of_all_baselines(three: Run) -> None:
    found = contests([three], "a", ["b", "c"], Options())
    headline = [c for c in found if c.family == "headline"]
    assert [c.p_adjusted for c in headline] == list(holm([c.comparison.p for c in headline]))
    assert len(headline) == 2 * 4 == headline[0].tests
    assert all(c.key.category is None for c in headline)
    assert all(c.p_adjusted is None or c.p_adjusted <= 1 for c in found)


def test_a_verdict_holds_after_the_correction(three: Run) -> None:
    found = contests([three], "a", ["b", "c"], Options())
    assert {"better", "not_significant"} <= {c.verdict for c in found}
    for contest in found:
        p = contest.p_adjusted
        if contest.verdict in ("better", "worse"):
            assert p is not None
            assert p <= 0.05
        if p is not None and p > 0.05:
            assert contest.verdict == "not_significant"


def test_a_run_stores_what_compare_says_of_it(judged: Run) -> None:
    said = {draw.contest_sentence(c) for c in stored(judged)}
    assert said == {draw.contest_sentence(c) for c in against(judged)}
    assert [c.family for c in stored(judged)] == [c.family for c in against(judged)]


def test_a_family_of_ones_own_is_corrected_as_a_whole(three: Run) -> None:
    found = [c for c in against(three) if c.key.category is None]
    own = corrected(found, "claim")
    assert [c.p_adjusted for c in own] == list(holm([c.comparison.p for c in found]))
    assert {c.family for c in own} == {"claim"}
    assert {c.tests for c in own} == {sum(c.comparison.p is not None for c in found)}


def test_the_mde_is_the_t_tests(three: Run) -> None:
    """By statsmodels; of a handful of units there is none."""
    for contest in against(three):
        d = contest.comparison.difference
        if contest.mde is None:
            assert not d.standard_error or d.n_units < 5
            continue
        assert d.standard_error is not None
        solved = TTestPower().solve_power(
            nobs=d.n_units, alpha=0.025, power=0.8, alternative="larger"
        )
        expected = solved * d.standard_error * math.sqrt(d.n_units)
        assert contest.mde == pytest.approx(expected, rel=1e-4)


def test_a_longer_answer_is_no_better_answer(tmp_path: Path) -> None:
    length = Metric("avg_length", "characters", primary=True)
    run = bare("r", length, {"a": [90, 100, 110, 95, 105], "b": [50, 51, 53, 49, 50]})
    assert against(run)[0].verdict == "longer"
    assert against(run, a="b", b="a")[0].verdict == "shorter"


def test_differences_that_never_vary_are_undefined() -> None:
    assert against(bare("r", POINTS, {"a": [2.0] * 9, "b": [1.0] * 9}))[0].verdict == "undefined"
    assert (
        against(bare("r", POINTS, {"a": [2.0] * 9, "b": [2.0] * 9}))[0].verdict == "not_significant"
    )


# --- settings -----------------------------------------------------------------------------------


def test_settings_that_differ_are_all_named(apart: list[Run]) -> None:
    ours = changed(apart[0], "alpaca_eval", reference="text_davinci_003", judge={"model": "gpt-4"})
    theirs = changed(apart[1], "alpaca_eval", reference="gpt4_1106", judge={"model": "gpt-4o"})
    with pytest.raises(ComparisonError) as caught:
        against([ours, theirs])
    said = str(caught.value)
    assert "reference: 'text_davinci_003' against 'gpt4_1106'" in said
    assert "judge.model: 'gpt-4' against 'gpt-4o'" in said
    assert "--allow-different reference --allow-different judge.model" in said


def test_allowed_differences_are_cautions(apart: list[Run]) -> None:
    ours = changed(apart[0], "alpaca_eval", judge={"model": "gpt-4"})
    theirs = changed(apart[1], "alpaca_eval", judge={"model": "gpt-4o"})
    allowed = allowed_fields([ours, theirs], ["judge"])
    found = against([ours, theirs], Options(allow_different=allowed))
    differ = SettingsDiffer("judge.model", "gpt-4", "gpt-4o")
    assert {c.key.benchmark for c in found if differ in c.cautions} == {"alpaca_eval"}
    assert all(c.verdict != "undefined" or c.comparison.p is None for c in found)
    with pytest.raises(ComparisonError, match=r"'jugde' is no setting .* did you mean 'judge"):
        allowed_fields([ours, theirs], ["jugde"])


def test_the_gsm8k_case(apart: list[Run]) -> None:
    """15.16 and 39.5 on GSM8K are two settings, not two models."""
    old = {"sums": {"version": 0, "shots": 5, "generation": {"until": [":"]}}}
    new = {"sums": {"version": 3, "shots": 8, "generation": {"until": ["Q:"]}}}
    ours, theirs = (changed(r, "lm_eval", tasks=t) for r, t in zip(apart, (old, new), strict=True))
    with pytest.raises(ComparisonError) as caught:
        against([ours, theirs])
    for field in ("task_version: 0 against 3", "shots: 5 against 8", "generation.until: [':']"):
        assert f"sums: {field}" in str(caught.value)
    assert "opposites" not in str(caught.value)


def test_what_one_side_does_not_say_is_unknown_not_different(apart: list[Run]) -> None:
    found = against([changed(apart[0], "alpaca_eval", prefix="Be brief."), apart[1]])
    unknown = {c.key.benchmark for c in found if StatedByOne("prefix") in c.cautions}
    assert unknown == {"alpaca_eval"}


def with_evidence(run: Run, **entry: Any) -> Run:
    return with_manifest(run, evidence=[entry])


def test_evidence_speaks_for_its_model_and_stored_contests_are_refused(three: Run) -> None:
    """As imported: one model's judgments are of another judge than the entry's."""
    description = {"judge": {"model": "gpt-4"}}
    run = changed(three, "mt_bench", judge={"model": "local"})
    run = with_evidence(run, model="a", entry="mt_bench", kind="mt_bench", description=description)
    assert settings(Part(run, "a", "mt_bench"), "mt_bench")["judge.model"] == "gpt-4"
    refused = [c for c in stored(run) if c.refused]
    assert {c.key.benchmark for c in refused} == {"mt_bench"}
    assert all((c.verdict, c.p_adjusted, c.mde) == ("undefined", None, None) for c in refused)
    headline = [c for c in stored(run) if c.family == "headline" and not c.refused]
    assert headline[0].tests == len(headline)


values = st.none() | st.integers(0, 2) | st.text(max_size=2) | st.lists(st.integers(0, 1))
trees = st.recursive(
    values, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=6
)


@given(st.dictionaries(st.sampled_from("abcd"), trees, max_size=4))
def test_a_description_does_not_differ_from_itself(description: dict[str, Any]) -> None:
    ours, theirs = (bare("r", POINTS, {}, **copy.deepcopy(description)) for _ in range(2))
    assert differences(Part(ours, "m", "b"), Part(theirs, "m", "b"), "t") == ([], [])


# --- missing samples ----------------------------------------------------------------------------


def test_samples_that_only_one_side_has_are_missing_on_the_other(apart: list[Run]) -> None:
    """24 samples, of which 2 fail for both; the candidate has the first 10 of them."""

    def counts(runs: list[Run], a: str, b: str) -> tuple[int, int, int]:
        c = only(against(runs, a=a, b=b), "alpaca_eval", "win_rate").comparison
        return c.difference.n, c.n_missing_candidate, c.n_missing_baseline

    assert counts(apart, "a", "b") == (22, 2, 2)
    part = [keeping(apart[0], lambda r: int(r.sample) < 10), apart[1]]
    assert counts(part, "a", "b") == (9, 1 + 14, 2)
    assert counts(part, "b", "a") == (9, 2, 15)


# --- several runs of one model ------------------------------------------------------------------


def one(runs: Sequence[Run], options: Options = REPEATS) -> Comparison:
    (found,) = against(runs, options)
    return found.comparison


def numbered(number: int, scores: Mapping[str, Sequence[float]], **more: Any) -> Run:
    return bare(f"run{number}", POINTS, scores, seed=number, **more)


def test_a_sample_is_the_mean_of_its_runs() -> None:
    """What one run could not score another can; seeds may differ, nothing else may."""
    first = numbered(1, {"a": [1.0, 4.0], "b": [1.0, 1.0]})
    second = numbered(2, {"a": [3.0, 4.0]})
    c = one([first, second])
    assert c.difference.point == pytest.approx(2.0)
    assert c.difference.n == 2
    assert c.difference.method.runs == (2, 1)
    broken = replace(first.records[0], outcome=Outcome("engine_error"))
    c = one([replace(first, records=(broken, *first.records[1:])), second])
    assert (c.difference.n, c.n_missing_candidate) == (2, 0)
    assert c.difference.point == pytest.approx(2.5)
    with pytest.raises(ComparisonError, match=r"run1:a or run2:a"):
        one([first, second], Options())
    with pytest.raises(ComparisonError, match="version: '1' against '2'"):
        one([changed(first, "b", version="1"), changed(second, "b", version="2")])


def test_one_run_of_each_is_as_without(three: Run) -> None:
    assert against(three, REPEATS) == against(three)


def test_copies_are_said_to_measure_no_noise(three: Run) -> None:
    copies = [three, replace(three, folder=three.folder.parent / "copy")]
    said = unvaried([find(copies, "a", repeats=True)])
    assert any("do not differ in any answer or score of AlpacaEval" in note for note in said)
    assert unvaried([find([three, three], "a", repeats=True)]) == [], "one run, given twice"


def test_runs_that_shift_widen_the_interval_by_their_variance() -> None:
    """Runs of one side are exactly 1 apart on every sample: variance 1/2, over two runs 1/4."""
    rng = np.random.default_rng(1)
    base, other = rng.normal(6, 1, 200), rng.normal(6, 1, 200)
    first = numbered(1, {"a": list(base), "b": list(other)})
    d = one([first, numbered(2, {"a": list(base + 1)})]).difference
    items = np.std(base + 0.5 - other, ddof=1) / math.sqrt(200)
    # The baseline has one run: the whole of the candidate's noise.
    assert d.standard_error == pytest.approx(math.sqrt(items**2 + 0.5 / 2 + 0.5), rel=1e-9)
    assert d.df is not None
    assert d.df < 2
    assert d.low is not None
    assert d.low < -3


def test_averages_are_widened_by_the_spread_of_runs(tmp_path: Path) -> None:
    runs = [board_run(tmp_path / str(seed), {"a": 0.6, "b": 0.5}, seed=seed) for seed in (1, 2, 3)]
    whole = only(against(runs, REPEATS), ENTRY, "average").comparison.difference
    alone = [only(against(run), ENTRY, "average").comparison.difference.point for run in runs]
    assert whole.point == pytest.approx(np.mean([d for d in alone if d is not None]), abs=1e-9)
    assert whole.method.runs == (3, 3)


@pytest.mark.slow
@pytest.mark.parametrize(("n_runs", "shift"), [(4, 0.3), (4, 0.0)])
def test_differences_cover_the_truth_with_the_noise_of_runs(n_runs: int, shift: float) -> None:
    """60 samples, both models in every run; each run shifts each model by a normal draw.

    Nominal 95%; without the noise of runs far less where they shift.
    """
    rng = np.random.default_rng(n_runs)
    rounds, covered, alone = 400, 0, 0
    for _ in range(rounds):
        items = rng.normal(6, 1, (2, 60))
        drawn = [
            items + rng.normal(0, 0.5, (2, 60)) + rng.normal(0, shift, (2, 1))
            for _ in range(n_runs)
        ]
        runs = [numbered(i, {"a": list(d[0]), "b": list(d[1])}) for i, d in enumerate(drawn)]
        d = one(runs).difference
        assert None not in (d.low, d.high)
        covered += (d.low or 0) <= 0 <= (d.high or 0)
        if shift:
            first = one(runs[:1]).difference
            alone += (first.low or 0) <= 0 <= (first.high or 0)
    assert covered / rounds == pytest.approx(0.95, abs=0.04)
    if shift:
        assert alone / rounds < 0.75


# --- cautions -----------------------------------------------------------------------------------


def test_what_a_local_judge_prefers_is_called_better_nowhere(judged: Run) -> None:
    local = LocalJudge("base-judge")
    found = against(judged)
    by_judge = [c for c in found if local in c.cautions]
    assert {c.key.benchmark for c in by_judge} == {"alpaca_eval", "mt_bench"}
    assert "avg_length" not in {c.key.metric for c in by_judge}, "a length is not judged"
    assert any(c.verdict == "better" for c in by_judge)
    assert not any(" is better than " in draw.contest_sentence(c) for c in by_judge)


def test_a_limited_run_is_a_caution_and_not_published(tmp_path: Path) -> None:
    run = build_run(Plan(models=("a", "b"), limit=20, local_judge=False), tmp_path)
    assert all(Limited(20) in c.cautions for c in against(run))
    assert doubts(run) == ["limited to 20 samples per task"]


def test_findings_of_an_import_are_damage(three: Run) -> None:
    finding = {"code": "repeated_rows", "message": "rows repeat", "damaged": True}
    remark = {"code": "other", "message": "a remark", "damaged": False}
    run = with_evidence(
        three, model="a", entry="mt_bench", kind="mt_bench", findings=[finding, remark]
    )
    assert list(damages(run)) == [Damaged("a", "mt_bench", "rows repeat")]


# --- what has no contest ------------------------------------------------------------------------


def without(run: Run, model: str, *, benchmark: str = "", task: str = "") -> Run:
    return keeping(
        run,
        lambda r: (
            r.model != model or benchmark not in ("", r.benchmark) or task not in ("", r.task)
        ),
    )


def left_out(run: Run | Sequence[Run]) -> list[Uncompared]:
    return uncompared([run] if isinstance(run, Run) else run, "a", ["b"], Options())


def test_a_benchmark_or_task_of_one_side_is_named(three: Run) -> None:
    assert left_out(three) == []
    (one,) = left_out(without(three, "b", benchmark="mt_bench"))
    assert (one.benchmark, one.tasks, one.has) == ("mt_bench", (), "candidate")
    assert one.sentence == "Not compared: MT-Bench: a has samples, b has none."
    (one,) = left_out(without(three, "a", benchmark="lm_eval", task="sums"))
    assert (one.tasks, one.has) == (("sums",), "baseline")
    assert one.sentence == "Not compared: lm-eval: sums: b has samples, a has none."


def test_many_tasks_are_counted(three: Run) -> None:
    first = next(r for r in three.records if (r.model, r.task) == ("a", "sums"))
    more = tuple(replace(first, task=f"t{n}") for n in range(9))
    (one,) = left_out(replace(three, records=(*three.records, *more)))
    assert len(one.tasks) == 9
    assert "t0, t1, t2, t3, t4 and 4 more: a has samples" in one.sentence


def test_metrics_of_different_names_are_named(apart: list[Run]) -> None:
    """Two imports of one task may have scored it by other filters."""
    text = json.dumps(store.manifest_json(apart[1].manifest)).replace("strict-match", "flexible")
    (one,) = left_out([apart[0], with_manifest(apart[1], **json.loads(text))])
    assert (one.tasks, one.has) == (("sums",), "other metrics")
    assert "have no metric in common" in one.sentence


def test_figures_without_samples_are_named(three: Run) -> None:
    method = Method(Estimator.PUBLISHED, Interval.STATED)
    value = Measured(50.0, None, None, None, 0.95, 0, 0, 0, method)
    key, source = FigureKey("arc", "arc", "acc"), Source("a card")
    figures = tuple(Figure(model, key, "percent", value, source) for model in ("a", "b"))
    (one,) = left_out(replace(three, figures=(*three.figures, *figures)))
    assert (one.benchmark, one.has) == ("arc", "figures")
    assert left_out(replace(three, figures=(*three.figures, figures[0]))) == []


# --- the command --------------------------------------------------------------------------------


def asked(folder: Path, *more: str) -> Result:
    done = CliRunner().invoke(command, [str(folder), *more], standalone_mode=False)
    assert done.exception is None, done.output
    return done


def test_the_command_says_it_in_every_form(tmp_path: Path) -> None:
    run = build_run(Plan(models=("a\x1b[2J|b", "b")), tmp_path / "x")
    kept = tuple(
        r
        for r in run.records
        if not (r.model == "b" and r.benchmark == "mt_bench")
        and not (r.model != "b" and r.task == "sums")
    )
    folder = tmp_path / "stored"
    write_run(with_records(run, kept), folder)
    said = ["MT-Bench: a", "has samples, b has none", "lm-eval: sums: b has samples"]
    page = tmp_path / "page.html"
    asked(folder, "--html", str(page))
    for text in (asked(folder).output, asked(folder, "--markdown").output, page.read_text()):
        unfolded = " ".join(text.split())
        assert all(sentence in unfolded for sentence in said)
        assert "judged by base-judge, a model of the suite" in text.replace("\\", "")
        assert "\x1b" not in text
    found = json.loads(asked(folder, "--json").output)
    assert [(u["benchmark"], u["tasks"], u["has"]) for u in found["uncompared"]] == [
        ("mt_bench", [], "candidate"),
        ("lm_eval", ["sums"], "baseline"),
    ]
    row = found["comparisons"][0]
    assert (row["benchmark"], row["headline"], row["family"]) == ("alpaca_eval", True, "headline")
    assert row["cautions"][0]["kind"] in ("local_judge", "damaged")
    assert row["sentence"]
