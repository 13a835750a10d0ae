"""Is it the base the adapter was trained on?  A same-shape wrong base is an error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit import models
from evalkit.core import PreparedModel
from evalkit.core.specs import ModelSpec
from evalkit.errors import MergeError
from evalkit.models.base_check import Base, BaseCheck, check_base
from evalkit.models.checkpoint import FileHashes, read_adapter, weights_digest
from evalkit.models.sources import WeightsSource, resolve

pytestmark = pytest.mark.slow

Make = Callable[..., Path]
ONE, TWO = "1" * 40, "2" * 40


def prepare(base: Path | str, adapter: Path, root: Path, **more: Any) -> PreparedModel:
    spec = ModelSpec(base=str(base), adapter=str(adapter), **more)
    return models.prepare("tuned", spec, root, root, lambda _line: None)


def rename_base(adapter: Path, name: str | None, revision: str | None = None) -> None:
    file = adapter / "adapter_config.json"
    config = json.loads(file.read_text())
    config |= {"base_model_name_or_path": name, "revision": revision}
    file.write_text(json.dumps(config))


@pytest.mark.slow
def test_same_shape_other_weights_is_refused_and_can_be_allowed_by_name_only(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    trained, other = make_model(seed=0), make_model(seed=1)
    adapter = make_adapter(trained)
    with pytest.raises(MergeError, match=r"its weights differ .*allow_different_base: ") as caught:
        prepare(other, adapter, tmp_path)
    assert repr(str(trained)) in str(caught.value)
    with pytest.raises(MergeError, match="expected the name the adapter gives"):
        prepare(other, adapter, tmp_path, allow_different_base=str(other))
    found = prepare(other, adapter, tmp_path, allow_different_base=str(trained))
    [warning] = found.provenance["warnings"]
    assert str(trained) in warning
    assert str(other) in warning
    assert "accepted" in found.provenance["merge_proof"]["base_check"]


@pytest.mark.slow
def test_allowing_a_wrong_base_once_does_not_allow_it_from_the_cache(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    trained, other = make_model(seed=0), make_model(seed=1)
    adapter = make_adapter(trained)
    prepare(other, adapter, tmp_path, allow_different_base=str(trained))
    with pytest.raises(MergeError, match="was trained on"):
        prepare(other, adapter, tmp_path)


def test_a_copy_of_the_base_under_another_name_is_the_base(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    trained = make_model()
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    found = prepare(copy, make_adapter(trained), tmp_path)
    assert found.provenance["warnings"] == []
    assert "weights equal" in found.provenance["merge_proof"]["base_check"]


def checked(found: PreparedModel) -> str:
    return str(found.provenance["merge_proof"]["base_check"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_relative_name_of_a_folder_proves_nothing(
    seed: int, make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    adapter = make_adapter(make_model(seed=0))
    rename_base(adapter, "./b1")
    here = tmp_path / "project"
    shutil.copytree(make_model(seed=seed), here / "b1")
    (here / "below").mkdir()
    for base, root in (("./b1", here), ("../b1", here / "below"), (str(here / "b1"), tmp_path)):
        found = prepare(base, adapter, root)
        assert found.provenance["warnings"] == []
        said = str(found.provenance["merge_proof"]["base_unproved"])
        assert "is not known beyond its shapes" in said
        assert "evalkit_base.json" in said
        assert "'./b1'" in checked(found)
    models.record_base(adapter, str(make_model(seed=0)), tmp_path)
    if seed == 0:
        assert prepare("./b1", adapter, here).provenance["warnings"] == []
    else:
        with pytest.raises(MergeError, match="do not have the digest recorded"):
            prepare("./b1", adapter, here)


def test_base_that_no_folder_of_the_relative_name_equals_is_refused(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    adapter = make_adapter(make_model(seed=0))
    rename_base(adapter, "./b1")
    shutil.copytree(make_model(seed=0), tmp_path / "b1")
    wrong = Path(shutil.copytree(make_model(seed=1), tmp_path / "wrong" / "b1"))
    with pytest.raises(MergeError, match="its weights differ from those in the folder"):
        prepare(wrong, adapter, tmp_path)
    shutil.rmtree(tmp_path / "b1")
    with pytest.raises(MergeError, match="names differ"):
        prepare(make_model(seed=1), adapter, tmp_path)


@pytest.mark.slow
def test_folder_that_changed_since_the_adapter_was_written_is_not_called_the_same(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(make_model(seed=0), tmp_path / "base"))
    adapter = make_adapter(make_model(seed=0))
    rename_base(adapter, str(base))
    assert prepare(base, adapter, tmp_path).provenance["warnings"] == []
    shutil.copyfile(make_model(seed=1) / "model.safetensors", base / "model.safetensors")
    found = prepare(base, adapter, tmp_path)
    assert "newer than the adapter" in checked(found)
    assert "is not known" in str(found.provenance["merge_proof"]["base_unproved"])


def test_other_architecture_beside_the_adapter_is_another_base(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model()
    adapter = make_adapter(base)
    config = json.loads((base / "config.json").read_text())
    (adapter / "config.json").write_text(json.dumps(config))
    assert prepare(base, adapter, tmp_path).provenance["warnings"] == []
    (adapter / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.5}))
    with pytest.raises(MergeError, match=r"rms_norm_eps is 1e-06, there 0\.5"):
        prepare(base, adapter, tmp_path)


@pytest.mark.slow
def test_other_name_that_nothing_backs_is_refused(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model()
    adapter = make_adapter(base)
    rename_base(adapter, "someone/base-model")
    with pytest.raises(MergeError, match="names differ"):
        prepare(base, adapter, tmp_path)
    assert prepare(base, adapter, tmp_path, allow_different_base="someone/base-model")


def test_recorded_digest_decides_over_the_name(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    trained, other = make_model(seed=0), make_model(seed=1)
    adapter = make_adapter(trained)
    models.record_base(adapter, str(trained), tmp_path)
    rename_base(adapter, "someone/base-model")
    found = prepare(trained, adapter, tmp_path)
    assert "digest recorded" in found.provenance["merge_proof"]["base_check"]
    rename_base(adapter, str(other))
    with pytest.raises(MergeError, match="do not have the digest recorded"):
        prepare(other, adapter, tmp_path)


def test_adapter_that_names_no_base_is_merged_and_the_report_says_so(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model()
    adapter = make_adapter(base)
    rename_base(adapter, None)
    found = prepare(base, adapter, tmp_path)
    assert found.provenance["warnings"] == []
    said = str(found.provenance["merge_proof"]["base_unproved"])
    assert "the adapter's config names no base" in said


def test_other_tokenizer_is_another_base(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = make_model()
    adapter = make_adapter(base, extra=("<new>",))
    file = adapter / "tokenizer.json"
    raw = json.loads(file.read_text())
    vocab = raw["model"]["vocab"]
    raw["model"]["vocab"] = dict(zip(vocab, reversed(vocab.values()), strict=True))
    file.write_text(json.dumps(raw))
    with pytest.raises(MergeError, match="of its tokens have the same id"):
        prepare(base, adapter, tmp_path)


def hub_check(
    make_model: Make, adapter: Path, tmp_path: Path, commit: str, allow: str | None = None
) -> BaseCheck:
    folder = make_model()
    hashes = FileHashes(tmp_path)
    source = WeightsSource("hub", "org/base", folder, "org/base", commit)
    base = Base(source, folder, (weights_digest(folder, hashes),), "f")
    found = read_adapter(resolve(str(adapter), None, tmp_path))
    return check_base(base, found, tmp_path, allow, hashes)


def test_hub_names_and_revisions_are_compared(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    adapter = make_adapter(make_model())
    rename_base(adapter, "org/base", ONE)
    same = hub_check(make_model, adapter, tmp_path, ONE)
    assert (same.verdict, ONE in same.text) == ("same", True)
    with pytest.raises(MergeError, match=f"revision {ONE}, here it is {TWO}"):
        hub_check(make_model, adapter, tmp_path, TWO)
    assert hub_check(make_model, adapter, tmp_path, TWO, "org/base").verdict == "different"
    rename_base(adapter, "org/base", "main")
    unpinned = hub_check(make_model, adapter, tmp_path, TWO)
    assert unpinned.verdict == "same"
    assert any("revision" in line for line in unpinned.not_checked)
    rename_base(adapter, "org/other")
    with pytest.raises(MergeError, match="names differ"):
        hub_check(make_model, adapter, tmp_path, ONE)
