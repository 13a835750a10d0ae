"""The dry run says what would be asked, and a run then asks exactly that."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from evalkit import plugins, suite
from evalkit.benchmarks.lm_eval import LmEval
from evalkit.core import Flow, Outcome, Sample
from evalkit.runner.assemble import Origin, Selection, Steady, advice
from evalkit.runner.plan import planned
from tests.runner.conftest import faults
from tests.support.cli import evalkit


def plan(workspace: Path, *arguments: str) -> dict[str, object]:
    done = evalkit(workspace, "plan", "small.yaml", "--json", *arguments)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert isinstance(found, dict)
    return found


def test_a_dry_run_counts_and_starts_nothing(workspace: Path) -> None:
    faults(workspace, down=True)
    rows = plan(workspace)["rows"]
    assert isinstance(rows, list)
    counted = {(r["engine"], r["model"], r["benchmark"]): r["requests"] for r in rows}
    assert counted == {
        ("tuned", "tuned", "alpaca_eval"): 20,
        ("judge:local", "tuned", "alpaca_eval"): 40,
        ("plain", "plain", "alpaca_eval"): 20,
        ("judge:local", "plain", "alpaca_eval"): 40,
        ("tuned", "tuned", "mt_bench"): 16,
        ("judge:local", "tuned", "mt_bench"): 16,
        ("plain", "plain", "mt_bench"): 16,
        ("judge:local", "plain", "mt_bench"): 16,
    }
    assert all(r["cached"] == 0 for r in rows)
    assert not (workspace / "reports").exists()


def test_after_the_run_everything_is_in_the_cache(finished: Path) -> None:
    rows = plan(finished)["rows"]
    assert isinstance(rows, list)
    assert [r["to_ask"] for r in rows] == [0] * 8
    assert not any(r["lower_bound"] for r in rows)


def test_the_table_names_engines_and_numbers(workspace: Path) -> None:
    done = evalkit(workspace, "run", "small.yaml", "--dry-run")
    assert done.code == 0
    assert "judge:local" in done.out
    assert "--tokens" in done.out


TASKS = """\
name: tasks
models:
  tuned: {role: candidate, path: tuned}
engine: {type: fake}
benchmarks:
  - {type: lm_eval, tasks: [quickstart/tasks/facts.yaml, quickstart/tasks/arithmetic.yaml]}
"""


def test_requests_are_counted_without_prompts_and_tokens_on_demand(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(repository / "suites" / "quickstart", tmp_path / "quickstart")
    (tmp_path / "tasks.yaml").write_text(TASKS)
    loaded = suite.load(tmp_path / "tasks.yaml", (), plugins)
    origin = Origin("tasks", tmp_path, tmp_path, ())
    built: list[str] = []
    plain = LmEval.flow

    def flow(self: LmEval, sample: Sample, model: str) -> Flow[Outcome]:
        built.append(sample.id)
        return plain(self, sample, model)

    monkeypatch.setattr(LmEval, "flow", flow)
    quick = planned(loaded, origin, Selection(limit=10), lambda _: None)
    (row,) = quick.rows
    assert (row.samples, row.requests, row.cached, row.prompt_tokens) == (20, 50, 0, None)
    assert not built
    said: list[str] = []
    whole = planned(loaded, origin, Selection(limit=10), said.append, tokens=True)
    (row,) = whole.rows
    assert (row.samples, row.requests, row.cached) == (20, 50, 0)
    assert len(built) == 20
    assert "counting lm_eval" in said


def test_what_is_stored_is_unknown_until_prompts_are_built(
    tmp_path: Path, repository: Path
) -> None:
    shutil.copytree(repository / "suites" / "quickstart", tmp_path / "quickstart")
    (tmp_path / "tasks.yaml").write_text(TASKS)
    done = evalkit(tmp_path, "run", "tasks.yaml", "--limit", "2")
    assert done.code == 0, done.err
    loaded = suite.load(tmp_path / "tasks.yaml", (), plugins)
    origin = Origin("tasks", tmp_path, tmp_path, ())
    (row,) = planned(loaded, origin, Selection(limit=3), lambda _: None).rows
    assert (row.requests, row.cached, row.to_send) == (15, None, None)
    (row,) = planned(loaded, origin, Selection(limit=3), lambda _: None, tokens=True).rows
    assert (row.requests, row.cached, row.to_send) == (15, 10, 5)


def test_a_slow_step_says_what_it_does_every_two_seconds() -> None:
    said: list[tuple[float, str]] = []
    began = time.monotonic()
    with Steady(lambda text: said.append((time.monotonic() - began, text))) as say:
        say("reading")
        say.now("reading: mmlu")
        time.sleep(1.9)
    assert [text for _, text in said] == ["reading", "reading: mmlu (2 s)"]
    assert said[1][0] < 2


def test_without_data_the_plan_has_the_published_sizes(workspace: Path) -> None:
    suite = (workspace / "small.yaml").read_text()
    suite = suite.replace(", data: alpaca.jsonl", "").replace(", data: mt", "")
    (workspace / "small.yaml").write_text(suite)
    found = plan(workspace)
    rows = found["rows"]
    assert isinstance(rows, list)
    counted = {(r["engine"], r["benchmark"]): r["requests"] for r in rows if r["model"] == "tuned"}
    assert counted == {
        ("tuned", "alpaca_eval"): 805,
        ("judge:local", "alpaca_eval"): 1610,
        ("tuned", "mt_bench"): 160,
        ("judge:local", "mt_bench"): 160,
    }
    assert [note.partition(":")[0] for note in found["notes"][:2]] == [  # type: ignore[index]
        "alpaca_eval",
        "mt_bench",
    ]


def test_a_retired_judge_is_named_before_anything_is_sent(
    workspace: Path,
) -> None:
    """OpenAI's own address: list prices, and the retirement of its deprecations page."""
    text = (workspace / "small.yaml").read_text()
    judge = "{type: openai, model: gpt-4-0613, protocol: text}"
    text = text.replace("{type: engine, model: plain, protocol: text}", judge)
    (workspace / "small.yaml").write_text(text)
    found = plan(workspace)
    assert found["money"][0]["usd"] > 0  # type: ignore[index]
    notes = " ".join(found["notes"])  # type: ignore[arg-type]
    assert "judge local: 'gpt-4-0613' retired on 2026-10-23 (OpenAI, as of 2026-11-30)" in notes
    assert "use gpt-5.6-sol in its place" in notes
    assert "list prices (genai-prices " in notes
    made = suite.load(workspace / "small.yaml", (), plugins)
    assert [line for line in advice(made) if "retired on 2026-10-23" in line]
