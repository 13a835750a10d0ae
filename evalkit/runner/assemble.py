"""From a suite to the parts that run it: models on disk, engines, judges, benchmarks.

No request is sent and no engine is opened; preparing a model may convert or merge weights.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from evalkit import data, draw, plugins, store
from evalkit import suite as suites
from evalkit.core import Flow, Json, Outcome, PreparedModel, Sample, trust
from evalkit.core.figures import Figure
from evalkit.core.protocols import (
    Advised,
    Benchmark,
    BenchmarkContext,
    Coded,
    CompletionCache,
    DataPlaces,
    Engine,
    JudgeContext,
    Keyed,
    PairwiseJudge,
    Panel,
    RatingJudge,
    Wrapping,
)
from evalkit.core.run import Run
from evalkit.core.specs import (
    BenchmarkSpec,
    EngineSpec,
    JudgeSpec,
    LocalJudgeSpec,
    ModelSpec,
    RecordedJudgeSpec,
    RepeatSpec,
    Suite,
)
from evalkit.engines._cached import CachedEngine, Withheld
from evalkit.errors import DataError, EvalkitError, Problem, SuiteError
from evalkit.formats.published import unknown_names
from evalkit.runner.known import Known, gather, is_run, needed_files, replay

__all__ = [
    "DEFAULT_SUITE",
    "Job",
    "Opened",
    "Origin",
    "Selection",
    "Steady",
    "advice",
    "assemble",
    "build_benchmarks",
    "compared_models",
    "data_places",
    "extra_figures",
    "mirrors",
    "missing_keys",
    "names",
    "opened",
    "repeats_of",
    "with_engines",
]

DEFAULT_SUITE = "quick"
"""Of an adapter for which no suite is named."""
Prepare = Callable[[str, ModelSpec], PreparedModel]
_SILENT_S = 1.5


@dataclass(frozen=True)
class Selection:
    """How much of a suite is run."""

    limit: int | None = None
    """First N samples of each task; a limited run is never published."""
    without_judge: bool = False
    """Answers are generated and not judged: a later run judges them."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise SuiteError(f"--limit {self.limit!r}: expected 1 or more samples per task")


def compared_models(suite: Suite) -> tuple[str, ...]:
    """Names of the models that answer, in suite order."""
    return tuple(name for name, spec in suite.models.items() if spec.role != "published")


def missing_keys(suite: Suite, *, without_judge: bool) -> dict[str, str]:
    """By engine that may have to answer: the environment variable without the key it needs."""
    models = compared_models(suite)
    specs: dict[str, object] = {n: suite.models[n].engine or suite.engine for n in models}
    for spec in suite.benchmarks if not without_judge else ():
        if any(is_run(suite, model, spec) for model in models):
            specs |= {_judge_key(name): suite.judges[name] for name in spec.judges}
    keyed = {n: s for n, s in specs.items() if isinstance(s, Keyed)}
    return {name: v for name, spec in keyed.items() if (v := spec.missing_key()) is not None}


class Steady:
    """A `say` that is never silent for two seconds; a context manager.

    Called, it says a text at once, as the beginning of a step.  `now` tells it what the step is
    doing, as often as that changes; the latest is said, with the seconds since the step began,
    when nothing was said for a while.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._doing = ""
        self._began = self._said = time.monotonic()
        self._lock, self._ended = Lock(), Event()

    def __call__(self, text: str) -> None:
        """Begin a step."""
        with self._lock:
            self._say(text)
            self._doing, self._began = text, time.monotonic()
            self._said = self._began

    def now(self, text: str) -> None:
        """What the step is doing."""
        self._doing = text

    def __enter__(self) -> Steady:
        Thread(target=self._repeat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._ended.set()

    def _repeat(self) -> None:
        while not self._ended.wait(0.2):
            with self._lock:
                now = time.monotonic()
                if self._doing and now - self._said > _SILENT_S and not self._ended.is_set():
                    self._say(f"{self._doing} ({now - self._began:.0f} s)")
                    self._said = now


@dataclass(frozen=True)
class Origin:
    """Where a suite came from."""

    label: str
    """What the user wrote: the suite's path or name."""
    root: Path
    """Folder that paths in the suite are relative to."""
    workspace: Path
    """Folder that holds `.evalkit` and `reports`."""
    command: tuple[str, ...]
    """The command line, for the manifest, without options that do not change the result."""

    @property
    def state(self) -> Path:
        """Folder of caches and prepared models."""
        return self.workspace / ".evalkit"


@dataclass(frozen=True)
class Opened:
    """A checked suite, with where it came from."""

    suite: Suite
    origin: Origin
    warnings: tuple[Problem, ...]
    """Entries that are left out, and what makes the run hard to repeat."""


def opened(
    suite: str | Path | Mapping[str, Any] | Suite,
    options: suites.Options = suites.Options(),  # noqa: B008 - frozen
    changes: Sequence[str] = (),
    command: Sequence[str] = (),
) -> Opened:
    """Read and check a suite.

    Args:
        suite: A YAML file, the name of a bundled suite, or its content; paths in a content are
            relative to the current folder.
        options: The adapter, judge, tasks and cap; its paths are relative to the current folder.
        changes: `a.b=c`, as `--set` has them.
        command: The command line, for the manifest.

    Raises:
        SuiteError: Everything that is wrong with it.
        ModelError: The adapter is none, or does not say what it was trained on.
    """
    if isinstance(suite, Suite):
        suite = suite.model_dump(mode="json")
    file = None if isinstance(suite, Mapping) else suites.locate(str(suite))
    root = Path() if file is None else file.parent
    if options.adapter is not None:
        from evalkit import models

        base = options.base or models.base_of(options.adapter, Path.cwd())
        adapter = suites.from_here(options.adapter, root)
        options = replace(options, adapter=adapter, base=suites.from_here(base, root))
    elif options.base is not None:
        raise SuiteError(f"--base {options.base!r} goes with --adapter: what is merged into it?")
    label = "a mapping" if isinstance(suite, Mapping) else str(suite)
    if file is None:
        assert isinstance(suite, Mapping)
        found = suites.check_mapping(suite, label, changes, plugins, names(root), options)
    else:
        found = suites.check(file, changes, plugins, names(root), options)
    origin = Origin(label, root, store.find_workspace(), tuple(command))
    return Opened(found.suite, origin, found.warnings)


def names(root: Path) -> suites.Names:
    """What loading a suite in `root` asks the rooms above: unknown names, code without consent."""

    def found(
        models: Mapping[str, ModelSpec], benchmarks: Sequence[BenchmarkSpec | None]
    ) -> Iterator[tuple[tuple[str | int, ...], str]]:
        yield from unknown_names(models, benchmarks)
        for n, spec in enumerate(benchmarks):
            cls: Any = spec and plugins.find("benchmarks", spec.type).cls
            if cls and issubclass(cls, Coded):
                places = mirrors(None, Origin("", root, store.find_workspace(), ()))
                for refusal in _refused(cls(spec, BenchmarkContext(root, places, None, 0))):
                    yield ("benchmarks", n), refusal

    return found


def _refused(benchmark: Coded) -> Iterator[str]:
    try:
        for code in benchmark.code():
            if refusal := trust.current().refusal(code):
                yield f"{code.where}: {refusal}"
    except EvalkitError:
        return  # a name or a file that is wrong is said by what uses it


@dataclass
class Job:
    """Everything a run needs, ready to be driven."""

    suite: Suite
    origin: Origin
    limit: int | None
    models: Mapping[str, PreparedModel]
    """The models that answer, in suite order."""
    engines: Mapping[str, Engine]
    """By `Request.engine`, in the order in which exclusive ones are opened."""
    judges: Mapping[str, Json]
    """Description of each judge in use, for the manifest."""
    benchmarks: tuple[Benchmark, ...]
    """In suite order; those that no model runs are not loaded."""
    cache: CompletionCache
    """Where answers are stored."""
    known: Known = field(default_factory=Known)
    """What is recorded or published."""
    chosen: frozenset[tuple[str, str, str]] | None = None
    """Only these samples: benchmark entry, task, sample id; None: all."""
    without_judge: bool = False
    """Judges are sent nothing."""

    def runs(self, model: str, entry: str) -> bool:
        """Whether flows run for `model` and the benchmark entry."""
        (spec,) = (s for s in self.suite.benchmarks if s.entry == entry)
        return is_run(self.suite, model, spec)

    @property
    def benchmarks_run(self) -> tuple[Benchmark, ...]:
        """Benchmarks that at least one model runs."""
        return tuple(b for b in self.benchmarks if any(self.runs(m, b.name) for m in self.models))

    def flow(self, benchmark: Benchmark, sample: Sample, model: str) -> Flow[Outcome]:
        """The sample's flow, with recorded answers in place of models' where there are some."""
        flow = benchmark.flow(sample, model)
        for (name, entry), answers in self.known.answers.items():
            if entry == benchmark.name:  # also of the benchmark's opponents
                thinking = self.suite.models[name].thinking
                flow = replay(flow, name, answers.of(sample), thinking)
        return flow

    def samples(self, benchmark: Benchmark) -> list[Sample]:
        """Of a loaded benchmark: the first `limit` of each task."""
        seen: Counter[str] = Counter()
        chosen = []
        for sample in benchmark.samples():
            if self.chosen and (benchmark.name, sample.task, sample.id) not in self.chosen:
                continue
            seen[sample.task] += 1
            if self.limit is None or seen[sample.task] <= self.limit:
                chosen.append(sample)
        return chosen


class _Assembler:
    """Makes engines, one for all models and judges that share it."""

    def __init__(self, suite: Suite, cache: CompletionCache, prepare: Prepare) -> None:
        self.suite, self.cache, self.prepare = suite, cache, prepare
        self.prepared: dict[str, PreparedModel] = {}
        self.engines: dict[str, Engine] = {}
        self.by_identity: dict[tuple[str, str, str], Engine] = {}

    def model(self, name: str) -> str:
        """Make the engine that answers as model `name`; returns its `Request.engine`."""
        if name not in self.engines:
            model_spec = self.suite.models[name]
            spec = model_spec.engine or self.suite.engine
            if self.needs_weights(name):
                prepared = self.prepare(name, model_spec)
            else:
                prepared = _served_elsewhere(name, model_spec)
            self.prepared[name] = prepared
            self.engines[name] = self._engine(spec, prepared)
        return name

    def needs_weights(self, name: str) -> bool:
        """Whether model `name` is loaded here."""
        spec = self.suite.models[name].engine or self.suite.engine
        return bool(plugins.find("engines", spec.type).cls.needs_weights)

    def _engine(self, spec: EngineSpec, model: PreparedModel) -> Engine:
        settings = [model.chat_template_kwargs, model.thinking and model.thinking.model_dump()]
        identity = (model.fingerprint, spec.model_dump_json(), json.dumps(settings))
        if identity not in self.by_identity:
            inner: Engine = plugins.find("engines", spec.type).cls(spec, model)
            self.by_identity[identity] = CachedEngine(inner, self.cache)
        return self.by_identity[identity]

    def judge(self, name: str, *, withheld: bool) -> None:
        """Make the engine that answers as judge `name`; `withheld`: from the cache only."""
        self._judge(name)
        if withheld:
            key = _judge_key(name)
            made = self.engines[key]
            inner = made.inner if isinstance(made, Wrapping) else made
            self.engines[key] = CachedEngine(Withheld(inner, _WITHHELD), self.cache)

    def _judge(self, name: str) -> None:
        spec, key = self.suite.judges[name], _judge_key(name)
        if isinstance(spec, LocalJudgeSpec):
            self.engines[key] = self.engines[self.model(spec.model)]
            return
        assert isinstance(spec, EngineSpec)
        served = PreparedModel(
            name=name,
            role="judge",
            path=None,
            fingerprint=hashlib.sha256(spec.model_dump_json().encode()).hexdigest(),
            chat_template=None,
            template_source="none",
        )
        self.engines[key] = self._engine(spec, served)


_WITHHELD = "left for a run without --without-judge"


def _judge_key(name: str) -> str:
    """`Request.engine` of a judge, even where it is a model of the suite.

    So plans and usage distinguish judging from answering.
    """
    return f"judge:{name}"


def _judge_style(spec: JudgeSpec) -> str:
    """The judge's protocol: `logprob` for a local model unless the suite says otherwise."""
    if spec.protocol != "auto":
        return spec.protocol
    return "logprob" if isinstance(spec, LocalJudgeSpec) else "original"


def _served_elsewhere(name: str, spec: ModelSpec) -> PreparedModel:
    described = spec.model_dump_json(exclude={"engine", "role"})
    return PreparedModel(
        name=name,
        role=spec.role,
        path=None,
        fingerprint=hashlib.sha256(described.encode()).hexdigest(),
        chat_template=None,
        template_source="none",
        provenance={"source": {"kind": "served", "name": spec.path or name}},
        chat_template_kwargs=spec.chat_template_kwargs,
        thinking=spec.thinking,
    )


def assemble(
    suite: Suite,
    origin: Origin,
    selection: Selection,
    cache: CompletionCache,
    say: Callable[[str], None] = lambda _: None,
) -> Job:
    """Read the data, then build models and engines of `suite`.

    Data comes first: a missing file must not be found after hours of downloads and merges.

    Raises SuiteError, DataError, BenchmarkError or ModelError, each saying what to change.
    """
    with Steady(say) as steady:
        return _assemble(suite, origin, selection, cache, steady)


def _assemble(
    suite: Suite, origin: Origin, selection: Selection, cache: CompletionCache, say: Steady
) -> Job:
    compared = compared_models(suite)
    places = data_places(suite, origin)
    benchmarks = build_benchmarks(suite, origin, say.now)
    for warning in advice(suite):
        say(f"warning: {warning}")
    run = [
        benchmark
        for benchmark, spec in zip(benchmarks, suite.benchmarks, strict=True)
        if any(is_run(suite, model, spec) for model in compared)
    ]
    needs = [name for benchmark in run for name in benchmark.data_needs()]
    say("looking for the data")
    data.require_available(list(dict.fromkeys(needs)), places)
    if needed_files(suite):
        say("reading recorded evidence")
    # Evidence that is unavailable is no error: its cells stay empty.
    known = gather(suite, origin.root, places, compared)
    for benchmark in run:
        say(f"reading {benchmark.name}")
        benchmark.load()
    job = with_engines(suite, origin, selection, benchmarks, cache, say)
    job.known = known
    return job


def with_engines(
    suite: Suite,
    origin: Origin,
    selection: Selection,
    benchmarks: tuple[Benchmark, ...],
    cache: CompletionCache,
    say: Callable[[str], None],
) -> Job:
    """The second half of `assemble`: models prepared, engines and judges built.

    Raises SuiteError where no model is left to run, and what preparing a model raises.
    """

    def ask(name: str) -> None:
        if suite.models[name].trust_remote_code:
            trust.current().ask(trust.model_code(suite.models[name], origin.root))

    def prepare(name: str, spec: ModelSpec) -> PreparedModel:
        from evalkit import models  # not for engines that load no weights

        ask(name)
        say(f"preparing {name}")
        prepared = models.prepare(name, spec, origin.root, origin.workspace, say)
        for warning in prepared.provenance.get("warnings", ()):
            say(f"warning: {name}: {draw.one_line(draw.visible(warning))}")
        return prepared

    compared = compared_models(suite)
    if not compared:
        raise SuiteError("no model to run: every model of the suite is published")
    parts = _Assembler(suite, cache, prepare)
    local = [name for name in compared if parts.needs_weights(name)]
    if len(local) > 1 and any(suite.models[name].adapter for name in local):
        from evalkit import models

        # What is wrong with the last model must not be found after the first was merged.
        for name in local:
            ask(name)
            models.check(name, suite.models[name], origin.root, origin.workspace, say)
    for name in compared:
        parts.model(name)
    judging = dict.fromkeys(name for spec in suite.benchmarks for name in spec.judges)
    for name in judging:
        if isinstance(suite.judges[name], RecordedJudgeSpec):
            continue
        parts.judge(name, withheld=selection.without_judge)
    return Job(
        suite=suite,
        origin=origin,
        limit=selection.limit,
        without_judge=selection.without_judge,
        models={name: replace(parts.prepared[name], name=name) for name in compared},
        engines=_judging_last(parts.engines, suite),
        judges={name: _describe_judge(suite.judges[name]) for name in judging},
        benchmarks=benchmarks,
        cache=cache,
    )


def build_benchmarks(
    suite: Suite, origin: Origin, say: Callable[[str], None] = lambda _: None
) -> tuple[Benchmark, ...]:
    """The benchmarks of `suite` with their judges' protocols; nothing is read.

    `say` is told, often, what they do when they load.
    """
    places = data_places(suite, origin)
    return tuple(_benchmark(spec, suite, origin, places, say) for spec in suite.benchmarks)


def _benchmark(
    spec: BenchmarkSpec,
    suite: Suite,
    origin: Origin,
    places: DataPlaces,
    say: Callable[[str], None],
) -> Benchmark:
    cls = plugins.find("benchmarks", spec.type).cls
    judge: PairwiseJudge | RatingJudge | Panel | None = None
    # Judgments that are read from files need no judge; the suite room checks that there is a name.
    if cls.judge_kind is not None and not _is_recorded(spec, suite):
        members = tuple(_protocol(cls, spec, name, suite, places) for name in spec.judges)
        minimum = spec.judge_minimum or len(members) // 2 + 1
        judge = members[0] if len(members) == 1 else Panel(members, minimum)
    repeats = {name: repeats_of(suite.judges[name]) for name in spec.judges}
    context = BenchmarkContext(origin.root, places, judge, suite.seed, repeats, _as_judge, say)
    benchmark: Benchmark = cls(spec, context)
    return benchmark


def _as_judge(model: str, spec: JudgeSpec) -> PairwiseJudge:
    judge: PairwiseJudge = plugins.find("judges", f"pairwise_{spec.protocol}").cls(
        model, model, spec
    )
    return judge


def repeats_of(judge: JudgeSpec) -> RepeatSpec:
    """What a judge judges again; a greedy model of the suite would only say the same."""
    same = isinstance(judge, LocalJudgeSpec) and judge.judge_temperature == 0
    return (
        RepeatSpec(times=0) if same and "repeats" not in judge.model_fields_set else judge.repeats
    )


def _is_recorded(spec: BenchmarkSpec, suite: Suite) -> bool:
    return any(isinstance(suite.judges[name], RecordedJudgeSpec) for name in spec.judges)


def _protocol(
    cls: type[Benchmark], spec: BenchmarkSpec, name: str, suite: Suite, places: DataPlaces
) -> PairwiseJudge | RatingJudge:
    """How the suite's judge `name` judges the benchmark."""
    settings = suite.judges[name]
    style, key = _judge_style(settings), _judge_key(name)
    judge: PairwiseJudge | RatingJudge
    if style == "original" and cls.original_judge is not None:
        context = JudgeContext(places, cls.judge_options(spec))
        original = plugins.find("judges", cls.original_judge).cls
        judge = original(name, key, settings, context)
        return judge
    written = "text" if style == "original" else style
    judge = plugins.find("judges", f"{cls.judge_kind}_{written}").cls(name, key, settings)
    return judge


def data_places(suite: Suite, origin: Origin) -> DataPlaces:
    """The suite's mirror, then EVALKIT_DATA; downloads are kept in the workspace."""
    return mirrors(suite.data.mirror, origin)


def mirrors(named: str | None, origin: Origin) -> DataPlaces:
    """`named` relative to the suite, then EVALKIT_DATA; downloads are kept in the workspace.

    Raises DataError where EVALKIT_DATA names no folder.
    """
    first = [origin.root / named] if named else []
    environment = os.environ.get("EVALKIT_DATA")
    if environment and not Path(environment).is_dir():
        raise DataError(
            f"EVALKIT_DATA is {environment!r}, which is no folder; expected one laid out by "
            f"`evalkit data pull SUITE --to DIR`: set it to that, or unset it"
        )
    found = (*first, Path(environment)) if environment else tuple(first)
    return DataPlaces(found, origin.state / "data")


def advice(suite: Suite) -> Iterator[str]:
    """What is known of the models behind APIs that `suite` uses: that they retire, say."""
    models, used = suite.models.items(), {n for spec in suite.benchmarks for n in spec.judges}
    specs: dict[str, object] = {f"model {name}": m.engine or suite.engine for name, m in models}
    specs |= {f"judge {name}": spec for name, spec in suite.judges.items() if name in used}
    for name, spec in specs.items():
        if isinstance(spec, Advised):
            yield from (f"{name}: {message}" for _, message in spec.warnings())


def _describe_judge(spec: JudgeSpec) -> Json:
    """For the manifest: engine, protocol, caps; never a key."""
    local = isinstance(spec, LocalJudgeSpec)
    settings = spec.model_dump(mode="json")
    return {
        "type": settings.get("type"),
        "model": settings.get("model"),
        "protocol": _judge_style(spec),
        "local": local,
        "caps": {k: settings.get(k) for k in ("max_requests", "max_cost_usd") if k in settings},
        "settings": settings,
    }


def _judging_last(engines: Mapping[str, Engine], suite: Suite) -> dict[str, Engine]:
    """Engines in opening order.

    A model that also judges comes last: then all answers are there, and it is loaded once.
    """
    judging = {s.model for s in suite.judges.values() if isinstance(s, LocalJudgeSpec)}
    late = {id(engine) for name, engine in engines.items() if name in judging}
    return dict(sorted(engines.items(), key=lambda item: id(item[1]) in late))


def extra_figures(run: Run, model: str, benchmark: str) -> Sequence[Figure]:
    """Figures that are not means over samples, recomputed from a stored run.

    Their benchmark computes them, so it is built from the run's suite; data is found as for a run.
    At the level of the run's own figures.  A run may be a stranger's: nothing that its suite's
    author wrote is executed.

    Raises:
        SuiteError: the stored suite cannot be read any more.
        DataError: the figures need code of the suite's author, or data that is not here.
    """
    label = f"{run.folder}/manifest.json"
    with trust.trusting(trust.Trust(environment=False)):
        suite = suites.load_stored(run.manifest.suite.all, label, plugins)
        origin = Origin(label, run.folder, store.find_workspace(), ())
        found = [b for b in build_benchmarks(suite, origin) if b.name == benchmark]
        if not found:
            raise DataError(f"{label}: its suite has no benchmark {benchmark!r}")
        if isinstance(found[0], Coded) and found[0].is_own():
            raise DataError(
                f"{benchmark!r} has tasks of the suite's author, which are not run to read a "
                f"stored run: their templates are programs, too"
            )
        mine = run.records_of(model, benchmark)
        return found[0].extra_figures(mine, suite.report.level)
