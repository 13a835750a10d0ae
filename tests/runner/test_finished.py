"""A finished run is found without being assembled, unless anything that decides it has changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runner.conftest import SUITE
from tests.support.cli import evalkit

FOUND = "finished before, and nothing has changed since"
SMALL = SUITE.replace(", faults: faults.json", "")


@pytest.fixture
def done(workspace: Path) -> Path:
    """A workspace where a small run is finished."""
    (workspace / "tuned").mkdir()
    (workspace / "tuned" / "weights").write_text("1")
    (workspace / "small.yaml").write_text(SMALL.split("  - {type: mt_bench")[0])
    first = evalkit(workspace, "run", "small.yaml", "--limit", "2")
    assert first.code == 0, first.err
    assert FOUND not in first.err
    return workspace


def again(workspace: Path, *more: str) -> str:
    ran = evalkit(workspace, "run", "small.yaml", "--limit", "2", *more)
    assert ran.code in (0, 2), ran.err
    return ran.err


def test_it_is_found_and_shown_alike(done: Path) -> None:
    said = evalkit(done, "run", "small.yaml", "--limit", "2")
    assert FOUND in said.err
    assert "reading alpaca_eval" not in said.err
    assert "AlpacaEval" in said.out
    assert "index.html" in said.out


def replaced(path: Path) -> None:
    """Another content of the same size, with the same time of modification."""
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"1", b"2"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "data": lambda place: replaced(place / "alpaca.jsonl"),
    "weights": lambda place: replaced(place / "tuned" / "weights"),
    "a new file beside the weights": lambda place: (place / "tuned" / "new").write_text(""),
    "records": lambda place: next(place.glob("reports/small/*/records.jsonl")).unlink(),
    "the report": lambda place: next(place.glob("reports/small/*/index.html")).unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed(done: Path, change: str) -> None:
    CHANGES[change](done)
    assert FOUND not in again(done)


@pytest.mark.parametrize("more", [("--set", "seed=3"), ("--out", "other"), ("--set", "name=b")])
def test_another_command_is_another_run(done: Path, more: tuple[str, ...]) -> None:
    assert FOUND not in again(done, *more)
    assert FOUND in again(done, *more)
    assert FOUND in again(done)


def test_an_edit_of_the_suite_is_noticed_where_it_matters(done: Path) -> None:
    file = done / "small.yaml"
    file.write_text(f"# a comment\n{file.read_text()}")
    assert FOUND in again(done, "--max-cost", "3")
    file.write_text(file.read_text().replace("protocol: text", "protocol: logprob"))
    assert FOUND not in again(done)


def test_another_program_is_noticed(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.runner.finished.versions", lambda: [("evalkit", "9.9")])
    assert FOUND not in again(done)


def test_a_file_changed_while_it_ran_is_not_trusted(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "small.yaml").write_text(SMALL)
    monkeypatch.setattr("evalkit.runner.pipeline.time.time", lambda: 0.0)
    again(workspace)
    assert FOUND not in again(workspace)


def test_a_constant_that_comes_later_is_noticed(done: Path) -> None:
    stamp = json.loads(next(done.glob(".evalkit/finished/*")).read_text())
    absent = [Path(name) for name, state in stamp["files"].items() if not state]
    later = next(p for p in absent if p.name == "df_gamed.csv" and p.is_relative_to(done))
    later.parent.mkdir(parents=True, exist_ok=True)
    later.write_text("")
    assert FOUND not in again(done)


def test_an_unfinished_run_leaves_no_stamp(workspace: Path) -> None:
    (workspace / "small.yaml").write_text(SMALL)
    evalkit(workspace, "run", "small.yaml", "--limit", "2", "--without-judge")
    assert not list(workspace.glob(".evalkit/finished/*"))
