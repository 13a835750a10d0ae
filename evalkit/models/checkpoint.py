"""What a transformers checkpoint is on disk: its files, whether they are whole, their type.

Reads JSON and safetensors headers only; nothing here loads a tensor.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from evalkit.core import Json
from evalkit.errors import ModelError

__all__ = [
    "check_checkpoint",
    "check_file",
    "code_files",
    "config_files",
    "missing_shards",
    "read_json",
    "stored_dtype",
    "tokenizer_files",
    "weight_files",
]

_TOKENIZER_NAMES = frozenset(
    {
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        "merges.txt",
        "special_tokens_map.json",
        "tekken.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
        "vocab.txt",
    }
)
_TOKENIZER_SUFFIXES = (".model", ".tiktoken")
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "BF16": "bfloat16",
    "F16": "float16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
_MAX_HEADER = 100_000_000
_LFS = b"version https://git-lfs"


def read_json(path: Path) -> dict[str, Json]:
    """A JSON object from `path`.  Raises ModelError when it is missing or not an object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except ValueError as error:
        raise ModelError(
            f"{str(path)!r} is not valid JSON ({error}); download or save the model again"
        ) from error
    if not isinstance(value, dict):
        raise ModelError(f"{str(path)!r} must hold a JSON object; save the model again")
    return value


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files the weights are in, sorted by name; safetensors where there are both kinds."""
    safe = [p for p in folder.glob("*.safetensors") if p.name != "adapter_model.safetensors"]
    return tuple(sorted(safe or folder.glob("pytorch_model*.bin")))


def config_files(folder: Path) -> tuple[Path, ...]:
    """Model and generation config and the shard index, as far as they exist."""
    names = ("config.json", "generation_config.json", "model.safetensors.index.json")
    return tuple(folder / n for n in names if (folder / n).is_file())


def tokenizer_files(folder: Path) -> tuple[Path, ...]:
    """Everything the tokenizer reads, chat template included, sorted by name."""
    found = (
        p
        for p in folder.iterdir()
        if p.is_file() and (p.name in _TOKENIZER_NAMES or p.suffix in _TOKENIZER_SUFFIXES)
    )
    return tuple(sorted(found))


def code_files(folder: Path) -> tuple[Path, ...]:
    """Python files that come with the model and run under `trust_remote_code`."""
    return tuple(sorted(folder.glob("*.py")))


def check_checkpoint(folder: Path, reference: str) -> None:
    """Is `folder` a whole transformers checkpoint?  Raises ModelError saying what is amiss.

    `reference`: the model as the suite names it, for the message.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(_not_a_checkpoint(folder, reference))
    read_json(folder / "config.json")
    files = weight_files(folder)
    if not files:
        raise ModelError(
            f"{reference!r} has a config.json but no weights; expected model.safetensors, its "
            "shards, or pytorch_model.bin: copy the weights there or name another folder"
        )
    _check_shards(folder, reference)
    for file in files:
        check_file(file, reference)
    if not tokenizer_files(folder):
        raise ModelError(
            f"{reference!r} has no tokenizer; expected tokenizer.json or tokenizer.model: "
            "save the tokenizer into the same folder"
        )


def _not_a_checkpoint(folder: Path, reference: str) -> str:
    start = f"{reference!r} is not a transformers checkpoint: "
    if (folder / "adapter_config.json").is_file():
        return start + "it is a PEFT adapter; write `adapter: ...` and its `base: ...` instead"
    ggufs = sorted(p.name for p in folder.glob("*.gguf"))
    if ggufs:
        return start + f"it holds GGUF files; name one of them, as in {reference}/{ggufs[0]}"
    return start + (
        "there is no config.json; expected a folder with config.json, *.safetensors and "
        "tokenizer.json, such as `save_pretrained` writes"
    )


def _check_shards(folder: Path, reference: str) -> None:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return
    missing, n = missing_shards(index)
    if missing:
        raise ModelError(
            f"{reference!r} lacks {len(missing)} of {n} weight files that its index "
            f"names, the first {missing[0]!r}; copy or download the model again"
        )


def missing_shards(index: Path) -> tuple[list[str], int]:
    """Weight files that an index names and that are not beside it, sorted; and how many it names.

    Raises ModelError where the index cannot be read.
    """
    named = set(read_json(index).get("weight_map", {}).values())
    return sorted(n for n in named if not (index.parent / n).is_file()), len(named)


def check_file(file: Path, reference: str) -> None:
    """Is a file of weights whole, as far as it says?  Raises ModelError.  `reference`: as above."""
    with file.open("rb") as stream:
        start = stream.read(len(_LFS))
    if start == _LFS:
        raise ModelError(
            f"{file.name!r} of {reference!r} is a git-lfs pointer, not the weights; "
            "run `git lfs pull` in that folder"
        )
    if file.suffix != ".safetensors":
        return
    header, data_start = _header(file)
    end = max((t["data_offsets"][1] for t in _tensors(header)), default=0)
    size = file.stat().st_size
    if size != data_start + end:
        wrong = "cut short" if size < data_start + end else "longer than its header says"
        raise ModelError(
            f"{file.name!r} of {reference!r} is {wrong}: {size} bytes, expected "
            f"{data_start + end}; copy or download it again"
        )


def _header(file: Path) -> tuple[Mapping[str, Json], int]:
    """A safetensors header and where the data begins: 8 bytes little-endian length, then JSON."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        raw = stream.read(length) if 0 < length <= _MAX_HEADER else b""
    try:
        header = json.loads(raw)
        valid = all("data_offsets" in t and "shape" in t for t in _tensors(header))
    except (ValueError, AttributeError, TypeError):
        valid = False
    if not valid:
        raise ModelError(f"{str(file)!r} is not a safetensors file; copy or download it again")
    return header, 8 + length


def _tensors(header: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    return (t for name, t in header.items() if name != "__metadata__")


def _bytes_by_dtype(folder: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for file in weight_files(folder):
        if file.suffix == ".safetensors":
            for tensor in _tensors(_header(file)[0]):
                start, end = tensor["data_offsets"]
                found[str(tensor["dtype"])] += end - start
    return found


def stored_dtype(folder: Path) -> str | None:
    """Type most weight bytes are stored in, else what the config says, else None.

    In torch's spelling (`bfloat16`).  Raises ModelError where a file cannot be read.
    """
    found = _bytes_by_dtype(folder)
    if found:
        code = found.most_common(1)[0][0]
        return _DTYPES.get(code, code.lower())
    config = read_json(folder / "config.json")
    name = config.get("dtype") or config.get("torch_dtype")
    return str(name) if name else None
