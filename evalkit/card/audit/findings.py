"""What an audit says: the types of its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias

from evalkit.card.audit.stated import Stated
from evalkit.core.requests import Json

__all__ = ["Answer", "Audit", "Checked", "ClaimChecked", "Code", "Fact", "Remark", "Unread"]

Code: TypeAlias = Literal[
    "average", "places", "figure", "swapped", "differs", "front_matter", "empty_index", "settings",
    "units", "bold", "order", "model",
]  # fmt: skip
Answer: TypeAlias = Literal["supported", "consistent", "not supported", "contradicted",
                            "not checked"]  # fmt: skip
Verdict: TypeAlias = Literal["confirmed", "contradicted", "differs", "no evidence"]


@dataclass(frozen=True)
class Remark:
    """Something about the card; `wrong` ones are errors for certain, others notes."""

    code: Code
    wrong: bool
    line: int
    message: str


@dataclass(frozen=True)
class Unread:
    """A table with numbers that was not read."""

    line: int
    table: int
    why: str


@dataclass(frozen=True)
class Fact:
    """A figure of the evidence, with what it was measured under as far as it says."""

    model: str
    bench: str
    """Name in the catalogue, or the task where that has none."""
    task: str
    metric: str
    category: str | None
    unit: str
    value: float
    source: str
    measured: bool
    """From a run or a result file of that very model; else published by someone."""
    leaderboard: bool = False
    edition: str | None = None
    shots: int | None = None
    judge: str | None = None
    entry: str = ""
    """Benchmark entry of the run."""
    run_id: str = ""

    @property
    def slack(self) -> float:
        """How far off it may be itself: published figures are known to two decimals."""
        return 0.0 if self.measured or round(self.value, 2) != self.value else 0.005


@dataclass(frozen=True)
class Checked:
    """One printed number held against the evidence."""

    stated: Stated
    verdict: Verdict
    how: str = ""
    """How it was matched, or why there is no evidence."""
    fact: Fact | None = None

    def to_json(self) -> dict[str, Json]:
        """For `--json`."""
        s = self.stated
        return {
            "verdict": self.verdict,
            "place": s.place,
            "line": s.line,
            "model": s.model or None,
            "heading": s.heading,
            "printed": s.text,
            "value": s.printed.value,
            "evidence": None if self.fact is None else asdict(self.fact),
            "how": self.how,
        }


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
    remarks: tuple[Remark, ...]
    claims: tuple[ClaimChecked, ...]
    unread: tuple[Unread, ...] = ()
    tables: int = 0
    """Tables of the card, those without numbers included."""
    sources: tuple[str, ...] = field(default=())
    """The evidence it was held against."""

    @property
    def contradicted(self) -> bool:
        """Whether anything is wrong for certain."""
        return (
            any(n.verdict == "contradicted" for n in self.numbers)
            or any(r.wrong for r in self.remarks)
            or any(c.answer == "contradicted" for c in self.claims)
        )

    def to_json(self) -> Mapping[str, Json]:
        """For `--json`."""
        return {
            "contradicted": self.contradicted,
            "tables": self.tables,
            "not_read": [asdict(u) for u in self.unread],
            "numbers": [n.to_json() for n in self.numbers],
            "problems": [asdict(r) for r in self.remarks],
            "claims": [asdict(c) | {"reasons": list(c.reasons)} for c in self.claims],
            "sources": list(self.sources),
        }
