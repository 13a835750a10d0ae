"""The gate's decisions, against scipy and by hand."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit import compare, gate, store
from evalkit.compare import Row
from evalkit.core import Comparison, Run
from evalkit.errors import ComparisonError, DataError
from evalkit.gate import GateResult, Policy
from evalkit.gate.github import MARKER
from tests.support.runs import Plan, build_run

NOTUS = Comparison(
    "notus", "zephyr", "alpaca_eval", "alpaca_eval", "win_rate", None, 0.9351620947630923,
    1.0377348603934382, -1.10, 2.97, 0.95, 0.368, 802, 802, 39, 31, 732, 1, 2, "percent", True, "t",
)  # fmt: skip
"""The real case, from public annotations."""


def row(comparison: Comparison = NOTUS, *, headline: bool = True) -> Row:
    return Row(comparison, headline, comparison.p, None, "unclear", "", ())


def decide(*comparisons: Comparison, **policy: object) -> GateResult:
    made = Policy(**policy)  # type: ignore[arg-type]
    return gate.decide(("a", "b"), [row(c) for c in comparisons], made)


def shifted(difference: float, **changes: object) -> Comparison:
    return replace(NOTUS, difference=difference, **changes)  # type: ignore[arg-type]


def test_the_real_case_passes_at_three_points_and_not_at_half_a_point() -> None:
    """Oracle: scipy's t distribution."""
    from scipy.stats import t

    low = NOTUS.difference - t.ppf(0.95, 801) * NOTUS.standard_error
    passed = decide(NOTUS, margins={"alpaca_eval": 3.0})
    (decision,) = passed.decisions
    assert passed.verdict == "pass"
    assert passed.exit_code == 0
    assert decision.low == pytest.approx(low, abs=1e-9)
    undecided = decide(NOTUS, margins={"default": 0.5})
    assert undecided.verdict == "inconclusive"
    assert undecided.decisions[0].underpowered
    needed = undecided.decisions[0].needed
    assert needed is not None
    assert needed > 802 * 20
    assert f"it would take {needed:,}" in undecided.reasons[0]


def test_exit_codes() -> None:
    assert decide(shifted(-9.0), margins={"default": 3.0}).exit_code == 1
    assert decide(NOTUS, margins={"default": 0.1}).exit_code == 0
    assert decide(NOTUS, margins={"default": 0.1}, fails_undecided=True).exit_code == 3


def test_lower_is_better_turns_everything() -> None:
    better = decide(shifted(-9.0, higher_is_better=False), margins={"default": 3.0})
    assert better.verdict == "pass"
    worse = decide(shifted(9.0, higher_is_better=False), margins={"default": 3.0})
    assert worse.verdict == "regression"
    (decision,) = worse.decisions
    assert decision.low is not None
    assert decision.high is not None
    assert 0 < decision.low < 9.0 < decision.high


def test_a_regression_holds_after_holm() -> None:
    """p of one test is .03: a regression alone, not among ten."""
    from scipy.stats import t

    assert NOTUS.standard_error is not None
    d = float(t.ppf(0.03, 801)) * NOTUS.standard_error
    one = shifted(d)
    assert decide(one, margins={"default": 0.5}).verdict == "regression"
    others = [shifted(5.0, task=f"t{n}") for n in range(9)]
    many = decide(one, *others, margins={"default": 0.5})
    assert many.verdict == "inconclusive"
    assert many.decisions[0].p_regression == pytest.approx(0.3)
    assert "corrected" in many.reasons[0]


def test_what_only_warns_never_fails() -> None:
    policy = {"margins": {"default": 3.0}, "warn_only": frozenset({"alpaca_eval"})}
    result = decide(shifted(-9.0), replace(NOTUS, benchmark="other"), **policy)
    assert result.verdict == "pass"
    assert not result.decisions[0].required
    assert any("warns only" in line for line in gate.gate_lines(result))


def test_required_names_all_that_decide() -> None:
    policy = {"margins": {"default": 3.0}, "required": frozenset({"other/alpaca_eval"})}
    result = decide(shifted(-9.0), replace(NOTUS, benchmark="other"), **policy)
    assert [d.required for d in result.decisions] == [False, True]
    assert result.verdict == "pass"


def test_what_is_missing_is_not_passed_in_silence() -> None:
    """Missing evidence is no noise: a policy that lets undecided tests warn does not cover it."""
    made = Policy(margins={"default": 3.0})
    expected = [("alpaca_eval", "alpaca_eval"), ("mt_bench", "mt_bench")]
    result = gate.decide(("a", "b"), [row()], made, expected=expected)
    assert [d.verdict for d in result.decisions] == ["pass", "missing"]
    assert (result.verdict, result.exit_code) == ("incomplete", 3)
    assert result.reasons == ("MT-Bench: no samples that both have",)
    assert "no samples that both have for 1 of 2 required tests" in gate.gate_lines(result)[0]
    (suite,) = ET.fromstring(gate.junit(result))
    assert [suite.get(k) for k in ("errors", "failures", "skipped")] == ["1", "0", "0"]
    assert len(suite.findall("testcase/error")) == 1
    assert any(x.startswith("::error") for x in gate.workflow_commands(result))


def test_what_is_missing_and_only_warns_is_said_and_passes() -> None:
    made = Policy(margins={"default": 3.0}, warn_only=frozenset({"mt_bench"}))
    result = gate.decide(("a", "b"), [row()], made, expected=[("mt_bench", "mt_bench")])
    assert (result.verdict, result.exit_code) == ("pass", 0)
    assert "warning: MT-Bench: missing (warns only)." in gate.gate_lines(result)
    (suite,) = ET.fromstring(gate.junit(result))
    assert [suite.get(k) for k in ("errors", "failures", "skipped")] == ["0", "0", "1"]


def test_a_regression_outweighs_what_is_missing() -> None:
    made = Policy(margins={"default": 3.0})
    expected = [("mt_bench", "mt_bench")]
    result = gate.decide(("a", "b"), [row(shifted(-9.0))], made, expected=expected)
    assert (result.verdict, result.exit_code) == ("regression", 1)
    assert len(result.reasons) == 2


def test_nothing_compared_is_no_pass() -> None:
    assert (decide().verdict, decide().exit_code) == ("incomplete", 3)
    assert gate.decide(("a", "b"), [row(headline=False)], Policy()).exit_code == 3


def test_undefined_comparisons_are_missing_or_undecided_with_the_reason() -> None:
    nothing = replace(NOTUS, difference=None, standard_error=None, n=0, n_clusters=0)
    one = replace(NOTUS, standard_error=None, n=1, n_clusters=1)
    for comparison, verdict in ((nothing, "incomplete"), (one, "inconclusive")):
        result = decide(comparison, margins={"default": 3.0})
        assert result.verdict == verdict
        assert "undefined" in result.reasons[0]


def test_a_few_samples_that_agree_prove_nothing() -> None:
    same = replace(NOTUS, difference=0.0, standard_error=0.0, n=5, n_clusters=5)
    assert decide(same, margins={"default": 3.0}).verdict == "inconclusive"
    many = replace(same, n=805, n_clusters=805)
    assert decide(many, margins={"default": 3.0}).verdict == "pass"


@given(
    st.floats(-20, 20), st.floats(0.01, 10), st.integers(2, 2000), st.floats(0, 10), st.floats(0, 5)
)
def test_a_wider_margin_never_hurts(
    difference: float, error: float, n: int, margin: float, more: float
) -> None:
    order = {"regression": 0, "inconclusive": 1, "pass": 2}
    c = shifted(difference, standard_error=error, n=n, n_clusters=n)
    narrow = decide(c, margins={"default": margin})
    wide = decide(c, margins={"default": margin + more})
    assert order[wide.verdict] >= order[narrow.verdict]


# --- what is written ------------------------------------------------------------------------

HOSTILE = "a]]><script>\x00\x1b[31m|`::error::%0A\nx"
hostile = st.text(max_size=20) | st.just(HOSTILE)


@settings(max_examples=10)
@given(hostile, hostile)
def test_junit_is_xml_whatever_names_are(model: str, task: str) -> None:
    made = [row(shifted(-9.0, task=task)), row(replace(NOTUS, benchmark="b"))]
    policy = Policy(margins={"default": 3.0})
    root = ET.fromstring(gate.junit(gate.decide((model, "b"), made, policy)))
    (suite,) = root
    assert suite.get("tests") == "2"
    assert suite.get("failures") == "1"
    assert len(suite.findall("testcase")) == 2
    assert len(suite.findall("testcase/failure")) == 1


def test_junit_counts_what_is_skipped() -> None:
    result = decide(NOTUS, margins={"default": 0.5})
    (suite,) = ET.fromstring(gate.junit(result))
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "1")
    failing = decide(NOTUS, margins={"default": 0.5}, fails_undecided=True)
    (suite,) = ET.fromstring(gate.junit(failing))
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "0")


@settings(max_examples=10)
@given(hostile)
def test_annotations_are_one_line_each_and_at_most_ten(name: str) -> None:
    many = [shifted(-9.0, task=f"{name}{n}") for n in range(30)]
    lines = gate.workflow_commands(decide(*many, margins={"default": 3.0}))
    assert sum(line.startswith("::error ") for line in lines) == 10
    assert all(re.match(r"::(error|warning) title=evalkit gate::", line) for line in lines)
    assert not any("\n" in line or "\r" in line for line in lines)
    assert "more: see the job summary" in [x for x in lines if x.startswith("::error")][-1]


@settings(max_examples=5)
@given(hostile)
def test_comments_keep_their_limit_and_their_marker(name: str) -> None:
    many = [shifted(-9.0, task=f"{name}{n}") for n in range(10)]
    few = decide(*many, margins={"default": 3.0})
    result = replace(few, decisions=few.decisions * 70, reasons=few.reasons * 70)
    text = gate.comment(result)
    assert text.startswith(MARKER)
    assert len(text) <= 65_536
    assert "cut" in text[-60:]
    assert len(gate.job_summary(result, 2**20 - 5000).encode()) <= 5000
    assert gate.job_summary(result, 2**20) == ""


# --- pinned baselines -----------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return build_run(tmp_path / "one", Plan(models=("a", "b")))


def test_a_pinned_baseline_compares_as_its_run(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "baseline.json"
    store.write_file(path, gate.pin(run, "b"))
    pinned = gate.read_pinned(path)
    whole = compare.compare([run], "a", ["b"], compare.Options())
    alone = replace(run, records=tuple(r for r in run.records if r.model == "a"))
    again = compare.compare([alone, pinned], "a", ["b"], compare.Options())
    assert [r.comparison for r in again] == [r.comparison for r in whole]
    text = path.read_text()
    assert not any(answer in text for r in run.records for answer in r.outcome.answers if answer)


def test_a_pinned_baseline_is_guarded(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "baseline.json"
    store.write_file(path, gate.pin(run, "b"))
    found = json.loads(path.read_bytes())
    for entry in found["benchmarks"]:
        entry["description"] = {**entry["description"], "version": "0.9"}
    path.write_text(json.dumps(found))
    alone = replace(run, records=tuple(r for r in run.records if r.model == "a"))
    with pytest.raises(ComparisonError, match=r"version: .* against '0.9'"):
        compare.compare([alone, gate.read_pinned(path)], "a", ["b"], compare.Options())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f["records"]["alpaca_eval"].pop(), "sha256 of its records"),
        (lambda f: f.update(kind="other"), "no pinned baseline"),
        (lambda f: f.update(format=2), "format 2"),
        (lambda f: f.pop("benchmarks"), "damaged"),
    ],
)
def test_a_changed_file_is_refused(tmp_path: Path, run: Run, change: object, said: str) -> None:
    found = json.loads(gate.pin(run, "b"))
    change(found)  # type: ignore[operator]
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(found))
    with pytest.raises(DataError, match=said):
        gate.read_pinned(path)


def test_pinning_a_model_that_is_not_there_lists_those_that_are(run: Run) -> None:
    with pytest.raises(ComparisonError, match="expected one of: a, b"):
        gate.pin(run, "x")


def test_junit_says_beside_a_verdict_what_the_table_says() -> None:
    weak = replace(row(), flags=("weak judge: j", "limited run: at most 5 samples"))
    result = gate.decide(("a", "b"), [weak], Policy(margins={"default": 3.0}))
    assert "pass (weak judge, limited run)" in "\n".join(gate.gate_lines(result))
    (suite,) = ET.fromstring(gate.junit(result))
    said = suite.findtext("testcase/system-out")
    assert said is not None
    assert said.startswith("pass (weak judge, limited run): difference")
