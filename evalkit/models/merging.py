"""Merges an adapter into its base: PEFT in float32, proved, then rounded and saved.

Departures from calling PEFT alone: embeddings are resized to the adapter's tokenizer, tied
embeddings are untied where the adapter trained one side, every adapter weight must be used, and
the files are loaded again and compared before they count as done.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError, MergeError, ModelError
from evalkit.models.adapter import Adapter
from evalkit.models.base_check import Base
from evalkit.models.cache import Progress, disk_errors
from evalkit.models.checkpoint import code_files, read_json, stored_dtype, tokenizer_files
from evalkit.models.gguf import quiet_transformers
from evalkit.models.proof import check_keys, check_merge, check_saved, logits_of, probe_ids
from evalkit.models.template import own_template
from evalkit.types import Json

__all__ = ["MERGER", "MergeJob", "load_float32", "merge_into", "merged_dtype"]

MERGER = 1
"""Counts up when the same base and adapter would merge to other weights."""
_MERGEABLE = frozenset({"float32", "bfloat16", "float16", "float64"})
_PREFIX = "base_model.model."


@dataclass(frozen=True)
class MergeJob:
    """What is merged into what."""

    base: Base
    adapter: Adapter
    dtype: str
    """Type of the saved weights: float32, bfloat16 or float16."""
    code: bool
    """Run code that comes with the base."""


def merged_dtype(base: Base, wanted: str) -> str:
    """Type to save in: `wanted`, or the base's own for `auto`.

    Raises MergeError for a quantised base.
    """
    config = read_json(base.folder / "config.json")
    own = stored_dtype(base.folder) or "float32"
    if config.get("quantization_config") or own not in _MERGEABLE:
        raise MergeError(
            f"the base {base.source.reference!r} is quantised ({own}); an adapter is merged into "
            "weights in float32, bfloat16 or float16: name the base it was quantised from"
        )
    return own if wanted == "auto" else wanted


def merge_into(out: Path, job: MergeJob, progress: Progress) -> dict[str, Json]:
    """Write the merged checkpoint into the empty folder `out` and return its proof.

    Raises MergeError when the adapter does not fit or the proof fails, StoreError on a full
    disk.
    """
    with quiet_transformers(), disk_errors(out):
        try:
            return _merge(out, job, progress)
        except (EvalkitError, OSError, KeyboardInterrupt):
            raise
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise MergeError(
                f"cannot merge {job.adapter.source.reference!r} into "
                f"{job.base.source.reference!r}: {_first_line(error)}; is this the base the "
                "adapter was trained on?"
            ) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:2]) or type(error).__name__


def _merge(out: Path, job: MergeJob, progress: Progress) -> dict[str, Json]:
    import torch
    from peft import PeftModel

    names = f"{job.adapter.source.reference} into {job.base.source.reference}"
    progress(f"merging {names} in float32, once")
    state = _load_state(job.adapter)
    chosen = _choose_tokenizer(job)
    model = load_float32(job.base.folder, job.code)
    tied = _is_tied(model)
    warnings = _resize(model, state, chosen)
    if tied and _touches_embeddings(model, state, job.adapter.config):
        _untie(model)
    probes = probe_ids(chosen.tokenizer, _extra_ids(chosen, job.adapter.config))
    base_logits = logits_of(model, probes)
    beside = PeftModel.from_pretrained(model, str(job.adapter.path), torch_device="cpu")
    n_keys = check_keys(beside, state, job.adapter.source.reference)
    beside_logits = logits_of(beside, probes)
    merged = beside.merge_and_unload()
    merged_logits = logits_of(merged, probes)
    progress(f"proving the merge on {len(probes)} probe prompts")
    figures = check_merge(base_logits, beside_logits, merged_logits)
    _tie_again(merged, tied)
    with torch.no_grad():
        for parameter in merged.parameters():
            parameter.data = parameter.data.to(getattr(torch, job.dtype))
    # Buffers (rotary frequencies) stay in float32: loading the checkpoint computes them anew.
    merged.config.dtype = getattr(torch, job.dtype)
    merged.save_pretrained(out)
    _copy_beside(job, chosen, out)
    with torch.no_grad():
        for parameter in merged.parameters():
            parameter.data = parameter.data.float()
    rounded_logits = logits_of(merged, probes)
    still_tied = _is_tied(merged)
    del model, beside, merged
    gc.collect()
    loaded_logits = logits_of(load_float32(out, job.code), probes)
    saved = check_saved(base_logits, merged_logits, rounded_logits, loaded_logits)
    return {
        "merged_by": f"peft {version('peft')}",
        "dtype": "float32",
        "saved_dtype": job.dtype,
        **figures,
        **saved,
        "adapter_keys_used": n_keys,
        "tokenizer": chosen.origin,
        "added_tokens": len(chosen.added),
        "embeddings_untied": tied and not still_tied,
        "warnings": warnings,
    }


def load_float32(folder: Path, code: bool) -> Any:
    """A causal model in float32.  Raises ModelError."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=torch.float32, local_files_only=True, trust_remote_code=code
        )
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        raise ModelError(
            f"transformers cannot load {str(folder)!r}: {_first_line(error)}; expected a causal "
            "language model of an architecture it knows"
        ) from error


def _load_state(adapter: Adapter) -> dict[str, Any]:
    """The adapter's tensors by the names in its file."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if adapter.weights.suffix == ".safetensors":
            state = dict(load_file(str(adapter.weights)))
        else:
            state = dict(torch.load(adapter.weights, map_location="cpu", weights_only=True))
    except (SafetensorError, RuntimeError, ValueError, EOFError) as error:
        raise ModelError(
            f"cannot read the adapter's weights {str(adapter.weights)!r}: {_first_line(error)}; "
            "copy or download the adapter again"
        ) from error
    broken = sorted(k for k, v in state.items() if not bool(torch.isfinite(v).all()))
    if broken:
        raise MergeError(
            f"{len(broken)} weights of adapter {adapter.source.reference!r} are not finite, the "
            f"first {broken[0]!r}; its training diverged: take an earlier checkpoint"
        )
    return state


# --- Tokenizer and embeddings -------------------------------------------------------------


@dataclass(frozen=True)
class _Tokenizer:
    tokenizer: Any
    folder: Path
    origin: str
    """`adapter` or `base`."""
    added: tuple[int, ...]
    """Ids the base's tokenizer does not have."""


def _choose_tokenizer(job: MergeJob) -> _Tokenizer:
    """The adapter's own tokenizer where it brings one, else the base's."""
    from transformers import AutoTokenizer

    def load(folder: Path) -> Any:
        try:
            return AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=job.code
            )
        except Exception as error:
            raise ModelError(
                f"transformers cannot load the tokenizer in {str(folder)!r}: "
                f"{_first_line(error)}; save it again with `save_pretrained`"
            ) from error

    base = load(job.base.folder)
    if not _has_vocabulary(job.adapter.path):
        return _Tokenizer(base, job.base.folder, "base", ())
    own = load(job.adapter.path)
    added = sorted(set(own.get_vocab().values()) - set(base.get_vocab().values()))
    return _Tokenizer(own, job.adapter.path, "adapter", tuple(added))


def _has_vocabulary(folder: Path) -> bool:
    names = {p.name for p in tokenizer_files(folder)}
    return bool(names & {"tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json"})


def _extra_ids(chosen: _Tokenizer, config: Mapping[str, Json]) -> list[int]:
    """Ids that only a probe of their own reads: added tokens and tokens trained one by one."""
    trained = config.get("trainable_token_indices") or []
    groups = trained.values() if isinstance(trained, dict) else [trained]
    return list(dict.fromkeys([*chosen.added, *(int(i) for g in groups for i in g)]))


def _embedding_names(model: Any) -> tuple[str, ...]:
    wanted = [m for m in (model.get_input_embeddings(), model.get_output_embeddings()) if m]
    return tuple(n for n, m in model.named_modules() if any(m is w for w in wanted))


def _resize(model: Any, state: Mapping[str, Any], chosen: _Tokenizer) -> list[str]:
    """Give the embeddings as many rows as the adapter was trained with; returns warnings."""
    import torch

    rows = int(model.get_input_embeddings().weight.shape[0])
    trained = _trained_rows(model, state)
    wanted = trained or max(rows, max(chosen.added, default=-1) + 1)
    if wanted == rows:
        return []
    model.resize_token_embeddings(wanted, mean_resizing=False)
    with torch.no_grad():
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            if layer is not None and wanted > rows:
                # transformers would draw new rows at random: no two merges would be equal.
                layer.weight[rows:] = layer.weight[:rows].mean(dim=0)
    if trained or wanted < rows:
        return []
    warning = (
        f"the adapter's tokenizer has {wanted - rows} tokens more than the base has rows, and "
        "no full embedding for them; rows it did not train are the mean of the others"
    )
    return [warning]


def _trained_rows(model: Any, state: Mapping[str, Any]) -> int | None:
    """Rows of the embeddings the adapter's file holds; None where it holds none."""
    for name in _embedding_names(model):
        for suffix, axis in (
            (".weight", 0),
            (".base_layer.weight", 0),
            (".lora_embedding_A", 1),
            (".lora_B.weight", 0),
        ):
            tensor = state.get(_PREFIX + name + suffix)
            if tensor is not None:
                return int(tensor.shape[axis])
    return None


def _touches_embeddings(model: Any, state: Mapping[str, Any], config: Mapping[str, Json]) -> bool:
    """Did training change one of two tied embeddings?  PEFT itself handles the two options."""
    if config.get("ensure_weight_tying") or config.get("trainable_token_indices"):
        return False
    return any(k.startswith(_PREFIX + n + ".") for k in state for n in _embedding_names(model))


def _is_tied(model: Any) -> bool:
    return bool(getattr(model.config.get_text_config(), "tie_word_embeddings", False))


def _untie(model: Any) -> None:
    """Two weights where there was one, so that merging into one leaves the other as it was."""
    import torch

    output = model.get_output_embeddings()
    output.weight = torch.nn.Parameter(output.weight.detach().clone())
    model.config.get_text_config().tie_word_embeddings = False
    model.config.tie_word_embeddings = False


def _tie_again(model: Any, tied: bool) -> None:
    """A base with tied embeddings stays tied where both sides are still equal, else not."""
    import torch

    if not tied:
        return
    input_weight = model.get_input_embeddings().weight
    same = torch.equal(input_weight, model.get_output_embeddings().weight)
    if same:
        model.get_output_embeddings().weight = input_weight
    elif model.get_output_embeddings().weight is input_weight:
        _untie(model)
    for config in (model.config, model.config.get_text_config()):
        config.tie_word_embeddings = same


def _copy_beside(job: MergeJob, chosen: _Tokenizer, out: Path) -> None:
    """Tokenizer files as they are (saving them anew can change them), template, code."""
    files: Sequence[Path] = tokenizer_files(chosen.folder)
    if job.code:
        files = (*files, *code_files(job.base.folder))
    for file in files:
        shutil.copyfile(file, out / file.name)
    template = own_template(chosen.folder) or own_template(job.base.folder)
    if template is not None and own_template(out) is None:
        (out / "chat_template.jinja").write_text(template, encoding="utf-8")
