"""The dry run says what would be asked, and a run then asks exactly that."""

from __future__ import annotations

import json
from pathlib import Path

from evalkit import plugins, suite
from evalkit.runner.assemble import advice
from tests.runner.conftest import faults
from tests.support.cli import evalkit


def plan(workspace: Path, *arguments: str) -> dict[str, object]:
    done = evalkit(workspace, "run", "small.yaml", "--dry-run", "--json", *arguments)
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
    assert "at least" in done.out


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
    assert len(found["notes"]) == 2  # type: ignore[arg-type]


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
