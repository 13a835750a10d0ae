"""Stored answers and another judge: judged again, and a bridge to its scale.

    run ─ judge_again ─▶ a run with the same answers, judged by another judge
    run ─ judge_bridge ─▶ the run, with a sample of its answers judged by both (`comparison.bridge`)
                          + figures of a run by the second judge, on the first one's scale

Both make ordinary runs: resumed by the same command, answered from the cache, within their caps.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from urllib.parse import urlsplit

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from evalkit import data, plugins, store
from evalkit import suite as suites
from evalkit.comparison.bridge import Relation, figures, relations
from evalkit.comparison.contests import Options, contests_of
from evalkit.comparison.guard import judge_model
from evalkit.comparison.recompute import load
from evalkit.comparison.resolve import Part, Side
from evalkit.comparison.votes import Answer, JudgeAgreement, judge_agreement
from evalkit.core import Completion, Json, Record, Sample, trust
from evalkit.core.figures import Comparison, Figure
from evalkit.core.run import Bridge, Manifest, Run
from evalkit.core.specs import (
    BenchmarkSpec,
    JudgeSpec,
    LocalJudgeSpec,
    ModelSpec,
    RecordedJudgeSpec,
    ReportSpec,
    Suite,
)
from evalkit.draw import state_text
from evalkit.engines._settings import RemoteSpec
from evalkit.engines.recorded import RecordedSpec
from evalkit.errors import ComparisonError, DataError, SuiteError, did_you_mean
from evalkit.formats import Answers
from evalkit.runner.assemble import Origin, Selection, build_benchmarks, data_places, with_engines
from evalkit.runner.known import Known
from evalkit.runner.pipeline import Progress, Result, render
from evalkit.runner.pipeline import run as run_job
from evalkit.store.completions import CompletionStore

__all__ = [
    "Bridging",
    "JudgedAgain",
    "find_judge",
    "judge",
    "judge_again",
    "judge_bridge",
    "origin_of",
]


# --- which judge --------------------------------------------------------------------------------


def find_judge(
    wanted: str | None,
    runs: Sequence[Run],
    settings: Mapping[str, Json],
    more: Mapping[str, JudgeSpec] = MappingProxyType({}),
) -> tuple[str, JudgeSpec]:
    """Name and settings of a judge.

    Args:
        wanted: The name of a judge in one of the runs' suites, the first that has it; or a model
            behind an API (gpt-6.1-sol, openai:MODEL); None: the only judge of the first run.
        runs: Where to look.
        settings: Fields of the judge in place of those found.
        more: The judges of a suite, which come first.

    Raises:
        SuiteError: no such judge, one whose judgments are only recorded, or wrong settings.
    """
    known = {name: spec.model_dump(exclude_unset=True) for name, spec in more.items()}
    for run in runs:
        for name, stored in run.manifest.suite.judges.items():
            known.setdefault(name, dict(stored.all))
    if wanted is None:
        used = {name for entry in runs[0].benchmarks for name in entry.judges}
        wanted = used.pop() if len(used) == 1 else ""
    typed = None if wanted in known else suites.api_judge(wanted)
    if typed is not None:
        name, fields = str(typed["model"]), typed
    elif wanted in known:
        name, fields = wanted, dict(known[wanted])
    else:
        choices = ", ".join(known) or "none"
        raise SuiteError(
            f"--judge {wanted!r}: no judge of these runs{did_you_mean(wanted, known)}; expected "
            f"one of {choices}; or a model behind an API, as gpt-6.1-sol or openai:MODEL"
        )
    try:
        made = plugins.judge_spec(str(fields.get("type"))).model_validate({**fields, **settings})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SuiteError(
            f"--judge {wanted!r}: {wrong}; correct it with --set FIELD=VALUE (`evalkit schema` "
            f"lists the fields of a judge)"
        ) from None
    trusted = typed is not None or wanted in more or "base_url" in settings
    if isinstance(made, RemoteSpec) and not trusted and not _is_known_place(made):
        raise SuiteError(
            f"--judge {wanted!r}: the run's own suite sends it, with your key, to {made.base_url}, "
            f"and a run may be a stranger's; look at that address, and repeat the command with "
            f"--set base_url={made.base_url}"
        )
    if isinstance(made, RecordedJudgeSpec):
        raise SuiteError(
            f"--judge {wanted!r}: its judgments are recorded, and it judges nothing new; name a "
            f"judge that answers, as openai:MODEL"
        )
    return name, made


def _is_known_place(judge: RemoteSpec) -> bool:
    """The vendor's own address, or this machine."""
    host = urlsplit(judge.url).hostname
    return judge.url == judge.home or host in ("localhost", "127.0.0.1", "::1")


def origin_of(run: Run, label: str, command: tuple[str, ...]) -> Origin:
    """Where the run's suite came from, if it is still there: data of its own is looked up there."""
    place = Path(run.manifest.suite_file or "").parent
    root = place if place.is_dir() else run.folder
    return Origin(label, root, store.find_workspace(), command)


# --- judged again -------------------------------------------------------------------------------


def judge_again(
    run: Run,
    judge: tuple[str, JudgeSpec],
    origin: Origin,
    progress: Progress,
    *,
    models: Collection[str] = (),
    chosen: frozenset[tuple[str, str, str]] | None = None,
    out: Path | None = None,
) -> Result:
    """Judge a stored run's answers with another judge, into a run of its own.

    Args:
        run: Sealed.
        judge: From `find_judge`.
        origin: Where its own data and the workspace are.
        progress: Told what happens.
        models: Only these models' answers; empty: all.
        chosen: Only these samples: benchmark entry, task, sample id; None: all.
        out: Run folder; None: reports/<suite>/<run id> in the workspace.

    Raises:
        SuiteError: nothing in the run is judged, or its suite cannot be read any more.
        EvalkitError: What ended the run early; everything finished is stored.
    """
    # Consent to a suite read for its judges is none to the run's own.
    with trust.trusting(trust.current().afresh()):
        suite = _suite(run, judge, models)
        benchmarks = build_benchmarks(suite, origin)
        needs = [name for benchmark in benchmarks for name in benchmark.data_needs()]
        data.require_available(list(dict.fromkeys(needs)), data_places(suite, origin))
        for benchmark in benchmarks:
            progress.step(f"reading {benchmark.name}")
            benchmark.load()
        with CompletionStore(origin.state / "cache.sqlite") as cache:
            limited = Selection(limit=run.manifest.limit)
            job = with_engines(suite, origin, limited, benchmarks, cache, progress.step)
            job.known = Known(answers=_answers(run, suite))
            job.chosen = chosen
            if chosen is None and run.manifest.limit is not None:
                # Its first samples need not be the benchmark's: evidence has an order of its own.
                job.chosen = frozenset((r.benchmark, r.task, r.sample) for r in run.records)
            return run_job(job, out, retry_failed=True, progress=progress)


def _suite(run: Run, judge: tuple[str, JudgeSpec], models: Collection[str]) -> Suite:
    """The run's suite with its judged benchmarks, their answers recorded, and this judge."""
    name, spec = judge
    label = f"{run.folder}/manifest.json"
    before = suites.load_stored(run.manifest.suite.all, label, plugins)
    judged = {entry.name for entry in run.benchmarks if entry.judges}
    answered = {(r.model, r.benchmark) for r in run.records if r.benchmark in judged}
    benchmarks = [b for b in before.benchmarks if any(b.entry == entry for _, entry in answered)]
    if not benchmarks:
        raise SuiteError(f"{run.folder}: no benchmark of this run is judged; nothing to judge")
    wanted = [m for m in before.models if any(r.model == m for r in run.records)]
    unknown = next((m for m in models if m not in wanted), None)
    if unknown is not None:
        raise SuiteError(
            f"--model {unknown!r} has no answers in {run.folder}{did_you_mean(unknown, wanted)}; "
            f"expected one of {', '.join(wanted)}"
        )
    recorded = {}
    for m in [m for m in wanted if not models or m in models]:
        answers = {entry: str(run.folder) for model, entry in sorted(answered) if model == m}
        engine = RecordedSpec(answers=answers)
        recorded[m] = ModelSpec(role=before.models[m].role, engine=engine)
    if isinstance(spec, LocalJudgeSpec):
        if spec.model not in before.models:
            raise SuiteError(f"judge {name!r} is model {spec.model!r}, which the run does not have")
        recorded[spec.model] = before.models[spec.model]
    return Suite(
        name=before.name,
        models=recorded,
        engine=before.engine,
        judges={name: spec},
        benchmarks=tuple(_judged_by(b, name) for b in benchmarks),
        gate=before.gate if before.gate and before.gate.baseline in recorded else None,
        report=ReportSpec(level=before.report.level),
        data=before.data,
        seed=before.seed,
    )


def _judged_by(spec: BenchmarkSpec, judge: str) -> BenchmarkSpec:
    return spec.model_copy(update={"judge": judge, "judge_minimum": None})


def _answers(run: Run, suite: Suite) -> dict[tuple[str, str], Answers]:
    """By model and benchmark entry, what the records hold."""
    found = {}
    for model in suite.models:
        for spec in suite.benchmarks:
            records = run.records_of(model, spec.entry)
            by_key = {_place(r.task, r.sample): _completions(r) for r in records}
            found[model, spec.entry] = Answers(by_key, _of_sample, run.manifest.run_id)
    return found


def _of_sample(sample: Sample) -> str:
    return _place(sample.task, sample.id)


def _place(task: str, sample: str) -> str:
    return f"{task}\n{sample}"


def _completions(record: Record) -> tuple[Completion, ...]:
    outcome, n = record.outcome, len(record.outcome.answers)
    found = [
        Completion(text=text, truncated=outcome.truncated, thought=thought)
        for text, thought in zip_longest(outcome.answers, outcome.thoughts[:n], fillvalue="")
    ]
    if outcome.status == "unfinished":
        lost = next(iter(outcome.thoughts[n:]), "")
        found.append(Completion(thought=lost, unfinished=True, truncated=outcome.truncated))
    return tuple(found)


@dataclass(frozen=True)
class JudgedAgain:
    """A run's answers judged by another judge, and how the two judges relate."""

    result: Result
    relations: tuple[Relation, ...]
    """Their scores, by each task's primary metric."""
    agreements: tuple[JudgeAgreement, ...]
    """Their verdicts, by benchmark."""

    @property
    def run(self) -> Run:
        """By the other judge."""
        return self.result.run

    def to_json(self) -> Json:
        """For `evalkit judge --json`."""
        rows = {"relations": self.relations, "agreements": self.agreements}
        return {"run": str(self.run.folder), **to_jsonable_python(rows)}


def judge(
    run: Run,
    by: tuple[str, JudgeSpec],
    origin: Origin,
    progress: Progress,
    *,
    models: Collection[str] = (),
    out: Path | None = None,
) -> JudgedAgain:
    """`judge_again`, all of it, and what both judges gave the same answers."""
    result = judge_again(run, by, origin, progress, models=models, out=out)
    first, second = _values(run), _values(result.run)
    agreements = tuple(
        judge_agreement(
            entry.name,
            (_who(run, entry.name), _who(result.run, entry.name)),
            first[entry.name],
            second[entry.name],
            run.manifest.suite.report.level,
        )
        for entry in run.benchmarks
        if not first.get(entry.name, {}).keys().isdisjoint(second.get(entry.name, {}))
    )
    both = _bridge(run, result.run, by[0], len(run.records))
    return JudgedAgain(result, tuple(relations(both)), agreements)


def _who(run: Run, entry: str) -> str:
    return judge_model(Part(run, "", entry)) or ", ".join(run.benchmark(entry).judges)


def _values(run: Run) -> dict[str, dict[Answer, float]]:
    """By benchmark entry and answer; a panel's mean."""
    found: dict[str, dict[Answer, list[float]]] = {}
    for r in run.records:
        for j in r.outcome.judgments:
            if j.status == "ok" and j.value is not None:
                of = found.setdefault(r.benchmark, {})
                of.setdefault((r.cluster, r.key, j.part), []).append(j.value)
    return {entry: {a: fmean(v) for a, v in of.items()} for entry, of in found.items()}


# --- a bridge -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bridging:
    """What `judge_bridge` did."""

    relations: tuple[Relation, ...]
    """How the two judges relate, task by task."""
    run: Run | None
    """The bridge; None: they agree too little on any task, and nothing was written."""
    judged: Result
    """The sample by the second judge."""


def judge_bridge(
    old: Run,
    judge: tuple[str, JudgeSpec],
    origin: Origin,
    progress: Progress,
    *,
    to: Run | None = None,
    models: Collection[str] = (),
    sample: int = 100,
    out: Path | None = None,
) -> Bridging:
    """Judge a random sample of a run's answers with a second judge, and state its figures.

    Args:
        old: Sealed, judged by the earlier judge.
        judge: The second one, from `find_judge`.
        origin: As for `judge_again`.
        progress: Told what happens.
        to: A run by the second judge, whose judged figures are stated on the scale of `old`.
        models: Whose answers are sampled; empty: all models of `old`.
        sample: Questions per benchmark and task; each model's answers to them are judged.
        out: Folder of the bridge; None: reports/<suite>/<run id> in the workspace.

    Raises:
        DataError: a run is not finished, or not as it was sealed.
        ComparisonError: `to` was judged by a third judge, or differs in more than its judge.
        SuiteError, EvalkitError: as `judge_again`.
    """
    name, spec = judge
    for run in (old, to) if to is not None else (old,):
        if run.state != "finished":
            raise DataError(f"{run.folder}: {state_text(run)}")
    _refuse_wrong_judge(old, to, spec)
    taken = {j.name for j in old.manifest.judges}
    name = next(n for n in (name, *(f"{name}-{k}" for k in range(2, 99))) if n not in taken)
    chosen = frozenset(_sampled(old, models, sample))
    judged = judge_again(old, (name, spec), origin, progress, models=models, chosen=chosen)
    bridged = _bridge(old, judged.run, name, sample)
    related = tuple(relations(bridged))
    if judged.unanswered or all(one.refusal for one in related):
        return Bridging(related, None, judged)
    label = old.manifest.suite_name or "bridge"
    folder = out or origin.workspace / "reports" / label / bridged.manifest.run_id
    bridged = replace(bridged, folder=folder)
    if to is not None:
        bridged = _with_figures(bridged, to)
        folder = out or folder.with_name(bridged.manifest.run_id)
    return Bridging(related, _written(replace(bridged, folder=folder)), judged)


def _sampled(run: Run, models: Collection[str], sample: int) -> Iterator[tuple[str, str, str]]:
    """A random choice of the questions of each judged task, decided by the run's seed."""
    places: dict[tuple[str, str], set[str]] = {}
    judged = {entry.name for entry in run.benchmarks if entry.judges}
    for r in run.records:
        if r.benchmark in judged and r.outcome.scores and (not models or r.model in models):
            places.setdefault((r.benchmark, r.task), set()).add(r.sample)
    for (benchmark, task), samples in places.items():
        seed = f"bridge:{run.manifest.seed}:{benchmark}:{task}"
        rng = random.Random(seed)  # noqa: S311 - no secret
        for one in rng.sample(sorted(samples), min(sample, len(samples))):
            yield benchmark, task, one


def _bridge(old: Run, again: Run, judge: str, sample: int) -> Run:
    """The earlier run with the second judge's scores of the sample; not stored."""
    second = {r.key: r.outcome for r in again.records if r.outcome.scores}
    records = tuple(
        replace(
            r,
            outcome=replace(
                r.outcome,
                judgments=(*r.outcome.judgments, *second[r.key].judgments),
                rejudged=second[r.key].scores,
            ),
        )
        if r.key in second
        else r
        for r in old.records
    )
    after = {entry.name: entry for entry in again.benchmarks}
    benchmarks = tuple(
        entry.model_copy(
            update={
                "bridge": Bridge(
                    judge=judge,
                    description=after[entry.name].description,
                    sample=sample,
                    seed=old.manifest.seed,
                )
            }
        )
        if entry.name in after
        else entry
        for entry in old.manifest.benchmarks
    )
    said = [old.manifest.run_id, again.manifest.run_id]
    manifest = old.manifest.model_copy(
        update={
            "run_id": store.run_id(["bridge", *said]),
            "sealed": False,
            "judges": (*old.manifest.judges, *again.manifest.judges),
            "benchmarks": benchmarks,
            "commands": again.manifest.commands,
        }
    )
    return replace(old, manifest=manifest, records=records, votes=())


def _with_figures(bridged: Run, to: Run) -> Run:
    """The bridge with the judged figures of another run, and these against its own models."""
    found: list[Figure] = []
    compared: list[Comparison] = []
    entries, specs = list(bridged.manifest.models), dict(bridged.manifest.suite.models)
    own = list(dict.fromkeys(r.model for r in bridged.records))
    for model in dict.fromkeys(r.model for r in to.records):
        label = f"{model} ({to.manifest.run_id})" if model in own else model
        shared = {
            entry.name: Part(to, model, entry.name)
            for entry in bridged.benchmarks
            if entry.bridge is not None and to.records_of(model, entry.name)
        }
        stated: list[Figure] = []
        for name, part in shared.items():
            earlier = [Part(bridged, m, name) for m in own if bridged.records_of(m, name)]
            stated += figures(part, earlier, to.manifest.suite.report.level)
        if not stated:
            continue
        found += [replace(figure, model=label) for figure in stated]
        for m in own if to.role(model) == "candidate" else ():
            parts = {n: Part(bridged, m, n) for n in shared if bridged.records_of(m, n)}
            mine = {n: shared[n] for n in parts}
            sides = [
                Side(side, of, {n: (part,) for n, part in of.items()})
                for side, of in ((label, mine), (m, parts))
            ]
            options = Options(level=to.manifest.suite.report.level)
            compared += [c.comparison for c in contests_of(sides[0], sides[1:], options)]
        specs[label] = to.manifest.suite.models[model]
        if (known := to.model(model)) is not None:
            entries.append(known.model_copy(update={"name": label}))
    manifest = bridged.manifest.model_copy(
        update={
            "run_id": store.run_id([bridged.manifest.run_id, to.manifest.run_id]),
            "models": tuple(entries),
            "suite": bridged.manifest.suite.model_copy(update={"models": specs}),
        }
    )
    return replace(
        bridged,
        manifest=manifest,
        figures=(*bridged.figures, *found),
        comparisons=(*bridged.comparisons, *(c for c in compared if c.key.category is None)),
    )


def _refuse_wrong_judge(old: Run, to: Run | None, judge: JudgeSpec) -> None:
    """Before anything is paid.

    Raises:
        ComparisonError: it judged the earlier run already, or did not judge the later one.
    """
    wanted = judge.model_dump().get("model")
    for run in (old, to) if to is not None else (old,):
        for entry in run.benchmarks:
            named = judge_model(Part(run, "", entry.name))
            if named and wanted and (named == wanted) != (run is to):
                which = f"by {named!r}, not by {wanted!r}" if run is to else f"by {named!r} already"
                raise ComparisonError(
                    f"{run.folder}: {entry.name!r} was judged {which}; name the new judge with "
                    f"--judge, and with --to a run that it judged"
                )


def _written(bridged: Run) -> Run:
    """Stored as an ordinary sealed run."""
    manifest = bridged.manifest
    with store.RunStore.open(bridged.folder, manifest) as run_store:
        for record in bridged.records:
            if run_store.records.get(record.key) != record:
                run_store.append(record)
        finished: Manifest = manifest.model_copy(update={"sealed": True})
        results = store.results(bridged.figures, bridged.comparisons, manifest.run_id)
        files = render(replace(bridged, manifest=finished))
        run_store.seal([r.key for r in bridged.records], manifest, results, files)
    return load(bridged.folder)
