"""Merges an adapter into its base: PEFT in float32, proved, then rounded and saved.

Departures from calling PEFT alone: embeddings are resized to the adapter's tokenizer, tied
embeddings are untied where the adapter trained one side, every adapter weight must be used, and
the files are loaded again and compared before they count as done.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evalkit.core import Json
from evalkit.errors import EvalkitError, MergeError, ModelError
from evalkit.models.adapter import Adapter
from evalkit.models.base_check import Base
from evalkit.models.cache import Progress, disk_errors
from evalkit.models.checkpoint import read_json, stored_dtype
from evalkit.models.gguf import quiet_transformers
from evalkit.models.merge_job import (
    MergedTokenizer,
    MergeJob,
    choose_tokenizer,
    copy_beside,
    first_line,
)
from evalkit.models.proof import (
    check_keys,
    check_merge,
    check_saved,
    logits_of,
    probe_ids,
)

__all__ = ["MERGER", "merge_into", "merged_dtype"]

MERGER = 1
"""Counts up when the same base and adapter would merge to other weights."""
_MERGEABLE = frozenset({"float32", "bfloat16", "float16", "float64"})
_PREFIX = "base_model.model."


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

    Raises MergeError when the adapter does not fit or the proof fails, ModelError when base or
    adapter cannot be loaded, StoreError on a full disk.
    """
    with quiet_transformers(), disk_errors(out):
        try:
            return _merge(out, job, progress)
        except (EvalkitError, OSError, KeyboardInterrupt):
            raise
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise MergeError(
                f"cannot merge {job.adapter.source.reference!r} into "
                f"{job.base.source.reference!r}: {first_line(error)}; is this the base the "
                "adapter was trained on?"
            ) from error


def _merge(out: Path, job: MergeJob, progress: Progress) -> dict[str, Json]:
    from peft import PeftModel

    names = f"{job.adapter.source.reference} into {job.base.source.reference}"
    progress(f"merging {names} in float32, once")
    state = _load_state(job.adapter)
    chosen = choose_tokenizer(job)
    model = _load_float32(job.base.folder, job.code)
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
    facts: dict[str, Json] = {
        "merged_by": f"peft {version('peft')}",
        "dtype": "float32",
        **check_merge(base_logits, beside_logits, merged_logits),
        "adapter_keys_used": n_keys,
        "tokenizer": chosen.origin,
        "added_tokens": len(chosen.added),
        "warnings": warnings,
        "saved_dtype": job.dtype,
    }
    if tied:
        _tie_again(merged)
    untied = tied and not _is_tied(merged)
    _save(merged, out, job.dtype)
    copy_beside(job, chosen, out)
    rounded_logits = logits_of(merged, probes)
    # Three names hold the weights; they must be gone before the files are loaded.
    del model, beside, merged
    gc.collect()
    loaded_logits = logits_of(_load_float32(out, job.code), probes)
    facts |= check_saved(base_logits, merged_logits, rounded_logits, loaded_logits)
    return facts | {"embeddings_untied": untied}


def _save(merged: Any, out: Path, dtype: str) -> None:
    """Write the checkpoint; `merged` keeps the rounded weights, in float32."""
    import torch

    with torch.no_grad():
        for parameter in merged.parameters():
            parameter.data = parameter.data.to(getattr(torch, dtype))
    # Buffers (rotary frequencies) stay in float32: loading the checkpoint computes them anew.
    merged.config.dtype = getattr(torch, dtype)
    merged.save_pretrained(out)
    with torch.no_grad():
        for parameter in merged.parameters():
            parameter.data = parameter.data.float()


def _load_float32(folder: Path, code: bool) -> Any:
    """A causal model in float32.  Raises ModelError."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=torch.float32, local_files_only=True, trust_remote_code=code
        )
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        raise ModelError(
            f"transformers cannot load {str(folder)!r}: {first_line(error)}; expected a causal "
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
            f"cannot read the adapter's weights {str(adapter.weights)!r}: {first_line(error)}; "
            "copy or download the adapter again"
        ) from error
    broken = sorted(k for k, v in state.items() if not bool(torch.isfinite(v).all()))
    if broken:
        raise MergeError(
            f"{len(broken)} weights of adapter {adapter.source.reference!r} are not finite, the "
            f"first {broken[0]!r}; its training diverged: take an earlier checkpoint"
        )
    return state


# --- Embeddings ---------------------------------------------------------------------------


def _extra_ids(chosen: MergedTokenizer, config: Mapping[str, Json]) -> list[int]:
    """Ids that only a probe of their own reads: added tokens and tokens trained one by one."""
    trained = config.get("trainable_token_indices") or []
    groups = trained.values() if isinstance(trained, dict) else [trained]
    return list(dict.fromkeys([*chosen.added, *(int(i) for g in groups for i in g)]))


def _embedding_names(model: Any) -> tuple[str, ...]:
    wanted = [m for m in (model.get_input_embeddings(), model.get_output_embeddings()) if m]
    return tuple(n for n, m in model.named_modules() if any(m is w for w in wanted))


def _resize(model: Any, state: Mapping[str, Any], chosen: MergedTokenizer) -> list[str]:
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


def _tie_again(model: Any) -> None:
    """A base with tied embeddings stays tied where both sides are still equal, else not."""
    import torch

    input_weight = model.get_input_embeddings().weight
    same = torch.equal(input_weight, model.get_output_embeddings().weight)
    if same:
        model.get_output_embeddings().weight = input_weight
    elif model.get_output_embeddings().weight is input_weight:
        _untie(model)
    for config in (model.config, model.config.get_text_config()):
        config.tie_word_embeddings = same
