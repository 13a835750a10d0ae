"""Tiny random Llama models and PEFT adapters on them, made in a fraction of a second."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
WORDS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:?!'()+-/\n"

MakeModel = Callable[..., Path]
MakeAdapter = Callable[..., Path]


def save_tokenizer(folder: Path, *, extra: tuple[str, ...] = (), template: bool = True) -> int:
    """A character tokenizer; returns how many tokens it has."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {c: i for i, c in enumerate(["<unk>", "<s>", "</s>", *WORDS])}
    raw = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    raw.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    if extra:
        tokenizer.add_tokens(list(extra))
    if template:
        tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeModel]:
    """`make_model(seed=..., layers=..., tied=..., dtype=..., template=...)` -> folder."""
    import peft  # noqa: F401
    from transformers import LlamaForCausalLM  # noqa: F401

    gc.freeze()  # merging collects garbage; that should not look through all of torch each time
    made: dict[str, Path] = {}

    def make(**wanted: Any) -> Path:
        key = json.dumps(wanted, sort_keys=True)
        if key not in made:
            made[key] = _make_model(tmp_path_factory.mktemp("base"), **wanted)
        return made[key]

    yield make
    gc.unfreeze()


def _make_model(
    folder: Path,
    *,
    seed: int = 0,
    layers: int = 2,
    tied: bool = False,
    dtype: str = "float32",
    template: bool = True,
) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    rows = save_tokenizer(folder, template=template)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=rows,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=tied,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(config).to(getattr(torch, dtype))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> MakeAdapter:
    """The adapters that `make_adapter` copies."""
    made: dict[str, Path] = {}

    def make(base: Path, **wanted: Any) -> Path:
        key = json.dumps([str(base), wanted], sort_keys=True)
        if key not in made:
            made[key] = _make_adapter(tmp_path_factory.mktemp("trained"), base, **wanted)
        return made[key]

    return make


@pytest.fixture
def make_adapter(trained: MakeAdapter, tmp_path: Path) -> MakeAdapter:
    """`make_adapter(base, r=..., ...)` -> folder of a random, "trained" adapter on `base`."""

    def make(base: Path, **wanted: Any) -> Path:
        folder = tmp_path / f"adapter{len(list(tmp_path.glob('adapter*')))}"
        return copy_of(trained(base, **wanted), folder)

    return make


def _make_adapter(
    folder: Path, base: Path, *, zero: bool = False, extra: tuple[str, ...] = (), **options: Any
) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    if extra:
        rows = save_tokenizer(folder, extra=extra)
        model.resize_token_embeddings(rows)
    settings = {"target_modules": ["q_proj", "v_proj"], "r": 4, "lora_alpha": 8, **options}
    tuned = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))
    torch.manual_seed(7)
    for name, parameter in tuned.named_parameters():
        if parameter.requires_grad and not (zero and "lora_B" in name):
            parameter.data = parameter.data + 0.1 * torch.randn_like(parameter)
    tuned.save_pretrained(folder, save_embedding_layers=bool(extra) or "auto")
    return folder


@pytest.fixture
def edit_adapter() -> Callable[[Path, Callable[[dict[str, Any]], None]], None]:
    """`edit_adapter(folder, change)`: `change` the tensors of an adapter file in place."""

    def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
        from safetensors.torch import load_file, save_file

        file = str(folder / "adapter_model.safetensors")
        state = load_file(file)
        change(state)
        save_file(state, file)

    return edit


def copy_of(folder: Path, target: Path) -> Path:
    """The same checkpoint under another name."""
    shutil.copytree(folder, target)
    return target


@pytest.fixture
def said() -> list[str]:
    """Progress lines: pass `said.append` as `progress`."""
    return []
