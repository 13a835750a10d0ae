"""The tables of `Run.to_frame` as CSV, JSON or Parquet: one file a table, numbers unrounded.

    csv      RFC 4180, UTF-8, a header row.  An empty cell is missing; empty text is written as
             `""`, which a reader that distinguishes the two keeps apart (pyarrow's, with
             `quoted_strings_can_be_null=False`).
    json     A list of objects, one a line; null is missing.  `pandas.read_json` and `jq` read it.
    parquet  Each column has its description in its metadata.  The bytes depend on the version of
             pyarrow, which the file names, and on nothing else.

Beside them lies `datapackage.json`: the columns of every file, as Frictionless Data's table
schemas.  Cells of a CSV are what they are, also those that a spreadsheet would take for a formula
(an answer may be written to exploit that); `spreadsheet` puts an apostrophe before each.  Without
it a note counts them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import field_validator, model_validator

from evalkit.core.frames import columns_of, frame, rows
from evalkit.core.protocols import Exported
from evalkit.core.requests import Json
from evalkit.core.run import Run
from evalkit.core.specs import ExportSpec
from evalkit.draw import defused, formula_note, is_formula

__all__ = ["Tabular", "TabularSpec"]

TableName = Literal["samples", "scores", "judgments", "estimates", "comparisons"]
_TYPES = {"text": "string", "number": "number", "whole": "integer", "flag": "boolean"}
_QUOTED = frozenset(',"\r\n')


class TabularSpec(ExportSpec):
    """Runs as flat tables."""

    tables: tuple[TableName, ...] = ("samples", "scores", "judgments", "estimates", "comparisons")
    """Tables to write, one file each: a list, or names with commas between."""
    spreadsheet: bool = False
    """csv, for Excel and the like: an apostrophe before text that would be taken for a formula."""

    @field_validator("tables", mode="before")
    @classmethod
    def _names(cls, value: Json) -> Json:
        return tuple(value.split(",")) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> TabularSpec:
        if self.spreadsheet and self.format != "csv":
            raise ValueError(f"spreadsheet belongs to csv, not to {self.format}")
        return self


class Tabular:
    """Writes tables."""

    publishes: ClassVar[bool] = False

    def __init__(self, spec: TabularSpec) -> None:
        self._spec = spec
        self._formulas = 0

    def export(self, runs: Sequence[Run]) -> Exported:
        """A file a table, and datapackage.json."""
        spec, ending = self._spec, self._spec.format
        make = {"csv": self._csv, "json": self._json, "parquet": self._parquet}[ending]
        files = {f"{what}.{ending}": make(runs, what) for what in spec.tables}
        resources = [
            {
                "name": what,
                "path": f"{what}.{ending}",
                "format": ending,
                "schema": {
                    "fields": [
                        {"name": n, "type": _TYPES[c.kind], "description": c.description}
                        for n, c in columns_of(what, figures_only=spec.figures_only).items()
                    ],
                    "missingValues": [""],
                },
            }
            for what in spec.tables
        ]
        package = json.dumps({"name": "evalkit", "resources": resources}, indent=1)
        files["datapackage.json"] = (package + "\n").encode()
        if self._formulas and not spec.spreadsheet:
            return Exported(files, (formula_note(self._formulas, "--set spreadsheet=true"),))
        return Exported(files)

    def _csv(self, runs: Sequence[Run], what: TableName) -> bytes:
        names = list(columns_of(what, figures_only=self._spec.figures_only))
        lines = [_line(dict(zip(names, names, strict=True)), names)]
        for row in rows(runs, what):
            self._formulas += sum(is_formula(row[name]) for name in names)
            cells = {n: defused(v) for n, v in row.items()} if self._spec.spreadsheet else row
            lines.append(_line(cells, names))
        return "".join(lines).encode()

    def _json(self, runs: Sequence[Run], what: TableName) -> bytes:
        names = list(columns_of(what, figures_only=self._spec.figures_only))
        lines = (
            json.dumps({n: row[n] for n in names}, ensure_ascii=False, allow_nan=False)
            for row in rows(runs, what)
        )
        return ("[\n" + ",\n".join(lines) + "\n]\n").encode()

    def _parquet(self, runs: Sequence[Run], what: TableName) -> bytes:
        import pyarrow as pa
        import pyarrow.parquet as pq

        figures_only = self._spec.figures_only
        table = pa.Table.from_pandas(
            frame(runs, what, figures_only=figures_only), preserve_index=False
        )
        fields = [
            table.schema.field(name).with_metadata({"description": column.description})
            for name, column in columns_of(what, figures_only=figures_only).items()
        ]
        schema = pa.schema(fields, metadata=table.schema.metadata)
        stream = io.BytesIO()
        pq.write_table(table.cast(schema), stream, compression="zstd")
        return stream.getvalue()


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
