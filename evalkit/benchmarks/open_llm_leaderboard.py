"""The Open LLM Leaderboard, versions 1 (2023) and 2 (2024), with today's lm-eval tasks.

Source: Hugging Face's Open LLM Leaderboard.  Version 1 is six lm-eval tasks with fixed shots
(seven with DROP, which was there in November 2023 only); version 2 is lm-eval's group
`leaderboard`, whose tasks state their shots themselves.  Everything is asked and scored by the
`lm_eval` benchmark; here belong the choice of tasks and the average.

Departures from the leaderboards, all of them visible in `describe`:
- lm-eval's present task versions: other stop strings, few-shot seed 1234 (version 1 used 42).
- MMLU is averaged over its 57 tasks with equal weights, as version 1 did; lm-eval itself weights
  by size (both are reported).
- Version 2 uses no chat template unless `apply_chat_template` says so.

Version 2's average: each task's score s is set against chance 1/c, 100 · max(0, (s - 1/c) /
(1 - 1/c)); tasks of a family are averaged with equal weights, then the six families.  MATH has
no chance level; IFEval is the mean of its prompt- and instruction-level strict accuracies.
(Hugging Face, "Scores Normalization", Open LLM Leaderboard documentation, 2024.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from evalkit.benchmarks import _lm_eval_scores as scoring
from evalkit.benchmarks._lm_eval_scores import Figure
from evalkit.benchmarks.lm_eval import LmEval, LmEvalSpec
from evalkit.protocols import BenchmarkContext
from evalkit.specs import BenchmarkSpec
from evalkit.types import Estimate, Flow, Json, Metric, Outcome, Record, Sample

__all__ = ["OpenLlmLeaderboard", "OpenLlmLeaderboardSpec"]

_V1: dict[str, tuple[int, str, int]] = {
    "arc_challenge": (25, "acc_norm", 4_687),
    "hellaswag": (10, "acc_norm", 40_168),
    "mmlu": (5, "acc", 56_168),
    "truthfulqa_mc2": (0, "acc", 6_204),
    "winogrande": (5, "acc", 2_534),
    "gsm8k": (5, "exact_match,strict-match", 1_319),
}
"""Task: shots, metric of the leaderboard, requests (one per choice; counted from the data sets'
test or validation splits: 1172, 10042, 14042, 817, 1267 and 1319 documents)."""

_DROP = {"drop": (3, "f1", 9_536)}
"""9,536 documents of the validation split."""

_V2: dict[str, tuple[str, int]] = {
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


class OpenLlmLeaderboardSpec(BenchmarkSpec):
    """The Open LLM Leaderboard."""

    type: Literal["open_llm_leaderboard"] = "open_llm_leaderboard"
    """`open_llm_leaderboard`: the tasks of Hugging Face's leaderboard."""
    version: Literal[1, 2] = 1
    """1: ARC, HellaSwag, MMLU, TruthfulQA, Winogrande, GSM8K; 2: BBH, GPQA, IFEval, MATH,
    MMLU-Pro, MuSR."""
    include_drop: bool = False
    """Version 1 with DROP as its seventh task, as in November 2023."""
    apply_chat_template: bool = False
    """Ask in the model's chat format."""
    fewshot_as_multiturn: bool = False
    """With the chat format: each worked example is a turn of its own."""

    @model_validator(mode="after")
    def _consistent(self) -> OpenLlmLeaderboardSpec:
        if self.include_drop and self.version != 1:
            raise ValueError("include_drop is for version 1; version 2 never had DROP")
        if self.fewshot_as_multiturn and not self.apply_chat_template:
            raise ValueError("fewshot_as_multiturn needs apply_chat_template: true")
        if self.data is not None:
            raise ValueError(f"data {self.data!r}: the leaderboard's data sets are public ones")
        return self


class OpenLlmLeaderboard:
    """The open_llm_leaderboard benchmark: a fixed choice of lm-eval tasks."""

    judge_kind: ClassVar[Literal["pairwise", "rating"] | None] = None
    original_judge: ClassVar[str | None] = None
    version = "1"

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

    def extra_estimates(self, records: Sequence[Record], level: float) -> Sequence[Estimate]:
        """Groups and corpus metrics as lm_eval prints them, and the leaderboard's average."""
        if not records:
            return ()
        figures = self._inner.figures(records)
        average = _average_v1(figures, self._spec) if self._spec.version == 1 else self._v2(figures)
        rows = list(self._inner.extra_estimates(records, level))
        place = (self.name, self._spec.type)
        return [*rows, scoring.estimate(average, records[0].model, place, level)]

    def _v2(self, figures: Mapping[str, Sequence[Figure]]) -> Figure:
        choices = {name: self._inner.choices(name) for name in figures}
        return _average_v2(figures, choices)

    def describe(self) -> Mapping[str, Json]:
        """lm_eval's description, with the leaderboard's version."""
        mine = {
            "type": self._spec.type,
            "version": self.version,
            "leaderboard": self._spec.version,
            "include_drop": self._spec.include_drop,
        }
        return {**self._inner.describe(), **mine}

    def nominal_requests(self) -> int:
        """Requests per model on the full data sets."""
        if self._spec.version == 2:
            return sum(requests for _, requests in _V2.values())
        return sum(requests for _, _, requests in _v1_tasks(self._spec).values())


def _v1_tasks(spec: OpenLlmLeaderboardSpec) -> dict[str, tuple[int, str, int]]:
    return {**_V1, **_DROP} if spec.include_drop else _V1


def _tasks(spec: OpenLlmLeaderboardSpec) -> LmEvalSpec:
    options: dict[str, Any] = {
        "name": spec.entry,
        "apply_chat_template": spec.apply_chat_template,
        "fewshot_as_multiturn": spec.fewshot_as_multiturn,
    }
    if spec.version == 2:
        return LmEvalSpec(tasks=("leaderboard",), **options)
    shots = {name: {"num_fewshot": n} for name, (n, _, _) in _v1_tasks(spec).items()}
    return LmEvalSpec(tasks=tuple(shots), overrides=shots, **options)


def _headline(spec: OpenLlmLeaderboardSpec, task: str) -> str | None:
    if spec.version == 1:
        family = "mmlu" if task.startswith("mmlu_") else task
        return _v1_tasks(spec)[family][1] if family in _v1_tasks(spec) else None
    return next((m for f, (m, _) in _V2.items() if task.startswith(f)), None)


def _figure(figures: Sequence[Figure], metric: str) -> Figure:
    missing = Figure(metric, None, None, 0, 0, "undefined", corpus=True)
    return next((f for f in figures if f.metric == metric), missing)


def _average_v1(figures: Mapping[str, Sequence[Figure]], spec: OpenLlmLeaderboardSpec) -> Figure:
    """Mean of the tasks' headline figures, MMLU being the mean of its tasks.

    None where a task has no score.
    """
    parts = []
    for family, (_, metric, _) in _v1_tasks(spec).items():
        names = [n for n in figures if n == family or (family == "mmlu" and n.startswith("mmlu_"))]
        found = [_figure(figures[n], metric) for n in names]
        parts.append(scoring.combine(found, metric, by_size=False))
    return scoring.combine(parts, "average", by_size=False)


def _average_v2(figures: Mapping[str, Sequence[Figure]], choices: Mapping[str, int]) -> Figure:
    """Mean of the six families' normalised scores (module docstring); no standard error.

    Args:
        figures: by task.
        choices: number of answers c a task offers, by task; the chance level is 1/c.
    """
    families: list[float] = []
    for family, (metric, _) in _V2.items():
        names = [n for n in figures if n.startswith(family)]
        scores = [_normalised(n, figures[n], metric, choices.get(n, 0)) for n in names]
        known = [s for s in scores if s is not None]
        if known and len(known) == len(scores):
            families.append(math.fsum(known) / len(known))
    n = sum(_figure(figures[t], _metric_of(t)).n for t in figures)
    missing = sum(_figure(figures[t], _metric_of(t)).n_missing for t in figures)
    if len(families) < len(_V2):
        return Figure("average", None, None, n, missing, "undefined: a task has no score", True)
    method = "mean of six normalised families; no standard error"
    return Figure("average", math.fsum(families) / len(families), None, n, missing, method, True)


def _metric_of(task: str) -> str:
    return next((m for f, (m, _) in _V2.items() if task.startswith(f)), "")


def _normalised(task: str, figures: Sequence[Figure], metric: str, choices: int) -> float | None:
    """A score from 0 (chance) to 1."""
    point = _figure(figures, metric).point
    if task.startswith("leaderboard_ifeval"):
        inner = _figure(figures, "inst_level_strict_acc").point
        return None if point is None or inner is None else (point + inner) / 2
    if point is None or task.startswith("leaderboard_math"):
        return point
    if choices < 2:
        return None
    return max(0.0, (point - 1 / choices) / (1 - 1 / choices))
