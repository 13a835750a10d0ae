"""Specs: what users write.  Pydantic, frozen, unknown fields refused, every field documented.

The string under each field is its documentation: JSON Schema, `evalkit schema` and the
editor's hover text are made from it.  Benchmarks, engines and judges subclass the base specs
here in their own file; `plugins.py` finds them by `type`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from evalkit.core.figures import Unit
from evalkit.core.requests import Json

if TYPE_CHECKING:
    from evalkit.core.thoughts import Marks

__all__ = [
    "BenchmarkSpec",
    "CardSpec",
    "DataSpec",
    "EngineSpec",
    "ExportSpec",
    "GateSpec",
    "JudgeSpec",
    "LocalJudgeSpec",
    "ModelSpec",
    "PublishedFigure",
    "RecordedJudgeSpec",
    "RepeatSpec",
    "ReportSpec",
    "RequireSpec",
    "Spec",
    "Suite",
    "ThinkingSpec",
    "judge_names",
]

Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=120,
        pattern=r"^[^\s:/\\,.\x00-\x1f\x7f]([^:/\\,\x00-\x1f\x7f]*[^\s:/\\,\x00-\x1f\x7f])?$",
    ),
]
"""Names appear in commands as RUN:NAME and A,B and name folders: so no colon, comma, slash or
control character, no dot at the start, no space at either end."""

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


def judge_names(judge: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The names in a benchmark's `judge`: one, several, or none."""
    return (judge,) if isinstance(judge, str) else judge or ()


class Spec(BaseModel):
    """Base of everything users write."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=()
    )


class EngineSpec(Spec):
    """What every engine's settings have in common."""

    operational: ClassVar[frozenset[str]] = frozenset()
    """Fields that change cost, speed or timeouts, never an answer: not part of a run's identity."""

    type: str = "vllm"
    """Module of the engines room (vllm, transformers, openai, fake) or a dotted path."""


class PublishedFigure(Spec):
    """A number someone else published, for a model without weights."""

    benchmark: str
    """Entry name or type of the benchmark."""
    metric: str
    """Metric name as evalkit prints it."""
    value: float
    """In the unit leaderboards print."""
    task: str | None = None
    """Task within the benchmark, where it has several."""
    source: str = Field(min_length=1)
    """Where it was published (URL or citation)."""
    date: str | None = None
    """When, as YYYY-MM-DD."""
    settings: str | None = None
    """Shots, judge, template, as far as the source says."""


class ThinkingSpec(Spec):
    """How a model thinks before it answers."""

    start: str | None = Field(default=None, min_length=1)
    """What begins a thought; default: the known mark in the chat template or the tokenizer."""
    end: str | None = Field(default=None, min_length=1)
    """What ends a thought; given together with `start`."""
    budget: int | None = Field(default=None, ge=1)
    """Most tokens of a thought, beside those of the answer, where the engine can tell them apart
    (vllm, transformers); default: both share the answer's limit, as in lm-eval."""

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.start is None) != (self.end is None) or (self.end and self.start == self.end):
            raise ValueError("`start` and `end` are two different marks; write both, or neither")
        return self

    @property
    def marks(self) -> Marks | None:
        """As written; None: the model's own."""
        from evalkit.core.thoughts import Marks  # not for stored runs

        return Marks(self.start, self.end) if self.start and self.end else None


class ModelSpec(Spec):
    """One model of the comparison."""

    role: Literal["candidate", "baseline", "published"] = "candidate"
    """`candidate` is what you made, `baseline` what it must beat, `published` has no weights."""
    path: str | None = None
    """A folder, a hub repository, or `package://module/file.gguf`."""
    revision: str | None = None
    """Commit of the hub repository; a full hash is what makes a run repeatable."""
    base: str | None = None
    """With `adapter`: what the adapter was trained on (same forms as `path`)."""
    base_revision: str | None = None
    """Commit of the base's hub repository."""
    adapter: str | None = None
    """A PEFT adapter (folder or hub repository), merged into `base` and proved before use."""
    adapter_revision: str | None = None
    """Commit of the adapter's hub repository."""
    allow_different_base: str | None = None
    """Name of the base the adapter was trained on, written out to accept another base."""
    chat_template: str | None = None
    """A Jinja file, `tokenizer:NAME` (one of several templates it has), or `fastchat:NAME`;
    default: the adapter's own, else the tokenizer's."""
    chat_template_kwargs: dict[str, Json] = Field(default_factory=dict)
    """More variables for the chat template, such as `enable_thinking: false`; also sent to servers
    that take them (vLLM, SGLang)."""
    thinking: ThinkingSpec | None = None
    """Marks and limit of the model's thoughts, which are kept apart: never scored, judged, measured
    or sent back.  Default: known marks of its template or tokenizer, and of a server's replies."""
    dtype: Dtype = "auto"
    """Type of the merged checkpoint's weights; auto: the base's own."""
    trust_remote_code: bool = False
    """Run code that comes with the model; shown in the report."""
    engine: SerializeAsAny[EngineSpec] | None = None
    """Serves this model, in place of the suite's `engine`."""
    leaderboard: bool | Annotated[str, Field(min_length=1)] = False
    """Take figures from the leaderboard tables that alpaca-eval ships: true for the row with
    the model's name, or the row's name."""
    figures: tuple[PublishedFigure, ...] = ()
    """Figures with their sources, for `published` models and those on a `recorded` engine."""

    @field_validator("chat_template_kwargs")
    @classmethod
    def _variables_only(cls, value: dict[str, Json]) -> dict[str, Json]:
        taken = {"conversation", "messages", "chat_template", "tokenize", "add_generation_prompt"}
        for name in value:
            if name in {*taken, "continue_final_message"}:
                raise ValueError(f"{name!r} is set by evalkit itself, for every request; remove it")
        return value

    @model_serializer(mode="wrap")
    def _without_unset(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Later fields only where set: runs and fingerprints from before them stay valid."""
        fields: dict[str, Any] = dump(self)
        later = ("chat_template_kwargs", "thinking")
        return {name: value for name, value in fields.items() if value or name not in later}


class RequireSpec(Spec):
    """What a judge must meet, or its comparisons get no verdict; null requires nothing.

    A judge fails where the whole 95% interval is beyond the limit; what was not measured fails
    nothing.
    """

    position_bias: Annotated[float, Field(ge=0, le=50)] | None = 20.0
    """Most preference for the answer shown first (or second), in percentage points from 50.
    On LLMBar GPT-4 has 1 to 8, ChatGPT 15 (verdicts of Zeng et al. 2024); 50 is blind."""
    verdict_flips: Annotated[float, Field(ge=0, le=100)] | None = 40.0
    """Most verdicts that flip with the order, in percent of pairs.  GPT-4 flips 16 on MT-Bench and
    35 on answers of one model (Zheng et al. 2023), a coin 50."""
    length_bias: Annotated[float, Field(ge=0, le=50)] | None = 25.0
    """Most preference for the longer answer, in percentage points from 50, where the same model's
    answers are longer and shorter than the reference.  Longer answers may be better, people prefer
    them by 14 (alpaca_eval's evaluators): so only a judge that hardly sees anything else fails."""
    self_agreement: Annotated[float, Field(ge=0, le=100)] | None = 65.0
    """Least agreement of repeated judgments, in percent: same verdicts, or for ratings the
    intraclass correlation.  Two people agree on 66 (Dubois et al. 2023), a coin with itself on
    50."""
    self_preference: Annotated[float, Field(ge=0, le=100)] | None = 20.0
    """Most preference for answers of the judge's own family, in percentage points more than other
    judges of the panel have.  GPT-4 has 10, Claude-v1 25 (Zheng et al. 2023)."""
    unparsable: Annotated[float, Field(ge=0, le=100)] | None = 10.0
    """Most replies without a readable verdict, in percent: they are left out, and not at random."""
    people: Annotated[float, Field(ge=0, le=100)] | None = 60.0
    """Least agreement with people, in percent, where there are labels.  GPT-4 has 66 with ties
    counted, as people have among themselves (Zheng et al. 2023), a coin 50 at most."""
    probe: Annotated[float, Field(ge=0, le=100)] | None = None
    """Least accuracy on pairs with an objective label (benchmark `judgebench`), in percent.
    Default: nothing is required, since GPT-4o is right on 51 to 57 (Tan et al. 2024)."""


class RepeatSpec(Spec):
    """How often a judge judges the same again, to measure whether it agrees with itself."""

    times: int = Field(default=1, ge=0, le=20)
    """Repetitions of a judgment; 0: none."""
    share: float = Field(default=0.1, ge=0, le=1)
    """Share of the judgments that are repeated, drawn by the sample's name."""


class JudgeSpec(Spec):
    """What every judge has in common; the rest of its settings are its engine's."""

    protocol: Literal["auto", "original", "logprob", "text"] = "auto"
    """`original`: the benchmark's published prompts and parser; `logprob`, `text`: evalkit's own
    prompts, read through token log-probabilities or the written reply.  auto: `logprob` for a
    model of the suite, `original` for a judge behind an API."""
    judge_max_tokens: int = Field(default=2048, ge=1)
    """Most tokens of a written reply."""
    judge_temperature: float = Field(default=0.0, ge=0)
    """Sampling temperature of a written reply."""
    repeats: RepeatSpec = RepeatSpec()
    """Written replies that are requested again; they enter no score."""
    require: RequireSpec = RequireSpec()
    """What it must meet before anything is concluded from its judgments."""

    @property
    def left_alone(self) -> set[str]:
        """Of `repeats` and `require`, those that are the default: they name no run anew."""
        same = {"repeats": self.repeats == RepeatSpec(), "require": self.require == RequireSpec()}
        return {name for name, is_default in same.items() if is_default}


class LocalJudgeSpec(JudgeSpec):
    """A model of the suite as judge; not loaded a second time."""

    type: Literal["engine"] = "engine"
    """`engine`: a model of this suite judges."""
    model: str
    """Name of the model in `models`."""


class RecordedJudgeSpec(JudgeSpec):
    """Judgments read from files in place of a judge; no request is sent."""

    type: Literal["recorded"] = "recorded"
    """`recorded`: judgments are read from files."""
    model: str
    """What judged, as the evidence says (for example `gpt-4`)."""
    judgments: dict[str, dict[str, str]]
    """By benchmark entry, then model of the suite: a file of judgments (alpaca_eval annotations,
    FastChat judgments), relative to the suite, or the name of a data set."""


class DataSpec(Spec):
    """Where public data sets come from."""

    mirror: str | None = None
    """A folder made by `evalkit data pull` (or laid out like one), relative to the suite."""


class BenchmarkSpec(Spec):
    """What every benchmark's settings have in common."""

    type: str
    """Module of the benchmarks room (alpaca_eval, mt_bench, lm_eval, ...) or a dotted path."""
    name: Name | None = None
    """Unique in the suite; default: the type, with the version where there are several."""
    judge: str | tuple[str, ...] | None = None
    """Name of a judge in `judges`, or a list of several: then each judges every answer, and its
    score is the mean of their judgments.  Only for judged benchmarks."""
    judge_minimum: int | None = Field(default=None, ge=1)
    """Of several judges, how many must give a valid judgment for an answer to have a score;
    default: more than half."""
    data: str | None = None
    """A folder or file relative to the suite; default: the benchmark's public data set."""
    generation_config: Literal["model", "none"] = "model"
    """What decides generation settings that the benchmark leaves open (repetition_penalty, min_p,
    top_k, ...): `model`, the model's own generation_config.json, as in lm-eval's hf backend,
    FastChat and alpaca_eval's huggingface_local; `none`, nothing."""

    @model_serializer(mode="wrap")
    def _without_unset(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Later fields only where set, likewise."""
        fields: dict[str, Any] = dump(self)
        usual = {"generation_config": "model", "judge_minimum": None, "baseline": None}
        return {n: v for n, v in fields.items() if n not in usual or v != usual[n]}

    @property
    def entry(self) -> str:
        """The name rows, margins and claims use."""
        return self.name or self.type

    @field_validator("judge")
    @classmethod
    def _several(cls, judge: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        """A list of one is that one.  Raises ValueError: empty, or one named twice."""
        names = judge_names(judge)
        if judge is not None and len(set(names)) < max(len(names), 1):
            raise ValueError(
                f"{list(names)!r}; expected the name of a judge, or several different ones"
            )
        return names[0] if len(names) == 1 else judge

    @property
    def judges(self) -> tuple[str, ...]:
        """Names of its judges; empty: none."""
        return judge_names(self.judge)

    @property
    def opponents(self) -> tuple[str, ...]:
        """Models of the suite that every scored model is compared with: they answer, too."""
        return ()


Margin: TypeAlias = Annotated[float, Field(ge=0)]


class GateSpec(Spec):
    """When a checkpoint passes."""

    baseline: str
    """Model the candidate must not be worse than."""
    margins: Mapping[str, Margin | Mapping[Unit, Margin]] = Field(default_factory=dict)
    """Allowed loss per benchmark, or `benchmark/task`, in its own unit; `default` for the rest.  A
    number, or one a unit: `default: {percent: 3, points: 0.3}`; percent stands for percentage
    points, points for those of 10."""
    required: tuple[str, ...] = ()
    """Benchmarks (or `benchmark/task`) that must pass; empty: all but `warn_only`."""
    warn_only: tuple[str, ...] = ()
    """Benchmarks (or `benchmark/task`) that are shown and never fail the gate."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """One-sided error probability."""
    power: float = Field(default=0.8, gt=0.5, lt=1)
    """Target power: the probability that an equal model passes."""
    on_inconclusive: Literal["fail", "warn"] = "warn"
    """What an inconclusive comparison does.  A required one without samples of both models is a
    failure, with exit code 3."""

    def default_problem(self, units: Mapping[str, Unit]) -> str:
        """Why the default margin cannot stand for figures in these units; empty: it can.

        Args:
            units: By the name of a benchmark that has no margin of its own.
        """
        given = self.margins.get("default")
        names = {unit: [n for n, of in units.items() if of == unit] for unit in units.values()}
        lacking = [unit for unit in names if isinstance(given, Mapping) and unit not in given]
        if given is None or not (lacking or (len(names) > 1 and not isinstance(given, Mapping))):
            return ""
        said = "; ".join(f"{unit}: {', '.join(of)}" for unit, of in names.items())
        known = given if isinstance(given, Mapping) else dict.fromkeys([*names][:1], given)
        each = ", ".join(f"{unit}: {known.get(unit, 'NUMBER')}" for unit in names)
        return (
            f"{given!r} is not a margin in every unit that it stands for ({said}); write one for "
            f"each, as in `default: {{{each}}}`"
        )


class ReportSpec(Spec):
    """What is written beside the records."""

    formats: tuple[Literal["html", "markdown", "card"], ...] = ("html", "markdown")
    """Files to render."""
    level: float = Field(default=0.95, gt=0, lt=1)
    """Confidence level of intervals."""
    examples: int = Field(default=6, ge=0, le=200)
    """Answers shown side by side, per benchmark."""
    charts: Literal["bars"] = "bars"
    """How figures by category are drawn: bars with intervals."""


class CardSpec(Spec):
    """What a model card says that no run can know; `evalkit card` reads it from stored runs."""

    license: str | None = None
    """The hub's identifier, such as `mit` or `apache-2.0`."""
    base_model: str | None = None
    """The base's hub repository, where models lie in folders."""
    datasets: tuple[str, ...] = ()
    """Hub ids of what the model was trained on."""
    language: tuple[str, ...] = ()
    """ISO 639-1 codes."""
    tags: tuple[str, ...] = ()
    """Of the hub."""
    columns: dict[str, dict[str, str]] = Field(default_factory=dict)
    """More columns of the tables, by heading (`Size`, `Alignment`, `License`), then by model."""


class ExportSpec(Spec):
    """What every format that runs are exported to has in common."""

    format: str = ""
    """The format by its name, or a dotted path."""
    models: tuple[str, ...] = ()
    """Only these models; empty: all."""
    figures_only: bool = False
    """Leave out all texts: prompts, answers, judgments."""
    allow_unpublishable: bool = False
    """Write limited runs and damaged evidence too, marked as such."""


class Suite(Spec):
    """A comparison: models, how they are served, the benchmarks, who judges."""

    name: Name
    """Names the folder under reports/."""
    models: dict[Name, ModelSpec] = Field(min_length=1)
    """By the name tables show."""
    engine: SerializeAsAny[EngineSpec] = EngineSpec()
    """How models are served."""
    judges: dict[Name, SerializeAsAny[JudgeSpec]] = Field(default_factory=dict)
    """By the name benchmarks refer to."""
    benchmarks: tuple[SerializeAsAny[BenchmarkSpec], ...] = Field(min_length=1)
    """In report order."""
    gate: GateSpec | None = None
    """For `evalkit gate`; `run` does not apply it."""
    report: ReportSpec = ReportSpec()
    """What is written."""
    card: CardSpec = CardSpec()
    """What the candidate's model card says besides figures."""
    data: DataSpec = DataSpec()
    """Where public data sets are looked up before anything is downloaded."""
    seed: int = 0
    """Seeds sampling requests and bootstraps."""

    def decisive(self) -> dict[str, Any]:
        """What decides answers and figures, as JSON: everything but operational fields."""
        judges = {
            name: (set(spec.operational) if isinstance(spec, EngineSpec) else set())
            | spec.left_alone
            for name, spec in self.judges.items()
        }
        models = {
            name: {"engine": set(spec.engine.operational)}
            for name, spec in self.models.items()
            if spec.engine is not None
        }
        left_out: Any = {
            "engine": set(self.engine.operational),
            "judges": judges,
            "models": models,
            "card": True,
        }
        return self.model_dump(mode="json", exclude=left_out)
