"""Comparisons as a table; rendering is up to `tables`."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.compare.old_cautions import is_weak, judge_of, remarks, weak_text
from evalkit.compare.rows import Row
from evalkit.compare.uncompared import Uncompared
from evalkit.compare.words import (
    COUNTED,
    WORDS,
    bounds,
    figure_label,
    level_text,
    metric_words,
    tone,
)
from evalkit.draw import Cell, Column, Group, Table, count, difference, p_value

__all__ = ["corrected_text", "notes", "rows_table", "weak_notes"]


def rows_table(rows: Sequence[Row], left_out: Sequence[Uncompared] = ()) -> Table:
    """One row a comparison, grouped by baseline.

    Its note names what was left out, and what speaks against the rows.
    """
    level = level_text(rows[0].comparison.level) if rows else "95%"
    columns = (
        Column("", header=True),
        Column("Metric"),
        Column("Difference", "right"),
        Column(f"{level} interval", "right"),
        Column("p", "right"),
        Column("p (Holm)", "right"),
        Column("Wins / ties / losses", "right"),
        Column("n", "right"),
        Column("Missing", "right"),
        Column("Resolves", "right"),
        Column("Verdict"),
    )
    groups = tuple(
        Group(f"{candidate} against {baseline}", tuple(_row(r) for r in rows if _pair(r) == pair))
        for pair in dict.fromkeys(_pair(r) for r in rows)
        for candidate, baseline in [pair]
    )
    note = (
        "Difference: candidate minus baseline on the samples both have. Missing: scores that "
        "one side lacks (failed, or never asked where the other was), candidate's and baseline's. "
        f"{COUNTED} "
        "Resolves: the smallest true difference that so many samples find with probability 0.8. "
        f"{corrected_text(rows)} Other rows are corrected apart."
    )
    said = [*(one.sentence for one in left_out), *notes(rows)]
    return Table("", columns, groups, " ".join([note, *said]))


def corrected_text(rows: Sequence[Row]) -> str:
    """How many comparisons Holm's correction was over; another choice of baselines has others."""
    headline = [row for row in rows if row.headline]
    tests = max((row.tests for row in headline if row.p_adjusted is not None), default=0)
    if not tests:
        return "Holm: no headline comparison has a p that could be corrected."
    if tests == 1 and len(headline) > 1:
        return "Holm: one headline comparison has a p, which needs no correction."
    if tests == 1:
        return "Holm: one headline comparison, so that p needs no correction."
    return f"Holm: corrected for the {count(tests)} headline comparisons asked for here."


def notes(rows: Sequence[Row]) -> list[str]:
    """What speaks against rows, each thing once."""
    return [*weak_notes(rows), *dict.fromkeys(text for row in rows for text in remarks(row.flags))]


def weak_notes(rows: Sequence[Row]) -> list[str]:
    """A sentence for each weak judge: whose scores it gave, and what they are worth."""
    judges: dict[str, dict[str, None]] = {}
    for row in rows:
        for flag in row.flags:
            if is_weak(flag):
                judges.setdefault(judge_of(flag), {})[row.comparison.benchmark] = None
    return [
        weak_text(list(found), f"{name}, a model of the suite") for name, found in judges.items()
    ]


def _pair(row: Row) -> tuple[str, str]:
    return row.comparison.candidate, row.comparison.baseline


def _row(row: Row) -> tuple[Cell, ...]:
    c = row.comparison
    label = figure_label(c.benchmark, c.task, c.metric)
    missing = f"{count(c.n_missing_candidate)}, {count(c.n_missing_baseline)}"
    word = WORDS[row.verdict] + row.marks
    return (
        Cell.text(label if c.category is None else f"{label}, {c.category}"),
        Cell.text(metric_words(c.metric)),
        Cell(c.difference, difference(c.difference, c.unit)),
        Cell(c.low, bounds(c)),
        Cell(c.p, p_value(c.p)),
        Cell(row.p_adjusted, p_value(row.p_adjusted)),
        Cell.text(f"{count(c.wins)} / {count(c.ties)} / {count(c.losses)}"),
        Cell(c.n, count(c.n)),
        Cell.text(missing),
        Cell(row.mde, difference(row.mde, c.unit).lstrip("+")),
        Cell.text(word, tone=tone(row.verdict)),
    )
