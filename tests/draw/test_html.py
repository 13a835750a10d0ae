"""Pages and tables as HTML: no text becomes markup, and the policy names what is there."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from bs4 import BeautifulSoup
from hypothesis import example, given
from hypothesis import strategies as st

from evalkit.draw import Cell, Column, Group, Table, visible
from evalkit.draw.html import (
    Assets,
    element,
    escaped,
    markdown_to_html,
    page_html,
    table_to_html,
)

HOSTILE = "\"'><script>1</script></style></title> <img src=x onerror=1> {{ 7 }} &lt; \x00 \u202e"


@given(st.text(st.characters(), max_size=40))
@example(HOSTILE)
def test_a_table_gives_its_texts_back_and_no_other_elements(text: str) -> None:
    columns = (Column(text, header=True), Column("n", "right"), Column("path", code=True))
    cells = (Cell.text(text, href=f"#{text}"), Cell(1.0, text, text, "better"), Cell.missing(text))
    page = BeautifulSoup(
        table_to_html(Table(text, columns, (Group(text, (cells,)),), text)), "lxml"
    )
    wanted = visible(text).replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")
    link = page.select_one("tbody th a")
    assert link is not None
    assert " ".join(link.get_text().split()) == " ".join(wanted.split())
    assert {tag.name for tag in page.find_all()} <= {
        *("html", "body", "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "p", "a"),
        *("span", "bdi"),
    }
    allowed = {"class", "tabindex", "role", "aria-label", "aria-hidden", "scope", "colspan"}
    found = {name for tag in page.find_all() for name in tag.attrs}
    assert found <= allowed | {"href", "title"}


def test_what_a_cell_is_shows_in_words_and_not_in_colour_alone() -> None:
    rows = [[Cell("better", "better", tone="better")], [Cell.missing()]]
    page = BeautifulSoup(table_to_html(Table.of("t", [Column("v")], rows)), "html.parser")
    better, missing = page.select("td")
    assert better["class"] == ["left", "better"]
    assert better.get_text() == "▲ better"
    assert missing.select("span[aria-label='not available']")
    assert table_to_html(Table.of("t", [Column("v")], [])) == ""


def test_a_page_allows_exactly_its_own_style_and_script() -> None:
    main = element("p", {}, [escaped(HOSTILE)])
    text = page_html(
        HOSTILE,
        main,
        eyebrow=(HOSTILE,),
        sections=[("one", HOSTILE)],
        footer=HOSTILE,
        assets=Assets(script="1;"),
    )
    page = BeautifulSoup(text, "html.parser")
    policy = page.select_one("meta[http-equiv]")
    assert policy is not None
    for tag in ("style", "script"):
        (found,) = page.find_all(tag)
        digest = hashlib.sha256(found.get_text().encode()).digest()
        hashed = base64.b64encode(digest).decode()
        assert f"{tag}-src 'sha256-{hashed}'" in str(policy["content"])
    assert "default-src 'none'" in str(policy["content"])
    assert not re.search(r"<[^>]* (style|on\w+)=", text)
    assert not page.find_all("img")
    assert page.select("nav a[href='#one']")
    quiet = page_html("t", main)
    assert "script-src" not in quiet
    assert "<nav" not in quiet


@pytest.mark.parametrize("text", ["- " * 300 + "deep", "> " * 300 + "deep", "x" * 50_000 + " deep"])
def test_no_word_of_an_answer_is_lost_however_deep_or_long(text: str) -> None:
    assert "deep" in markdown_to_html(text)


def test_markdown_has_no_link_image_markup_or_attribute_of_its_author() -> None:
    text = (
        "# Title <b>\n\n[x](javascript:1) ![y](z.png) <https://e.vil>\n\n"
        "```py onload=1\na<b\n```\n\n|a|\n|-:|\n|<i>|\n\n[r]: http://e.vil\n"
    )
    page = BeautifulSoup(markdown_to_html(text), "html.parser")
    _outer, *inner = page.find_all(True)
    assert {e.name for e in inner} == {
        "p",
        "pre",
        "code",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }
    assert {name for e in inner for name in e.attrs} <= {"class", "tabindex"}
    read = page.get_text()
    for kept in (
        "Title <b>",
        "[x](javascript:1) ![y](z.png) <https://e.vil>",
        "py onload=1",
        "<i>",
    ):
        assert kept in read
