"""The tables of `Run.to_frame` as JSON: one file a table, a list of objects, one a line.

Numbers are unrounded, null is missing; `pandas.read_json` and `jq` read it as it stands.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import ClassVar

from evalkit.core import Run
from evalkit.core.frames import Row, columns_of, rows
from evalkit.core.protocols import Exported
from evalkit.exporters._tables import TablesSpec, package

__all__ = ["Json", "JsonSpec"]


class JsonSpec(TablesSpec):
    """JSON files."""


class Json:
    """Writes JSON."""

    publishes: ClassVar[bool] = False

    def __init__(self, spec: JsonSpec) -> None:
        self._spec = spec

    def export(self, runs: Sequence[Run]) -> Exported:
        """A file a table, and datapackage.json."""
        spec = self._spec
        files: dict[str, bytes] = {}
        for what in spec.tables:
            names = list(columns_of(what, figures_only=spec.figures_only))
            files[f"{what}.json"] = _list({n: row[n] for n in names} for row in rows(runs, what))
        files["datapackage.json"] = package(spec.tables, "json", spec)
        return Exported(files)


def _list(found: Iterable[Row]) -> bytes:
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in found)
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()
