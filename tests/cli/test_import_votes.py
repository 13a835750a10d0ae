"""`evalkit import votes`: from a voting page, a table or alpaca_eval's annotations into a run."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import evalkit as library
from evalkit import store
from evalkit.comparison.votes import people
from evalkit.core import Record, Run
from evalkit.core.votes import Vote, VoteFile
from tests.support.cli import Outcome, evalkit
from tests.support.runs import Plan, stored_run

NAMES = ["sample", "benchmark", "first", "second", "choice", "voter"]
HOSTILE = "<script>alert(1)</script>\x1b[31m"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return stored_run(tmp_path / "run", Plan(samples=(30, 4, 4)))


def judged(run: Run) -> list[Record]:
    model = run.models[0]
    return [r for r in run.records_of(model, "alpaca_eval") if r.outcome.judgments]


def votes_of(run: Run, voter: str = "a1") -> tuple[Vote, ...]:
    """For the model in two thirds of its judged answers, which stand first and second in turn."""
    found = []
    for n, r in enumerate(judged(run)):
        sides = (r.model, "reference") if n % 2 else ("reference", r.model)
        ours = "first" if n % 2 else "second"
        theirs = "second" if n % 2 else "first"
        choice: Any = ours if n % 3 else theirs
        found.append(Vote(r.benchmark, r.task, r.sample, *sides, choice, voter))
    return tuple(found)


def page(run: Run, votes: tuple[Vote, ...], folder: Path, **changes: Any) -> Path:
    said = {**asdict(VoteFile(run.manifest.run_id, votes)), **changes}
    file = folder / "votes.json"
    file.write_text(json.dumps(said))
    return file


def table(run: Run, votes: tuple[Vote, ...], folder: Path) -> Path:
    file = folder / "votes.csv"
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, NAMES)
        writer.writeheader()
        for v in votes:
            better = {"first": v.first, "second": v.second}[v.choice]
            writer.writerow({**{n: getattr(v, n) for n in NAMES}, "choice": better})
    return file


def cross_annotations(run: Run, votes: tuple[Vote, ...], folder: Path) -> Path:
    records = {r.sample: r for r in judged(run)}
    rows = []
    for v in votes:
        r = records[v.sample]
        texts = {r.model: r.outcome.answers[0], "reference": r.outcome.reference[0]}
        rows.append(
            {
                "instruction": r.outcome.conversation[0].content,
                "output_1": texts[v.first],
                "output_2": texts[v.second],
                "preference": {"first": 1, "second": 2.0, "tie": 1.5}[v.choice],
                "annotator_index": 1,
            }
        )
    file = folder / "crossannotations.json"
    file.write_text(json.dumps(rows))
    return file


def imported(folder: Path, file: Path, *more: str) -> Outcome:
    return evalkit(folder, "import", "votes", str(file), "run", *more)


@pytest.mark.parametrize("made", [page, table, cross_annotations])
def test_three_kinds_of_file_say_the_same(
    tmp_path: Path, run: Run, made: Callable[[Run, tuple[Vote, ...], Path], Path]
) -> None:
    done = imported(tmp_path, made(run, votes_of(run), tmp_path), "--json")
    assert done.code == 0, done.err
    (row,) = json.loads(done.out)["people"]
    n = len(judged(run))
    assert (row["n_votes"], row["n_pairs"], row["n_voters"]) == (n, n, 1)
    values = [r.outcome.judgments[0].value or 0.0 for r in judged(run)]
    agree = sum((v > 0.5) == bool(i % 3) for i, v in enumerate(values))
    assert row["with_judge"]["alike"]["point"] == pytest.approx(100 * agree / n)
    assert row["with_judge"]["alike"]["low"] < 100 * agree / n
    assert len(store.load(tmp_path / "run").votes) == n
    (preferred,) = row["preferred"]
    assert preferred["by_people"]["n"] == n


def test_a_report_shows_them_and_again_is_the_same(tmp_path: Path, run: Run) -> None:
    before = store.load(tmp_path / "run")
    file = page(run, votes_of(run), tmp_path)
    done = imported(tmp_path, file)
    assert done.code == 0, done.err
    assert "people among themselves" in done.out
    assert "What people prefer" in done.out
    report = (tmp_path / "run" / "report.md").read_bytes()
    assert b"## People" in report
    stored = (tmp_path / "run" / "votes.jsonl").read_bytes()
    assert imported(tmp_path, file).code == 0
    assert (tmp_path / "run" / "votes.jsonl").read_bytes() == stored
    assert evalkit(tmp_path, "report", "run").code == 0
    assert (tmp_path / "run" / "report.md").read_bytes() == report
    after = store.load(tmp_path / "run")
    assert (after.records, after.figures) == (before.records, before.figures)
    compared = evalkit(tmp_path, "compare", "run")
    assert "people would prefer" in compared.out
    assert json.loads(evalkit(tmp_path, "compare", "run", "--json").out)["people"]


def test_a_second_person_is_added_and_a_change_of_mind_counts_once(
    tmp_path: Path, run: Run
) -> None:
    n = len(judged(run))
    assert imported(tmp_path, page(run, votes_of(run), tmp_path)).code == 0
    second = imported(tmp_path, page(run, votes_of(run, "a2"), tmp_path), "--json")
    (row,) = json.loads(second.out)["people"]
    assert (row["n_votes"], row["n_voters"]) == (2 * n, 2)
    assert row["among_people"]["alike"]["point"] == 100
    changed = tuple(
        Vote(v.benchmark, v.task, v.sample, v.first, v.second, "tie", v.voter)
        for v in votes_of(run, "a2")
    )
    (found,) = people(library.import_votes(run, page(run, changed, tmp_path)))
    assert found.n_votes == 2 * n
    assert found.among_people.alike.point == 0


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, run: Run) -> None:
    other = imported(tmp_path, page(run, votes_of(run), tmp_path, run_id="000000000000"))
    assert other.code == 2
    assert "'000000000000'" in other.err
    wrong = page(run, votes_of(run), tmp_path, kind="something")
    assert imported(tmp_path, wrong).code == 2
    bad = tmp_path / "bad.csv"
    bad.write_text("sample,first,second,choice\n0001,a,b,better\n")
    done = imported(tmp_path, bad)
    assert done.code == 2
    assert "bad.csv:2" in done.err
    bad.write_text("sample,first\n0001,a\n")
    assert "no second" in imported(tmp_path, bad).err
    assert not (tmp_path / "run" / "votes.jsonl").exists()
    alone = evalkit(tmp_path, "import", "votes", "votes.json")
    assert alone.code == 2
    assert "FILE... RUN" in alone.err


def test_votes_on_other_answers_are_counted_or_refused(tmp_path: Path, run: Run) -> None:
    stranger = Vote("alpaca_eval", "alpaca_eval", "9999", "x", "y", "first", HOSTILE)
    only = imported(tmp_path, page(run, (stranger,), tmp_path))
    assert only.code == 2
    assert "none of its 1 votes" in only.err
    some = imported(tmp_path, page(run, (*votes_of(run), stranger), tmp_path))
    assert some.code == 0
    assert f"1 of {len(judged(run)) + 1} votes are left out" in some.err
