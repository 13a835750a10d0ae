"""The Open LLM Leaderboard's averages, where a set of lm-eval results has all it takes.

They are given only where the shots are the leaderboard's, and say by which metric of each task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalkit import catalogue
from evalkit.benchmarks import _lm_eval_scores as scoring
from evalkit.benchmarks import open_llm_leaderboard as board
from evalkit.core import Finding, Json, Metric
from evalkit.core.figures import (
    Average,
    Estimator,
    Figure,
    FigureKey,
    Interval,
    Method,
    Source,
)
from evalkit.importers._common import normal_interval, remark
from evalkit.importers._lm_eval_files import ResultFile, Stated
from evalkit.importers._lm_eval_records import Measured

__all__ = ["averages", "declared"]

_TASK = "open_llm_leaderboard"

Figures = Mapping[str, Mapping[str, tuple[Stated, ResultFile]]]
Settings = Mapping[str, Mapping[str, Json]]


def averages(
    figures: Figures,
    settings: Settings,
    place: tuple[str, str],
    level: float,
) -> tuple[list[Figure], list[Finding]]:
    """Version 1's average of six (and of seven with DROP) and version 2's, if they can be had."""
    made: list[Figure] = []
    notes: list[Finding] = []
    for include_drop in (False, True):
        found = _version_1(figures, include_drop=include_drop)
        if found is None:
            continue
        wrong = _other_shots(settings, include_drop=include_drop)
        if wrong:
            if not include_drop:
                notes.append(remark("other_shots", wrong))
            continue
        figure, method = found
        metric = "average" if include_drop else "average_without_drop"
        point = None if figure.point is None else 100 * figure.point
        how = Method(Estimator.RECORDED, Interval.STATED, detail=f"recorded; {method}")
        value = normal_interval(point, None, n=0, level=level, method=how)
        key = FigureKey(place[1], _TASK, metric)
        source = Source("computed from the tasks' recorded figures")
        made.append(Figure(place[0], key, "percent", value, source))
    version_2 = _version_2(figures, place, level)
    return [*made, *version_2], notes


def _version_1(figures: Figures, *, include_drop: bool) -> tuple[scoring.Aggregate, str] | None:
    parts: dict[str, list[scoring.Aggregate]] = {}
    used = []
    for column in catalogue.columns(1, drop=include_drop):
        task, metric = column.task, column.metric
        names = [n for n in figures if n.startswith("mmlu_")] if task == "mmlu" else [task]
        subjects = [n for n in names if n not in _MMLU_GROUPS]
        for name in subjects:
            known = figures.get(name, {})
            chosen = next((m for m in (metric, *column.formerly) if m in known), None)
            if chosen is None:
                return None
            parts[name] = [_plain(known[chosen][0], metric)]
            if chosen != metric and name == task:
                used.append(f"{task} by {chosen}")
    if sum(name.startswith("mmlu_") for name in parts) != _SUBJECTS:
        return None
    figure = board.average_v1(parts, include_drop=include_drop)
    count = len(catalogue.columns(1, drop=include_drop))
    method = "; ".join([f"mean of {count} tasks, MMLU as the mean of its 57", *used])
    return figure, method


def declared(
    samples: Mapping[str, Measured],
    settings: Settings,
    groups: Mapping[str, Sequence[str]],
    metrics: Mapping[str, Sequence[Metric]],
) -> list[Average]:
    """The averages that samples are there for, so that the leaderboard compares as one asked here.

    Groups that lm-eval prints are means over all documents.
    """
    made = []
    tasks = list(samples)
    subjects = [name for name in tasks if name.startswith("mmlu_")]
    for include_drop in (True, False):
        wanted = catalogue.columns(1, drop=include_drop)
        there = all(
            len(subjects) == _SUBJECTS
            if column.task == "mmlu"
            else column.metric in _means(samples, column.task)
            for column in wanted
        )
        if there and not _other_shots(settings, include_drop=include_drop):
            made = board.averages_v1(tasks, include_drop=include_drop)
            break
    families = {board.family_of(task) for task in tasks} - {None}
    if len(families) == len(catalogue.columns(2)):
        made += board.averages_v2(tasks)
    return made + [
        Average(group, replace(metric, primary=False), tuple((t, metric.name) for t in below), True)
        for group, below in groups.items()
        for metric in metrics.get(group, ())
        if below and all(metric.name in _means(samples, task) for task in below)
    ]


def _means(samples: Mapping[str, Measured], task: str) -> Mapping[str, float | None]:
    return samples[task].means if task in samples else {}


_SUBJECTS = 57
_MMLU_GROUPS = frozenset({"mmlu_humanities", "mmlu_social_sciences", "mmlu_stem", "mmlu_other"})


def _plain(figure: Stated, metric: str) -> scoring.Aggregate:
    return scoring.Aggregate(metric, figure.point, None, 1, 0, "recorded", corpus=False)


def _other_shots(settings: Settings, *, include_drop: bool) -> str:
    """Which tasks were not asked with the leaderboard's shots; empty where all were."""
    other = []
    for column in catalogue.columns(1, drop=include_drop):
        task, shots = column.task, column.shots
        names = [n for n in settings if n.startswith("mmlu_")] if task == "mmlu" else [task]
        said = {settings.get(name, {}).get("num_fewshot") for name in names} - {None}
        if said and said != {shots}:
            other.append(
                f"{task} with {', '.join(map(str, sorted(said, key=str)))} instead of {shots}"
            )
    return f"no leaderboard average: {'; '.join(other)} worked examples" if other else ""


def _version_2(figures: Figures, place: tuple[str, str], level: float) -> Sequence[Figure]:
    parts = {
        task: [_plain(figure, metric) for metric, (figure, _) in metrics.items()]
        for task, metrics in figures.items()
        if board.family_of(task) is not None
    }
    subtasks = {t: f for t, f in parts.items() if t not in _V2_GROUPS}
    if not subtasks:
        return []
    scores = {task: board.normalised(task, found) for task, found in subtasks.items()}
    points = {task: point for task, point in scores.items() if point is not None}
    families = board.families_v2(subtasks)
    undefined: dict[str, float | None] = {f: p for f, p in families.items() if f not in subtasks}
    how = "recorded, normalised as the leaderboard does it"
    rows = [
        (task, scoring.Aggregate("normalised", point, None, 0, 0, how, corpus=True))
        for task, point in (*points.items(), *undefined.items())
    ]
    rows.append((_TASK, board.average_v2(subtasks)))
    model, entry = place
    return [scoring.figure(found, model, (entry, task), level) for task, found in rows]


_V2_GROUPS = frozenset(
    {"leaderboard_bbh", "leaderboard_gpqa", "leaderboard_math_hard", "leaderboard_musr"}
)
