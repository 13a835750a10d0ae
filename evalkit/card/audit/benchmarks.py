"""Benchmarks and metrics as cards call them: the table of names.

Names follow the benchmarks' own papers, the Open LLM Leaderboard's column heads of 2023 and 2024
("ARC", "AI2 Reasoning Challenge (25-Shot)", "MATH Lvl 5"), alpaca_eval's leaderboard ("LC Win
Rate") and lm-eval's task names.  What is not in this table is not recognised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "BENCHMARKS",
    "CATEGORIES",
    "FAMILIES",
    "FILLERS",
    "GROUPS",
    "KINDS",
    "METRICS",
    "METRIC_NAMES",
    "Benchmark",
    "task_key",
]


@dataclass(frozen=True)
class Benchmark:
    """One benchmark, and what its figures are."""

    names: tuple[str, ...]
    """In lower case, words apart."""
    metrics: tuple[str, ...] = ("acc",)
    """Metrics that a figure without a named metric may be of."""
    board: str = ""
    """Which Open LLM Leaderboard it is a column of: `1` or `2`."""
    board_metric: str = ""
    """The metric of that column."""
    board_shots: int | None = None
    floor: float | None = None
    """Percent; what guessing gives is above it, so a lower figure is no percentage."""
    unit: str = "percent"
    shy: bool = False
    """Its name is a common word: taken only beside other benchmarks."""


_ACC = ("acc_norm", "acc")
_V2 = ("normalised", "acc_norm", "acc")
_WRITTEN = tuple(
    f"{name}_{kind}"
    for name in ("bleu", "rouge1", "rouge2", "rougeL")
    for kind in ("max", "acc", "diff")
)
"""Of written answers: lm-eval's."""
BENCHMARKS: Mapping[str, Benchmark] = {
    "alpaca_eval": Benchmark(
        ("alpacaeval", "alpaca eval"),
        ("win_rate", "length_controlled_win_rate", "discrete_win_rate"),
    ),
    "mt_bench": Benchmark(("mt bench", "mtbench"), ("score",), unit="points"),
    "arc_challenge": Benchmark(
        ("arc challenge", "arc c", "ai2 reasoning challenge", "ai2 arc", "arc"),
        _ACC, "1", "acc_norm", 25, floor=10,
    ),
    "arc_easy": Benchmark(("arc easy", "arc e"), _ACC, floor=10),
    "hellaswag": Benchmark(
        ("hellaswag", "hella swag"), _ACC, "1", "acc_norm", 10, floor=10
    ),
    "mmlu": Benchmark(
        ("mmlu", "massive multitask language understanding", "hendryckstest"),
        ("acc",), "1", "acc", 5, floor=10,
    ),
    "truthfulqa": Benchmark(
        ("truthfulqa", "truthful qa", "tqa"), ("mc2", "mc1", "acc"), "1", "mc2", 0, floor=5
    ),
    "truthfulqa_gen": Benchmark(
        ("truthfulqa generation", "truthful qa generation"), _WRITTEN, unit="raw"
    ),
    "winogrande": Benchmark(
        ("winogrande", "wino grande"), ("acc",), "1", "acc", 5, floor=20
    ),
    "gsm8k": Benchmark(
        ("gsm8k", "gsm 8k", "gsm 8 k"),
        ("exact_match,strict-match", "exact_match,flexible-extract", "exact_match,get-answer"),
        "1", "exact_match,strict-match", 5,
    ),
    "drop": Benchmark(("drop",), ("f1", "em"), "1", "f1", 3, shy=True),
    "leaderboard_ifeval": Benchmark(
        ("ifeval", "if eval"),
        ("normalised", "prompt_level_strict_acc", "inst_level_strict_acc",
         "prompt_level_loose_acc", "inst_level_loose_acc"),
        "2", "normalised", 0,
    ),
    "leaderboard_bbh": Benchmark(("bbh", "big bench hard"), _V2, "2", "normalised", 3),
    "leaderboard_math": Benchmark(
        ("math lvl 5", "math level 5", "math hard"), ("normalised", "exact_match"), "2",
        "normalised", 4,
    ),
    "leaderboard_gpqa": Benchmark(("gpqa",), _V2, "2", "normalised", 0),
    "leaderboard_musr": Benchmark(("musr",), _V2, "2", "normalised", 0),
    "leaderboard_mmlu_pro": Benchmark(("mmlu pro",), _V2, "2", "normalised", 5),
    "arena_hard": Benchmark(("arena hard", "arenahard"), ("score",)),
    "boolq": Benchmark(("boolq",)),
    "humaneval": Benchmark(("humaneval", "human eval"), ("pass_at_1",)),
    "lambada_openai": Benchmark(("lambada", "lambada openai"), ("acc", "perplexity")),
    "mbpp": Benchmark(("mbpp",), ("pass_at_1",)),
    "openbookqa": Benchmark(("openbookqa", "obqa"), _ACC),
    "piqa": Benchmark(("piqa",), _ACC),
}  # fmt: skip

_TASKS = {
    "truthfulqa_mc1": ("truthfulqa", "mc1"),
    "truthfulqa_mc2": ("truthfulqa", "mc2"),
    "leaderboard_math_hard": ("leaderboard_math", ""),
}
"""lm-eval tasks that are one metric of a benchmark, or have another name."""
FAMILIES: Mapping[str, str] = {"truthfulqa_gen": "truthfulqa"}
"""Benchmarks that cards also call by the name of another one, whose questions they ask."""


def task_key(task: str, metric: str) -> tuple[str, str]:
    """(benchmark, metric) of an lm-eval task's metric."""
    bench, only = _TASKS.get(task, (task, ""))
    if only:
        return (bench, only if metric == "acc" else f"{only} {metric}")
    return bench, metric


METRIC_NAMES: Mapping[str, tuple[str, ...]] = {
    "win_rate": ("win rate", "winrate", "win rates", "wr"),
    "length_controlled_win_rate": (
        "lc win rate", "lc winrate", "lc wr", "lcwr", "lc", "length controlled win rate",
        "length controlled winrate", "length controlled wr", "length controlled",
        "win rate lc", "winrate lc", "win rate length controlled", "win rates length controlled",
    ),
    "discrete_win_rate": ("discrete win rate",),
    "avg_length": (
        "average length", "avg length", "avg len", "mean length", "length", "output length",
        "average length characters",
    ),
    "score": ("score", "scores", "rating", "points"),
    "score_turn_1": ("turn 1", "first turn", "1st turn", "turn one", "score turn 1"),
    "score_turn_2": ("turn 2", "second turn", "2nd turn", "turn two", "score turn 2"),
    "accuracy": ("accuracy",),
    "acc": ("acc",),
    "acc_norm": ("acc norm", "accuracy length normalised", "accuracy length normalized"),
    "normalised": ("normalised", "normalized", "normalized accuracy", "normalised accuracy"),
    "exact_match": ("exact match", "em"),
    "exact_match,strict-match": (
        "strict match", "exact match strict match", "exact match strict"
    ),
    "exact_match,flexible-extract": (
        "flexible extract", "exact match flexible extract", "exact match flexible"
    ),
    "exact_match,get-answer": ("get answer", "exact match get answer"),
    "strict accuracy": ("strict accuracy",),
    "prompt_level_strict_acc": ("prompt level strict acc", "prompt level strict"),
    "inst_level_strict_acc": ("inst level strict acc", "inst level strict"),
    "prompt_level_loose_acc": ("prompt level loose acc", "prompt level loose"),
    "inst_level_loose_acc": ("inst level loose acc", "inst level loose"),
    "f1": ("f1",),
    "mc1": ("mc1", "mc 1"),
    "mc2": ("mc2", "mc 2"),
    **{metric: (metric.lower().replace("_", " "),) for metric in _WRITTEN},
}  # fmt: skip

METRICS: Mapping[str, frozenset[str]] = {
    "accuracy": frozenset(
        {"acc", "acc_norm", "mc1", "mc2", "normalised", "prompt_level_strict_acc"}
        | {"exact_match,strict-match", "exact_match,flexible-extract", "exact_match,get-answer"}
    ),
    "acc": frozenset({"acc", "acc_norm", "mc1", "mc2", "exact_match,strict-match"}),
    "normalised": frozenset({"normalised", "acc_norm"}),
    "strict accuracy": frozenset(
        {"normalised", "prompt_level_strict_acc", "inst_level_strict_acc"}
    ),
    "exact_match": frozenset(
        {"exact_match", "em", "exact_match,strict-match", "exact_match,flexible-extract"}
        | {"exact_match,get-answer", "normalised"}
    ),
    "win_rate": frozenset({"win_rate", "discrete_win_rate"}),
    "length_controlled_win_rate": frozenset({"length_controlled_win_rate"}),
    "score": frozenset({"score", "win_rate", "length_controlled_win_rate", "acc", "acc_norm"}),
}
"""Metrics that a word may stand for, where that is more than the one it names."""

KINDS: Mapping[str, tuple[str, ...]] = {
    "model": ("model", "models", "model name", "name", "system", "llm", "checkpoint", "variant"),
    "task": (
        "task", "tasks", "benchmark", "benchmarks", "dataset", "datasets", "groups", "group",
        "evaluation", "test",
    ),
    "metric": ("metric", "metrics"),
    "value": ("value", "values", "result", "results"),
    "rank": ("rank", "#", "place", "position"),
    "size": ("size", "params", "parameters", "model size", "# params", "#params", "param"),
    "shots": ("n shot", "shots", "shot", "num fewshot", "few shot", "fewshot", "# shots"),
    "stderr": (
        "stderr", "std err", "std error", "standard error", "se", "std", "ci", "95% ci",
        "confidence interval", "interval", "95% interval", "±", "error",
    ),
    "filter": ("filter",),
    "other": (
        "version", "license", "licence", "alignment", "type", "date", "link", "source",
        "context", "notes", "note", "training", "n", "samples", "p",
        "organization", "comment", "missing", "verdict", "difference",
        "time", "tokens", "cost", "released", "data", "kind",
    ),
    "method": (
        "method", "methods", "algorithm", "objective", "training method", "recipe", "setting",
        "settings", "prompt", "template", "chat template", "decoding", "temperature", "quant",
        "quantization", "precision", "step", "steps", "epoch", "epochs", "stage", "seed", "split",
        "subset", "language", "lang", "engine", "format", "bits", "revision", "base model",
    ),
}  # fmt: skip

FILLERS = frozenset(
    word
    for words in (
        "% in the on of for by with to and a at vs versus against using as is than from set open",
        "llm leaderboard higher better best none benchmark dataset test validation val eval lm",
        "evaluation harness result results value judge judged annotator performance our task",
        "metric percent percentage rate main out 10 100 text generation characters points mean",
        "lower ours",
    )
    for word in words.split()
)
"""Words of a heading that do not change what was measured."""

GROUPS = frozenset(
    {"chat", "academic", "reasoning", "knowledge", "english", "general", "alignment", "tasks"}
    | {"commonsense", "benchmarks", "scores", "instruction", "following", "language", "open"}
    | {"understanding", "overall", "results", "leaderboard", "llm"}
)
"""Words that only group headings."""

CATEGORIES = (
    "writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities",
)  # fmt: skip
"""MT-Bench's."""
