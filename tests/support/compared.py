"""Runs of few records, written by hand, and parts of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalkit import store
from evalkit.comparison.contests import Options, contests
from evalkit.core import Contest, Json, Manifest, Metric, Outcome, Record, Run, Score
from evalkit.core.run import BenchmarkEntry, TaskEntry
from tests.support.runs import with_manifest

__all__ = ["against", "bare", "changed", "entry", "keeping", "one_model"]

PLAIN = Options()


def entry(*metrics: Metric, name: str = "b", task: str = "t") -> BenchmarkEntry:
    """A benchmark of one task."""
    return BenchmarkEntry(name=name, tasks={task: TaskEntry(n_samples=1, metrics=metrics)})


def bare(
    folder: str,
    metric: Metric,
    scores: Mapping[str, Sequence[float]],
    roles: Mapping[str, str] | None = None,
    **description: Json,
) -> Run:
    """A run of benchmark `b`, task `t`, with these models' scores of one metric."""
    records = tuple(
        Record(model, "b", "t", str(i), None, "", Outcome("ok", scores=(Score(metric.name, v),)))
        for model, values in scores.items()
        for i, v in enumerate(values)
    )
    task = TaskEntry(n_samples=1, metrics=(metric,))
    manifest = Manifest.model_validate(
        {
            "run_id": folder,
            "sealed": True,
            "models": [{"name": m, "role": r} for m, r in (roles or {}).items()],
            "benchmarks": [{"name": "b", "description": description, "tasks": {"t": task}}],
        }
    )
    return Run(Path(folder), manifest, records, (), ())


def against(
    run: Run | Sequence[Run], options: Options = PLAIN, a: str = "a", b: str = "b"
) -> list[Contest]:
    """`a` against `b`."""
    return contests([run] if isinstance(run, Run) else run, a, [b], options)


def keeping(run: Run, wanted: Any, folder: str = "") -> Run:
    """The run with the records that `wanted` wants."""
    place = run.folder.parent / folder if folder else run.folder
    return replace(run, folder=place, records=tuple(r for r in run.records if wanted(r)))


def one_model(run: Run, model: str, folder: str) -> Run:
    """One model's half of a run."""
    return keeping(run, lambda record: record.model == model, folder)


def changed(run: Run, benchmark: str, **fields: Json) -> Run:
    """The run with other fields in a benchmark's description; empty: in all."""
    found = store.manifest_json(run.manifest)
    for one in found["benchmarks"]:
        if benchmark in ("", one["name"]):
            one["description"] = {**one.get("description", {}), **fields}
    return with_manifest(run, **found)
