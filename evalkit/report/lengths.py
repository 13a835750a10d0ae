"""Win rates beside the lengths of the answers: judges tend to prefer what is longer.

The length-controlled win rates are figures of whole models (`stats.length_controlled`), not means
over samples, so that there is no paired interval of their difference; none is made up here.
"""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.compare.words import verdict
from evalkit.core import Comparison, Estimate, Metric
from evalkit.draw import Cell, Column, Table, difference, figure
from evalkit.report.blocks import Block, Text
from evalkit.report.view import BenchmarkView, Measure, View
from evalkit.report.words import benchmark_label, bounds, has_width, level_text, metric_label

__all__ = ["length_blocks"]

_CONTROLLED = "length_controlled_win_rate"
_SHOWN = ("win_rate", _CONTROLLED, "length_capped_win_rate", "avg_length")


def length_blocks(view: View, pair: tuple[str, str]) -> Iterator[Block]:
    """A table and a sentence for each benchmark with win rates and lengths of both models."""
    for benchmark in view.benchmarks:
        measures = _measures(benchmark)
        gap = _comparison(view, pair, measures, "avg_length")
        rate = _comparison(view, pair, measures, "win_rate")
        if gap is None or rate is None:
            continue
        yield _table(view, pair, benchmark, measures)
        yield Text(_said(view, pair, measures, (gap, rate)))


def _measures(benchmark: BenchmarkView) -> dict[str, Measure]:
    return {m.metric.name: m for m in benchmark.measures if m.metric.name in _SHOWN}


def _comparison(
    view: View, pair: tuple[str, str], measures: dict[str, Measure], name: str
) -> Comparison | None:
    measure = measures.get(name)
    return None if measure is None else view.comparison(pair, measure)


def _table(
    view: View, pair: tuple[str, str], benchmark: BenchmarkView, measures: dict[str, Measure]
) -> Table:
    columns = (
        Column("Figure", header=True),
        *(Column(name, "right") for name in pair),
        Column("Difference", "right"),
        Column(f"{level_text(view.level)} interval", "right"),
    )
    rows = []
    for name in _SHOWN:
        if name not in measures:
            continue
        measure = measures[name]
        estimates = [view.estimate(model, measure) for model in pair]
        if all(e is None or e.point is None for e in estimates):
            continue
        rows.append(
            (
                Cell.text(_label(measure.metric)),
                *(_figure(e) for e in estimates),
                *_gap(view.comparison(pair, measure), estimates),
            )
        )
    return Table.of(f"{benchmark_label(benchmark.name)} and the length of answers", columns, rows)


def _label(metric: Metric) -> str:
    unit = "%" if metric.unit == "percent" else metric.unit
    return f"{metric_label(metric)}, {unit}"


def _figure(e: Estimate | None) -> Cell:
    if e is None or e.point is None:
        return Cell.missing("" if e is None else e.method)
    return Cell(e.point, figure(e.point, e.unit), e.method)


def _gap(c: Comparison | None, estimates: list[Estimate | None]) -> tuple[Cell, Cell]:
    if c is not None:
        interval = Cell(c.low if has_width(c) else None, bounds(c), c.method)
        return Cell(c.difference, difference(c.difference, c.unit), c.method), interval
    gap = _minus(*estimates)
    unit = next((e.unit for e in estimates if e is not None), "percent")
    if gap is None:
        return Cell.missing("one of the figures is missing"), Cell.missing()
    how = "difference of two figures, not paired on samples"
    return Cell(gap, difference(gap, unit), how), Cell.missing("not a mean over samples")


def _minus(a: Estimate | None, b: Estimate | None) -> float | None:
    if a is None or b is None or a.point is None or b.point is None:
        return None
    return a.point - b.point


def _said(
    view: View, pair: tuple[str, str], measures: dict[str, Measure], rows: tuple[Comparison, ...]
) -> str:
    gap, rate = rows
    controlled = measures.get(_CONTROLLED)
    left = None
    if controlled is not None:
        left = _minus(*(view.estimate(model, controlled) for model in pair))
    row = view.row(pair, measures["win_rate"])
    said = row.verdict if row is not None else "undefined"
    return " ".join([_longer(pair, gap), *_explained(pair, said, (rate.difference, left))])


def _longer(pair: tuple[str, str], gap: Comparison) -> str:
    word = verdict(gap)
    if word not in ("longer", "shorter") or gap.difference is None:
        return f"Answers of {pair[0]} and {pair[1]} are not told apart in length."
    size = figure(abs(gap.difference), gap.unit)
    return f"Answers of {pair[0]} are {size} characters {word} on average than {pair[1]}'s."


def _explained(
    pair: tuple[str, str], said: str, gaps: tuple[float | None, float | None]
) -> Iterator[str]:
    """What is left of a lead when lengths are made equal."""
    raw, left = gaps
    if left is None or raw is None:
        yield "There is no length-controlled figure of both."
        return
    shown = f"{difference(left, 'percent')} percentage points with length controlled"
    shown += f" instead of {difference(raw, 'percent')}"
    if said not in ("better", "worse"):
        yield (
            f"Win rates, which are not told apart, differ by {shown}; that has no paired interval "
            "and decides nothing."
        )
        return
    leader = pair[0] if raw > 0 else pair[1]
    kept = left / raw
    if kept <= 0:
        yield f"The lead of {leader} is gone ({shown}): length alone may explain it."
    elif kept < 0.5:
        yield f"Most of the lead of {leader} goes with length ({shown})."
    else:
        yield f"The lead of {leader} stays ({shown}); length does not explain it."
