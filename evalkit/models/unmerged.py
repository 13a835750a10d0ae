"""What an engine needs to serve an adapter beside its base, and what it is checked against.

The merge is made in memory and proved as ever, but no weights are written: the folder holds
configuration, tokenizer, template, and a stamp with what base and merged model answer to the
probe prompts.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalkit.core import Json, KnownPrompt, UnmergedAdapter
from evalkit.errors import ModelError
from evalkit.models.adapter import Adapter
from evalkit.models.cache import Progress
from evalkit.models.merge_job import MergedTokenizer, MergeJob, choose_tokenizer, copy_beside
from evalkit.models.merging import Proved, prove, proving

__all__ = ["STEPS", "describe_into", "unmerged_adapter"]

STEPS = 3
"""Greedy tokens per probe: the first is read off the prompt, the others are decoded."""
_LIKELIEST = 5
"""Next tokens that are compared, of each model and step."""
_CONFIGURATION = ("config.json", "generation_config.json")


def describe_into(out: Path, job: MergeJob, progress: Progress) -> dict[str, Json]:
    """Fill the empty folder `out`, weights left out; returns `proof` and `known` for its stamp.

    Raises ModelError where the adapter cannot be served unmerged, MergeError when it does not
    fit its base, StoreError on a full disk.
    """
    _refuse(job.adapter, _untrainable(job.adapter.config))
    with proving(out, job):
        chosen = choose_tokenizer(job)
        _refuse(job.adapter, _unreadable(chosen))
        proved = prove(job, progress, STEPS)
        _refuse(job.adapter, "it trains one of two tied embeddings" if proved.untied else "")
        for name in _CONFIGURATION:
            if (job.base.folder / name).is_file():
                shutil.copyfile(job.base.folder / name, out / name)
        copy_beside(job, chosen, out)
    return {"proof": proved.facts, "known": _known(proved)}


def unmerged_adapter(stamp: Mapping[str, Json], job: MergeJob) -> UnmergedAdapter:
    """The adapter, with what `describe_into` left in the stamp."""
    return UnmergedAdapter(
        base=job.base.folder,
        path=job.adapter.path,
        rank=_rank(job.adapter.config),
        known=tuple(
            KnownPrompt(tuple(known["prompt"]), _steps(known["base"]), _steps(known["merged"]))
            for known in stamp["known"]
        ),
    )


def _known(proved: Proved) -> list[dict[str, Json]]:
    """JSON of `core.KnownPrompt`s: each step a list of (token, log-probability)."""
    found = []
    per_probe = zip(proved.probes, proved.base_steps, proved.merged_steps, strict=True)
    for prompt, base, merged in per_probe:
        first = dict.fromkeys([*_best(base[0]), *_best(merged[0])])
        found.append(
            {"prompt": prompt, "base": _values(base, first), "merged": _values(merged, first)}
        )
    return found


def _values(steps: list[Any], first: Mapping[int, None]) -> list[list[tuple[int, float]]]:
    tokens = [list(first), *(_best(row) for row in steps[1:])]
    return [
        [(token, float(row[token])) for token in wanted]
        for row, wanted in zip(steps, tokens, strict=True)
    ]


def _best(row: Any) -> list[int]:
    found: list[int] = row.topk(min(_LIKELIEST, len(row))).indices.tolist()
    return found


def _steps(written: Json) -> tuple[Mapping[int, float], ...]:
    return tuple({int(token): float(value) for token, value in step} for step in written)


def _rank(config: Mapping[str, Json]) -> int:
    ranks = [config.get("r") or 0, *(config.get("rank_pattern") or {}).values()]
    return max(int(r) for r in ranks)


def _refuse(adapter: Adapter, obstacle: str) -> None:
    if obstacle:
        raise ModelError(
            f"adapter {adapter.source.reference!r} cannot be served unmerged: {obstacle}; write "
            f"`serve: merged` in its engine section (the default)"
        )


def _untrainable(config: Mapping[str, Json]) -> str:
    """What vLLM's LoRA layers have no place for; empty: nothing."""
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
    return ""


def _unreadable(chosen: MergedTokenizer) -> str:
    """Text is made with the base's tokenizer where both are served from one load."""
    if chosen.added:
        return f"its tokenizer adds {len(chosen.added)} tokens to the base's"
    if not chosen.reads_as_base:
        return "its tokenizer is another than the base's (vocabulary or special tokens)"
    return ""
