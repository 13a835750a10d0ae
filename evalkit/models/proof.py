"""Proof that a merged model is its base with the adapter, measured in float32.

Fixed prompts are read by four models: the base, the base with the adapter beside it (as
trained), the merged one, and the saved checkpoint loaded again.  The adapter must change the
logits; merging and saving must not.

Tolerance: merging rounds differently than adding the adapter's output does.  Over LoRA, rsLoRA,
DoRA, rank and alpha patterns, modules_to_save and bias that was at most 1.2e-4 in float32; in
bfloat16 it reaches 1.3, which is why the proof is not made there.  Allowed is 5e-4, and in
proportion more where logits exceed 25 in size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.errors import MergeError

__all__ = [
    "PROBES",
    "check_keys",
    "check_merge",
    "check_saved",
    "logits_of",
    "probe_ids",
]

PROBES = (
    "What is the capital of France?",
    "Write a short poem about the sea.",
    "Q: A train travels 60 km in 45 minutes. What is its speed in km/h?\nA: Let's think",
    "def fibonacci(n):\n    ",
    "Explique en une phrase pourquoi le ciel est bleu.",
    "The committee met on Tuesday. It did not agree, because",
)
_ADDED_PROBES = 16
TOLERANCE = 5e-4
_LOGIT_SIZE = 25.0

Tensors = Sequence[Any]
"""One float32 tensor (tokens x vocabulary) of logits per probe."""


def probe_ids(tokenizer: Any, extra: Sequence[int]) -> list[list[int]]:
    """Token ids of the probes; one more probe reads `extra` ids, which no text may contain.

    Raises MergeError where the tokenizer makes nothing of any probe.
    """
    probes = [list(tokenizer(text)["input_ids"]) for text in PROBES]
    probes = [p for p in probes if p]
    if extra:
        probes.append(list(extra)[:_ADDED_PROBES])
    if not probes:
        raise MergeError("the tokenizer turns every probe prompt into nothing; is it whole?")
    return probes


def logits_of(model: Any, probes: Sequence[Sequence[int]]) -> list[Any]:
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
    return TOLERANCE * max(1.0, size / _LOGIT_SIZE)


def check_merge(base: Tensors, beside: Tensors, merged: Tensors) -> dict[str, float | int]:
    """Figures of the proof; `beside` is the base with the adapter not merged.

    Raises MergeError when the adapter changes nothing or merging changes something.
    """
    tolerance = _tolerance(beside)
    effect, error = _difference(base, beside), _difference(beside, merged)
    # A change below the tolerance could not be told from rounding, so it counts as none.
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


def check_saved(
    base: Tensors, merged: Tensors, rounded: Tensors, loaded: Tensors
) -> dict[str, float]:
    """Figures about the saved checkpoint: `rounded` in memory, `loaded` from disk.

    Raises MergeError when the files hold another model than memory did, or when rounding to
    the saved type undid the adapter.
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


def check_keys(model: Any, state: Mapping[str, Any], reference: str) -> int:
    """Was every tensor of the adapter file (`state`) loaded, and is none missing?

    PEFT skips what does not fit and fills in what is missing.  Here what it would save is
    compared with the file, name by name and value by value.  Returns the number of tensors.
    Raises MergeError.
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
