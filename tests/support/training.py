"""Runs of the checkpoints of a training, as `evalkit run` would have left them."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path

from evalkit import store
from evalkit.core import Json, Run
from tests.support.runs import Plan, build_run

__all__ = ["Made", "make_run"]


@dataclass(frozen=True)
class Made:
    """What to make."""

    name: str = "tuned"
    """Of the candidate."""
    seed: int = 1
    advantage: float = 0.1
    path: str | None = None
    """Where its manifest says the candidate came from."""
    started: float | None = None
    """Unix time of its session; None: no sessions.jsonl."""
    sealed: bool = True
    changed: dict[str, Json] = field(default_factory=dict)
    """Settings of its first benchmark."""


def make_run(folder: Path, made: Made = Made()) -> Run:
    """Write the run and read it back."""
    plan = Plan(models=(made.name, "base"), seed=made.seed, advantage=made.advantage)
    run = build_run(folder, plan)
    manifest = copy.deepcopy(dict(run.manifest))
    manifest["run_id"] = store.run_id([made.seed, made.name])
    manifest["benchmarks"][0]["description"].update(made.changed)
    for entry in manifest["models"]:
        entry["provenance"] = {}
    if made.path is not None:
        manifest["models"][0]["provenance"] = {"source": {"kind": "folder", "path": made.path}}
    results = store.results_json(run.estimates, run.comparisons, manifest["run_id"])
    with store.RunStore.open(folder, {**manifest, "sealed": False}) as open_run:
        for record in run.records:
            open_run.append(record)
        if made.started is not None:
            open_run.session({"started": made.started, "ended": "finished"})
        if made.sealed:
            open_run.seal([r.key for r in run.records], manifest, results, {})
    return store.read_run(folder)
