"""Merging adapters: every kind PEFT trains, every way it silently goes wrong; several processes,
and processes that die: a derived checkpoint is whole or absent.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit import models
from evalkit.core import PreparedModel
from evalkit.core.specs import ModelSpec
from evalkit.errors import MergeError, ModelError, StoreError
from evalkit.models.checkpoint import stored_dtype

pytestmark = pytest.mark.slow

Make = Callable[..., Path]
Edit = Callable[[Path, Callable[[dict[str, Any]], None]], None]


def prepare(base: Path, adapter: Path, workspace: Path, **more: Any) -> PreparedModel:
    spec = ModelSpec(base=str(base), adapter=str(adapter), **more)
    return models.prepare("tuned", spec, workspace, workspace, lambda _line: None)


def logits(model: Any, ids: list[int]) -> Any:
    import torch

    with torch.inference_mode():
        return model.eval()(input_ids=torch.tensor([ids])).logits[0]


def load(folder: Path | None) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)


KINDS: dict[str, dict[str, Any]] = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "patterns": {"rank_pattern": {"layers.0.self_attn.q_proj": 2}, "alpha_pattern": {"v_proj": 3}},
    "modules_to_save": {"modules_to_save": ["lm_head", "embed_tokens"]},
    "bias": {"bias": "lora_only"},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "all-linear": {"target_modules": "all-linear"},
    "trainable_tokens": {"trainable_token_indices": [5, 6]},
}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_adapter_merges_into_what_peft_computes_unmerged(
    kind: str, tied: bool, make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    import torch
    from peft import PeftModel

    base = make_model(tied=tied)
    adapter = make_adapter(base, **KINDS[kind])
    found = prepare(base, adapter, tmp_path)
    ids = list(range(3, 40))
    wanted = logits(PeftModel.from_pretrained(load(base), str(adapter)), ids)
    assert torch.allclose(logits(load(found.path), ids), wanted, atol=2e-4)
    proof = found.provenance["merge_proof"]
    assert proof["max_abs_difference_merged_unmerged"] <= proof["tolerance"]
    assert proof["max_abs_logit_change_by_adapter"] > 100 * proof["tolerance"]
    assert proof["argmax_agreement"] == 1.0
    assert proof["adapter_keys_used"] > 0
    assert json.loads(json.dumps(found.provenance, allow_nan=False)) == found.provenance


@pytest.mark.parametrize("module", ["lm_head", "embed_tokens"])
def test_one_trained_side_of_tied_embeddings_unties_them(
    module: str, make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model(tied=True)
    found = prepare(base, make_adapter(base, modules_to_save=[module]), tmp_path)
    assert found.path is not None
    assert json.loads((found.path / "config.json").read_text())["tie_word_embeddings"] is False
    assert found.provenance["merge_proof"]["embeddings_untied"] is True
    head, embedding = load(found.path).lm_head.weight, load(found.path).model.embed_tokens.weight
    assert not head.equal(embedding)


def test_untouched_tied_embeddings_stay_tied(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model(tied=True)
    found = prepare(base, make_adapter(base), tmp_path)
    assert found.path is not None
    assert json.loads((found.path / "config.json").read_text())["tie_word_embeddings"] is True
    assert found.provenance["merge_proof"]["embeddings_untied"] is False


@pytest.mark.parametrize("tied", [False, True])
def test_added_tokens_come_with_their_embeddings_and_tokenizer(
    tied: bool, make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoTokenizer

    base = make_model(tied=tied)
    adapter = make_adapter(base, extra=("<|im_start|>", "<|im_end|>"))
    found = prepare(base, adapter, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(str(found.path))
    ids = tokenizer("a<|im_start|>b")["input_ids"]
    unmerged = load(base)
    unmerged.resize_token_embeddings(len(tokenizer))
    wanted = logits(PeftModel.from_pretrained(unmerged, str(adapter)), ids)
    assert tokenizer.convert_tokens_to_ids("<|im_start|>") in ids
    assert torch.allclose(logits(load(found.path), ids), wanted, atol=2e-4)
    assert found.provenance["merge_proof"]["added_tokens"] == 2
    assert found.provenance["merge_proof"]["tokenizer"] == "adapter"


def test_added_tokens_without_embeddings_are_filled_in_and_said(
    make_model: Make, make_adapter: Make, edit_adapter: Edit, tmp_path: Path
) -> None:
    base = make_model()
    adapter = make_adapter(base, extra=("<pad>",))

    def drop_embeddings(state: dict[str, Any]) -> None:
        for key in [k for k in state if "embed_tokens" in k or "lm_head" in k]:
            del state[key]

    edit_adapter(adapter, drop_embeddings)
    found = prepare(base, adapter, tmp_path)
    again = prepare(base, adapter, tmp_path / "elsewhere")
    assert found.path is not None
    assert again.path is not None
    assert any("mean of the others" in w for w in found.provenance["warnings"])
    weights = "model.safetensors"
    assert (found.path / weights).read_bytes() == (again.path / weights).read_bytes()


def test_serving_dtype_is_the_bases_own_unless_asked(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model(dtype="bfloat16")
    adapter = make_adapter(base)
    own = prepare(base, adapter, tmp_path)
    asked = prepare(base, adapter, tmp_path, dtype="float32")
    assert own.path is not None
    assert asked.path is not None
    assert stored_dtype(own.path) == "bfloat16"
    assert json.loads((own.path / "config.json").read_text())["dtype"] == "bfloat16"
    assert stored_dtype(asked.path) == "float32"
    assert own.fingerprint != asked.fingerprint
    rounding = own.provenance["merge_proof"]["max_abs_logit_change_by_rounding"]
    assert rounding > asked.provenance["merge_proof"]["max_abs_logit_change_by_rounding"]


def test_adapter_that_learned_nothing_is_refused(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model()
    with pytest.raises(MergeError, match="no effect"):
        prepare(base, make_adapter(base, zero=True), tmp_path)


def test_missing_weights_of_the_adapter_are_named(
    make_model: Make, make_adapter: Make, edit_adapter: Edit, tmp_path: Path
) -> None:
    base = make_model()
    adapter = make_adapter(base)
    edit_adapter(
        adapter,
        lambda state: state.pop("base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"),
    )
    with pytest.raises(MergeError, match=r"lacks 1 weight .*layers\.1\.self_attn\.q_proj\.lora_B"):
        prepare(base, adapter, tmp_path)


def test_weights_without_a_place_are_named(
    make_model: Make, make_adapter: Make, edit_adapter: Edit, tmp_path: Path
) -> None:
    base = make_model()
    adapter = make_adapter(base)

    def rename(state: dict[str, Any]) -> None:
        key = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"
        state[key.replace("q_proj", "o_proj")] = state[key].clone()

    edit_adapter(adapter, rename)
    with pytest.raises(MergeError, match=r"no place in the base: .*o_proj"):
        prepare(base, adapter, tmp_path)


@pytest.mark.parametrize(("layers", "words"), [(1, "no place in the base"), (3, "lacks 4 weights")])
def test_base_with_other_layers_is_refused_even_when_allowed(
    layers: int, words: str, make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    trained = make_model()
    with pytest.raises(MergeError, match=words):
        prepare(
            make_model(layers=layers),
            make_adapter(trained),
            tmp_path,
            allow_different_base=str(trained),
        )


def test_base_of_another_shape_is_refused(
    make_model: Make, make_adapter: Make, edit_adapter: Edit, tmp_path: Path
) -> None:
    base = make_model()
    adapter = make_adapter(base)

    def widen(state: dict[str, Any]) -> None:
        for key, value in state.items():
            if "lora_A" in key:
                state[key] = value.repeat(1, 2)

    edit_adapter(adapter, widen)
    with pytest.raises(MergeError, match="size mismatch"):
        prepare(base, adapter, tmp_path)


def test_adapter_with_broken_numbers_is_refused(
    make_model: Make, make_adapter: Make, edit_adapter: Edit, tmp_path: Path
) -> None:
    base = make_model()
    adapter = make_adapter(base)

    def diverge(state: dict[str, Any]) -> None:
        for value in state.values():
            value.fill_(float("nan"))

    edit_adapter(adapter, diverge)
    with pytest.raises(MergeError, match="not finite"):
        prepare(base, adapter, tmp_path)


def test_merge_is_made_once_and_again_when_its_files_changed(
    make_model: Make, make_adapter: Make, tmp_path: Path, said: list[str]
) -> None:
    base = make_model()
    spec = ModelSpec(base=str(base), adapter=str(make_adapter(base)))
    first = models.prepare("m", spec, tmp_path, tmp_path, said.append)
    assert any("merging" in line for line in said)
    said.clear()
    second = models.prepare("m", spec, tmp_path, tmp_path, said.append)
    assert not any("merging" in line for line in said)
    assert second == first
    assert first.path is not None
    (first.path / "config.json").write_text("{}")
    third = models.prepare("m", spec, tmp_path, tmp_path, said.append)
    assert any("merging" in line for line in said)
    assert third == first
    assert json.loads((first.path / "config.json").read_text())["model_type"] == "llama"


def test_leftovers_of_a_killed_merge_are_cleared(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base, where = make_model(), tmp_path / ".evalkit" / "models"
    adapter = make_adapter(base)
    done = prepare(base, adapter, tmp_path).path
    assert done is not None
    shutil.rmtree(done)
    leftover = where / f".{done.name}.tmp"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    assert prepare(base, adapter, tmp_path).path == done
    assert not leftover.exists()
    assert (done / "config.json").is_file()


def test_read_only_workspace_is_one_clear_error(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model()
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(StoreError, match="cannot write a checkpoint"):
        prepare(base, make_adapter(base), blocked)


# --- By hand --------------------------------------------------------------------------------


def by_hand(base: Path, adapter: Path, out: Path, workspace: Path, **more: Any) -> dict[str, Any]:
    return models.merge(
        str(base), str(adapter), out, ModelSpec(**more), workspace, lambda _line: None
    )


def test_merge_by_hand_writes_a_plain_checkpoint_with_its_proof(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    base = make_model()
    out = tmp_path / "out"
    proof = by_hand(base, make_adapter(base), out, tmp_path)
    stamp = json.loads((out / "evalkit_merge.json").read_text())
    assert stamp["proof"] == proof
    tokenizer = AutoTokenizer.from_pretrained(str(out))
    text = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert "<|user|>hi" in text
    assert load(out).config.model_type == "llama"
    plain = models.prepare("p", ModelSpec(path=str(out)), tmp_path, tmp_path, lambda _line: None)
    assert plain.path == out
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".out")) == []


def test_merge_by_hand_replaces_only_its_own_work(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model()
    adapter = make_adapter(base)
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    with pytest.raises(ModelError, match="not empty"):
        by_hand(base, adapter, out, tmp_path)
    assert [p.name for p in out.iterdir()] == ["thesis.txt"]
    own = tmp_path / "own"
    by_hand(base, adapter, own, tmp_path)
    by_hand(base, make_adapter(base, r=2), own, tmp_path, dtype="bfloat16")
    assert stored_dtype(own) == "bfloat16"


def put_readme(out: Path) -> str:
    (out / "README.md").write_text("mine")
    return "README.md"


def put_folder(out: Path) -> str:
    (out / "notes").mkdir()
    return "notes"


def edit_template(out: Path) -> str:
    (out / "chat_template.jinja").write_text("mine")
    return "chat_template.jinja"


@pytest.mark.parametrize("touch", [put_readme, put_folder, edit_template])
def test_merge_by_hand_never_replaces_what_the_user_put_there(
    touch: Callable[[Path], str], make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base, out = make_model(), tmp_path / "out"
    by_hand(base, make_adapter(base), out, tmp_path)
    name = touch(out)
    before = {p: p.read_bytes() for p in out.iterdir() if p.is_file()}
    with pytest.raises(ModelError, match=f"holds '{name}'") as caught:
        by_hand(base, make_adapter(base, r=2), out, tmp_path)
    assert caught.value.exit_code == 2
    assert {p: p.read_bytes() for p in out.iterdir() if p.is_file()} == before
    assert (out / name).exists()


def test_file_put_there_while_merging_is_kept(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base, out = make_model(), tmp_path / "out"
    by_hand(base, make_adapter(base), out, tmp_path)
    adapter = make_adapter(base, r=2)

    def busy(_line: str) -> None:
        (out / "README.md").write_text("mine")

    with pytest.raises(ModelError, match=r"holds 'README\.md'"):
        models.merge(str(base), str(adapter), out, ModelSpec(), tmp_path, busy)
    assert (out / "README.md").read_text() == "mine"


def test_merge_by_hand_returns_what_could_not_be_checked(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model()
    adapter, out = make_adapter(base), tmp_path / "out"
    assert by_hand(base, adapter, out, tmp_path)["warnings"] == []
    file = adapter / "adapter_config.json"
    config = json.loads(file.read_text()) | {"base_model_name_or_path": None}
    file.write_text(json.dumps(config))
    for _ in range(2):
        [warning] = by_hand(base, adapter, out, tmp_path)["warnings"]
        assert "is not known beyond its shapes" in warning


@pytest.mark.slow
def test_command_says_what_could_not_be_checked(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    adapter = make_adapter(make_model(seed=0))
    file = adapter / "adapter_config.json"
    config = json.loads(file.read_text()) | {"base_model_name_or_path": "./b1"}
    file.write_text(json.dumps(config))
    shutil.copytree(make_model(seed=1), tmp_path / "b1")
    command = [sys.executable, "-m", "evalkit", "merge", "./b1", adapter.name, "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "warning: Whether adapter" in done.stderr
    assert "'./b1'" in done.stderr
    assert "\r" not in done.stderr
    (tmp_path / "out" / "README.md").write_text("mine")
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "'README.md'" in again.stderr
    assert (tmp_path / "out" / "README.md").read_text() == "mine"


def test_merge_is_never_in_place(make_model: Make, make_adapter: Make, tmp_path: Path) -> None:
    base = make_model()
    adapter = make_adapter(base)
    before = (base / "model.safetensors").read_bytes()
    for out in (base, adapter):
        with pytest.raises(ModelError, match=r"not empty|in place"):
            by_hand(base, adapter, out, tmp_path)
    with pytest.raises(ModelError, match="in place"):
        by_hand(base, adapter, base / "merged", tmp_path)
    merged = tmp_path / "merged"
    by_hand(base, adapter, merged, tmp_path)
    with pytest.raises(ModelError, match="in place"):
        by_hand(merged, adapter, merged, tmp_path, allow_different_base=str(base))
    assert (base / "model.safetensors").read_bytes() == before


def test_merge_by_hand_writes_the_named_template(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model(template=False)
    file = tmp_path / "t.jinja"
    file.write_text("{{ messages[0]['content'] }}!")
    out = tmp_path / "out"
    by_hand(base, make_adapter(base), out, tmp_path, chat_template=str(file))
    assert (out / "chat_template.jinja").read_text() == file.read_text()
    assert by_hand(base, tmp_path / "adapter0", out, tmp_path, chat_template=str(file))


# --- processes -------------------------------------------------------------------------------

SCRIPT = """
import sys
from pathlib import Path
from evalkit import models
from evalkit.core.specs import ModelSpec
base, adapter, workspace = sys.argv[1:]
say = lambda line: print(line, flush=True)
found = models.prepare("m", ModelSpec(base=base, adapter=adapter), Path("."), Path(workspace), say)
print("fingerprint", found.fingerprint)
"""


def start(base: Path, adapter: Path, workspace: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(base), str(adapter), str(workspace)],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_two_processes_share_one_merge(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model()
    adapter = make_adapter(base)
    both = [start(base, adapter, tmp_path) for _ in range(2)]
    said = [p.communicate(timeout=120)[0] for p in both]
    assert [p.returncode for p in both] == [0, 0]
    assert sum("in float32, once" in text for text in said) == 1
    assert said[0].splitlines()[-1] == said[1].splitlines()[-1]


@pytest.mark.slow
def test_killed_merge_leaves_nothing_that_counts(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model()
    adapter = make_adapter(base)
    process = start(base, adapter, tmp_path)
    assert process.stdout is not None
    while "in float32, once" not in process.stdout.readline():
        assert process.poll() is None
    where = tmp_path / ".evalkit" / "models"
    deadline = time.monotonic() + 60
    while not list(where.glob(".*.tmp")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not list(where.glob("merged-*"))
    spec = ModelSpec(base=str(base), adapter=str(adapter))
    found = models.prepare("m", spec, tmp_path, tmp_path, lambda _line: None)
    assert found.path is not None
    assert [p.name for p in where.iterdir() if not p.name.endswith(".lock")] == [found.path.name]
