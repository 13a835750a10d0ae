"""The tables of `Run.to_frame` as Parquet: one file a table.

Each column has its description in its metadata.  The bytes depend on the version of pyarrow,
which the file names, and on nothing else.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import ClassVar

from evalkit.core import Run
from evalkit.core.frames import columns_of, frame
from evalkit.core.protocols import Exported
from evalkit.exporters._tables import TableName, TablesSpec, package

__all__ = ["Parquet", "ParquetSpec"]


class ParquetSpec(TablesSpec):
    """Parquet files."""


class Parquet:
    """Writes Parquet."""

    publishes: ClassVar[bool] = False

    def __init__(self, spec: ParquetSpec) -> None:
        self._spec = spec

    def export(self, runs: Sequence[Run]) -> Exported:
        """A file a table, and datapackage.json."""
        spec = self._spec
        files = {f"{what}.parquet": _table(runs, what, spec) for what in spec.tables}
        files["datapackage.json"] = package(spec.tables, "parquet", spec)
        return Exported(files)


def _table(runs: Sequence[Run], what: TableName, spec: ParquetSpec) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = frame(runs, what, figures_only=spec.figures_only)
    table = pa.Table.from_pandas(found, preserve_index=False)
    described = columns_of(what, figures_only=spec.figures_only)
    fields = [
        table.schema.field(name).with_metadata({"description": column.description})
        for name, column in described.items()
    ]
    schema = pa.schema(fields, metadata=table.schema.metadata)
    stream = io.BytesIO()
    pq.write_table(table.cast(schema), stream, compression="zstd")
    return stream.getvalue()
