"""Which figures of a model a heading means: those that it may, and those that it certainly does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from evalkit.card.audit.benchmarks import BENCHMARKS, FAMILIES, METRICS
from evalkit.card.audit.shapes import Fact, Label
from evalkit.compare.words import metric_words, task_label

__all__ = [
    "Measure",
    "certain_measure",
    "judge_family",
    "may_be",
    "measured",
    "metrics_of",
    "named",
    "of_another_metric",
]

Measure: TypeAlias = tuple[str, str | None, str]
"""Benchmark, version, metric."""
_BOARD_TASK = "open_llm_leaderboard"


def may_be(fact: Fact, label: Label) -> bool:
    """Whether a heading may stand for a figure: this may confirm a number."""
    if label.average and label.bench is None:
        return fact.bench == _BOARD_TASK and fact.category is None
    if not _same_bench(fact, label) or fact.category != label.category:
        return False
    if None not in (fact.version, label.version) and fact.version != label.version:
        return False
    if None not in (fact.shots, label.shots) and fact.shots != label.shots:
        return False
    if not _same_judge(fact.judge, label.judge):
        return False
    if label.bench not in BENCHMARKS and label.metric in (None, "score"):
        return True  # a task of lm-eval whose metrics are not in the table
    return fact.metric in metrics_of(label)


def _same_bench(fact: Fact, label: Label) -> bool:
    """A metric that is named may be one of the same family: "TruthfulQA" with `bleu_max`."""
    is_of_family = FAMILIES.get(fact.bench) == label.bench and fact.metric == label.metric
    return fact.bench == label.bench or is_of_family


def of_another_metric(other: Fact, fact: Fact, label: Label) -> bool:
    """Whether a heading that names no one metric may be of `other` where it seems to be of `fact`.

    Both are of one family of benchmarks and of one unit.
    """
    if label.metric is not None and len(metrics_of(label)) == 1:
        return False
    first, second = (FAMILIES.get(f.bench, f.bench) for f in (other, fact))
    same = (first, other.version, other.category, other.unit) == (
        second, fact.version, fact.category, fact.unit,
    )  # fmt: skip
    return same and other.metric != fact.metric


def metrics_of(label: Label) -> frozenset[str]:
    """Metrics that a heading may stand for."""
    bench = BENCHMARKS.get(label.bench or "")
    if label.metric is None or (label.metric == "score" and bench is not None):
        return frozenset(bench.metrics if bench is not None else ())
    if label.exact and label.metric != "exact_match":
        return frozenset({label.metric})
    named = METRICS.get(label.metric, frozenset({label.metric}))
    if label.metric == "f1" and label.bench == "drop":
        return frozenset({"f1"})
    return named


def _same_judge(ours: str | None, said: str | None) -> bool:
    """Cards say "GPT-4" for any of its versions; another family is another judge."""
    if ours is None or said is None:
        return True
    first, second = (judge_family(name) for name in (ours, said))
    return first == second or (second == "gpt-4" and first == "gpt-4-turbo")


def judge_family(name: str) -> str:
    """A judge without the date of its version."""
    plain = name.casefold().replace("_", "-").replace(" ", "-")
    plain = plain.removeprefix("weighted-").removeprefix("alpaca-eval-").replace("gpt4", "gpt-4")
    if plain.startswith(("gpt-4o", "gpt-4.1", "gpt-41")):
        return plain
    if plain.startswith("gpt-4"):
        is_turbo = any(part in plain for part in ("turbo", "1106", "0125", "preview", "2024"))
        return "gpt-4-turbo" if is_turbo else "gpt-4"
    return plain


def certain_measure(
    label: Label, facts: tuple[Fact, ...], board: str | None
) -> tuple[tuple[Fact, ...] | None, str]:
    """(figures that a heading certainly means, how) or (none, why not): these may contradict.

    Args:
        label: What the heading says.
        facts: Of the model.
        board: The Open LLM Leaderboard whose columns the table has.
    """
    bench = BENCHMARKS.get(label.bench or "")
    metric = _certain_metric(label, facts, board)
    if metric is None:
        kinds = ", ".join(dict.fromkeys(metric_words(f.metric) for f in facts))
        return None, f"which metric is meant is not said (there is {kinds})"
    if label.bench == "alpaca_eval" and label.version is None:
        return None, "which version of AlpacaEval is meant is not said"
    chosen = tuple(f for f in facts if f.metric == metric)
    has_shots = bench is None or (bench.unit == "percent" and label.bench != "alpaca_eval")
    if has_shots and label.shots is None and (bench is None or board != bench.board):
        # Someone's own run is what a card is made from; a published figure may be another's.
        chosen = tuple(f for f in chosen if f.kind in ("run", "file"))
        if not chosen or len({f.shots for f in chosen}) > 1:
            return None, "how many shots is not said"
    return chosen, measured(chosen[0]) if chosen else "no evidence of that metric"


def _certain_metric(label: Label, facts: Sequence[Fact], board: str | None) -> str | None:
    bench = BENCHMARKS.get(label.bench or "")
    if bench is None:
        return label.metric if label.exact else None
    named = label.metric if label.metric != "score" else None
    may_be = metrics_of(label)
    if named is not None and named in may_be and (label.exact or len(may_be) == 1):
        return named
    if label.bench == "alpaca_eval":
        return _alpaca_metric(label, named)
    is_board = bool(bench.board) and (board == bench.board or label.shots == bench.board_shots)
    if is_board and bench.board_metric in may_be:
        return bench.board_metric
    return bench.metrics[0] if len(bench.metrics) == 1 and named is None else None


def _alpaca_metric(label: Label, named: str | None) -> str | None:
    """Version 1 has one headline; version 2 has two, and one must be named."""
    if named in ("win_rate", "length_controlled_win_rate", "discrete_win_rate"):
        return "win_rate" if named == "win_rate" else named
    return "win_rate" if named is None and label.version == "1" else None


# --- words --------------------------------------------------------------------------------------


def named(measure: Measure) -> str:
    """A measure in words."""
    bench, version, metric = measure
    label = task_label(bench if bench in ("alpaca_eval", "mt_bench") else "lm_eval", bench)
    return f"{label}{f' {version}' if version else ''} {metric_words(metric)}"


def measured(fact: Fact) -> str:
    """What a figure is of, and where it stands."""
    shots = f", {fact.shots} shots" if fact.shots is not None else ""
    category = f", {fact.category}" if fact.category else ""
    return f"{named(fact.measure)}{category}{shots} ({fact.source})"
