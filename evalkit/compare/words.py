"""Names and sentences: what a comparison lets one say, and no more."""

from __future__ import annotations

from typing import Literal, TypeAlias

from evalkit.compare.comparisons import degrees, is_hardly_known
from evalkit.compare.scores import SCALES
from evalkit.core import Comparison, Estimate
from evalkit.draw import MISSING, Tone, count, difference, interval

__all__ = [
    "ALL_AGREE",
    "COUNTED",
    "TOO_WIDE",
    "WORDS",
    "Verdict",
    "benchmark_label",
    "bounds",
    "covers_scale",
    "figure_label",
    "has_direction",
    "has_width",
    "is_too_wide",
    "level_text",
    "metric_words",
    "row_label",
    "sentence",
    "task_label",
    "tone",
    "unit_text",
    "units_text",
    "verdict",
]

Verdict: TypeAlias = Literal["better", "worse", "longer", "shorter", "unclear", "undefined"]
"""`longer` and `shorter` are a length's, which is no merit whichever way it goes."""

WORDS: dict[Verdict, str] = {
    "better": "better",
    "worse": "worse",
    "longer": "longer",
    "shorter": "shorter",
    "unclear": "not told apart",
    "undefined": "not known",
}

ALL_AGREE = "all samples agree"
"""Why there is no interval: what does not vary says nothing of how precise it is."""
COUNTED = "n: scores; a sample may have several (MT-Bench: one a turn)."
"""What the column n of every table counts."""
_BY_WEAK = "By a weak judge only: "
TOO_WIDE = "too wide to be of use"
"""Of an interval from a handful of units, or of runs."""

_BENCHMARKS = {
    "alpaca_eval": "AlpacaEval",
    "lm_eval": "lm-eval",
    "mt_bench": "MT-Bench",
    "open_llm_leaderboard": "Open LLM Leaderboard",
}
_METRICS = {
    "acc": "accuracy",
    "acc_norm": "accuracy, length-normalised",
    "acc (mean of tasks)": "accuracy, mean of tasks",
    "avg_length": "average length",
    "discrete_win_rate": "discrete win rate",
    "score": "score, both turns",
    "score_turn_1": "score, first turn",
    "score_turn_2": "score, second turn",
    "win_rate": "win rate",
}
_AVERAGES = {"average": "average", "average_without_drop": "average without DROP"}
_UNITS = {
    "percent": "percentage points",
    "points": "points of 10",
    "characters": "characters",
}


def benchmark_label(name: str) -> str:
    """A benchmark's proper name where its entry bears its type's; else the entry's name."""
    return _BENCHMARKS.get(name, name)


def task_label(benchmark: str, task: str) -> str:
    """Benchmark, and task where the benchmark has tasks."""
    label = benchmark_label(benchmark)
    return label if task in (benchmark, "", "alpaca_eval", "mt_bench") else f"{label}: {task}"


def figure_label(benchmark: str, task: str, metric: str) -> str:
    """`task_label`; an average over a benchmark's tasks goes by that name instead of a task's."""
    if metric in _AVERAGES:
        return f"{benchmark_label(benchmark)} {_AVERAGES[metric]}"
    return task_label(benchmark, task)


def row_label(c: Comparison, *, speaks: bool) -> str:
    """`figure_label` of a comparison, with its category, and its metric where that is another.

    Args:
        c: The comparison.
        speaks: Its metric is the one that speaks for its task, so that it need not be named.
    """
    label = figure_label(c.benchmark, c.task, c.metric)
    if c.category is not None:
        label = f"{label}, {c.category}"
    return label if speaks else f"{label} ({metric_words(c.metric)})"


def has_direction(unit: str) -> bool:
    """Whether figures of this unit are better on one side than on the other."""
    return unit != "characters"


def tone(said: Verdict) -> Tone:
    """The colour that repeats a verdict's word."""
    return said if said in ("better", "worse", "unclear") else ""


def metric_words(name: str) -> str:
    """A metric in words."""
    if name in _METRICS:
        return _METRICS[name]
    name, _, variant = name.partition(",")
    return f"{name.replace('_', ' ')} ({variant})" if variant else name.replace("_", " ")


def unit_text(unit: str, *, of_difference: bool = False) -> str:
    """A unit in words; the difference of two percentages is in percentage points."""
    if unit == "percent" and not of_difference:
        return "percent"
    return _UNITS.get(unit, "in its own unit")


def level_text(level: float) -> str:
    """A confidence level as `95%`."""
    return f"{100 * level:.6g}%"


def has_width(row: Estimate | Comparison) -> bool:
    """Whether there is an interval, and it says something.

    A t interval has no width where no unit differs from another; a share's interval has one.  From
    very few units it may be wider than the scale itself.
    """
    if row.low is None or is_too_wide(row):
        return False
    return not (row.standard_error == 0 and row.low == row.high)


def is_too_wide(row: Estimate | Comparison) -> bool:
    """An interval whose error is hardly known and that covers half of its scale or more."""
    if row.n_clusters == 0:
        return False
    df = degrees(row) if isinstance(row, Comparison) else row.n_clusters - 1
    return is_hardly_known(df) and covers_scale(row.low, row.high, row.unit)


def covers_scale(low: float | None, high: float | None, unit: str) -> bool:
    """Whether an interval is as wide as half of its unit's scale, or wider."""
    scale = SCALES.get(unit)
    if low is None or high is None or scale is None:
        return False
    return high - low >= (scale[1] - scale[0]) / 2


def bounds(row: Estimate | Comparison) -> str:
    """The interval as text; where it has no width, that there is none and why."""
    if is_too_wide(row):
        return f"{MISSING} ({TOO_WIDE})"
    if row.low is not None and not has_width(row):
        return f"{MISSING} ({ALL_AGREE})"
    return interval(row.low, row.high, row.unit, signed=isinstance(row, Comparison))


def verdict(comparison: Comparison) -> Verdict:
    """Better or worse (longer or shorter) only where the whole interval is on one side of zero.

    Samples that all differ by the same amount have a standard error of 0, which measures
    nothing: such a difference is undefined unless it is zero.
    """
    low, high = comparison.low, comparison.high
    if comparison.difference is None or low is None or high is None:
        return "undefined"
    if comparison.standard_error == 0 and comparison.difference != 0:
        return "undefined"
    if low <= 0 <= high:
        return "unclear"
    if not has_direction(comparison.unit):
        return "longer" if low > 0 else "shorter"
    return "better" if (low > 0) == comparison.higher_is_better else "worse"


def sentence(
    comparison: Comparison,
    label: str,
    *,
    weak: bool = False,
    resolves: float | None = None,
    said: Verdict | None = None,
) -> str:
    """What may be said of one comparison, with the figures that say it.

    Args:
        comparison: The figures.
        label: Of the benchmark and task.
        weak: The scores are a weak judge's, so that what it prefers is not called better.
        resolves: The smallest difference that so many samples find, where that is known.
        said: The verdict, where more than this row's interval decides it (a correction for
            many comparisons); default: `verdict`.
    """
    c, said = comparison, verdict(comparison) if said is None else said
    if said == "undefined":
        return f"Nothing can be said of {c.candidate} and {c.baseline} on {label}: {_reason(c)}."
    weak = weak and has_direction(c.unit)
    only = _BY_WEAK if weak else ""
    if c.ties == c.n and c.n > 0:
        both = f"{only}{c.candidate} and {c.baseline}"
        return f"{both} have the same score on each of {_size(c)} of {label}."
    size = _size(c)
    if said == "unclear":
        claim = f"{only}{c.candidate} and {c.baseline} cannot be told apart on {label}"
        if verdict(c) != "unclear":
            claim += " once all comparisons are corrected for"
        if resolves is not None:
            size += f", which resolve {difference(resolves, c.unit).lstrip('+')}"
    elif weak:
        liked, other = (c.candidate, c.baseline) if said == "better" else (c.baseline, c.candidate)
        claim = f"A weak judge prefers {liked} to {other} on {label}"
    else:
        claim = f"{c.candidate} is {WORDS[said]} than {c.baseline} on {label}"
    shown = f"{difference(c.difference, c.unit)} {unit_text(c.unit, of_difference=True)}"
    if is_too_wide(c):
        return f"{claim}: {shown}, {size}: its {level_text(c.level)} interval is {TOO_WIDE}."
    if not has_width(c):
        return f"{claim}: {shown}, the same on every one of {_size(c)}."
    return f"{claim}: {shown}, {level_text(c.level)} {bounds(c)}, {size}."


def _reason(c: Comparison) -> str:
    if c.n == 0:
        return "no sample has a score from both"
    if c.difference is None:
        return f"the difference is undefined on {_size(c)}"
    shown = f"{difference(c.difference, c.unit)} {unit_text(c.unit, of_difference=True)}"
    if c.standard_error == 0:
        return f"{shown}, the same on every one of {_size(c)}, so that no error can be measured"
    return f"{shown} on {_size(c)}, too few for an interval"


def _size(c: Comparison) -> str:
    if c.n == c.n_clusters:
        return f"{count(c.n)} {'sample' if c.n == 1 else 'samples'}"
    return f"{count(c.n)} scores of {units_text(c.n, c.n_clusters)}"


def units_text(n: int, n_clusters: int) -> str:
    """What independent evidence a figure rests on: samples, or what several scores belong to."""
    one = "sample" if n == n_clusters else "independent unit"
    return f"{count(n_clusters)} {one if n_clusters == 1 else one + 's'}"
