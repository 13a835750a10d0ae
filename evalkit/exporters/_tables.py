"""What csv, json and parquet share: which tables, and the file that says what is in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from pydantic import field_validator

from evalkit.core import Json
from evalkit.core.frames import columns_of
from evalkit.core.specs import ExportSpec

__all__ = ["TableName", "TablesSpec", "package"]

TableName = Literal["samples", "scores", "judgments", "estimates", "comparisons"]
_TYPES = {"text": "string", "number": "number", "whole": "integer", "flag": "boolean"}


class TablesSpec(ExportSpec):
    """Runs as flat tables."""

    tables: tuple[TableName, ...] = ("samples", "scores", "judgments", "estimates", "comparisons")
    """Tables to write, one file each: a list, or names with commas between."""

    @field_validator("tables", mode="before")
    @classmethod
    def _names(cls, value: Json) -> Json:
        return tuple(value.split(",")) if isinstance(value, str) else value


def package(tables: Sequence[TableName], ending: str, spec: TablesSpec) -> bytes:
    """`datapackage.json`: the columns of every file, as Frictionless Data's table schemas."""
    resources = [_resource(what, ending, spec) for what in tables]
    text = json.dumps({"name": "evalkit", "resources": resources}, indent=1, ensure_ascii=False)
    return (text + "\n").encode()


def _resource(what: TableName, ending: str, spec: TablesSpec) -> dict[str, Json]:
    fields = [
        {"name": name, "type": _TYPES[column.kind], "description": column.description}
        for name, column in columns_of(what, figures_only=spec.figures_only).items()
    ]
    schema = {"fields": fields, "missingValues": [""]}
    return {"name": what, "path": f"{what}.{ending}", "format": ending, "schema": schema}
