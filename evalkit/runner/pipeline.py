"""The pipeline: assemble, drive, store, estimate, compare, report.  The file to read first.

    suite ─ assemble ─▶ job ─ flows ─▶ drive ─▶ records.jsonl ─ seal ─▶ results.json, report

Whatever ends a run early, what was answered stays: records are appended as samples finish,
completions are in the cache, and the same command goes on from there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from evalkit import compare, store
from evalkit.core import (
    UNANSWERED,
    Estimate,
    Json,
    Metric,
    Outcome,
    PreparedModel,
    Record,
    Reply,
    Request,
    Run,
    Sample,
)
from evalkit.core.protocols import Benchmark
from evalkit.engines._drive import drive
from evalkit.errors import RequestFailed
from evalkit.runner import files
from evalkit.runner.assemble import Job
from evalkit.runner.manifest import describe
from evalkit.runner.progress import Progress
from evalkit.runner.usage import (
    Usage,
    carry_over,
    last_checks,
    metered,
    spent,
    total_usage,
    total_work,
)

__all__ = ["Result", "run"]

Key = tuple[str, str, str, str]
Item = tuple[Benchmark, Sample]
_NOTE_S = 30.0
"""How often a session's line is written anew: what a killed one loses of its account."""


@dataclass(frozen=True)
class Result:
    """What `run` did."""

    run: Run
    fresh: int
    """Samples finished by this call; 0: everything was there before."""
    usage: Usage
    unanswered: int
    """Samples whose engine or judge could not be reached or failed: asked again next time."""
    models: Mapping[str, PreparedModel]
    """The models that answered, by name."""

    @property
    def reasons(self) -> str:
        """Why samples are unanswered: each distinct message once, most frequent first."""
        found = Counter(
            r.outcome.error or r.outcome.status
            for r in self.run.records
            if r.outcome.status in UNANSWERED
        )
        return "; ".join(f"{n} times: {reason}" for reason, n in found.most_common(3))


def run(job: Job, out: Path | None, retry_failed: bool, progress: Progress) -> Result:
    """Drive `job` to a sealed run.

    Args:
        job: From `assemble`.
        out: Run folder; None: reports/<suite>/<run id> in the workspace.
        retry_failed: Ask again for samples that failed in an earlier session of this run.
        progress: Told what happens.

    Raises:
        EvalkitError: The run cannot go on; everything finished so far is stored.
    """
    samples = {benchmark.name: job.samples(benchmark) for benchmark in job.asked}
    manifest = describe(job, samples)
    folder = out or job.origin.workspace / "reports" / job.suite.name / manifest["run_id"]
    with store.RunStore.open(folder, manifest) as run_store:
        items = _items(job, samples)
        order = _order(job, items)
        _add_evidence(job, run_store)
        kept = {k for k, r in run_store.records.items() if _keep(r, retry_failed)}
        todo = {key: item for key, item in items.items() if key not in kept}
        usage = Usage()
        if todo:
            _ask(job, todo, run_store, len(kept), (usage, progress))
        if todo or not run_store.sealed:
            _seal(job, manifest, order, run_store)
    stored = store.read_run(folder)
    unanswered = sum(r.outcome.status in UNANSWERED for r in stored.records)
    return Result(stored, len(todo), usage, unanswered, job.models)


def _items(job: Job, samples: Mapping[str, list[Sample]]) -> dict[Key, Item]:
    """Every sample of every model, in canonical order."""
    return {
        (model, benchmark.name, sample.task, sample.id): (benchmark, sample)
        for model in job.models
        for benchmark in job.asked
        if job.asks(model, benchmark.name)
        for sample in samples[benchmark.name]
    }


def _order(job: Job, items: Mapping[Key, Item]) -> list[Key]:
    """Canonical order of all records: by model, benchmark, then as asked or as recorded."""
    keys = [*items, *(record.key for record in job.known.records(job.limit))]
    models = {name: n for n, name in enumerate(job.models)}
    benchmarks = {benchmark.name: n for n, benchmark in enumerate(job.benchmarks)}
    return sorted(keys, key=lambda key: (models[key[0]], benchmarks[key[1]]))


def _add_evidence(job: Job, run_store: store.RunStore) -> None:
    for record in job.known.records(job.limit):
        if record.key not in run_store.records:
            run_store.append(record)


def _keep(record: Record, retry_failed: bool) -> bool:
    """Whether a stored record stands; a failed judgment of one turn is a failure too."""
    outcome = record.outcome
    statuses = {outcome.status, *(judgment.status for judgment in outcome.judgments)}
    return not retry_failed or not statuses & UNANSWERED


def _ask(
    job: Job,
    todo: Mapping[Key, Item],
    run_store: store.RunStore,
    kept: int,
    watchers: tuple[Usage, Progress],
) -> None:
    usage, progress = watchers
    flows = {key: job.flow(bench, sample, key[0]) for key, (bench, sample) in todo.items()}
    totals = Counter((model, benchmark) for model, benchmark, _, _ in todo)
    capped = metered(job.engines)
    carry_over(capped, run_store.sessions())
    written = spent(capped)

    noted = time.monotonic()

    def observe(key: Key, request: Request, reply: Reply) -> None:
        nonlocal written, noted
        usage.add(reply)
        progress.reply(key, request, reply)
        if spent(capped) != written or time.monotonic() > noted + _NOTE_S:
            written, noted = spent(capped), time.monotonic()
            run_store.session(usage.line("running", written, job.engines))

    progress.start(totals, kept)
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
        run_store.session(usage.line(ended, spent(capped), job.engines))


def _record(key: Key, sample: Sample, value: Outcome | RequestFailed) -> Record:
    if isinstance(value, RequestFailed):
        value = Outcome(status=value.status, error=str(value))
    model, benchmark, task, _ = key
    cluster = sample.cluster or f"{task}:{sample.id}"
    return Record(model, benchmark, task, sample.id, sample.category, cluster, value)


def _seal(job: Job, manifest: dict[str, Json], order: list[Key], run_store: store.RunStore) -> None:
    records = [run_store.records[key] for key in order]
    metrics: dict[str, dict[str, tuple[Metric, ...]]] = {}
    for benchmark in manifest["benchmarks"]:
        metrics[benchmark["name"]] = {
            task: tuple(Metric(**m) for m in described["metrics"])
            for task, described in benchmark["tasks"].items()
        }
    level = job.suite.report.level
    estimates = [*compare.estimates(records, metrics, level), *_extra_estimates(job, records)]
    computed = {(e.model, e.benchmark, e.task, e.metric) for e in estimates if e.point is not None}
    estimates.extend(
        e for e in job.known.published if (e.model, e.benchmark, e.task, e.metric) not in computed
    )
    roles = {name: spec.role for name, spec in job.suite.models.items()}
    averages = {b["name"]: compare.averages_of_entry(b) for b in manifest["benchmarks"]}
    comparisons = compare.comparisons(records, metrics, roles, level, averages)
    sessions = run_store.sessions()
    more = {
        "work": total_work(sessions),
        "checks": last_checks(sessions),
        "usage": total_usage(sessions, job.engines),
    }
    sealed = {**manifest, "sealed": True, **{name: found for name, found in more.items() if found}}
    run = Run(run_store.folder, sealed, tuple(records), tuple(estimates), tuple(comparisons))
    results = compare.results_json(estimates, comparisons, manifest["run_id"])
    run_store.seal(order, sealed, results, files.render(run))


def _extra_estimates(job: Job, records: Sequence[Record]) -> Iterator[Estimate]:
    """Figures that are no means over records: of evidence, and of benchmarks."""
    for model in job.models:
        for benchmark in job.benchmarks:
            mine = [r for r in records if (r.model, r.benchmark) == (model, benchmark.name)]
            found = [e for e in job.known.of(benchmark.name) if e.model == model]
            for evidence in found:
                yield from evidence.estimates
            # Groups of lm-eval tasks need the tasks, which are not loaded for mere evidence.
            if mine and (not found or benchmark.judge_kind is not None):
                yield from benchmark.extra_estimates(mine, job.suite.report.level)
