"""The gate: decisions, what is missing, averages, repeated runs, pinned baselines.

Oracles: scipy's t distribution for bounds, `contests` with repeats at the gate's level, counts of
records by hand.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from evalkit import api, draw, store
from evalkit.cli.compare import gate as command
from evalkit.comparison.contests import Options
from evalkit.comparison.gate import (
    Policy,
    decide,
    gate,
    gate_json,
    gate_test,
    gated,
    pin,
    read_baseline,
    read_pinned,
)
from evalkit.comparison.recompute import load
from evalkit.core import UNANSWERED, Json, Outcome
from evalkit.core.contests import GateResult, GateTest, SettingsDiffer
from evalkit.core.figures import FigureKey
from evalkit.core.run import Run
from evalkit.core.specs import GateSpec
from evalkit.errors import ComparisonError, DataError, SuiteError
from tests.support.compared import against, changed, keeping, one_model
from tests.support.contests import contest
from tests.support.leaderboards import ENTRY, V1_SIZES, board_run
from tests.support.runs import Plan, build_run, with_manifest, with_suite, write_run
from tests.support.terminal import screen

SPEC = GateSpec(baseline="b", margins={"default": {"percent": 30.0, "points": 30.0}})
POINT, ERROR = 0.9351620947630923, 1.0377348603934382
"""Notus against Zephyr-7B-beta on AlpacaEval, from public annotations: 802 samples."""


def policy(**given: Any) -> Policy:
    return Policy(
        GateSpec(**{"baseline": "b", "margins": {"default": 3.0}, **given}),
        {},
    )


def tried(point: float | None = POINT, by: Policy | None = None, **more: Any) -> GateTest:
    """The test of one contest with chosen figures."""
    given = {"error": ERROR, "low": -1.1, "high": 2.97, "n": 802, "lower": False, **more}
    made = contest(point=point, higher_is_better=not given.pop("lower"), **given)
    d = made.comparison.difference
    d = replace(d, df=None if d.standard_error is None else d.n_units - 1.0)
    comparison = replace(made.comparison, difference=d)
    return gate_test(replace(made, comparison=comparison), by or policy())


def decided(*tests: GateTest, **given: Any) -> GateResult:
    return decide("a", "b", tests, policy(**given).spec)


def verdicts(result: GateResult) -> dict[str, str]:
    return {test.key.task: test.verdict for test in result.tests}


# --- decisions ----------------------------------------------------------------------------------


def test_the_real_case_passes_at_three_points_and_not_at_half_a_point() -> None:
    passed = tried()
    assert (decided(passed).verdict, decided(passed).exit_code) == ("pass", 0)
    assert passed.bounds is not None
    assert passed.bounds.low == pytest.approx(POINT - student.ppf(0.95, 801) * ERROR, abs=1e-9)
    tight = tried(by=policy(margins={"default": 0.5}))
    assert tight.needed is not None
    assert tight.needed > 802 * 20
    result = decided(tight)
    assert result.verdict == "inconclusive"
    assert f"it would take {tight.needed:,}" in result.reasons[0]


def test_exit_codes() -> None:
    tight = tried(by=policy(margins={"default": 0.1}))
    assert decided(tried(-9.0)).exit_code == 1
    assert decided(tight).exit_code == 0
    assert decided(tight, on_inconclusive="fail").exit_code == 3
    assert (decided().verdict, decided().exit_code) == ("incomplete", 3), "nothing is no pass"


def test_lower_is_better_turns_everything() -> None:
    assert tried(-9.0, lower=True).verdict == "pass"
    worse = tried(9.0, lower=True)
    assert worse.verdict == "regression"
    assert worse.bounds is not None
    assert worse.bounds.low is not None
    assert worse.bounds.high is not None
    assert 0 < worse.bounds.low < 9.0 < worse.bounds.high


def test_a_regression_holds_after_holm() -> None:
    """p of one test is .03: a regression alone, not among ten."""
    half = policy(margins={"default": 0.5})
    bad = tried(float(student.ppf(0.03, 801)) * ERROR, half)
    assert decided(bad).verdict == "regression"
    others = [tried(5.0, half, task=f"t{n}") for n in range(9)]
    many = decided(bad, *others)
    assert many.verdict == "inconclusive"
    assert many.tests[0].p_regression == pytest.approx(0.3)
    assert "corrected" in many.reasons[0]


def test_what_is_required_decides_and_the_rest_warns() -> None:
    for demanded in ({"warn_only": ("alpaca_eval",)}, {"required": ("other/alpaca_eval",)}):
        made = policy(**demanded)
        result = decided(tried(-9.0, made), tried(by=made, benchmark="other", task="alpaca_eval"))
        assert [test.required for test in result.tests] == [False, True]
        assert result.verdict == "pass"
        assert any("warns only" in line for line in screen(draw.gate_lines(result)))


def test_margins_go_by_task_then_benchmark_then_default() -> None:
    made = policy(margins={"default": 1.0, "lm_eval": 2.0, "lm_eval/sums": 3.0})
    keys = [("mt_bench", "mt_bench"), ("lm_eval", "opposites"), ("lm_eval", "sums")]
    assert [made.margin(FigureKey(b, t, "acc")) for b, t in keys] == [1.0, 2.0, 3.0]
    assert policy(margins={}).margin(FigureKey("x", "x", "acc")) == 0.0


def test_a_default_margin_is_of_one_unit(tmp_path: Path) -> None:
    """3 percentage points are no 3 of MT-Bench's 10."""
    run = build_run(Plan(models=("a", "b")), tmp_path)
    with pytest.raises(SuiteError) as told:
        gate(run, GateSpec(baseline="b", margins={"default": 3.0}))
    assert "points: mt_bench" in str(told.value)
    assert "write one for each, as in `default: {percent: 3.0, points: NUMBER}`" in str(told.value)
    with pytest.raises(SuiteError, match="points: NUMBER"):
        gate(run, GateSpec(baseline="b", margins={"default": {"percent": 3.0}}))
    each = gate(run, GateSpec(baseline="b", margins={"default": {"percent": 3.0, "points": 0.3}}))
    units = {test.contest.comparison.unit: test.margin for test in each.tests if test.contest}
    assert units == {"percent": 3.0, "points": 0.3}
    named = gate(run, GateSpec(baseline="b", margins={"default": 3.0, "mt_bench": 0.5}))
    assert {test.key.benchmark: test.margin for test in named.tests}["mt_bench"] == 0.5


def test_undefined_comparisons_are_missing_or_inconclusive_with_the_reason() -> None:
    nothing = tried(None, error=None, low=None, high=None, n=0)
    alone = tried(error=None, low=None, high=None, n=1)
    assert (decided(nothing).verdict, decided(alone).verdict) == ("incomplete", "inconclusive")
    assert "undefined: no standard error" in decided(alone).reasons[0]


def test_a_few_samples_that_agree_prove_nothing() -> None:
    assert tried(0.0, error=0.0, n=5, ties=5).verdict == "inconclusive"
    assert tried(0.0, error=0.0, n=805, ties=805).verdict == "pass"


@pytest.mark.parametrize("df", [2.0, 1.3])
def test_of_few_units_or_runs_the_gate_says_no_more_than_compare(df: float) -> None:
    made = contest(point=0.0, low=-900.0, high=900.0, error=100.0, n=40, task="few")
    d = replace(made.comparison.difference, df=df)
    made = replace(made, comparison=replace(made.comparison, difference=d))
    found = gate_test(made, policy())
    assert (found.resolvable, found.needed) == (None, None)
    assert "too few to know how precise the difference is" in decided(found).reasons[0]
    assert draw.TOO_WIDE in "\n".join(screen(draw.gate_lines(decided(found))))


@settings(max_examples=25)
@given(
    st.floats(-20, 20), st.floats(0.01, 10), st.integers(2, 2000), st.floats(0, 10), st.floats(0, 5)
)
def test_a_wider_margin_never_hurts(
    point: float, error: float, n: int, margin: float, more: float
) -> None:
    order = {"regression": 0, "inconclusive": 1, "pass": 2}
    narrow, wide = (
        tried(point, policy(margins={"default": m}), error=error, n=n, ties=0)
        for m in (margin, margin + more)
    )
    assert order[wide.verdict] >= order[narrow.verdict]


# --- what is missing ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`a` against `b`, judged by a model of the suite."""
    return build_run(Plan(models=("a", "b")), tmp_path_factory.mktemp("pair") / "r")


def without(run: Run, task: str, *models: str) -> Run:
    return keeping(run, lambda r: not (r.task == task and r.model in models))


@pytest.mark.parametrize(
    ("task", "metric", "margin"), [("opposites", "acc", " 5.00 "), ("mt_bench", "score", " 0.30 ")]
)
def test_what_one_side_lacks_is_missing_not_passed_in_silence(
    pair: Run, task: str, metric: str, margin: str
) -> None:
    """It is no noise: a policy that lets inconclusive tests warn does not cover it."""
    spec = GateSpec(
        baseline="b", margins={"default": {"percent": 5.0, "points": 5.0}, "mt_bench": 0.3}
    )
    result = gate(without(pair, task, "b"), spec)
    assert (result.verdict, result.exit_code) == ("incomplete", 3)
    (missing,) = (test for test in result.tests if test.verdict == "missing")
    mine = [r for r in pair.records if (r.model, r.task) == ("a", task)]
    wanted = len(mine) * (2 if task == "mt_bench" else 1)
    have = sum(s.metric == metric for r in mine for s in r.outcome.scores)
    assert missing.key.metric == metric
    assert missing.contest is not None
    c = missing.contest.comparison
    assert (c.n_missing_candidate, c.n_missing_baseline) == (wanted - have, wanted)
    (line,) = (one for one in screen(draw.gate_lines(result)) if "MISSING" in one)
    assert margin in line
    assert f"{wanted - have}, {wanted}" in line
    assert any("no samples that both have" in reason for reason in result.reasons)


def test_what_nobody_has_records_of_is_not_counted(pair: Run) -> None:
    result = gate(without(pair, "opposites", "a", "b"), SPEC)
    (found,) = (d for d in gate_json(result)["decisions"] if d["verdict"] == "missing")
    assert (found["metric"], found["unit"], found["n_missing"]) == ("acc", "percent", None)
    assert "0, 0  MISSING" not in "\n".join(screen(draw.gate_lines(result)))


def test_damage_is_said_before_a_margin_that_is_wrong(pair: Run) -> None:
    spec = GateSpec(baseline="b", margins={"default": 30.0})
    with pytest.raises(SuiteError, match="not a margin in every unit"):
        gate(pair, spec)
    result = gate(replace(pair, differing=("a/x: another figure",)), spec)
    assert (result.verdict, result.exit_code) == ("incomplete", 3)
    assert any("a/x: another figure" in reason for reason in result.reasons)


def test_what_is_missing_and_only_warns_is_said_and_passes(pair: Run) -> None:
    spec = GateSpec(
        baseline="b",
        margins={"default": {"percent": 99.0, "points": 99.0}},
        warn_only=("mt_bench",),
    )
    result = gate(without(pair, "mt_bench", "b"), spec)
    assert (result.verdict, result.exit_code) == ("pass", 0)
    assert "warning: MT-Bench: missing (warns only)." in screen(draw.gate_lines(result))


def test_a_regression_outweighs_what_is_missing(pair: Run) -> None:
    worse = gate(without(pair, "mt_bench", "b"), SPEC)
    assert worse.verdict == "incomplete"
    missing = next(test for test in worse.tests if test.verdict == "missing")
    result = decided(tried(-9.0), missing)
    assert (result.verdict, result.exit_code, len(result.reasons)) == ("regression", 1, 2)


def test_what_a_policy_requires_by_name_and_nobody_has_is_missing(pair: Run) -> None:
    """Also a metric's own name, where no average goes by it."""
    names = ("lm_eval", "other/task", "other", "lm_eval/acc")
    spec = GateSpec(
        baseline="b", margins={"default": {"percent": 99.0, "points": 99.0}}, required=names
    )
    result = gate(pair, spec)
    assert (result.verdict, result.exit_code) == ("incomplete", 3)
    missing = [test.key for test in result.tests if test.verdict == "missing"]
    assert [(k.benchmark, k.task) for k in missing] == [("other", "task"), ("lm_eval", "acc")]
    assert result.reasons[-2].endswith("other: task: no samples that both have")
    assert result.reasons[-1].endswith("no task or average of that name")


def test_a_run_that_was_changed_after_sealing_is_incomplete(pair: Run, tmp_path: Path) -> None:
    """Whatever its numbers say; nothing is pinned from it either."""
    spec = GateSpec(baseline="b", margins={"default": {"percent": 99.0, "points": 99.0}})
    folder = write_run(with_suite(pair, gate=spec), tmp_path / "run").folder
    assert gate(load(folder)).verdict == "pass"
    path = folder / "records.jsonl"
    path.write_bytes(path.read_bytes().replace(b'","', b'", "', 1))
    result = gate(load(folder))
    assert (result.verdict, result.exit_code) == ("incomplete", 3)
    assert {test.verdict for test in result.tests} == {"damaged"}
    assert "changed after the run was sealed" in result.reasons[0]
    assert "damaged" not in {test.verdict for test in gate(pair, spec).tests}


def test_a_gate_says_what_was_never_answered(pair: Run) -> None:
    broken = tuple(
        replace(r, outcome=replace(r.outcome, status="transport_error", scores=()))
        if r.model == "a" and r.benchmark == "mt_bench" and int(r.sample) < 90
        else r
        for r in pair.records
    )
    run = replace(pair, records=broken, figures=())  # computed before, they would contradict
    n = sum(r.outcome.status in UNANSWERED for r in broken)
    result = gate(
        run, GateSpec(baseline="b", margins={"default": {"percent": 99.0, "points": 99.0}})
    )
    lines = screen(draw.gate_lines(result))
    assert any(f"{n} samples were never answered" in line for line in lines)
    assert (gate_json(result)["unanswered"], result.exit_code) == (n, 0)
    assert any("MT-Bench" in line and "the candidate lacks" in line for line in lines)
    assert gate_json(gate(run, SPEC, repeats=[run]))["unanswered"] == n, "a run given twice"


# --- averages -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def equal(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two models that are equal on the leaderboard."""
    return board_run(tmp_path_factory.mktemp("equal"), {"a": 0.5, "b": 0.5})


def test_the_average_and_its_columns_are_gated(equal: Run) -> None:
    result = gate(equal, GateSpec(baseline="b", margins={"default": 60.0}))
    assert list(verdicts(result)) == [
        "arc_challenge", "hellaswag", "truthfulqa_mc2", "winogrande", "gsm8k", "mmlu", ENTRY,
    ]  # fmt: skip
    assert result.verdict == "pass"
    assert draw.figure_label(result.tests[-1].key) == "Open LLM Leaderboard average"


@pytest.mark.parametrize("name", [f"{ENTRY}/average", f"{ENTRY}/{ENTRY}"])
def test_the_average_has_names_and_a_margin_of_its_own(equal: Run, name: str) -> None:
    spec = GateSpec(baseline="b", margins={name: 9.5, ENTRY: 60.0}, required=(name,))
    result = gate(equal, spec)
    assert [test.margin for test in result.tests] == [60.0] * 6 + [9.5]
    assert [test.required for test in result.tests] == [False] * 6 + [True]
    assert result.verdict == "pass"


def test_a_task_within_a_group_is_gated_where_it_is_named(equal: Run) -> None:
    margins = {ENTRY: 60.0, f"{ENTRY}/mmlu_virology": 5.0}
    found = verdicts(gate(equal, GateSpec(baseline="b", margins=margins)))
    assert "mmlu_virology" in found
    assert "mmlu_anatomy" not in found


def test_a_leaderboard_in_part_is_gated_by_its_columns(tmp_path: Path) -> None:
    """Its average is not there, so it is not missed; required by name, it is."""
    sizes = {task: n for task, n in V1_SIZES.items() if task != "gsm8k"}
    run = board_run(tmp_path, {"a": 0.5, "b": 0.5}, sizes=sizes)
    margins = {ENTRY: 60.0}
    assert gate(run, GateSpec(baseline="b", margins=margins)).verdict == "pass"
    demanded = GateSpec(baseline="b", margins=margins, required=(f"{ENTRY}/average", ENTRY))
    result = gate(run, demanded)
    assert (result.verdict, result.exit_code) == ("incomplete", 3)


# --- other settings, several runs ---------------------------------------------------------------


def test_a_setting_that_may_differ_is_said_wherever_it_shows(pair: Run) -> None:
    ours, theirs = (
        one_model(pair, "a", "new"),
        changed(one_model(pair, "b", "old"), "", version="9"),
    )
    with pytest.raises(ComparisonError, match="version: '1' against '9'"):
        gate(ours, SPEC, candidate="a", baseline=[theirs])
    result = gate(ours, SPEC, candidate="a", baseline=[theirs], allow_different=["version"])
    differ = SettingsDiffer("version", "1", "9")
    assert all(test.contest and differ in test.contest.cautions for test in result.tests)
    lines = screen(draw.gate_lines(result))
    assert sum("settings differ" in line for line in lines[:8]) == len(result.tests)
    found = gate_json(result)["decisions"][0]["cautions"]
    assert {
        "kind": "settings_differ",
        "field": "version",
        "candidate": "1",
        "baseline": "9",
    } in found


def test_a_local_judges_tests_are_marked(pair: Run) -> None:
    result = gate(pair, SPEC)
    lines = screen(draw.gate_lines(result))
    assert sum("(local judge)" in line for line in lines) == 2
    said = "\n".join(lines)
    assert said.count("AlpacaEval, MT-Bench: judged by") == 1, "one note, once"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Three runs of one suite."""
    folder = tmp_path_factory.mktemp("runs")
    return [
        build_run(Plan(models=("a", "b"), seed=n, samples=(40, 16, 60)), folder / f"r{n}")
        for n in (1, 2, 3)
    ]


def points(result: GateResult) -> list[float | None]:
    return [test.bounds.point if test.bounds else None for test in result.tests]


def test_the_bounds_are_those_of_compare_with_repeats(runs: list[Run]) -> None:
    result = gate(runs[0], SPEC, repeats=runs[1:])
    found = gated(against(runs, Options(1 - 2 * SPEC.alpha, repeats=True)), policy())
    for test, one in zip(result.tests, found, strict=True):
        assert test.key == one.key
        assert test.bounds is not None
        d = one.comparison.difference
        assert (test.bounds.low, test.bounds.high) == pytest.approx((d.low, d.high), abs=1e-9)
    alone = gate(runs[0], SPEC)
    assert points(alone) != points(result)
    assert result.notes[0].startswith("3 runs of a, 3 runs of b: scores are means over them")
    assert not any("runs of" in note for note in alone.notes)


def test_no_number_of_samples_is_said_to_do_against_the_noise_of_runs(runs: list[Run]) -> None:
    tight = GateSpec(baseline="b", margins={"default": {"percent": 0.01, "points": 0.01}})
    assert any(test.needed for test in gate(runs[0], tight).tests)
    assert not any(test.needed for test in gate(runs[0], tight, repeats=runs[1:]).tests)


def test_the_baseline_may_be_repeated_in_runs_of_its_own(runs: list[Run]) -> None:
    ours = [one_model(run, "a", f"new{n}") for n, run in enumerate(runs[:2])]
    theirs = [one_model(run, "b", f"old{n}") for n, run in enumerate(runs)]
    result = gate(ours[0], SPEC, baseline=theirs, repeats=ours[1:])
    assert (result.candidate, result.baseline) == ("a", "b")
    assert result.notes[0].startswith("2 runs of a, 3 runs of b")


def test_one_name_on_both_sides_has_its_run_before_it(runs: list[Run]) -> None:
    spec = GateSpec(baseline="a", margins={"default": {"percent": 99.0, "points": 99.0}})
    result = gate(runs[0], spec, candidate="a", baseline=[runs[1]])
    assert (result.candidate, result.baseline) == ("r1:a", "r2:a")
    elsewhere = replace(runs[1], folder=runs[1].folder.parent / "x" / "r1")
    result = gate(runs[0], spec, candidate="a", baseline=[elsewhere])
    assert (result.candidate, result.baseline) == (f"{runs[0].folder}:a", f"{elsewhere.folder}:a")


def test_two_checkpoints_under_one_name_repeat_nothing(runs: list[Run]) -> None:
    models = tuple(m.model_copy(update={"fingerprint": "0" * 64}) for m in runs[1].manifest.models)
    other = replace(runs[1], manifest=runs[1].manifest.model_copy(update={"models": models}))
    with pytest.raises(ComparisonError, match=r"'a' is not the same model in .*r1 .*fingerprint"):
        gate(runs[0], SPEC, repeats=[other])
    allowed = gate(runs[0], SPEC, repeats=[other], allow_different=["fingerprint"])
    assert allowed.notes[0].startswith("2 runs of a")


def test_a_run_given_twice_counts_once(runs: list[Run]) -> None:
    """Its second copy would measure a noise of zero; a copy of it is said to."""
    assert gate(runs[0], SPEC, repeats=[runs[0]]) == gate(runs[0], SPEC)
    copy = replace(runs[0], folder=runs[0].folder.parent / "copy")
    notes = gate(runs[0], SPEC, repeats=[copy]).notes
    assert any("do not differ in any answer or score of AlpacaEval" in note for note in notes)


def test_the_gate_of_a_stored_run_loads_few_modules(tmp_path: Path) -> None:
    """It runs after every checkpoint, so it must start fast."""
    run = with_suite(build_run(Plan(models=("a", "b")), tmp_path / "r"), gate=SPEC)
    stored = write_run(run, tmp_path / "stored")
    code = (
        "import sys; from evalkit.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code)\n"
        "print(sum(name.partition('.')[0] == 'evalkit' for name in sys.modules))"
    )
    command = [sys.executable, "-c", code, "gate", str(stored.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    exit_code, loaded = map(int, done.stdout.splitlines()[-2:])
    assert exit_code in (0, 1, 3), done.stdout
    assert loaded <= 43


def test_the_command_and_the_library_take_several(tmp_path: Path) -> None:
    folders = []
    for seed in (1, 2):
        run = build_run(Plan(models=("a", "b"), seed=seed), tmp_path / f"r{seed}")
        run = with_suite(with_manifest(run, run_id=str(seed) * 12), gate=SPEC)
        folders.append(str(write_run(run, tmp_path / f"stored{seed}").folder))
    done = CliRunner().invoke(command, [*folders, "--json"], standalone_mode=False)
    assert done.exception is None, done.output
    found = json.loads(done.stdout)
    assert found["notes"][0].startswith("2 runs of a, 2 runs of b")
    assert json.loads(json.dumps(gate_json(api.gate(*folders)))) == found
    apart = api.gate(folders[0], baseline_run=[folders[1]])
    assert not any("runs of" in note for note in apart.notes)
    for more, said in (
        (["--write-baseline", "b.json"], "pins the scores of one run, and 2 are given"),
        (["other.yaml"], "'other.yaml' is no stored run"),
    ):
        done = CliRunner().invoke(command, [*folders, *more], standalone_mode=False)
        assert isinstance(done.exception, ComparisonError)
        assert said in str(done.exception)


# --- pinned baselines ---------------------------------------------------------------------------


def test_a_pinned_baseline_compares_as_its_run_and_is_guarded(tmp_path: Path, pair: Run) -> None:
    path = tmp_path / "baseline.json"
    path.write_bytes(pin(pair, "b"))
    alone = one_model(pair, "a", "alone")
    found = against([alone, read_pinned(path)])
    assert [c.comparison for c in found] == [c.comparison for c in against(pair)]
    text = path.read_text()
    assert not any(answer in text for r in pair.records for answer in r.outcome.answers if answer)
    path.write_bytes(pin(changed(pair, "", version="0.9"), "b"))
    with pytest.raises(ComparisonError, match=r"version: .* against '0.9'"):
        against([alone, read_pinned(path)])


def test_a_pinned_baseline_keeps_what_averages_need(tmp_path: Path) -> None:
    """Version 2's IFEval is a share over instructions, which no score of a document tells."""
    run = board_run(tmp_path, {"a": 0.6, "b": 0.5}, version=2)
    pinned = tmp_path / "baseline.json"
    pinned.write_bytes(pin(run, "b"))
    again = gate(run, SPEC, baseline=[read_baseline(pinned)])
    assert points(again) == points(gate(run, SPEC))
    assert None not in points(again)


def test_a_pinned_baseline_of_format_1_is_read() -> None:
    """Kept as an earlier version wrote it."""
    kept = Path(__file__).parents[1] / "store" / "format_1"
    run, pinned = store.load(kept / "whole"), read_baseline(kept / "baseline.json")
    (model,) = pinned.models
    mine = {r.key: r.outcome.scores for r in run.records if r.model == model}
    assert {r.key: r.outcome.scores for r in pinned.records} == mine
    assert all(pinned.benchmark(b).headlines == run.benchmark(b).headlines for _, b, *_ in mine)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f["records"]["alpaca_eval"].pop(), "sha256 of its records"),
        (lambda f: f.update(kind="other"), "no pinned baseline"),
        (lambda f: f.update(format=3), "format 3"),
        (lambda f: f.pop("benchmarks"), "damaged"),
        (lambda f: f["benchmarks"][0].update(name=7), "damaged"),
    ],
)
def test_a_changed_file_is_refused(
    tmp_path: Path, pair: Run, change: Callable[[Json], object], said: str
) -> None:
    found = json.loads(pin(pair, "b"))
    change(found)
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(found))
    with pytest.raises(DataError, match=said):
        read_pinned(path)


def test_pinning_a_model_that_is_not_there_lists_those_that_are(pair: Run) -> None:
    with pytest.raises(ComparisonError, match="expected one of: a, b"):
        pin(pair, "x")


def test_an_unanswered_sample_of_a_pinned_baseline_says_to_pin_again(
    tmp_path: Path, pair: Run
) -> None:
    """There is no suite to run in a file of scores."""
    failed = Outcome("transport_error")
    records = tuple(replace(r, outcome=failed) if r.sample == "0" else r for r in pair.records)
    pinned = tmp_path / "baseline.json"
    pinned.write_bytes(pin(replace(pair, records=records), "b"))
    result = gate(pair, SPEC, baseline=[read_baseline(pinned)])
    (note,) = (note for note in result.notes if str(pinned) in note)
    assert "pin the baseline again (--write-baseline)" in note
    assert "evalkit run" not in note
