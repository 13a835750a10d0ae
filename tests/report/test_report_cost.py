"""The report's account of tokens, and what sessions leave for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evalkit import report
from evalkit.report.sections.cost import build
from evalkit.report.view import View
from evalkit.runner.usage import total_work
from tests.support.runs import build_run

COUNTS = {
    "requests": 40,
    "asks": 12,
    "naive": 20_000,
    "trie": 1_000,
    "floor": 1_040,
    "planned": 1_040,
    "computed": 1_050,
    "redone": 0,
}


def page(tmp_path: Path, work: object) -> str:
    run = build_run(tmp_path)
    manifest = {**run.manifest, "work": work}
    rendered = report.render(replace(run, manifest=manifest))
    return next(text.decode() for name, text in rendered.items() if name.endswith(".md"))


def test_computed_saved_and_bound_are_shown(tmp_path: Path) -> None:
    text = page(tmp_path, {"notus": COUNTS})
    (row,) = (line for line in text.splitlines() if line.startswith("| notus | 40 "))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == ["notus", "40", "20,000", "1,050", "94.8%", "1,000", "1.050", "1.010"]


def test_an_engine_that_computed_nothing_is_left_out(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    empty: list[object] = [None, {}, {"m": {}}, {"m": {**COUNTS, "computed": 0}}, {"m": 3}]
    for work in empty:
        assert build(View(replace(run, manifest={**run.manifest, "work": work}))) is None


def test_sessions_add_up_by_their_last_lines() -> None:
    first = {"started": 1.0, "work": {"m": {"computed": 5, "naive": 9}}}
    later = {"started": 1.0, "work": {"m": {"computed": 8, "naive": 9}}}
    other = {"started": 2.0, "work": {"m": {"computed": 1, "naive": 2}, "n": {"computed": 4}}}
    found = total_work([first, later, {"started": 3.0}, other])
    assert found == {"m": {"computed": 9, "naive": 11}, "n": {"computed": 4}}


def test_what_engines_verified_is_shown(tmp_path: Path) -> None:
    checks = {"quick-lora": {"scoring_path": "plain", "scoring_reason": "no cache to share"}}
    run = build_run(tmp_path)
    rendered = report.render(replace(run, manifest={**run.manifest, "checks": checks}))
    text = next(page.decode() for name, page in rendered.items() if name.endswith(".md"))
    assert "Checked when loaded" in text
    assert "no cache to share" in text
