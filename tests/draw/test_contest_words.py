"""Contests, cautions, methods and the gate in words: each sentence as a reader meets it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evalkit import draw
from evalkit.core.contests import (
    Damaged,
    FewUnits,
    GateResult,
    JudgeFigure,
    JudgeUnfit,
    Limited,
    LocalJudge,
    SettingsDiffer,
    StatedByOne,
)
from evalkit.core.figures import Estimator, Figure, FigureKey, Interval, Measured, Method
from tests.support.contests import contest, gate_test, measured
from tests.support.terminal import screen

MINUS = "\N{MINUS SIGN}"
NOTHING: dict[str, Any] = {"point": None, "low": None, "high": None, "error": None}


def test_what_is_significant_is_said_with_its_interval() -> None:
    assert draw.contest_sentence(contest()) == (
        "a is better than b on AlpacaEval: +2.9 percentage points, 95% CI +0.4 to +5.4, "
        "805 samples."
    )
    worse = contest(point=-2.9, low=-5.4, high=-0.4, verdict="worse")
    assert draw.contest_sentence(worse).startswith("a is worse than b on AlpacaEval: −2.9")  # noqa: RUF001


def test_what_is_not_significant_is_said_with_its_mde() -> None:
    found = contest(point=0.4, low=-2.1, high=2.9, verdict="not_significant", mde=3.41)
    assert draw.contest_sentence(found) == (
        f"No significant difference between a and b on AlpacaEval: +0.4 percentage points, "
        f"95% CI {MINUS}2.1 to +2.9, 805 samples, minimum detectable effect (MDE) 3.4."
    )
    corrected = contest(verdict="not_significant", tests=7, p_adjusted=0.2)
    assert "AlpacaEval after correcting for 7 tests: +2.9" in draw.contest_sentence(corrected)
    assert draw.verdict_words(corrected) == "not significant after correcting for 7 tests"


def test_a_local_judge_prefers_and_proves_nothing() -> None:
    judged = contest(cautions=(LocalJudge("qwen"),))
    assert draw.contest_sentence(judged).startswith(
        "A local judge, not validated against people, prefers a to b on AlpacaEval: +2.9"
    )
    assert draw.verdict_words(judged) == "better (local judge)"
    assert draw.caution_notes([judged, judged]) == [
        (
            "AlpacaEval: judged by qwen, a model of the suite (local judge, not validated against "
            "people); do not publish these scores."
        )
    ]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({**NOTHING, "n": 0}, "no sample has a score from both"),
        (NOTHING, "the difference is undefined on 805 samples"),
        (
            {"low": 2.9, "high": 2.9, "error": 0.0, "n": 4},
            (
                "+2.9 percentage points, the same on each of 4 samples, so that no error can be "
                "estimated"
            ),
        ),
        (
            {"low": None, "high": None, "error": None, "n": 1},
            "+2.9 percentage points on 1 sample, too few for an interval",
        ),
    ],
)
def test_what_is_undefined_says_why(changes: dict[str, Any], why: str) -> None:
    found = contest(verdict="undefined", **changes)
    assert draw.contest_sentence(found) == f"No conclusion about a against b on AlpacaEval: {why}."


def test_equal_scores_and_useless_intervals() -> None:
    same = contest(point=0.0, low=0.0, high=0.0, error=0.0, n=5, ties=5, verdict="not_significant")
    assert draw.contest_sentence(same) == (
        "a and b have the same score on each of 5 samples of AlpacaEval."
    )
    wide = contest(point=10.0, low=-20.0, high=40.0, n=3, verdict="not_significant")
    assert draw.contest_sentence(wide).endswith(
        "+10.0 percentage points, 3 samples, 95% CI too wide to be informative."
    )
    assert draw.bounds(wide.comparison.difference, "percent") == "– (too wide to be informative)"  # noqa: RUF001
    lengths = contest(point=9.0, low=-900.0, high=900.0, n=3, unit="characters")
    assert not draw.is_too_wide(lengths.comparison.difference, "characters")


def test_cautions_are_sentences_behind_the_statement() -> None:
    version = SettingsDiffer("version", "1", "0.9")
    cautions = (version, Limited(10), Damaged("a", "alpaca_eval", "rows repeat."))
    allowed = contest(cautions=(*cautions, StatedByOne("seed"), FewUnits(3)), p_adjusted=0.01)
    assert draw.contest_sentence(allowed).endswith(
        "805 samples. Settings differ: version: '1' against '0.9'. Limited run: at most 10 samples "
        "per task; for trials, not for publication. Damaged evidence: a, AlpacaEval: rows repeat."
    )
    assert draw.verdict_words(allowed) == "better (settings differ, limited run, damaged evidence)"
    refused = contest(cautions=(version,), p_adjusted=None, verdict="undefined")
    assert draw.contest_sentence(refused) == (
        "a against b on AlpacaEval: settings differ: version: '1' against '0.9'."
    )


def test_labels_name_what_does_not_speak_for_itself() -> None:
    length = contest(metric="avg_length", unit="characters", primary=False, verdict="longer")
    assert draw.contest_label(length) == "AlpacaEval (average length)"
    assert draw.contest_sentence(length).startswith("a is longer than b on AlpacaEval (average")
    assert draw.figure_label(FigureKey("lm_eval", "gsm8k", "acc")) == "lm-eval: gsm8k"
    board = FigureKey("open_llm_leaderboard", "open_llm_leaderboard", "average")
    assert draw.figure_label(board) == "Open LLM Leaderboard average"
    assert draw.figure_label(FigureKey("mt_bench", "mt_bench", "score", "math")) == "MT-Bench, math"


def test_a_status_counts_verdicts_and_local_judges_apart() -> None:
    plain: dict[str, Any] = {"benchmark": "lm_eval", "metric": "acc"}
    better = contest(task="sums", **plain)
    level = contest(task="words", low=-1.0, high=3.0, verdict="not_significant", **plain)
    worse = contest(task="odd", point=-9.0, low=-11.5, high=-6.5, verdict="worse", **plain)
    none = contest(task="none", verdict="undefined", **NOTHING, **plain)
    judged = contest(cautions=(LocalJudge("qwen"),))
    scores = [
        Figure(model, better.key, "percent", measured(point, None, None))
        for model, point in (("a", 77.51), ("b", 74.57))
    ]
    said = draw.status([level, better, level], scores)
    assert said.line == "Better on 1 of 3 · no significant difference on 2 · no regression"
    assert said.strongest == (
        "lm-eval: sums 74.6 → 77.5, +2.9 percentage points, 95% CI +0.4 to +5.4"
    )
    assert said.verdict == "better"
    mixed = draw.status([better, worse, none, judged])
    assert mixed.line == (
        "Better on 1 of 3 · worse on 1 · no verdict on 1 · 1 more by a local judge"
    )
    assert mixed.verdict == "not_significant"
    assert mixed.strongest.startswith(f"lm-eval: odd, {MINUS}9.0 percentage points")
    assert draw.status([better, none]).line == "Better on 1 of 2 · no verdict on 1"
    assert draw.status([level]).line == "No significant difference on lm-eval: words"
    alone = draw.status([judged])
    assert alone.line == "No verdict: judged by a local judge, not validated against people"
    assert (alone.verdict, alone.strongest) == ("undefined", "")


def test_holm_says_what_it_is_over() -> None:
    assert draw.holm_text([contest(tests=3, p_adjusted=0.1)]) == (
        "Holm: p corrected for 3 headline comparisons."
    )
    assert draw.holm_text([contest(tests=1, p_adjusted=0.1)]) == ""
    assert draw.holm_text([contest(family="detail", tests=9)]) == ""


def test_a_method_has_its_degrees_of_freedom_or_why_it_is_undefined() -> None:
    clustered = Method(Estimator.MEAN, Interval.T, clustered=True)
    said = measured(1.0, 0.0, 2.0, n=80, method=clustered, df=79).how
    assert said == "mean; SE clustered (CR1, 80 clusters); t interval, 79 df"
    assert measured(1.0, None, None, method=Method(Estimator.PUBLISHED)).how == ("published")
    undefined = measured(None, None, None, method=replace(clustered, detail="no tasks"))
    assert undefined.how == "undefined: no tasks"


def test_the_gate_says_its_verdict_its_reasons_and_what_it_cannot_test() -> None:
    unsure = gate_test("inconclusive", resolvable=3.2, needed=1900)
    gone = gate_test("missing", contest=None)
    result = GateResult("a", "b", "incomplete", (unsure, gone), (), 0.05, 0.8, False, unanswered=2)
    assert draw.gate_sentence(result) == (
        "Gate incomplete: a against b, no samples that both have for 1 of 2 required tests. The "
        "run is not complete: 2 samples could not be answered; run the same command again to "
        "resume."
    )
    assert draw.gate_reason(unsure) == (
        "AlpacaEval: 805 samples are too few for the margin; it would take 1,900"
    )
    assert draw.gate_reason(gone) == "AlpacaEval: no samples that both have"
    assert draw.gate_warnings(result) == [
        (
            "AlpacaEval: margin 2.00 percentage points is under 3.20, the smallest that 805 "
            "samples can test with 80% power (1,900 would do); an equal candidate passes less "
            "often than that."
        )
    ]
    passed = replace(result, verdict="pass", tests=(gate_test("pass"),), unanswered=0)
    assert draw.gate_sentence(passed) == (
        "Gate passed: a against b, not worse by more than the margin on the one required test."
    )
    assert draw.gate_words(replace(unsure, required=False)) == "inconclusive (warns only)"


def test_a_judge_is_described_by_its_own_verdicts() -> None:
    method = Method(Estimator.MEAN, Interval.T)
    bias = Measured(2.2, 1.0, 0.2, 4.2, 0.95, 1600, 1600, 0, method, 1599.0)
    flips = replace(bias, point=81.0, low=79.0, high=83.0)
    found = [
        JudgeFigure("position_bias", bias, 20.0),
        JudgeFigure("verdict_flips", flips, 40.0),
        JudgeFigure("self_agreement", bias, None, at_least=True),
    ]
    assert draw.judge_text(1600, 1610, found[:2]) == (
        "1,600 of 1,610 replies usable, position bias 2.2 points towards the answer shown first, "
        "verdict flips with order in 81.0% of pairs"
    )
    assert draw.judge_figure_text(found[1]) == (
        "verdict flips with order in 81.0% of pairs (95% CI 79.0 to 83.0, at most 40.0% required)"
    )
    caution = JudgeUnfit("j", (found[1],))
    one = contest(cautions=(caution,), verdict="undefined", p_adjusted=None)
    assert draw.contest_sentence(one) == (
        "No conclusion about a against b on AlpacaEval: judge j is not fit: verdict flips with "
        "order in 81.0% of pairs (95% CI 79.0 to 83.0, at most 40.0% required)."
    )
    assert draw.verdict_words(one) == "undefined (judge not fit)"


def test_github_gets_summary_comment_and_at_most_ten_annotations_of_a_kind() -> None:
    tests = tuple(
        gate_test("regression", key=FigureKey("lm_eval", f"t{i}", "acc")) for i in range(14)
    )
    reasons = tuple(draw.gate_reason(test) for test in tests)
    result = GateResult("a%", "b\n::error::x", "regression", tests, reasons, 0.05, 0.8, False)
    lines = draw.gate_annotations(result)
    assert len(lines) == 10
    assert all(line.startswith("::error title=evalkit gate::") for line in lines)
    assert "a%25 against b ::error::x" in lines[0]
    assert lines[-1].endswith("and 6 more: see the job summary")
    assert draw.gate_comment(result).startswith(draw.GATE_MARKER)
    assert draw.gate_job_summary(result, used=2**20) == ""
    many = replace(result, reasons=("r" * 100,) * 1000)
    assert len(draw.gate_comment(many)) <= draw.COMMENT_LIMIT
    assert draw.gate_comment(many).endswith("(cut: the rest does not fit here)\n")
    assert len(draw.gate_job_summary(many, used=2**20 - 5000).encode()) <= 5000
    assert screen(draw.gate_lines(result))[-1].startswith("because: lm-eval: t13")
