"""A page as GitHub-flavoured Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.draw import Table, escape_markdown, fenced, table_to_markdown
from evalkit.report.blocks import (
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
from evalkit.report.page import Page

__all__ = ["to_markdown"]

_MARKS = {
    "better": "▲",
    "worse": "▼",
    "longer": "↔",
    "shorter": "↔",
    "unclear": "≈",
    "undefined": "?",
}


def to_markdown(page: Page) -> str:
    """All of the page; blocks are parted by an empty line."""
    parts = [f"# {escape_markdown(page.title)}"]
    for section in page.sections:
        parts += _section(section, 2)
    parts.append("---")
    said = f"evalkit report of suite {page.suite}, run {page.run_id}."
    parts.append(escape_markdown(said))
    return "\n\n".join(parts) + "\n"


def _section(section: Section, level: int) -> Iterator[str]:
    yield f"{'#' * min(level, 6)} {escape_markdown(section.title)}"
    for block in section.blocks:
        yield from _block(block, level + 1)


def _block(block: Block, level: int) -> Iterator[str]:
    match block:
        case Section():
            yield from _section(block, level)
        case Statements():
            yield _statements(block)
        case Chart():
            yield from _chart(block)
        case Example():
            yield from _example(block, level)
        case Details():
            yield _paragraph(block.summary, "")
            for inner in block.blocks:
                yield from _block(inner, level)
        case _:
            yield _leaf(block)


def _leaf(block: Text | Answer | Note | Caveats | Code | Table) -> str:
    match block:
        case Text():
            return _paragraph(block.lead, block.text)
        case Answer():
            return f"**{_MARKS[block.tone]} {escape_markdown(block.text)}**"
        case Note():
            return _alert(block.kind, _paragraph(block.lead, block.text))
        case Caveats():
            return _alert("warning", *(f"- {_paragraph(n.lead, n.text)}" for n in block.notes))
        case Code():
            return "\n\n".join([*_caption(block.caption), fenced(block.text)])
        case Table():
            return table_to_markdown(block)


def _alert(kind: str, *lines: str) -> str:
    head = "> [!WARNING]" if kind == "warning" else "> [!NOTE]"
    return "\n".join([head, *(f"> {line}" for line in lines)])


def _paragraph(lead: str, text: str) -> str:
    lead, text = escape_markdown(lead), escape_markdown(text)
    return f"**{lead}** {text}".rstrip() if lead else text


def _caption(text: str) -> list[str]:
    return [_paragraph(text, "")] if text else []


def _statements(block: Statements) -> str:
    return "\n".join(
        f"- {_MARKS[s.tone]} {escape_markdown(s.text)}{_aside(s.caveat)}" for s in block.items
    )


def _chart(chart: Chart) -> Iterator[str]:
    """Its table; a drawing cannot stand in Markdown that is safe everywhere."""
    if chart.table is not None:
        yield table_to_markdown(chart.table)


def _aside(text: str) -> str:
    return f" ({escape_markdown(text)})" if text else ""


def _example(example: Example, level: int) -> Iterator[str]:
    yield f"{'#' * min(level, 6)} {escape_markdown(example.title)}"
    for turn in example.turns:
        if turn.question:
            yield from ("**Question**", fenced(turn.question))
        if turn.reference:
            yield from ("**Reference**", fenced(turn.reference))
        for reply in turn.replies:
            yield _paragraph(reply.model, f"({reply.verdict})")
            yield fenced(reply.text)
            for remark in reply.remarks:
                yield escape_markdown(remark)
            for title, reason in reply.reasons:
                yield _paragraph(title, "")
                yield fenced(reason)
