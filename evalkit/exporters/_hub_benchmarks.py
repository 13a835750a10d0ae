"""Benchmarks that the hub has a leaderboard for, as far as lm-eval's tasks measure them.

The hub's documentation (https://huggingface.co/docs/hub/eval-results) names HLE, GPQA, MMLU-Pro and
GSM8K; the allow-list grows and cannot be asked offline, so that this table is short on purpose:

- GSM8K, task `gsm8k`; MMLU-Pro, task `mmlu_pro`: as the Every Eval Ever package 0.3.0 posts them
  (`tools/hf_community_evals.py`).
- GPQA, task `diamond`: so in the files of models on the hub (`.eval_results/gpqa.yaml` of
  MiniMaxAI/MiniMax-M2.5, commit f710177, written by the hub's own staff) and in that package; the
  documentation's example, and huggingface_hub's, has `gpqa_diamond`, which no file was seen to
  use.  The other subsets of GPQA have no leaderboard.
- Tasks that ask for a choice's log-probability (`leaderboard_mmlu_pro`, `leaderboard_gpqa`,
  `gpqa_diamond_zeroshot`) are left out: those leaderboards are of written answers.
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


_GPQA = Registered("Idavidrein/gpqa", "diamond")
_GSM8K = Registered("openai/gsm8k", "gsm8k")
REGISTERED: Mapping[str, Registered] = {
    "gpqa_diamond_cot_n_shot": _GPQA,
    "gpqa_diamond_cot_zeroshot": _GPQA,
    "gpqa_diamond_generative_n_shot": _GPQA,
    "gsm8k": _GSM8K,
    "gsm8k_cot": _GSM8K,
    "gsm8k_cot_llama": _GSM8K,
    "gsm8k_cot_self_consistency": _GSM8K,
    "gsm8k_cot_zeroshot": _GSM8K,
    "mmlu_pro": Registered("TIGER-Lab/MMLU-Pro", "mmlu_pro"),
}
"""By lm-eval task or group."""
_BY_PROBABILITY = "asked by log-probability, the leaderboard is of written answers"
REASONS: Mapping[str, str] = {
    "gpqa_diamond_": _BY_PROBABILITY,
    "gpqa_": "the hub's leaderboard of GPQA is of its diamond questions",
    "leaderboard_gpqa": _BY_PROBABILITY,
    "leaderboard_mmlu_pro": _BY_PROBABILITY,
}
"""Why a task is left out, by how its name begins."""
ALIASES = {"gsm8k": "openai/gsm8k"}
"""Names that lm-eval's tasks have for a data set."""
