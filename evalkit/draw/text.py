"""Text from anywhere, made safe to show: spelled out, on one line, as Markdown, in a spreadsheet.

`visible` spells out what cannot be seen, encoded or trusted: control characters, bidirectional
overrides, invisible characters and lone surrogates become `⟨U+202E⟩`.  The result can always be
encoded as UTF-8, and means the same on every reader.

`escape_markdown` writes GitHub-flavoured Markdown (GFM 0.29) that hostile content cannot leave.
Besides Markdown's own syntax GitHub links `@name`, `#12` and bare addresses, and draws `:name:`
as a picture, after Markdown is rendered: a backslash does not stop that.  A word joiner
(U+2060, invisible, no line break) inside the pattern does.

Cells of a CSV file are written as they are, since many answers are lists that begin with `-`.
Where the file is meant for a spreadsheet, `defused` puts an apostrophe before what it would take
for a formula; where it is not said to be, `formula_note` counts those cells.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TypeVar

__all__ = [
    "defused",
    "escape_markdown",
    "fenced",
    "formula_note",
    "is_formula",
    "is_unseen",
    "markdown_code",
    "one_line",
    "shortened",
    "visible",
]

T = TypeVar("T")
# Zero-width joiner and non-joiner stay: emoji and several scripts are written with them.
# Unassigned characters stay too: which ones are is a matter of Python's version.
_KEPT = frozenset("\n\t\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}")
_SPELLED = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_LEFT = "\N{MATHEMATICAL LEFT ANGLE BRACKET}"
_RIGHT = "\N{MATHEMATICAL RIGHT ANGLE BRACKET}"
_PLAIN = re.compile(r"[\n\t\x20-\x7e]*")
_ODD = re.compile(r"[^\n\t\x20-\x7e]")


def visible(text: str) -> str:
    """`text` with line ends as line feeds, tabs kept and every other unprintable spelled out."""
    if _PLAIN.fullmatch(text):
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # Answers in any language are mostly printable, which Python says of a whole text at once.
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return _ODD.sub(lambda found: _spell(found.group()), text)


_LONGEST = 100_000
"""Characters of an answer, a prompt or a reply that a report shows."""


def shortened(text: str) -> str:
    """`text` up to 100,000 characters, and what is left out; the run's records have it whole."""
    if (more := len(text) - _LONGEST) <= 0:
        return text
    return f"{text[:_LONGEST]}\n[{more:,} more characters are in the run's records]"


def one_line(text: str, limit: int | None = None) -> str:
    """`text` on one line, its blanks collapsed, cut to `limit` characters with an ellipsis."""
    line = " ".join(text.split())
    if limit is not None and len(line) > limit:
        return line[: limit - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
    return line


def is_unseen(char: str) -> bool:
    """Whether a character is spelled out: control, invisible, half a surrogate pair, private."""
    return char not in _KEPT and unicodedata.category(char) in _SPELLED


def _spell(char: str) -> str:
    return f"{_LEFT}U+{ord(char):04X}{_RIGHT}" if is_unseen(char) else char


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
    return "<br>".join(_escaped_line(line) for line in text.split("\n"))


def fenced(text: str, info: str = "text") -> str:
    """`text` as a fenced block whose fence is longer than any run of backticks inside."""
    text = visible(text)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{info}\n{text}\n{fence}"


def _escaped_line(line: str) -> str:
    line = _SYNTAX.sub(r"\\\g<0>", line.strip(" ")).translate(_ENTITIES)
    match = _MARKER.match(line)
    if match is None:
        return line
    if match["number"]:
        return f"{match['number']}\\{line[match.end() :]}"
    return "\\" + line


def markdown_code(text: str) -> str:
    """`text` as a code span that may stand in a table, or escaped where it cannot be one.

    A code span keeps a path or hash free of word joiners, so that it can be copied.  Parsers
    disagree about pipes and backslashes in code inside a table.
    """
    text = visible(text)
    return f"`{text}`" if _PLAIN_CODE.fullmatch(text) else escape_markdown(text)


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001
"""How a cell begins that a spreadsheet would not take for text; the wide forms count in Excel."""


def is_formula(value: object) -> bool:
    """Whether a cell of text would be taken for a formula; numbers never are."""
    return isinstance(value, str) and value.startswith(_FORMULA)


def defused(value: T) -> T | str:
    """`value`, or the text behind an apostrophe."""
    return f"'{value}" if is_formula(value) else value


def formula_note(cells: int, option: str) -> str:
    """What is said of so many cells that were written as they are."""
    what = "1 cell begins" if cells == 1 else f"{cells} cells begin"
    are = "is" if cells == 1 else "are"
    it = "it is" if cells == 1 else "they are"
    return (
        f"{what} like a formula (= + - @) and {are} written as {it}; to open the files in a "
        f"spreadsheet, add {option}"
    )
