"""What the log-likelihoods cost: tokens computed, tokens saved, and the bound."""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.report.blocks import Section
from evalkit.report.view import View, mapping
from evalkit.tables import MISSING, Cell, Column, Group, Table, count
from evalkit.types import Json

__all__ = ["build"]

_NOTE = (
    "Tokens: of prompts, for log-likelihoods. Asked: every choice with its whole context, which "
    "is what computing them one by one costs. Computed: what went through the model. Bound: each "
    "distinct prefix once; no method needs less. Floor: the same where only whole cache blocks "
    "can be shared."
)


def build(view: View) -> Section | None:
    """One row per engine that planned; None where none did."""
    found = {
        name: counts
        for name, counts in mapping(view.manifest.get("work")).items()
        if _number(mapping(counts), "computed")
    }
    if not found:
        return None
    columns = (
        Column("Engine", header=True),
        Column("Requests", "right"),
        Column("Tokens asked", "right"),
        Column("Computed", "right"),
        Column("Saved", "right"),
        Column("Bound", "right"),
        Column("Computed / bound", "right"),
        Column("Computed / floor", "right"),
    )
    rows = tuple(_row(str(name), mapping(counts)) for name, counts in found.items())
    return Section("Cost", (Table("What scoring cost", columns, (Group("", rows),), _NOTE),))


def _row(name: str, counts: Mapping[str, Json]) -> tuple[Cell, ...]:
    asked, computed = _number(counts, "naive"), _number(counts, "computed")
    saved = 100 * (1 - computed / asked) if asked else None
    return (
        Cell.text(name),
        Cell(_number(counts, "requests"), count(_number(counts, "requests"))),
        Cell(asked, count(asked)),
        Cell(computed, count(computed)),
        Cell(saved, MISSING if saved is None else f"{saved:.1f}%"),
        Cell(_number(counts, "trie"), count(_number(counts, "trie"))),
        _ratio(computed, _number(counts, "trie")),
        _ratio(computed, _number(counts, "floor")),
    )


def _ratio(computed: int, bound: int) -> Cell:
    value = computed / bound if bound else None
    return Cell(value, MISSING if value is None else f"{value:.3f}")


def _number(counts: Mapping[str, Json], name: str) -> int:
    value = counts.get(name, 0)
    return value if isinstance(value, int) else 0
