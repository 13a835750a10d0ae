"""What a terminal shows: within its width, nothing lost unsaid, nothing that it obeys."""

from __future__ import annotations

import re
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from evalkit.draw import Cell, Column, Group, Line, Table, Tone, to_text

_SGR = re.compile("\x1b\\[[0-9]+m")
_WORDS = st.text(st.sampled_from("ab -語\x1b\u202e\n⟨"), max_size=30)
_CELLS = st.builds(Cell, st.none(), _WORDS, tone=st.sampled_from(get_args(Tone)))


@st.composite
def tables(draw: st.DrawFn) -> Table:
    columns = draw(
        st.lists(
            st.builds(
                Column,
                st.text("xyz ", min_size=1, max_size=15),
                st.sampled_from(["left", "right"]),
                rank=st.integers(0, 3),
                note=st.sampled_from(["", "How to read it."]),
            ),
            min_size=1,
            max_size=9,
        )
    )
    rows = st.lists(st.tuples(*[_CELLS] * len(columns)), max_size=4)
    groups = draw(st.lists(st.builds(Group, st.just("g"), rows.map(tuple)), max_size=2))
    return Table("c", tuple(columns), tuple(groups), "How to read it. More.")


@settings(max_examples=60)
@given(st.lists(tables(), min_size=1, max_size=2), st.integers(40, 120))
def test_every_line_fits_and_what_is_left_out_is_named(found: list[Table], width: int) -> None:
    lines: list[Line] = [*found, *found]
    plain, coloured = (to_text(lines, width=width, colour=c) for c in (False, True))
    assert _SGR.sub("", coloured) == plain
    assert all(cell_len(line) <= width for line in plain.split("\n"))
    assert not set("\x1b\u202e") & set(plain)
    assert plain.count("More.") <= len(found), "one note, once"
    table = found[0]
    alone = " ".join(to_text([table], width=width).split())
    for column in table.columns if table.rows else ():
        assert all(word in alone for word in column.label.split())


_WIDE = Table.of(
    "",
    [
        Column("Benchmark", header=True),
        Column("Difference", "right"),
        Column("p", "right", rank=2, note="p is two-sided."),
        Column("Verdict"),
    ],
    [
        [
            Cell.text("AlpacaEval"),
            Cell(1.0, "+1.0"),
            Cell(0.5, "0.500"),
            Cell("x", "no significant difference (local judge)", tone="unclear"),
        ]
    ],
    "Minus: worse. p is two-sided.",
)


def test_a_narrow_terminal_leaves_out_then_folds_then_lists() -> None:
    assert to_text([_WIDE], width=60).split("\n") == [
        "Benchmark   Difference      p  Verdict",
        "AlpacaEval        +1.0  0.500  no significant difference",
        "                               (local judge)",
        "Minus: worse. p is two-sided.",
    ]
    assert to_text([_WIDE], width=46).split("\n") == [
        "Benchmark   Difference  Verdict",
        "AlpacaEval        +1.0  no significant",
        "                        difference (local",
        "                        judge)",
        "Minus: worse.",
        "Not shown: p; --wide shows all columns.",
    ]
    assert to_text([_WIDE], width=30).split("\n")[:3] == [
        "Benchmark   AlpacaEval",
        "Difference  +1.0",
        "p           0.500",
    ]
    assert to_text([_WIDE], width=None).split("\n")[1].endswith("difference (local judge)")


def test_tones_are_colours_and_each_means_one_thing() -> None:
    tones = [tone for tone in get_args(Tone) if tone]
    shown = [to_text([Cell.text("x", tone=tone)], colour=True) for tone in tones]
    assert len(set(shown)) == len(tones)
    assert all(_SGR.match(text) for text in shown)
    assert to_text([Cell.text("x", tone="better")]) == "x"
