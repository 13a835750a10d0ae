"""Runs of `runs.py` as they lie on disk, sealed."""

from __future__ import annotations

from pathlib import Path

from evalkit.core import Json, Run
from evalkit.store import RunStore, read_run, results_json
from tests.support.runs import Plan, build_run

__all__ = ["seal", "stored_run"]

PLAIN = Plan()


def seal(run: Run, folder: Path, files: dict[str, bytes] | None = None, **manifest: Json) -> Run:
    """`run` written to `folder`, with changes to its manifest, and read again."""
    whole = {**run.manifest, **manifest, "sealed": False}
    with RunStore.open(folder, whole) as written:
        for record in run.records:
            written.append(record)
        results = results_json(run.estimates, run.comparisons, whole["run_id"])
        written.seal([r.key for r in run.records], whole, results, files or {})
    return read_run(folder)


def stored_run(folder: Path, plan: Plan = PLAIN, **manifest: Json) -> Run:
    """The run of `plan`, written to `folder` and read again; without a rendered report."""
    return seal(build_run(folder, plan), folder, **manifest)
