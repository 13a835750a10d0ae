"""Hostile text cannot leave its cell.  The oracle is markdown-it-py's GFM parser."""

from __future__ import annotations

import itertools
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from evalkit.draw import (
    Cell,
    Column,
    Table,
    escape_markdown,
    fenced,
    one_line,
    table_to_markdown,
    visible,
)

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
JOINER = "\N{WORD JOINER}"
HOSTILE = (
    "a|b",
    "a\\|b\\",
    "line\nbreak\r\nand\rmore",
    "`code` ``more``",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "[link](javascript:alert(1)) ![i](http://e.vil/x.png)",
    "@everyone @octocat/team #12 GH-3 https://e.vil www.e.vil a@b.example",
    "**bold** _it_ ~~gone~~ $x$ &lt; &#64; \\_",
    "# heading #",
    "- item",
    "+ item",
    "1. item",
    "---",
    "| --- | --- |",
    "    indented",
    "[^1]: note",
    "```\nfence",
    "\ud800 lone, \u202e override, \x00 null, \u200b zero width",
)
TEXT = st.one_of(
    st.text(st.characters(), max_size=40),
    st.text("|\\`*_[]()<>!&#@:~$-+=.1 \n\tahtps/", max_size=40),
    st.sampled_from(HOSTILE),
)


def shown(token: Token) -> str:
    """What a reader of one inline token sees."""
    parts = []
    for child in token.children or ():
        assert child.type in {"text", "html_inline", "text_special"}, child.type
        if child.type == "html_inline":
            assert child.content == "<br>"
        parts.append("\n" if child.type == "html_inline" else child.content)
    return "".join(parts).replace(JOINER, "")


def meant(text: str) -> str:
    lines = visible(text).replace("\t", " ").split("\n")
    return "\n".join(line.strip(" ") for line in lines)


def inlines(markdown: str, kind: str) -> list[Token]:
    tokens = PARSER.parse(markdown)
    return [b for a, b in itertools.pairwise(tokens) if a.type == kind]


def edges(text: str) -> str:
    """Markdown drops blanks around a block's text; everything else must survive."""
    return re.sub(r"[ \n]+$", "", re.sub(r"^[ \n]+", "", text)).strip()


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4))
@example([(text, text) for text in HOSTILE])
def test_cells_come_back_as_they_were(rows: list[tuple[str, str]]) -> None:
    columns = (Column("a|b"), Column("n", align="right"))
    table = Table.of("c", columns, [[Cell.text(a), Cell.text(b)] for a, b in rows])
    cells = inlines(table_to_markdown(table), "td_open")
    assert [edges(shown(c)) for c in cells] == [edges(meant(t)) for row in rows for t in row]


@pytest.mark.parametrize("kind", ["paragraph_open", "heading_open", "list"])
@example(text="\n")
@given(text=TEXT)
def test_no_text_opens_a_block(kind: str, text: str) -> None:
    prefix = {"paragraph_open": "", "heading_open": "### ", "list": "- "}[kind]
    tokens = PARSER.parse(prefix + escape_markdown(text) + "\n")
    found = {t.type.removesuffix("_open").removesuffix("_close") for t in tokens}
    assert found <= {"inline", "paragraph", "heading", "bullet_list", "list_item"}
    assert ("bullet_list" in found) == (kind == "list")
    assert edges("".join(shown(t) for t in tokens if t.type == "inline")) == edges(meant(text))


@given(TEXT)
def test_code_cells_are_code_or_escaped(text: str) -> None:
    table = Table.of("", (Column("x", code=True), Column("y")), [[Cell.text(text)] * 2])
    (code, _) = inlines(table_to_markdown(table), "td_open")
    children = code.children or []
    if [c.type for c in children] == ["code_inline"]:
        assert children[0].content == visible(text)
    else:
        assert edges(shown(code)) == edges(meant(text))


@given(TEXT)
@example("a ``` b ````` c")
def test_a_fence_is_never_closed_from_inside(text: str) -> None:
    tokens = PARSER.parse(fenced(text) + "\n")
    assert [t.type for t in tokens] == ["fence"]
    assert tokens[0].content.rstrip("\n") == visible(text).rstrip("\n")


@pytest.mark.parametrize(
    "text",
    ["@octocat", "see #12", "GH-12", "https://e.vil", "HTTP://e.vil", "www.e.vil", ":smile:"],
)
def test_github_finds_nothing_to_link(text: str) -> None:
    # GitHub's filters look for these patterns in the rendered text.
    rendered = "".join(
        c.content
        for t in inlines(escape_markdown(text), "paragraph_open")
        for c in t.children or ()
    )
    patterns = r"@\w|#\d|gh-\d|\w+://|www\.|:\w+:"
    assert re.search(patterns, text, re.IGNORECASE)
    assert not re.search(patterns, rendered, re.IGNORECASE)


@given(st.text(st.characters(), max_size=60))
def test_visible_text_can_be_written_and_is_stable(text: str) -> None:
    once = visible(text)
    once.encode("utf-8")
    assert visible(once) == once
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", once)


def test_what_visible_spells_out() -> None:
    assert visible("a\r\nb\u202ec\ud83d") == "a\nb⟨U+202E⟩c⟨U+D83D⟩"
    family = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}"
    assert visible(family + " é 漢 العربية") == family + " é 漢 العربية"


def test_one_line_cuts_with_an_ellipsis() -> None:
    assert one_line("a\n  b\tc") == "a b c"
    assert one_line("abcdef", 4) == "abc…"
    assert one_line("abcd", 4) == "abcd"


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="has 1 cells, expected 2"):
        Table.of("t", (Column("a"), Column("b")), [[Cell.missing()]])


def test_table_layout() -> None:
    columns = (Column("model", header=True), Column("n", align="right"))
    table = Table.of("Sizes", columns, [[Cell.text("a_b"), Cell.missing()]], note="As counted.")
    assert table_to_markdown(table).split("\n") == [
        "**Sizes**",
        "",
        "| model | n |",
        "| --- | ---: |",
        "| a\\_b | \N{EN DASH} |",
        "",
        "As counted.",
    ]
    empty = Table.of("Sizes", columns, [])
    assert table_to_markdown(empty) == "**Sizes**\n\nNothing to show."


@given(st.text(st.characters() | st.sampled_from("\u202e\u200d\xa0\xad\ud800\u2028\r\x00é漢")))
def test_visible_spells_out_character_by_character(text: str) -> None:
    """Oracle: the rule of the module's docstring, one character at a time."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    spelled = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    wanted = [
        f"⟨U+{ord(c):04X}⟩"
        if unicodedata.category(c) in spelled and c not in "\n\t\u200c\u200d"
        else c
        for c in lines
    ]
    assert visible(text) == "".join(wanted)
