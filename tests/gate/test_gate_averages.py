"""The gate on a leaderboard: its average and columns, and details only where they are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalkit import gate
from evalkit.core.specs import GateSpec
from evalkit.gate import GateResult
from tests.support.leaderboards import ENTRY, V1_SIZES, board_run

EQUAL = {"a": 0.5, "b": 0.5}


def gated(folder: Path, rates: dict[str, float] | None = None, **spec: Any) -> GateResult:
    policy = GateSpec(baseline="b", **spec)
    return gate.gate_run(board_run(folder, rates or EQUAL), policy)


def verdicts(result: GateResult) -> dict[str, str]:
    return {d.task: d.verdict for d in result.decisions}


def test_the_average_and_its_columns_are_gated(tmp_path: Path) -> None:
    result = gated(tmp_path, margins={"default": 60.0})
    assert [d.task for d in result.decisions] == [
        "arc_challenge", "hellaswag", "truthfulqa_mc2", "winogrande", "gsm8k", "mmlu", ENTRY,
    ]  # fmt: skip
    assert result.verdict == "pass"
    assert result.decisions[-1].label == "Open LLM Leaderboard average"


@pytest.mark.parametrize("name", [f"{ENTRY}/average", f"{ENTRY}/{ENTRY}"])
def test_the_average_has_a_margin_of_its_own(tmp_path: Path, name: str) -> None:
    result = gated(tmp_path, margins={name: 9.5, ENTRY: 60.0})
    assert [d.margin for d in result.decisions] == [60.0] * 6 + [9.5]
    assert result.decisions[-1].verdict == "pass"


def test_a_task_within_a_group_is_gated_where_it_is_named(tmp_path: Path) -> None:
    result = gated(tmp_path, margins={"default": 60.0, f"{ENTRY}/mmlu_virology": 5.0})
    assert result.decisions[-2].task == "mmlu_virology" or "mmlu_virology" in verdicts(result)
    assert "mmlu_anatomy" not in verdicts(result)


def test_only_the_average_can_be_required(tmp_path: Path) -> None:
    rates = {"a": 0.3, "b": 0.6}
    spec = {"margins": {"default": 1.0}, "required": (f"{ENTRY}/average",)}
    result = gated(tmp_path, rates, **spec)
    assert [d.required for d in result.decisions] == [False] * 6 + [True]
    assert result.verdict == "regression"


def test_a_leaderboard_in_part_is_gated_by_its_columns(tmp_path: Path) -> None:
    """Its average was never asked for, so it is not missed; required by name, it is."""
    sizes = {task: n for task, n in V1_SIZES.items() if task != "gsm8k"}
    run = board_run(tmp_path, EQUAL, sizes=sizes)
    margins = {"default": 60.0}
    assert gate.gate_run(run, GateSpec(baseline="b", margins=margins)).verdict == "pass"
    demanded = GateSpec(baseline="b", margins=margins, required=(f"{ENTRY}/average", ENTRY))
    result = gate.gate_run(run, demanded)
    assert (result.verdict, result.exit_code) == ("incomplete", 3)


def test_a_pinned_baseline_keeps_what_averages_need(tmp_path: Path) -> None:
    """Version 2's IFEval is a share over instructions, which no score of a document tells."""
    run = board_run(tmp_path, {"a": 0.6, "b": 0.5}, version=2)
    pinned = tmp_path / "baseline.json"
    pinned.write_bytes(gate.pin(run, "b"))
    spec = GateSpec(baseline="b", margins={"default": 3.0})
    whole = gate.gate_run(run, spec)
    again = gate.gate_run(run, spec, baseline=gate.read_baseline(pinned))
    assert [d.difference for d in again.decisions] == [d.difference for d in whole.decisions]
    assert all(d.difference is not None for d in again.decisions)
