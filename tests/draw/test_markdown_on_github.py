"""Tables as GitHub reads them; the oracle is its own parser, beside markdown-it-py's elsewhere."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from evalkit.draw import Cell, Column, Group, Table, escape_markdown, table_to_markdown, visible
from tests.support.github_markdown import rendered

HOSTILE = (
    "a|b",
    "a\\|b\\",
    "\\",
    "|",
    "`|` ``\\``",
    "line\nbreak\r\nand\rmore",
    "<script>alert(1)</script><!-- x --><br>",
    "[link](javascript:alert(1)) ![i](http://e.vil/x.png) [x][y] [^1]",
    "https://e.vil www.e.vil a@b.example mailto:a@b.example xmpp:a@b.example ftp://e.vil",
    "**bold** _it_ ~~gone~~ ~x~ &lt; &#64;",
    "# heading",
    "- [ ] task",
    "1) item",
    "--- | ---",
    "\t\tindented",
    "```\nfence",
    "\ud800 \u202e \x00 \u200b",
)
TEXT = st.one_of(
    st.text(st.characters(), max_size=40),
    st.text("|\\`*_[]()<>!&#@:~$-+=.1 \n\tahtps/w", max_size=40),
    st.sampled_from(HOSTILE),
)

TAGS = {"table", "thead", "tbody", "tr", "th", "td", "p", "strong", "code", "br"}


def meant(text: str) -> str:
    lines = visible(text).replace("\t", " ").split("\n")
    return "\n".join(" ".join(line.split()) for line in lines).strip()


def read(text: str) -> str:
    lines = text.replace("\N{WORD JOINER}", "").split("\n")
    return "\n".join(" ".join(line.split()) for line in lines).strip()


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4), TEXT)
@example([(text, text) for text in HOSTILE], "|")
@example([("", "")], " ")
def test_cells_come_back_and_nothing_else(rows: list[tuple[str, str]], label: str) -> None:
    columns = (Column("a|b\n"), Column("path", code=True))
    cells = tuple((Cell.text(a), Cell.text(b)) for a, b in rows)
    found = rendered(table_to_markdown(Table(label, columns, (Group("", cells),), label)))
    assert [read(cell) for cell in found.cells] == [meant(t) for row in rows for t in row]
    assert found.tags <= TAGS
    assert found.comments == []


@given(TEXT)
@example("www.e.vil")
def test_text_stays_text(text: str) -> None:
    found = rendered(escape_markdown(text))
    assert found.tags <= {"p", "br"}
    assert read("".join(found.texts)) == meant(text)


def test_the_oracle_sees_what_must_not_happen() -> None:
    loose = rendered("| a |\n| --- |\n| <b>x</b> www.e.vil |\n")
    assert {"b", "a"} <= loose.tags
    assert re.search("www", "".join(loose.cells))
