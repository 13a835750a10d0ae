"""Comparing over runs: names, the guard, Holm's set, and what may be said."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import compare
from evalkit.compare.old_guard import differences, settings
from evalkit.compare.sides import Part, find
from evalkit.core import Run
from evalkit.errors import ComparisonError
from evalkit.stats.decisions import holm
from tests.support.runs import Plan, build_run

HALVES = (
    Plan(models=("m",), seed=1, local_judge=False),
    Plan(models=("b",), seed=2, local_judge=False),
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return build_run(
        tmp_path / "one", Plan(models=("a", "b", "c"), advantage=0.4, local_judge=False)
    )


@pytest.fixture
def apart(tmp_path: Path) -> list[Run]:
    """Two models, each in a run of its own."""
    return [build_run(tmp_path / plan.models[0], plan) for plan in HALVES]


def changed(run: Run, benchmark: str, **fields: Any) -> Run:
    manifest = copy.deepcopy(dict(run.manifest))
    for entry in manifest["benchmarks"]:
        if entry["name"] == benchmark:
            entry["description"] = {**entry.get("description", {}), **fields}
    return replace(run, manifest=manifest)


def test_rows_are_the_runs_own_comparisons(run: Run) -> None:
    rows = compare.compare([run], "a", ["b", "c"], compare.Options())
    assert [row.comparison for row in rows] == sorted(
        run.comparisons, key=lambda c: ["b", "c"].index(c.baseline)
    )
    assert {row.flags for row in rows} == {()}


def test_models_of_two_runs_compare_as_in_one(run: Run, apart: list[Run]) -> None:
    rows = compare.compare(apart, "m", ["b"], compare.Options())
    assert {(r.comparison.candidate, r.comparison.baseline) for r in rows} == {("m", "b")}
    assert {r.comparison.benchmark for r in rows} == {"alpaca_eval", "mt_bench", "lm_eval"}
    assert all(r.comparison.n > 0 for r in rows if r.headline)


def test_holm_is_over_the_primary_metrics_of_all_baselines(run: Run) -> None:
    rows = compare.compare([run], "a", ["b", "c"], compare.Options())
    headline = [row for row in rows if row.headline]
    assert [row.p_adjusted for row in headline] == list(
        holm([row.comparison.p for row in headline])
    )
    assert len(headline) == 2 * 4
    assert all(row.comparison.category is None for row in headline)


def test_a_verdict_holds_after_the_correction(run: Run) -> None:
    rows = compare.compare([run], "a", ["b", "c"], compare.Options())
    said = [row.verdict for row in rows]
    assert {"better", "unclear"} <= set(said)
    for row in rows:
        if row.verdict in ("better", "worse"):
            assert row.p_adjusted is not None
            assert row.p_adjusted <= 0.05
        if row.p_adjusted is not None and row.p_adjusted > 0.05:
            assert row.verdict == "unclear"
            assert "cannot be told apart" in row.sentence


def test_a_name_in_two_runs_needs_its_run(tmp_path: Path, run: Run) -> None:
    other = build_run(tmp_path / "two", Plan(models=("a", "b"), seed=3, local_judge=False))
    with pytest.raises(ComparisonError, match="one:a or two:a"):
        find([run, other], "a")
    rows = compare.compare([run, other], "one:a", ["two:a"], compare.Options())
    assert rows[0].comparison.baseline == "two:a"
    assert rows[0].sentence.startswith("one:a ")


def test_unknown_names_list_what_there_is(run: Run) -> None:
    with pytest.raises(ComparisonError, match=r"'x' has no records .* one of: a, b, c"):
        find([run], "x")
    with pytest.raises(ComparisonError, match="itself"):
        compare.compare([run], "a", ["a"], compare.Options())


def test_published_models_have_nothing_to_pair(tmp_path: Path) -> None:
    run = build_run(tmp_path, Plan(published=True))
    with pytest.raises(ComparisonError, match="published figures only"):
        find([run], "claude-2")


def test_who_is_compared_when_nobody_says(run: Run) -> None:
    assert compare.pick([run], None, []) == ("a", ["b", "c"])
    assert compare.pick([run], None, ["c"]) == ("a", ["c"])
    assert compare.pick([run], "b", []) == ("b", ["c"])
    alone = replace(run, records=tuple(r for r in run.records if r.model == "b"))
    with pytest.raises(ComparisonError, match="0 candidates"):
        compare.pick([alone], None, [])


def test_settings_that_differ_are_all_named(apart: list[Run]) -> None:
    ours = changed(apart[0], "alpaca_eval", reference="text_davinci_003", judge={"model": "gpt-4"})
    theirs = changed(apart[1], "alpaca_eval", reference="gpt4_1106", judge={"model": "gpt-4o"})
    with pytest.raises(ComparisonError) as caught:
        compare.compare([ours, theirs], "m", ["b"], compare.Options())
    said = str(caught.value)
    assert "reference: 'text_davinci_003' against 'gpt4_1106'" in said
    assert "judge.model: 'gpt-4' against 'gpt-4o'" in said
    assert "--allow-different reference --allow-different judge.model" in said


def test_allowed_differences_are_flagged(apart: list[Run]) -> None:
    ours = changed(apart[0], "alpaca_eval", judge={"model": "gpt-4"})
    theirs = changed(apart[1], "alpaca_eval", judge={"model": "gpt-4o"})
    options = compare.Options(allow_different=frozenset({"judge"}))
    rows = compare.compare([ours, theirs], "m", ["b"], options)
    flagged = {row.comparison.benchmark for row in rows if row.flags}
    assert flagged == {"alpaca_eval"}
    first = next(row for row in rows if row.flags)
    assert first.flags == ("different judge.model: 'gpt-4' against 'gpt-4o'",)
    assert "Measured differently: judge.model" in first.sentence


def test_the_gsm8k_case(apart: list[Run]) -> None:
    """15.16 and 39.5 on GSM8K are two settings, not two models."""
    old = {"sums": {"version": 0, "shots": 5, "generation": {"until": [":"]}}}
    new = {"sums": {"version": 3, "shots": 8, "generation": {"until": ["Q:"]}}}
    ours, theirs = (changed(r, "lm_eval", tasks=t) for r, t in zip(apart, (old, new), strict=True))
    with pytest.raises(ComparisonError) as caught:
        compare.compare([ours, theirs], "m", ["b"], compare.Options())
    for field in ("task_version: 0 against 3", "shots: 5 against 8", "generation.until: [':']"):
        assert f"sums: {field}" in str(caught.value)
    assert "opposites" not in str(caught.value)


def test_what_one_side_does_not_say_is_unknown_not_different(apart: list[Run]) -> None:
    ours = changed(apart[0], "alpaca_eval", prefix="Be brief.")
    rows = compare.compare([ours, apart[1]], "m", ["b"], compare.Options())
    flags = {row.flags for row in rows if row.comparison.benchmark == "alpaca_eval"}
    assert flags == {("stated by one side only: prefix",)}


def test_evidence_speaks_for_its_model(apart: list[Run]) -> None:
    entry = {"model": "m", "entry": "mt_bench", "description": {"judge": {"model": "gpt-4"}}}
    run = replace(apart[0], manifest={**apart[0].manifest, "evidence": [entry]})
    assert settings(Part(run, "m", "mt_bench"), "mt_bench")["judge.model"] == "gpt-4"


def test_partial_overlap_counts_what_is_left(apart: list[Run]) -> None:
    kept = [r for r in apart[1].records if r.benchmark != "lm_eval" or int(r.sample) % 2]
    rows = compare.compare(
        [apart[0], replace(apart[1], records=tuple(kept))], "m", ["b"], compare.Options()
    )
    whole = {r.comparison.task: r.comparison.n for r in rows if r.comparison.benchmark == "lm_eval"}
    full = compare.compare(apart, "m", ["b"], compare.Options())
    before = {
        r.comparison.task: r.comparison.n for r in full if r.comparison.benchmark == "lm_eval"
    }
    assert all(whole[task] < before[task] for task in whole)


values = st.none() | st.integers(0, 2) | st.text(max_size=2) | st.lists(st.integers(0, 1))
trees = st.recursive(
    values, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=6
)


@given(st.dictionaries(st.sampled_from("abcd"), trees, max_size=4))
def test_a_description_does_not_differ_from_itself(description: dict[str, Any]) -> None:
    runs = [build_bare(copy.deepcopy(description)) for _ in range(2)]
    assert differences(Part(runs[0], "m", "x"), Part(runs[1], "m", "x"), "t") == ([], [])


def build_bare(description: dict[str, Any]) -> Run:
    entry = {"name": "x", "description": description, "tasks": {"t": {"metrics": []}}}
    return Run(Path("r"), {"benchmarks": [entry]}, (), (), ())
