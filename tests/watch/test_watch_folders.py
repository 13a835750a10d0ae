"""Which checkpoints are taken: only whole ones, in the order of training."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit import models
from evalkit.errors import DataError
from evalkit.runner.watch import Settling, find_folders, training_ended
from tests.watch.conftest import save, save_adapter, trained


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One of each kind, whole."""
    place = tmp_path_factory.mktemp("whole")
    return {
        "one file": save(place / "one"),
        "shards": save(place / "many", shards=3),
        "adapter": save_adapter(place / "adapter"),
        "pytorch": _as_pytorch(save(place / "old")),
    }


def _as_pytorch(folder: Path) -> Path:
    """The same with the weights in a zip archive, as torch.save writes them."""
    import zipfile

    (folder / "model.safetensors").unlink()
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 300)
    return folder


KINDS = ("one file", "shards", "adapter", "pytorch")
NEEDED = {
    "one file": ["config.json", "model.safetensors", "tokenizer.json"],
    "adapter": ["adapter_config.json", "adapter_model.safetensors"],
    "pytorch": ["config.json", "pytorch_model.bin"],
    "shards": [
        "config.json",
        "model.safetensors.index.json",
        *(f"model-{n:05}-of-00003.safetensors" for n in (1, 2, 3)),
    ],
}


def unfinished(folder: Path, kind: str) -> str:
    return models.unfinished(folder, adapter=kind == "adapter")


@pytest.mark.parametrize("kind", KINDS)
def test_whole_ones_are_whole(whole: dict[str, Path], kind: str) -> None:
    assert unfinished(whole[kind], kind) == ""


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k in KINDS for n in NEEDED[k]])
def test_without_a_needed_file_it_is_not_whole(
    whole: dict[str, Path], tmp_path: Path, kind: str, name: str
) -> None:
    folder = Path(shutil.copytree(whole[kind], tmp_path / "checkpoint-1"))
    (folder / name).unlink()
    said = unfinished(folder, kind)
    assert "checkpoint-1" in said


@settings(max_examples=60)
@given(st.sampled_from(KINDS), st.integers(0, 30), st.floats(0, 1, exclude_max=True))
def test_cut_anywhere_it_is_not_whole(
    whole: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, kind: str, n: int, at: float
) -> None:
    """Whatever file a trainer was writing, and however far it had come."""
    folder = Path(shutil.copytree(whole[kind], tmp_path_factory.mktemp("cut") / "c"))
    files = sorted(folder.iterdir())
    file = files[n % len(files)]
    content = file.read_bytes()
    file.write_bytes(content[: int(at * len(content))])
    assert unfinished(folder, kind)


def test_longer_than_its_header_says_is_not_whole(tmp_path: Path) -> None:
    """safetensors itself refuses such a file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = save(tmp_path / "c")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes() + b"\x00")
    with pytest.raises(SafetensorError):
        load_file(file)
    assert "longer" in unfinished(folder, "one file")


def test_an_adapter_is_no_model_and_the_reason_says_what_to_write(tmp_path: Path) -> None:
    said = unfinished(save_adapter(tmp_path / "c"), "one file")
    assert "write `adapter: ...` and its `base: ...` instead" in said


def test_order_is_by_step_whenever_they_were_written(tmp_path: Path) -> None:
    for age, name in enumerate(("checkpoint-1000", "checkpoint-90", "checkpoint-200")):
        folder = save(tmp_path / name)
        os.utime(folder, (1e9 - age * 1000, 1e9 - age * 1000))
    for name in ("tmp-checkpoint-300", ".checkpoint-400", "runs", "best"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint-7.txt").write_text("no folder")
    (tmp_path / "checkpoint-500").write_text("a file")
    assert [f.name for f in find_folders(tmp_path)] == [
        "checkpoint-90",
        "checkpoint-200",
        "checkpoint-1000",
    ]


def test_no_folder_is_an_error_that_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected the folder into which a training run writes"):
        find_folders(tmp_path / "nowhere")


def test_files_must_be_at_rest_for_a_while(tmp_path: Path) -> None:
    folder = save(tmp_path / "checkpoint-1")
    settling = Settling(10.0, adapter=False)
    first = settling.poll(find_folders(tmp_path), 100.0)
    assert (first.ready, first.settling) == ((), ("checkpoint-1",))
    save(folder, 1.0)  # same sizes
    os.utime(folder / "model.safetensors", ns=(1, 1))
    second = settling.poll(find_folders(tmp_path), 111.0)
    assert (second.ready, second.settling) == ((), ("checkpoint-1",))
    assert not settling.poll(find_folders(tmp_path), 120.9).ready
    last = settling.poll(find_folders(tmp_path), 121.0)
    assert [f.name for f in last.ready] == ["checkpoint-1"]


def test_what_nobody_writes_at_any_more_is_stuck(tmp_path: Path) -> None:
    folder = save(tmp_path / "checkpoint-1")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    settling = Settling(10.0, adapter=False)
    assert settling.poll(find_folders(tmp_path), 0.0).stuck == ()
    later = settling.poll(find_folders(tmp_path), 10.0)
    assert (later.stuck, later.ready, later.settling) == (("checkpoint-1",), (), ())
    assert "has no tokenizer" in later.lacking["checkpoint-1"]
    save(folder)
    assert settling.poll(find_folders(tmp_path), 11.0).settling == ("checkpoint-1",)
    assert settling.poll(find_folders(tmp_path), 21.0).ready


def test_optimizer_and_trainer_state_may_come_later(tmp_path: Path) -> None:
    folder = save(tmp_path / "checkpoint-1")
    settling = Settling(1.0, adapter=False)
    settling.poll(find_folders(tmp_path), 0.0)
    (folder / "optimizer.pt").write_bytes(b"half")
    trained(folder, 1, 2)
    assert settling.poll(find_folders(tmp_path), 1.0).ready


def test_the_trainers_state_tells_the_end(tmp_path: Path) -> None:
    assert not training_ended([])
    folder = save(tmp_path / "checkpoint-10")
    assert not training_ended(find_folders(tmp_path))
    trained(folder, 10, 20)
    assert not training_ended(find_folders(tmp_path))
    trained(folder, 20, 20)
    assert training_ended(find_folders(tmp_path))
    (folder / "trainer_state.json").write_text(json.dumps([1])[:-1])
    assert not training_ended(find_folders(tmp_path))
