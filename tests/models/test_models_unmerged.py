"""Adapters that are to be served beside their base: what is prepared, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from evalkit import models
from evalkit.core import PreparedModel, UnmergedAdapter
from evalkit.core.specs import ModelSpec
from evalkit.errors import ModelError

Make = Callable[..., Path]
TOLERANCE = 5e-4
"""Of a log-probability in float32; the merge proof allows as much for logits."""


def prepare(
    base: Path, adapter: Path, workspace: Path, *, unmerged: bool = True, **more: Any
) -> PreparedModel:
    spec = ModelSpec(base=str(base), adapter=str(adapter), **more)
    return models.prepare("tuned", spec, workspace, workspace, _nothing, unmerged=unmerged)


def _nothing(_line: str) -> None:
    """Nobody listens."""


def served(model: PreparedModel) -> UnmergedAdapter:
    assert model.unmerged is not None
    return model.unmerged


def next_logprobs(model: Any, ids: list[int]) -> Any:
    import torch

    with torch.inference_mode():
        return torch.log_softmax(model.eval()(input_ids=torch.tensor([ids])).logits[0, -1], -1)


def assert_steps(
    model: Any, prompt: tuple[int, ...], steps: tuple[Mapping[int, float], ...]
) -> None:
    ids = list(prompt)
    for wanted in steps:
        found = next_logprobs(model, ids)
        for token, value in wanted.items():
            assert float(found[token]) == pytest.approx(value, abs=TOLERANCE)
        likeliest = int(found.argmax())
        assert likeliest in wanted
        ids.append(likeliest)


def test_what_an_engine_is_held_against_is_what_peft_computes_unmerged(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    """Oracle: transformers and PEFT on the files themselves, the adapter not merged."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = make_model(dtype="bfloat16")
    adapter = make_adapter(base)
    known = served(prepare(base, adapter, tmp_path)).known
    assert len(known) >= 3
    plain = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    for one in known:
        assert_steps(plain, one.prompt, one.base)
    beside = PeftModel.from_pretrained(plain, str(adapter))
    for one in known:
        assert_steps(beside, one.prompt, one.merged)
        assert one.base[0].keys() == one.merged[0].keys()


def test_the_effect_of_the_adapter_can_be_told_from_rounding(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model()
    known = served(prepare(base, make_adapter(base), tmp_path)).known
    changes = [abs(k.base[0][t] - k.merged[0][t]) for k in known for t in k.base[0]]
    assert max(changes) > 20 * TOLERANCE


def test_no_merged_weights_are_written(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model()
    adapter = make_adapter(base)
    found = prepare(base, adapter, tmp_path)
    assert found.path is not None
    names = {path.name for path in found.path.iterdir()}
    assert {"config.json", "tokenizer.json"} <= names
    derived = tmp_path / ".evalkit" / "models"
    assert not [*derived.rglob("*.safetensors"), *derived.rglob("*.bin")]
    assert served(found).base == base
    assert served(found).path == adapter
    assert found.chat_template


def test_it_is_another_model_than_the_merged_one_with_the_same_proof(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model()
    adapter = make_adapter(base)
    merged = prepare(base, adapter, tmp_path, unmerged=False)
    found = prepare(base, adapter, tmp_path)
    assert merged.unmerged is None
    assert merged.fingerprint != found.fingerprint
    assert merged.chat_template == found.chat_template
    proofs = [m.provenance["merge_proof"] for m in (merged, found)]
    for field in ("max_abs_logit_change_by_adapter", "adapter_keys_used", "argmax_agreement"):
        assert proofs[0][field] == proofs[1][field]


def test_a_plain_model_is_prepared_as_ever(make_model: Make, tmp_path: Path) -> None:
    spec = ModelSpec(path=str(make_model()))
    both = [
        models.prepare("m", spec, tmp_path, tmp_path, _nothing, unmerged=flag)
        for flag in (True, False)
    ]
    assert both[0] == both[1]
    assert both[0].unmerged is None


def test_it_is_prepared_once(
    make_model: Make, make_adapter: Make, tmp_path: Path, said: list[str]
) -> None:
    base = make_model()
    spec = ModelSpec(base=str(base), adapter=str(make_adapter(base)))
    first, second = (
        models.prepare("m", spec, tmp_path, tmp_path, said.append, unmerged=True) for _ in range(2)
    )
    assert first == second
    assert sum("prov" in line for line in said) >= 1
    n = len(said)
    models.prepare("m", spec, tmp_path, tmp_path, said.append, unmerged=True)
    assert not [line for line in said[n:] if "prov" in line]


@pytest.mark.parametrize(
    ("options", "rank"),
    [({}, 4), ({"r": 16}, 16), ({"rank_pattern": {"layers.0.self_attn.q_proj": 9}}, 9)],
)
def test_the_largest_rank_is_known(
    options: dict[str, Any], rank: int, make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model()
    assert served(prepare(base, make_adapter(base, **options), tmp_path)).rank == rank


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"use_dora": True}, "(?i)dora|magnitude"),
        ({"modules_to_save": ["lm_head", "embed_tokens"]}, "modules_to_save"),
        ({"bias": "lora_only"}, "bias"),
        ({"trainable_token_indices": [5, 6]}, "token"),
        ({"extra": ("<|new|>", "<|newer|>")}, "token|rows|vocabulary"),
    ],
)
def test_what_vllm_has_no_place_for_is_refused(
    options: dict[str, Any],
    word: str,
    make_model: Make,
    make_adapter: Make,
    tmp_path: Path,
) -> None:
    base = make_model()
    adapter = make_adapter(base, **options)
    with pytest.raises(ModelError, match="cannot be served unmerged") as refused:
        prepare(base, adapter, tmp_path)
    assert "serve: merged" in str(refused.value)
    with pytest.raises(ModelError, match=word):
        prepare(base, adapter, tmp_path)
    assert prepare(base, adapter, tmp_path, unmerged=False).path
