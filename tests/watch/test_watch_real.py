"""Real tiny models on the transformers engine: what loads, what does not, and what is left over."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from evalkit import models
from evalkit.runner import watch
from tests.models import conftest as tiny

pytestmark = pytest.mark.slow

SUITE = """\
name: real
models:
  tuned: {{role: candidate, {weights}, dtype: float32}}
  plain: {{role: baseline, path: ./base, dtype: float32}}
engine: {{type: transformers, dtype: float32}}
benchmarks:
  - {{type: lm_eval, name: facts, tasks: [few_facts], include: tasks}}
gate: {{baseline: plain, margins: {{default: 100}}}}
report: {{formats: []}}
"""
TASK = """\
task: few_facts
dataset_path: json
dataset_kwargs: {data_files: {test: few.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: ["yes", "no"]
doc_to_target: 0
metric_list: [{metric: acc}]
metadata: {version: 1}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base model, a task, an empty folder `out`; the current folder."""
    (tmp_path / ".evalkit").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "few_facts.yaml").write_text(TASK)
    rows = "".join(json.dumps({"question": f"Is {n} a number?"}) + "\n" for n in range(12))
    (tmp_path / "tasks" / "few.jsonl").write_text(rows)
    model(tmp_path / "base", 0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def model(folder: Path, seed: int) -> None:
    folder.mkdir()
    tiny._make_model(folder, seed=seed)


def follow(place: Path, weights: str) -> watch.Summary:
    (place / "s.yaml").write_text(SUITE.format(weights=weights))
    training = watch.training(Path("out"), "s.yaml")
    return watch.follow(training, 4, None, watch.Options(0.05, once=True), watch.Silent())


def test_models_that_load_are_gated_and_others_fail_for_their_reason(
    place: Path,
) -> None:
    model(place / "out" / "checkpoint-1", 1)
    for step, change in ((2, {"hidden_size": 64}), (3, {"model_type": "unheard-of"})):
        broken = shutil.copytree(
            place / "out" / "checkpoint-1", place / "out" / f"checkpoint-{step}"
        )
        config = json.loads((broken / "config.json").read_text())
        (broken / "config.json").write_text(json.dumps({**config, **change}))
    model(place / "out" / "checkpoint-4", 2)
    summary = follow(place, "path: nothing/yet")
    assert [look.checkpoint for look, _ in summary.looks] == ["checkpoint-1", "checkpoint-4"]
    assert [look.look for look, _ in summary.looks] == [1, 2]
    reasons = {f.checkpoint: f.reason for f in summary.failures}
    assert "cannot load" in reasons["checkpoint-2"]
    assert "unheard-of" in reasons["checkpoint-3"]
    assert summary.exit_code == 3


def test_adapters_are_merged_proved_and_their_merged_weights_removed(place: Path) -> None:
    for step in (1, 2):
        tiny._make_adapter(place / "out" / f"checkpoint-{step}", place / "base", r=2 * step)
    summary = follow(place, "base: ./base")
    assert [v.verdict for _, v in summary.looks] == ["pass", "pass"]
    merged = list((place / ".evalkit").glob("models/*"))
    assert merged == []


@pytest.mark.parametrize("is_adapter", [False, True], ids=["model", "adapter"])
def test_what_the_trainer_writes_is_taken(place: Path, *, is_adapter: bool) -> None:
    """Three steps of the transformers Trainer, which keeps the last two checkpoints."""
    train(place, is_adapter=is_adapter)
    assert sorted(p.name for p in (place / "out").iterdir()) == ["checkpoint-2", "checkpoint-3"]
    found = watch.find_folders(place / "out")
    assert watch.training_ended(found)
    assert [models.unfinished(f.path, adapter=is_adapter) for f in found] == ["", ""]
    summary = follow(place, "base: ./base" if is_adapter else "path: nothing/yet")
    assert [look.checkpoint for look, _ in summary.looks] == ["checkpoint-2", "checkpoint-3"]
    assert [v.verdict for _, v in summary.looks] == ["pass", "pass"]
    training = watch.training(Path("out"), "s.yaml")
    assert training.suggested_looks() == 3


def train(place: Path, *, is_adapter: bool) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

    model = AutoModelForCausalLM.from_pretrained(str(place / "base"), dtype=torch.float32)
    if is_adapter:
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=64))
    rows = [{"input_ids": [3, 4, 5, 6 + n], "labels": [3, 4, 5, 6 + n]} for n in range(6)]
    arguments = TrainingArguments(
        output_dir=str(place / "out"),
        max_steps=3,
        save_steps=1,
        save_total_limit=2,
        per_device_train_batch_size=2,
        learning_rate=0.05,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        seed=1,
    )
    tokenizer = AutoTokenizer.from_pretrained(str(place / "base"))
    tokenizer.pad_token = tokenizer.eos_token
    Trainer(model, arguments, train_dataset=rows, processing_class=tokenizer).train()
