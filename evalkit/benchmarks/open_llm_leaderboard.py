"""The Open LLM Leaderboard, versions 1 (2023) and 2 (2024): lm-eval's tasks, its own averages.

Source: Hugging Face's Open LLM Leaderboard (version 1: lm-eval b281b092; version 2: "Scores
Normalization" of its documentation).  Version 1 is six lm-eval tasks with fixed shots (seven with
DROP, which was there in November 2023 only); version 2 is lm-eval's group `leaderboard`, whose
tasks set their own shots.  Tasks, shots, metrics and chance levels are in the catalogue.
A raw document is the task's, for example:

    {"id": "Mercury_7175875", "question": "An astronomer ...", "answerKey": "C",
     "choices": {"text": ["...", "..."], "label": ["A", "B", "C", "D"]}}

Version 1: the mean of the tasks' figures, MMLU being the mean of its 57 tasks.
Version 2: each subtask's score s is set against chance 1/c, 100 · max(0, (s - 1/c) / (1 - 1/c));
subtasks of a family are averaged with equal weights, then the six families.  MATH has no chance
level; IFEval is the mean of its prompt- and instruction-level strict accuracies.  Chance levels are
the leaderboard's, by task, not counted from the documents of the run.

`settings: "2023"` runs version 1 as the harness of 2023 did (`lm_eval.py` draws its worked
examples); `describe` lists the differences by task.  The metrics lm-eval itself prints,
size-weighted groups included, are reported in either case.

Departures from the leaderboards:
- With `settings: current` lm-eval's present task versions are used.
- With `settings: "2023"` texts, stops and examples are 2023's; scoring is lm-eval's present code
  (GSM8K: the filter `strict-match` has 2023's pattern; DROP: the same em and f1).
- Version 2 uses no chat template unless `apply_chat_template` says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from evalkit import catalogue
from evalkit.benchmarks import _lm_eval_scores as scoring
from evalkit.benchmarks._lm_eval_scores import Aggregate
from evalkit.benchmarks.lm_eval import LmEval, LmEvalSpec
from evalkit.catalogue import BoardColumn
from evalkit.core import Flow, Json, Metric, Outcome, Record, Sample
from evalkit.core.figures import Average, Figure, Measured
from evalkit.core.protocols import BenchmarkContext
from evalkit.core.specs import BenchmarkSpec
from evalkit.stats.averages import averages_of_records

__all__ = [
    "OpenLlmLeaderboard",
    "OpenLlmLeaderboardSpec",
    "average_v1",
    "average_v2",
    "averages_v1",
    "averages_v2",
    "families_v2",
    "family_of",
    "normalised",
    "with_error",
]

TASK = "open_llm_leaderboard"
"""The task name of the leaderboards' averages."""


class OpenLlmLeaderboardSpec(BenchmarkSpec):
    """The Open LLM Leaderboard."""

    type: Literal["open_llm_leaderboard"] = "open_llm_leaderboard"
    """`open_llm_leaderboard`: the tasks of Hugging Face's leaderboard."""
    version: Literal[1, 2] = 1
    """1: ARC, HellaSwag, MMLU, TruthfulQA, Winogrande, GSM8K; 2: BBH, GPQA, IFEval, MATH,
    MMLU-Pro, MuSR."""
    settings: Literal["current", "2023"] = "current"
    """Version 1: as lm-eval has its tasks now, or as the leaderboard's harness did in 2023."""
    include_drop: bool = False
    """Version 1 with DROP as its seventh task, as in November 2023."""
    only: tuple[str, ...] = ()
    """Some of the tasks (version 1) or families (version 2: `bbh`, `gpqa`, `ifeval`, `math`,
    `mmlu_pro`, `musr`); the average is then undefined.  Default: all."""
    apply_chat_template: bool = False
    """Prompts in the model's chat format."""
    fewshot_as_multiturn: bool = False
    """With the chat format: each worked example is a turn of its own."""

    @model_validator(mode="after")
    def _consistent(self) -> OpenLlmLeaderboardSpec:
        known = self.choices()
        unknown = [name for name in self.only if name not in known]
        if unknown:
            raise ValueError(f"only {unknown[0]!r}: expected some of {', '.join(known)}")
        if self.settings != "current" and self.version != 1:
            raise ValueError(f"settings {self.settings!r} are for version 1; version 2 began later")
        if self.include_drop and self.version != 1:
            raise ValueError("include_drop is for version 1; version 2 never had DROP")
        if self.fewshot_as_multiturn and not self.apply_chat_template:
            raise ValueError("fewshot_as_multiturn needs apply_chat_template: true")
        if self.data is not None:
            raise ValueError(f"data {self.data!r}: the leaderboard's data sets are public ones")
        return self

    def choices(self) -> tuple[str, ...]:
        """Tasks or families that `only` may name."""
        return tuple(task.removeprefix("leaderboard_") for task in self.columns())

    def columns(self) -> dict[str, BoardColumn]:
        """Its columns by task, or by the prefix of a family's tasks."""
        return _columns(self.version, drop=self.include_drop)


class OpenLlmLeaderboard:
    """The open_llm_leaderboard benchmark: a fixed choice of lm-eval tasks."""

    judge_kind: ClassVar[Literal["pairwise", "rating"] | None] = None
    original_judge: ClassVar[str | None] = None
    version = "2"

    def __init__(self, spec: OpenLlmLeaderboardSpec, context: BenchmarkContext) -> None:
        self.name = spec.entry
        self._spec = spec
        self._inner = LmEval(_tasks(spec), context)

    @staticmethod
    def judge_options(spec: BenchmarkSpec) -> Mapping[str, Json]:
        """None."""
        del spec
        return {}

    def data_needs(self) -> Sequence[str]:
        """Names of public data sets."""
        return self._inner.data_needs()

    def files_read(self) -> Sequence[Path]:
        """Those of its tasks."""
        return self._inner.files_read()

    def load(self) -> None:
        """Build the tasks.  Raises DataError where lm-eval cannot find its data."""
        self._inner.load()

    def samples(self) -> Sequence[Sample]:
        """One per document, task by task."""
        return self._inner.samples()

    def metrics(self, task: str) -> Sequence[Metric]:
        """The task's metrics, the leaderboard's first."""
        found = self._inner.metrics(task)
        family = "mmlu" if task.startswith("mmlu_") else task
        if self._spec.version == 2:
            family = family_of(task) or ""
        column = self._spec.columns().get(family)
        if column is None or column.metric not in {m.name for m in found}:
            return found
        ordered = sorted(found, key=lambda m: m.name != column.metric)
        return tuple(replace(m, primary=m.name == column.metric) for m in ordered)

    def flow(self, sample: Sample, model: str) -> Flow[Outcome]:
        """As lm_eval does."""
        return self._inner.flow(sample, model)

    def figure_tasks(self) -> Mapping[str, tuple[Metric, ...]]:
        """Tasks and their headline metrics, known without any data; the average last."""
        v2 = self._spec.version == 2
        found = {
            task: (_percent("normalised" if v2 else column.metric),)
            for task, column in self._spec.columns().items()
        }
        return {**found, self._spec.type: (_percent("average"),)}

    def extra_figures(self, records: Sequence[Record], level: float) -> Sequence[Figure]:
        """Groups and corpus metrics as lm_eval prints them, and the leaderboard's own figures."""
        if not records:
            return ()
        figures = self._inner.figures(records)
        model, rows = records[0].model, list(self._inner.extra_figures(records, level))
        rows += (
            scoring.figure(found, model, (self.name, task), level)
            for task, found in self._leaderboard(figures, records)
        )
        return rows

    def averages(self) -> Sequence[Average]:
        """The leaderboard's columns and average, then the groups as lm-eval prints them."""
        tasks = list(dict.fromkeys(sample.task for sample in self.samples()))
        if self._spec.version == 1:
            mine = averages_v1(tasks, include_drop=self._spec.include_drop)
        else:
            mine = averages_v2(tasks)
        names = {(a.task, a.metric.name) for a in mine}
        groups = [a for a in self._inner.averages() if (a.task, a.metric.name) not in names]
        return [*mine, *(replace(a, metric=replace(a.metric, primary=False)) for a in groups)]

    def _leaderboard(
        self, figures: Mapping[str, Sequence[Aggregate]], records: Sequence[Record]
    ) -> Iterator[tuple[str, Aggregate]]:
        """(task, figure) of averages and normalised scores."""
        if self._spec.version == 2:
            errors = averages_of_records(records, averages_v2(list(figures)), 0.95)
            for task, figure in (*_normalised(figures), (TASK, average_v2(figures))):
                yield task, with_error(figure, errors.get((task, figure.metric)))
            return
        yield TASK, average_v1(figures, include_drop=self._spec.include_drop)
        if self._spec.include_drop:
            six = average_v1(figures, include_drop=False)
            yield TASK, replace(six, metric="average_without_drop")

    def describe(self) -> Mapping[str, Json]:
        """lm_eval's description, with the leaderboard's version."""
        columns = self._spec.columns() if self._spec.version == 1 else {}
        mine = {
            "type": self._spec.type,
            "version": self.version,
            "leaderboard": self._spec.version,
            "include_drop": self._spec.include_drop,
            "settings": self._spec.settings,
            "settings_differences": {t: list(c.differences_2023) for t, c in columns.items()},
        }
        return {**self._inner.describe(), **mine}

    def request_counts(self) -> Mapping[str, Sequence[int]]:
        """As lm_eval does."""
        return self._inner.request_counts()

    def nominal_requests(self) -> int:
        """Requests per model on the full data sets."""
        kept = self._spec.only or self._spec.choices()
        columns = [c for c in self._spec.columns() if c.removeprefix("leaderboard_") in kept]
        known = (catalogue.by_task(task) for task in columns)
        return sum(b.requests or 0 for b in known if b is not None)


_OVERRIDES_2023: dict[str, dict[str, Any]] = {
    "gsm8k": {
        "generation_kwargs": {
            "until": [":", "Question:", "Question"],
            "do_sample": False,
            "temperature": 0.0,
        }
    },
    "drop": {
        "doc_to_text": "Passage: {{passage}}\nQuestion: {{question}}\nAnswer:",
        "doc_to_target": "{{ ' ' + answers[0] | join(', ') }}",
        "target_delimiter": "",
    },
}
"""How a task's config differed in the harness of 2023."""
_GROUPS = {"math": "leaderboard_math_hard", "ifeval": "leaderboard_instruction_following"}
"""lm-eval's group of a family, where it has another name."""


def _tasks(spec: OpenLlmLeaderboardSpec) -> LmEvalSpec:
    options: dict[str, Any] = {
        "name": spec.entry,
        "generation_config": spec.generation_config,
        "apply_chat_template": spec.apply_chat_template,
        "fewshot_as_multiturn": spec.fewshot_as_multiturn,
    }
    kept = spec.only or spec.choices()
    if spec.version == 2:
        groups = tuple(_GROUPS.get(f, f"leaderboard_{f}") for f in kept)
        return LmEvalSpec(tasks=groups if spec.only else ("leaderboard",), **options)
    columns = spec.columns()
    overrides: dict[str, dict[str, Any]] = {n: {"num_fewshot": columns[n].shots} for n in kept}
    if spec.settings == "2023":
        options |= {"fewshot_seed": 42, "fewshot_draw": "2023"}
        overrides = {n: {**own, **_OVERRIDES_2023.get(n, {})} for n, own in overrides.items()}
    return LmEvalSpec(tasks=tuple(overrides), overrides=overrides, **options)


# --- the leaderboards' own figures, from lm-eval's: shared with results of lm-eval's files --------


def _columns(board: Literal[1, 2], *, drop: bool = False) -> dict[str, BoardColumn]:
    return {column.task: column for column in catalogue.columns(board, drop=drop)}


def family_of(task: str) -> str | None:
    """Version 2's family of a task: the prefix of its name; None: no family."""
    return next((family for family in _columns(2) if task.startswith(family)), None)


def _figure(figures: Sequence[Aggregate], metric: str) -> Aggregate:
    """The figure called `metric`; an undefined one where there is none."""
    missing = Aggregate(metric, None, None, 0, 0, "undefined", corpus=True)
    return next((f for f in figures if f.metric == metric), missing)


def average_v1(figures: Mapping[str, Sequence[Aggregate]], *, include_drop: bool) -> Aggregate:
    """Mean of the tasks' headline figures, MMLU being the mean of its tasks.

    Undefined (point None) where a task has no score.
    """
    parts = []
    for family, column in _columns(1, drop=include_drop).items():
        below = [name for name in figures if family == "mmlu" and name.startswith("mmlu_")]
        names = below or [name for name in figures if name == family]
        found = [_figure(figures[name], column.metric) for name in names]
        parts.append(scoring.combine(found, column.metric, by_size=False))
    return scoring.combine(parts, "average", by_size=False)


def normalised(task: str, figures: Sequence[Aggregate]) -> float | None:
    """A task's score of version 2, from 0 (chance) to 1 (not in percent).

    None where it has no score.
    """
    family = family_of(task)
    point = _figure(figures, _columns(2)[family].metric).point if family else None
    if family == "leaderboard_ifeval":
        inner = _figure(figures, "inst_level_strict_acc").point
        return None if point is None or inner is None else (point + inner) / 2
    if point is None or family == "leaderboard_math":
        return point
    chance = catalogue.chance(task)
    return None if chance is None else max(0.0, (point - chance) / (1 - chance))


def families_v2(figures: Mapping[str, Sequence[Aggregate]]) -> dict[str, float | None]:
    """Each family's normalised score, 0 to 1, of those with figures: the plain mean over tasks."""
    found: dict[str, float | None] = {}
    for family in _columns(2):
        scores = [normalised(name, figures[name]) for name in figures if name.startswith(family)]
        known = [score for score in scores if score is not None]
        if scores:
            found[family] = math.fsum(known) / len(known) if len(known) == len(scores) else None
    return found


def average_v2(figures: Mapping[str, Sequence[Aggregate]]) -> Aggregate:
    """Mean of the six families' normalised scores; its error needs documents (`with_error`).

    Undefined (point None) where a family is not there or has no score.
    """
    families, columns = families_v2(figures), _columns(2)
    headline = [
        _figure(found, columns[family].metric)
        for task, found in figures.items()
        if (family := family_of(task)) is not None
    ]
    n, missing = sum(f.n for f in headline), sum(f.n_missing for f in headline)
    known = [score for score in families.values() if score is not None]
    if len(known) < len(columns):
        return Aggregate("average", None, None, n, missing, "undefined: a task has no score", True)
    method = "mean of six normalised families"
    return Aggregate("average", math.fsum(known) / len(known), None, n, missing, method, True)


def with_error(figure: Aggregate, found: Measured | None) -> Aggregate:
    """A figure of version 2 with the standard error of the same average over documents.

    An error of 0 becomes None: a score at or below chance is cut to 0, and does not vary.
    """
    error = found.standard_error if found is not None else None
    if figure.point is None:
        return figure
    if not error:
        return replace(figure, method=f"{figure.method}; no standard error")
    words = "SE stratified by task, by the delta method"
    return replace(figure, standard_error=error / 100, method=f"{figure.method}; {words}")


def _normalised(figures: Mapping[str, Sequence[Aggregate]]) -> Iterator[tuple[str, Aggregate]]:
    """Version 2's score of every subtask and family."""
    columns = _columns(2)
    for task, found in figures.items():
        family = family_of(task)
        if family is not None:
            raw = _figure(found, columns[family].metric)
            chance = catalogue.chance(task)
            method = "raw score" if chance is None else f"against chance 1/{round(1 / chance)}"
            point = normalised(task, found)
            yield task, Aggregate("normalised", point, None, raw.n, raw.n_missing, method, True)
    for family, point in families_v2(figures).items():
        if family not in figures:
            below = [figures[t] for t in figures if t.startswith(family)]
            raws = [_figure(found, columns[family].metric) for found in below]
            n, missing = sum(r.n for r in raws), sum(r.n_missing for r in raws)
            method = f"mean of {len(below)} normalised tasks"
            yield family, Aggregate("normalised", point, None, n, missing, method, True)


def averages_v1(tasks: Sequence[str], *, include_drop: bool) -> list[Average]:
    """`average_v1` and MMLU's column, declared over `tasks`.

    A missing task stays in the average, which is then undefined.
    """
    subjects = [name for name in tasks if name.startswith("mmlu_")]
    mean = _percent("acc (mean of tasks)")
    made = [Average("mmlu", mean, tuple((name, "acc") for name in subjects))] if subjects else []
    columns = [(t, c.printed_metric) for t, c in _columns(1, drop=include_drop).items()]
    made.append(Average(TASK, _percent("average"), tuple(columns), columns=True))
    if include_drop:
        six = tuple(column for column in columns if column[0] != "drop")
        whole = replace(_percent("average_without_drop"), primary=False)
        made.append(Average(TASK, whole, six))
    return made


def averages_v2(tasks: Sequence[str]) -> list[Average]:
    """Version 2's normalised subtasks and families, and its average, declared."""
    made: list[Average] = []
    columns = []
    for family, column in _columns(2).items():
        below = [name for name in tasks if name.startswith(family)]
        parts = [_normalised_task(name, column.metric, family) for name in below]
        single = [a for a in parts if a.task == family]
        made += [replace(a, metric=replace(a.metric, primary=a in single)) for a in parts]
        if below and not single:
            of = tuple((a.task, a.metric.name) for a in parts)
            made.append(Average(family, _percent("normalised"), of))
        columns.append((family, "normalised"))
    return [*made, Average(TASK, _percent("average"), tuple(columns), columns=True)]


def _normalised_task(task: str, metric: str, family: str) -> Average:
    of: tuple[tuple[str, str], ...] = ((task, metric),)
    if family == "leaderboard_ifeval":
        of = ((task, metric), (task, "inst_level_strict_acc"))
    return Average(task, _percent("normalised"), of, chance=catalogue.chance(task))


def _percent(metric: str) -> Metric:
    return Metric(metric, "percent", scale=100.0, primary=True)
