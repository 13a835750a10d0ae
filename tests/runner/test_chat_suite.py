"""`suites/chat.yaml`, unedited, to a report: hub, judge and models are stand-ins on this machine.

The hub serves tiny models, a real PEFT adapter and small data sets under the names that the suite
and lm-eval's tasks use; AlpacaEval and MT-Bench data are the public ones; the judge is a server
that speaks OpenAI's API and answers as alpaca_eval's and FastChat's judges do.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from evalkit import store
from evalkit.data import entry
from tests.support.fault_server import FaultServer, Received, Step, ok
from tests.support.hub_server import HubServer

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.data]

BASE, ADAPTER = "alignment-handbook/zephyr-7b-sft-full", "argilla/notus-7b-v1-lora-adapter"
BASELINE = "HuggingFaceH4/zephyr-7b-beta"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NEEDED = (
    "alpaca_eval/instructions",
    "alpaca_eval/reference_text_davinci_003",
    "mt_bench/question",
    "mt_bench/reference_answer/gpt-4",
    "mt_bench/judge_prompts",
)


def save_model(folder: Path, seed: int) -> Path:
    """A two-layer Llama with a byte-level tokenizer and a window wide enough for 25 examples."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|end|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(["Question: what is it? Answer: it is so."], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<|im_start|>", eos_token="<|im_end|>"
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=16384,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def save_adapter(folder: Path, base: Path) -> Path:
    """A LoRA adapter made by PEFT, which names the base as the hub does."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    settings = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"], r=4)
    tuned = get_peft_model(model, settings)
    torch.manual_seed(7)
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data + 0.1 * torch.randn_like(parameter)
    tuned.save_pretrained(folder)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "base_model_name_or_path": BASE}))
    return folder


def choices(n: int) -> dict[str, Any]:
    return {"text": [f"it is {n}", "it is not", "nobody knows", "all"], "label": list("ABCD")}


def rows() -> dict[str, dict[str, dict[str, list[dict[str, Any]]]]]:
    """Real-shaped rows by data set, config and split."""
    from lm_eval.tasks.mmlu._generate_configs import SUBJECTS

    arc = [
        {"id": f"q{n}", "question": f"What is {n}?", "choices": choices(n), "answerKey": "A"}
        for n in range(30)
    ]
    swag = [
        {
            "ind": n, "activity_label": "Cooking", "ctx_a": f"A cook stirs {n}.", "ctx_b": "she",
            "ctx": f"A cook stirs {n}. she", "endings": ["tastes it", "flies", "sings", "sleeps"],
            "source_id": f"s{n}", "split": "val", "split_type": "indomain", "label": str(n % 4),
        }
        for n in range(14)
    ]  # fmt: skip
    targets = {"choices": ["yes, it is", "no"], "labels": [1, 0]}
    truth = [
        {"question": f"Is {n}?", "mc1_targets": targets, "mc2_targets": targets} for n in range(3)
    ]
    wino = [
        {
            "sentence": f"The cup {n} did not fit into the bag because _ was big.",
            "option1": "the cup",
            "option2": "the bag",
            "answer": "1",
        }
        for n in range(8)
    ]
    sums = [
        {"question": f"What is {n} and 1?", "answer": f"It is.\n#### {n + 1}"} for n in range(8)
    ]
    mmlu = [
        {"question": f"What is {n}?", "subject": "s", "choices": list("1234"), "answer": n % 4}
        for n in range(5)
    ]
    subjects = {"dev": mmlu, "validation": mmlu, "test": mmlu[:2]}
    return {
        "allenai/ai2_arc": {"ARC-Challenge": _splits(arc) | {"test": arc[:3]}},
        "Rowan/hellaswag": {"default": _splits(swag) | {"test": swag[:3]}},
        "truthfulqa/truthful_qa": {"multiple_choice": {"validation": truth}},
        "allenai/winogrande": {"winogrande_xl": _splits(wino) | {"test": wino[:3]}},
        "openai/gsm8k": {"main": {"train": sums, "test": sums[:3]}},
        "cais/mmlu": dict.fromkeys(SUBJECTS, subjects),
    }


def _splits(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {"train": rows, "validation": rows[:3]}


def save_datasets(folder: Path) -> dict[str, Path]:
    """Parquet files and a README that names configs, as on the hub."""
    import pandas as pd
    import yaml

    found = {}
    for name, configs in rows().items():
        place = folder / name
        listed = []
        for config, splits in configs.items():
            (place / config).mkdir(parents=True)
            for split, content in splits.items():
                pd.DataFrame(content).to_parquet(place / config / f"{split}-00000-of-00001.parquet")
            files = [{"split": s, "path": f"{config}/{s}-*"} for s in splits]
            listed.append({"config_name": config, "data_files": files})
        (place / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': listed})}---\n")
        found[name] = place
    return found


def judged(received: Received) -> Step:
    """What GPT-4 would write: a ranking for alpaca_eval, a rating for MT-Bench."""
    if "rank the models" in received.last:
        return ok("[{'model': 'model_1', 'rank': 2}, {'model': 'model_2', 'rank': 1}]")
    return ok("It is fine. Rating: [[7]]")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Path]]:
    folder = tmp_path_factory.mktemp("hub")
    base = save_model(folder / "base", seed=0)
    models = {
        BASE: base,
        ADAPTER: save_adapter(folder / "adapter", base),
        BASELINE: save_model(folder / "baseline", seed=1),
    }
    return {"models": models, "datasets": save_datasets(folder / "datasets")}


def test_the_chat_suite_runs_unedited(
    hub: Mapping[str, Mapping[str, Path]], public_data: Path, repository: Path, tmp_path: Path
) -> None:
    mirror = tmp_path / "mirror"
    for name in NEEDED:
        target = mirror / entry(name).mirror
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(public_data / entry(name).mirror, target)
    with HubServer(hub["models"], hub["datasets"]) as server, FaultServer(default=judged) as judge:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "EVALKIT_"))}
        environment = {
            **kept,
            "HOME": str(tmp_path),
            "HF_HOME": str(tmp_path / "hf"),
            "HF_ENDPOINT": server.url,
            "EVALKIT_DATA": str(mirror),
            "OPENAI_BASE_URL": judge.url,
            "OPENAI_API_KEY": "not a key",
        }
        suite = str(repository / "suites" / "chat.yaml")
        done = subprocess.run(
            [sys.executable, "-m", "evalkit", "run", suite, "--limit", "1", "--out", "run"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=540,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-4000:]
    run = store.load(tmp_path / "run")
    assert run.manifest.limit == 1
    answered = {(r.model, r.benchmark, r.outcome.status) for r in run.records}
    entries = ("alpaca_eval", "mt_bench", "open_llm_leaderboard")
    assert answered == {(m, e, "ok") for m in ("notus-lora", "zephyr-7b-beta") for e in entries}
    figures = {(f.model, f.key.benchmark, f.key.task, f.key.metric): f for f in run.figures}
    for model in ("notus-lora", "zephyr-7b-beta"):
        assert figures[model, "mt_bench", "mt_bench", "score"].value.point == 7.0
        assert figures[model, "alpaca_eval", "alpaca_eval", "win_rate"].value.point in (0.0, 100.0)
        average = figures[model, "open_llm_leaderboard", "open_llm_leaderboard", "average"]
        assert average.value.point is not None
    published = figures["claude-2", "alpaca_eval", "alpaca_eval", "win_rate"]
    assert round(published.value.point or 0, 2) == 91.36
    assert "alpaca_eval_gpt4_leaderboard.csv" in str(published.source)
    (described,) = run.manifest.judges
    assert described.engine.model == "gpt-6.1-sol"
    judges = {b.name: b.description.judge or {} for b in run.manifest.benchmarks}
    assert judges["alpaca_eval"]["evaluator"] == "alpaca_eval_gpt4"
    assert judges["mt_bench"]["protocol"] == "rating_fastchat"
    page = (tmp_path / "run" / "report.md").read_text()
    assert "claude-2" in page
    assert "published" in page
    (tuned,) = (m for m in run.manifest.models if m.name == "notus-lora")
    assert (tuned.provenance.merge_proof or {})["argmax_agreement"]
    assert any("/api/datasets/cais/mmlu" in path for path in server.asked)
    assert any(f"/{ADAPTER}/resolve/" in path for path in server.asked)
