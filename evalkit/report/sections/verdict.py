"""The first screen: is the candidate better, by how much, may one say so, and on what evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalkit.report.answer import answer, statements
from evalkit.report.blocks import Block, Caveats, Details, Section, Statements, Text
from evalkit.report.caveats import basis, judge_line, missing, warnings
from evalkit.report.contest import contest_table, forests
from evalkit.report.lengths import length_blocks
from evalkit.report.margins import gate_of, gate_words
from evalkit.report.view import View

__all__ = ["build"]

_PAIRS = 3
"""Pairs whose drawings and lengths are not folded away."""


def build(view: View) -> Section:
    """The answers, what to know before quoting them, what they rest on, then the figures."""
    return Section("Verdict", tuple(_blocks(view)))


def _blocks(view: View) -> Iterator[Block]:
    found = {pair: rows for pair in view.pairs if (rows := view.contest(pair))}
    gates = {pair: gate for pair in found if (gate := gate_of(view, pair)) is not None}
    for pair, rows in found.items():
        yield answer(view, pair, rows)
        if pair in gates:
            yield Text(gate_words(gates[pair]), "Gate.")
    if not found and view.sealed:
        yield Text("No candidate is compared with a baseline in this run.")
    doubts = tuple(warnings(view))
    if doubts:
        yield Caveats(doubts)
    yield from basis(view)
    health = judge_line(view)
    if health is not None:
        yield health
    drawn = [tuple(forests(view, p, rows, gates.get(p))) for p, rows in found.items()]
    yield from _first_few(drawn, "Drawings of {} more pairs")
    if found:
        yield contest_table(view, gates)
    if any(len(rows) > 1 for rows in found.values()):
        # On a single measure the answer is that sentence.
        said = tuple(s for rows in found.values() for s in statements(view, rows))
        yield Details("Each in a sentence that may be printed", (Statements(said),))
    lengths = [blocks for pair in found if (blocks := tuple(length_blocks(view, pair)))]
    yield from _first_few(lengths, "Lengths of {} more pairs")
    yield from missing(view)


def _first_few(parts: Sequence[tuple[Block, ...]], summary: str) -> Iterator[Block]:
    """Those of many pairs would push all else off the screen: the table has every pair."""
    for blocks in parts[:_PAIRS]:
        yield from blocks
    rest = [block for blocks in parts[_PAIRS:] for block in blocks]
    if rest:
        yield Details(summary.format(len(parts) - _PAIRS), tuple(rest))
