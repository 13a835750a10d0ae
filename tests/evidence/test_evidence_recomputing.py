"""Stored figures against their records: the same, different, or not to be had, never a guess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.compare import Options
from evalkit.core import Estimate, Run
from evalkit.errors import DataError
from evalkit.evidence import Recomputed, find, recompute
from evalkit.evidence.figures import of_runs
from tests.support.runs import Plan, build_run

RUN = build_run(Path("run"), Plan(published=True))


def of(run: Run, cell: str) -> Recomputed:
    return recompute(find([run], cell, Options()))


def test_every_figure_of_a_run_is_the_same() -> None:
    outcomes = {recompute(f).outcome for f in of_runs([RUN]) if f.models != ("claude-2",)}
    assert outcomes == {"same"}


@pytest.mark.parametrize("cell", ["quick-lora/alpaca_eval", "quick-lora-smollm2/alpaca_eval"])
def test_a_changed_score_is_seen(cell: str) -> None:
    records = list(RUN.records)
    outcome = records[0].outcome
    scores = (replace(outcome.scores[0], value=0.0), *outcome.scores[1:])
    records[0] = replace(records[0], outcome=replace(outcome, scores=scores))
    found = of(replace(RUN, records=tuple(records)), cell)
    assert found.outcome == "differs"
    assert any(d.startswith(("point: ", "difference: ")) for d in found.differences)


def test_a_changed_result_is_seen() -> None:
    first = RUN.estimates[0]
    assert first.point is not None
    rows = (replace(first, point=first.point + 0.01), *RUN.estimates[1:])
    found = of(replace(RUN, estimates=rows), "quick-lora/alpaca_eval")
    assert found.outcome == "differs"
    assert found.differences == (
        f"point: results.json has {first.point + 0.01!r}, the records give {first.point!r}",
    )


def test_a_lost_record_is_seen_in_n() -> None:
    found = of(replace(RUN, records=RUN.records[1:]), "quick-lora/alpaca_eval")
    assert any(d.startswith("n: ") for d in found.differences)


@pytest.mark.parametrize("cell", ["smollm2/lm_eval/sums", "quick-lora-smollm2/lm_eval/sums"])
def test_lost_records_of_a_task_are_a_difference(cell: str) -> None:
    kept = tuple(r for r in RUN.records if (r.model, r.task) != ("smollm2", "sums"))
    found = of(replace(RUN, records=kept), cell)
    assert found.outcome == "differs"
    assert "the records do not" in found.differences[0]


def test_another_machines_last_bit_is_no_difference() -> None:
    first = RUN.estimates[0]
    assert first.point is not None
    rows = (replace(first, point=first.point * (1 + 1e-13)), *RUN.estimates[1:])
    assert of(replace(RUN, estimates=rows), "quick-lora/alpaca_eval").outcome == "same"


def test_published_figures_are_not_computed() -> None:
    found = of(RUN, "claude-2/alpaca_eval")
    assert (found.outcome, found.row) == ("nothing computed", None)
    assert "the source says so" in found.why


def extra_run() -> Run:
    """With a figure that is no mean over samples."""
    row = replace(RUN.estimates[0], metric="length_controlled", point=40.0)
    return replace(RUN, estimates=(*RUN.estimates, row))


def test_a_difference_over_tasks_is_not_taken_for_a_lost_one() -> None:
    row = replace(RUN.comparisons[0], benchmark="lm_eval", task="lm_eval", metric="average")
    run = replace(RUN, comparisons=(row,))
    found = of(run, "quick-lora-smollm2/lm_eval/lm_eval/average")
    assert found.outcome == "not recomputed"


CELL = "quick-lora/alpaca_eval/length_controlled"


def test_figures_that_are_no_means_are_their_benchmarks_affair() -> None:
    run = extra_run()

    def same(run: Run, model: str, benchmark: str) -> Sequence[Estimate]:
        assert (model, benchmark) == ("quick-lora", "alpaca_eval")
        return [run.estimates[-1]]

    def other(run: Run, model: str, benchmark: str) -> Sequence[Estimate]:
        return [replace(run.estimates[-1], point=41.0)]

    def absent(run: Run, model: str, benchmark: str) -> Sequence[Estimate]:
        raise DataError("df_gamed.csv is not here; set EVALKIT_DATA")

    figure = find([run], CELL, Options())
    assert recompute(figure, same).outcome == "same"
    assert recompute(figure, other).outcome == "differs"
    found = recompute(figure, absent)
    assert found.outcome == "not recomputed"
    assert "df_gamed.csv is not here" in found.why
    assert recompute(figure).outcome == "not recomputed"


def test_figures_read_from_result_files_are_not_computed() -> None:
    row = replace(RUN.estimates[0], source="arc.json, 25 shots", method="recorded", metric="acc")
    run = replace(RUN, estimates=(row,))
    found = of(run, "quick-lora/alpaca_eval/acc")
    assert found.outcome == "nothing computed"
    assert "not the samples" in found.why
