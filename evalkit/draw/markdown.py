"""Tables and text as GitHub-flavoured Markdown (GFM 0.29) that hostile content cannot leave.

Besides Markdown's own syntax GitHub links `@name`, `#12` and bare addresses, and draws `:name:`
as a picture, after Markdown is rendered: a backslash does not stop that.  A word joiner
(U+2060, invisible, no line break) inside the pattern does.
"""

from __future__ import annotations

import re

from evalkit.draw.table import Cell, Column, Table
from evalkit.draw.text import visible

__all__ = ["escape_markdown", "fenced", "table_to_markdown"]

_JOINER = "\N{WORD JOINER}"
_SYNTAX = re.compile(r"[\\`*_{}\[\]|~$^#]")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_LINKED = re.compile(
    r"""@(?=\S)                               # a mention, an e-mail address
      | \#(?=\d) | (?<=[Gg][Hh]-)(?=\d)       # an issue
      | (?<=http|ttps):|(?<=ftp):|(?<=mailto):|(?<=xmpp):
      | (?<=www)(?=\.)
      | :(?=[\w+-]+:)                         # an emoji
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MARKER = re.compile(r"^(?:(?P<bullet>[-+=])(?=[-+=\s]|$)|(?P<number>\d{1,9})(?=[.)](?:\s|$)))")
_PLAIN_CODE = re.compile(r"[^\s|\\`](?:[^|\\`\n\t]*[^\s|\\`])?")


def escape_markdown(text: str) -> str:
    """`text` as inline Markdown that renders as that text; line ends become `<br>`.

    Blank lines at its ends are dropped.  Safe inside a table cell, a heading, a list item and
    a paragraph.
    """
    # A `<br>` alone on its line would open a block of HTML: blank lines at the ends go.
    text = visible(text).replace("\t", " ").strip(" \n")
    text = _LINKED.sub(lambda m: m.group() + _JOINER, text)
    return "<br>".join(_line(line) for line in text.split("\n"))


def fenced(text: str, info: str = "text") -> str:
    """`text` as a fenced block whose fence is longer than any run of backticks inside."""
    text = visible(text)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{info}\n{text}\n{fence}"


def table_to_markdown(table: Table) -> str:
    """Caption, table and note, without an end of line; a table without rows is a sentence."""
    caption = _bold(table.caption)
    head = [caption, ""] if caption else []
    if not table.rows:
        return "\n".join([*head, "Nothing to show."])
    lines = [
        *head,
        _row([escape_markdown(c.label) for c in table.columns]),
        _row(["---:" if c.align == "right" else "---" for c in table.columns]),
    ]
    for group in table.groups:
        if group.label:
            blank = [""] * (len(table.columns) - 1)
            lines.append(_row([_bold(group.label), *blank]))
        lines += [
            _row([_cell(c, col) for c, col in zip(row, table.columns, strict=True)])
            for row in group.rows
        ]
    if table.note:
        lines += ["", escape_markdown(table.note)]
    return "\n".join(lines)


def _bold(text: str) -> str:
    """In bold; of blanks nothing, since `****` alone is a rule across the page."""
    escaped = escape_markdown(text)
    return f"**{escaped}**" if escaped else ""


def _cell(cell: Cell, column: Column) -> str:
    # A code span keeps a path or hash free of word joiners, so that it can be copied.  Parsers
    # disagree about pipes and backslashes in code inside a table: such text is escaped instead.
    text = visible(cell.shown)
    if column.code and _PLAIN_CODE.fullmatch(text):
        return f"`{text}`"
    return escape_markdown(text)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _line(line: str) -> str:
    line = _SYNTAX.sub(r"\\\g<0>", line.strip(" ")).translate(_ENTITIES)
    match = _MARKER.match(line)
    if match is None:
        return line
    if match["number"]:
        return f"{match['number']}\\{line[match.end() :]}"
    return "\\" + line
