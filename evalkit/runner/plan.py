"""The requests of a run, before anything is spent: `evalkit plan`.

The plan drives the real flows against the cache: a stored answer is used, a missing one is counted
and replaced by a stand-in, so that the flow yields its next request.  For engines with a tokenizer
the stand-in is empty, so that prompt tokens are a lower bound where a prompt contains an earlier
answer; what requests to an API may cost is estimated from its expected and its greatest length
(`estimate`).

Where a benchmark knows its requests from its documents (`Counted`) and they cost nothing, no prompt
is built: few-shot prompts and their tokens take a hundred times as long.  `tokens` builds them.
Stored answers are found by token ids, so they are unknown without; in an empty cache there are
none.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import ClassVar, TypeVar

from evalkit import data, plugins, store
from evalkit import models as weights
from evalkit import suite as suites
from evalkit.core import Flow, Json, Message, Outcome, Rendered, Reply, Request, Sample
from evalkit.core import Job as Ticketed
from evalkit.core.protocols import (
    Benchmark,
    CompletionCache,
    Counted,
    DataPlaces,
    Engine,
    JudgedOften,
)
from evalkit.core.specs import BenchmarkSpec, JudgeSpec, Suite
from evalkit.engines._drive import drive
from evalkit.errors import BenchmarkError, DataError
from evalkit.runner.assemble import (
    Job,
    Origin,
    Selection,
    Steady,
    advice,
    build_benchmarks,
    compared_models,
    data_places,
    mirrors,
    repeats_of,
    with_engines,
)
from evalkit.runner.estimate import Estimate, Estimator, stand_in, without_stand_ins
from evalkit.runner.known import is_run, needed_files
from evalkit.runner.usage import metered
from evalkit.store.completions import CompletionStore

K = TypeVar("K", bound=Hashable)

__all__ = ["Plan", "PlanRow", "data_needs", "planned", "pull", "unstored"]


@dataclass
class PlanRow:
    """One engine's requests for one model's answers to one benchmark."""

    engine: str
    """`Request.engine`."""
    model: str
    """The model that answers, or whose answers are judged."""
    benchmark: str
    samples: int | None = None
    requests: int | None = None
    """None: unknown until the data is here."""
    prompt_tokens: int | None = None
    """Of all requests; a lower bound where prompts contain answers.  None: unknown."""
    cached: int | None = 0
    """Requests whose answer is stored; None: unknown."""
    lower_bound: bool = False
    """Some prompts contain an answer that is not known yet."""

    @property
    def to_send(self) -> int | None:
        """Requests that would be sent."""
        if self.requests is None or self.cached is None:
            return None
        return self.requests - self.cached


@dataclass(frozen=True)
class Plan:
    """All rows, and what could not be known."""

    rows: tuple[PlanRow, ...]
    caps: Mapping[str, Json]
    """Per judge: max_requests and max_cost_usd."""
    notes: tuple[str, ...] = ()
    """What is missing here (data, weights) and how that changes the plan."""
    money: tuple[Estimate, ...] = ()
    """What requests to APIs cost."""

    def to_json(self) -> Json:
        """For `--dry-run --json`."""
        return {
            "rows": [{**vars(row), "to_ask": row.to_send} for row in self.rows],
            "money": [asdict(estimate) for estimate in self.money],
            "judge_caps": dict(self.caps),
            "notes": list(self.notes),
        }


@dataclass
class _Progress:
    """Shared by the planners of one benchmark and model."""

    rows: dict[str, PlanRow]
    """By `Request.engine`."""
    estimators: Mapping[str, Estimator]
    """By `Request.engine`: those that cost something."""
    tokens: bool = False
    """Whether prompt tokens are counted."""
    guessed: bool = False
    """A stand-in replaced a missing answer: later prompts may be too short."""


@dataclass
class _Planner:
    """Replaces an engine: answers from the cache, counts the rest."""

    inner: Engine | None
    """None: the model is not here, so neither tokens nor stored answers are known."""
    cache: CompletionCache | None
    """None: nothing is stored."""
    progress: _Progress
    keyed: bool = True
    """Whether keys say anything: of stored answers, or of requests that cost something."""
    needs_weights: ClassVar[bool] = False
    exclusive: bool = False
    identity: Mapping[str, Json] = field(default_factory=dict)
    ready: list[tuple[int, Reply]] = field(default_factory=list)

    @property
    def pending(self) -> int:
        return len(self.ready)

    def keys(self, requests: Sequence[Request]) -> list[str]:
        if self.inner is None or not self.keyed:
            return [""] * len(requests)
        return self.inner.keys(requests)

    def prompt_tokens(self, requests: Sequence[Request]) -> list[int | None]:
        if self.inner is None or not self.progress.tokens:
            return [None] * len(requests)
        return self.inner.prompt_tokens(requests)

    def render(self, request: Request) -> Rendered | None:
        return None

    def open(self) -> None:
        """Nothing to load."""

    def close(self) -> None:
        """Nothing to release."""

    def submit(self, jobs: Sequence[Ticketed]) -> None:
        requests = [without_stand_ins(request) for _, request in jobs]
        keys = self.keys(requests)
        stored = {} if self.cache is None else self.cache.get_many(list(dict.fromkeys(keys)))
        lengths = self.prompt_tokens(requests)
        late = self.progress.guessed
        for (ticket, request), plain, key, length in zip(
            jobs, requests, keys, lengths, strict=True
        ):
            row = self.progress.rows[request.engine]
            # Known only where its prompt is: a stand-in is no answer.
            reply = stored.get(key) if plain == request else None
            row.requests = (row.requests or 0) + 1
            if row.cached is not None:
                row.cached += reply is not None
            row.lower_bound |= late and reply is None
            if length is not None:
                row.prompt_tokens = (row.prompt_tokens or 0) + length
            if estimator := self.progress.estimators.get(request.engine):
                estimator.add(request, key, reply)
            self.ready.append((ticket, reply or stand_in(request)))
            self.progress.guessed |= reply is None

    def poll(self, timeout: float) -> Sequence[tuple[int, Reply]]:
        done, self.ready = self.ready, []
        return done


def planned(
    suite: Suite,
    origin: Origin,
    selection: Selection,
    say: Callable[[str], None],
    *,
    tokens: bool = False,
) -> Plan:
    """The plan of `suite`; downloads no weights and sends nothing.

    Models that would have to be downloaded are planned without their tokenizer: their prompt
    tokens and stored answers are unknown, and the notes say so.  Local ones are converted and
    merged as for a run where that is needed: for `tokens`, or to look up stored answers.

    Args:
        suite: Checked.
        origin: Where it came from.
        selection: How much of it.
        say: Told what is being done, at least every two seconds.
        tokens: Build every prompt and count its tokens, and the answers that are stored.

    Raises what `assemble` raises.
    """
    local = {
        name: weights.missing(spec, origin.root)
        for name, spec in suite.models.items()
        if plugins.find("engines", (spec.engine or suite.engine).type).cls.needs_weights
    }
    with Steady(say) as steady, CompletionStore(origin.state / "cache.sqlite") as store:
        steady("reading the suite's tasks")
        cache = None if store.is_empty() else store
        absent = [n for n, gone in local.items() if gone or (cache is None and not tokens)]
        benchmarks = build_benchmarks(suite, origin, steady.now)
        known = _without_weights(suite, absent)
        job = with_engines(known, origin, selection, benchmarks, store, steady)
        absent = [name for name in absent if name in job.engines]
        notes = [
            f"{name}: {', '.join(local[name])} is not on this machine, so its prompt tokens and "
            f"stored answers are unknown"
            for name in absent
            if local[name]
        ]
        counter = _Counter(job, cache, absent, tokens, steady)
        return counter.plan([*notes, *advice(suite)])


def _without_weights(suite: Suite, absent: Collection[str]) -> Suite:
    """`suite` with a stand-in engine for each absent model."""
    fake = plugins.find("engines", "fake").spec
    assert fake is not None
    stand_in = fake()
    changed = {
        name: spec.model_copy(update={"engine": stand_in}) if name in absent else spec
        for name, spec in suite.models.items()
    }
    return suite.model_copy(update={"models": changed})


class _Counter:
    """Counts the requests of a job whose benchmarks need not be loaded."""

    def __init__(
        self,
        job: Job,
        cache: CompletionCache | None,
        absent: Collection[str],
        tokens: bool,
        steady: Steady,
    ) -> None:
        self.job = job
        self.cache = cache
        """None: nothing is stored."""
        self.gone = {id(job.engines[name]) for name in absent}
        """Engines of models whose weights and tokenizer are not here."""
        self.tokens, self.steady = tokens, steady
        self.estimators = {n: Estimator(n, engine) for n, engine in metered(job.engines).items()}

    def plan(self, notes: Sequence[str]) -> Plan:
        """All rows; a benchmark whose data is not here is counted by its nominal size."""
        job, rows, found = self.job, list[PlanRow](), list(notes)
        for benchmark, spec in zip(job.benchmarks, job.suite.benchmarks, strict=True):
            running = [model for model in job.models if job.runs(model, benchmark.name)]
            found += [
                f"{model}: no requests for {benchmark.name}; its recorded results are used"
                for model in job.models
                if model not in running
            ]
            if not running:
                continue
            self.steady(f"counting {benchmark.name}")
            try:
                benchmark.load()
            except (DataError, BenchmarkError) as error:
                found.append(f"{benchmark.name}: {error}")
                rows.extend(self._nominal(benchmark, spec, running))
                continue
            rows.extend(self._rows(benchmark, running))
        caps = {name: judge["caps"] for name, judge in job.judges.items() if not judge["local"]}
        self.steady("estimating costs")
        money = tuple(one.result() for one in self.estimators.values() if one.used)
        if any(estimate.usd is not None for estimate in money):
            source = f"genai-prices {metadata.version('genai-prices')}"
            found.append(
                f"prices that the suite does not give are the vendors' list prices ({source})"
            )
        if not self.tokens:
            found.append("prompt tokens are not counted; `evalkit plan` with --tokens counts them")
        return Plan(tuple(rows), caps, tuple(found), money)

    def _rows(self, benchmark: Benchmark, models: Sequence[str]) -> Iterator[PlanRow]:
        counted = []
        if isinstance(benchmark, Counted) and not self.tokens:
            counted = [model for model in models if model not in self.estimators]
        if counted:
            assert isinstance(benchmark, Counted)
            each = [n for of in benchmark.request_counts().values() for n in of[: self.job.limit]]
            cached = 0 if self.cache is None else None
            for model in counted:
                yield PlanRow(model, model, benchmark.name, len(each), sum(each), cached=cached)
        driven = [model for model in models if model not in counted]
        samples = self.job.samples(benchmark) if driven else []
        for model in driven:
            rows = {n: PlanRow(n, model, benchmark.name, len(samples)) for n in self.job.engines}
            self._drive(benchmark, samples, model, rows)
            yield from (row for row in rows.values() if row.requests)

    def _nominal(
        self, benchmark: Benchmark, spec: BenchmarkSpec, models: Sequence[str]
    ) -> Iterator[PlanRow]:
        """From the size of the complete data set; every answer is judged once, some again."""
        answers, cached = benchmark.nominal_requests(), 0 if self.cache is None else None
        for model in models:
            yield PlanRow(model, model, benchmark.name, requests=answers, cached=cached)
        if answers is None:
            return
        for name in spec.judges:
            style = self.job.judges[name]["protocol"]
            requests = answers * _requests_per_judgment(benchmark, style)
            again = repeats_of(self.job.suite.judges[name])
            if style != "logprob" and again.times:
                swapped = style == "original" and benchmark.judge_kind == "pairwise"
                requests += math.ceil(requests * again.share * (again.times + swapped))
            for model in models:
                yield PlanRow(
                    f"judge:{name}", model, benchmark.name, requests=requests, cached=cached
                )

    def _drive(
        self,
        benchmark: Benchmark,
        samples: Sequence[Sample],
        model: str,
        rows: dict[str, PlanRow],
    ) -> None:
        job, progress = self.job, _Progress(rows, self.estimators, self.tokens)
        planners: dict[str, Engine] = {}
        for name, inner in job.engines.items():
            gone = id(inner) in self.gone
            keyed = name in self.estimators or self.cache is not None
            planners[name] = _Planner(None if gone else inner, self.cache, progress, keyed)
            if gone and self.cache is not None:
                rows[name].cached = None
        done = 0

        def flow(sample: Sample) -> Flow[Outcome]:
            nonlocal done
            done += 1
            label = f"counting {benchmark.name}, {model}"
            self.steady.now(f"{label}: {done:,} of {len(samples):,} samples")
            return (yield from job.flow(benchmark, sample, model))

        flows = {(s.task, s.id): flow(s) for s in samples}
        for _ in drive(flows, planners):
            pass


def _requests_per_judgment(benchmark: Benchmark, style: str) -> int:
    if style == "original":
        if benchmark.original_judge is not None:
            # Its prompts may be unavailable data: one request, unless the benchmark says more.
            return benchmark.requests_per_judgment if isinstance(benchmark, JudgedOften) else 1
        style = "text"
    protocol = plugins.find("judges", f"{benchmark.judge_kind}_{style}").cls
    judge = protocol("", "", JudgeSpec())
    if benchmark.judge_kind == "pairwise":
        first = next(judge.compare("question", "answer", "reference"))
    else:
        talk = (Message("user", "question"), Message("assistant", "answer"))
        first = next(judge.rate(talk, (), "turn_1"))
    return len(first)


def unstored(job: Job, flows: Mapping[K, Flow[Outcome]]) -> list[str]:
    """Engines that would have to answer requests of `flows`, since no answer is stored."""
    progress = _Progress({name: PlanRow(name, "", "") for name in job.engines}, {})
    planners = {name: _Planner(e, job.cache, progress) for name, e in job.engines.items()}
    for _ in drive(flows, planners):
        pass
    return [name for name, row in progress.rows.items() if row.to_send]


# --- data before a run ----------------------------------------------------------------------


def data_needs(named: str | None) -> tuple[DataPlaces, list[str] | None]:
    """Where data is looked up for a suite, and the names of what it needs.

    Without a suite: the environment's places, and None.  Raises SuiteError.
    """
    if named is None:
        origin = Origin("", Path.cwd(), store.find_workspace(), ())
        return mirrors(None, origin), None
    path = suites.locate(named)
    suite = suites.load(path, (), plugins)
    origin = Origin(named, path.parent, store.find_workspace(), ())
    return data_places(suite, origin), _needs(suite, origin)


def _needs(suite: Suite, origin: Origin) -> list[str]:
    """Names of every public data set that a run of `suite` would read."""
    models = compared_models(suite)
    found: list[str] = []
    for benchmark, spec in zip(build_benchmarks(suite, origin), suite.benchmarks, strict=True):
        if any(is_run(suite, model, spec) for model in models):
            found += benchmark.data_needs()
    found += [name for name in needed_files(suite) if not (origin.root / name).is_file()]
    return list(dict.fromkeys(found))


def pull(named: str, folder: Path) -> Iterator[dict[str, Json]]:
    """Copy what suite `named` needs into `folder`; yields name, from, bytes, licence of each.

    Existing files are verified and kept.

    Raises:
        SuiteError: the suite is wrong.
        DataError: a data set is unavailable, or its checksum differs.
    """
    suites.locate(named)
    folder.mkdir(parents=True, exist_ok=True)  # EVALKIT_DATA may name it already
    places, names = data_needs(named)
    assert names is not None
    there = DataPlaces((folder, *places.mirrors), folder)
    for name in names:
        if name.startswith("hub:"):
            yield _pull_hub(name, folder, there)
            continue
        entry = data.entry(name)
        found = data.resolve(name, there)
        path = found.path
        if not path.is_relative_to(folder):
            path = folder / entry.mirror
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found.path, path)
        yield {
            "name": name,
            "from": entry.origin if found.source in ("url", "hub") else found.source,
            "bytes": path.stat().st_size,
            "sha256": found.sha256,
            "licence": entry.licence,
        }


def _pull_hub(name: str, folder: Path, places: DataPlaces) -> dict[str, Json]:
    """The official copy where the hub can be reached, else a mirror's converted files."""
    kept = data.pulled(name, folder)
    source = "mirror"
    if kept is None and data.missing([name], DataPlaces()) == []:
        kept, source = data.pull_hub(name, folder), "hub"
    if kept is None:
        files = data.copy_local(name, places, folder)
        size = sum(path.stat().st_size for path in files)
        return {"name": name, "from": "mirror", "bytes": size, "licence": ""}
    size = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file())
    return {"name": name, "from": source, "bytes": size, "licence": ""}
