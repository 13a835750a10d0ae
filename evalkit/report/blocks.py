"""What a page is made of.  Blocks hold text and tables; how they look is the renderers' affair.

Every string may be hostile: a renderer escapes all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit.compare.words import Verdict
from evalkit.tables import Table

__all__ = [
    "Answer",
    "Axis",
    "Block",
    "Caveats",
    "Code",
    "Contest",
    "Details",
    "Example",
    "Headline",
    "Note",
    "Reply",
    "Section",
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
class Headline:
    """One measure of a contest: a sentence, and a place on the axis of its unit."""

    measure: str
    verdict: Verdict
    word: str
    """The verdict in a word or two."""
    caveat: str
    """Why not to trust it, in a word or two; may be empty."""
    sentence: str
    """Says all there is to say, without the drawing."""
    shown: str
    """The difference with its sign."""
    interval: str
    """Its interval, or what is missing."""
    low: float | None
    point: float | None
    high: float | None
    """In per cent of the axis' width; None where undefined."""


@dataclass(frozen=True)
class Axis:
    """Headlines that share a unit, and so a scale with zero in the middle."""

    unit: str
    """In words."""
    reach: str
    """Distance from zero to either end, as text."""
    headlines: tuple[Headline, ...]


@dataclass(frozen=True)
class Contest:
    """A candidate against a baseline."""

    candidate: str
    baseline: str
    axes: tuple[Axis, ...]
    note: str
    """How to read it."""


@dataclass(frozen=True)
class Reply:
    """What one model answered to one turn."""

    model: str
    text: str
    verdict: str
    """Score and judgment, or why there is none."""
    remarks: tuple[str, ...] = ()
    """What the judge wrote, and that the answer was cut."""


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
    Text | Answer | Note | Caveats | Code | Table | Contest | Example | Details | Section
)
