"""What speaks against figures is said by every command that shows them, in the same words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from evalkit import card, compare, gate, store
from evalkit.cli.claim import command as claim_command
from evalkit.cli.compare import command as compare_command
from evalkit.core import Run
from evalkit.core.specs import GateSpec
from evalkit.errors import CardError
from evalkit.report.summary import comment
from tests.support.runs import Plan, build_run
from tests.support.stored import seal

SPEC = GateSpec(baseline="b", margins={"default": 50.0})
LIMITED = "Limited run: at most 20 samples per task were asked; for trying out only."
CLEAR = Plan(models=("a", "b"), samples=(200, 40, 80), advantage=0.4)
SOUND = replace(CLEAR, local_judge=False)


def rows_of(run: Run) -> list[compare.Row]:
    return compare.compare([run], "a", ["b"], compare.Options())


# --- a weak judge -------------------------------------------------------------------------------


@pytest.fixture
def weak(tmp_path: Path) -> Run:
    return build_run(tmp_path / "weak", CLEAR)


def test_what_a_weak_judge_prefers_is_called_better_nowhere(weak: Run) -> None:
    rows = [r for r in rows_of(weak) if r.comparison.benchmark in ("alpaca_eval", "mt_bench")]
    judged = [r for r in rows if r.comparison.metric != "avg_length"]
    assert any(r.verdict == "better" for r in judged)
    for row in judged:
        assert row.weak
        assert row.flags == ("weak judge: base-judge",)
        assert row.sentence.startswith(("A weak judge prefers a to b", "By a weak judge only: "))
        assert " is better than " not in row.sentence
    assert not any(r.weak for r in rows_of(weak) if r not in judged)


def test_the_report_says_compares_sentence(weak: Run) -> None:
    (row,) = (r for r in rows_of(weak) if r.comparison.metric == "win_rate")
    from evalkit.report import render

    text = render(weak)["report.md"].decode()
    assert row.sentence in text.replace("\\", "")


def test_the_gate_marks_a_weak_judges_tests(weak: Run) -> None:
    result = gate.gate_run(weak, SPEC)
    lines = gate.gate_lines(result)
    assert sum("(weak judge)" in line for line in lines) == 2
    assert any(line.startswith("warning: AlpacaEval, MT-Bench: judged by") for line in lines)
    flags = {d["benchmark"]: d["flags"] for d in result.to_json()["decisions"]}
    assert flags["alpaca_eval"] == ["weak judge: base-judge"]
    assert flags["lm_eval"] == []


def test_the_command_says_it_in_every_form(weak: Run, tmp_path: Path) -> None:
    folder = tmp_path / "stored"
    seal(weak, folder)
    for form in ([], ["--markdown"], ["--json"]):
        done = CliRunner().invoke(compare_command, [str(folder), *form], standalone_mode=False)
        said = done.output.replace("\\", "")
        assert "prefers a to b on AlpacaEval" in said
        assert "judged by base-judge, a model of the suite" in said
    text = "a beats b on alpaca_eval"
    done = CliRunner().invoke(claim_command, [str(folder), text, "--json"], standalone_mode=False)
    assert json.loads(done.output)["answer"] == "not supported"


# --- a limited run ------------------------------------------------------------------------------


def test_a_limited_run_is_said_with_every_sentence(tmp_path: Path) -> None:
    run = build_run(tmp_path, replace(SOUND, limit=20))
    rows = rows_of(run)
    assert all(row.sentence.endswith(LIMITED) for row in rows)
    assert all(any(flag.startswith("limited run: ") for flag in row.flags) for row in rows)
    assert "(limited run)" in str(compare.rows_table(rows))
    assert "Limited run." in comment(run)


# --- records and results that disagree ----------------------------------------------------------


def one_changed(run: Run) -> Run:
    first, *others = run.records
    scores = tuple(replace(s, value=0.0) for s in first.outcome.scores)
    return replace(
        run, records=(replace(first, outcome=replace(first.outcome, scores=scores)), *others)
    )


def one_lost(run: Run) -> Run:
    return replace(run, records=run.records[1:])


@pytest.mark.parametrize("broken", [one_changed, one_lost])
def test_records_that_results_do_not_know_are_damage(
    tmp_path: Path, broken: Callable[[Run], Run]
) -> None:
    whole = build_run(tmp_path, SOUND)
    assert list(compare.damages(whole)) == []
    run = broken(whole)
    (damage,) = compare.damages(run)
    assert (damage.model, damage.entry) == ("a", "alpaca_eval")
    assert "results.json has win rate" in damage.message
    (row,) = (r for r in rows_of(run) if r.comparison.metric == "win_rate")
    assert f"Damaged evidence: a, alpaca_eval: {damage.message}." in row.sentence
    other = [r for r in rows_of(run) if r.comparison.benchmark != "alpaca_eval"]
    assert not any("Damaged" in r.sentence for r in other)
    notes = gate.gate_run(run, SPEC).notes
    assert any(damage.message in note for note in notes)
    assert "Damaged evidence." in comment(run)
    with pytest.raises(CardError, match="one of the two files was changed"):
        card.gather([store.typed(run)])


def test_damage_is_looked_for_where_there_are_figures(tmp_path: Path) -> None:
    """An unfinished run has none yet, and a model that was left out is not compared."""
    run = one_changed(build_run(tmp_path, SOUND))
    unfinished = replace(run, manifest={**run.manifest, "sealed": False})
    assert list(compare.damages(unfinished)) == []
    without = replace(run, records=tuple(r for r in run.records if r.model == "b"))
    assert list(compare.damages(without)) == []
