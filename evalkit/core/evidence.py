"""Results that someone already has: what a format's reader returns, and its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.figures import Average, Figure, Finding, Metric
from evalkit.core.protocols import DataPlaces
from evalkit.core.run import Description
from evalkit.core.samples import Record

__all__ = ["KINDS", "Evidence", "ImportOptions"]

KINDS = ("alpaca_eval", "mt_bench", "lm_eval", "ifeval", "inspect", "every_eval_ever")
"""Formats that a run can be made of."""


@dataclass(frozen=True)
class Evidence:
    """One model's results of one benchmark."""

    model: str
    entry: str
    """Benchmark entry its records and figures belong to."""
    kind: str
    """The format: one of KINDS."""
    description: Description
    """Like `Benchmark.describe()`, as far as the files say; `files` has name and sha256."""
    metrics: Mapping[str, tuple[Metric, ...]]
    """By task, the primary one first."""
    records: tuple[Record, ...] = ()
    """Canonical order; empty where the evidence has only figures."""
    figures: tuple[Figure, ...] = ()
    """Those that cannot be computed from the records, each with its source."""
    findings: tuple[Finding, ...] = ()
    averages: tuple[Average, ...] = ()
    """Over tasks that have records."""


@dataclass(frozen=True)
class ImportOptions:
    """A reader's options."""

    models: tuple[str, ...]
    """Names to give the models, or to pick where a file holds several; empty: as the files say."""
    entry: str | None
    """Benchmark entry; None: the format's name."""
    companion: tuple[Path, ...]
    """Answers or outputs that belong to the judgments."""
    places: DataPlaces
    level: float
    """Confidence level of intervals, 0 to 1."""
