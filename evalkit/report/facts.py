"""Parts of the manifest as tables of a name and a value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from evalkit.core import Json
from evalkit.draw import Cell, Column, Table, count, significant

__all__ = ["facts", "flat"]


def facts(caption: str, items: Iterable[tuple[str, Json]], note: str = "") -> Table:
    """A table of two columns; what is None is left out."""
    columns = (Column("Setting", header=True), Column("Value", code=True))
    rows = [(Cell.text(name), _cell(value)) for name, value in items if value is not None]
    return Table.of(caption, columns, rows, note)


def flat(value: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, Json]]:
    """Nested objects as `outer.inner`, sorted by name, which no file can change."""
    for key in sorted(value):
        item = value[key]
        if isinstance(item, Mapping) and item:
            yield from flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def _cell(value: Json) -> Cell:
    if isinstance(value, bool):
        return Cell(value, "yes" if value else "no")
    if isinstance(value, int):
        return Cell(value, count(value) if abs(value) >= 10_000 else str(value))
    if isinstance(value, float):
        return Cell(value, significant(value, 6))
    if isinstance(value, str):
        return Cell.text(value)
    shown = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return Cell(shown, shown)
