"""Struck values: an error with the alternative in a file, readable in a stored run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalkit import plugins, suite
from evalkit.errors import SuiteError

TEXT = """\
name: s
models:
  a: {path: org/a, engine: {type: vllm, serve: lora}}
engine:
  type: vllm
  serve: lora
benchmarks: [{type: lm_eval, tasks: [arc_easy], include: gone}]
report:
  charts: radar
"""


def test_a_file_that_has_them_is_told_what_to_write(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(TEXT)
    (tmp_path / "gone").mkdir()
    with pytest.raises(SuiteError) as caught:
        suite.load(path, [], plugins)
    found = {p.where.removeprefix(f"{path}:"): p.message for p in caught.value.problems}
    assert list(found) == ["3: models.a.engine.serve", "6: engine.serve", "9: report.charts"]
    assert found["6: engine.serve"].startswith("'lora' is no longer offered; expected 'merged'")
    assert found["9: report.charts"].startswith("'radar' is no longer drawn; expected 'bars'")


def test_a_stored_run_that_has_them_reads_without_its_files() -> None:
    stored: dict[str, Any] = {
        "name": "s",
        "models": {"a": {"path": "./gone", "engine": {"type": "vllm", "serve": "lora"}}},
        "engine": {"type": "vllm", "serve": "lora"},
        "benchmarks": [{"type": "lm_eval", "tasks": ["arc_easy"], "include": "gone"}],
        "report": {"charts": "radar"},
    }
    made = suite.load_stored(stored, "manifest.json", plugins)
    assert made.report.charts == "bars"
    assert made.engine.model_dump()["serve"] == "merged"
    assert stored["report"] == {"charts": "radar"}, "reading changes nothing"
    with pytest.raises(SuiteError, match=r"manifest\.json: sed: unknown field 'sed'"):
        suite.load_stored({**stored, "sed": 1}, "manifest.json", plugins)
