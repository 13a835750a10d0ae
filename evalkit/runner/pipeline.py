"""The pipeline: assemble, drive, store, compute, compare, report.  The file to read first.

    suite ─ assemble ─▶ job ─ flows ─▶ drive ─▶ records.jsonl ─ seal ─▶ results.json, report

However a run ends, its answers are kept: records are appended as samples finish, completions are in
the cache, and the same command resumes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from evalkit import store
from evalkit.comparison.figures import comparisons, figures
from evalkit.comparison.gate import Policy
from evalkit.comparison.recompute import load
from evalkit.core import Outcome, PreparedModel, Record, Reply, Request, Sample
from evalkit.core.figures import Figure
from evalkit.core.protocols import Benchmark, Counted, Dated
from evalkit.core.run import Manifest, Run, UsageTotals
from evalkit.core.specs import Suite
from evalkit.engines._drive import drive
from evalkit.errors import RequestFailed, SuiteError
from evalkit.runner import finished
from evalkit.runner.assemble import Job, Origin, Selection, assemble, missing_keys
from evalkit.runner.manifest import describe
from evalkit.runner.plan import unstored
from evalkit.runner.usage import (
    Usage,
    carry_over,
    changed,
    last_checks,
    metered,
    spent,
    total_usage,
    total_work,
    unwrapped,
)
from evalkit.store.completions import CompletionStore

if TYPE_CHECKING:
    from evalkit import report

__all__ = ["Progress", "Result", "Silent", "render", "run", "run_suite"]

Key = tuple[str, str, str, str]
_NOTE_S = 30.0
"""Seconds between a session's lines: as much of its account may be lost when it is killed."""


class Progress(Protocol):
    """Receives what the pipeline does.  Every call returns at once and never raises."""

    def step(self, text: str) -> None:
        """A stage begins, or a slow stage has progressed."""
        ...

    def start(self, totals: Mapping[tuple[str, str], int], done: int) -> None:
        """Requests begin: samples to do per (model, benchmark); `done` were finished before."""
        ...

    def reply(self, key: Key, request: Request, reply: Reply) -> None:
        """An engine answered; `key`: model, benchmark, task and sample of the request."""
        ...

    def record(self, record: Record) -> None:
        """A sample is finished and stored."""
        ...

    def stop(self) -> None:
        """Requests have ended, successfully or not."""
        ...


class Silent:
    """A `Progress` that does nothing."""

    def step(self, text: str) -> None:
        """Nothing."""

    def start(self, totals: Mapping[tuple[str, str], int], done: int) -> None:
        """Nothing."""

    def reply(self, key: Key, request: Request, reply: Reply) -> None:
        """Nothing."""

    def record(self, record: Record) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Result:
    """What `run` did."""

    run: Run
    fresh: int
    """Samples finished by this call; 0: all were there before."""
    usage: Usage
    unanswered: int
    """Samples whose engine or judge could not be reached or failed: sent again next time."""
    models: Mapping[str, PreparedModel]
    """The models that answered, by name; empty where a finished run was found."""
    raise_caps: tuple[str, ...] = ()
    """Caps that kept requests from being sent, doubled, as `--set` takes them."""
    input_error: bool = False
    """Samples are unanswered since the user has to correct a key or a model's name."""

    @property
    def reasons(self) -> str:
        """Why samples are unanswered: each distinct message once, most frequent first."""
        return self.run.unanswered_reasons

    @property
    def exit_code(self) -> int:
        """0 complete; 3 not, or not as it was sealed; 2 where the user has to correct something."""
        if not self.unanswered:
            return 0 if self.run.state == "finished" else 3
        return 2 if self.input_error else 3


def run_suite(
    suite: Suite,
    origin: Origin,
    progress: Progress,
    selection: Selection | None = None,
    out: Path | None = None,
) -> Result:
    """Run `suite`, or resume its run; samples that failed before are sent again.

    Args:
        suite: Checked.
        origin: Where it came from.
        progress: Told what happens.
        selection: How much of it; None: all.
        out: Run folder; None: reports/<suite>/<run id> in the workspace.

    Raises:
        EvalkitError: What ended the run early; everything finished is stored.
    """
    selection, stored, began = selection or Selection(), origin.state / "cache.sqlite", time.time()
    done = finished.recall(suite, origin, selection, out)
    if done is not None:
        progress.step("finished before, and nothing has changed since")
        return Result(store.load(done), 0, Usage(), 0, {})
    lacking = missing_keys(suite, without_judge=selection.without_judge)
    if lacking and not stored.exists() and not _folder(suite, origin).exists():
        raise _no_key(lacking, list(lacking))  # before anything is downloaded or merged
    with CompletionStore(stored) as cache:
        job = assemble(suite, origin, selection, cache, say=progress.step)
        result = run(job, out, retry_failed=True, progress=progress)
    if result.run.manifest.sealed and not result.unanswered:
        finished.remember(job, selection, out, result.run.folder, began)
    return result


def run(job: Job, out: Path | None, retry_failed: bool, progress: Progress) -> Result:
    """Drive `job` to a sealed run.

    Args:
        job: From `assemble`.
        out: Run folder; None: reports/<suite>/<run id> in the workspace.
        retry_failed: Send samples again that failed in an earlier session of this run.
        progress: Receives what happens.

    Raises:
        EvalkitError: The run cannot continue; everything finished so far is stored.
    """
    samples = {benchmark.name: job.samples(benchmark) for benchmark in job.benchmarks_run}
    manifest = describe(job, samples, _use_date(job, datetime.now().astimezone()))
    if job.suite.gate is not None:
        Policy(job.suite.gate, {entry.name: entry for entry in manifest.benchmarks}).check()
    folder = out or _folder(job.suite, job.origin) / manifest.run_id
    items = {
        (model, benchmark.name, sample.task, sample.id): (benchmark, sample)
        for model in job.models
        for benchmark in job.benchmarks_run
        if job.runs(model, benchmark.name)
        for sample in samples[benchmark.name]
    }
    if not folder.exists():
        _require_keys(job, items)
    with store.RunStore.open(folder, manifest) as run_store:
        began = run_store.manifest.date
        if began is not None and began != manifest.date:
            manifest = describe(job, samples, _use_date(job, datetime.fromisoformat(began)))
        recorded = job.known.records(job.limit)
        for record in recorded:
            if record.key not in run_store.records:
                run_store.append(record)
        there = run_store.records
        todo = {
            key: item
            for key, item in items.items()
            if key not in there or (retry_failed and there[key].outcome.unanswered)
        }
        usage, input_error = Usage(), False
        if todo:
            _require_keys(job, todo)
            done = len(items) - len(todo)
            input_error = _send(job, todo, run_store, usage, progress, done=done)
        if todo or not run_store.sealed:
            _seal(job, manifest, _order(job, [*items, *(r.key for r in recorded)]), run_store)
    stored = load(folder)
    unanswered = sum(bool(record.outcome.unanswered) for record in stored.records)
    caps = _raised_caps(job)
    return Result(stored, len(todo), usage, unanswered, job.models, caps, input_error)


def _raised_caps(job: Job) -> tuple[str, ...]:
    """See `Result.raise_caps`."""
    found: dict[str, float] = {}
    for name, engine in metered(job.engines).items():
        if engine.reached is None:
            continue
        _, _, judge = name.partition("judge:")
        if judge:
            place, spec = f"judges.{judge}", dict(job.suite.judges[judge])
        elif (own := job.suite.models[name].engine) is not None:
            place, spec = f"models.{name}.engine", dict(own)
        else:
            place, spec = "engine", dict(job.suite.engine)
        found[f"{place}.{engine.reached}"] = max(1, 2 * spec[engine.reached])
    return tuple(f"{setting}={value}" for setting, value in found.items())


def _use_date(job: Job, date: datetime) -> datetime | None:
    """Let all chat templates print `date`, to the second; None: none of them prints it."""
    date = date.replace(microsecond=0)
    engines = unwrapped(job.engines).values()
    dated = [e.use_date(date) for e in engines if isinstance(e, Dated)]
    return date if any(dated) else None


def _require_keys(job: Job, todo: Mapping[Key, tuple[Benchmark, Sample]]) -> None:
    """Raise SuiteError before anything is sent where an engine that has to answer lacks its key.

    Stored answers need none.
    """
    lacking = missing_keys(job.suite, without_judge=job.without_judge)
    if not lacking:
        return
    flows = {
        key: job.flow(bench, sample, key[0])
        for key, (bench, sample) in todo.items()
        if key[0] in lacking or not isinstance(bench, Counted)  # whose prompts take minutes
    }
    needed = [name for name in unstored(job, flows) if name in lacking]
    if needed:
        raise _no_key(lacking, needed)


def _no_key(lacking: Mapping[str, str], needed: Sequence[str]) -> SuiteError:
    variables = sorted({lacking[name] for name in needed})
    judging = all(name.startswith("judge:") for name in needed)
    return SuiteError(
        f"{', '.join(name.replace('judge:', 'judge ') for name in needed)} cannot answer: the "
        f"environment variable {' and '.join(variables)} is unset; set it to the API key"
        + (", or go on with --without-judge and judge the answers later" if judging else "")
    )


def _folder(suite: Suite, origin: Origin) -> Path:
    """Where runs of `suite` are kept."""
    return origin.workspace / "reports" / suite.name


def _order(job: Job, keys: list[Key]) -> list[Key]:
    """Canonical: by model, benchmark, then in the order sent or recorded."""
    models = {name: n for n, name in enumerate(job.models)}
    benchmarks = {benchmark.name: n for n, benchmark in enumerate(job.benchmarks)}
    return sorted(keys, key=lambda key: (models[key[0]], benchmarks[key[1]]))


def _send(
    job: Job,
    todo: Mapping[Key, tuple[Benchmark, Sample]],
    run_store: store.RunStore,
    usage: Usage,
    progress: Progress,
    *,
    done: int,
) -> bool:
    """Drive the flows of `todo`; every record is stored as it is finished.

    Returns whether a request failed for what the user has to correct.
    """
    flows = {key: job.flow(bench, sample, key[0]) for key, (bench, sample) in todo.items()}
    totals = Counter((model, benchmark) for model, benchmark, _, _ in todo)
    costly = metered(job.engines)
    carry_over(costly, run_store)
    noted, input_error = time.monotonic(), False

    def observe(key: Key, request: Request, reply: Reply) -> None:
        nonlocal noted, input_error
        usage.add(request.engine, reply)
        input_error |= isinstance(reply, RequestFailed) and reply.input_error
        progress.reply(key, request, reply)
        if time.monotonic() > noted + _NOTE_S:
            noted = time.monotonic()
            run_store.session(usage.line("running", spent(costly), job.engines))

    progress.start(totals, done)
    ended = "interrupted"
    try:
        with closing(drive(flows, job.engines, observe)) as finished:
            for key, value in finished:
                record = _record(key, todo[key][1], value)
                run_store.append(record)
                progress.record(record)
        ended = "finished"
    finally:
        progress.stop()
        run_store.session(usage.line(ended, spent(costly), job.engines))
    return input_error


def _record(key: Key, sample: Sample, value: Outcome | RequestFailed) -> Record:
    if isinstance(value, RequestFailed):
        value = Outcome(status=value.status, error=str(value))
    model, benchmark, task, _ = key
    cluster = sample.cluster or f"{task}:{sample.id}"
    return Record(model, benchmark, task, sample.id, sample.category, cluster, value)


def _seal(job: Job, manifest: Manifest, order: list[Key], run_store: store.RunStore) -> None:
    """Compute figures and comparisons, render, and write all of it in its final form."""
    records = [run_store.records[key] for key in order]
    level = job.suite.report.level
    found = figures(records, manifest.benchmarks, level)
    found += _extra_figures(job, records)
    computed = {(f.model, f.key) for f in found if f.value.point is not None}
    found += [f for f in job.known.published if (f.model, f.key) not in computed]
    roles = {name: spec.role for name, spec in job.suite.models.items()}
    compared = comparisons(records, manifest.benchmarks, roles, level)
    sessions = run_store.sessions()
    usage = total_usage(sessions, job.engines)
    more = {
        "work": total_work(sessions),
        "checks": last_checks(sessions),
        "usage": UsageTotals(**usage) if usage else None,
        "judges": tuple(
            judge.model_copy(update={"changed": changed(sessions, f"judge:{judge.name}")})
            for judge in manifest.judges
        ),
    }
    sealed = manifest.model_copy(update={k: found for k, found in more.items() if found})
    finished = sealed.model_copy(update={"sealed": True})
    whole = Run(run_store.folder, finished, tuple(records), tuple(found), tuple(compared))
    results = store.results(found, compared, manifest.run_id)
    run_store.seal(order, sealed, results, render(whole))


def _extra_figures(job: Job, records: Sequence[Record]) -> Iterator[Figure]:
    """Figures that are not means over records: of evidence, and of benchmarks."""
    for model in job.models:
        for benchmark in job.benchmarks:
            mine = [r for r in records if (r.model, r.benchmark) == (model, benchmark.name)]
            found = [e for e in job.known.of(benchmark.name) if e.model == model]
            for evidence in found:
                yield from evidence.figures
            # Groups of lm-eval tasks need the tasks, which are not loaded for evidence alone.
            if mine and (not found or benchmark.judge_kind is not None):
                yield from benchmark.extra_figures(mine, job.suite.report.level)


def render(
    run: Run,
    *,
    figures_only: bool = False,
    split: bool = False,
    more: Sequence[report.Section] = (),
) -> dict[str, bytes]:
    """The files the suite's `report.formats` asks for, by name: reports and model cards.

    Args:
        run: A stored run.
        figures_only: Leave out every question and answer; cards never have any.
        split: Put the page's samples into files beside it.
        more: Sections that a run alone cannot have, such as its history.
    """
    from evalkit import report

    made = report.render(run, figures_only=figures_only, split=split, more=more)
    if "card" not in run.manifest.suite.report.formats:
        return made
    from evalkit import card

    return {**made, **card.files(run)}
