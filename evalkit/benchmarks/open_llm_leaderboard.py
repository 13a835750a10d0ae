"""The Open LLM Leaderboard, versions 1 (2023) and 2 (2024), asked and scored by lm-eval's tasks.

Source: Hugging Face's Open LLM Leaderboard.  Version 1 is six lm-eval tasks with fixed shots
(seven with DROP, which was there in November 2023 only); version 2 is lm-eval's group
`leaderboard`, whose tasks state their shots themselves.  Here belong the choice of tasks and their
settings; what the leaderboards computed from them is in `_leaderboard.py`.  One raw document is
whatever the task's is:

    {"id": "Mercury_7175875", "question": "An astronomer ...", "answerKey": "C",
     "choices": {"text": ["...", "..."], "label": ["A", "B", "C", "D"]}}

`settings: "2023"` asks version 1 as the harness of 2023 did (`_lm_eval_2023.py` draws its worked
examples); `describe` lists the difference by task.  The metrics lm-eval itself prints,
size-weighted groups included, are reported in either case.

Departures from the leaderboards:
- With `settings: current` lm-eval's present task versions are asked.
- With `settings: "2023"` texts, stops and examples are 2023's; scoring is lm-eval's present code
  (GSM8K: the filter `strict-match` has 2023's pattern; DROP: the same em and f1).
- Version 2 uses no chat template unless `apply_chat_template` says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from evalkit.benchmarks import _leaderboard as board
from evalkit.benchmarks import _lm_eval_scores as scoring
from evalkit.benchmarks._lm_eval_scores import Figure
from evalkit.benchmarks.lm_eval import LmEval, LmEvalSpec
from evalkit.core import Estimate, Flow, Json, Metric, Outcome, Record, Sample
from evalkit.core.protocols import Average, BenchmarkContext
from evalkit.core.specs import BenchmarkSpec
from evalkit.stats.averages import own_averages

__all__ = ["OpenLlmLeaderboard", "OpenLlmLeaderboardSpec"]


class OpenLlmLeaderboardSpec(BenchmarkSpec):
    """The Open LLM Leaderboard."""

    type: Literal["open_llm_leaderboard"] = "open_llm_leaderboard"
    """`open_llm_leaderboard`: the tasks of Hugging Face's leaderboard."""
    version: Literal[1, 2] = 1
    """1: ARC, HellaSwag, MMLU, TruthfulQA, Winogrande, GSM8K; 2: BBH, GPQA, IFEval, MATH,
    MMLU-Pro, MuSR."""
    settings: Literal["current", "2023"] = "current"
    """Version 1: as lm-eval asks its tasks now, or as the leaderboard's harness did in 2023."""
    include_drop: bool = False
    """Version 1 with DROP as its seventh task, as in November 2023."""
    only: tuple[str, ...] = ()
    """Some of the tasks (version 1) or families (version 2: `bbh`, `gpqa`, `ifeval`, `math`,
    `mmlu_pro`, `musr`); the average is then undefined.  Default: all."""
    apply_chat_template: bool = False
    """Ask in the model's chat format."""
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
        if self.version == 1:
            return tuple(board.v1_tasks(include_drop=self.include_drop))
        return tuple(family.removeprefix("leaderboard_") for family in board.V2)


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

    def load(self) -> None:
        """Build the tasks.  Raises DataError where lm-eval cannot find its data."""
        self._inner.load()

    def samples(self) -> Sequence[Sample]:
        """One per document, task by task."""
        return self._inner.samples()

    def metrics(self, task: str) -> Sequence[Metric]:
        """The task's metrics, the leaderboard's first."""
        found = self._inner.metrics(task)
        wanted = _headline(self._spec, task)
        if wanted not in {m.name for m in found}:
            return found
        ordered = sorted(found, key=lambda m: m.name != wanted)
        return tuple(replace(m, primary=m.name == wanted) for m in ordered)

    def flow(self, sample: Sample, model: str) -> Flow[Outcome]:
        """As lm_eval does."""
        return self._inner.flow(sample, model)

    def figure_tasks(self) -> Mapping[str, tuple[Metric, ...]]:
        """Tasks and their headline metrics, known without any data; the average last."""
        if self._spec.version == 1:
            tasks = board.v1_tasks(include_drop=self._spec.include_drop)
            found = {task: (_percent(metric),) for task, (_, metric, _) in tasks.items()}
        else:
            found = {family: (_percent("normalised"),) for family in board.V2}
        return {**found, self._spec.type: (_percent("average"),)}

    def extra_estimates(self, records: Sequence[Record], level: float) -> Sequence[Estimate]:
        """Groups and corpus metrics as lm_eval prints them, and what the leaderboard computed."""
        if not records:
            return ()
        figures = self._inner.figures(records)
        model, rows = records[0].model, list(self._inner.extra_estimates(records, level))
        rows += (
            scoring.estimate(figure, model, (self.name, task), level)
            for task, figure in self._leaderboard(figures, records)
        )
        return rows

    def averages(self) -> Sequence[Average]:
        """The leaderboard's columns and average, then the groups as lm-eval prints them."""
        tasks = list(dict.fromkeys(sample.task for sample in self.samples()))
        if self._spec.version == 1:
            mine = board.averages_v1(tasks, include_drop=self._spec.include_drop)
        else:
            mine = board.averages_v2(tasks)
        names = {(a.task, a.metric.name) for a in mine}
        groups = [a for a in self._inner.averages() if (a.task, a.metric.name) not in names]
        return [*mine, *(replace(a, metric=replace(a.metric, primary=False)) for a in groups)]

    def _leaderboard(
        self, figures: Mapping[str, Sequence[Figure]], records: Sequence[Record]
    ) -> Iterator[tuple[str, Figure]]:
        """(task, figure) of averages and normalised scores."""
        whole = self._spec.type
        if self._spec.version == 2:
            errors = own_averages(records, board.averages_v2(list(figures)), 0.95)
            for task, figure in (*_normalised(figures), (whole, board.average_v2(figures))):
                yield task, board.with_error(figure, errors.get((task, figure.metric)))
            return
        yield whole, board.average_v1(figures, include_drop=self._spec.include_drop)
        if self._spec.include_drop:
            six = board.average_v1(figures, include_drop=False)
            yield whole, replace(six, metric="average_without_drop")

    def describe(self) -> Mapping[str, Json]:
        """lm_eval's description, with the leaderboard's version."""
        mine = {
            "type": self._spec.type,
            "version": self.version,
            "leaderboard": self._spec.version,
            "include_drop": self._spec.include_drop,
            "settings": self._spec.settings,
            "settings_differences": self._differences(),
        }
        return {**self._inner.describe(), **mine}

    def _differences(self) -> dict[str, list[str]]:
        """How the settings of 2023 differ from the present ones, by task."""
        if self._spec.version != 1:
            return {}
        tasks = board.v1_tasks(include_drop=self._spec.include_drop)
        return {task: list(board.DIFFERENCES_2023[task]) for task in tasks}

    def nominal_requests(self) -> int:
        """Requests per model on the full data sets."""
        kept = self._spec.only or self._spec.choices()
        if self._spec.version == 2:
            return sum(board.V2[f"leaderboard_{family}"][1] for family in kept)
        tasks = board.v1_tasks(include_drop=self._spec.include_drop)
        return sum(tasks[task][2] for task in kept)


def _percent(metric: str) -> Metric:
    return Metric(metric, "percent", scale=100.0, primary=True)


def _normalised(figures: Mapping[str, Sequence[Figure]]) -> Iterator[tuple[str, Figure]]:
    """Version 2's score of every subtask and family."""
    for task, found in figures.items():
        family = board.family_of(task)
        if family is not None:
            raw = board.figure_of(found, board.V2[family][0])
            c = board.CHOICES.get(task)
            method = "raw score" if c is None else f"against chance 1/{c}"
            point = board.normalised(task, found)
            yield task, Figure("normalised", point, None, raw.n, raw.n_missing, method, True)
    for family, point in board.families_v2(figures).items():
        if family not in figures:
            below = [figures[t] for t in figures if t.startswith(family)]
            raws = [board.figure_of(found, board.V2[family][0]) for found in below]
            n, missing = sum(r.n for r in raws), sum(r.n_missing for r in raws)
            method = f"mean of {len(below)} normalised tasks"
            yield family, Figure("normalised", point, None, n, missing, method, True)


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
"""What the harness of 2023 had otherwise in a task's config."""


def _tasks(spec: OpenLlmLeaderboardSpec) -> LmEvalSpec:
    options: dict[str, Any] = {
        "name": spec.entry,
        "apply_chat_template": spec.apply_chat_template,
        "fewshot_as_multiturn": spec.fewshot_as_multiturn,
    }
    kept = spec.only or spec.choices()
    if spec.version == 2:
        groups = tuple(_GROUPS.get(f, f"leaderboard_{f}") for f in kept)
        return LmEvalSpec(tasks=groups if spec.only else ("leaderboard",), **options)
    tasks = board.v1_tasks(include_drop=spec.include_drop)
    overrides = {name: {"num_fewshot": tasks[name][0]} for name in kept}
    if spec.settings == "2023":
        options |= {"fewshot_seed": 42, "fewshot_draw": "2023"}
        overrides = {n: {**kept_, **_OVERRIDES_2023.get(n, {})} for n, kept_ in overrides.items()}
    return LmEvalSpec(tasks=tuple(overrides), overrides=overrides, **options)


_GROUPS = {"math": "leaderboard_math_hard", "ifeval": "leaderboard_instruction_following"}
"""lm-eval's group of a family, where it is not called like it."""


def _headline(spec: OpenLlmLeaderboardSpec, task: str) -> str | None:
    if spec.version == 1:
        family = "mmlu" if task.startswith("mmlu_") else task
        tasks = board.v1_tasks(include_drop=spec.include_drop)
        return tasks[family][1] if family in tasks else None
    found = board.family_of(task)
    return None if found is None else board.V2[found][0]
