"""Typed runs written by hand: entries, records, and the synthetic runs of `runs.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalkit import store
from evalkit.compare.contests import Options, contests
from evalkit.core import Json, Outcome, Record, Score
from evalkit.core.contests import Contest
from evalkit.core.figures import Metric
from evalkit.core.run import BenchmarkEntry, Run, TaskEntry
from evalkit.core.specs import GateSpec
from tests.support.leaderboards import board_run
from tests.support.runs import Plan, typed_run

__all__ = [
    "against",
    "bare",
    "board",
    "changed",
    "entry",
    "keeping",
    "made",
    "one_model",
    "with_gate",
]

PLAIN = Options()


def made(folder: Path, plan: Plan) -> Run:
    """The run of `plan`; nothing is written."""
    return replace(typed_run(plan), folder=folder)


def board(folder: Path, rates: Mapping[str, float], **more: Any) -> Run:
    """A run of the Open LLM Leaderboard."""
    return store.typed(board_run(folder, rates, **more))


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
    manifest = store.manifest_of(
        {
            "run_id": folder,
            "sealed": True,
            "models": [{"name": m, "role": r} for m, r in (roles or {}).items()],
            "benchmarks": [{"name": "b", "description": description}],
        }
    )
    benchmark = manifest.benchmarks[0].model_copy(update={"tasks": {"t": task}})
    manifest = manifest.model_copy(update={"benchmarks": (benchmark,)})
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
    return replace(run, manifest=store.manifest_of(found))


def with_gate(run: Run, gate: GateSpec | None) -> Run:
    """The run with another gate section in its suite."""
    suite = run.manifest.suite.model_copy(update={"gate": gate})
    return replace(run, manifest=run.manifest.model_copy(update={"suite": suite}))
