"""The leaderboard: shown from three models on, ranks only where the pairs carry them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.compare.old_ranking import rankings
from evalkit.core import Run
from evalkit.draw import Table
from evalkit.report.blocks import Details, Note, Section
from evalkit.report.sections.leaderboard import build
from evalkit.report.view import View
from tests.support.runs import METRICS, Plan, build_run

MODELS = ("tuned", "base", "other", "third")


@pytest.fixture(scope="module")
def run() -> Run:
    return build_run(Path("run"), Plan(models=MODELS, published=True, advantage=0.4))


def section(run: Run) -> Section:
    found = build(View(run))
    assert found is not None
    return found


def tables(block: object) -> list[Table]:
    if isinstance(block, Table):
        return [block]
    if isinstance(block, Section | Details):
        return [t for inner in block.blocks for t in tables(inner)]
    return []


def test_two_models_make_no_leaderboard() -> None:
    assert build(View(build_run(Path("run"), Plan()))) is None


def test_unfinished_runs_have_none(run: Run) -> None:
    assert build(View(replace(run, manifest={**run.manifest, "sealed": False}))) is None


def test_every_headline_measure_has_its_board(run: Run) -> None:
    captions = [t.caption for t in tables(section(run)) if t.columns[-1].label == "Role"]
    assert captions == [
        "AlpacaEval: win rate",
        "MT-Bench: score, both turns",
        "lm-eval: opposites: accuracy",
        "lm-eval: sums: exact match (strict-match)",
    ]


def test_ranks_are_the_rankings(run: Run) -> None:
    boards = [t for t in tables(section(run)) if t.columns[-1].label == "Role"]
    found = list(rankings(run.records, METRICS, 0.95))
    assert len(found) == len(boards)
    for (_, _, ranking, _), board in zip(found, boards, strict=True):
        shown = {row[1].shown: row[0].shown for row in board.rows if not row[0].is_missing}
        assert shown == {
            p.model: str(p.first) if p.first == p.last else f"{p.first} to {p.last}"
            for p in ranking.places
        }
    # The candidate of this run is far ahead on AlpacaEval, and the others are alike.
    first = {row[1].shown: row[0].shown for row in boards[0].rows}
    assert first["tuned"] == "1"
    assert {first[name] for name in MODELS[1:]} == {"2 to 4"}


def test_published_rows_are_marked_and_have_no_rank(run: Run) -> None:
    board = tables(section(run))[0]
    group = board.groups[-1]
    assert group.label.startswith("Not ranked")
    (row,) = group.rows
    assert row[1].shown == "claude-2"
    assert row[0].is_missing
    assert row[-1].shown == "published"


def test_an_order_by_a_weak_judge_is_marked(run: Run) -> None:
    marked = [
        part.title
        for part in section(run).blocks
        if isinstance(part, Section) and any(isinstance(b, Note) for b in part.blocks)
    ]
    assert marked == ["AlpacaEval", "MT-Bench"]


def test_strengths_have_the_reference_as_a_player(run: Run) -> None:
    named = [t for t in tables(section(run)) if t.caption == "Strengths from games between pairs"]
    (strengths,) = named
    assert {row[1].shown for row in strengths.rows} == {*MODELS, "reference"}


def test_it_is_the_same_whatever_the_order_of_keys(run: Run) -> None:
    turned = {key: run.manifest[key] for key in reversed(list(run.manifest))}
    assert section(replace(run, manifest=turned)) == section(run)
