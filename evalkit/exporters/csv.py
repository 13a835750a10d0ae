"""The tables of `Run.to_frame` as CSV: RFC 4180, UTF-8, a header row, one file a table.

Numbers are unrounded.  An empty cell is missing; empty text is written as `""`, which a reader
that tells the two apart keeps apart (pyarrow's, with `quoted_strings_can_be_null=False`).

Cells are what they are, those among them that a spreadsheet would take for a formula (an answer
may be written to exploit that); `spreadsheet` puts an apostrophe before each.  Without it a note
counts them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from evalkit.core import Run
from evalkit.core.frames import Row, columns_of, rows
from evalkit.core.protocols import Exported
from evalkit.draw import defused, formula_note, is_formula
from evalkit.exporters._tables import TablesSpec, package

__all__ = ["Csv", "CsvSpec"]

_QUOTED = frozenset(',"\r\n')


class CsvSpec(TablesSpec):
    """CSV files."""

    spreadsheet: bool = False
    """For Excel and the like: an apostrophe before text that would be taken for a formula."""


class Csv:
    """Writes CSV."""

    publishes: ClassVar[bool] = False

    def __init__(self, spec: CsvSpec) -> None:
        self._spec = spec

    def export(self, runs: Sequence[Run]) -> Exported:
        """A file a table, and datapackage.json."""
        spec, formulas = self._spec, 0
        files: dict[str, bytes] = {}
        for what in spec.tables:
            names = list(columns_of(what, figures_only=spec.figures_only))
            lines = [_line(dict(zip(names, names, strict=True)), names)]
            for row in rows(runs, what):
                formulas += sum(is_formula(row[name]) for name in names)
                lines.append(_line(_defused(row) if spec.spreadsheet else row, names))
            files[f"{what}.csv"] = "".join(lines).encode()
        files["datapackage.json"] = package(spec.tables, "csv", spec)
        return Exported(files, tuple(_notes(formulas, spec)))


def _notes(formulas: int, spec: CsvSpec) -> Iterator[str]:
    if formulas and not spec.spreadsheet:
        yield formula_note(formulas, "--set spreadsheet=true")


def _defused(row: Row) -> Row:
    return {name: defused(value) for name, value in row.items()}


def _line(row: Mapping[str, object], names: Sequence[str]) -> str:
    return ",".join(_cell(row[name]) for name in names) + "\r\n"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    if value and not _QUOTED & set(value) and value == value.strip():
        return value
    return '"' + value.replace('"', '""') + '"'
