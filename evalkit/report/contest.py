"""A candidate against a baseline on every headline measure: the drawings and the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalkit.core import Comparison
from evalkit.draw import Cell, Column, Group, Table, count, difference, figure, p_value
from evalkit.report.answer import Found, row_sentence
from evalkit.report.blocks import Chart
from evalkit.report.charts import Forest, ForestRow, forest_svg
from evalkit.report.counts import outcome_cells, samples_of
from evalkit.report.health import weakly_judged
from evalkit.report.margins import Gate, margin_words
from evalkit.report.view import Measure, View
from evalkit.report.words import (
    ALL_AGREE,
    COUNTED,
    TOO_WIDE,
    bounds,
    has_width,
    is_too_wide,
    level_text,
    measure_label,
    tone,
    unit_text,
    verdict_words,
)

__all__ = ["contest_table", "forests"]

_MARKS = {
    "better": "▲",
    "worse": "▼",
    "longer": "↔",
    "shorter": "↔",
    "unclear": "○",
    "undefined": "?",
}


def forests(
    view: View, pair: tuple[str, str], found: Sequence[Found], gate: Gate | None
) -> Iterator[Chart]:
    """One drawing for each unit and direction; what is undefined without a figure has a row too."""
    kinds = dict.fromkeys((row.comparison.unit, m.metric.higher_is_better) for m, row in found)
    for n, (unit, up) in enumerate(kinds):
        mine = [
            (m, row)
            for m, row in found
            if (row.comparison.unit, m.metric.higher_is_better) == (unit, up)
        ]
        forest = Forest(
            *pair,
            unit_text(unit, of_difference=True),
            up,
            level_text(view.level),
            tuple(_row(view, m, row.comparison, gate) for m, row in mine),
        )
        note = "" if n + 1 < len(kinds) else _reading(view, gate)
        yield Chart(forest.title, forest_svg(forest), None, note)


def _reading(view: View, gate: Gate | None) -> str:
    tests = sum(len(view.contest(pair)) for pair in view.pairs)
    holds = "the interval excludes zero"
    if tests > 1:
        holds = f"that holds after Holm's correction for all {count(tests)} comparisons"
    note = (
        f"Lines: {level_text(view.level)} intervals. ▲ better, ▼ worse: only where {holds}. "
        "○ not told apart. ? not known."
    )
    return note if gate is None else f"{note} Dotted: the largest loss that the gate allows."


def _row(view: View, measure: Measure, c: Comparison, gate: Gate | None) -> ForestRow:
    row = view.row((c.candidate, c.baseline), measure)
    assert row is not None, "the caller took it from the view"
    weak = measure.benchmark in weakly_judged(view)
    margin = gate.of(measure) if gate is not None else None
    wide = has_width(c)
    label = measure_label(measure)
    return ForestRow(
        label=f"{label} (weak judge)" if weak else label,
        verdict=row.verdict,
        point=c.difference,
        low=c.low if wide else None,
        high=c.high if wide else None,
        margin=margin.place if margin is not None else None,
        shown=f"{_MARKS[row.verdict]} {difference(c.difference, c.unit)} ({_interval(c)})",
        sentence=row_sentence(measure, row),
    )


def _interval(c: Comparison) -> str:
    if has_width(c):
        return bounds(c)
    if is_too_wide(c):
        return f"interval {TOO_WIDE}"
    return "no interval" if c.low is None else ALL_AGREE


def contest_table(view: View, gates: dict[tuple[str, str], Gate]) -> Table:
    """Every headline measure of every pair: scores, difference, what it rests on, verdict."""
    level = level_text(view.level)
    columns = [
        Column("Measure", header=True),
        Column("Candidate", "right"),
        Column("Baseline", "right"),
        Column("Difference", "right"),
        Column(f"{level} interval", "right"),
        Column("Verdict"),
        Column("p (Holm)", "right"),
        Column("Resolves", "right"),
        Column("Wins", "right"),
        Column("Ties", "right"),
        Column("Losses", "right"),
        Column("n", "right"),
        Column("Missing", "right"),
    ]
    if gates:
        columns.append(Column("Gate"))
    groups = []
    for pair in view.pairs:
        rows = tuple(
            _cells(view, m, pair) + _gate_cell(gates, pair, m) for m, _ in view.contest(pair)
        )
        if rows:
            groups.append(Group(f"{pair[0]} minus {pair[1]}", rows))
    note = (
        "Scores are over each model's own samples, differences over those both have (n). Resolves: "
        "the smallest true difference that so many samples find with probability 0.8. Missing: "
        f"scores the candidate and the baseline lack. {COUNTED}"
    )
    tests = sum(len(group.rows) for group in groups)
    if tests > 1:
        note += f" p: corrected by Holm for these {count(tests)} comparisons."
    if gates:
        note += " Gate: the largest loss allowed, and whether it was shown not to be exceeded."
    return Table("Headline measures", tuple(columns), tuple(groups), note)


def _cells(view: View, measure: Measure, pair: tuple[str, str]) -> tuple[Cell, ...]:
    row = view.row(pair, measure)
    assert row is not None, "contest has rows only"
    c = row.comparison
    label = measure_label(measure)
    unit = "" if c.unit == "percent" else f", {unit_text(c.unit)}"
    lower = "" if c.higher_is_better else ", lower is better"
    return (
        Cell.text(f"{label}{unit}{lower}", href=samples_of(view, measure, c)),
        *(_score(view, name, measure) for name in pair),
        Cell(c.difference, difference(c.difference, c.unit), c.method),
        Cell(c.low if has_width(c) else None, bounds(c), c.method),
        Cell(row.verdict, verdict_words(view, row), tone=tone(row.verdict)),
        Cell(row.p_adjusted, p_value(row.p_adjusted)),
        Cell(row.mde, difference(row.mde, c.unit).lstrip("+")),
        *outcome_cells(view, measure, c),
        Cell(c.n, count(c.n)),
        Cell.text(f"{count(c.n_missing_candidate)}, {count(c.n_missing_baseline)}"),
    )


def _score(view: View, model: str, measure: Measure) -> Cell:
    e = view.estimate(model, measure)
    if e is None or e.point is None:
        return Cell.missing("no score")
    return Cell(e.point, figure(e.point, e.unit), e.method)


def _gate_cell(
    gates: dict[tuple[str, str], Gate], pair: tuple[str, str], measure: Measure
) -> tuple[Cell, ...]:
    if not gates:
        return ()
    margin = gates[pair].of(measure) if pair in gates else None
    words = margin_words(margin, measure.metric.unit)
    return (Cell.text(words) if words else Cell.missing("another baseline"),)
