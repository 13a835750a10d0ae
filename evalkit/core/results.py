"""What is computed from records (estimates, comparisons), and a run with all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.figures import Finding, Metric
from evalkit.core.requests import STORED, Json
from evalkit.core.samples import Record

__all__ = ["Comparison", "Estimate", "Finding", "Metric", "Run"]


@dataclass(frozen=True)
class Estimate:
    """A figure with its uncertainty, in the unit leaderboards print."""

    __pydantic_config__ = STORED

    model: str
    benchmark: str
    task: str
    metric: str
    category: str | None
    point: float | None
    """In `unit`, as are the three below; None: undefined."""
    standard_error: float | None
    low: float | None
    high: float | None
    level: float
    """Confidence level of [low, high], 0 to 1."""
    n: int
    """Scores that entered."""
    n_clusters: int
    """Units of resampling among them."""
    n_missing: int
    """Scores that should be there and are not (failed, unparsable, excluded)."""
    unit: str
    method: str
    """How standard error and interval were computed, in words."""
    source: str = ""
    """Where someone else published the figure, with date and settings; empty: computed here."""


@dataclass(frozen=True)
class Comparison:
    """Candidate minus baseline on the samples both have."""

    __pydantic_config__ = STORED

    candidate: str
    baseline: str
    benchmark: str
    task: str
    metric: str
    category: str | None
    difference: float | None
    """In `unit`, as are the three below; None: undefined."""
    standard_error: float | None
    low: float | None
    high: float | None
    level: float
    """Confidence level of [low, high], 0 to 1."""
    p: float | None
    """Two-sided, not corrected for several comparisons; None: undefined."""
    n: int
    """Scores both have."""
    n_clusters: int
    """Units of resampling among them."""
    wins: int
    """Scores on which the candidate is better; `losses` and `ties` likewise."""
    losses: int
    ties: int
    n_missing_candidate: int
    n_missing_baseline: int
    unit: str
    higher_is_better: bool
    method: str
    df: float | None = None
    """Degrees of freedom; None: undefined, or `n_clusters` - 1 where there is an error."""


@dataclass(frozen=True)
class Run:
    """A run as it lies on disk: everything reports, gates and cards are made from."""

    folder: Path
    manifest: Mapping[str, Json]
    """manifest.json; its layout is in `store/manifest.py`."""
    records: tuple[Record, ...]
    """Canonical order."""
    estimates: tuple[Estimate, ...]
    comparisons: tuple[Comparison, ...]
