"""What an importer makes of someone's results: one model's evidence for one benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evalkit.core import Estimate, Finding, Json, Metric, Record
from evalkit.core.protocols import Average, DataPlaces

__all__ = ["Evidence", "ImportOptions"]


@dataclass(frozen=True)
class Evidence:
    """One model's results of one benchmark, as someone already has them."""

    model: str
    entry: str
    """Benchmark entry its records and estimates go under."""
    kind: str
    """`alpaca_eval`, `mt_bench` or `lm_eval`."""
    description: Mapping[str, Json]
    """Like `Benchmark.describe()`, as far as the files say; `files` has name and sha256."""
    metrics: Mapping[str, tuple[Metric, ...]]
    """By task, the primary one first."""
    records: tuple[Record, ...] = ()
    """Canonical order; empty where the evidence has only aggregates."""
    estimates: tuple[Estimate, ...] = ()
    """Figures that cannot be computed from the records, each with its source."""
    findings: tuple[Finding, ...] = ()
    averages: tuple[Average, ...] = ()
    """Over tasks that have records."""


@dataclass(frozen=True)
class ImportOptions:
    """What an importer is told besides the files."""

    models: tuple[str, ...]
    """Names to give the models, or to pick where a file holds several; empty: as the files say."""
    entry: str | None
    """Benchmark entry; None: the importer's kind."""
    companion: tuple[Path, ...]
    """Answers or outputs that belong to the judgments."""
    places: DataPlaces
    level: float
    """Confidence level of intervals, 0 to 1."""
