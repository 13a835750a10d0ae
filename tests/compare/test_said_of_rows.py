"""What every row says of itself: samples one side lacks, settings that differ, amounts."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit import compare, gate
from evalkit.compare import Row
from evalkit.compare.words import row_label, sentence, verdict
from evalkit.core import UNANSWERED, Run
from evalkit.core.specs import GateSpec
from tests.support.leaderboards import ENTRY, board_run
from tests.support.runs import METRICS, Plan, build_run

NEVER = re.compile(r"(\d+) samples were never answered")
ALLOWED = compare.Options(allow_different=frozenset({"version"}))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return build_run(tmp_path / "one", Plan(models=("a", "b"), advantage=0.4, local_judge=False))


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
    run = build_run(tmp_path, Plan(models=("a", "b", "c"), advantage=0.5, local_judge=False))
    each = [
        compare.check_claim([run], f"a beats {m} on lm_eval/sums", compare.Options()).p_one_sided
        for m in "bc"
    ]
    both = compare.check_claim([run], "a beats both b and c on lm_eval/sums", compare.Options())
    assert both.answer == "supported"
    assert both.p_one_sided == max(p for p in each if p is not None)
    assert len(both.reasons) == 2
    assert both.to_json()["p_one_sided"] == both.p_one_sided


def test_best_is_not_shown_against_figures_alone(tmp_path: Path) -> None:
    """A published model is one of the others, and its samples are not known."""
    run = build_run(
        tmp_path, Plan(models=("a", "b"), advantage=0.9, published=True, local_judge=False)
    )
    found = compare.check_claim([run], "a is best on alpaca_eval", compare.Options())
    assert found.answer == "not supported"
    assert any("Only published figures of claude-2" in reason for reason in found.reasons)
    assert any("a is better than b" in reason for reason in found.reasons)


def test_one_published_and_one_measured_are_each_answered(tmp_path: Path) -> None:
    run = build_run(tmp_path, Plan(models=("a", "b"), published=True, local_judge=False))
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
    stored = replace(run, records=broken)
    result = gate.gate_run(stored, spec)
    lines = gate.gate_lines(result)
    (n,) = (int(found[1]) for line in lines if (found := NEVER.search(line)))
    assert n == sum(r.outcome.status in UNANSWERED for r in broken) > 0
    assert (result.to_json()["unanswered"], result.exit_code) == (n, 0)
    twice = gate.gate_run(stored, spec, repeats=[stored])
    assert twice.to_json()["unanswered"] == n
    assert any("MT-Bench" in line and "the candidate lacks" in line for line in lines)


def test_a_sentence_names_its_category_and_a_metric_that_is_not_the_headline(run: Run) -> None:
    """A longer answer is no better answer, and a win in one category none on the benchmark."""
    rows = compare.compare([run], "a", ["b"], compare.Options())
    for row in rows:
        c = row.comparison
        if c.category is not None:
            assert f", {c.category}" in row.sentence
        assert row.headline or c.category is not None or "(" in row.sentence
    (length,) = (r for r in rows if r.comparison.metric == "avg_length")
    assert "AlpacaEval (average length)" in length.sentence
    longer = replace(length.comparison, difference=90.0, low=50.0, high=130.0)
    said = sentence(longer, row_label(longer, speaks=False))
    assert said.startswith("a is longer than b on AlpacaEval (average length): +90 characters")
    table = compare.rows_table([replace(length, comparison=longer, verdict=verdict(longer))])
    cell = table.groups[0].rows[0][-1]
    assert (cell.shown, cell.tone) == ("longer", "")


def test_a_run_states_what_compare_states_of_it(run: Run) -> None:
    headline = {
        (b, t, m.name)
        for b, tasks in METRICS.items()
        for t, found in tasks.items()
        for m in found
        if m.primary
    }
    rows = compare.compare([run], "a", ["b"], compare.Options())
    assert {r.sentence for r in compare.stated(run, headline)} == {r.sentence for r in rows}


def test_one_part_of_many_contradicts_only_after_correction(tmp_path: Path) -> None:
    """Twelve equal models: that some look better than the first is chance, not a finding.

    Holm over the parts, as statsmodels computes it.
    """
    from statsmodels.stats.multitest import multipletests

    names = tuple("abcdefghijkl")
    against: list[float] = []
    for seed in range(40):
        run = build_run(
            tmp_path / str(seed), Plan(models=names, advantage=0.0, seed=seed, local_judge=False)
        )
        rows = [c for c in run.comparisons if c.task == "sums"]
        against = [
            c.p / 2 if c.difference < 0 else 1 - c.p / 2
            for c in rows
            if c.p is not None and c.difference is not None
        ]
        if len(against) == len(rows) and 0.004 < min(against) < 0.02:
            break
    assert min(against) < 0.025, "alone it would contradict"
    assert min(multipletests(against, method="holm")[1]) > 0.025
    found = compare.check_claim([run], "a is best on lm_eval/sums", compare.Options())
    assert found.answer == "not supported"
    assert sum("Taken alone a would be worse" in r for r in found.reasons) == sum(
        p <= 0.025 for p in against
    )


def test_a_claim_by_an_amount_has_a_p(run: Run) -> None:
    """One-sided t test against the amount, by scipy."""
    from scipy import stats

    row = next(c for c in run.comparisons if c.task == "sums" and c.baseline == "b")
    assert row.difference is not None
    assert row.standard_error is not None
    claim = "a beats b by more than 30 points on lm_eval/sums"
    p = compare.check_claim([run], claim, compare.Options()).p_one_sided
    t = (row.difference - 30) / row.standard_error
    assert p == pytest.approx(stats.t.sf(t, row.n_clusters - 1), abs=1e-9)


def test_what_has_figures_but_no_samples_is_not_passed_over(tmp_path: Path) -> None:
    run = build_run(tmp_path, Plan(models=("a", "b"), advantage=0.9, local_judge=False))
    figures = [
        replace(e, benchmark="arena", task="arena", metric="rating", category=None, point=1.0)
        for e in run.estimates[:1]
        for _ in "ab"
    ]
    both = tuple(replace(e, model=m) for e, m in zip(figures, "ab", strict=True))
    with_figures = replace(run, estimates=(*run.estimates, *both))
    assert compare.check_claim([run], "a beats b", compare.Options()).answer == "supported"
    for claim in ("a beats b", "a beats b on all benchmarks", "a beats b on arena"):
        found = compare.check_claim([with_figures], claim, compare.Options())
        assert found.answer == "not supported"
        assert any("arena" in reason and "in common" in reason for reason in found.reasons)


def test_a_claim_takes_the_margin_that_the_suite_gives_an_average(tmp_path: Path) -> None:
    run = board_run(tmp_path, {"a": 0.6, "b": 0.6})
    suite = {**run.manifest.get("suite", {}), "gate": {"margins": {f"{ENTRY}/average": 99.0}}}
    run = replace(run, manifest={**run.manifest, "suite": suite})
    found = compare.check_claim([run], "a matches b", compare.Options())
    assert found.answer == "supported"
    assert "margin 99.00" in found.reasons[0]


@pytest.mark.parametrize(
    ("with_p", "said"),
    [
        (0, "no headline comparison has a p"),
        (1, "one headline comparison has a p, which needs no correction"),
        (2, "corrected for the 2 headline comparisons"),
    ],
)
def test_what_was_corrected_for_is_what_has_a_p(run: Run, with_p: int, said: str) -> None:
    first, second, *_ = (
        row for row in compare.compare([run], "a", ["b"], compare.Options()) if row.headline
    )
    rows = [
        replace(row, tests=with_p, p_adjusted=0.5 if n < with_p else None)
        for n, row in enumerate((first, second))
    ]
    assert said in compare.corrected_text(rows)
    assert (with_p == 1) == ("no correction" in compare.corrected_text(rows))
    alone = replace(first, tests=1, p_adjusted=0.5)
    assert "one headline comparison, so that" in compare.corrected_text([alone])
