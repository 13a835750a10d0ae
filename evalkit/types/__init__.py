"""The domain types: what a run generates (States) and what is computed from it (Results).

Frozen dataclasses, standard library only.  What users write (Specs) is in `specs.py`;
what does the work (Controllers) is in the rooms.

    Sample ─ Benchmark.flow ─▶ Request ─ Engine ─▶ Completion ─ flow ─▶ Outcome ─ runner ─▶ Record
    Record* ─ stats ─▶ Estimate, Comparison ─ tables ─▶ Table of Cell
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from evalkit.errors import RequestFailed

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = [
    "UNANSWERED",
    "Comparison",
    "Completion",
    "Estimate",
    "Exchange",
    "Finding",
    "Flow",
    "Job",
    "Json",
    "Judgment",
    "KnownPrompt",
    "Message",
    "Metric",
    "Observer",
    "Outcome",
    "PreparedModel",
    "Record",
    "Rendered",
    "Reply",
    "Request",
    "Run",
    "Sample",
    "Score",
    "Status",
    "UnmergedAdapter",
]

Json: TypeAlias = Any
"""What `json.dumps` takes: None, bool, int, finite float, str, list or str-keyed dict of these."""

Status: TypeAlias = Literal[
    "ok", "engine_error", "transport_error", "unparsable", "refused", "over_long", "excluded"
]
UNANSWERED: frozenset[Status] = frozenset({"engine_error", "transport_error"})
"""Failures that another try can mend; the others would fail the same way again."""


# --- States: asking and answering ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One question to one engine.  Equal requests get equal answers (same `trial`)."""

    engine: str
    """Which engine answers: a model's or a judge's name."""
    kind: Literal["generate", "loglikelihood", "rolling"]
    """`generate` text; score a `continuation` given the prompt; score all of the prompt."""
    prompt: str | tuple[Message, ...]
    """Raw text, or a conversation for the chat template.  A conversation that ends with an
    assistant message is continued (that message is a prefill), else a new turn is opened."""
    continuation: str = ""
    """`loglikelihood` only: the text whose log-probability is wanted."""
    max_tokens: int = 512
    """`generate` only: new tokens at most."""
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    """Generation ends before the first of these; the stop string is not part of the text."""
    seed: int | None = None
    """Sampling seed; None where temperature is 0 or the engine has none."""
    top_logprobs: int = 0
    """How many alternatives of the first new token to return with their log-probabilities."""
    trial: int = 0
    """Repetition number: the same question asked anew."""
    top_logprobs_at: Literal["first", "last"] = "first"
    """Which new token's alternatives are returned."""
    tool: str = ""
    """JSON of a function that the reply must call, as an entry of OpenAI's `tools`; the reply's
    text is then the call's arguments.  Empty: none."""
    expected_tokens: int | None = field(default=None, compare=False)
    """`generate` only: tokens to expect of this answer and the turns that wait for it; from a
    benchmark the most they may have.  Orders work, never decides an answer, part of no digest.
    None: `max_tokens` counts."""


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer to one request."""

    text: str = ""
    """Generated text (`generate`), without stop string and special tokens."""
    logprob: float | None = None
    """Natural log-probability of the continuation (`loglikelihood`) or the prompt (`rolling`)."""
    is_greedy: bool | None = None
    """`loglikelihood`: every continuation token was the most likely one."""
    truncated: bool = False
    """Generation ended because `max_tokens` (or the model's window) was reached."""
    top_logprobs: tuple[tuple[str, float], ...] = ()
    """(token text, log-probability) at the first position, most likely first."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reused_tokens: int = 0
    """Of the prompt tokens, how many came from a shared prefix already computed."""
    cost_usd: float = 0.0
    from_cache: bool = False
    """True where a stored answer was used; never stored itself."""


Reply: TypeAlias = Completion | RequestFailed
Job: TypeAlias = tuple[int, Request]
"""A request with the ticket its reply comes back under."""

T = TypeVar("T")
Flow: TypeAlias = Generator[Sequence[Request], Sequence[Completion], T]
"""Yields requests, receives one completion for each in the same order, returns a value.
Does no I/O.  A failed request is thrown into it as `RequestFailed`."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A request as the model sees it."""

    text: str
    """Prompt with special tokens spelled out."""
    prompt_ids: tuple[int, ...]
    continuation_ids: tuple[int, ...] = ()
    bos: Literal["one", "doubled", "missing", "none"] = "none"
    """How often the prompt begins with the BOS token; `none`: this tokenizer uses none."""


# --- States: samples, judgments, records ----------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """One item of a benchmark."""

    id: str
    """Unique within its task; stable over versions of the code."""
    task: str
    """lm-eval task name, or the benchmark's type where it has no tasks."""
    turns: tuple[str, ...]
    """User turns in order; for lm-eval the document's prompt as text."""
    category: str | None = None
    cluster: str = ""
    """Unit of resampling; empty: the sample itself."""
    reference: tuple[str, ...] = ()
    """Reference answer per turn, or the gold target."""
    data: Mapping[str, Json] = field(default_factory=dict)
    """The raw item."""


@dataclass(frozen=True)
class Exchange:
    """One question put to a judge and its reply, as they were."""

    prompt: tuple[Message, ...]
    reply: str
    """Text, or `choice=log-probability` pairs where a judge was read through its logits."""


@dataclass(frozen=True)
class Judgment:
    """What a judge said of one answer (or pair of answers)."""

    judge: str
    """Name in the suite."""
    protocol: str
    """Module of the judges room."""
    status: Status
    value: float | None
    """Pairwise: preference for the answer over the reference, 0 to 1.  Rating: 1 to 10."""
    part: str = ""
    """`turn_1`, `turn_2`; empty where there is one judgment a sample."""
    votes: tuple[float, ...] = ()
    """Pairwise: the preference for the answer when it was shown first, then when second."""
    exchanges: tuple[Exchange, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Score:
    """One number about one sample."""

    metric: str
    value: float
    """In the metric's own unit per sample (a 0/1 accuracy, a preference 0 to 1, a rating)."""
    part: str = ""
    """Distinguishes several scores of one metric (`turn_1`, `turn_2`), paired part by part."""


@dataclass(frozen=True)
class Outcome:
    """What a sample's flow returns: everything of a record but whose it is."""

    status: Status
    conversation: tuple[Message, ...] = ()
    """Prompt and answers in order, as put to the model."""
    answers: tuple[str, ...] = ()
    """The model's answers (for log-likelihood items: the choices with their scores as text)."""
    reference: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()
    judgments: tuple[Judgment, ...] = ()
    truncated: bool = False
    """An answer was cut by its token limit; it is scored all the same, and counted."""
    error: str | None = None
    data: Mapping[str, Json] = field(default_factory=dict)
    """Values by metric that are not one number: what corpus metrics (perplexity, F1, BLEU) are
    computed from; empty for most samples."""


@dataclass(frozen=True)
class Record:
    """One line of records.jsonl: the life of one sample with one model."""

    model: str
    benchmark: str
    task: str
    sample: str
    category: str | None
    cluster: str
    outcome: Outcome

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Identity within a run, and the canonical order's last resort."""
        return (self.model, self.benchmark, self.task, self.sample)


@dataclass(frozen=True)
class KnownPrompt:
    """Per greedy step float32 natural log-probabilities of some next token ids.

    After the prompt, then after each likeliest token.  Both first steps name the same tokens.
    """

    prompt: tuple[int, ...]
    base: tuple[Mapping[int, float], ...]
    merged: tuple[Mapping[int, float], ...]
    """With the adapter merged into the weights, before any rounding."""


@dataclass(frozen=True)
class UnmergedAdapter:
    """The folder of a PEFT adapter that is served beside its base's weights, and theirs."""

    base: Path
    path: Path
    rank: int
    known: tuple[KnownPrompt, ...]


@dataclass(frozen=True)
class PreparedModel:
    """A model ready to serve: weights on disk and where they came from."""

    name: str
    """Name in the suite."""
    role: str
    path: Path | None
    """Folder with a transformers checkpoint; None for models served elsewhere."""
    fingerprint: str
    """Hex digest of weights, config, tokenizer and chat template."""
    chat_template: str | None
    """Jinja source in use; None: this model has none and only raw text may be asked."""
    template_source: str
    """`tokenizer`, `file:PATH`, `fastchat:NAME` or `none`."""
    trust_remote_code: bool = False
    provenance: Mapping[str, Json] = field(default_factory=dict)
    """Source, revision, base, adapter, merge proof, warnings: shown in the report."""
    unmerged: UnmergedAdapter | None = None
    """An adapter to be served so; `path` then holds all but the weights."""


# --- Results --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metric:
    """How the per-sample scores of one name become a figure."""

    name: str
    unit: Literal["percent", "points", "characters", "raw"]
    """`percent`: 0 to 100; `points`: MT-Bench's 1 to 10."""
    scale: float = 1.0
    """Multiplies per-sample values into the unit."""
    higher_is_better: bool = True
    primary: bool = False
    """The headline metric of its task; exactly one per task."""
    by_category: bool = False
    """Also reported per category."""
    parts: tuple[str, ...] = ("",)
    """Scores every record should have of this metric, by `Score.part`; what a record lacks of
    them is `n_missing`."""
    whole: bool = False
    """The figure is cut to a whole number, as its leaderboard prints it."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its uncertainty, in the unit leaderboards print."""

    model: str
    benchmark: str
    task: str
    metric: str
    category: str | None
    point: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    level: float
    """Confidence level of [low, high], 0 to 1."""
    n: int
    """Scores that entered."""
    n_clusters: int
    """Units of resampling among them."""
    n_missing: int
    """Scores that should be there and are not (failed, unparsable, excluded)."""
    unit: str
    method: str
    """How standard error and interval were computed, in words."""
    source: str = ""
    """Where someone else published the figure, with date and settings; empty: computed here."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or worth knowing, about evidence that was not made here."""

    code: str
    """Short name of the kind: `identical_judgments`, `mostly_unparsable`, `repeated_rows`, ..."""
    message: str
    """What was found, where, and what it means for the figures."""
    damaged: bool = True
    """Figures from this evidence should not be published; False: a remark."""


@dataclass(frozen=True)
class Comparison:
    """Candidate minus baseline on the samples both have."""

    candidate: str
    baseline: str
    benchmark: str
    task: str
    metric: str
    category: str | None
    difference: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    level: float
    p: float | None
    """Two-sided."""
    n: int
    """Scores both have."""
    n_clusters: int
    wins: int
    losses: int
    ties: int
    n_missing_candidate: int
    n_missing_baseline: int
    unit: str
    higher_is_better: bool
    method: str
    df: float | None = None
    """Degrees of freedom; None: undefined, or `n_clusters` - 1 where there is an error."""


@dataclass(frozen=True)
class Run:
    """A run as it lies on disk: everything reports, gates and cards are made from."""

    folder: Path
    manifest: Mapping[str, Json]
    """manifest.json; its layout is in `store/manifest.py`."""
    records: tuple[Record, ...]
    """Canonical order."""
    estimates: tuple[Estimate, ...]
    comparisons: tuple[Comparison, ...]

    def to_frame(self, what: str = "samples") -> DataFrame:
        """The pandas frame of a table: its columns are in `columns.py`.  Raises ExportError."""
        from evalkit.types.frames import frame

        return frame([self], what)


Observer: TypeAlias = Callable[[Any, Request, Reply], None]
"""Told of every reply as it arrives, with the key of the flow that asked (progress, token
counts); must be quick."""
