"""The contracts between rooms: engine, judge, benchmark, cache.  Structural; nothing inherits.

`benchmarks` and `judges` never meet `engines`: they only yield requests (see `core.Flow`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from evalkit.core.figures import Average, Figure, Metric
from evalkit.core.requests import Completion, Flow, Job, Json, Message, Rendered, Reply, Request
from evalkit.core.run import Run
from evalkit.core.samples import Judgment, Outcome, Record, Sample
from evalkit.core.specs import JudgeSpec, RepeatSpec
from evalkit.core.trust import Code

__all__ = [
    "Advised",
    "Average",
    "Averaged",
    "Background",
    "Benchmark",
    "BenchmarkContext",
    "Checked",
    "Claiming",
    "Coded",
    "CompletionCache",
    "Constant",
    "Counted",
    "DataPlaces",
    "Dated",
    "Engine",
    "Exported",
    "Exporter",
    "JudgeContext",
    "JudgedOften",
    "Keyed",
    "Ledger",
    "MatchJudge",
    "Metered",
    "OneOrder",
    "OwnSettings",
    "PairwiseJudge",
    "Panel",
    "Planned",
    "RatingJudge",
    "ReadsFiles",
    "ReadsLogprobs",
    "StoredPrompts",
    "Tabled",
    "Wrapping",
]


class Engine(Protocol):
    """Answers requests.  Constructing one is cheap; `open` loads, `close` gives all memory back.

    Constructed as `Class(spec, model)`: its EngineSpec and a PreparedModel.

    `submit` may be called before `open`: jobs wait (or are answered from a cache).
    Before `open`, `poll` returns at once and only what needs no opening: a cache's hits, else
    nothing.
    `poll` returns what has finished since, waiting at most `timeout` seconds for something;
    it raises `EngineError` only where the engine as a whole is lost.
    """

    needs_weights: ClassVar[bool]
    """It loads `PreparedModel.path`; else models need no preparation."""
    identity: Mapping[str, Json]
    """What decides its answers: type, version, model fingerprint, dtype, endpoint, ..."""
    exclusive: bool
    """Needs the device to itself: `drive` keeps at most one such engine open."""

    @property
    def pending(self) -> int:
        """Jobs submitted and not yet returned by `poll`."""
        ...

    def keys(self, requests: Sequence[Request]) -> list[str]:
        """A hex digest per request of everything that decides its answer."""
        ...

    def prompt_tokens(self, requests: Sequence[Request]) -> list[int | None]:
        """Prompt length of each request in tokens; None where the engine cannot know."""
        ...

    def render(self, request: Request) -> Rendered | None:
        """The request as the model sees it; None where only the server knows."""
        ...

    def open(self) -> None:
        """Load or connect.  Raises EngineError, ModelError or JudgeError."""
        ...

    def submit(self, jobs: Sequence[Job]) -> None:
        """Accept jobs; replies come from `poll`, in any order, each ticket once."""
        ...

    def poll(self, timeout: float) -> Sequence[tuple[int, Reply]]:
        """Replies finished since the last call."""
        ...

    def close(self) -> None:
        """Release everything; idempotent."""
        ...


class Ledger(Protocol):
    """An engine's account, which survives the process (implemented in `store`).

    Every change is durable before it returns, and raises StoreError where it cannot be.
    """

    @property
    def spent_requests(self) -> int:
        """Requests of earlier processes, those that were in flight among them."""
        ...

    @property
    def spent_usd(self) -> float:
        """Their cost; what was in flight counts with its highest possible cost."""
        ...

    @property
    def in_flight(self) -> Mapping[str, tuple[int, float]]:
        """By name, number and USD of earlier reservations that can still be settled."""
        ...

    @property
    def batches(self) -> Mapping[str, str]:
        """Ids at the server of the batches that earlier processes created, by their own name."""
        ...

    def reserve(self, worst_usd: float, name: str = "") -> int:
        """Note that a request is about to be sent; returns the reservation's number.

        `name`: `BATCH:KEY` of a request whose answer can be fetched by a later process.
        """
        ...

    def settle(self, number: int, cost_usd: float | None) -> None:
        """Note what a request did cost; None: it was never sent."""
        ...

    def created(self, batch: str, identity: str) -> None:
        """Note the server's id of a batch."""
        ...


@runtime_checkable
class Metered(Protocol):
    """An engine whose requests cost something, with caps on requests or cost."""

    @property
    def capped(self) -> bool:
        """Whether there is a cap."""
        ...

    @property
    def reached(self) -> str | None:
        """The setting, `max_requests` or `max_cost_usd`, that kept a request from being sent."""
        ...

    @property
    def spent_usd(self) -> float:
        """Spent so far, over all processes."""
        ...

    @property
    def spent_requests(self) -> int:
        """Requests that were sent, retries among them."""
        ...

    def use(self, ledger: Ledger) -> None:
        """Keep the account in `ledger`, and go on from it; call before `open`."""
        ...

    @property
    def batched(self) -> bool | None:
        """Whether requests are sent in batches, at the batch price; None: the API has none."""
        ...

    @property
    def tokens_per_piece(self) -> float:
        """About how many tokens a word or mark of a prompt has, until replies say more."""
        ...

    def most_tokens(self, request: Request) -> tuple[int, int]:
        """Tokens of prompt and reply that a request can have at most, a thought among them."""
        ...

    def price(
        self,
        prompt_tokens: int,
        new_tokens: int,
        *,
        reused: int = 0,
        kept: int = 0,
        batched: bool = False,
    ) -> float | None:
        """USD of one request, of whose prompt tokens `reused` are in the provider's prompt cache.

        `kept` are written to it, which may cost more.  None: unknown.
        """
        ...


@runtime_checkable
class Background(Protocol):
    """An engine that goes on answering while nobody polls it."""

    on_reply: Callable[[int, Reply], None] | None
    """Called in the engine's own thread with each ticket and reply, before `poll` returns them."""
    before_sending: Callable[[int], Completion | bool] | None
    """Called there with a ticket whose turn has come.  True: send it; a completion: that is the
    reply, and nothing is sent; False: ask again after a while."""


@runtime_checkable
class Checked(Protocol):
    """An engine that verifies itself when it opens."""

    def checks(self) -> Mapping[str, Json]:
        """What it measured, for the manifest and the report; empty where no check was needed."""
        ...


@runtime_checkable
class Planned(Protocol):
    """An engine that plans log-likelihoods so that shared prefixes are computed once."""

    def work(self) -> Mapping[str, int]:
        """Prompt tokens planned and computed since it was made.

        `requests`, and the `asks` (engine calls) they become; tokens: `naive` (nothing shared),
        `trie` (each distinct prefix once: the bound), `floor` (the bound where whole blocks are
        shared), `planned`, and `computed` (as the engine counts).
        """
        ...


@runtime_checkable
class ReadsFiles(Protocol):
    """A benchmark whose data may lie in files that its settings do not name."""

    def files_read(self) -> Sequence[Path]:
        """Once it is loaded: files of this machine that hold its data."""
        ...


@runtime_checkable
class Dated(Protocol):
    """An engine whose prompts may hold the date."""

    def use_date(self, date: datetime) -> bool:
        """Render all prompts with `date`; whether the model's chat template can print it."""
        ...


@runtime_checkable
class OwnSettings(Protocol):
    """An engine that applies the model's generation_config.json; see `Request.own_settings`."""

    def own_settings(self) -> Mapping[str, Json]:
        """Those of `PreparedModel.generation` that it applies."""
        ...


@runtime_checkable
class Wrapping(Protocol):
    """An engine around another."""

    inner: Engine
    """The wrapped engine."""


@runtime_checkable
class Keyed(Protocol):
    """Settings of an engine that reads a secret key from the environment."""

    def missing_key(self) -> str | None:
        """The environment variable that should hold a key and is unset; None: nothing missing."""
        ...


@runtime_checkable
class Advised(Protocol):
    """Settings of a model behind an API, whose vendor retires and prices it."""

    def problems(self) -> Sequence[tuple[str, str]]:
        """Field and message of what keeps a run from starting."""
        ...

    def warnings(self) -> Sequence[tuple[str, str]]:
        """Field and message of what may: a model that retires, a price that is unknown."""
        ...

    def lacks_logprobs(self) -> str | None:
        """Why no log-probabilities can be read; None: they can be, or who knows."""
        ...


class CompletionCache(Protocol):
    """Completions by key; survives the process (implemented in `store`)."""

    def get_many(self, keys: Sequence[str]) -> dict[str, Completion]:
        """Those of `keys` that are stored."""
        ...

    def put_many(
        self, items: Mapping[str, Completion], lengths: Mapping[str, int] | None = None
    ) -> None:
        """Store durably before returning.  Raises StoreError (a full disk, say).

        `lengths`: tokens of the same answers, by names that do not depend on the model.
        """
        ...

    def lengths(self, names: Sequence[str]) -> dict[str, int]:
        """Recent lengths of the answers of these names, in tokens; only known ones."""
        ...


@runtime_checkable
class Claiming(Protocol):
    """A cache that several processes share, of which one sends a request."""

    def claim(self, key: str) -> Completion | bool:
        """The completion, if it is stored by now; else whether this process is to send it.

        False while another living process is to.  A claim ends with `put_many` or `release`.
        Raises StoreError.
        """
        ...

    def release(self, keys: Sequence[str]) -> None:
        """Give up claims of this process.  Raises StoreError."""
        ...


@runtime_checkable
class PairwiseJudge(Protocol):
    """Prefers one of two answers to one instruction."""

    name: str
    """Name in the suite."""
    protocol: str
    """Module of the judges room."""

    def compare(self, instruction: str, answer: str, reference: str) -> Flow[Judgment]:
        """Both orders; `value` is the preference for `answer`, 0 to 1.

        Lets `RequestFailed` through: the benchmark turns it into a judgment with that status.
        """
        ...

    def describe(self) -> Mapping[str, Json]:
        """What decides its judgments besides its engine: protocol, prompt_sha256, settings."""
        ...


@runtime_checkable
class RatingJudge(Protocol):
    """Rates the last answer of a conversation from 1 to 10."""

    name: str
    """Name in the suite."""
    protocol: str
    """Module of the judges room."""

    def rate(
        self, conversation: Sequence[Message], reference: Sequence[str], part: str
    ) -> Flow[Judgment]:
        """Rate the answer that `conversation` ends with.

        `reference`: one answer per user turn, empty where the question needs none;
        `part` names the turn in the judgment.  Lets `RequestFailed` through, as above.
        """
        ...

    def describe(self) -> Mapping[str, Json]:
        """What decides its judgments besides its engine: protocol, prompt_sha256, settings."""
        ...


@dataclass(frozen=True)
class Panel:
    """Several judges, each of which judges every answer; an answer's score is their mean."""

    members: tuple[PairwiseJudge | RatingJudge, ...]
    """In the suite's order."""
    minimum: int
    """Valid judgments that an answer needs to have a score."""

    def describe(self) -> Mapping[str, Json]:
        """The minimum, and each member's own description by its name."""
        members = {judge.name: dict(judge.describe()) for judge in self.members}
        return {"protocol": "panel", "minimum": self.minimum, "panel": members}


@runtime_checkable
class MatchJudge(Protocol):
    """A rating judge that can also prefer one of two conversations' last answers."""

    def match(
        self,
        conversation: Sequence[Message],
        other: Sequence[Message],
        reference: Sequence[str],
        part: str,
    ) -> Flow[Judgment]:
        """Both orders; `value` is the preference for `conversation`, 0 to 1.

        `reference` and `part` as for `RatingJudge.rate`.  Lets `RequestFailed` through.
        """
        ...


@runtime_checkable
class OneOrder(Protocol):
    """A pairwise judge that shows a pair in one order only, as its instruction decides."""

    def shows_first(self, instruction: str) -> bool:
        """Whether the answer is shown before the reference."""
        ...


@runtime_checkable
class StoredPrompts(Protocol):
    """A judge whose prompts are read from files before it is used."""

    def data_needs(self) -> Sequence[str]:
        """Names of the public data sets that `load` reads."""
        ...

    def load(self) -> None:
        """Read the prompts; idempotent.  Raises DataError, SuiteError."""
        ...


@runtime_checkable
class ReadsLogprobs(Protocol):
    """A class of judges with published prompts, some of which read log-probabilities."""

    def without_logprobs(self, options: Mapping[str, Json]) -> Mapping[str, Json]:
        """What to write in place of `options` (`Benchmark.judge_options`); empty: they read none.

        Static.  Raises SuiteError for options that do not exist.
        """
        ...


class Benchmark(Protocol):
    """What is sent to models and how answers become scores.  No I/O but in `load`.

    Constructed as `Class(spec, context)`, see BenchmarkContext; constructing reads nothing.
    """

    judge_kind: ClassVar[Literal["pairwise", "rating"] | None]
    """Which kind of judge it needs."""
    original_judge: ClassVar[str | None]
    """Module of the judges room with this benchmark's published prompts, whose class is
    constructed as `Class(name, engine, spec, JudgeContext)`; None: there is none."""
    name: str
    """Entry name in the suite."""
    version: str
    """Changes whenever the same answers would get other scores."""

    @staticmethod
    def judge_options(spec: Any) -> Mapping[str, Json]:
        """What its original judge needs of its spec; empty where it has none."""
        ...

    def data_needs(self) -> Sequence[str]:
        """Names of the public data sets that `load` will read (see the `data` room).

        `hub:PATH` or `hub:PATH:CONFIG` for data sets of the hub that lm-eval tasks name; empty
        with data of the suite's own.  Raises SuiteError for tasks that do not exist.
        """
        ...

    def load(self) -> None:
        """Read data (and tasks).  Raises DataError, BenchmarkError.  Idempotent."""
        ...

    def samples(self) -> Sequence[Sample]:
        """In canonical order."""
        ...

    def metrics(self, task: str) -> Sequence[Metric]:
        """Of one task, the primary one first."""
        ...

    def flow(self, sample: Sample, model: str) -> Flow[Outcome]:
        """One sample from start to end: request answers, request judgments, score."""
        ...

    def extra_figures(self, records: Sequence[Record], level: float) -> Sequence[Figure]:
        """Figures that are not means of per-sample scores (a corpus metric, a group's average).

        `records`: this benchmark's, one model's, canonical order; `level`: confidence level of
        the intervals, 0 to 1.
        """
        ...

    def describe(self) -> Mapping[str, Json]:
        """For the manifest, the run id and the comparability guard.

        Type, version, data set with revision and sha256, shots, seeds, stops, judge prompt hash.
        """
        ...

    def nominal_requests(self) -> int | None:
        """Requests per model when the data set is complete, known without its data; for plans."""
        ...


@dataclass(frozen=True)
class Exported:
    """Runs in another format."""

    files: Mapping[str, bytes]
    """By name: a relative path with forward slashes."""
    notes: tuple[str, ...] = ()
    """What was left out, and what to know before the files are used."""


class Exporter(Protocol):
    """Writes runs for another tool.  Constructed as `Class(spec)`, with its ExportSpec.

    A pure function of the stored runs: the same runs and spec give the same bytes.
    """

    publishes: ClassVar[bool]
    """The output is read as this model's published figures: only complete, undamaged runs."""

    def export(self, runs: Sequence[Run]) -> Exported:
        """At least one file.  `runs` have the wanted models only, and may be published.

        Raises ExportError where nothing in them has this format.
        """
        ...


@runtime_checkable
class JudgedOften(Protocol):
    """A benchmark whose original judge needs several requests per answer."""

    @property
    def requests_per_judgment(self) -> int:
        """Per answer, known before prompts are read; for plans."""
        ...


@runtime_checkable
class Counted(Protocol):
    """A loaded benchmark that knows without a prompt how many requests it sends."""

    def request_counts(self) -> Mapping[str, Sequence[int]]:
        """By task, for each sample in canonical order: a model's requests, all sent at once."""
        ...


@runtime_checkable
class Tabled(Protocol):
    """A benchmark whose tasks are known without its data, for suites with published figures."""

    def figure_tasks(self) -> Mapping[str, Sequence[Metric]]:
        """By task, in report order: the metrics that published figures are of."""
        ...


@runtime_checkable
class Constant(Protocol):
    """A benchmark whose `extra_figures` read data that is not part of its samples."""

    def constants(self) -> Mapping[str, str | None]:
        """By name, the sha256 of what is read, None where it is unavailable: for the run id.

        Empty where that is what runs had whose ids were made without it.
        """
        ...


@runtime_checkable
class Coded(Protocol):
    """A benchmark whose settings can bring code."""

    def is_own(self) -> bool:
        """Whether the suite brings tasks, or changes them."""
        ...

    def code(self) -> Sequence[Code]:
        """What would run; nothing of it is imported.  Raises SuiteError: the suite is wrong."""
        ...


@runtime_checkable
class Averaged(Protocol):
    """A benchmark of several tasks with averages over them."""

    def averages(self) -> Sequence[Average]:
        """Over the tasks in use, each after those it is made of; loads what it needs.

        The manifest keeps them, so that stored runs compare them without the benchmark.
        """
        ...


@dataclass(frozen=True)
class DataPlaces:
    """Where public data sets may come from; see the `data` room."""

    mirrors: tuple[Path, ...] = ()
    """Folders that hold public data sets, the first one preferred: the suite's `data: {mirror}`,
    then EVALKIT_DATA."""
    downloads: Path | None = None
    """Where downloaded files are kept; None: nothing is downloaded."""


@dataclass(frozen=True)
class JudgeContext:
    """What a judge with a benchmark's original prompts is constructed with, besides its spec."""

    places: DataPlaces
    options: Mapping[str, Json]
    """`Benchmark.judge_options` of the benchmark it judges."""


@dataclass(frozen=True)
class BenchmarkContext:
    """What a benchmark is constructed with, besides its spec."""

    root: Path
    """Folder of the suite file; `spec.data` is relative to it."""
    places: DataPlaces
    judge: PairwiseJudge | RatingJudge | Panel | None
    """Of the kind the class's `judge_kind` names, a panel's members, too; None for benchmarks
    without a judge."""
    seed: int
    """The suite's seed."""
    repeats: Mapping[str, RepeatSpec] = field(default_factory=dict)
    """By judge, what it judges again; a judge that is not named does not."""
    as_judge: Callable[[str, JudgeSpec], PairwiseJudge] | None = None
    """A model of the suite as a judge of pairs, by evalkit's own protocols."""
    say: Callable[[str], None] = lambda _: None
    """Told what a slow `load` is doing; may be called often."""

    @property
    def judges(self) -> tuple[PairwiseJudge | RatingJudge, ...]:
        """The judge, or the panel's members; empty where there is none."""
        if isinstance(self.judge, Panel):
            return self.judge.members
        return () if self.judge is None else (self.judge,)

    @property
    def judge_minimum(self) -> int:
        """Valid judgments that an answer needs to have a score."""
        return self.judge.minimum if isinstance(self.judge, Panel) else 1
