"""Blocks as HTML, in one file that needs nothing else, and as GitHub-flavoured Markdown.

Jinja escapes every string (`draw.html.environment`); the page's own script turns no text into
markup, which Trusted Types hold it to.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from evalkit.draw import (
    MARKS,
    Table,
    contest_sentence,
    escape_markdown,
    fenced,
    one_line,
    table_to_markdown,
)
from evalkit.draw.html import (
    NO_ASSETS,
    Assets,
    element,
    environment,
    escaped,
    page_html,
    policy,
)
from evalkit.report.content import (
    Answer,
    Block,
    Caveats,
    Chart,
    Code,
    Details,
    Example,
    Note,
    Section,
    Statements,
    Text,
)

if TYPE_CHECKING:
    from evalkit.report.browser import Samples

__all__ = ["Page", "policies", "script", "sections_html", "to_html", "to_markdown"]

_HERE = Path(__file__).parent
_LONG = 700
"""Characters of an answer above which it is folded."""
_MANY_LINES = 14
_PREVIEW = 260


@dataclass(frozen=True)
class Page:
    """Everything a renderer places."""

    title: str
    suite: str
    run_id: str
    sections: tuple[Section, ...]
    samples: Samples | None = None
    """What the browser of all samples shows; None where texts are left out."""


# --- HTML ---------------------------------------------------------------------------------------


def to_html(page: Page, *, split: bool = False) -> str:
    """The whole file as text; `split` leaves the samples to the files beside it."""
    first, *rest = sections_html(page.sections)
    parts = [(f"part-{i}", section.title) for i, section in enumerate(page.sections, 1)]
    after = Markup("")
    if page.samples is not None:
        samples = _module("samples.html.j2")
        place = min(2, len(rest))  # after the largest changes and the results
        parts.insert(1 + place, ("samples", "All samples"))
        rest.insert(place, samples.section(page.samples))
        after = samples.browser(page.samples, split)
    loads = "loads its samples from files beside it, and nothing else" if split else "loads nothing"
    return page_html(
        page.title,
        Markup("").join(rest),
        eyebrow=[text for text in (page.suite, page.run_id) if text],
        first=first,
        sections=parts,
        footer=(
            f"Made by evalkit from the stored run {page.run_id}. This file "
            f"{loads if page.samples else 'loads nothing'}. All that it shows is in records.jsonl "
            f"and results.json beside it."
        ),
        assets=_assets(connects=split) if page.samples else NO_ASSETS,
        after=after,
    )


def sections_html(sections: tuple[Section, ...]) -> Iterator[Markup]:
    """Each section of a page, with its number in its id."""
    blocks = _module("blocks.html.j2")
    for i, section in enumerate(sections, 1):
        title = element("h2", {"id": f"title-{i}"}, [escaped(section.title)])
        inner = [blocks.block(b, 3) for b in section.blocks]
        about = {"class": "part", "aria-labelledby": f"title-{i}"}
        if section.folded:
            # A browser opens what a link leads into.
            parts = [element("summary", {}, [title]), element("div", {"id": f"part-{i}"}, inner)]
            yield element("section", about, [element("details", {}, parts)])
        else:
            yield element("section", {**about, "id": f"part-{i}"}, [title, *inner])


def policies() -> frozenset[str]:
    """The Content-Security-Policies of every kind of report that this version writes."""
    return frozenset((policy(), *(policy(_assets(connects=split)) for split in (False, True))))


def _assets(*, connects: bool) -> Assets:
    """The browser's; its colours are the page's."""
    style = (_HERE / "static" / "browser.css").read_text(encoding="utf-8")
    return Assets(style, script(), connects)


@cache
def script() -> str:
    """The browser's script: `static/10_…` to `70_…`, in one scope."""
    files = sorted((_HERE / "static").glob("[0-9]*.js"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return f'(() => {{\n"use strict";\n{text}}})();\n'


@cache
def _module(template: str) -> Any:
    """A template's macros, as functions."""
    made = environment(_HERE / "templates")
    made.globals |= {
        "kind": lambda block: type(block).__name__,
        "marks": MARKS,
        "sentence": contest_sentence,
        "is_long": lambda text: len(text) > _LONG or text.count("\n") >= _MANY_LINES,
        "preview": lambda text: one_line(text, _PREVIEW),
        "base64": lambda data: Markup(base64.b64encode(data).decode("ascii")),  # noqa: S704
    }
    return made.get_template(template).module


# --- Markdown -----------------------------------------------------------------------------------


def to_markdown(page: Page) -> str:
    """All of the page but its samples; blocks are parted by an empty line."""
    parts = [f"# {escape_markdown(page.title)}"]
    for section in page.sections:
        parts += _section(section, 2)
    parts.append("---")
    parts.append(escape_markdown(f"evalkit report of suite {page.suite}, run {page.run_id}."))
    return "\n\n".join(parts) + "\n"


def _section(section: Section, level: int) -> Iterator[str]:
    yield f"{'#' * min(level, 6)} {escape_markdown(section.title)}"
    for block in section.blocks:
        yield from _block(block, level + 1)


def _block(block: Block, level: int) -> Iterator[str]:
    match block:
        case Section():
            yield from _section(block, level)
        case Details():
            yield _paragraph(block.summary, "")
            for inner in block.blocks:
                yield from _block(inner, level)
        case Example():
            yield from _example(block, level)
        case Chart():
            # A drawing cannot stand in Markdown that is safe everywhere.
            if block.table is not None:
                yield table_to_markdown(block.table)
        case _:
            yield _leaf(block)


def _leaf(block: Text | Answer | Note | Caveats | Code | Statements | Table) -> str:
    match block:
        case Text():
            return _paragraph(block.lead, block.text)
        case Answer():
            mark, more = MARKS[block.status.verdict], escape_markdown(block.status.strongest)
            return f"**{mark} {escape_markdown(block.line)}**" + f"\n\n{more}" * bool(more)
        case Note():
            return _alert(block.kind, _paragraph(block.lead, block.text))
        case Caveats():
            return _alert("warning", *(f"- {_paragraph(n.lead, n.text)}" for n in block.notes))
        case Code():
            caption = [_paragraph(block.caption, "")] if block.caption else []
            return "\n\n".join([*caption, fenced(block.text)])
        case Statements():
            return "\n".join(
                f"- {MARKS[c.verdict]} {escape_markdown(contest_sentence(c))}"
                for c in block.contests
            )
        case Table():
            return table_to_markdown(block)


def _alert(kind: str, *lines: str) -> str:
    head = "> [!WARNING]" if kind == "warning" else "> [!NOTE]"
    return "\n".join([head, *(f"> {line}" for line in lines)])


def _paragraph(lead: str, text: str) -> str:
    lead, text = escape_markdown(lead), escape_markdown(text)
    return f"**{lead}** {text}".rstrip() if lead else text


def _example(example: Example, level: int) -> Iterator[str]:
    yield f"{'#' * min(level, 6)} {escape_markdown(example.title)}"
    yield escape_markdown(example.name)
    for turn in example.turns:
        if turn.question:
            yield from ("**Question**", fenced(turn.question))
        if turn.reference:
            yield from ("**Reference**", fenced(turn.reference))
        for reply in turn.replies:
            yield _paragraph(reply.model, "")
            yield fenced(reply.text)
            yield escape_markdown(reply.verdict)
            yield from (escape_markdown(remark) for remark in reply.remarks)
            for title, reason in reply.reasons:
                yield from (_paragraph(title, ""), fenced(reason))
