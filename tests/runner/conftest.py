"""A small suite on the fake engine, in a folder of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.cli import evalkit

SUITE = """\
name: small
models:
  tuned: {role: candidate, path: tuned}
  plain: {role: baseline, path: plain}
engine: {type: fake, exclusive: true, faults: faults.json}
judges:
  local: {type: engine, model: plain, protocol: text}
benchmarks:
  - {type: alpaca_eval, judge: local, data: alpaca.jsonl}
  - {type: mt_bench, judge: local, data: mt}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Holds small.yaml, its data (20 instructions, 8 questions) and a .evalkit folder."""
    return _furnish(tmp_path)


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = _furnish(tmp_path_factory.mktemp("finished"))
    done = evalkit(folder, "run", "small.yaml")
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def finished(_finished: Path, tmp_path: Path) -> Path:
    """A workspace where small.yaml has been run; nothing in its files says in which folder."""
    return Path(shutil.copytree(_finished, tmp_path / "finished"))


def _furnish(tmp_path: Path) -> Path:
    (tmp_path / ".evalkit").mkdir()
    (tmp_path / "small.yaml").write_text(SUITE, encoding="utf-8")
    rows = [
        {"instruction": f"Name {n} rivers.", "output": f"River {n}.", "generator": "reference"}
        for n in range(20)
    ]
    _write_lines(tmp_path / "alpaca.jsonl", rows)
    categories = ("writing", "math", "coding", "stem")
    questions = [
        {
            "question_id": 100 + n,
            "category": categories[n % 4],
            "turns": [f"Question {n}?", f"And then {n}?"],
        }
        for n in range(8)
    ]
    (tmp_path / "mt").mkdir()
    (tmp_path / "mt" / "question.jsonl").write_text(
        "".join(json.dumps(q) + "\n" for q in questions)
    )
    references = [
        {"question_id": q["question_id"], "choices": [{"index": 0, "turns": ["one", "two"]}]}
        for q in questions
        if q["category"] in {"math", "coding"}
    ]
    _write_lines(tmp_path / "mt" / "reference_answer.jsonl", references)
    return tmp_path


def _write_lines(path: Path, rows: Sequence[object]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def faults(workspace: Path, **settings: float | bool) -> None:
    """Make the fake engine slow or faulty from its next opening on; none: make it well."""
    path = workspace / "faults.json"
    if settings:
        path.write_text(json.dumps(settings))
    else:
        path.unlink(missing_ok=True)
