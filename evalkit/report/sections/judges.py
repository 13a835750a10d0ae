"""Judge health: how much of what a judge said could be used, and how it leans."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.draw import Cell, Column, Group, Table, count, difference, percent, share
from evalkit.report.blocks import Block, Note, Section, Text
from evalkit.report.health import JudgeHealth, describe_judge, health_rows, is_local
from evalkit.report.view import View

__all__ = ["build"]


def build(view: View) -> Section | None:
    """Who judged, and the table; None where nothing was judged."""
    rows = health_rows(view)
    return Section("Judge", tuple(_blocks(view, rows))) if rows else None


def _blocks(view: View, rows: tuple[JudgeHealth, ...]) -> Iterator[Block]:
    for judge in dict.fromkeys(row.judge for row in rows):
        text = describe_judge(view, judge)
        yield Note(text, "Weak judge.") if is_local(view, judge) else Text(text)
    columns = (
        Column("Benchmark", header=True),
        Column("Protocol"),
        Column("Asked", "right"),
        Column("Parsed", "right"),
        Column("Unparsable", "right"),
        Column("Failed", "right"),
        Column("Position bias", "right"),
        Column("Orders disagree", "right"),
        Column("Vote margin", "right"),
    )
    note = (
        "Position bias: mean preference for whatever is shown first, less 50, in percentage "
        "points, with its standard error; 0 is unbiased, 50 always prefers the first. "
        "Orders disagree: share of pairs "
        "whose preferred answer changed with the order. Vote margin: how far a vote lies from 50 "
        "on average; 0 is undecided, 50 certain. Ratings have no orders."
    )
    groups = tuple(
        Group(judge, tuple(_row(r) for r in rows if r.judge == judge))
        for judge in dict.fromkeys(r.judge for r in rows)
    )
    yield Table("What the judge was asked and said", columns, groups, note)


def _row(row: JudgeHealth) -> tuple[Cell, ...]:
    return (
        Cell.text(row.benchmark),
        Cell.text(row.protocol),
        Cell(row.asked, count(row.asked)),
        Cell(row.parsed, count(row.parsed)),
        Cell(row.unparsable, count(row.unparsable), tone="warning" if row.unparsable else ""),
        Cell(row.failed, count(row.failed), tone="warning" if row.failed else ""),
        _bias(row),
        Cell(row.order_disagreement, share(row.order_disagreement)),
        Cell(row.vote_margin, percent(row.vote_margin)),
    )


def _bias(row: JudgeHealth) -> Cell:
    if row.position_bias is None:
        return Cell.missing("no answer was shown in both orders")
    shown = difference(row.position_bias, "percent")
    error = row.position_bias_se
    return Cell(row.position_bias, shown if error is None else f"{shown} (SE {percent(error)})")
