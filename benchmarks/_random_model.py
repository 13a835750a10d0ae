"""Models of real shapes with random weights, for machines that reach no model hub.

Speed does not depend on what the weights are.  Answers do: the output layer is scaled up, so
that one token stands out as it does with trained weights, and equal arithmetic gives equal text.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from evalkit.core import PreparedModel

__all__ = ["SHAPES", "make_adapter", "make_model", "prepared"]

SHAPES: Mapping[str, Mapping[str, int]] = {
    # Mistral-7B, which Zephyr-7B-beta and Notus-7B-v1 are made of.
    "7b": {"hidden": 4096, "layers": 32, "heads": 32, "kv_heads": 8, "inner": 14336},
    # TinyLlama-1.1B.
    "1b": {"hidden": 2048, "layers": 22, "heads": 32, "kv_heads": 4, "inner": 5632},
    "tiny": {"hidden": 256, "layers": 2, "heads": 4, "kv_heads": 2, "inner": 512},
}
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_PEAKED = 6.0


def make_model(shape: str, tokenizer: Path, folder: Path) -> Path:
    """A Mistral of that shape in bfloat16 with a tokenizer's files beside it; made once.

    Args:
        shape: A key of SHAPES.
        tokenizer: Folder of a model whose tokenizer and chat template it gets.
        folder: Where to write.
    """
    import torch
    from transformers import AutoTokenizer, MistralConfig, MistralForCausalLM

    if (folder / "config.json").is_file():
        return folder
    words = AutoTokenizer.from_pretrained(tokenizer)
    size = SHAPES[shape]
    config = MistralConfig(
        vocab_size=-(-len(words) // 64) * 64,
        hidden_size=size["hidden"],
        num_hidden_layers=size["layers"],
        num_attention_heads=size["heads"],
        num_key_value_heads=size["kv_heads"],
        intermediate_size=size["inner"],
        max_position_embeddings=8192,
        sliding_window=None,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        dtype="bfloat16",
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = MistralForCausalLM(config).to(torch.bfloat16)
    with torch.no_grad():
        model.lm_head.weight.mul_(_PEAKED)
    model.save_pretrained(folder)
    for name in _TOKENIZER:
        if (tokenizer / name).is_file():
            shutil.copy(tokenizer / name, folder / name)
    del model
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return folder


def make_adapter(base: Path, folder: Path) -> Path:
    """A LoRA adapter of rank 16 on the attention of `base`, which changes its answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    if (folder / "adapter_config.json").is_file():
        return folder
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    torch.manual_seed(1)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
    tuned = get_peft_model(model, LoraConfig(r=16, lora_alpha=16, target_modules=targets))
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            # PEFT begins with zeros there, and the adapter would do nothing.
            if "lora_B" in name:
                weight.normal_(std=0.02)
    tuned.save_pretrained(folder)
    return folder


def prepared(folder: Path) -> PreparedModel:
    """As evalkit's engines take a model."""
    from evalkit import models
    from evalkit.core.specs import ModelSpec

    spec = ModelSpec(path=str(folder))
    return models.prepare(folder.name, spec, folder.parent, folder.parent, lambda _: None)
