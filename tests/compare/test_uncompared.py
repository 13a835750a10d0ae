"""What a comparison has no row of is named: in the table's note, in JSON and in Markdown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from evalkit import compare
from evalkit.cli.compare import command
from evalkit.compare import Uncompared
from evalkit.core import Estimate, Record, Run
from tests.support.runs import Plan, build_run
from tests.support.stored import seal

PLAIN = Plan(models=("a", "b"))


def without(run: Run, model: str, *, benchmark: str = "", task: str = "") -> Run:
    def keeps(record: Record) -> bool:
        if record.model != model:
            return True
        return benchmark not in ("", record.benchmark) or task not in ("", record.task)

    return replace(run, records=tuple(r for r in run.records if keeps(r)))


def left_out(run: Run) -> list[Uncompared]:
    return compare.uncompared([run], "a", ["b"], compare.Options())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return build_run(tmp_path / "one", PLAIN)


def test_nothing_is_left_out_of_equal_sides(run: Run) -> None:
    assert left_out(run) == []
    rows = compare.compare([run], "a", ["b"], compare.Options())
    assert "Not compared" not in compare.rows_table(rows, left_out(run)).note


def test_a_benchmark_of_one_side_is_named(run: Run) -> None:
    (one,) = left_out(without(run, "b", benchmark="mt_bench"))
    assert (one.benchmark, one.tasks, one.has) == ("mt_bench", (), "candidate")
    assert one.sentence == "Not compared: MT-Bench: a has samples, b has none."
    (other,) = left_out(without(run, "a", benchmark="mt_bench"))
    assert other.has == "baseline"
    assert other.sentence == "Not compared: MT-Bench: b has samples, a has none."


def test_a_task_of_one_side_is_named(run: Run) -> None:
    (one,) = left_out(without(run, "a", benchmark="lm_eval", task="sums"))
    assert (one.tasks, one.has) == (("sums",), "baseline")
    assert one.sentence == "Not compared: lm-eval: sums: b has samples, a has none."


def test_many_tasks_are_counted(run: Run) -> None:
    more = tuple(
        replace(r, task=f"t{n}")
        for n in range(9)
        for r in run.records
        if (r.model, r.task, r.sample) == ("a", "sums", "0")
    )
    (one,) = left_out(replace(run, records=(*run.records, *more)))
    assert len(one.tasks) == 9
    assert "t0, t1, t2, t3, t4 and 4 more: a has samples" in one.sentence


def test_metrics_of_different_names_are_named(run: Run, tmp_path: Path) -> None:
    """Two imports of one task may have scored it by other filters."""
    entries = json.loads(json.dumps(run.manifest["benchmarks"]).replace("strict-match", "flexible"))
    other = replace(run, folder=tmp_path / "two", manifest={**run.manifest, "benchmarks": entries})
    (one,) = compare.uncompared(
        [without(run, "b"), without(other, "a")], "a", ["b"], compare.Options()
    )
    assert (one.tasks, one.has) == (("sums",), "other metrics")
    assert "have no metric in common" in one.sentence


def test_figures_without_samples_are_named(run: Run) -> None:
    figures = tuple(
        Estimate(model, "arc", "arc", "acc", None, 50.0, None, None, None, 0.95, 0, 0, 0,
                 "percent", "published", "a card")
        for model in ("a", "b")
    )  # fmt: skip
    (one,) = left_out(replace(run, estimates=(*run.estimates, *figures)))
    assert (one.benchmark, one.has) == ("arc", "figures")
    assert left_out(replace(run, estimates=(*run.estimates, figures[0]))) == []


def test_the_command_says_it_in_every_form(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "stored"
    seal(without(without(run, "b", benchmark="mt_bench"), "a", task="sums"), folder)
    said = ["MT-Bench: a has samples, b has none", "lm-eval: sums: b has samples, a has none"]
    text, markdown, found = (
        CliRunner().invoke(command, [str(folder), *more], standalone_mode=False)
        for more in ([], ["--markdown"], ["--json"])
    )
    assert all(sentence in text.output for sentence in said)
    assert all(sentence in markdown.output for sentence in said)
    rows = json.loads(found.output)
    assert [(u["benchmark"], u["tasks"], u["has"]) for u in rows["uncompared"]] == [
        ("mt_bench", [], "candidate"),
        ("lm_eval", ["sums"], "baseline"),
    ]
    assert {r["benchmark"] for r in rows["comparisons"]} == {"alpaca_eval", "lm_eval"}


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    run = build_run(tmp_path / "x", Plan(models=("a\x1b[2J|b", "b")))
    folder = tmp_path / "stored"
    seal(without(run, "b", benchmark="mt_bench"), folder)
    for more in ([], ["--markdown"]):
        done = CliRunner().invoke(command, [str(folder), *more], standalone_mode=False)
        assert "Not compared" in done.output
        assert "\x1b" not in done.output
