"""What an engine needs to serve an adapter beside its base, and what it is checked against.

The merged checkpoint is made and proved all the same: it brings tokenizer and template, and what
it answers to a few prompts is what the unmerged adapter must answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.models.cache import read_stamp, write_stamp
from evalkit.models.fingerprint import FileHashes
from evalkit.models.gguf import quiet_transformers
from evalkit.models.merging import MergeJob, load_float32
from evalkit.models.proof import logits_of, probe_ids
from evalkit.types import Json, UnmergedAdapter

__all__ = ["unmerged_adapter"]

_NEXT_TOKENS = 5
"""Of each probe, as many of the likeliest next tokens are compared."""


def unmerged_adapter(
    merged: Path, job: MergeJob, stamp_name: str, hashes: FileHashes
) -> UnmergedAdapter:
    """Describe the adapter that `merged` was made with; probes are computed once and kept.

    Raises ModelError when the merged checkpoint cannot be loaded.
    """
    stamp = read_stamp(merged, stamp_name) or {}
    if "probes" not in stamp:
        stamp["probes"] = _probe(merged, job.code)
        write_stamp(merged, stamp_name, stamp, hashes)
    proof = stamp.get("proof", {})
    return UnmergedAdapter(
        base=job.base.folder,
        path=job.adapter.path,
        rank=_rank(job.adapter.config),
        obstacle=_obstacle(job.adapter.config, proof),
        probes=tuple(
            (tuple(probe["prompt"]), {int(t): float(v) for t, v in probe["next"]})
            for probe in stamp["probes"]
        ),
        rounding=float(proof.get("max_abs_logit_change_by_rounding") or 0.0),
    )


def _probe(folder: Path, code: bool) -> list[dict[str, Json]]:
    import torch
    from transformers import AutoTokenizer

    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=code
        )
        prompts = probe_ids(tokenizer, ())
        found: Sequence[Any] = logits_of(load_float32(folder, code), prompts)
    rows = [torch.log_softmax(logits[-1], dim=-1).topk(_NEXT_TOKENS) for logits in found]
    return [
        {
            "prompt": prompt,
            "next": list(zip(row.indices.tolist(), row.values.tolist(), strict=True)),
        }
        for prompt, row in zip(prompts, rows, strict=True)
    ]


def _rank(config: Mapping[str, Json]) -> int:
    ranks = [config.get("r") or 0, *(config.get("rank_pattern") or {}).values()]
    return max(int(r) for r in ranks)


def _obstacle(config: Mapping[str, Json], proof: Mapping[str, Json]) -> str:
    """What vLLM's LoRA layers have no place for."""
    if str(config.get("peft_type", "LORA")) != "LORA":
        return f"it is of type {config['peft_type']!r}, not LORA"
    if config.get("use_dora"):
        return "it uses DoRA (use_dora)"
    if config.get("modules_to_save"):
        return f"it replaces whole modules (modules_to_save: {config['modules_to_save']})"
    if config.get("bias", "none") != "none":
        return f"it trains biases (bias: {config['bias']!r})"
    if config.get("trainable_token_indices"):
        return "it trains single tokens (trainable_token_indices)"
    if proof.get("added_tokens"):
        return f"its tokenizer adds {proof['added_tokens']} tokens to the base's"
    if proof.get("embeddings_untied"):
        return "it trains one of two tied embeddings"
    return ""
