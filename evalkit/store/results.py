"""results.json: the estimates and comparisons of a run, one object a row.

A row has the fields of `core.Estimate` or `core.Comparison` by their names, null where a
figure is undefined or a row has no category, in the units leaderboards print.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from evalkit.core import Comparison, Estimate, Json
from evalkit.errors import DataError, StoreError
from evalkit.store.codec import CodecError, decode, encode, parse_json
from evalkit.store.manifest import FORMAT, check_format

__all__ = ["RESULTS_NAME", "read_results", "results_json"]

RESULTS_NAME = "results.json"

T = TypeVar("T")


def results_json(
    estimates: Sequence[Estimate], comparisons: Sequence[Comparison], run_id: str
) -> dict[str, Json]:
    """What results.json holds.

    Raises:
        StoreError: a figure is NaN or infinite (undefined is None).
    """
    try:
        return {
            "format": FORMAT,
            "run_id": run_id,
            "estimates": [encode(row) for row in estimates],
            "comparisons": [encode(row) for row in comparisons],
        }
    except CodecError as error:
        raise StoreError(
            f"results of run {run_id} cannot be written: {error}; the code that made the figure "
            f"must return None where it is undefined"
        ) from error


def read_results(path: Path) -> tuple[tuple[Estimate, ...], tuple[Comparison, ...]]:
    """Estimates and comparisons of a results.json.

    Raises:
        DataError: the file is missing or not what `results_json` makes.
    """
    try:
        data = parse_json(path.read_bytes())
        check_format(data, path)
        return (
            _rows(Estimate, data.get("estimates"), "estimates"),
            _rows(Comparison, data.get("comparisons"), "comparisons"),
        )
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); run the suite again to write it"
        ) from error
    except CodecError as error:
        raise DataError(f"{path}: {error}; run the suite again to write it anew") from error


def _rows(cls: type[T], rows: Json, name: str) -> tuple[T, ...]:
    if not isinstance(rows, list):
        raise CodecError(f"{name}: expected a list of rows")
    found = []
    for index, row in enumerate(rows):
        try:
            found.append(decode(cls, row))
        except CodecError as error:
            raise CodecError(f"{name}[{index}].{error}") from None
    return tuple(found)
