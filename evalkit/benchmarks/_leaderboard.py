"""What the two Open LLM Leaderboards computed from lm-eval's figures: tables and pure functions.

Source: Hugging Face's Open LLM Leaderboard, version 1 (2023, lm-eval b281b092) and version 2 (2024,
"Scores Normalization" of its documentation).

Version 1: the mean of six tasks' figures (seven with DROP), MMLU being the mean of its 57 tasks.
Version 2: each subtask's score s is set against chance 1/c, 100 · max(0, (s - 1/c) / (1 - 1/c));
subtasks of a family are averaged with equal weights, then the six families.  MATH has no chance
level; IFEval is the mean of its prompt- and instruction-level strict accuracies.  Chance levels are
the leaderboard's, by task, not counted from the documents that were asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalkit.benchmarks import _lm_eval_scores as scoring
from evalkit.benchmarks._lm_eval_scores import Figure
from evalkit.core import Metric
from evalkit.core.protocols import Average
from evalkit.stats.averages import Part

__all__ = [
    "CHOICES",
    "DIFFERENCES_2023",
    "DROP",
    "V1",
    "V2",
    "average_v1",
    "average_v2",
    "averages_v1",
    "averages_v2",
    "families_v2",
    "family_of",
    "normalised",
    "v1_tasks",
    "with_error",
]

V1: dict[str, tuple[int, str, int]] = {
    "arc_challenge": (25, "acc_norm", 4_687),
    "hellaswag": (10, "acc_norm", 40_168),
    "mmlu": (5, "acc", 56_168),
    "truthfulqa_mc2": (0, "acc", 6_204),
    "winogrande": (5, "acc", 2_534),
    "gsm8k": (5, "exact_match,strict-match", 1_319),
}
"""Task: shots, metric of the leaderboard, requests (one per choice; counted from the data sets'
test or validation splits: 1172, 10042, 14042, 817, 1267 and 1319 documents)."""

DROP = {"drop": (3, "f1", 9_536)}
"""9,536 documents of the validation split."""

V2: dict[str, tuple[str, int]] = {
    "leaderboard_bbh": ("acc_norm", 31_710),
    "leaderboard_gpqa": ("acc_norm", 4_768),
    "leaderboard_ifeval": ("prompt_level_strict_acc", 541),
    "leaderboard_math": ("exact_match", 1_324),
    "leaderboard_mmlu_pro": ("acc", 113_966),
    "leaderboard_musr": ("acc_norm", 2_530),
}
"""Family (the beginning of its tasks' names): metric, requests.  BBH: 5,761 documents of 24
tasks; GPQA: 198 + 448 + 546 documents with 4 choices; MATH level 5: 1,324; MMLU-Pro: 12,032 with
up to 10 choices; MuSR: 250, 256 and 250 documents with 2, up to 5 and 3 choices."""

_BBH = {
    "boolean_expressions": 2,
    "causal_judgement": 2,
    "date_understanding": 6,
    "disambiguation_qa": 3,
    "formal_fallacies": 2,
    "geometric_shapes": 11,
    "hyperbaton": 2,
    "logical_deduction_five_objects": 5,
    "logical_deduction_seven_objects": 7,
    "logical_deduction_three_objects": 3,
    "movie_recommendation": 6,
    "navigate": 2,
    "object_counting": 19,
    "penguins_in_a_table": 5,
    "reasoning_about_colored_objects": 18,
    "ruin_names": 6,
    "salient_translation_error_detection": 6,
    "snarks": 2,
    "sports_understanding": 2,
    "temporal_sequences": 4,
    "tracking_shuffled_objects_five_objects": 5,
    "tracking_shuffled_objects_seven_objects": 7,
    "tracking_shuffled_objects_three_objects": 3,
    "web_of_lies": 2,
}
CHOICES: dict[str, int] = {
    **{f"leaderboard_bbh_{name}": c for name, c in _BBH.items()},
    "leaderboard_gpqa_diamond": 4,
    "leaderboard_gpqa_extended": 4,
    "leaderboard_gpqa_main": 4,
    "leaderboard_mmlu_pro": 10,
    "leaderboard_musr_murder_mysteries": 2,
    "leaderboard_musr_object_placements": 5,
    "leaderboard_musr_team_allocation": 3,
}
"""Number of answers c by task; the chance level is 1/c."""

_DRAWN = (
    "worked examples: generator seeded with 42, after shuffling the documents with it (now: 1234, "
    "in document order)"
)
_MACRO = (
    "average: mean of the 57 tasks (lm-eval now prints the mean over all questions; both are "
    "reported)"
)
_STOPS = (
    "generation stops at ':', 'Question:' and 'Question' (now: 'Question:', '</s>' and "
    "'<|im_end|>'), which cuts answers that contain a colon"
)
_DROP_PROMPT = (
    "prompt: 'Passage: …', 'Question: …', 'Answer:' with the worked answers written out (now: "
    "passage and question only, and the worked answers are the words 'number,date,spans')"
)
DIFFERENCES_2023: dict[str, tuple[str, ...]] = {
    "arc_challenge": (_DRAWN,),
    "hellaswag": (_DRAWN,),
    "mmlu": (_MACRO,),
    "truthfulqa_mc2": (),
    "winogrande": (_DRAWN,),
    "gsm8k": (_DRAWN, _STOPS),
    "drop": (_DRAWN, _DROP_PROMPT),
}
"""How the settings of 2023 differ from lm-eval's present ones, by task."""


def v1_tasks(*, include_drop: bool) -> dict[str, tuple[int, str, int]]:
    """Tasks of version 1, with their shots, metric and number of requests."""
    return {**V1, **DROP} if include_drop else V1


def family_of(task: str) -> str | None:
    """Version 2's family of a task; None for other tasks."""
    return next((family for family in V2 if task.startswith(family)), None)


def figure_of(figures: Sequence[Figure], metric: str) -> Figure:
    """The figure called `metric`; an undefined one where there is none."""
    missing = Figure(metric, None, None, 0, 0, "undefined", corpus=True)
    return next((f for f in figures if f.metric == metric), missing)


def average_v1(figures: Mapping[str, Sequence[Figure]], *, include_drop: bool) -> Figure:
    """Mean of the tasks' headline figures, MMLU being the mean of its tasks.

    Undefined (point None) where a task has no score.
    """
    parts = []
    for family, (_, metric, _) in v1_tasks(include_drop=include_drop).items():
        below = [name for name in figures if family == "mmlu" and name.startswith("mmlu_")]
        names = below or [name for name in figures if name == family]
        found = [figure_of(figures[name], metric) for name in names]
        parts.append(scoring.combine(found, metric, by_size=False))
    return scoring.combine(parts, "average", by_size=False)


def normalised(task: str, figures: Sequence[Figure], choices: int | None = None) -> float | None:
    """A task's score of version 2, from 0 (chance) to 1 (not in percent).

    None where it has no score.  `choices` stands in for the leaderboard's number of answers.
    """
    family = family_of(task)
    point = figure_of(figures, V2[family][0]).point if family else None
    if family == "leaderboard_ifeval":
        inner = figure_of(figures, "inst_level_strict_acc").point
        return None if point is None or inner is None else (point + inner) / 2
    if point is None or family == "leaderboard_math":
        return point
    c = choices if choices is not None else CHOICES.get(task, 0)
    return None if c < 2 else max(0.0, (point - 1 / c) / (1 - 1 / c))


def families_v2(figures: Mapping[str, Sequence[Figure]]) -> dict[str, float | None]:
    """Each asked family's normalised score, 0 to 1: the plain mean over its tasks."""
    found: dict[str, float | None] = {}
    for family in V2:
        scores = [normalised(name, figures[name]) for name in figures if name.startswith(family)]
        known = [score for score in scores if score is not None]
        if scores:
            found[family] = math.fsum(known) / len(known) if len(known) == len(scores) else None
    return found


def average_v2(figures: Mapping[str, Sequence[Figure]]) -> Figure:
    """Mean of the six families' normalised scores; its error needs documents (`with_error`).

    Undefined (point None) where a family was not asked or has no score.
    """
    families = families_v2(figures)
    tasks = {name: family_of(name) for name in figures}
    headline = [figure_of(figures[n], V2[f][0]) for n, f in tasks.items() if f is not None]
    n, missing = sum(f.n for f in headline), sum(f.n_missing for f in headline)
    known = [score for score in families.values() if score is not None]
    if len(known) < len(V2):
        return Figure("average", None, None, n, missing, "undefined: a task has no score", True)
    method = "mean of six normalised families"
    return Figure("average", math.fsum(known) / len(known), None, n, missing, method, True)


def with_error(figure: Figure, found: Part | None) -> Figure:
    """A figure of version 2 with the error of the same average over documents.

    None, and said, where it is 0: a score at or below chance is cut to 0, and does not vary.
    """
    error = found.standard_error if found is not None else None
    if figure.point is None:
        return figure
    if not error:
        return replace(figure, method=f"{figure.method}; no standard error")
    words = "SE stratified by task, by the delta method"
    return replace(figure, standard_error=error / 100, method=f"{figure.method}; {words}")


_WHOLE = "open_llm_leaderboard"
"""What the leaderboards' averages go by beside the tasks."""


def averages_v1(tasks: Sequence[str], *, include_drop: bool) -> list[Average]:
    """`average_v1` and MMLU's column, declared over the tasks that are asked.

    A task that is not asked stays in the average, which is then undefined.
    """
    subjects = [name for name in tasks if name.startswith("mmlu_")]
    mean = Metric("acc (mean of tasks)", "percent", 100.0, primary=True)
    made = [Average("mmlu", mean, tuple((name, "acc") for name in subjects))] if subjects else []
    columns = [
        (task, mean.name if task == "mmlu" else metric)
        for task, (_, metric, _) in v1_tasks(include_drop=include_drop).items()
    ]
    made.append(Average(_WHOLE, _average("average"), tuple(columns), columns=True))
    if include_drop:
        six = tuple(column for column in columns if column[0] not in DROP)
        whole = replace(_average("average_without_drop"), primary=False)
        made.append(Average(_WHOLE, whole, six))
    return made


def averages_v2(tasks: Sequence[str]) -> list[Average]:
    """Version 2's normalised subtasks and families, and its average, declared."""
    made: list[Average] = []
    columns = []
    for family, (metric, _) in V2.items():
        below = [name for name in tasks if name.startswith(family)]
        parts = [_normalised_task(name, metric, family) for name in below]
        single = [a for a in parts if a.task == family]
        made += [replace(a, metric=replace(a.metric, primary=a in single)) for a in parts]
        if below and not single:
            of = tuple((a.task, a.metric.name) for a in parts)
            made.append(Average(family, _average("normalised"), of))
        columns.append((family, "normalised"))
    return [*made, Average(_WHOLE, _average("average"), tuple(columns), columns=True)]


def _normalised_task(task: str, metric: str, family: str) -> Average:
    of: tuple[tuple[str, str], ...] = ((task, metric),)
    if family == "leaderboard_ifeval":
        of = ((task, metric), (task, "inst_level_strict_acc"))
    c = CHOICES.get(task)
    return Average(task, _average("normalised"), of, chance=None if c is None else 1 / c)


def _average(name: str) -> Metric:
    return Metric(name, "percent", 100.0, primary=True)
