"""What a card holds, what is known, and what an audit says: the types its stages hand on.

text ─ reading ─▶ Card of CardTable of Cell ─ layout ─▶ Number ─ matching ─▶ Checked
runs, files, suites, leaderboards ─ evidence ─▶ Fact ─▲
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias

from evalkit.core import Json

__all__ = [
    "OWN",
    "Answer",
    "Audit",
    "Block",
    "Card",
    "CardTable",
    "Cell",
    "Checked",
    "ClaimChecked",
    "Fact",
    "Kind",
    "Label",
    "Number",
    "Printed",
    "Problem",
    "Verdict",
]

Answer: TypeAlias = Literal["supported", "not supported", "contradicted", "no evidence"]
Kind: TypeAlias = Literal["run", "file", "figure", "leaderboard"]
"""Where a fact is from: a stored run, a file of results, a figure that a suite states, the tables
that alpaca-eval ships."""
OWN = "the card's model"
"""Stands for a model that a place does not name."""
Verdict: TypeAlias = Literal["confirmed", "contradicted", "no evidence"]


# --- the card -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table as a reader sees it."""

    text: str = ""
    """On one line, without superscripts, footnote marks, struck-out text and pictures."""
    bold: bool = False
    """All of it."""
    links: tuple[str, ...] = ()
    header: bool = False
    copy: bool = False
    """Stands here because another cell spans into this place."""


@dataclass(frozen=True)
class CardTable:
    """A table and the text around it."""

    number: int
    """1 is the first of the card."""
    line: int
    """Of the card, 1 is the first."""
    head: tuple[tuple[Cell, ...], ...]
    rows: tuple[tuple[Cell, ...], ...]
    """As wide as the head."""
    headings: tuple[str, ...] = ()
    """Above it, the outermost first."""
    before: str = ""
    """Caption, and paragraphs between it and what is above it."""
    after: str = ""
    """Paragraphs below it, up to what comes next."""


@dataclass(frozen=True)
class Block:
    """A piece of prose."""

    kind: Literal["heading", "text"]
    line: int
    text: str


@dataclass(frozen=True)
class Card:
    """A model card."""

    front: Mapping[str, Json]
    """The YAML between the first two `---`; empty where there is none."""
    front_error: str
    """Why the front matter could not be read."""
    blocks: tuple[Block, ...]
    tables: tuple[CardTable, ...]
    links: tuple[str, ...] = ()
    """Of the prose."""


@dataclass(frozen=True, slots=True)
class Printed:
    """A number as it is printed."""

    value: float
    decimals: int
    percent: bool = False
    """With a percent sign of its own."""
    approximate: bool = False
    """With a tilde: contradicts nothing."""
    has_error: bool = False
    """With a standard error or an interval."""

    @property
    def unit(self) -> float:
        """One unit of the last printed digit."""
        return float(10.0**-self.decimals)


@dataclass(frozen=True)
class Label:
    """What a heading says of its numbers."""

    bench: str | None = None
    """Key of `benchmarks.BENCHMARKS`, or an lm-eval task."""
    version: str | None = None
    metric: str | None = None
    """Key of `benchmarks.METRICS`."""
    shots: int | None = None
    judge: str | None = None
    category: str | None = None
    average: bool = False
    percent: bool = False
    kind: str = ""
    """What a column holds that is no measurement: `model`, `task`, `rank`, `size`, ..."""
    unknown: tuple[str, ...] = ()
    """Words that are not understood: the numbers may be of something else."""
    exact: bool = False
    """The metric is lm-eval's own name, not a word for it."""

    @property
    def measures(self) -> bool:
        """Whether it says something of what was measured."""
        return bool(self.bench or self.metric or self.category or self.average)


@dataclass(frozen=True)
class Number:
    """One printed figure, and what its place says of it."""

    table: int
    """0: the model-index."""
    line: int
    row: int
    column: int
    model: str
    """As printed; empty: the card's own model."""
    heading: str
    """Benchmark and metric as printed."""
    printed: Printed
    text: str
    label: Label
    links: tuple[str, ...] = ()
    """Of the cell that names the model."""
    size: str = ""
    """Of the model, where a column states it."""
    bold: bool = False
    doubt: str = ""
    """Why it cannot be known what was measured."""
    loose: str = ""
    """Why it may be of more than its place says: nothing contradicts it."""

    @property
    def where(self) -> str:
        """Its place, in words."""
        place = f"table {self.table}" if self.table else "model-index"
        return f"{place}, {self.model or OWN}, {self.heading}"


# --- what is known ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fact:
    """One figure that evidence has."""

    model: str
    names: tuple[str, ...]
    """Other ways of writing the model: its row's pretty name, its repository."""
    bench: str
    version: str | None
    task: str
    metric: str
    category: str | None
    unit: str
    """`percent`, `points`, `characters` or `raw`."""
    value: float
    standard_error: float | None
    n: int
    shots: int | None
    judge: str | None
    source: str
    kind: Kind

    @property
    def measure(self) -> tuple[str, str | None, str]:
        """What was measured, but for settings."""
        return (self.bench, self.version, self.metric)


# --- what the audit says ------------------------------------------------------------------------


@dataclass(frozen=True)
class Checked:
    """One number held against the evidence."""

    number: Number
    verdict: Verdict
    how: tuple[str, ...] = ()
    """How it was matched: the model, the benchmark, the unit, the tolerance."""
    fact: Fact | None = None
    """What confirms or contradicts it."""
    right: str = ""
    """The evidence's value, where it is contradicted."""
    why: str = ""
    """Why there is no evidence, or what seems to have happened."""

    def to_json(self) -> dict[str, Json]:
        """For `--json`."""
        number, fact = self.number, self.fact
        return {
            "verdict": self.verdict,
            "table": number.table or None,
            "line": number.line,
            "model": number.model or None,
            "heading": number.heading,
            "printed": number.text,
            "value": number.printed.value,
            "right": self.right or None,
            "evidence": None if fact is None else asdict(fact) | {"names": list(fact.names)},
            "how": list(self.how),
            "why": self.why,
        }


@dataclass(frozen=True)
class Problem:
    """Something about the card as a whole, a table, or a row."""

    code: str
    """`order`, `average`, `units`, `index`, `empty_index`, `settings`, `bold`, `front_matter`,
    `model`."""
    wrong: bool
    """False: a remark, which contradicts nothing."""
    line: int
    message: str


@dataclass(frozen=True)
class ClaimChecked:
    """A sentence that sets models against each other."""

    line: int
    text: str
    answer: Answer
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """Everything an audit found, in the order of the card."""

    numbers: tuple[Checked, ...]
    problems: tuple[Problem, ...]
    claims: tuple[ClaimChecked, ...]
    sources: tuple[str, ...] = field(default=())
    """The evidence it was held against."""

    @property
    def contradicted(self) -> bool:
        """Whether anything is wrong for certain."""
        return (
            any(n.verdict == "contradicted" for n in self.numbers)
            or any(p.wrong for p in self.problems)
            or any(c.answer == "contradicted" for c in self.claims)
        )

    def to_json(self) -> dict[str, Json]:
        """For `--json`."""
        return {
            "contradicted": self.contradicted,
            "numbers": [n.to_json() for n in self.numbers],
            "problems": [asdict(p) for p in self.problems],
            "claims": [asdict(c) | {"reasons": list(c.reasons)} for c in self.claims],
            "sources": list(self.sources),
        }
