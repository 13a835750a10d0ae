"""Benchmarks that the hub has a leaderboard for, as far as lm-eval's tasks measure them.

The hub's documentation (https://huggingface.co/docs/hub/eval-results) names HLE, GPQA, MMLU-Pro and
GSM8K; the allow-list grows and cannot be asked offline, so that this table is short on purpose:

- GSM8K, task `gsm8k`; MMLU-Pro, task `mmlu_pro`: as the Every Eval Ever package 0.3.0 posts them
  (`tools/hf_community_evals.py`).
- GPQA is left out: the documentation's example calls its task `gpqa_diamond`, that package
  `diamond`.
- Tasks that ask for a choice's log-probability (`leaderboard_mmlu_pro`, `leaderboard_gpqa`) are
  left out: those leaderboards are of written answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ALIASES", "REASONS", "REGISTERED", "Registered"]


@dataclass(frozen=True)
class Registered:
    """A task of a benchmark that the hub has a leaderboard for."""

    dataset: str
    """Hub data set."""
    task: str
    """`task_id` in its eval.yaml."""


_GSM8K = Registered("openai/gsm8k", "gsm8k")
REGISTERED: Mapping[str, Registered] = {
    "gsm8k": _GSM8K,
    "gsm8k_cot": _GSM8K,
    "gsm8k_cot_llama": _GSM8K,
    "gsm8k_cot_self_consistency": _GSM8K,
    "gsm8k_cot_zeroshot": _GSM8K,
    "mmlu_pro": Registered("TIGER-Lab/MMLU-Pro", "mmlu_pro"),
}
"""By lm-eval task or group."""
REASONS: Mapping[str, str] = {
    "gpqa": "which task id the hub's GPQA leaderboard has is not certain; write it by hand",
    "leaderboard_gpqa": "asked by log-probability, the leaderboard is of written answers",
    "leaderboard_mmlu_pro": "asked by log-probability, the leaderboard is of written answers",
}
"""Why a task is left out, by how its name begins."""
ALIASES = {"gsm8k": "openai/gsm8k"}
"""Names that lm-eval's tasks have for a data set."""
