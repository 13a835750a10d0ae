"""Numbers, cells, tables and prose as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.card.audit.grid import read_grid
from evalkit.card.audit.printed import parse_number
from evalkit.card.audit.reading import parse_card
from tests.support.properties import examples

NUMBERS = [
    ("91.42", 91.42, 2),
    ("91.42%", 91.42, 2),
    ("91.42 ± 0.99", 91.42, 2),
    ("91.42 (±0.99)", 91.42, 2),
    ("91.42 +/- 0.99", 91.42, 2),
    ("91.42 [89.5, 93.4]", 91.42, 2),
    ("91.42 (89.5-93.4)", 91.42, 2),
    ("91.42 (+0.9)", 91.42, 2),
    ("91.42*", 91.42, 2),
    ("91.42†‡", 91.42, 2),
    ("91.42 [1]", 91.42, 2),
    ("91.42¹", 91.42, 2),
    ("91,42", 91.42, 2),
    ("0,643", 0.643, 3),
    ("1,365", 1365.0, 0),
    ("12,345,678", 12345678.0, 0),
    ("$\\mathbf{91.42}$", 91.42, 2),
    ("$91.42_{\\pm 0.9}$", 91.42, 2),
    ("91.42 🥇", 91.42, 2),
    ("7.30 / 10", 7.30, 2),
    (".914", 0.914, 3),
    ("7", 7.0, 0),
]


@pytest.mark.parametrize(("text", "value", "decimals"), NUMBERS)
def test_a_number_is_read_with_what_stands_around_it(
    text: str, value: float, decimals: int
) -> None:
    found = parse_number(text)
    assert found is not None
    assert (found.value, found.decimals) == (value, decimals)


@pytest.mark.parametrize(
    "text",
    [
        "", "—", "-", "\u2013", "N/A", "n/a", "?", "91.4 / 90.6", "60-70", "90.6 to 91.4", "+0.9",
        "-3.2", "\u22123.2", "7B", "70b", "5-shot", "v1.0", "5e-07", "7,300", "91.42 91.43",
        "GPT-4", "1.2.3", "about 90", "> 90", "Q4_K_M", "4.37 GB", "2023-12-01", "x" * 100,
    ],
)  # fmt: skip
def test_what_is_no_single_number_is_none(text: str) -> None:
    assert parse_number(text) is None


def test_percent_signs_and_tildes_are_kept() -> None:
    percent, about = parse_number("91.42 %"), parse_number("~91")
    for text, has_error in (
        ("91 ± 1", True),
        ("91 (88-93)", True),
        ("91 (+1)", False),
        ("9", False),
    ):
        found = parse_number(text)
        assert found is not None
        assert found.has_error == has_error
    assert percent is not None
    assert percent.percent
    assert about is not None
    assert about.approximate


@given(st.decimals(0, 100, places=2), st.integers(0, 4))
@examples(200)
def test_every_printed_number_is_read_back(value: object, decimals: int) -> None:
    text = f"{float(str(value)):.{decimals}f}"
    found = parse_number(text)
    assert found is not None
    assert found.value == float(text)
    assert found.decimals == decimals


def test_spans_fill_the_grid_and_are_marked_as_copies() -> None:
    grid = read_grid(
        "<table><tr><th rowspan=2>Model<th colspan=2>Chat</tr><tr><th>A</th><th>B</th></tr>"
        "<tr><td rowspan='2'>x</td><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>"
    )
    assert grid is not None
    assert [[c.text for c in row] for row in grid.head] == [
        ["Model", "Chat", "Chat"],
        ["Model", "A", "B"],
    ]
    assert [[c.text for c in row] for row in grid.rows] == [["x", "1", "2"], ["x", "3", ""]]
    assert [c.copy for c in grid.rows[1]] == [True, False, False]


def test_a_span_beyond_reason_is_cut() -> None:
    grid = read_grid('<table><tr><td colspan="99999999">1</td></tr></table>')
    assert grid is not None
    assert len(grid.rows[0]) == 200


def test_marks_of_a_cell_are_not_its_text() -> None:
    card = parse_card(
        "| A | B |\n|---|---|\n"
        "| **x**<sup>1</sup> ![p](p.png)[^2] | <s>5</s> ~~6~~ **7.5**<br>(±1) |\n"
        "| [y](https://hf.co/o/y) | `8` |\n"
    )
    (table,) = card.tables
    assert [c.text for c in table.rows[0]] == ["x", "7.5 (±1)"]
    assert [c.bold for c in table.rows[0]] == [True, False]
    assert table.rows[1][0].links == ("https://hf.co/o/y",)
    assert table.rows[1][1].text == "8"


def test_tables_in_code_and_comments_are_no_tables() -> None:
    card = parse_card(
        "```\n| A | B |\n|---|---|\n| 1 | 2 |\n<table><tr><td>1</td></tr></table>\n```\n\n"
        "<!--\n<table><tr><td>1</td></tr></table>\n\n| A |\n|---|\n| 1 |\n-->\n"
    )
    assert card.tables == ()


def test_an_html_table_with_blank_lines_is_one_table() -> None:
    card = parse_card(
        "# T\n\nabove\n\n<table>\n\n<tr><th>A</th></tr>\n\n<tr><td>1</td></tr>\n\n</table>\n\n"
        "below\n"
    )
    (table,) = card.tables
    assert table.line == 5
    assert (table.headings, table.before, table.after) == (("T",), "above", "below")
    assert [[c.text for c in row] for row in table.rows] == [["1"]]


def test_front_matter_that_is_no_yaml_is_said_and_the_rest_read() -> None:
    card = parse_card("---\na: [1\n---\n# Title\n\n| A |\n|---|\n| 1 |\n")
    assert card.front_error
    assert len(card.tables) == 1
    assert card.tables[0].line == 6
