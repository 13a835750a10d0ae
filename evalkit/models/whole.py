"""Is what a trainer has written so far a whole checkpoint, or a whole adapter?

Trainers write in place: the config first, then the weights (shard by shard, their index last),
then the tokenizer; optimizer and trainer state follow, and no model needs them.  A folder is
whole when everything a model needs is there and says so itself: JSON parses, a safetensors file
has the length its header names, a PyTorch file (a zip archive) has its directory, which is
written last, and every shard that a name or the index promises is there.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

from evalkit.errors import ModelError
from evalkit.models.adapter import read_adapter
from evalkit.models.checkpoint import (
    check_checkpoint,
    check_file,
    config_files,
    missing_shards,
    read_json,
    tokenizer_files,
    weight_files,
)
from evalkit.models.fingerprint import FileHashes
from evalkit.models.sources import Source

__all__ = ["model_contents", "model_files", "unfinished"]

_SHARD = re.compile(
    r"(?P<stem>.+)-(?P<number>[0-9]{5})-of-(?P<total>[0-9]{5})\.(?P<suffix>safetensors|bin)"
)
_ZIP = b"PK"
_VOCABULARIES = ("tokenizer.json", "tekken.json", "vocab.json", "vocab.txt")
_VOCABULARY_SUFFIXES = (".model", ".tiktoken")


def model_files(folder: Path, *, adapter: bool) -> tuple[Path, ...]:
    """The files that decide what the model answers, as far as they are there, by name."""
    found = {*tokenizer_files(folder)}
    if adapter:
        names = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
        found |= {folder / n for n in names if (folder / n).is_file()}
    else:
        found |= {*weight_files(folder), *config_files(folder), *folder.glob("*.index.json")}
    return tuple(sorted(found))


def model_contents(folder: Path, hashes: FileHashes, *, adapter: bool) -> dict[str, str]:
    """SHA-256 of each of `model_files`, by name.  Raises OSError where one cannot be read."""
    return hashes.of(model_files(folder, adapter=adapter))


def unfinished(folder: Path, *, adapter: bool) -> str:
    """What a checkpoint, or an adapter, still lacks, in words; empty where it is whole."""
    try:
        if adapter:
            _check_adapter(folder)
        else:
            _check_model(folder)
        _check_vocabulary(folder)
        for path in model_files(folder, adapter=adapter):
            if path.suffix == ".json":
                read_json(path)
    except ModelError as error:
        return str(error)
    except OSError as error:
        return f"{folder.name!r} cannot be read: {error.strerror or error}"
    return ""


def _check_adapter(folder: Path) -> None:
    adapter = read_adapter(Source("folder", folder.name, folder))
    _check_weights(adapter.weights, folder.name)


def _check_model(folder: Path) -> None:
    check_checkpoint(folder, folder.name)
    files = weight_files(folder)
    _check_shards(folder, files)
    for file in files:
        _check_weights(file, folder.name)


def _check_vocabulary(folder: Path) -> None:
    """A tokenizer's settings come before its vocabulary."""
    files = tokenizer_files(folder)
    if (folder / "tokenizer_config.json") in files and not any(
        file.name in _VOCABULARIES or file.suffix in _VOCABULARY_SUFFIXES for file in files
    ):
        raise ModelError(
            f"{folder.name!r} has a tokenizer_config.json but no vocabulary; expected "
            f"tokenizer.json or tokenizer.model: save the tokenizer into the same folder"
        )


def _check_shards(folder: Path, files: Sequence[Path]) -> None:
    """Shards come before their index: until it is there, their own names say how many."""
    names = {file.name for file in files}
    for found in filter(None, map(_SHARD.fullmatch, sorted(names))):
        stem, total, suffix = found["stem"], found["total"], found["suffix"]
        wanted = [f"{stem}-{n:05}-of-{total}.{suffix}" for n in range(1, int(total) + 1)]
        missing = [name for name in wanted if name not in names]
        if missing:
            raise ModelError(
                f"{folder.name!r} lacks {len(missing)} of {len(wanted)} weight files, the first "
                f"{missing[0]!r}"
            )
        index = folder / f"{stem}.{suffix}.index.json"
        if not index.is_file():
            raise ModelError(f"{folder.name!r} lacks {index.name!r}, which is written last")
    suffix = files[0].suffix
    for index in sorted(folder.glob(f"*{suffix}.index.json")):
        missing, n = missing_shards(index)
        if missing:
            raise ModelError(
                f"{folder.name!r} lacks {len(missing)} of {n} weight files that "
                f"{index.name!r} names, the first {missing[0]!r}"
            )


def _check_weights(file: Path, reference: str) -> None:
    check_file(file, reference)
    if file.suffix != ".bin":
        return
    with file.open("rb") as stream:
        start = stream.read(2)
    # What torch.save wrote before PyTorch 1.6 is no zip archive and does not tell its length.
    if not start or (start == _ZIP and not zipfile.is_zipfile(file)):
        raise ModelError(f"{file.name!r} of {reference!r} is cut short")
