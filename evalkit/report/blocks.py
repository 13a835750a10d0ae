"""What a page is made of.  Blocks hold text and tables; how they look is the renderers' affair.

Every string may be hostile: a renderer escapes all of them but `Chart.svg`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from markupsafe import Markup

from evalkit.compare.words import Verdict
from evalkit.draw import Table

__all__ = [
    "Answer",
    "Block",
    "Caveats",
    "Chart",
    "Code",
    "Details",
    "Example",
    "Note",
    "Reply",
    "Section",
    "Statement",
    "Statements",
    "Text",
    "Turn",
    "Verdict",
]


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    lead: str = ""
    """Set in bold before `text`."""
    small: bool = False
    """Says what something else rests on."""


@dataclass(frozen=True)
class Note:
    """A paragraph that must not be missed (`warning`), or a remark."""

    text: str
    lead: str = ""
    kind: Literal["warning", "remark"] = "warning"


@dataclass(frozen=True)
class Answer:
    """The answer to the page's question, in one sentence."""

    text: str
    tone: Verdict


@dataclass(frozen=True)
class Caveats:
    """What a reader must know before quoting anything: notes in one box."""

    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Code:
    """Text shown exactly as it is."""

    text: str
    caption: str = ""


@dataclass(frozen=True)
class Statement:
    """What may be said of one comparison, as it may be printed."""

    text: str
    tone: Verdict
    caveat: str = ""
    """Why not to trust it, in a word or two."""


@dataclass(frozen=True)
class Statements:
    """Statements, one below the other."""

    items: tuple[Statement, ...]


@dataclass(frozen=True)
class Chart:
    """A drawing, and the same figures as a table."""

    title: str
    svg: Markup
    """Made by `report.charts` or `history`, which escape every text in it."""
    table: Table | None = None
    """Stands in for the drawing in Markdown, and below it in HTML; None: a table follows."""
    note: str = ""
    """How to read the drawing."""
    fixed: bool = False
    """Drawn in a size of its own: it scrolls where there is no room for that."""


@dataclass(frozen=True)
class Reply:
    """What one model answered to one turn."""

    model: str
    text: str
    verdict: str
    """Score and judgment, or why there is none."""
    remarks: tuple[str, ...] = ()
    """That the answer was cut, that the judge failed."""
    reasons: tuple[tuple[str, str], ...] = ()
    """What the judge wrote: of which answer or order, and its text as it is."""


@dataclass(frozen=True)
class Turn:
    """One question with every model's answer."""

    question: str
    reference: str
    replies: tuple[Reply, ...]


@dataclass(frozen=True)
class Example:
    """One sample, side by side."""

    title: str
    turns: tuple[Turn, ...]
    href: str = ""
    """Its address in the browser of all samples; may be empty."""


@dataclass(frozen=True)
class Details:
    """Blocks that are folded away at first."""

    summary: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; may hold sections itself."""

    title: str
    blocks: tuple[Block, ...]


Block: TypeAlias = (
    Text | Answer | Note | Caveats | Statements | Chart | Code | Table | Example | Details | Section
)
