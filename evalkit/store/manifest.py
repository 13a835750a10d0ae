"""manifest.json: what a run is of.  The layout is written down here, in types.

It holds no times (those are in sessions.jsonl), so that the same run gives the same bytes.
`run_id` is a hash of what decides the results; the rest tells where they come from.
Keys whose meaning does not apply are absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from evalkit.core import Json
from evalkit.errors import DataError
from evalkit.store.codec import CodecError, parse_json

__all__ = [
    "FORMAT",
    "MANIFEST_NAME",
    "BenchmarkEntry",
    "EvidenceEntry",
    "FirstPrompt",
    "JudgeEntry",
    "Manifest",
    "ModelEntry",
    "TaskEntry",
    "check_format",
    "read_manifest",
]

FORMAT = 1
"""Layout number of manifest.json and results.json; a reader refuses higher ones."""

MANIFEST_NAME = "manifest.json"


class FirstPrompt(TypedDict):
    """The first thing a model was asked in a benchmark, as the model sees it."""

    benchmark: str
    text: str
    """Special tokens spelled out."""
    bos: str
    """`one`, `doubled`, `missing` or `none` (the tokenizer uses none)."""
    n_tokens: int


class ModelEntry(TypedDict, total=False):
    """One model of the run; the fields of `core.PreparedModel`, and how it was served."""

    name: str
    role: str
    fingerprint: str
    template_source: str
    chat_template: str | None
    trust_remote_code: bool
    provenance: dict[str, Json]
    """source, base, adapter, merge_proof, warnings."""
    engine: dict[str, Json]
    """`Engine.identity`."""
    first_prompts: list[FirstPrompt]


class JudgeEntry(TypedDict, total=False):
    """One judge of the run."""

    name: str
    engine: dict[str, Json]
    protocol: str
    caps: dict[str, Json]
    """max_cost_usd and max_requests, where set."""
    local: bool
    """A model of the suite judges."""


class TaskEntry(TypedDict):
    """One task of a benchmark."""

    n_samples: int
    metrics: list[dict[str, Json]]
    """The fields of `core.Metric`, the primary metric first."""


class BenchmarkEntry(TypedDict, total=False):
    """One benchmark entry of the suite."""

    name: str
    description: dict[str, Json]
    """`Benchmark.describe()`: data set with revision and sha256, shots, stops, prompts."""
    n_samples: int
    tasks: dict[str, TaskEntry]
    """By name, in report order."""
    averages: list[dict[str, Json]]
    """The fields of `core.Average`, each after those it is made of."""


class EvidenceEntry(TypedDict):
    """What a model's figures for one benchmark were made from instead of asking it."""

    model: str
    entry: str
    """Benchmark entry."""
    kind: str
    """Importer: `alpaca_eval`, `mt_bench`, `lm_eval`."""
    files: list[dict[str, Json]]
    """file and sha256 of each."""
    description: dict[str, Json]
    """As `Benchmark.describe()`, as far as the files say."""
    n_records: int
    findings: list[dict[str, Json]]
    """The fields of `core.Finding`."""


class Manifest(TypedDict, total=False):
    """The whole file."""

    format: int
    run_id: str
    """12 hex digits."""
    suite_name: str
    suite_file: str
    sealed: bool
    """All samples have a record, in canonical order, and results.json belongs to them."""
    limit: int | None
    """`--limit`: samples per task at most."""
    publishable: bool
    """False for limited runs and for damaged evidence."""
    suite: dict[str, Json]
    """The resolved suite."""
    models: list[ModelEntry]
    """In suite order."""
    judges: list[JudgeEntry]
    benchmarks: list[BenchmarkEntry]
    """In suite order."""
    evidence: list[EvidenceEntry]
    """By benchmark entry, then model; empty where everything was asked."""
    versions: dict[str, str]
    """Version by distribution."""
    python: str
    platform: str
    commands: list[str]
    git_commit: str | None
    seed: int
    work: dict[str, dict[str, int]]
    """Once sealed: tokens that engines planned and computed, over all sessions."""
    checks: dict[str, Json]
    """Once sealed: what engines verified of themselves."""
    usage: dict[str, Json]
    """Once sealed: time, requests, tokens and money over all sessions; not of fake engines."""


def read_manifest(folder: Path) -> dict[str, Json]:
    """The manifest of the run in `folder` (or of the run that the file `folder` is part of).

    Raises:
        DataError: there is no run, or it was written by a newer evalkit.
    """
    place = folder.parent if folder.is_file() else folder
    path = place / MANIFEST_NAME
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(_no_run(place)) from error
    try:
        manifest = parse_json(data)
    except CodecError as error:
        raise DataError(
            f"{path}: {error}; the run cannot be read: run its suite again into a new folder"
        ) from error
    check_format(manifest, path)
    if not isinstance(manifest.get("run_id"), str):
        raise DataError(f"{path}: no run_id, so this is not a run of evalkit; name its folder")
    found: dict[str, Json] = manifest
    return found


def check_format(data: Json, path: Path) -> None:
    """Refuse what this version cannot read.  Raises DataError."""
    layout = data.get("format") if isinstance(data, Mapping) else None
    if layout == FORMAT:
        return
    if isinstance(layout, int) and layout > FORMAT:
        raise DataError(
            f"{path}: format {layout!r}, this evalkit reads up to {FORMAT}; upgrade evalkit"
        )
    raise DataError(
        f"{path}: format {layout!r}; expected {FORMAT}: this file was not written by evalkit"
    )


def _no_run(place: Path) -> str:
    if not place.exists():
        return f"{str(place)!r}: no such folder; name a run, reports/SUITE/RUN_ID"
    runs = sorted(p.parent.name for p in place.glob(f"*/{MANIFEST_NAME}"))
    if runs:
        return f"{str(place)!r} is not a run but holds runs; name one of {', '.join(runs)} in it"
    return f"{str(place)!r} is not a run (no {MANIFEST_NAME}); name a run, reports/SUITE/RUN_ID"
