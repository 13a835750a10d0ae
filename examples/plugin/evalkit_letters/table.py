"""Headline figures as one table of tab-separated values, for a spreadsheet.

run	model	benchmark	task	metric	point	standard_error
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from evalkit.core.protocols import Exported
from evalkit.core.run import Run
from evalkit.core.specs import ExportSpec

__all__ = ["Table", "TableSpec"]


class TableSpec(ExportSpec):
    """A table of headline figures."""

    digits: int = 2
    """Digits after the point."""


class Table:
    """Writes figures.tsv."""

    publishes: ClassVar[bool] = False

    def __init__(self, spec: TableSpec) -> None:
        self._spec = spec

    def export(self, runs: Sequence[Run]) -> Exported:
        """One line per run, model and headline; an undefined figure is an empty cell."""
        lines = ["run\tmodel\tbenchmark\ttask\tmetric\tpoint\tstandard_error"]
        for run in runs:
            for figure in run.figures:
                if figure.key in run.headlines:
                    key, value = figure.key, figure.value
                    names = (run.manifest.run_id, figure.model, key.benchmark, key.task, key.metric)
                    numbers = map(self._number, (value.point, value.standard_error))
                    lines.append("\t".join((*map(_cell, names), *numbers)))
        return Exported({"figures.tsv": "".join(f"{line}\n" for line in lines).encode()})

    def _number(self, value: float | None) -> str:
        return "" if value is None else f"{value:.{self._spec.digits}f}"


def _cell(text: str) -> str:
    return " ".join(text.split()).encode("utf-8", "replace").decode()
