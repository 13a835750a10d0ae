"""A stored run: its typed manifest, records, figures and comparisons.

Decoded once, in `store`; no room above reads the manifest as a dictionary.  What evalkit itself
writes (`Stored`) is strict; what benchmarks, engines and judges describe (`Open`) has typed fields
for what readers use and keeps the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from evalkit.core.figures import Average, Comparison, Figure, FigureKey, Finding, Metric
from evalkit.core.requests import Json, Level
from evalkit.core.samples import SETTLED, Record, frequent
from evalkit.core.specs import CardSpec, GateSpec, PublishedFigure, RequireSpec, judge_names
from evalkit.core.votes import Vote

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = [
    "FORMAT",
    "BenchmarkEntry",
    "Bridge",
    "DatasetDescription",
    "Description",
    "EngineIdentity",
    "EngineUsage",
    "EvidenceEntry",
    "FirstPrompt",
    "GroupDescription",
    "JudgeDescription",
    "JudgeEntry",
    "Manifest",
    "ModelEntry",
    "Provenance",
    "Run",
    "State",
    "StoredBenchmark",
    "StoredJudge",
    "StoredModel",
    "StoredReport",
    "StoredSuite",
    "TaskDescription",
    "TaskEntry",
    "UsageTotals",
    "headlines",
    "tasks_below",
]

FORMAT = 2
"""Layout number of manifest.json and results.json; a reader refuses higher ones."""


class Stored(BaseModel):
    """Written by evalkit: unknown fields and wrong types are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False
    )


class Open(BaseModel):
    """A benchmark's, engine's or judge's own description: unknown fields are kept."""

    model_config = ConfigDict(
        frozen=True, extra="allow", protected_namespaces=(), allow_inf_nan=False
    )

    @property
    def all(self) -> Mapping[str, Json]:
        """Every field that was set, by name, in the order written."""
        found: dict[str, Json] = self.model_dump(mode="json", exclude_unset=True)
        return found


# --- the resolved suite ---------------------------------------------------------------------


class StoredModel(Open):
    """One model of the resolved suite."""

    role: str = "candidate"
    """candidate, baseline or published."""
    path: str | None = None
    base: str | None = None
    adapter: str | None = None
    leaderboard: bool | str = False
    figures: tuple[PublishedFigure, ...] = ()


class StoredJudge(Open):
    """One judge of the resolved suite."""

    type: str | None = None
    model: str | None = None
    require: RequireSpec = RequireSpec()


class StoredBenchmark(Open):
    """One benchmark of the resolved suite."""

    type: str
    name: str | None = None
    judge: str | tuple[str, ...] | None = None
    data: Json = None
    """The suite's own data in place of the benchmark's public set."""

    @property
    def entry(self) -> str:
        """The name rows, margins and claims use."""
        return self.name or self.type


class StoredReport(Open):
    """The suite's `report` section."""

    level: Level = 0.95
    examples: int = 6
    formats: tuple[str, ...] = ("html", "markdown")


class StoredSuite(Open):
    """The resolved suite; values that only earlier versions knew are kept and ignored."""

    name: str | None = None
    models: Mapping[str, StoredModel] = Field(default_factory=dict)
    judges: Mapping[str, StoredJudge] = Field(default_factory=dict)
    benchmarks: tuple[StoredBenchmark, ...] = ()
    gate: GateSpec | None = None
    report: StoredReport = StoredReport()
    card: CardSpec = CardSpec()
    seed: int = 0


# --- what was run ---------------------------------------------------------------------------


class EngineIdentity(Open):
    """What decides an engine's answers: `Engine.identity`."""

    type: str | None = None
    version: str | None = None
    dtype: str | None = None
    model: str | None = None


class FirstPrompt(Stored):
    """A model's first request in a benchmark, as the model sees it."""

    benchmark: str
    text: str | None
    """Special tokens spelled out; None: it could not be rendered."""
    bos: str | None = None
    """`one`, `doubled`, `missing` or `none` (the tokenizer uses none)."""
    n_tokens: int | None = None
    error: str | None = None
    """Why it could not be rendered."""


class Provenance(Open):
    """Where a model's weights came from."""

    source: Json = None
    base: Json = None
    adapter: Mapping[str, Json] | None = None
    """source, revision, config, ...; None: no adapter, or none known."""
    merge_proof: Mapping[str, Json] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def repository(self) -> str | None:
        """The hub repository: the adapter's, else the model's own; None: from elsewhere."""
        place = self.adapter or self.source
        found = place.get("repo") if isinstance(place, Mapping) else None
        return found if isinstance(found, str) else None


class ModelEntry(Stored):
    """One model that was run; the fields of `PreparedModel`, and how it was served."""

    name: str
    role: str = ""
    fingerprint: str | None = None
    """None: not known (imports, pinned baselines)."""
    template_source: str | None = None
    chat_template: str | None = None
    trust_remote_code: bool = False
    chat_template_kwargs: Mapping[str, Json] = Field(default_factory=dict)
    thinking: Mapping[str, Json] = Field(default_factory=dict)
    """Marks and budget of its thoughts, where the suite gives them."""
    generation: Mapping[str, Json] = Field(default_factory=dict)
    """Settings of its generation_config.json that its engine applies where a benchmark leaves them
    open and does not say `generation_config: none`."""
    generation_left_out: tuple[str, ...] = ()
    """Those its engine cannot apply."""
    provenance: Provenance = Provenance()
    engine: EngineIdentity = EngineIdentity()
    first_prompts: tuple[FirstPrompt, ...] = ()


class JudgeEntry(Open):
    """One judge of the run, as its protocol describes it."""

    name: str
    model: str | None = None
    """What is behind it, where the name does not say so."""
    engine: EngineIdentity = EngineIdentity()
    protocol: str | None = None
    caps: Mapping[str, Json] = Field(default_factory=dict)
    """max_cost_usd and max_requests, where set."""
    local: bool = False
    """A model of the suite judges."""
    changed: tuple[str, ...] = ()
    """Once sealed: settings that the server refuses, so that its replies were made without them."""


class TaskEntry(Stored):
    """One task of a benchmark."""

    n_samples: int = 0
    metrics: tuple[Metric, ...] = ()
    """The primary metric first."""


class DatasetDescription(Open):
    """The data set that a task's documents are from."""

    path: str | None = None
    """Of the hub (OWNER/NAME), else where the files are."""
    name: str | None = None
    """Its configuration."""
    revision: str | None = None
    remarks: tuple[str, ...] = ()
    """How the documents depart from the official ones."""


class JudgeDescription(Open):
    """Who judges a benchmark, and by whose prompts, as the judge's protocol describes it."""

    protocol: str | None = None
    evaluator: str | None = None
    """Of alpaca_eval."""
    model: str | None = None
    prompt_sha256: str | None = None
    alpaca_eval: str | None = None
    """The version of alpaca_eval whose rules are applied."""

    @property
    def who(self) -> str:
        """The judging model, else the evaluator; empty: not said."""
        return self.model or self.evaluator or ""


class TaskDescription(Open):
    """What decides the scores of one task."""

    version: Json = None
    output_type: str | None = None
    """lm-eval's: `multiple_choice`, `generate_until`, ..."""
    dataset: DatasetDescription | None = None
    documents: int | None = None
    shots: int | None = None
    num_fewshot: Json = None
    """Shots as an import found them."""
    repeats: int | None = None
    generation: Json = None
    generation_kwargs: Json = None
    """Of an import."""

    @property
    def n_shots(self) -> int | None:
        """Worked examples in the prompt; None: not said."""
        said = self.num_fewshot if self.shots is None else self.shots
        return said if isinstance(said, int) and not isinstance(said, bool) else None


class GroupDescription(Open):
    """A group of tasks that lm-eval aggregates."""

    version: Json = None
    tasks: tuple[str, ...] = ()


class Description(Open):
    """What decides a benchmark's scores: `Benchmark.describe()`, or what an import found."""

    type: str | None = None
    version: Json = None
    mode: str | None = None
    """MT-Bench: `single` or `pairwise`."""
    format: str | None = None
    """Recorded results: the tool whose files they are from."""
    data: Json = None
    reference: Json = None
    """AlpacaEval: the model that answers are compared with."""
    judge: Mapping[str, Json] | None = None
    tasks: Mapping[str, Json] = Field(default_factory=dict)
    """By task, where the benchmark describes each task."""
    groups: Mapping[str, Json] = Field(default_factory=dict)
    """By group, likewise."""
    lm_eval: str | None = None
    """lm-eval's version."""
    system_instruction: str | None = None
    apply_chat_template: Json = None
    fewshot_as_multiturn: Json = None
    max_tokens: Json = None
    generation_config: str | None = None
    """`none`: models' own generation settings are not applied."""
    temperature: Json = None
    temperatures: Json = None
    """MT-Bench: by category."""
    settings: str | None = None
    """A leaderboard's: `2023` or `harness`."""
    files: tuple[Mapping[str, Json], ...] = ()
    """file and sha256 of each, of an import."""
    model_in_file: str | None = None
    models_in_files: tuple[str, ...] = ()
    """What the imported files call the model, with its arguments."""

    @model_validator(mode="after")
    def _typed(self) -> Self:
        """What is typed when it is read is checked when the run is."""
        _ = self.judging
        for name in self.tasks:
            self.task(name)
        for name in self.groups:
            self.group(name)
        return self

    @property
    def judging(self) -> JudgeDescription:
        """Who judges; nothing where nobody does, or nobody says.

        Of a panel: what its members say, each value once, separated by commas.
        """
        said = self.judge or {}
        if not isinstance(panel := said.get("panel"), Mapping):
            return JudgeDescription.model_validate(said)
        members = [JudgeDescription.model_validate(member) for member in panel.values()]
        values = {
            name: dict.fromkeys(value for m in members if (value := getattr(m, name)))
            for name in JudgeDescription.model_fields
        }
        return JudgeDescription(**{name: ", ".join(v) or None for name, v in values.items()})

    @property
    def n_questions(self) -> int | None:
        """Size of its own data set; None: not said."""
        found = self.data.get("records") if isinstance(self.data, Mapping) else None
        return found if isinstance(found, int) else None

    def task(self, name: str) -> TaskDescription:
        """What is said of a task; nothing where it is not described."""
        found = self.tasks.get(name)
        return TaskDescription.model_validate(found if isinstance(found, Mapping) else {})

    def group(self, name: str) -> GroupDescription:
        """What is said of a group of tasks, likewise."""
        found = self.groups.get(name)
        return GroupDescription.model_validate(found if isinstance(found, Mapping) else {})


class Bridge(Stored):
    """A sample of a benchmark's answers, judged by a second judge, too (`Outcome.rejudged`)."""

    judge: str
    """The second judge's name."""
    description: Description
    """The benchmark as runs that this judge judges describe it."""
    sample: int
    """Answers drawn per model and task, by a random choice with the seed."""
    seed: int


class BenchmarkEntry(Stored):
    """One benchmark entry of the suite."""

    name: str
    description: Description = Description()
    n_samples: int = 0
    tasks: Mapping[str, TaskEntry] = Field(default_factory=dict)
    """By name, in report order."""
    averages: tuple[Average, ...] = ()
    """Each after those it is made of."""
    judge: str | tuple[str, ...] | None = None
    """Name of the judge in the suite, or of a panel's members; None: nothing is judged, or the
    judge is unknown."""
    bridge: Bridge | None = None
    """What makes runs of a second judge comparable with this one; None: nothing does."""

    @property
    def judges(self) -> tuple[str, ...]:
        """Names of its judges; empty: none, or unknown."""
        return judge_names(self.judge)

    @property
    def kind(self) -> str:
        """The benchmark's type."""
        return self.description.type or self.name

    @property
    def metrics(self) -> dict[str, tuple[Metric, ...]]:
        """By task, the primary metric first."""
        return {task: about.metrics for task, about in self.tasks.items()}

    def metric(self, task: str, name: str) -> Metric | None:
        """A declared metric, of a task or of an average."""
        own = self.tasks[task].metrics if task in self.tasks else ()
        averaged = (a.metric for a in self.averages if a.task == task)
        return next((m for m in (*own, *averaged) if m.name == name), None)

    def average(self, key: FigureKey) -> Average | None:
        """The average that a figure is; None: it is none, or one of a task's own metrics."""
        if key.category is not None or any(
            m.name == key.metric for m in self.metrics.get(key.task, ())
        ):
            return None
        places = ((a, (a.task, a.metric.name)) for a in self.averages)
        return next((a for a, place in places if place == (key.task, key.metric)), None)

    @cached_property
    def headlines(self) -> tuple[FigureKey, ...]:
        """The headline figures, in the order declared."""
        return headlines(self.name, self.metrics, self.averages)

    @cached_property
    def primaries(self) -> frozenset[FigureKey]:
        """The primary figure of each task or group, be it a headline or a detail."""
        names = {t: m.name for t, found in self.metrics.items() for m in found if m.primary}
        for average in self.averages:
            if average.metric.primary or average.task not in names:
                names[average.task] = average.metric.name
        return frozenset(FigureKey(self.name, task, metric) for task, metric in names.items())

    @property
    def whole(self) -> FigureKey | None:
        """A leaderboard's average; None: it has none."""
        found = (a for a in self.averages if a.columns)
        return next((FigureKey(self.name, a.task, a.metric.name) for a in found), None)


def headlines(
    benchmark: str, tasks: Mapping[str, Sequence[Metric]], averages: Sequence[Average]
) -> tuple[FigureKey, ...]:
    """The headline figures of a benchmark: the only definition there is.

    The primary metric of every task; but where tasks are averaged into a primary average, that
    average instead of them, or beside them where they are its columns.  An average over tasks
    that the run lacks is no headline.  Holm's correction, the gate and claims on a whole benchmark
    are over this set; all other figures are details, shown and corrected separately.
    """
    complete = [
        a
        for a in averages
        if a.metric.primary and a.of and set(tasks_below(a, averages)) <= set(tasks)
    ]
    details = {t for a in complete if not a.columns for t in tasks_below(a, averages)}
    details |= {a.task for a in averages}
    own = [
        (task, m.name)
        for task, found in tasks.items()
        for m in found
        if m.primary and task not in details
    ]
    wanted = {*own, *((a.task, a.metric.name) for a in complete)}
    order = [(task, m.name) for task, found in tasks.items() for m in found]
    order += [(a.task, a.metric.name) for a in averages]
    return tuple(FigureKey(benchmark, *place) for place in dict.fromkeys(order) if place in wanted)


def tasks_below(average: Average, averages: Sequence[Average]) -> dict[str, str]:
    """Every task an average is made of, with the first metric it enters by."""
    known = {(a.task, a.metric.name): a for a in averages}
    found: dict[str, str] = {}
    for task, metric in average.of:
        inner = known.get((task, metric))
        below = {task: metric} if inner is None else tasks_below(inner, averages)
        found = {**below, **found}
    return found


class EvidenceEntry(Stored):
    """What a model's figures for one benchmark were made from instead of running it."""

    model: str
    entry: str
    """Benchmark entry."""
    kind: str
    """Format: `alpaca_eval`, `mt_bench`, `lm_eval`."""
    files: tuple[Mapping[str, Json], ...] = ()
    """file and sha256 of each."""
    description: Description = Description()
    """As `Benchmark.describe()`, as far as the files say."""
    n_records: int = 0
    findings: tuple[Finding, ...] = ()


class EngineUsage(Open):
    """Tokens and cost of one engine's replies, those of the cache left out."""

    prompt_tokens: int = 0
    reused_tokens: int = 0
    """Of the prompt tokens, those of shared prefixes already computed."""
    completion_tokens: int = 0
    cost_usd: float = 0.0


class UsageTotals(Open):
    """Time, requests, tokens and money over all sessions."""

    sessions: int = 0
    asked: int = 0
    """Requests that engines answered; cache hits left out."""
    from_cache: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    seconds: float = 0.0
    spent: Mapping[str, Mapping[str, float]] = Field(default_factory=dict)
    """`requests` and `cost_usd` by engine with a cap."""
    engines: Mapping[str, EngineUsage] = Field(default_factory=dict)
    """By model, and by judge as `judge:NAME`; empty in runs of before it was kept."""


class Manifest(Stored):
    """manifest.json.

    It holds no times that answers do not depend on, so that the same run gives the same bytes.
    Keys whose meaning does not apply are absent.
    """

    format: int = FORMAT
    run_id: str
    """12 hex digits: a hash of what decides the results."""
    suite_name: str | None = None
    suite_file: str | None = None
    sealed: bool = False
    """All samples have a record, in canonical order, and results.json belongs to them."""
    limit: int | None = None
    """`--limit`: samples per task at most."""
    publishable: bool = True
    """False for limited runs and for damaged evidence."""
    suite: StoredSuite = StoredSuite()
    models: tuple[ModelEntry, ...] = ()
    """Models that were run, in suite order."""
    judges: tuple[JudgeEntry, ...] = ()
    benchmarks: tuple[BenchmarkEntry, ...] = ()
    """In suite order."""
    evidence: tuple[EvidenceEntry, ...] = ()
    """By benchmark entry, then model; empty where everything was run."""
    versions: Mapping[str, str] = Field(default_factory=dict)
    """Version by distribution."""
    python: str | None = None
    platform: str | None = None
    commands: tuple[str, ...] = ()
    consented: tuple[str, ...] = ()
    """Code that came with the suite, its tasks or models and ran by the user's consent, in words,
    with what asked for it."""
    git_commit: str | None = None
    seed: int = 0
    date: str | None = None
    """When the run was begun (ISO 8601), where a chat template prints the date; all sessions of
    the run render with it."""
    work: Mapping[str, Mapping[str, int]] = Field(default_factory=dict)
    """Once sealed: tokens that engines planned and computed, over all sessions."""
    checks: Mapping[str, Json] = Field(default_factory=dict)
    """Once sealed: what engines verified of themselves."""
    usage: UsageTotals | None = None
    """Once sealed; absent of fake and recorded engines, which cost nothing."""


State: TypeAlias = Literal["finished", "unfinished", "records missing", "figures differ", "changed"]
"""Whether a run's figures may be relied on: a finished one's may.  The words are `draw`'s."""


@dataclass(frozen=True)
class Run:
    """A stored run: everything reports, gates and cards are made from."""

    folder: Path
    manifest: Manifest
    records: tuple[Record, ...]
    """Canonical order."""
    figures: tuple[Figure, ...]
    """As stored; empty where the run is not sealed."""
    comparisons: tuple[Comparison, ...]
    """As stored, likewise."""
    votes: tuple[Vote, ...] = ()
    """What people said of pairs of its answers, in the order imported."""
    changed: tuple[str, ...] = ()
    """What was changed after the run was sealed, in words; empty: nothing, or nobody can tell."""
    unreadable: str = ""
    """Why its records cannot be read, so that there are none here; empty: they can."""
    differing: tuple[str, ...] = ()
    """Figures that its records do not give, in words, as far as `compare.recompute` looked."""
    draw_html: ClassVar[Callable[[Run], str] | None] = None
    """What a notebook shows; set by the room that draws."""

    def __repr__(self) -> str:
        counted = (
            (len(self.models), "model"),
            (len(self.benchmarks), "benchmark"),
            (len(self.records), "sample"),
        )
        said = ", ".join(f"{n:,} {what}{'s' * (n != 1)}" for n, what in counted)
        return f"<Run {self.manifest.suite_name}/{self.manifest.run_id}: {said}; {self.state}>"

    def _repr_html_(self) -> str | None:
        draw = type(self).draw_html
        return None if draw is None else draw(self)

    @property
    def state(self) -> State:
        """The worst that is known of it."""
        if self.unreadable:
            return "records missing"
        if not self.manifest.sealed:
            return "unfinished"
        if self.differing:
            return "figures differ"
        return "changed" if self.changed else "finished"

    @property
    def faults(self) -> tuple[str, ...]:
        """What its state rests on, in words; empty where `state` says it all."""
        return (self.unreadable,) if self.unreadable else (*self.differing, *self.changed)

    @cached_property
    def benchmarks(self) -> tuple[BenchmarkEntry, ...]:
        """In suite order, then those that have figures only."""
        known = {b.name: b for b in self.manifest.benchmarks}
        names = dict.fromkeys([*known, *(f.key.benchmark for f in self.figures)])
        return tuple(known.get(name) or BenchmarkEntry(name=name) for name in names)

    def benchmark(self, name: str) -> BenchmarkEntry:
        """The entry of that name; one without tasks where the run has none."""
        return next((b for b in self.benchmarks if b.name == name), BenchmarkEntry(name=name))

    @property
    def headlines(self) -> tuple[FigureKey, ...]:
        """Of all benchmarks, in their order."""
        return tuple(key for b in self.benchmarks for key in b.headlines)

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Models that were run, in suite order; then those with figures only; then the suite's."""
        run = (m.name for m in self.manifest.models)
        recorded = (r.model for r in self.records)
        stated = (f.model for f in self.figures)
        return tuple(dict.fromkeys([*run, *recorded, *stated, *sorted(self.manifest.suite.models)]))

    def model(self, name: str) -> ModelEntry | None:
        """The entry of a model that was run; None for published models."""
        return next((m for m in self.manifest.models if m.name == name), None)

    def role(self, name: str) -> str:
        """candidate, baseline or published; empty: unknown."""
        entry, spec = self.model(name), self.manifest.suite.models.get(name)
        return entry.role if entry else spec.role if spec else ""

    @cached_property
    def _figures(self) -> Mapping[tuple[str, FigureKey], Figure]:
        return {(f.model, f.key): f for f in self.figures}

    def figure(self, model: str, key: FigureKey) -> Figure | None:
        """A model's figure, as stored."""
        return self._figures.get((model, key))

    @cached_property
    def _records(self) -> Mapping[tuple[str, str], tuple[Record, ...]]:
        found: dict[tuple[str, str], list[Record]] = {}
        for record in self.records:
            found.setdefault((record.model, record.benchmark), []).append(record)
        return {place: tuple(records) for place, records in found.items()}

    def records_of(self, model: str, benchmark: str) -> tuple[Record, ...]:
        """One model's records of one benchmark entry, in canonical order."""
        return self._records.get((model, benchmark), ())

    def description(self, model: str, benchmark: str) -> Description:
        """What decided a model's scores: its evidence's description, else the entry's."""
        for evidence in self.manifest.evidence:
            if (evidence.model, evidence.entry) == (model, benchmark):
                return evidence.description
        return self.benchmark(benchmark).description

    @property
    def unanswered_reasons(self) -> str:
        """Why samples are unanswered, as `frequent` has it."""
        return frequent(reason for r in self.records for reason in r.outcome.unanswered)

    @property
    def settled(self) -> tuple[int, str]:
        """How many samples would have no answer again, and why."""
        outcomes = [r.outcome for r in self.records]
        found = [o for o in outcomes if o.status in SETTLED and o.is_missing]
        return len(found), frequent(o.error or o.status for o in found)

    @cached_property
    def local_judges(self) -> Mapping[str, tuple[str, ...]]:
        """By benchmark entry, the judges that are models of the suite, in its order.

        Their judgments are not validated against people.
        """
        local = {judge.name for judge in self.manifest.judges if judge.local}
        found: dict[str, dict[str, None]] = {}
        for entry in self.manifest.benchmarks if local else ():
            for name in filter(local.__contains__, entry.judges):
                found.setdefault(entry.name, {})[name] = None
        for record in self.records if local else ():
            for judgment in record.outcome.judgments:
                if judgment.judge in local:
                    found.setdefault(record.benchmark, {})[judgment.judge] = None
        return {entry: tuple(names) for entry, names in found.items()}

    def to_frame(self, what: str = "samples") -> DataFrame:
        """The pandas frame of a table: its columns are in `frames.py`.  Raises ExportError."""
        from evalkit.core.frames import frame

        return frame([self], what)
