"""A training run on disk: a suite on the fake engine, and checkpoints as a trainer leaves them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

SUITE = """\
name: small
models:
  tuned: {role: candidate, path: not/there/yet, revision: abc}
  plain: {role: baseline, path: plain}
engine: {type: fake, exclusive: true, faults: faults.json}
judges:
  local: {type: engine, model: plain, protocol: text}
benchmarks:
  - {type: alpaca_eval, judge: local, data: alpaca.jsonl}
gate: {baseline: plain, margins: {default: 60}, alpha: 0.05}
report: {formats: []}
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `furnish` makes, as the current folder."""
    monkeypatch.chdir(tmp_path)
    return furnish(tmp_path)


def furnish(tmp_path: Path) -> Path:
    """Make small.yaml, its data (20 instructions) and an empty folder `out`."""
    (tmp_path / ".evalkit").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "small.yaml").write_text(SUITE, encoding="utf-8")
    rows = [
        {"instruction": f"Name {n} rivers.", "output": f"River {n}.", "generator": "reference"}
        for n in range(20)
    ]
    (tmp_path / "alpaca.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def save(folder: Path, value: float = 0.0, *, shards: int = 1) -> Path:
    """A checkpoint as `save_pretrained` lays it out, with weights that are all `value`."""
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "config.json", {"model_type": "llama", "vocab_size": 8})
    tensors = {f"layer.{n}": np.full(4 + n, value, dtype=np.float32) for n in range(max(2, shards))}
    names = ["model.safetensors"]
    if shards > 1:
        names = [f"model-{n:05}-of-{shards:05}.safetensors" for n in range(1, shards + 1)]
    placed: dict[str, dict[str, object]] = {name: {} for name in names}
    for n, (key, tensor) in enumerate(tensors.items()):
        placed[names[n % len(names)]][key] = tensor
    for name, held in placed.items():
        save_file(held, str(folder / name))
    if shards > 1:
        weight_map = {key: name for name, held in placed.items() for key in held}
        _write(folder / "model.safetensors.index.json", {"weight_map": weight_map})
    _write(folder / "tokenizer.json", {"version": "1.0"})
    _write(folder / "tokenizer_config.json", {"model_max_length": 8})
    return folder


def save_adapter(folder: Path, value: float = 0.0) -> Path:
    """A PEFT adapter."""
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "adapter_config.json", {"peft_type": "LORA", "task_type": "CAUSAL_LM"})
    save_file(
        {"lora_A": np.full(4, value, dtype=np.float32)}, str(folder / "adapter_model.safetensors")
    )
    return folder


def trained(folder: Path, step: int, last: int) -> None:
    """The state that the Trainer writes beside a checkpoint, last of all."""
    _write(folder / "trainer_state.json", {"global_step": step, "max_steps": last, "save_steps": 5})


def break_weights(folder: Path) -> None:
    """As a save that was interrupted leaves it."""
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-3])


def faults(workspace: Path, **settings: float | bool) -> None:
    """Make the fake engine slow or faulty from its next opening on; none: make it well."""
    path = workspace / "faults.json"
    path.unlink(missing_ok=True)
    if settings:
        _write(path, settings)


def remove(folder: Path) -> None:
    """As the Trainer's save_total_limit does."""
    shutil.rmtree(folder)


def _write(path: Path, value: Mapping[str, object]) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
