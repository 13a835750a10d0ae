"""A pinned baseline: one model's scores and what made them, small enough to commit.

    {"format": 1, "kind": "evalkit baseline", "model": ..., "run": {"run_id", "records_sha256"},
     "limit": ..., "benchmarks": [...], "evidence": [...],
     "records": {BENCHMARK: [[task, sample, category, cluster, status, [[metric, part, value]]]]}}

A record has a seventh entry, {metric: values}, where an average needs values that are no score
(`core.Average`; IFEval's instructions).  No question and no answer is in it.  `benchmarks` and
`evidence` are the manifest's entries, so that the comparability guard reads a pinned baseline as it
reads a run.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import get_args

from evalkit.compare import averages_of_entry
from evalkit.core import Json, Outcome, Record, Run, Score, Status
from evalkit.errors import ComparisonError, DataError
from evalkit.store import canonical_json

__all__ = ["pin", "read_pinned"]

FORMAT = 1
KIND = "evalkit baseline"


def pin(run: Run, model: str) -> bytes:
    """The file for one model of a run.  Raises ComparisonError where it has no records there."""
    mine = [record for record in run.records if record.model == model]
    if not mine:
        known = ", ".join(dict.fromkeys(r.model for r in run.records)) or "none"
        raise ComparisonError(
            f"model {model!r} has no records in {run.folder}; expected one of: {known}"
        )
    entries = {record.benchmark for record in mine}
    needed = {name: _averaged(run, name) for name in entries}
    records: dict[str, list[Json]] = {}
    for record in mine:
        records.setdefault(record.benchmark, []).append(_row(record, needed[record.benchmark]))
    head: dict[str, Json] = {
        "format": FORMAT,
        "kind": KIND,
        "model": model,
        "run": {
            "run_id": run.manifest.get("run_id"),
            "records_sha256": hashlib.sha256(canonical_json(records)).hexdigest(),
        },
        "limit": run.manifest.get("limit"),
        "benchmarks": [b for b in run.manifest.get("benchmarks", ()) if b.get("name") in entries],
        "evidence": [
            e
            for e in run.manifest.get("evidence", ())
            if e.get("model") == model and e.get("entry") in entries
        ],
    }
    return _lines(head, records)


def _averaged(run: Run, benchmark: str) -> set[str]:
    """Names of the metrics that the benchmark's averages are made of."""
    entries = (b for b in run.manifest.get("benchmarks", ()) if b.get("name") == benchmark)
    averages = averages_of_entry(next(entries, {}))
    return {metric for average in averages for _, metric in average.of}


def _row(record: Record, averaged: set[str]) -> Json:
    scores = [[s.metric, s.part, s.value] for s in record.outcome.scores]
    where = [record.task, record.sample, record.category, record.cluster]
    values = {name: v for name, v in record.outcome.data.items() if name in averaged}
    return [*where, record.outcome.status, scores, *([values] if values else [])]


def _lines(head: dict[str, Json], records: dict[str, list[Json]]) -> bytes:
    """One record a line, so that a change shows as one."""
    text = json.dumps(head, indent=1, ensure_ascii=False, sort_keys=True)
    parts = []
    for name, rows in records.items():
        lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        parts.append(f"{json.dumps(name, ensure_ascii=False)}: [\n{lines}\n]")
    return (text[:-2] + ',\n "records": {' + ",\n".join(parts) + "}\n}\n").encode()


def read_pinned(path: Path) -> Run:
    """A pinned baseline as a run with one model.  Raises DataError where it is none, or changed."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a pinned baseline: {error}") from error
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise DataError(
            f"{path}: is no pinned baseline; expected what `evalkit gate RUN --write-baseline "
            f"FILE` writes"
        )
    if found.get("format") != FORMAT:
        raise DataError(
            f"{path}: format {found.get('format')!r}; this evalkit reads {FORMAT}: write it again"
        )
    try:
        return _run(path, found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: is damaged ({type(error).__name__}: {error}); write it again with "
            f"--write-baseline"
        ) from error


def _run(path: Path, found: dict[str, Json]) -> Run:
    rows = found["records"]
    seen = hashlib.sha256(canonical_json(rows)).hexdigest()
    if seen != found["run"]["records_sha256"]:
        raise ValueError(
            f"sha256 of its records is {seen}, expected {found['run']['records_sha256']}"
        )
    model = str(found["model"])
    records = tuple(
        _record(model, str(benchmark), row) for benchmark, given in rows.items() for row in given
    )
    manifest = {
        "run_id": found["run"].get("run_id"),
        "limit": found.get("limit"),
        "models": [{"name": model, "role": "baseline"}],
        "benchmarks": found["benchmarks"],
        "evidence": found.get("evidence", []),
    }
    return Run(path, manifest, records, (), ())


def _record(model: str, benchmark: str, row: Json) -> Record:
    task, sample, category, cluster, status, scores, *more = row
    if status not in get_args(Status):
        raise ValueError(f"status {status!r} of sample {sample!r}")
    made = tuple(Score(str(metric), float(value), str(part)) for metric, part, value in scores)
    outcome = Outcome(status, (), scores=made, data=dict(*more))
    return Record(model, benchmark, str(task), str(sample), category, cluster, outcome)
