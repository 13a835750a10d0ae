"""What is computed from records (estimates, comparisons), and a run with all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evalkit.core.requests import Json
from evalkit.core.samples import Record

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Comparison", "Estimate", "Finding", "Metric", "Run"]


@dataclass(frozen=True)
class Metric:
    """How the per-sample scores of one name become a figure."""

    name: str
    unit: Literal["percent", "points", "characters", "raw"]
    """`percent`: 0 to 100; `points`: MT-Bench's 1 to 10."""
    scale: float = 1.0
    """Multiplies per-sample values into the unit."""
    higher_is_better: bool = True
    primary: bool = False
    """The headline metric of its task; exactly one per task."""
    by_category: bool = False
    """Also reported per category."""
    parts: tuple[str, ...] = ("",)
    """Scores every record should have of this metric, by `Score.part`; what a record lacks of
    them is `n_missing`."""
    whole: bool = False
    """The figure is cut to a whole number, as its leaderboard prints it."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its uncertainty, in the unit leaderboards print."""

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
class Finding:
    """Something that is wrong, or worth knowing, about evidence that was not made here."""

    code: str
    """Short name of the kind: `identical_judgments`, `mostly_unparsable`, `repeated_rows`, ..."""
    message: str
    """What was found, where, and what it means for the figures."""
    damaged: bool = True
    """Figures from this evidence should not be published; False: a remark."""


@dataclass(frozen=True)
class Comparison:
    """Candidate minus baseline on the samples both have."""

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

    def to_frame(self, what: str = "samples") -> DataFrame:
        """The pandas frame of a table: its columns are in `columns.py`.  Raises ExportError."""
        from evalkit.core.frames import frame

        return frame([self], what)
