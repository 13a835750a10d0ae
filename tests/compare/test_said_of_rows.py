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
