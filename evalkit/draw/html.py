"""Pieces of a page that is one HTML file, needs nothing else, and lets nothing else in.

No reference to anything outside the file, and a Content-Security-Policy that allows exactly the
style sheet and the script inside, by their hashes.  Every string is escaped, after what cannot be
seen or encoded is spelled out (`text.visible`).  `Markup` (markupsafe) is text that is markup
already; only constants of this package become it without being escaped.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from markupsafe import Markup, escape

from evalkit.draw.numbers import coordinate
from evalkit.draw.tables import Cell, Column, Table
from evalkit.draw.text import visible
from evalkit.draw.words import MARKS

if TYPE_CHECKING:
    from jinja2 import Environment
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

__all__ = [
    "NO_ASSETS",
    "Assets",
    "Value",
    "element",
    "environment",
    "escaped",
    "hash_source",
    "markdown_to_html",
    "page_html",
    "policy",
    "stylesheet",
    "table_to_html",
]

Value: TypeAlias = float | str
"""Of an attribute: text, or a number in user units."""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to spell."""
_TONES = {"better": MARKS["better"], "worse": MARKS["worse"], "unclear": MARKS["not_significant"]}
_MANY_COLUMNS = 8


def escaped(text: str) -> Markup:
    """`text` as it may stand in an element or in a quoted attribute."""
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", visible(text)))


def element(
    name: str, attributes: Mapping[str, Value], inner: Iterable[Markup] | None = None
) -> Markup:
    """One element; `name` and the attributes' names must be constants of this package.

    Args:
        name: Of its tag.
        attributes: Escaped here.
        inner: What it holds; None: it is one that holds nothing (`<meta>`, SVG's `<line>`).
    """
    values = (
        Markup(' {}="{}"').format(
            Markup(key),  # noqa: S704 - names are constants
            escaped(value) if isinstance(value, str) else coordinate(value),
        )
        for key, value in attributes.items()
    )
    tag = Markup(name)  # noqa: S704
    start = Markup("<{}{}").format(tag, Markup("").join(values))
    if inner is None:
        return start + Markup("/>")
    return start + Markup(">") + Markup("").join(inner) + Markup("</{}>").format(tag)


# --- tables -------------------------------------------------------------------------------------


def table_to_html(table: Table) -> Markup:
    """Caption, table and note in a box that scrolls sideways; nothing of a table without rows."""
    if not table.rows:
        return Markup("")
    kind: dict[str, Value] = {}
    if any(column.drawn for column in table.columns):
        kind = {"class": "scores apart" if table.apart else "scores"}
    elif len(table.columns) == 2:
        kind = {"class": "facts"}
    elif len(table.columns) > _MANY_COLUMNS:
        kind = {"class": "many"}
    heads = map(_head, table.columns)
    parts = [element("caption", {}, [escaped(table.caption)])] if table.caption else []
    parts.append(element("thead", {}, [element("tr", {}, heads)]))
    for group in table.groups:
        lines = []
        if group.label:
            across: dict[str, Value] = {"scope": "rowgroup", "colspan": len(table.columns)}
            label = element("span", {}, [escaped(group.label)])
            lines.append(element("tr", {"class": "group"}, [element("th", across, [label])]))
        lines += [
            element("tr", {}, [_cell(c, col) for c, col in zip(row, table.columns, strict=True)])
            for row in group.rows
        ]
        parts.append(element("tbody", {}, lines))
    about: dict[str, Value] = {"class": "scroll", "tabindex": "0", "role": "group"}
    about["aria-label"] = table.caption or "Table"
    inner = [element("div", about, [element("table", kind, parts)])]
    if table.note:
        inner.append(element("p", {"class": "hint"}, [escaped(table.note)]))
    return element("div", {"class": "table"}, inner)


def _head(column: Column) -> Markup:
    """A drawing's label is for who cannot see it."""
    inner = [escaped(column.label)]
    if column.drawn is not None:
        inner = [element("span", {"class": "unseen"}, inner), column.drawn]
    kind = "drawn" if column.drawn is not None else column.align
    return element("th", {"scope": "col", "class": kind}, inner)


def _cell(cell: Cell, column: Column) -> Markup:
    if cell.drawn is not None:
        return element("td", {"class": "drawn"}, [cell.drawn])
    shown = escaped(cell.shown)
    if cell.is_missing:
        shown = element("span", {"aria-label": "not available"}, [shown])
    elif column.align != "right":
        shown = element("bdi", {}, [shown])
    if cell.href:
        shown = element("a", {"href": cell.href}, [shown])
    if cell.tone in _TONES:
        mark = {"class": "mark", "aria-hidden": "true"}
        shown = element("span", mark, [escaped(_TONES[cell.tone])]) + Markup(" ") + shown
    if column.chip:
        shown = element("span", {"class": f"chip {cell.tone}"}, [shown])
    kinds = (column.align, "code" * column.code, "none" * cell.is_missing, cell.tone)
    attributes: dict[str, Value] = {"scope": "row"} if column.header else {}
    attributes["class"] = " ".join(kind for kind in kinds if kind)
    if cell.provenance:
        attributes["title"] = cell.provenance
    return element("th" if column.header else "td", attributes, [shown])


# --- Markdown of models -------------------------------------------------------------------------

_LONGEST = 40_000
"""Characters above which an answer is shown as it is: no answer may keep a page from opening."""


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    made = MarkdownIt("commonmark", {"html": False, "breaks": True})
    made.enable(["table", "strikethrough"])
    # Links, images and raw HTML stay the text that the model wrote.
    return made.disable(["link", "image", "autolink", "reference", "html_inline", "html_block"])


def markdown_to_html(text: str) -> Markup:
    """A model's Markdown: headings, lists, tables, code.  No link, image, HTML or attribute.

    CommonMark 0.31 with GitHub's tables and strikethrough, by markdown-it-py, which escapes all
    text; what cannot be seen is spelled out before.  What is too long, or nested deeper than the
    parser reads, is shown as it stands: no word of an answer may be lost.
    """
    text = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", visible(text))
    parser = _parser()
    tokens = parser.parse(text) if len(text) <= _LONGEST else []
    if not tokens or max(token.level for token in tokens) >= parser.options.maxNesting - 2:
        return element("div", {"class": "words", "dir": "auto"}, [escape(text)])
    shown: list[Token] = []
    for token in tokens:
        token.attrs = {}
        if token.type.startswith("heading_"):
            # The page's own headings are an outline; an answer's are bold.
            token.tag, token.attrs = "p", {"class": "heading"} if token.nesting > 0 else {}
        if token.type == "fence":
            language = element("p", {"class": "tag"}, [escape(token.info.strip())])
            shown += [replace(token, type="html_block", content=language)] * bool(token.info)
        if token.type in ("fence", "code_block"):
            token.type, token.attrs = "code_block", {"tabindex": "0"}
        shown.append(token)
    inner = Markup(parser.renderer.render(shown, parser.options, {}))  # noqa: S704 - escaped there
    return element("div", {"class": "words markdown", "dir": "auto"}, [inner])


# --- pages --------------------------------------------------------------------------------------


@cache
def stylesheet() -> str:
    """How pages, tables and charts look."""
    return (Path(__file__).parent / "style.css").read_text(encoding="utf-8")


def hash_source(text: str) -> str:
    """`text` as a policy's source: exactly this style sheet or script."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


@dataclass(frozen=True)
class Assets:
    """What a page has of its own besides `stylesheet()`; constants of this package."""

    style: str = ""
    script: str = ""
    """Turns no text into markup, which Trusted Types hold it to."""
    connects: bool = False
    """The script reads files beside the page."""


NO_ASSETS = Assets()


def policy(assets: Assets = NO_ASSETS) -> str:
    """The Content-Security-Policy of a page: exactly its style sheet and its script, by hash."""
    rules = ["default-src 'none'", f"style-src {hash_source(stylesheet() + assets.style)}"]
    if assets.script:
        rules.append(f"script-src {hash_source(assets.script)}")
        rules += ["require-trusted-types-for 'script'", "trusted-types 'none'"]
        rules += ["connect-src 'self'"] if assets.connects else []
    return "; ".join([*rules, "img-src data:", "base-uri 'none'", "form-action 'none'"])


def page_html(
    title: str,
    main: Markup,
    *,
    eyebrow: Sequence[str] = (),
    first: Markup = Markup(""),  # noqa: B008 - immutable
    sections: Sequence[tuple[str, str]] = (),
    footer: str = "",
    assets: Assets = NO_ASSETS,
    after: Markup = Markup(""),  # noqa: B008 - immutable
) -> str:
    """A whole page: head with its policy, title, first screen, navigation, `main`, footer.

    Args:
        title: Of the page.
        main: What it shows.
        eyebrow: What stands above the title: of which suite, which run.
        first: What stands before the navigation: the answer, before one looks for anything else.
        sections: (id, heading) of what the navigation links to.
        footer: A sentence.
        assets: Its own style sheet and script.
        after: What stands behind all of it, before the script.
    """
    sheet = stylesheet() + assets.style
    rules = policy(assets)
    meta = (
        {"charset": "utf-8"},
        {"http-equiv": "Content-Security-Policy", "content": rules},
        {"name": "viewport", "content": "width=device-width, initial-scale=1"},
        {"name": "color-scheme", "content": "light dark"},
        {"name": "referrer", "content": "no-referrer"},
        {"name": "generator", "content": "evalkit"},
    )
    head = [element("meta", attributes) for attributes in meta]
    head.append(element("title", {}, [escaped(f"{title} · evalkit")]))
    head.append(element("link", {"rel": "icon", "href": "data:,"}))
    head.append(element("style", {}, [Markup(sheet)]))  # noqa: S704 - files of this package
    above = [element("span", {}, [escaped("evalkit")])]
    above += [element("bdi", {}, [escaped(text)]) for text in eyebrow]
    top = [
        element("p", {"class": "eyebrow"}, [Markup(" ").join(above)]),
        element("h1", {}, [escaped(title)]),
    ]
    links = (
        element("li", {}, [element("a", {"href": f"#{name}"}, [escaped(heading)])])
        for name, heading in sections
    )
    body = [
        element("a", {"class": "skip", "href": "#main"}, [escaped("Skip to the results")]),
        element("header", {"class": "top"}, top),
    ]
    inner = [first] if first else []
    if sections:
        inner.append(element("nav", {"aria-label": "Sections"}, [element("ul", {}, links)]))
    body.append(element("main", {"id": "main"}, [*inner, main]))
    if footer:
        body.append(element("footer", {}, [element("p", {}, [escaped(footer)])]))
    body.append(after)
    if assets.script:
        body.append(element("script", {}, [Markup(assets.script)]))  # noqa: S704 - a file of this package
    parts = [element("head", {}, head), element("body", {}, body)]
    return f"<!doctype html>\n{element('html', {'lang': 'en'}, parts)}\n"


def environment(templates: Path) -> Environment:
    """Jinja that escapes every string, after spelling out what cannot be seen.

    Templates may call `table_to_html(table)` and `markdown_to_html(text)`.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        autoescape=True,
        loader=FileSystemLoader(templates),
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals |= {"table_to_html": table_to_html, "markdown_to_html": markdown_to_html}
    return made


def _shown(value: object) -> object:
    # Markup is a str as well, but already safe.
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
