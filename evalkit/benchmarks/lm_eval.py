"""Any lm-eval task, group or tag, asked through flows.

Source: EleutherAI/lm-evaluation-harness 0.4.13 (MIT), from the installed package.  Tasks,
prompts, few-shot sampling, filters, `process_results`, aggregations and groups are lm-eval's;
evalkit replaces its model classes and its evaluator loop, and `simple_evaluate` with `EngineLM`
(`_lm_eval_lm.py`) on the same engine is the oracle of the tests.

One sample is one document, and documents about one passage (DROP, MuSR) are one unit of
resampling; a flow asks all of its document's requests together:

    {"question": "...", "choices": ["...", "..."], "answer": 0}      one document
    Request(loglikelihood, prompt="...", continuation=" choice")     one per choice

A task of your own is a YAML file in lm-eval's format, named by its path relative to the suite,
or found by name in the folder `include`.

Departures from upstream:
- `data_files` of a task YAML are relative to that YAML's folder, not to the working directory,
  so that a suite works from anywhere (`_lm_eval_tasks.py`).
- `overrides` are merged into the task's config wherever it stands in a group.
- Few-shot examples are drawn in document order, as upstream; a limit cuts the end only, so the
  prompts of a limited run equal those of a full one.
- The global random generators are seeded for each task, not once (`_lm_eval_tasks.py`).
- A document whose request failed or whose answer the task cannot score is missing, not wrong.
- Group standard errors are stratified by task (`_lm_eval_scores.py`).
- Generation options are those of the hf backend (`_lm_eval_requests.py`).
- Tasks that run model-written code or need images are refused.

The log-probabilities of choices stand in `Outcome.answers` rounded to four decimals; scores are
computed from the full numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from evalkit import data
from evalkit.benchmarks import _lm_eval_scores as scoring
from evalkit.benchmarks._lm_eval_describe import describe_group, describe_task
from evalkit.benchmarks._lm_eval_prompts import Prompts
from evalkit.benchmarks._lm_eval_requests import (
    generation,
    messages_of,
    requests_of,
    response,
)
from evalkit.benchmarks._lm_eval_tasks import Loaded, LoadedTask, Selection, load, needs, seeded
from evalkit.benchmarks._lm_eval_tools import (
    compile_templates_once,
    langdetect_seeded,
    use_nltk,
)
from evalkit.core import (
    Completion,
    Estimate,
    Flow,
    Json,
    Message,
    Metric,
    Outcome,
    Record,
    Request,
    Sample,
    Score,
)
from evalkit.core.protocols import Average, BenchmarkContext
from evalkit.core.specs import BenchmarkSpec
from evalkit.errors import BenchmarkError, RequestFailed

__all__ = ["LmEval", "LmEvalSpec"]


class LmEvalSpec(BenchmarkSpec):
    """Tasks of the language model evaluation harness."""

    type: Literal["lm_eval"] = "lm_eval"
    """`lm_eval`: tasks of EleutherAI's lm-evaluation-harness."""
    tasks: tuple[str, ...] = Field(min_length=1)
    """Names of lm-eval tasks, groups or tags, or paths of task YAML files."""
    include: str | None = None
    """Folder with task YAML files of your own, relative to the suite."""
    shots: int | None = Field(default=None, ge=0)
    """Worked examples in each prompt; default: the task's own (a task that says 0 keeps it)."""
    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Changed config entries, by the name of a task or of an entry of `tasks`."""
    apply_chat_template: bool = False
    """Ask in the model's chat format."""
    fewshot_as_multiturn: bool = False
    """With the chat format: each worked example is a turn of its own."""
    system_instruction: str | None = None
    """Text before everything else (the system turn in the chat format)."""
    fewshot_seed: int = 1234
    """Seeds the choice of worked examples; lm-eval's default."""
    fewshot_draw: Literal["lm_eval", "2023"] = "lm_eval"
    """How worked examples are drawn: as lm-eval does now, or as the harness of 2023 did, which
    first shuffled the documents with the same generator."""

    @model_validator(mode="after")
    def _consistent(self) -> LmEvalSpec:
        if self.data is not None:
            raise ValueError(
                f"data {self.data!r}: lm_eval takes data from the tasks; use `include` for a "
                f"folder of task files, or overrides: {{TASK: {{dataset_kwargs: ...}}}}"
            )
        if self.fewshot_as_multiturn and not self.apply_chat_template:
            raise ValueError("fewshot_as_multiturn needs apply_chat_template: true")
        return self


class LmEval:
    """The lm_eval benchmark."""

    judge_kind: ClassVar[Literal["pairwise", "rating"] | None] = None
    original_judge: ClassVar[str | None] = None
    version = "1"

    def __init__(self, spec: LmEvalSpec, context: BenchmarkContext) -> None:
        self.name = spec.entry
        self._spec = spec
        self._context = context
        self._loaded: Loaded | None = None
        self._prompts: dict[str, Prompts] = {}
        self._metrics: dict[str, tuple[Metric, ...]] = {}

    @staticmethod
    def judge_options(spec: BenchmarkSpec) -> Mapping[str, Json]:
        """Nothing: there is no judge."""
        del spec
        return {}

    def data_needs(self) -> Sequence[str]:
        """The tasks' data sets of the hub; nothing is downloaded.  Raises SuiteError."""
        return needs(self._selection())

    def load(self) -> None:
        """Build the tasks and read their documents.

        Raises:
            SuiteError: a task, override or generation option that cannot be used.
            DataError: data that cannot be found or read.
        """
        if self._loaded is not None:
            return
        spec = self._spec
        folder = data.nltk_folder(self._context.places)
        if folder is not None:
            use_nltk(folder)
        compile_templates_once()
        loaded = load(self._selection())
        for name, item in loaded.tasks.items():
            if item.task.OUTPUT_TYPE == "generate_until":
                generation(item.task.config.generation_kwargs or {}, name)
            self._prompts[name] = Prompts(item, spec)
            self._metrics[name] = scoring.metrics(item.task)
        self._loaded = loaded

    def _selection(self) -> Selection:
        spec = self._spec
        return Selection(
            root=self._context.root,
            tasks=spec.tasks,
            include=spec.include,
            overrides=spec.overrides,
            shots=spec.shots,
            fewshot_seed=spec.fewshot_seed,
            places=self._context.places,
        )

    @property
    def _tasks(self) -> Mapping[str, LoadedTask]:
        self.load()
        assert self._loaded is not None
        return self._loaded.tasks

    def samples(self) -> Sequence[Sample]:
        """One per document, task by task, in document order."""
        return [
            Sample(
                id=str(index),
                task=name,
                turns=(_text(item.task, doc),),
                cluster=scoring.passage_cluster(name, doc),
                reference=_gold(item.task, doc),
                data=scoring.jsonable(doc),
            )
            for name, item in self._tasks.items()
            for index, doc in enumerate(item.docs)
        ]

    def metrics(self, task: str) -> Sequence[Metric]:
        """Those that are means; empty for a task with corpus metrics only (perplexity).

        Raises BenchmarkError for a task that is not asked; so do `flow` and `choices`.
        """
        return self._metrics[self._task(task).name]

    def _task(self, name: str) -> LoadedTask:
        if name not in self._tasks:
            raise BenchmarkError(
                f"{self.name!r} has no task {name!r}; expected one of {', '.join(self._tasks)}"
            )
        return self._tasks[name]

    def flow(self, sample: Sample, model: str) -> Flow[Outcome]:
        """Ask all requests of a document, then let lm-eval filter and score the answers."""
        item, spec = self._task(sample.task), self._spec
        instances = self._prompts[sample.task].instances(int(sample.id))
        asked = [
            requests_of(i, model, self._context.seed, chat=spec.apply_chat_template)
            for i in instances
        ]
        requests = [request for group in asked for request in group]
        prompt = messages_of(requests)
        try:
            completions = yield requests
        except RequestFailed as failure:
            return Outcome(failure.status, prompt, reference=sample.reference, error=str(failure))
        if any(c.logprob is not None and math.isnan(c.logprob) for c in completions):
            nan = "the engine gave NaN as a log-probability"
            return Outcome("engine_error", prompt, reference=sample.reference, error=nan)
        replies = iter(completions)
        for instance, group in zip(instances, asked, strict=True):
            instance.resps = [response(instance, next(replies)) for _ in group]
        outcome = _score(item.task, instances)
        return replace(
            outcome,
            conversation=_conversation(prompt, requests, completions),
            answers=_answers(requests, completions),
            reference=sample.reference,
            truncated=any(c.truncated for c in completions),
        )

    def extra_estimates(self, records: Sequence[Record], level: float) -> Sequence[Estimate]:
        """Corpus metrics by lm-eval's own aggregation, and the groups' averages."""
        if not records:
            return ()
        self.load()
        assert self._loaded is not None
        by_task = self.figures(records)
        model = records[0].model
        rows = [
            scoring.estimate(figure, model, (self.name, task), level)
            for task, found in by_task.items()
            for figure in found
            if figure.corpus
        ]
        for name, group in self._loaded.groups.items():
            found = scoring.group_figures(group, by_task)
            rows += [scoring.estimate(f, model, (self.name, name), level) for f in found]
        return rows

    def averages(self) -> Sequence[Average]:
        """The groups' averages, so that stored runs can compare them."""
        self.load()
        assert self._loaded is not None
        return scoring.group_averages(self._loaded.groups, self._metrics)

    def figures(self, records: Sequence[Record]) -> dict[str, list[scoring.Figure]]:
        """Every metric of every task that has records, in lm-eval's own scale."""
        found = {}
        for name, item in self._tasks.items():
            mine = [r for r in records if r.task == name]
            if mine:
                found[name] = scoring.figures(item.task, mine)
        return found

    def choices(self, task: str) -> int:
        """The most answers a document of a multiple-choice task offers; else 0."""
        item = self._task(task)
        if item.task.OUTPUT_TYPE != "multiple_choice":
            return 0
        return max(len(item.task.doc_to_choice(doc)) for doc in item.docs)

    def describe(self) -> Mapping[str, Json]:
        """Versions, settings, and each task's data, prompts, filters and metrics."""
        from importlib.metadata import version

        self.load()
        assert self._loaded is not None
        spec = self._spec
        return {
            "type": spec.type,
            "version": self.version,
            "lm_eval": version("lm_eval"),
            "apply_chat_template": spec.apply_chat_template,
            "fewshot_as_multiturn": spec.fewshot_as_multiturn,
            "system_instruction": spec.system_instruction,
            "fewshot_seed": spec.fewshot_seed,
            "fewshot_draw": spec.fewshot_draw,
            "seed": self._context.seed,
            "tasks": {name: describe_task(item) for name, item in self._tasks.items()},
            "groups": {n: describe_group(g) for n, g in self._loaded.groups.items()},
        }

    def nominal_requests(self) -> int | None:
        """Requests per model, counted from the documents; None before `load`."""
        if self._loaded is None:
            return None
        return sum(prompts.count() for prompts in self._prompts.values())


def _score(task: Any, instances: Sequence[Any]) -> Outcome:
    """Filters and `process_results` over one document's responses."""
    scores: list[Score] = []
    data: dict[str, Json] = {}
    try:
        with seeded(), langdetect_seeded():
            for ensemble in task._filters:  # noqa: SLF001 - lm-eval has no accessor
                ensemble.apply(instances)
                kept = [i.filtered_resps[ensemble.name] for i in instances]
                for metric, value in task.process_results(instances[0].doc, kept).items():
                    name = scoring.display(metric, ensemble.name)
                    if not scoring.is_mean(task, metric):
                        data[name] = scoring.jsonable(value)
                    elif (plain := scoring.number(value)) is not None:
                        scores.append(Score(name, plain))
    except Exception as error:  # noqa: BLE001 - a task's scoring is any author's code
        reason = f"lm-eval could not score this answer: {type(error).__name__}: {error}"
        return Outcome("unparsable", error=reason)
    return Outcome("ok", scores=tuple(scores), data=data)


def _text(task: Any, doc: Any) -> str:
    """The document's own part of the prompt."""
    if task.OUTPUT_TYPE == "loglikelihood_rolling":
        return str(task.doc_to_target(doc))
    text = task.doc_to_text(doc)
    if isinstance(text, int):
        return "\n".join(task.doc_to_choice(doc))
    return str(text)


def _gold(task: Any, doc: Any) -> tuple[str, ...]:
    """The gold target as text; several where any of them is right."""
    target = task.doc_to_target(doc)
    choices = task.doc_to_choice(doc) if task.get_config("doc_to_choice") is not None else None
    wanted = target if isinstance(target, list) else [target]
    if isinstance(task.doc_to_text(doc), int):
        wanted = [task.doc_to_text(doc)]
    named = [
        choices[t] if choices and isinstance(t, int) and -len(choices) <= t < len(choices) else t
        for t in wanted
    ]
    return tuple(str(name) for name in named)


def _conversation(
    prompt: tuple[Message, ...], requests: Sequence[Request], completions: Sequence[Completion]
) -> tuple[Message, ...]:
    """The prompt, and the first generated answer after it (joined to a prefill)."""
    if requests[0].kind != "generate":
        return prompt
    text = completions[0].text
    if prompt and prompt[-1].role == "assistant":
        return (*prompt[:-1], Message("assistant", prompt[-1].content + text))
    return (*prompt, Message("assistant", text))


def _answers(requests: Sequence[Request], completions: Sequence[Completion]) -> tuple[str, ...]:
    """Generated texts, or each choice with its log-probability."""
    varied = len({r.prompt for r in requests if r.prompt}) > 1
    return tuple(
        c.text if r.kind == "generate" else f"{_label(r, varied=varied)} = {c.logprob:.4f}"
        for r, c in zip(requests, completions, strict=True)
    )


def _label(request: Request, *, varied: bool) -> str:
    """What a log-probability is of; with the end of the context where contexts differ."""
    if request.kind == "rolling":
        return "text"
    label = request.continuation.strip()
    if not varied or not request.prompt:
        return label
    context = request.prompt
    text = context if isinstance(context, str) else context[-1].content
    return f"{text.splitlines()[-1] if text else ''} {label}"
