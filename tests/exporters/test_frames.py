"""`Run.to_frame`: columns as documented, figures that can be had from rows, missing is missing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.core import Outcome, Run
from evalkit.core.columns import TABLES
from evalkit.core.frames import frame
from evalkit.errors import ExportError
from tests.support.runs import Plan, build_run

KINDS = {"text": "str", "number": "float64", "whole": "int64", "flag": "bool"}


@pytest.fixture(scope="module")
def run() -> Run:
    return build_run(Path("r"), Plan(published=True))


@pytest.mark.parametrize("what", TABLES)
def test_columns_and_types_are_the_documented_ones(what: str, run: Run) -> None:
    found = run.to_frame(what)
    assert list(found.columns) == list(TABLES[what])
    assert {n: str(t) for n, t in found.dtypes.items()} == {
        name: KINDS[column.kind] for name, column in TABLES[what].items()
    }
    assert len(found) > 0


@pytest.mark.parametrize("what", TABLES)
def test_an_empty_run_has_the_same_columns_and_types(what: str, run: Run) -> None:
    empty = replace(run, records=(), estimates=(), comparisons=())
    assert len(empty.to_frame(what)) == 0
    assert empty.to_frame(what).dtypes.equals(run.to_frame(what).dtypes)


@pytest.mark.parametrize("what", TABLES)
def test_every_column_is_described_in_a_sentence(what: str) -> None:
    for name, column in TABLES[what].items():
        assert column.description.endswith("."), name


def test_another_table_lists_those_there_are(run: Run) -> None:
    with pytest.raises(ExportError, match=r"'answers'.*samples, scores, judgments"):
        run.to_frame("answers")


def test_a_row_per_record_score_and_judgment(run: Run) -> None:
    records = run.records
    assert len(run.to_frame()) == len(records)
    assert len(run.to_frame("scores")) == sum(len(r.outcome.scores) for r in records)
    assert len(run.to_frame("judgments")) == sum(len(r.outcome.judgments) for r in records)
    assert len(run.to_frame("estimates")) == len(run.estimates)
    assert len(run.to_frame("comparisons")) == len(run.comparisons)


def test_estimates_can_be_had_from_scores(run: Run) -> None:
    """The mean over `scores` is the estimate's point, and so is the weighted one over `samples`."""
    scores, samples = run.to_frame("scores"), run.to_frame()
    figures = run.to_frame("estimates")
    checked = 0
    for row in figures[figures.primary & figures.category.isna() & (figures.n > 0)].itertuples():
        mine = scores[
            (scores.model == row.model) & (scores.task == row.task) & (scores.metric == row.metric)
        ]
        assert mine.score.mean() == pytest.approx(row.point)
        assert len(mine) == row.n
        whole = samples[(samples.model == row.model) & (samples.task == row.task)]
        assert (whole.score * whole.n_scores).sum() / whole.n_scores.sum() == pytest.approx(
            row.point
        )
        assert (whole.n_scores.sum(), whole.n_missing.sum()) == (row.n, row.n_missing)
        checked += 1
    assert checked == 8


def test_what_failed_has_no_score_and_is_never_zero(run: Run) -> None:
    samples = run.to_frame()
    failed = samples[(samples.status != "ok") & (samples.benchmark != "mt_bench")]
    assert len(failed) > 0
    assert failed.score.isna().all()
    assert (failed.n_missing == 1).all()
    assert failed.answer.isna().all()
    assert failed.error.notna().all()
    half = samples[(samples.status == "unparsable") & (samples.benchmark == "mt_bench")]
    assert list(half.n_scores) == [1, 1]
    assert list(half.n_missing) == [1, 1]


def test_an_excluded_sample_enters_no_score(run: Run) -> None:
    first = run.records[0]
    outcome = replace(first.outcome, status="excluded")
    excluded = replace(run, records=(replace(first, outcome=outcome),))
    row = excluded.to_frame().iloc[0]
    assert math.isnan(row.score)
    assert (row.n_scores, row.n_missing) == (0, 1)


def test_undefined_figures_are_nan(run: Run) -> None:
    published = run.to_frame("estimates").query("model == 'claude-2'").iloc[0]
    assert published.point == 91.38
    assert math.isnan(published.standard_error)
    assert math.isnan(published.low)
    assert published.source == "https://leaderboard.example, 2023-08-01"


def test_turns_are_set_apart_and_choices_stand_on_lines(run: Run) -> None:
    samples = run.to_frame()
    turns = samples[samples.benchmark == "mt_bench"].iloc[0]
    assert turns.prompt == "Question 0, turn 1: what follows?\n\nQuestion 0, turn 2: what follows?"
    choices = samples[samples.task == "opposites"].iloc[0]
    assert choices.answer == "cold (-1.20)\nwarm (-3.45)"


def test_votes_are_by_the_order_they_were_given_in(run: Run) -> None:
    pairs = run.to_frame("judgments").query("benchmark == 'alpaca_eval'")
    assert (pairs.vote_first >= pairs.vote_second).all()
    assert ((pairs.vote_first + pairs.vote_second) / 2).tolist() == pytest.approx(
        pairs.value.tolist()
    )
    ratings = run.to_frame("judgments").query("benchmark == 'mt_bench'")
    assert ratings.vote_first.isna().all()
    assert ratings.value.isna().sum() == 2


def test_half_a_surrogate_pair_is_spelled_out(run: Run) -> None:
    first = run.records[0]
    outcome = Outcome("ok", answers=("a\ud800b\udfff😀",))
    broken = replace(run, records=(replace(first, outcome=outcome),))
    assert broken.to_frame().answer[0] == "a⟨U+D800⟩b⟨U+DFFF⟩😀"


def test_figures_only_leaves_out_what_the_columns_say(run: Run) -> None:
    kept = frame([run], "samples", figures_only=True)
    assert set(run.to_frame().columns) - set(kept.columns) == {
        "prompt",
        "answer",
        "reference",
        "error",
    }


def test_several_runs_stand_below_each_other(run: Run) -> None:
    other = replace(run, manifest={**run.manifest, "run_id": "000000000000"})
    both = frame([run, other], "estimates")
    assert both.run_id.value_counts().to_dict() == {
        "3f2a9c1b7d04": len(run.estimates),
        "000000000000": len(run.estimates),
    }
