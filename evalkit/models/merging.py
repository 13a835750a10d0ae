"""Merges an adapter into its base: PEFT in float32, proved, then rounded and saved.

Departures from calling PEFT alone: embeddings are resized to the adapter's tokenizer, tied
embeddings are untied where the adapter trained one side, every adapter weight must be used, and
the files are loaded again and compared before they count as done.

The proof, in float32: the merged model equals its base with the adapter.  Four models compute the
logits of fixed prompts: the base, the base with the unmerged adapter (as trained), the merged one,
and the saved checkpoint loaded again.  The adapter must change the logits; merging and saving must
not.

Tolerance: merging rounds differently from adding the adapter's output.  Over LoRA, rsLoRA, DoRA,
rank and alpha patterns, modules_to_save and bias the difference was at most 1.2e-4 in float32; in
bfloat16 it reaches 1.3, so the proof is not made there.  Allowed is 5e-4, and proportionally more
where logits exceed 25 in size.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evalkit.core import Json
from evalkit.errors import EvalkitError, MergeError, ModelError
from evalkit.models.base_check import Base
from evalkit.models.cache import Progress, disk_errors
from evalkit.models.checkpoint import (
    Adapter,
    code_files,
    read_json,
    stored_dtype,
    tokenizer_files,
)
from evalkit.models.gguf import quiet_transformers
from evalkit.models.template import own_template

__all__ = ["MERGER", "MergeJob", "merge_into", "merged_dtype"]

MERGER = 1
"""Incremented when the same base and adapter would merge to other weights."""
_MERGEABLE = frozenset({"float32", "bfloat16", "float16", "float64"})
_PREFIX = "base_model.model."
_PROBES = (
    "What is the capital of France?",
    "Write a short poem about the sea.",
    "Q: A train travels 60 km in 45 minutes. What is its speed in km/h?\nA: Let's think",
    "def fibonacci(n):\n    ",
    "Explique en une phrase pourquoi le ciel est bleu.",
    "The committee met on Tuesday. It did not agree, because",
)
_ADDED_PROBES = 16
_TOLERANCE = 5e-4
_LOGIT_SIZE = 25.0

Tensors = Sequence[Any]
"""One float32 tensor (tokens x vocabulary) of logits per probe."""


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
                f"{job.base.source.reference!r}: {_first_line(error)}; is this the base the "
                "adapter was trained on?"
            ) from error


def _merge(out: Path, job: MergeJob, progress: Progress) -> dict[str, Json]:
    from peft import PeftModel

    names = f"{job.adapter.source.reference} into {job.base.source.reference}"
    progress(f"merging {names} in float32, once")
    state = _load_state(job.adapter)
    chosen = _choose_tokenizer(job)
    model = _load_float32(job.base.folder, job.code)
    tied = _is_tied(model)
    warnings = _resize(model, state, chosen)
    if tied and _touches_embeddings(model, state, job.adapter.config):
        _untie(model)
    probes = _probe_ids(chosen.tokenizer, _extra_ids(chosen, job.adapter.config))
    base_logits = _logits_of(model, probes)
    beside = PeftModel.from_pretrained(model, str(job.adapter.path), torch_device="cpu")
    n_keys = _check_keys(beside, state, job.adapter.source.reference)
    beside_logits = _logits_of(beside, probes)
    merged = beside.merge_and_unload()
    merged_logits = _logits_of(merged, probes)
    progress(f"proving the merge on {len(probes)} probe prompts")
    facts: dict[str, Json] = {
        "merged_by": f"peft {version('peft')}",
        "dtype": "float32",
        **_check_merge(base_logits, beside_logits, merged_logits),
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
    _copy_beside(job, chosen, out)
    rounded_logits = _logits_of(merged, probes)
    # Three names hold the weights; delete them before the files are loaded.
    del model, beside, merged
    gc.collect()
    loaded_logits = _logits_of(_load_float32(out, job.code), probes)
    facts |= _check_saved(base_logits, merged_logits, rounded_logits, loaded_logits)
    return facts | {"embeddings_untied": untied}


def _save(merged: Any, out: Path, dtype: str) -> None:
    """Write the checkpoint; `merged` keeps the rounded weights, in float32."""
    import torch

    with torch.no_grad():
        for parameter in merged.parameters():
            parameter.data = parameter.data.to(getattr(torch, dtype))
    # Buffers (rotary frequencies) stay in float32: loading the checkpoint recomputes them.
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


# --- Tokenizer -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tokenizer:
    """The tokenizer of the merged weights."""

    tokenizer: Any
    folder: Path
    origin: str
    """`adapter` or `base`."""
    added: tuple[int, ...]
    """Ids the base's tokenizer does not have."""


def _choose_tokenizer(job: MergeJob) -> _Tokenizer:
    """The adapter's own tokenizer where it has one, else the base's.  Raises ModelError."""
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


def _copy_beside(job: MergeJob, chosen: _Tokenizer, out: Path) -> None:
    """Copy tokenizer files (saving them again can change them), template, code."""
    files: Sequence[Path] = tokenizer_files(chosen.folder)
    if job.code:
        files = (*files, *code_files(job.base.folder))
    for file in files:
        shutil.copyfile(file, out / file.name)
    template = own_template(chosen.folder) or own_template(job.base.folder)
    if template is not None and own_template(out) is None:
        (out / "chat_template.jinja").write_text(template, encoding="utf-8")


def _first_line(error: Exception) -> str:
    """The first lines of an exception's message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:2]) or type(error).__name__


# --- Embeddings ---------------------------------------------------------------------------


def _extra_ids(chosen: _Tokenizer, config: Mapping[str, Json]) -> list[int]:
    """Ids for a probe of their own: added tokens and individually trained ones."""
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
                # transformers would initialise new rows at random, so no two merges would be equal.
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
    """Whether training changed one of two tied embeddings; PEFT itself handles the two options."""
    if config.get("ensure_weight_tying") or config.get("trainable_token_indices"):
        return False
    return any(k.startswith(_PREFIX + n + ".") for k in state for n in _embedding_names(model))


def _is_tied(model: Any) -> bool:
    return bool(getattr(model.config.get_text_config(), "tie_word_embeddings", False))


def _untie(model: Any) -> None:
    """Make two weights of one, so that merging into one leaves the other unchanged."""
    import torch

    output = model.get_output_embeddings()
    output.weight = torch.nn.Parameter(output.weight.detach().clone())
    model.config.get_text_config().tie_word_embeddings = False
    model.config.tie_word_embeddings = False


def _tie_again(model: Any) -> None:
    """Tie the embeddings of a tied base again where both sides are still equal."""
    import torch

    input_weight = model.get_input_embeddings().weight
    same = torch.equal(input_weight, model.get_output_embeddings().weight)
    if same:
        model.get_output_embeddings().weight = input_weight
    elif model.get_output_embeddings().weight is input_weight:
        _untie(model)
    for config in (model.config, model.config.get_text_config()):
        config.tie_word_embeddings = same


# --- Proof -----------------------------------------------------------------------------------


def _probe_ids(tokenizer: Any, extra: Sequence[int]) -> list[list[int]]:
    """Token ids of the probes; one more probe is of `extra` ids, which no text may contain.

    Raises MergeError where the tokenizer gives no ids for any probe.
    """
    probes = [list(tokenizer(text)["input_ids"]) for text in _PROBES]
    probes = [p for p in probes if p]
    if extra:
        probes.append(list(extra)[:_ADDED_PROBES])
    if not probes:
        raise MergeError("the tokenizer gives no token for any probe prompt; is it complete?")
    return probes


def _logits_of(model: Any, probes: Sequence[Sequence[int]]) -> list[Any]:
    """Logits at every position of every probe.  Raises MergeError unless all are finite."""
    import torch

    model.eval()
    with torch.inference_mode():
        found = [model(input_ids=torch.tensor([list(p)])).logits[0].float() for p in probes]
    if not all(bool(torch.isfinite(x).all()) for x in found):
        raise MergeError(
            "the model's logits are not finite; its weights (or the adapter's) are broken"
        )
    return found


def _difference(a: Tensors, b: Tensors) -> float:
    return max(float((x - y).abs().max()) for x, y in zip(a, b, strict=True))


def _tolerance(logits: Tensors) -> float:
    size = max(float(x.abs().max()) for x in logits)
    return _TOLERANCE * max(1.0, size / _LOGIT_SIZE)


def _check_merge(base: Tensors, beside: Tensors, merged: Tensors) -> dict[str, float | int]:
    """Numbers of the proof; `beside`: the base with the unmerged adapter.

    Raises MergeError when the adapter changes nothing or merging changes something.
    """
    tolerance = _tolerance(beside)
    effect, error = _difference(base, beside), _difference(beside, merged)
    # A change below the tolerance may be rounding, so it counts as none.
    if effect <= tolerance:
        raise MergeError(
            f"the adapter has no effect: on {len(base)} probe prompts it changes the logits by "
            f"at most {effect:.2g}; expected more than {tolerance:.2g}: was it saved before "
            "training, or trained with a learning rate of zero?"
        )
    if error > tolerance:
        raise MergeError(
            f"merged and unmerged model differ: logits by up to {error:.2g}, expected at most "
            f"{tolerance:.2g} in float32; this adapter cannot be merged faithfully"
        )
    agree = sum(
        int((x.argmax(-1) == y.argmax(-1)).sum()) for x, y in zip(beside, merged, strict=True)
    )
    return {
        "probe_prompts": len(base),
        "max_abs_logit_change_by_adapter": effect,
        "max_abs_difference_merged_unmerged": error,
        "tolerance": tolerance,
        "argmax_agreement": agree / sum(x.shape[0] for x in beside),
    }


def _check_saved(
    base: Tensors, merged: Tensors, rounded: Tensors, loaded: Tensors
) -> dict[str, float]:
    """Numbers about the saved checkpoint: `rounded` in memory, `loaded` from disk.

    Raises MergeError when the files hold another model than memory, or when rounding to the saved
    type undid the adapter.
    """
    tolerance = _tolerance(rounded)
    error, effect = _difference(rounded, loaded), _difference(base, loaded)
    if error > tolerance:
        raise MergeError(
            f"the saved checkpoint differs from the merged model: logits by up to {error:.2g}, "
            f"expected at most {tolerance:.2g}; transformers saved this architecture wrongly"
        )
    if effect <= tolerance:
        raise MergeError(
            "rounding to the saved type undid the adapter; write `dtype: float32` for this model"
        )
    return {
        "max_abs_difference_saved": error,
        "max_abs_logit_change_by_rounding": _difference(merged, loaded),
    }


def _check_keys(model: Any, state: Mapping[str, Any], reference: str) -> int:
    """Check that every tensor of the adapter file (`state`) was loaded, and that none is missing.

    PEFT skips tensors that do not fit and initialises missing ones.  So the tensors it would save
    are compared with the file, name by name and value by value.  Returns their number.  Raises
    MergeError.
    """
    import torch
    from peft import get_peft_model_state_dict

    # True adds the embeddings of resized models; they count only where the file has them.
    full = get_peft_model_state_dict(model, save_embedding_layers=True)
    needed = get_peft_model_state_dict(model, save_embedding_layers=False)
    unused = sorted(k for k in state if k not in full)
    if unused:
        raise MergeError(
            f"{_count(unused)} of adapter {reference!r} have no place in the base: "
            f"{_list(unused)}; it was trained on a base with other layers or modules"
        )
    missing = sorted(k for k in needed if k not in state)
    if missing:
        raise MergeError(
            f"adapter {reference!r} lacks {_count(missing)} that this base needs: "
            f"{_list(missing)}; the file is incomplete, or the base has more layers than the "
            "one it was trained on"
        )
    wrong = sorted(k for k, v in state.items() if not torch.equal(full[k].float(), v.float()))
    if wrong:
        raise MergeError(f"PEFT did not load {_count(wrong)} of {reference!r}: {_list(wrong)}")
    return len(state)


def _count(keys: Sequence[str]) -> str:
    return f"{len(keys)} weight{'s' if len(keys) > 1 else ''}"


def _list(keys: Sequence[str]) -> str:
    shown = ", ".join(k.removeprefix("base_model.model.") for k in keys[:3])
    return shown + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
