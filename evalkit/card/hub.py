"""How the hub names what evalkit measures: tasks, data sets, splits, metrics.

Names follow what the Open LLM Leaderboard's bot and lm-eval's own cards write (data set "MMLU
(5-shot)", metric `acc_norm`, `args: {num_few_shot: 5}`), with today's owners of the data sets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from evalkit.core import Json

__all__ = ["ALPACA_CONFIGS", "TASK", "HubData", "data_of", "label_of", "metric_of"]

TASK: Mapping[str, str] = {"type": "text-generation", "name": "Text Generation"}
"""The hub's task of everything a chat model is asked."""


@dataclass(frozen=True)
class HubData:
    """A data set as a `model-index` names it."""

    name: str
    """For people."""
    type: str
    """Its identifier on the hub; `unknown` where it is not there."""
    config: str | None = None
    split: str | None = None


_MMLU = "cais/mmlu"
_MMLU_PRO = "TIGER-Lab/MMLU-Pro"
_TRUTHFULQA = "truthfulqa/truthful_qa"
_TASKS: Mapping[str, tuple[str, HubData]] = {
    "arc_challenge": (
        "ARC",
        HubData("AI2 Reasoning Challenge", "allenai/ai2_arc", "ARC-Challenge", "test"),
    ),
    "hellaswag": ("HellaSwag", HubData("HellaSwag", "Rowan/hellaswag", None, "validation")),
    "mmlu": ("MMLU", HubData("MMLU", _MMLU, "all", "test")),
    "truthfulqa_mc1": (
        "TruthfulQA MC1",
        HubData("TruthfulQA", _TRUTHFULQA, "multiple_choice", "validation"),
    ),
    "truthfulqa_mc2": (
        "TruthfulQA",
        HubData("TruthfulQA", _TRUTHFULQA, "multiple_choice", "validation"),
    ),
    # lm-eval's tag of all three tasks, and its task with written answers: both configurations.
    "truthfulqa": ("TruthfulQA", HubData("TruthfulQA", _TRUTHFULQA, None, "validation")),
    "truthfulqa_gen": (
        "TruthfulQA (generation)",
        HubData("TruthfulQA", _TRUTHFULQA, "generation", "validation"),
    ),
    "winogrande": (
        "Winogrande",
        HubData("Winogrande", "allenai/winogrande", "winogrande_xl", "validation"),
    ),
    "gsm8k": ("GSM8K", HubData("GSM8K", "openai/gsm8k", "main", "test")),
    "drop": ("DROP", HubData("DROP", "ucinlp/drop", None, "validation")),
    "leaderboard_ifeval": ("IFEval", HubData("IFEval", "google/IFEval", None, "train")),
    "leaderboard_bbh": ("BBH", HubData("BBH", "SaylorTwift/bbh", None, "test")),
    "leaderboard_math": (
        "MATH Lvl 5",
        HubData("MATH Lvl 5", "DigitalLearningGmbH/MATH-lighteval", None, "test"),
    ),
    "leaderboard_gpqa": ("GPQA", HubData("GPQA", "Idavidrein/gpqa", None, "train")),
    "leaderboard_musr": ("MuSR", HubData("MuSR", "TAUR-Lab/MuSR")),
    "leaderboard_mmlu_pro": ("MMLU-Pro", HubData("MMLU-Pro", _MMLU_PRO, None, "test")),
    "mmlu_pro": ("MMLU-Pro", HubData("MMLU-Pro", _MMLU_PRO, None, "test")),
}
"""By lm-eval task: heading of a table's column, and the data set."""
ALPACA_CONFIGS = {"1": "alpaca_eval", "2": "alpaca_eval_gpt4_baseline"}
"""By version of AlpacaEval: the configuration with its reference answers."""
_METRICS: Mapping[str, tuple[str, str]] = {
    "acc": ("acc", "accuracy"),
    "acc_norm": ("acc_norm", "normalized accuracy"),
    "exact_match": ("exact_match", "exact match"),
    "em": ("exact_match", "exact match"),
    "f1": ("f1", "f1 score"),
    "length_controlled_win_rate": ("length_controlled_win_rate", "length-controlled win rate"),
    "normalised": ("normalized_score", "score normalized against chance"),
    "score": ("score", "MT-Bench score (1 to 10)"),
    "win_rate": ("win_rate", "win rate"),
}
_NAME = re.compile(r"(?P<base>\w+)(?: \(|,)(?P<variant>.+?)\)?")
"""`exact_match,strict-match`, `acc (mean of tasks)`."""
_BY_TASK: Mapping[tuple[str, str], tuple[str, str]] = {
    ("truthfulqa_mc1", "acc"): ("mc1", "mc1"),
    ("truthfulqa_mc2", "acc"): ("mc2", "mc2"),
}


def label_of(task: str) -> str:
    """A task as the column of a table is headed."""
    return _TASKS[task][0] if task in _TASKS else task


def data_of(kind: str, task: str, description: Mapping[str, Json]) -> HubData:
    """The data set of a task.

    Args:
        kind: Type of the benchmark.
        task: Its task.
        description: What the run's manifest says of the benchmark; names the data set of tasks
            that are not among the well-known ones.
    """
    if kind == "alpaca_eval":
        edition = str(description.get("version", "")).partition(".")[0]
        config = ALPACA_CONFIGS.get(edition)
        return HubData("AlpacaEval", "tatsu-lab/alpaca_eval", config, "eval")
    if kind == "mt_bench":
        return HubData("MT-Bench", "HuggingFaceH4/mt_bench_prompts", None, "train")
    if task in _TASKS:
        return _TASKS[task][1]
    if task.startswith("mmlu_pro_"):
        return HubData(f"MMLU-Pro {task.removeprefix('mmlu_pro_')}", _MMLU_PRO, task[9:], "test")
    if task.startswith("mmlu_"):
        return HubData(f"MMLU {task.removeprefix('mmlu_')}", _MMLU, task[5:], "test")
    path, config = _described(task, description)
    # The task stands for the config of a data set that is not on the hub: the hub tells
    # entries apart by these fields alone.
    return HubData(task, path, config) if path else HubData(task, "unknown", task)


def _described(task: str, description: Mapping[str, Json]) -> tuple[str | None, str | None]:
    tasks = description.get("tasks")
    about = tasks.get(task) if isinstance(tasks, Mapping) else None
    data = about.get("dataset") if isinstance(about, Mapping) else None
    if not isinstance(data, Mapping):
        return None, None
    path, config = data.get("path"), data.get("name")
    known = isinstance(path, str) and "/" in path and not path.startswith(("/", "."))
    return (path if known else None), (str(config) if config else None)


def metric_of(task: str, metric: str) -> tuple[str, str]:
    """(type, name) of a metric."""
    match = _NAME.fullmatch(metric)
    base, variant = (match["base"], match["variant"]) if match is not None else (metric, None)
    kind, name = _BY_TASK.get((task, base)) or _METRICS.get(base) or (base, base.replace("_", " "))
    return kind, f"{name} ({variant})" if variant else name
