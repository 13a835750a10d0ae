"""What is recorded at training proves a later merge end to end, and fails where it must."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit import models
from evalkit.core.specs import ModelSpec
from evalkit.errors import MergeError
from tests.support.cli import evalkit

pytestmark = pytest.mark.slow

Make = Callable[..., Path]
Edit = Callable[[Path, Callable[[dict[str, Any]], None]], None]


def merge(base: Path, adapter: Path, folder: Path, **more: Any) -> dict[str, Any]:
    spec = ModelSpec(**more)
    return models.merge(str(base), str(adapter), folder / "m", spec, folder, lambda _line: None)


@pytest.fixture
def trained_by(make_model: Make, tmp_path: Path) -> Callable[..., Path]:
    """`trained_by(dtype, **options)`: an adapter that a real Trainer trained and recorded."""

    def train(dtype: str = "float32", **options: Any) -> Path:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

        base = make_model()
        model = AutoModelForCausalLM.from_pretrained(str(base), dtype=getattr(torch, dtype))
        config = LoraConfig(
            r=4,
            lora_alpha=32,
            target_modules=["q_proj", "v_proj"],
            task_type="CAUSAL_LM",
            **options,
        )
        torch.manual_seed(3)
        tuned = get_peft_model(model, config)
        out = tmp_path / "run"
        arguments = TrainingArguments(
            str(out), max_steps=4, learning_rate=0.3, save_steps=2, report_to=[], use_cpu=True
        )
        ids = list(range(3, 30))
        callback = models.recording_callback(str(base), tmp_path)
        data = [{"input_ids": ids, "labels": ids}] * 8
        Trainer(tuned, arguments, train_dataset=data, callbacks=[callback]).train()
        return out

    return train


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_callback_records_the_trained_model(
    dtype: str, trained_by: Callable[..., Path], make_model: Make, tmp_path: Path
) -> None:
    out = trained_by(dtype)
    adapter = out / "checkpoint-4"
    record = json.loads((adapter / "evalkit_base.json").read_text())
    assert record["probes"]["from"] == "training"
    assert record["probes"]["dtype"] == dtype
    assert (out / "evalkit_base.json").is_file()
    proof = merge(make_model(), adapter, tmp_path)
    exact = dtype == "float32"
    name = f"{'largest' if exact else 'mean'}_logprob_difference_from_recorded"
    assert proof[name] < (1e-3 if exact else 0.05)
    assert "not_proved" not in proof
    # Another state of the same adapter is not what was trained.
    earlier = out / "checkpoint-2" / "evalkit_base.json"
    earlier.write_text((adapter / "evalkit_base.json").read_text())
    with pytest.raises(MergeError, match="not the one recorded at training"):
        merge(make_model(), out / "checkpoint-2", tmp_path / "other")


def test_another_base_of_the_same_shape_fails_the_end_to_end_proof(
    trained_by: Callable[..., Path], make_model: Make, tmp_path: Path
) -> None:
    adapter = trained_by() / "checkpoint-4"
    file = adapter / "evalkit_base.json"
    record = json.loads(file.read_text()) | {"digests": []}
    file.write_text(json.dumps(record))
    with pytest.raises(MergeError, match="not the one recorded at training"):
        merge(make_model(seed=5), adapter, tmp_path, allow_different_base=str(make_model()))


def test_the_command_records_what_peft_loads(
    make_model: Make, make_adapter: Make, edit_adapter: Edit, tmp_path: Path
) -> None:
    base = make_model()
    adapter = make_adapter(base)
    done = evalkit(tmp_path, "adapter", "record", str(adapter), str(base))
    assert done.code == 0, done.err
    proof = merge(base, adapter, tmp_path)
    assert proof["largest_logprob_difference_from_recorded"] < 1e-3
    assert "recorded from a reload" in proof["not_proved"]

    def scale(state: dict[str, Any]) -> None:
        for tensor in state.values():
            tensor.mul_(1.5)

    edit_adapter(adapter, scale)
    with pytest.raises(MergeError, match="not the one recorded at training"):
        merge(base, adapter, tmp_path / "other")


def test_without_a_record_the_proof_says_what_it_cannot_see(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model()
    proof = merge(base, make_adapter(base), tmp_path)
    assert "that the base is the one trained on" in proof["not_proved"]
