"""What every row says of itself: samples one side lacks, settings that differ, amounts."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit import compare, gate
from evalkit.compare import Row
from evalkit.specs import GateSpec
from evalkit.types import Run
from tests.support.leaderboards import ENTRY, board_run
from tests.support.runs import Plan, build_run

ALLOWED = compare.Options(allow_different=frozenset({"version"}))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return build_run(tmp_path / "one", Plan(models=("a", "b"), advantage=0.4))


def only(run: Run, model: str, folder: str, first: int | None = None) -> Run:
    """One model's half of a run, perhaps its first AlpacaEval samples alone."""
    records = [r for r in run.records if r.model == model]
    if first is not None:
        records = [r for r in records if r.benchmark == "alpaca_eval" and int(r.sample) < first]
    return replace(run, folder=run.folder.parent / folder, records=tuple(records))


def other_version(run: Run) -> Run:
    manifest: dict[str, Any] = copy.deepcopy(dict(run.manifest))
    for entry in manifest["benchmarks"]:
        entry["description"] = {**entry["description"], "version": "0.9"}
    return replace(run, manifest=manifest)


def alpaca(rows: list[Row]) -> Row:
    return next(r for r in rows if r.headline and r.comparison.benchmark == "alpaca_eval")


def test_samples_that_only_one_side_was_asked_are_missing_on_the_other(run: Run) -> None:
    """24 samples, of which 2 fail for both; the candidate was asked the first 10 of them."""
    whole = alpaca(compare.compare([run], "a", ["b"], compare.Options())).comparison
    assert (whole.n, whole.n_missing_candidate, whole.n_missing_baseline) == (22, 2, 2)
    runs = [only(run, "a", "part", first=10), only(run, "b", "all")]
    part = alpaca(compare.compare(runs, "a", ["b"], compare.Options())).comparison
    assert part.n == 9
    assert part.n_missing_candidate == 1 + 14
    assert part.n_missing_baseline == 2
    turned = alpaca(compare.compare(runs, "b", ["a"], compare.Options())).comparison
    assert (turned.n_missing_candidate, turned.n_missing_baseline) == (2, 15)


def test_averages_count_what_one_side_was_not_asked(tmp_path: Path) -> None:
    run = board_run(tmp_path, {"a": 0.6, "b": 0.5})
    kept = tuple(
        r for r in run.records if not (r.model == "a" and r.task == "gsm8k" and int(r.sample) >= 30)
    )
    rows = compare.compare([replace(run, records=kept)], "a", ["b"], compare.Options())
    for task in ("gsm8k", ENTRY):
        c = next(r.comparison for r in rows if r.headline and r.comparison.task == task)
        assert (c.n_missing_candidate, c.n_missing_baseline) == (50, 0)


def test_a_setting_that_may_differ_is_said_wherever_it_shows(run: Run) -> None:
    runs = [only(run, "a", "new"), other_version(only(run, "b", "old"))]
    said = "version: '1' against '0.9'"
    rows = compare.compare(runs, "a", ["b"], ALLOWED)
    assert all(f"Measured differently: {said}." in row.sentence for row in rows)
    assert "(measured differently)" in str(compare.rows_table(rows))
    for text in (
        "a beats b on alpaca_eval",
        "a is not worse than b by more than 3 points on alpaca_eval",
        "a beats b by more than 1 point on alpaca_eval",
        "a matches b within 5 points on alpaca_eval",
    ):
        found = compare.check_claim(runs, text, ALLOWED)
        assert all(said in reason for reason in found.reasons), text
    result = gate.gate_run(
        runs[0],
        GateSpec(baseline="b", margins={"default": 3.0}),
        candidate="a",
        baseline=gate.Baseline(runs[1].folder, runs[1]),
        allow_different={"version"},
    )
    lines = gate.gate_lines(result)
    assert sum("(measured differently)" in line for line in lines) == len(result.decisions)
    assert any(said in line for line in lines)
    assert said in gate.gate_markdown(result).replace("\\", "")
    assert all(d["unlike"] for d in result.to_json()["decisions"])


@pytest.mark.parametrize(
    ("claim", "answer"),
    [
        ("a beats b by more than 1 point on lm_eval/sums", "supported"),
        ("a beats b by more than 30 points on lm_eval/sums", "not supported"),
        ("a beats b by more than 95 points on lm_eval/sums", "contradicted"),
        ("b is worse than a by more than 1 point on lm_eval/sums", "supported"),
        ("b beats a by more than 1 point on lm_eval/sums", "contradicted"),
    ],
)
def test_better_by_an_amount_needs_the_interval_beyond_it(
    run: Run, claim: str, answer: str
) -> None:
    row = next(c for c in run.comparisons if c.task == "sums" and c.baseline == "b")
    assert row.low is not None
    assert row.high is not None
    assert 1 < row.low < 30 < row.high < 95
    assert compare.check_claim([run], claim, compare.Options()).answer == answer


def test_a_claim_on_several_parts_has_the_largest_p(tmp_path: Path) -> None:
    """Intersection-union (Berger 1982): beats both where it beats each."""
    run = build_run(tmp_path, Plan(models=("a", "b", "c"), advantage=0.5))
    each = [
        compare.check_claim([run], f"a beats {m} on lm_eval/sums", compare.Options()).p
        for m in "bc"
    ]
    both = compare.check_claim([run], "a beats both b and c on lm_eval/sums", compare.Options())
    assert both.answer == "supported"
    assert both.p == max(p for p in each if p is not None)
    assert len(both.reasons) == 2
    assert both.to_json()["p"] == both.p


def test_best_is_not_shown_against_figures_alone(tmp_path: Path) -> None:
    """A published model is one of the others, and its samples are not known."""
    run = build_run(tmp_path, Plan(models=("a", "b"), advantage=0.9, published=True))
    found = compare.check_claim([run], "a is best on alpaca_eval", compare.Options())
    assert found.answer == "not supported"
    assert any("Only published figures of claude-2" in reason for reason in found.reasons)
    assert any("a is better than b" in reason for reason in found.reasons)


def test_one_published_and_one_measured_are_each_answered(tmp_path: Path) -> None:
    run = build_run(tmp_path, Plan(models=("a", "b"), published=True))
    found = compare.check_claim([run], "a beats b and claude-2 on alpaca_eval", compare.Options())
    assert found.answer == "not supported"
    assert "a and b" in found.reasons[0] or "a is" in found.reasons[0]
    assert "a" in found.suggestion


def test_a_gate_says_what_was_never_answered(run: Run) -> None:
    spec = GateSpec(baseline="b", margins={"default": 99.0})
    broken = tuple(
        replace(r, outcome=replace(r.outcome, status="transport_error", scores=()))
        if r.model == "a" and r.benchmark == "mt_bench" and int(r.sample) < 90
        else r
        for r in run.records
    )
    result = gate.gate_run(replace(run, records=broken), spec)
    lines = gate.gate_lines(result)
    assert any("samples were never answered" in line for line in lines)
    assert any("MT-Bench" in line and "the candidate lacks" in line for line in lines)
