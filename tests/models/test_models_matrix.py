"""Each kind of adapter is merged into the model that was trained, or refused with the true reason.

The oracle is the trained model while it is still in memory, never what PEFT loads from its files.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evalkit import models
from evalkit.core.specs import ModelSpec
from evalkit.errors import EvalkitError, ModelError

from .conftest import save_tokenizer

pytestmark = pytest.mark.slow

Make = Callable[..., Path]
IDS = list(range(3, 40))


def logits(model: Any) -> Any:
    import torch

    with torch.inference_mode():
        return model.eval()(input_ids=torch.tensor([IDS])).logits[0, -len(IDS) :].float()


def load(folder: Path, dtype: str = "float32") -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(str(folder), dtype=getattr(torch, dtype))


def train(model: Any, out: Path, kind: str = "LoraConfig", **options: Any) -> Any:
    """An adapter of random weights, "trained" on `model`; returns what the tuned model answers."""
    import peft
    import torch

    given = {"target_modules": ["q_proj", "v_proj"], **options}
    if kind == "LoraConfig":
        given = {"r": 4, "lora_alpha": 8, **given}
    torch.manual_seed(1)
    config = getattr(peft, kind)(task_type="CAUSAL_LM", **given)
    tuned = peft.get_peft_model(model, config)
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    right = logits(tuned)
    tuned.save_pretrained(out)
    return right


def merged(base: Path, adapter: Path, folder: Path) -> Any:
    spec = ModelSpec(dtype="float32")
    models.merge(str(base), str(adapter), folder / "m", spec, folder, lambda _line: None)
    return logits(load(folder / "m"))


def assert_same(found: Any, right: Any, other: Any) -> None:
    """`other`: the base's, which the adapter must have changed."""
    assert float((found - right).abs().max()) < 2e-4
    assert float((right - other).abs().max()) > 2e-2


LORA: dict[str, dict[str, Any]] = {
    **{f"init {i}": {"init_lora_weights": i} for i in (False, "gaussian", "orthogonal", "eva")},
    **{f"init {i}": {"init_lora_weights": i} for i in ("pissa", "olora", "mica")},
    "pissa, DoRA, rsLoRA": {"init_lora_weights": "pissa", "use_dora": True, "use_rslora": True},
    "some layers": {"layers_to_transform": [1]},
    "embeddings": {"target_modules": ["embed_tokens", "lm_head", "q_proj"]},
    "all of it": {"target_modules": "all-linear", "modules_to_save": ["lm_head"]},
    "tokens": {"trainable_token_indices": [5, 6]},
    "tied adapters": {
        "target_modules": ["embed_tokens", "lm_head", "q_proj"],
        "ensure_weight_tying": True,
    },
    "tied modules": {"modules_to_save": ["embed_tokens", "lm_head"], "ensure_weight_tying": True},
}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", LORA)
def test_lora_is_merged_into_the_trained_model(
    kind: str, tied: bool, make_model: Make, tmp_path: Path
) -> None:
    base = make_model(tied=tied)
    right = train(load(base), tmp_path / "a", **LORA[kind])
    assert_same(merged(base, tmp_path / "a", tmp_path), right, logits(load(base)))


TUNERS: dict[str, dict[str, Any]] = {
    "AdaLoraConfig": {"total_step": 10, "init_r": 4},
    "BOFTConfig": {"boft_block_size": 4},
    "C3AConfig": {"block_size": 16},
    "DeloraConfig": {"r": 4},
    "FourierFTConfig": {"n_frequency": 30},
    "HRAConfig": {"r": 4},
    "IA3Config": {"feedforward_modules": []},
    "LNTuningConfig": {"target_modules": ["input_layernorm"]},
    "LoHaConfig": {"r": 4},
    "LoKrConfig": {"r": 4},
    "MissConfig": {"r": 4},
    "OFTConfig": {"oft_block_size": 4, "r": 0},
    "RandLoraConfig": {"r": 4},
    "ShiraConfig": {"r": 4},
    "VBLoRAConfig": {"num_vectors": 16, "vector_length": 16, "topk": 2},
    "VeraConfig": {"r": 4, "d_initial": 1.0},
    "TrainableTokensConfig": {"target_modules": ["embed_tokens"], "token_indices": [5, 6]},
}


@pytest.mark.parametrize("kind", TUNERS)
def test_other_tuners_are_merged_into_the_trained_model(
    kind: str, make_model: Make, tmp_path: Path
) -> None:
    base = make_model()
    right = train(load(base), tmp_path / "a", kind, **TUNERS[kind])
    other = logits(load(base))
    found = merged(base, tmp_path / "a", tmp_path)
    assert float((found - right).abs().max()) < 2e-4
    assert float((right - other).abs().max()) > 1e-2


VIRTUAL = {"num_virtual_tokens": 4}


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("LoraConfig", {"init_lora_weights": "pissa_niter_4"}, "randomised SVD"),
        ("LoraConfig", {"alora_invocation_tokens": [5]}, "aLoRA"),
        ("LoraConfig", {"lora_bias": True}, "base layer has no bias"),
        ("LoraConfig", {"layer_replication": [[0, 2], [1, 2]]}, "cannot be merged faithfully"),
        ("PromptTuningConfig", VIRTUAL, "prompt tuning"),
        ("PrefixTuningConfig", VIRTUAL, "prefix tuning"),
        ("PromptEncoderConfig", VIRTUAL, "p-tuning"),
    ],
)
def test_what_cannot_be_merged_is_named(
    kind: str, options: dict[str, Any], words: str, make_model: Make, tmp_path: Path
) -> None:
    import peft
    import torch

    base = make_model()
    given = {**({"target_modules": ["q_proj"]} if kind == "LoraConfig" else {}), **options}
    tuned = peft.get_peft_model(load(base), getattr(peft, kind)(task_type="CAUSAL_LM", **given))
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.add_(0.1 * parameter.requires_grad * torch.randn_like(parameter))
    tuned.save_pretrained(tmp_path / "a")
    with pytest.raises(EvalkitError, match=words) as error:
        merged(base, tmp_path / "a", tmp_path)
    assert "is this the base" not in str(error.value)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"init_lora_weights": "corda"}, "a sample of data"),
        ({"init_lora_weights": "lora_ga"}, "gradients of the training data"),
        ({"init_lora_weights": "loftq"}, "a quantisation"),
        ({"init_lora_weights": "next_year"}, "does not know it"),
        ({"peft_type": "NEXT_YEAR"}, "knows of no proof"),
        ({"peft_type": "XLORA"}, "mixes several adapters"),
    ],
)
def test_kinds_nobody_has_compared_are_refused_before_anything_is_loaded(
    changes: dict[str, Any], words: str, make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model()
    adapter = make_adapter(base)
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    said: list[str] = []
    spec = ModelSpec(base=str(base), adapter=str(adapter))
    with pytest.raises(ModelError, match=words):
        models.prepare("tuned", spec, tmp_path, tmp_path, said.append)
    assert not any("merging" in line for line in said)


# --- files -----------------------------------------------------------------------------------


def _as_bin(adapter: Path) -> None:
    import torch
    from safetensors.torch import load_file

    file = adapter / "adapter_model.safetensors"
    torch.save(load_file(file), adapter / "adapter_model.bin")
    file.unlink()


def _renamed(adapter: Path, change: Callable[[str], str]) -> None:
    from safetensors.torch import load_file, save_file

    file = adapter / "adapter_model.safetensors"
    save_file({change(k): v for k, v in load_file(file).items()}, file)


@pytest.mark.parametrize(
    "change",
    [
        _as_bin,
        partial(_renamed, change=lambda k: k.replace(".weight", ".default.weight")),
        partial(_renamed, change=lambda k: f"_orig_mod.{k}"),
        partial(_renamed, change=lambda k: k.replace("model.model.", "model._orig_mod.model.")),
        partial(_renamed, change=lambda k: f"module.{k}"),
        partial(
            _renamed, change=lambda k: k.replace("self_attn", "_fsdp_wrapped_module.self_attn")
        ),
    ],
    ids=["bin", "adapter's name", "compiled", "compiled inside", "parallel", "sharded"],
)
def test_names_that_trainers_leave_in_the_file_are_understood(
    change: Callable[[Path], None], make_model: Make, tmp_path: Path
) -> None:
    base = make_model()
    right = train(load(base), tmp_path / "a")
    change(tmp_path / "a")
    assert_same(merged(base, tmp_path / "a", tmp_path), right, logits(load(base)))


def test_sharded_bfloat16_base_with_an_untidy_generation_config(
    make_model: Make, tmp_path: Path
) -> None:

    base = tmp_path / "base"
    load(make_model(), "bfloat16").save_pretrained(base, max_shard_size="20KB")
    save_tokenizer(base)
    # What Llama-2-chat and vicuna ship: sampling values without do_sample.
    untidy = '{"eos_token_id": 2, "temperature": 0.9, "top_p": 0.6}'
    (base / "generation_config.json").write_text(untidy)
    config = json.loads((base / "config.json").read_text()) | {"of_next_year": {"a": 1}}
    (base / "config.json").write_text(json.dumps(config))
    assert len(list(base.glob("*.safetensors"))) > 1
    right = train(load(base), tmp_path / "a")
    file = tmp_path / "a" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"use_next_year": True}))
    spec = ModelSpec()
    out = tmp_path / "m"
    proof = models.merge(str(base), str(tmp_path / "a"), out, spec, tmp_path, lambda _line: None)
    assert (out / "generation_config.json").read_text() == untidy
    assert any("use_next_year" in warning for warning in proof["warnings"])
    assert proof["saved_dtype"] == "bfloat16"
    assert float((logits(load(out)) - right).abs().max()) < 0.3
    # The same weights, unrounded.
    exact = merged(base, tmp_path / "a", tmp_path / "exact")
    assert_same(exact, right, logits(load(base)))


def test_resized_vocabulary(make_model: Make, tmp_path: Path) -> None:
    base = make_model()
    model = load(base)
    rows = save_tokenizer(tmp_path / "a", extra=("<tool>", "</tool>"))
    model.resize_token_embeddings(rows)
    right = train(model, tmp_path / "a", modules_to_save=["embed_tokens", "lm_head"])
    found = merged(base, tmp_path / "a", tmp_path)
    assert found.shape[-1] == rows
    assert float((found - right).abs().max()) < 2e-4


# --- other architectures, and the names of transformers 4 ---------------------------------------

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def _mixtral(folder: Path) -> Any:
    import torch
    from transformers import MixtralConfig, MixtralForCausalLM

    rows = save_tokenizer(folder)
    config = MixtralConfig(
        vocab_size=rows, num_local_experts=3, num_experts_per_tok=2, initializer_range=0.2, **SIZES
    )
    torch.manual_seed(0)
    model = MixtralForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    return model


def test_experts_with_the_names_of_transformers_4(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    base, adapter = tmp_path / "base", tmp_path / "a"
    _mixtral(base).save_pretrained(tmp_path / "right")
    weights = load_file(base / "model.safetensors")
    lora: dict[str, Any] = {}
    trained = dict(weights)
    torch.manual_seed(3)
    for key in sorted(k for k in weights if ".experts." in k):
        rows, columns = weights[key].shape
        a, b = torch.randn(4, columns) * 0.1, torch.randn(rows, 4) * 0.1
        name = "base_model.model." + key.removesuffix(".weight")
        lora[f"{name}.lora_A.weight"], lora[f"{name}.lora_B.weight"] = a, b
        trained[key] = weights[key] + 2.0 * (b @ a)
    assert lora
    adapter.mkdir()
    save_file(lora, adapter / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8}
    config |= {"target_modules": ["w1", "w2", "w3"], "base_model_name_or_path": "base"}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    save_file(trained, tmp_path / "right" / "model.safetensors", metadata={"format": "pt"})
    right = logits(load(tmp_path / "right"))
    assert_same(merged(base, adapter, tmp_path), right, logits(load(base)))
    # One tensor fewer is no right adapter.
    del lora[sorted(lora)[0]]
    save_file(lora, adapter / "adapter_model.safetensors")
    with pytest.raises(EvalkitError):
        merged(base, adapter, tmp_path / "less")


def test_experts_with_the_names_of_transformers_5(tmp_path: Path) -> None:
    base = tmp_path / "base"
    model = _mixtral(base)
    right = train(
        model,
        tmp_path / "a",
        target_modules=["q_proj"],
        target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
    )
    assert_same(merged(base, tmp_path / "a", tmp_path), right, logits(load(base)))


@pytest.mark.parametrize("old", [False, True], ids=["names of 5", "names of 4"])
def test_language_model_of_a_vision_tower(old: bool, tmp_path: Path) -> None:
    import torch
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    base = tmp_path / "base"
    rows = save_tokenizer(base)
    text = {**SIZES, "vocab_size": rows, "head_dim": 8, "sliding_window": 64}
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    vision |= {"num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    torch.manual_seed(0)
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    model = Gemma3ForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(base)
    targets = r".*language_model.*\.(q_proj|v_proj)"
    right = train(load(base), tmp_path / "a", target_modules=targets)
    if old:
        _renamed(
            tmp_path / "a",
            lambda k: k.replace("model.model.language_model.", "model.language_model.model."),
        )
    assert_same(merged(base, tmp_path / "a", tmp_path), right, logits(load(base)))
