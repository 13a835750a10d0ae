"""Cell, Column, Group, Table: what every report is made of before anything is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit.draw.numbers import MISSING

__all__ = ["Cell", "Column", "Group", "Table", "Tone"]

Tone: TypeAlias = Literal["", "better", "worse", "unclear", "warning"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a table, and the text that stands for it."""

    value: float | str | None
    """Unrounded; None where the figure is undefined."""
    shown: str
    """What a reader sees.  May be hostile text: renderers escape it."""
    provenance: str = ""
    """What it was computed from, in words."""
    tone: Tone = ""
    """A colour that repeats what `shown` says in words."""
    href: str = ""
    """What it counts, as an address within the page (`#…`); only HTML has it."""

    @classmethod
    def text(cls, text: str, *, tone: Tone = "", href: str = "") -> Cell:
        """A cell whose value is its text."""
        return cls(text, text, tone=tone, href=href)

    @classmethod
    def missing(cls, why: str = "") -> Cell:
        """A cell without a value."""
        return cls(None, MISSING, why)

    @property
    def is_missing(self) -> bool:
        """Nothing is known, as opposed to an empty text or a zero."""
        return self.value is None


@dataclass(frozen=True, slots=True)
class Column:
    """Heading of a column and how its cells stand."""

    label: str
    align: Literal["left", "right"] = "left"
    header: bool = False
    """Its cells name their row."""
    code: bool = False
    """Its cells are shown in a fixed-width face, and may be long."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that belong together; an empty label makes no heading."""

    label: str
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Table:
    """Columns and grouped rows.  Raises ValueError where a row has another number of cells."""

    caption: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    note: str = ""
    """One sentence below the table: how to read it."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"a row of {self.caption!r} has {len(row)} cells, "
                    f"expected {len(self.columns)}: {[c.shown for c in row]!r}"
                )

    @classmethod
    def of(
        cls, caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], note: str = ""
    ) -> Table:
        """A table with one group without a heading."""
        return cls(caption, tuple(columns), (Group("", tuple(tuple(r) for r in rows)),), note)

    @property
    def rows(self) -> tuple[tuple[Cell, ...], ...]:
        """All rows, without the headings of their groups."""
        return tuple(row for group in self.groups for row in group.rows)
