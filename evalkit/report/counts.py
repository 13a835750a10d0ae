"""How often each side did better, and the way from such a count to the samples it counts."""

from __future__ import annotations

from evalkit.core import Comparison
from evalkit.draw import Cell, count
from evalkit.report.browser import samples_link
from evalkit.report.view import Measure, View

__all__ = ["outcome_cells", "samples_of"]


def outcome_cells(view: View, measure: Measure, c: Comparison) -> tuple[Cell, Cell, Cell]:
    """Wins, ties and losses of the candidate."""
    listed = _counts_samples(view, measure)

    def cell(n: int, verdict: str) -> Cell:
        href = samples_of(view, measure, c, verdict=verdict) if n and listed else ""
        return Cell(n, count(n), href=href)

    return cell(c.wins, "win"), cell(c.ties, "tie"), cell(c.losses, "loss")


def samples_of(view: View, measure: Measure, c: Comparison, **filters: str) -> str:
    """The address of a measure's samples, as its pair did on them; empty where there are none."""
    if not view.browsable:
        return ""
    place = view.pairs.index((c.candidate, c.baseline))
    pair = {"pair": str(place)} if place else {}
    if (measure.benchmark, measure.task) in view.records:
        return samples_link(benchmark=measure.benchmark, task=measure.task, **pair, **filters)
    # An average over tasks: what it is made of.
    if any(benchmark == measure.benchmark for benchmark, _ in view.records):
        return samples_link(benchmark=measure.benchmark, **pair, **filters)
    return ""


def _counts_samples(view: View, measure: Measure) -> bool:
    """Whether the list of samples counts the same: it does so by a task's headline, once a row.

    Where a sample has a score for each turn, comparisons count turns.
    """
    if (measure.benchmark, measure.task) not in view.records:
        return False
    places = {
        m.metric.name
        for b in view.benchmarks
        for m in b.measures
        if (m.benchmark, m.task) == (measure.benchmark, measure.task) and m.metric.primary
    }
    return places == {measure.metric.name} and measure.metric.parts == ("",)
