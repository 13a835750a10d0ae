"""Merges an adapter into its base: PEFT in float32, proved, then rounded and saved.

Departures from calling PEFT alone: embeddings are resized to the adapter's tokenizer, tied
embeddings are untied where the adapter trained one side, every adapter weight must be used, and
the files are loaded again and compared before they count as done.

The proof, in float32: the merged model equals its base with the adapter.  Four models compute the
logits of fixed prompts: the base, the base with the unmerged adapter (as PEFT loads it), the
merged one, and the saved checkpoint loaded again.  The adapter must change the logits; merging and
saving must not.

What the proof cannot see: whether PEFT loads the model that was trained.  So only kinds of adapter
are merged whose reload was compared with the trained model in memory (`checkpoint.read_adapter`),
kinds other than LoRA are loaded twice and must be the same both times (some draw random matrices),
and the base is checked (`base_check`).  A record made at training (`recording`) proves all of it.

Tolerance: merging rounds differently from adding the adapter's output.  Over LoRA, rsLoRA, DoRA,
rank and alpha patterns, modules_to_save and bias the difference was at most 1.2e-4 in float32; in
bfloat16 it reaches 1.3, so the proof is not made there.  Allowed is 5e-4, and proportionally more
where logits exceed 25 in size.
"""

from __future__ import annotations

import gc
import pickle
import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evalkit.core import Json
from evalkit.errors import EvalkitError, MergeError, ModelError, StoreError
from evalkit.models.base_check import Base
from evalkit.models.cache import Progress, disk_errors
from evalkit.models.checkpoint import (
    Adapter,
    code_files,
    has_vocabulary,
    read_json,
    stored_dtype,
    tokenizer_files,
    weight_files,
)
from evalkit.models.gguf import quiet_transformers
from evalkit.models.recording import PROBES, check_recorded, trained_probes
from evalkit.models.template import own_template

__all__ = [
    "MERGER",
    "MergeJob",
    "load_tokenizer",
    "merge_into",
    "merged_dtype",
    "pickled_tensors",
    "reloaded_probes",
]

MERGER = 1
"""Incremented when the same base and adapter would merge to other weights."""
_MERGEABLE = frozenset({"float32", "bfloat16", "float16", "float64"})
_PREFIX = "base_model.model."
_WRAPPERS = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module)\.|^module\.(?=base_model\.)")
"""torch.compile's, FSDP's and DistributedDataParallel's."""
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
    names = f"{job.adapter.source.reference} into {job.base.source.reference}"
    _check_room(out, job)
    progress(f"merging {names} in float32, once")
    state = _load_state(job.adapter)
    chosen = _choose_tokenizer(job)
    probes = _probe_ids(chosen.tokenizer, _extra_ids(chosen, job.adapter.config))
    first = None
    if job.adapter.config.get("peft_type") != "LORA":
        first = _logits_of(_load_beside(_open_base(job, state, chosen), job, state, 1), probes)
        gc.collect()
    opened = _open_base(job, state, chosen)
    base_logits = _logits_of(opened.model, probes)
    beside = _load_beside(opened, job, state, 2)
    beside_logits = _logits_of(beside, probes)
    if first is not None and _difference(first, beside_logits) > _tolerance(first):
        raise MergeError(
            f"PEFT loads another model from {job.adapter.source.reference!r} every time, since the "
            "adapter's file does not hold all that was drawn at random for its training"
        )
    if opened.tied:
        _part_tied(beside)
    merged = _merge_adapter(beside, job)
    merged_logits = _logits_of(merged, probes)
    progress(f"proving the merge on {len(probes)} probe prompts")
    facts: dict[str, Json] = {
        "merged_by": f"peft {version('peft')}",
        "dtype": "float32",
        **_check_merge(base_logits, beside_logits, merged_logits),
        **check_recorded(merged, job.adapter),
        "adapter_keys_used": len(state),
        "tokenizer": chosen.origin,
        "added_tokens": len(chosen.added),
        "warnings": [*opened.warnings, *_unknown_fields(job.adapter)],
        "saved_dtype": job.dtype,
    }
    if opened.tied:
        _tie_again(merged)
    untied = opened.tied and not _is_tied(merged)
    _save(merged, out, job)
    _copy_beside(job, chosen, out)
    rounded_logits = _logits_of(merged, probes)
    # Three names hold the weights; delete them before the files are loaded.
    del opened, beside, merged
    gc.collect()
    loaded_logits = _logits_of(_load_float32(out, job.code), probes)
    facts |= _check_saved(base_logits, merged_logits, rounded_logits, loaded_logits)
    return facts | {"embeddings_untied": untied}


def reloaded_probes(job: MergeJob) -> dict[str, Json]:
    """The `probes` of a record (`recording`), of the adapter as PEFT loads it now."""
    with quiet_transformers():
        state, chosen = _load_state(job.adapter), _choose_tokenizer(job)
        beside = _load_beside(_open_base(job, state, chosen), job, state, 2)
        return trained_probes(beside, chosen.tokenizer, "reload")


def _check_room(out: Path, job: MergeJob) -> None:
    """Raise StoreError where the disk cannot take the merged weights, before they are made."""
    bits = {"float32": 32, "float64": 64}
    own = bits.get(stored_dtype(job.base.folder) or "float32", 16)
    size = sum(f.stat().st_size for f in weight_files(job.base.folder))
    needed, free = size * bits.get(job.dtype, 16) // own, shutil.disk_usage(out).free
    if free < needed:
        raise StoreError(
            f"the merged checkpoint needs {needed / 1e9:.1f} GB in {str(out.parent)!r}, and "
            f"{free / 1e9:.1f} GB are free; free some space, then run the same command again"
        )


@dataclass(frozen=True)
class _Opened:
    """A base in memory, as the adapter needs it."""

    model: Any
    tied: bool
    """Its checkpoint has one weight for both embeddings."""
    warnings: list[str]


def _open_base(job: MergeJob, state: Mapping[str, Any], chosen: _Tokenizer) -> _Opened:
    model = _load_float32(job.base.folder, job.code)
    tied = _is_tied(model)
    warnings = _resize(model, state, chosen)
    if tied and _touches_embeddings(model, state, job.adapter.config):
        _untie(model)
    return _Opened(model, tied, warnings)


def _load_beside(opened: _Opened, job: MergeJob, state: Mapping[str, Any], seed: int) -> Any:
    """The base with the unmerged adapter, all of whose tensors are used; changes the base.

    `seed`: of what PEFT draws while it loads.
    """
    import torch
    from peft import PeftModel

    of_base = {id(p) for p in opened.model.parameters()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        beside = PeftModel.from_pretrained(opened.model, str(job.adapter.path), torch_device="cpu")
    _load_tensors(beside, state, of_base, job.adapter)
    return beside


def _merge_adapter(beside: Any, job: MergeJob) -> Any:
    try:
        return beside.merge_and_unload()
    except (RuntimeError, ValueError, NotImplementedError, AttributeError) as error:
        kind = job.adapter.config.get("peft_type")
        raise MergeError(
            f"PEFT cannot merge adapter {job.adapter.source.reference!r} ({kind}): "
            f"{_first_line(error)}"
        ) from error


def _unknown_fields(adapter: Adapter) -> list[str]:
    """A warning about settings that this version of PEFT does not know."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    config = PEFT_TYPE_TO_CONFIG_MAPPING[adapter.config["peft_type"]]
    known = {field.name for field in fields(config)}
    unknown = {k: v for k, v in adapter.config.items() if k not in known and v}
    if not unknown:
        return []
    return [
        f"adapter_config.json sets {k} = {v!r}, which PEFT {version('peft')} does not know and "
        "leaves out; where it changes what the adapter does, install the PEFT it was trained with"
        for k, v in unknown.items()
    ]


def _save(merged: Any, out: Path, job: MergeJob) -> None:
    """Write the checkpoint; `merged` keeps the rounded weights, in float32."""
    import torch
    from transformers import GenerationConfig

    dtype = job.dtype
    # Copied as it is: transformers saves no untidy one (temperature without do_sample).
    generation = job.base.folder / "generation_config.json"
    if generation.is_file():
        merged.generation_config = GenerationConfig()

    with torch.no_grad():
        for parameter in merged.parameters():
            parameter.data = parameter.data.to(getattr(torch, dtype))
    # Buffers (rotary frequencies) stay in float32: loading the checkpoint recomputes them.
    merged.config.dtype = getattr(torch, dtype)
    merged.save_pretrained(out)
    if generation.is_file():
        shutil.copyfile(generation, out / generation.name)
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


def pickled_tensors(file: Path, reference: str, device: str = "cpu") -> Any:
    """What `torch.save` wrote, tensors alone: a pickle can hold any code.

    `reference`: the model as the suite names it.  On the device `meta` no tensor is read.
    Raises ModelError.
    """
    import torch

    try:
        mapped = zipfile.is_zipfile(file)  # files from before PyTorch 1.6 are not
        return torch.load(file, map_location=device, weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        calls = re.search(r"GLOBAL (\S+)", str(error))
        raise ModelError(
            f"{file.name!r} of {reference!r} holds more than tensors"
            + (f": reading it would call {calls[1]}" if calls else "")
            + "; such a file is not read, whoever consents: convert it to safetensors where its "
            "author can be trusted"
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
            state = dict(pickled_tensors(adapter.weights, adapter.source.reference))
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
    # Trainers that compile or shard save their wrappers' names, too.
    clean = {key: _WRAPPERS.sub("", key) for key in state}
    return {clean[k] if clean[k] not in state else k: tensor for k, tensor in state.items()}


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


def load_tokenizer(folder: Path, *, code: bool = False) -> Any:
    """`code`: it may run code that comes with it.  Raises ModelError."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=code
        )
    except Exception as error:
        raise ModelError(
            f"transformers cannot load the tokenizer in {str(folder)!r}: "
            f"{_first_line(error)}; save it again with `save_pretrained`"
        ) from error


def _choose_tokenizer(job: MergeJob) -> _Tokenizer:
    """The adapter's own tokenizer where it has one, else the base's.  Raises ModelError."""
    base = load_tokenizer(job.base.folder, code=job.code)
    if not has_vocabulary(job.adapter.path):
        return _Tokenizer(base, job.base.folder, "base", ())
    own = load_tokenizer(job.adapter.path, code=job.code)
    added = sorted(set(own.get_vocab().values()) - set(base.get_vocab().values()))
    return _Tokenizer(own, job.adapter.path, "adapter", tuple(added))


def _copy_beside(job: MergeJob, chosen: _Tokenizer, out: Path) -> None:
    """Copy tokenizer files (saving them again can change them), template, code."""
    files: Sequence[Path] = tokenizer_files(chosen.folder)
    if job.code:
        files = (*files, *code_files(job.base.folder))
    for file in files:
        shutil.copyfile(file, out / file.name)
    template = own_template(job.adapter.path) or own_template(job.base.folder)
    if template is not None and own_template(out) != template:
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


def _part_tied(model: Any) -> None:
    """Give an adapted output embedding a base weight of its own where it shares the input's.

    PEFT would add the changes of both sides to the one weight (`ensure_weight_tying`).
    """
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer

    sides = (model.get_input_embeddings(), model.get_output_embeddings())
    if not all(isinstance(side, BaseTunerLayer) for side in sides):
        return
    weights = [side.get_base_layer().weight for side in sides]
    if weights[0] is weights[1]:
        output = sides[1].get_base_layer()
        output.weight = torch.nn.Parameter(weights[1].detach().clone())


def _tie_again(model: Any) -> None:
    """Tie the embeddings of a tied base again where both sides are still equal."""
    import torch

    input_weight = model.get_input_embeddings().weight
    # An adapter of both sides adds the same to each, but for the order of the sums.
    size = float(input_weight.abs().max())
    same = torch.allclose(
        input_weight, model.get_output_embeddings().weight, rtol=0, atol=1e-6 * size
    )
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
    probes = [list(tokenizer(text)["input_ids"]) for text in PROBES]
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


def _load_tensors(
    model: Any, state: Mapping[str, Any], of_base: set[int], adapter: Adapter
) -> None:
    """Load the tensors of the adapter's file (`state`): each must be used, and none be missing.

    PEFT skips tensors it has no place for, leaves missing ones as it initialised them, and renames,
    joins and transposes those of other versions of itself and of transformers.  So names say
    little: each tensor is first loaded as a number of its own, and the numbers are looked for in
    the model.  `of_base`: identities of the base's parameters.  Raises MergeError.
    """
    import torch
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    reference = adapter.source.reference
    numbers = {
        k: torch.full_like(v, n, dtype=torch.float32) for n, (k, v) in enumerate(state.items(), 1)
    }
    lacking = set(set_peft_model_state_dict(model, numbers).missing_keys)
    now = model.state_dict()
    found = {n for k in now.keys() - lacking for n in now[k].unique().tolist()}
    set_peft_model_state_dict(model, dict(state))
    # Some kinds keep a tensor elsewhere than among the model's, or twice, one over the other.
    kept = get_peft_model_state_dict(model, save_embedding_layers=True)
    saved = get_peft_model_state_dict(model, save_embedding_layers=False)
    unused = [k for n, k in enumerate(state, 1) if n not in found]
    unused = [k for k in unused if k not in kept or not torch.equal(kept[k], state[k])]
    if unused:
        raise MergeError(
            f"{_count(unused)} of adapter {reference!r} have no place in the base: "
            f"{_list(unused)}; it was trained on a base with other layers or modules"
        )
    places: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) not in of_base and name.replace(".default", "") in saved:
            places.setdefault(id(parameter), []).append(name)
    missing = [names[0] for names in places.values() if lacking.issuperset(names)]
    missing += [k for k in lacking & saved.keys() if k.endswith(".bias")]
    if missing:
        raise MergeError(
            f"adapter {reference!r} lacks {_count(missing)} that this base needs: "
            f"{_list(sorted(missing))}; the file is incomplete, or the base has more layers than "
            "the one it was trained on"
        )


def _count(keys: Sequence[str]) -> str:
    return f"{len(keys)} weight{'s' if len(keys) > 1 else ''}"


def _list(keys: Sequence[str]) -> str:
    shown = ", ".join(k.removeprefix(_PREFIX).replace(".default", "") for k in keys[:3])
    return shown + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
