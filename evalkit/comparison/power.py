"""What so many samples can show, before anything is spent.

Per headline figure: how much one unit's paired difference varies (seen in past contests, else the
most it can times a share that is assumed to differ), and what follows: the smallest difference
that a contest finds, the smallest gate margin that an equal candidate passes, and the units that
the suite's own margin needs.  How many samples a suite has is its planner's affair
(`runner.powering`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evalkit import catalogue
from evalkit.comparison.contests import mde
from evalkit.core import Json
from evalkit.core.figures import Estimator, FigureKey, Measured, Method, Unit
from evalkit.core.run import Run
from evalkit.core.specs import GateSpec
from evalkit.draw import Cell, Column, Table, count, figure, figure_label, metric_label
from evalkit.stats.decisions import (
    non_inferiority,
    unit_variance,
    units_for_margin,
    worst_case_variance,
)

__all__ = ["ASSUMED_SHARE", "Design", "Power", "power_of", "power_table", "power_warning"]

ASSUMED_SHARE = 0.1
"""Share of samples on which two good models differ, where no past run says: on AlpacaEval, Notus
and Zephyr-7B-beta differ on 70 of 802."""
_LEVEL = 0.95


@dataclass(frozen=True)
class Design:
    """What one figure will rest on."""

    key: FigureKey
    unit: Unit
    n: int | None
    """Samples; None: unknown before the run."""
    n_units: int | None
    """Units of resampling among them: questions, documents, passages that some share."""
    n_available: int | None
    """Units that the benchmark has, whatever the limit."""
    source: str
    """Where these numbers come from."""
    spread: float = 1.0
    """n times the variance of the figure, per variance of a unit: above 1 where tasks of
    different sizes count alike."""


@dataclass(frozen=True)
class Power:
    """What it can show, in the figure's unit."""

    design: Design
    variance: float | None
    """Of one unit's paired difference."""
    variance_source: str
    """A past comparison, or an assumption, which says so; or why nothing follows."""
    mde: float | None = None
    """Smallest true difference found with the policy's power at 5%, two-sided."""
    resolvable: float | None = None
    """Smallest margin that an equal candidate passes with the policy's power."""
    margin: float | None = None
    """The suite's own; None: it has no gate."""
    needed: int | None = None
    """Units that would make that margin resolvable, be there so many or not; None where it is, or
    cannot be."""
    worst_mde: float | None = None
    """`mde` with the largest variance there can be: every sample differs by all there is."""

    @property
    def underpowered(self) -> bool:
        """The suite's margin is under what so many units resolve."""
        known = self.margin is not None and self.resolvable is not None
        return known and (self.margin or 0.0) < (self.resolvable or 0.0)

    def to_json(self) -> dict[str, Json]:
        """Flat, by field name."""
        design = self.design
        return {
            "benchmark": design.key.benchmark,
            "task": design.key.task,
            "metric": design.key.metric,
            "unit": design.unit,
            "n": design.n,
            "n_clusters": design.n_units,
            "n_available": design.n_available,
            "n_source": design.source,
            "variance": self.variance,
            "variance_source": self.variance_source,
            "mde": self.mde,
            "resolvable": self.resolvable,
            "margin": self.margin,
            "needed": self.needed,
            "worst_mde": self.worst_mde,
            "underpowered": self.underpowered,
        }


def power_of(
    design: Design,
    past: Sequence[Run],
    gate: GateSpec,
    margin: float | None,
    *,
    has_pairs: bool = True,
) -> Power:
    """What a design can show.

    Args:
        design: The figure and its samples.
        past: Runs whose comparisons tell how much a sample's difference varies.
        gate: Alpha and power of its tests.
        margin: Of this figure; None: the suite has no gate.
        has_pairs: Whether samples of two models will be there, so that it may be assumed.
    """
    found = _seen(design, past)
    if found is None and not has_pairs:
        return Power(design, None, "no samples to compare (figures, or one model)", margin=margin)
    scale = catalogue.unit(design.unit)
    worst = None
    if scale.low is not None and scale.high is not None:
        worst = design.spread * worst_case_variance(scale.low, scale.high)
    if found is None and worst is None:
        return Power(
            design, None, "unknown: no past run, and the metric has no bounds", margin=margin
        )
    share = f"assumed: {ASSUMED_SHARE:.0%} of"
    # Whole groups are assumed to differ: how alike the samples of one are is not known.
    assumed = "samples differ, by all there is"
    if design.n != design.n_units:
        assumed = "units differ in all their samples"
    variance, source = found or (ASSUMED_SHARE * (worst or 0.0), f"{share} {assumed}")
    expected, at_worst = _expected(variance, design), _expected(worst, design)
    needed = (
        units_for_margin(variance, margin, alpha=gate.alpha, power=gate.power) if margin else None
    )
    if needed is not None and design.n_units is not None and needed <= design.n_units:
        needed = None
    return Power(
        design=design,
        variance=variance,
        variance_source=source,
        mde=None if expected is None else mde(expected, gate.power),
        resolvable=None
        if expected is None
        else non_inferiority(expected, 0.0, alpha=gate.alpha, power=gate.power).resolvable,
        margin=margin,
        needed=needed,
        worst_mde=None if at_worst is None else mde(at_worst, gate.power),
    )


def _seen(design: Design, past: Sequence[Run]) -> tuple[float, str] | None:
    """The largest variance of a paired difference among past comparisons of this figure."""
    found: list[tuple[float, str]] = []
    for run in past:
        for c in run.comparisons:
            variance = unit_variance(c.difference.standard_error, c.difference.n_units)
            if variance and c.key == design.key:
                found.append((variance, f"{run.folder.name}: {c.candidate} and {c.baseline}"))
    return max(found, default=None)


def _expected(variance: float | None, design: Design) -> Measured | None:
    """The difference of two equal models as so many units will measure it."""
    n = design.n_units
    if variance is None or n is None or n < 2:
        return None
    error = math.sqrt(variance / n)
    method = Method(Estimator.PAIRED, paired=True)
    return Measured(0.0, error, None, None, _LEVEL, design.n or n, n, 0, method, n - 1)


# --- for people ---------------------------------------------------------------------------------


def power_table(rows: Sequence[Power]) -> Table:
    """One row a figure."""
    columns = (
        Column("Benchmark", header=True),
        Column("Metric"),
        Column("Samples", "right"),
        Column("Units", "right"),
        Column("MDE", "right"),
        Column("MDE at worst", "right"),
        Column("Smallest margin", "right"),
        Column("Suite's margin", "right"),
        Column("Units for it", "right"),
        Column("Variance from"),
    )
    note = (
        "Units: what is resampled: samples, or what several share (the questions of a passage). "
        "MDE: minimum detectable effect, the smallest true difference found with the policy's "
        "power (5%, two-sided). At worst: if every sample differed by all there is. Smallest "
        "margin: the smallest that an equal candidate passes with that power."
    )

    def row(one: Power) -> tuple[Cell, ...]:
        design = one.design
        values = (one.mde, one.worst_mde, one.resolvable, one.margin)
        return (
            Cell.text(figure_label(design.key)),
            Cell.text(metric_label(design.key.metric)),
            Cell(design.n, count(design.n)),
            Cell(design.n_units, count(design.n_units)),
            *(Cell(value, figure(value, design.unit)) for value in values),
            Cell(one.needed, count(one.needed)),
            Cell.text(one.variance_source),
        )

    return Table.of("", columns, [row(one) for one in rows], note)


def power_warning(one: Power) -> str:
    """Why an underpowered margin is one, and what would help."""
    design = one.design
    unit = "samples" if design.n == design.n_units else "units"
    needed = f"; {count(one.needed)} {unit} would do" if one.needed else ""
    if one.needed and design.n_available is not None and one.needed > design.n_available:
        needed = (
            f"; it would take {count(one.needed)} {unit}, and the benchmark has only "
            f"{count(design.n_available)}: allow a wider margin"
        )
    return (
        f"{figure_label(design.key)}: the margin {figure(one.margin, design.unit)} is under "
        f"{figure(one.resolvable, design.unit)}, the smallest that an equal candidate passes with "
        f"so many samples{needed}"
    )
