"""A copy for publication holds every figure and none of the benchmark's texts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evalkit.report import render
from tests.support.runs import Plan, build_run


def test_no_question_and_no_answer_is_left(tmp_path: Path) -> None:
    run = build_run(tmp_path, Plan())
    prompt = {"benchmark": "alpaca_eval", "text": "a rendered question", "bos": "one"}
    models = [{**m, "first_prompts": [prompt]} for m in run.manifest["models"]]
    run = replace(run, manifest={**run.manifest, "models": models})
    whole, bare = render(run), render(run, figures_only=True)
    texts = {m.content for r in run.records for m in r.outcome.conversation} | {prompt["text"]}
    for name in ("index.html", "report.md"):
        shown = {t for t in texts if t in whole[name].decode()}
        assert prompt["text"] in shown
        assert len(shown) > 2
        assert not [t for t in texts if t in bare[name].decode()]


def test_every_figure_is_still_there(tmp_path: Path) -> None:
    run = build_run(tmp_path, Plan())
    whole, bare = (render(run, figures_only=f)["report.md"].decode() for f in (False, True))
    rows = [line for line in whole.split("## Examples")[0].splitlines() if line.startswith("|")]
    assert len(rows) > 10
    assert [row for row in rows if row not in bare] == []
