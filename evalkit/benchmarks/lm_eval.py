"""Any lm-eval task, group or tag, as flows.

Source: EleutherAI/lm-evaluation-harness 0.4.13 (MIT), from the installed package.  Tasks,
prompts, few-shot sampling, filters, `process_results`, aggregations and groups are lm-eval's;
evalkit replaces its model classes and its evaluator loop, and `simple_evaluate` on the same engine
is the oracle of the tests.

One sample is one document, and documents about one passage (DROP, MuSR) are one unit of
resampling; a flow sends all of its document's requests together:

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
- A document whose request failed or whose answer the task cannot score is missing, not wrong;
  so is one whose answer takes lm-eval too long to read (it compares numbers in a time that grows
  with the square of their digits, and sympy computes what an answer writes): it is `excluded`.
- Group standard errors are stratified by task (`_lm_eval_scores.py`).
- Generation options are those of the hf backend (`_lm_eval_tasks.py`).
- Tasks that run model-written code or need images are refused.

The log-probabilities of choices stand in `Outcome.answers` rounded to four decimals; scores are
computed from the full numbers.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from evalkit import data
from evalkit.benchmarks import _lm_eval_scores as scoring
from evalkit.benchmarks._deadline import Deadlined
from evalkit.benchmarks._lm_eval_tasks import (
    Loaded,
    LoadedTask,
    Selection,
    Survey,
    describe_group,
    describe_task,
    generation,
    is_path,
    langdetect_seeded,
    load,
    seeded,
    survey,
    use_nltk,
)
from evalkit.core import (
    Completion,
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
from evalkit.core.figures import Average, Figure
from evalkit.core.protocols import BenchmarkContext
from evalkit.core.specs import BenchmarkSpec
from evalkit.core.thoughts import NO_ANSWER, thoughts_of
from evalkit.core.trust import Code
from evalkit.errors import BenchmarkError, DataError, EvalkitError, RequestFailed

__all__ = [
    "LmEval",
    "LmEvalSpec",
    "chat_prompt",
    "draw",
    "requests_of",
    "response",
    "seed_of",
]

_READING_S = 10
"""Seconds of processor time that lm-eval may take to read the answers to one document."""


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
    """Prompts in the model's chat format."""
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
        self._prompts: dict[str, _Prompts] = {}
        self._metrics: dict[str, tuple[Metric, ...]] = {}

    @staticmethod
    def judge_options(spec: BenchmarkSpec) -> Mapping[str, Json]:
        """Nothing: there is no judge."""
        del spec
        return {}

    def data_needs(self) -> Sequence[str]:
        """The tasks' data sets of the hub; nothing is downloaded.  Raises SuiteError."""
        if self._survey.error is not None:
            raise self._survey.error
        return self._survey.data

    def code(self) -> Sequence[Code]:
        """What the suite brings that its tasks run; nothing is imported."""
        return self._survey.code if self.is_own() else ()

    def is_own(self) -> bool:
        """Whether the suite brings tasks, or changes them."""
        spec = self._spec
        return bool(spec.include or spec.overrides or any(map(is_path, spec.tasks)))

    @cached_property
    def _survey(self) -> Survey:
        return survey(self._selection())

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
        loaded = load(self._selection())
        for name, item in loaded.tasks.items():
            if item.task.OUTPUT_TYPE == "generate_until":
                generation(item.task.config.generation_kwargs or {}, name)
            self._prompts[name] = _Prompts(item, spec)
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
            say=lambda task: self._context.say(f"reading {self.name}: {task}"),
        )

    @property
    def _all(self) -> Loaded:
        self.load()
        assert self._loaded is not None
        return self._loaded

    @property
    def _tasks(self) -> Mapping[str, LoadedTask]:
        return self._all.tasks

    def samples(self) -> Sequence[Sample]:
        """One per document, task by task, in document order.

        Raises DataError: a task cannot make its prompt of a document; `flow` does, too.
        """
        found = []
        for name, item in self._tasks.items():
            for index, doc in enumerate(item.docs):
                with _named(name, index):
                    text, gold = _shown(item.task, doc)
                found.append(
                    Sample(
                        id=str(index),
                        task=name,
                        turns=(text,),
                        cluster=scoring.passage_cluster(name, doc),
                        reference=gold,
                        data=scoring.jsonable(doc),
                    )
                )
        return found

    def metrics(self, task: str) -> Sequence[Metric]:
        """Those that are means; empty for a task with corpus metrics only (perplexity).

        Raises BenchmarkError for an unknown task; so do `flow` and `choices`.
        """
        return self._metrics[self._task(task).name]

    def _task(self, name: str) -> LoadedTask:
        if name not in self._tasks:
            raise BenchmarkError(
                f"{self.name!r} has no task {name!r}; expected one of {', '.join(self._tasks)}"
            )
        return self._tasks[name]

    def flow(self, sample: Sample, model: str) -> Flow[Outcome]:
        """Send all requests of a document, then let lm-eval filter and score the answers."""
        item, spec = self._task(sample.task), self._spec
        if item.task.OUTPUT_TYPE == "generate_until":
            _ = self._deadlined  # before there are prompts and engines
        instances = self._prompts[sample.task].instances(int(sample.id))
        chat, own = spec.apply_chat_template, spec.generation_config == "model"
        groups = [
            requests_of(i, model, self._context.seed, chat=chat, own_settings=own)
            for i in instances
        ]
        requests = [request for group in groups for request in group]
        prompt = _messages_of(requests)
        try:
            completions = yield requests
        except RequestFailed as failure:
            return Outcome(failure.status, prompt, reference=sample.reference, error=str(failure))
        if any(c.logprob is not None and math.isnan(c.logprob) for c in completions):
            nan = "the engine gave NaN as a log-probability"
            return Outcome("engine_error", prompt, reference=sample.reference, error=nan)
        completions = [_stripped(completion) for completion in completions]
        replies = iter(completions)
        answers = [
            [response(instance, next(replies)) for _ in group]
            for instance, group in zip(instances, groups, strict=True)
        ]
        outcome = self._score(item, instances[0].doc, answers)
        if all(c.unfinished for c in completions):
            outcome = self._unfinished(item, outcome)
        return replace(
            outcome,
            conversation=_conversation(prompt, requests, completions),
            answers=_answers(requests, completions),
            reference=sample.reference,
            truncated=any(c.truncated for c in completions),
            thoughts=thoughts_of(completions),
            thought_tokens=sum(c.thought_tokens for c in completions),
        )

    def _score(self, item: LoadedTask, doc: Any, answers: Sequence[Sequence[Any]]) -> Outcome:
        """What lm-eval makes of a document's answers; texts are read under a deadline."""
        if item.task.OUTPUT_TYPE != "generate_until":
            return _score(item.task, doc, answers)
        try:
            outcome: Outcome = self._deadlined(item.name, doc, answers)
        except TimeoutError as error:
            size = sum(len(text) for texts in answers for text in texts)
            reason = f"lm-eval could not read this answer of {size:,} characters: {error}"
            return Outcome("excluded", error=reason)
        return outcome

    @cached_property
    def _deadlined(self) -> Deadlined:
        tasks = self._tasks

        def score(name: str, doc: Any, answers: Sequence[Sequence[Any]]) -> Outcome:
            return _score(tasks[name].task, doc, answers)

        return Deadlined(score, _READING_S)

    def _unfinished(self, item: LoadedTask, outcome: Outcome) -> Outcome:
        """Scored as wrong: leaving it out would flatter a model that fails on hard documents.

        A metric of which less is better has what lm-eval gives an empty answer.
        """
        wrong = [Score(m.name, 0.0) for m in self._metrics[item.name] if m.higher_is_better]
        named = {score.metric for score in wrong}
        others = [score for score in outcome.scores if score.metric not in named]
        scores = (*wrong, *others)
        return replace(outcome, status="unfinished", scores=scores, error=NO_ANSWER)

    def extra_figures(self, records: Sequence[Record], level: float) -> Sequence[Figure]:
        """Corpus metrics by lm-eval's own aggregation, and the groups' averages."""
        if not records:
            return ()
        by_task = self.figures(records)
        model = records[0].model
        rows = [
            scoring.figure(aggregate, model, (self.name, task), level)
            for task, found in by_task.items()
            for aggregate in found
            if aggregate.corpus
        ]
        for name, group in self._all.groups.items():
            found = scoring.group_figures(group, by_task)
            rows += [scoring.figure(f, model, (self.name, name), level) for f in found]
        return rows

    def averages(self) -> Sequence[Average]:
        """The groups' averages, so that stored runs can compare them."""
        return scoring.group_averages(self._all.groups, self._metrics)

    def figures(self, records: Sequence[Record]) -> dict[str, list[scoring.Aggregate]]:
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
            "groups": {n: describe_group(g) for n, g in self._all.groups.items()},
        }

    def files_read(self) -> Sequence[Path]:
        """Local data files of its tasks."""
        return [path for item in self._all.tasks.values() for path in item.files.values()]

    def nominal_requests(self) -> int | None:
        """Unknown: the tasks are anybody's."""
        return None

    def request_counts(self) -> Mapping[str, Sequence[int]]:
        """By task, of each document."""
        return {name: self._prompts[name].counts() for name in self._tasks}


def _score(task: Any, doc: Any, answers: Sequence[Sequence[Any]]) -> Outcome:
    """Filters and `process_results` over one document's answers, by instance and repeat."""
    scores: list[Score] = []
    doc = copy.deepcopy(doc)  # which tasks may change
    instances = [SimpleNamespace(doc=doc, resps=list(a), filtered_resps={}) for a in answers]
    data: dict[str, Json] = {}
    try:
        with seeded(), langdetect_seeded():
            for ensemble in task._filters:  # noqa: SLF001 - lm-eval has no accessor
                ensemble.apply(instances)
                kept = [i.filtered_resps[ensemble.name] for i in instances]
                for metric, value in task.process_results(doc, kept).items():
                    name = scoring.display(metric, ensemble.name)
                    if not scoring.is_mean(task, metric):
                        data[name] = scoring.jsonable(value)
                    elif (plain := scoring.number(value)) is not None:
                        scores.append(Score(name, plain))
    except Exception as error:  # noqa: BLE001 - a task's scoring is any author's code
        reason = f"lm-eval could not score this answer: {type(error).__name__}: {error}"
        return Outcome("unparsable", error=reason)
    return Outcome("ok", scores=tuple(scores), data=data)


@contextmanager
def _named(task: str, index: int) -> Iterator[None]:
    """Whatever the code of a task's author raises is a mistake of the task, in this document."""
    try:
        yield
    except EvalkitError:
        raise
    except Exception as error:
        raise DataError(
            f"task {task!r}, document {index}: its prompt cannot be made: "
            f"{type(error).__name__}: {error}; check the task's config and its data"
        ) from error


def _shown(task: Any, doc: Any) -> tuple[str, tuple[str, ...]]:
    """The document's own part of the prompt; the gold target as text, several where any is right.

    Where the texts to choose from stand in the prompt, `doc_to_text` is the index of the gold one.
    """
    target = task.doc_to_target(doc)
    text = task.doc_to_text(doc)
    choices = task.doc_to_choice(doc) if task.get_config("doc_to_choice") is not None else None
    wanted = target if isinstance(target, list) else [target]
    if isinstance(text, int):
        wanted = [text]
    named = [
        choices[t] if choices and isinstance(t, int) and -len(choices) <= t < len(choices) else t
        for t in wanted
    ]
    if task.OUTPUT_TYPE == "loglikelihood_rolling":
        text = target
    elif isinstance(text, int):
        text = "\n".join(choices or ())
    return str(text), tuple(str(name) for name in named)


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
    """The text whose log-probability it is; with the end of the context where contexts differ."""
    if request.kind == "rolling":
        return "text"
    label = request.continuation.strip()
    if not varied or not request.prompt:
        return label
    context = request.prompt
    text = context if isinstance(context, str) else context[-1].content
    return f"{text.splitlines()[-1] if text else ''} {label}"


# --- prompts --------------------------------------------------------------------------------------


class _Prompts:
    """A task's instances, built in document order because few-shot sampling has a state."""

    def __init__(self, item: LoadedTask, spec: LmEvalSpec) -> None:
        self._item = item
        self._spec = spec
        self._built: list[list[Any]] = []
        if spec.fewshot_draw == "2023" and (item.task.config.num_fewshot or 0) > 0:
            _draw_as_2023(item, spec.fewshot_seed)

    def instances(self, index: int) -> list[Any]:
        """lm-eval's Instances of document `index`."""
        while len(self._built) <= index:
            with _named(self._item.name, len(self._built)):
                self._built.append(self._build(len(self._built)))
        return self._built[index]

    def counts(self) -> list[int]:
        """Requests of each document, without its prompt where lm-eval's own code makes them."""
        from lm_eval.api.task import ConfigurableTask

        task, docs = self._item.task, self._item.docs
        repeats = task.config.repeats or 1
        if type(task).construct_requests is not ConfigurableTask.construct_requests:
            return [len(self.instances(index)) * repeats for index in range(len(docs))]
        if task.OUTPUT_TYPE != "multiple_choice":
            return [repeats] * len(docs)
        each = repeats * (2 if "acc_mutual_info" in task.aggregation() else 1)
        return [len(task.doc_to_choice(doc)) * each for doc in docs]

    def _build(self, index: int) -> list[Any]:
        """As `Task.build_all_requests` does for one document."""
        task, spec, doc = self._item.task, self._spec, self._item.docs[index]
        if isinstance(task.sampler, _Drawn):
            task.sampler.document = index
        template = chat_prompt if spec.apply_chat_template else None
        context = task.fewshot_context(
            doc,
            num_fewshot=task.config.num_fewshot or 0,
            system_instruction=spec.system_instruction,
            apply_chat_template=spec.apply_chat_template,
            fewshot_as_multiturn=spec.fewshot_as_multiturn,
            chat_template=template,
            gen_prefix=task.doc_to_prefix(doc),
        )
        made = task.construct_requests(
            doc=doc,
            ctx=context,
            metadata=(self._item.name, index, task.config.repeats),
            apply_chat_template=spec.apply_chat_template,
            chat_template=template,
        )
        found = made if isinstance(made, list) else [made]
        return sorted(found, key=lambda instance: instance.idx)


# Worked examples as the harness of 2023 drew them.  Source: EleutherAI/lm-evaluation-harness at
# b281b0921b636bc36ad05c0b0b0763bd6dd43463, the commit the Open LLM Leaderboard of 2023 ran:
# `lm_eval/evaluator.py` seeds one generator a task (with 42), shuffles the task's documents with
# it, and then, document by document in that shuffled order, draws the examples from the same
# generator (`lm_eval/base.py`, `fewshot_context`).  Tasks whose examples come from where the
# documents come from draw one more and leave the document itself out.  lm-eval today draws in
# document order from a generator seeded with 1234.  Tasks that take the first examples of their
# dev split (MMLU) draw nothing, then as now.


class _Drawn:
    """Replaces a task's sampler: the examples of every document are already drawn."""

    def __init__(self, examples: Sequence[Sequence[Any]], pool: Sequence[Any]) -> None:
        self._examples = examples
        self.df = pool
        """What they were drawn from, as lm-eval's samplers call it."""
        self.document = 0
        """Index of the document whose prompt is built next."""

    def sample(self, n: int, eval_doc: Any = None, df: Any = None) -> Sequence[Any]:
        """The document's examples; what lm-eval calls."""
        del eval_doc, df
        return self._examples[self.document][:n]


def draw(
    documents: Sequence[Any], pool: Sequence[Any], n: int, seed: int, *, apart: bool
) -> list[list[Any]]:
    """The `n` examples of each document, in document order.

    Args:
        documents: the task's, in the data set's order.
        pool: those examples are drawn from.
        n: examples a document.
        seed: of the generator; 42 on the leaderboard.
        apart: `pool` is another split than `documents`.
    """
    random = Random(seed)  # noqa: S311 - nothing secret
    order = list(range(len(documents)))
    random.shuffle(order)
    drawn: list[list[Any]] = [[] for _ in documents]
    for index in order:
        if apart:
            drawn[index] = random.sample(pool, n)
        else:
            found = random.sample(pool, n + 1)
            drawn[index] = [one for one in found if one != documents[index]][:n]
    return drawn


def _draw_as_2023(item: LoadedTask, seed: int) -> None:
    """Replace the sampler of a task that draws at random."""
    from lm_eval.api.samplers import ContextSampler

    task = item.task
    if type(task.sampler) is not ContextSampler:
        return
    pool = list(task.fewshot_docs())
    shots = int(task.config.num_fewshot or 0)
    apart = bool(task.has_training_docs()) and task.config.fewshot_split in (
        None,
        task.config.training_split,
    )
    task.sampler = _Drawn(draw(item.docs, pool, shots, seed, apart=apart), pool)


# --- instances become requests, completions become lm-eval's responses ----------------------------


class _ChatPrompt(str):
    """A conversation that passes through lm-eval as the string it expects."""

    messages: tuple[Message, ...]

    def __new__(cls, messages: tuple[Message, ...]) -> _ChatPrompt:
        made = super().__new__(cls, json.dumps([[m.role, m.content] for m in messages]))
        made.messages = messages
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> _ChatPrompt:
        return self

    def __reduce__(self) -> tuple[type[_ChatPrompt], tuple[tuple[Message, ...]]]:
        return (_ChatPrompt, (self.messages,))


def chat_prompt(
    chat_history: Iterable[Mapping[str, Any]],
    add_generation_prompt: bool = True,
) -> _ChatPrompt:
    """The chat template function that lm-eval calls.

    Every engine continues a conversation that ends with an assistant turn, which is what lm-eval
    means by `add_generation_prompt=False`.  Raises BenchmarkError where the two disagree.
    """
    messages = tuple(Message(m["role"], m["content"]) for m in chat_history)
    if add_generation_prompt == (messages[-1].role == "assistant"):
        raise BenchmarkError(
            f"lm-eval asks to {'open' if add_generation_prompt else 'continue'} an answer after "
            f"a turn of {messages[-1].role!r}; expected the other"
        )
    return _ChatPrompt(messages)


def seed_of(seed: int, task: str, doc: int, trial: int) -> int:
    """A sampling seed (31 bits) that differs between documents and trials."""
    text = f"{seed}/{task}/{doc}/{trial}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def requests_of(
    instance: Any, engine: str, seed: int, *, chat: bool, own_settings: bool = True
) -> list[Request]:
    """The requests of one lm-eval Instance, one per repeat; `own_settings`: see `Request`.

    Only generation is repeated with a new trial; a log-likelihood is the same every time.
    Raises BenchmarkError for options no engine has, and for a prompt as text where `chat`.
    """
    args, kind = instance.args, instance.request_type
    if kind == "loglikelihood_rolling":
        requests = [Request(engine, "rolling", str(args[0]))]
    elif kind == "loglikelihood":
        prompt = _prompt(args[0], instance, chat=chat)
        requests = [Request(engine, "loglikelihood", prompt, continuation=str(args[1]))]
    else:
        prompt = _prompt(args[0], instance, chat=chat)
        fields = generation(args[1], str(instance.task_name))
        return [
            Request(
                engine,
                "generate",
                prompt,
                **fields,
                seed=_seed(fields["temperature"], seed, instance, trial),
                trial=trial,
                own_settings=own_settings,
            )
            for trial in range(instance.repeats or 1)
        ]
    return requests * (instance.repeats or 1)


def _seed(temperature: float, seed: int, instance: Any, trial: int) -> int | None:
    if temperature == 0:
        return None
    return seed_of(seed, str(instance.task_name), int(instance.doc_id), trial)


def _prompt(context: Any, instance: Any, *, chat: bool) -> str | tuple[Message, ...]:
    if isinstance(context, _ChatPrompt):
        return context.messages
    if chat and context:
        raise BenchmarkError(
            f"task {instance.task_name!r} builds its prompt as text and cannot be used with "
            f"apply_chat_template; set apply_chat_template: false for it"
        )
    return str(context)


def _stripped(completion: Completion) -> Completion:
    """Without the blanks that lm-eval strips after a thought (`think_end_token`)."""
    thinks = completion.thought or completion.thought_tokens
    return replace(completion, text=completion.text.lstrip()) if thinks else completion


def response(instance: Any, completion: Completion) -> Any:
    """What lm-eval's LM methods return for one instance.

    Raises BenchmarkError where the engine answered without a log-probability.
    """
    if instance.request_type == "generate_until":
        return completion.text
    if completion.logprob is None:
        raise BenchmarkError(
            f"the engine gave no log-probability for task {instance.task_name!r}; "
            f"use an engine that scores text (vllm, transformers)"
        )
    if instance.request_type == "loglikelihood_rolling":
        return completion.logprob
    return (completion.logprob, bool(completion.is_greedy))


def _messages_of(requests: Sequence[Request]) -> tuple[Message, ...]:
    """The prompts of a document for a record: each distinct one once."""
    seen: dict[tuple[Message, ...], None] = {}
    for request in requests:
        prompt = request.prompt
        if prompt:
            seen[(Message("user", prompt),) if isinstance(prompt, str) else prompt] = None
    return tuple(message for prompt in seen for message in prompt)
