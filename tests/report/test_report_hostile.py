"""Hostile text in every field: nothing of it becomes markup, nothing runs, nothing is loaded."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import cycle, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from evalkit.core.run import Run
from evalkit.draw import visible
from evalkit.report import render, summary_lines
from tests.support.properties import examples
from tests.support.runs import Plan, build_run
from tests.support.terminal import screen

PAYLOADS = (
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    '"><svg onload=window.pwned=1>',
    "' autofocus onfocus='window.pwned=1",
    "</pre></details></style></title><script>window.pwned=1</script>",
    "<iframe src='javascript:parent.pwned=1'></iframe>",
    "<a href='javascript:window.pwned=1'>x</a>",
    "<meta http-equiv=refresh content='0;url=https://e.vil'>",
    "<link rel=stylesheet href=https://e.vil/x.css><base href=https://e.vil>",
    "<style>body{background:url(https://e.vil/x)}</style>",
    "{{ 7 * 7 }}{% raw %}{{ config }}",
    "<!-- --><![CDATA[ <b> ]]> &lt;script&gt; &#x3c;script&#x3e;",
    "| a | b |\n| --- | --- |\n\n# heading\n\n<script>window.pwned=1</script>",
    "[x](javascript:window.pwned=1) ![x](https://e.vil/x.png) <https://e.vil> @everyone #1",
    "```\n<script>window.pwned=1</script>\n````\n~~~",
    "\u202eoverride \u2066isolate \ud800 lone \x00 \x07 \x1b[31m \x9b \ufeff \u2028",
    "العربية مع English, e\u0301, \U0001f469\u200d\U0001f4bb",
    "a" * 5000,
)
ALLOWED_TAGS = {
    *("button", "dd", "dialog", "dl", "dt", "form", "input", "kbd", "label", "noscript", "script"),
    *("select",),
    *("html", "head", "meta", "title", "link", "style", "body", "header", "main", "footer"),
    *("nav", "section", "article", "div", "figure", "figcaption", "h1", "h2", "h3", "h4", "h5"),
    *("p", "span", "strong", "b", "em", "bdi", "code", "pre", "a", "ul", "li", "details"),
    *("summary", "table", "caption", "thead", "tbody", "tr", "th", "td", "svg", "line"),
    *("text", "desc", "rect", "circle", "polygon"),
    *("br", "ol", "blockquote", "hr", "s"),  # of answers
}
ALLOWED_ATTRIBUTES = {
    *("aria-keyshortcuts", "autocomplete", "hidden", "method", "placeholder", "spellcheck", "type"),
    *("aria-hidden", "aria-label", "aria-labelledby", "charset", "class", "colspan", "content"),
    *("dir", "href", "http-equiv", "id", "lang", "name", "preserveaspectratio", "rel", "role"),
    *("scope", "tabindex", "title", "viewbox", "x1", "x2", "y1", "y2", "x", "y", "width", "height"),
    *("open", "cx", "cy", "r", "points", "text-anchor", "aria-describedby"),
}


VOID = ("meta", "link", "line", "input", "br", "hr")


class Audit(HTMLParser):
    """Refuses whatever the templates do not write themselves; collects what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.style = ""
        self.script = ""
        self.blocks = 0
        self.policy = ""
        self.open: list[str] = []
        self.headings: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED_TAGS, tag
        for name, value in attrs:
            assert name in ALLOWED_ATTRIBUTES, name
            if name == "href":
                assert value is not None
                assert value == "data:," or value.startswith("#"), value
        pairs = dict(attrs)
        if tag == "script" and attrs:
            assert pairs == {"type": "application/gzip", "class": "b-block"}
            self.blocks += 1
        if pairs.get("http-equiv") is not None:
            assert pairs["http-equiv"] == "Content-Security-Policy"
            self.policy = pairs["content"] or ""
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        elif self.open and self.open[-1] == "script":
            if not re.fullmatch(r"[A-Za-z0-9+/=]+", data):
                self.script += data
        else:
            self.text.append(data)


def audit(html: bytes) -> Audit:
    parser = Audit()
    parser.feed(html.decode("utf-8"))
    parser.close()
    assert parser.open == []
    return parser


def hostile_run(say: Callable[[str], str], models: tuple[str, str]) -> Run:
    return build_run(Plan(models=models, samples=(24, 16, 6), say=say, examples=50))


def planted() -> Run:
    """A run in which every free text is a payload, names of models included."""
    turn = cycle(PAYLOADS)
    return hostile_run(lambda _: next(turn), (PAYLOADS[0], PAYLOADS[2]))


@pytest.fixture(scope="module")
def hostile() -> Run:
    return planted()


def test_html_has_only_the_templates_markup(hostile: Run) -> None:
    found = audit(render(hostile)["index.html"])
    text = "".join(found.text)
    for payload in PAYLOADS:
        assert visible(payload) in text
    assert "⟨U+202E⟩override" in text
    assert "⟨U+D800⟩ lone ⟨U+0000⟩" in text


def digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_policy_allows_exactly_the_style_and_script_inside(hostile: Run) -> None:
    found = audit(render(hostile)["index.html"])
    assert found.blocks > 2
    assert found.policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest(found.style)}'",
        f"script-src 'sha256-{digest(found.script)}'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert "url(" not in found.style
    assert "@import" not in found.style


def test_without_texts_there_is_no_script(hostile: Run) -> None:
    found = audit(render(hostile, figures_only=True)["index.html"])
    assert found.script == ""
    assert found.blocks == 0
    assert found.policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest(found.style)}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_headings_skip_no_level(hostile: Run) -> None:
    levels = audit(render(hostile)["index.html"]).headings
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_markdown_holds_no_markup_of_others(hostile: Run) -> None:
    text = render(hostile)["report.md"].decode("utf-8")
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    kinds = set()
    for token in parser.parse(text):
        kinds.add(token.type)
        for child in token.children or ():
            assert child.type not in ("link_open", "image"), child
            if child.type == "html_inline":
                assert child.content == "<br>"
    assert "html_block" not in kinds
    assert "code_block" not in kinds
    assert {"fence", "table_open", "heading_open"} <= kinds


def test_a_terminal_gets_plain_text(hostile: Run) -> None:
    renamed = tuple(replace(c, candidate="\x1b[31mred\x07") for c in hostile.comparisons)
    lines = screen(summary_lines(replace(hostile, comparisons=renamed)))
    assert any("⟨U+001B⟩[31mred" in line for line in lines)
    assert all(line.isprintable() for line in lines)


@examples(8)
@given(st.text(st.characters(), min_size=1, max_size=30))
def test_any_text_survives_as_text(text: str) -> None:
    run = hostile_run(lambda _: f"[{text}]", ("a", "b"))
    files = render(run)
    found = "".join(audit(files["index.html"]).text)
    # Without its line ends: HTML parsers may read those of a text in several pieces.
    assert " ".join(visible(f"[{text}]").split()) in " ".join(found.split())
    assert files == render(run)
