"""A run's folder to a typed `Run`, whatever version wrote it; nothing is written.

results.json has one flat object a row, whose field names are a promise to others: those of
`Figure` and `Comparison` with their `FigureKey` and `Measured` spelled out, and `n_clusters` for
units.  Format 2 adds `how` (the method's fields), `published` (the source's) and `df`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from evalkit.core import Json, Record
from evalkit.core.figures import Comparison, Figure
from evalkit.core.run import FORMAT, Manifest, Run
from evalkit.errors import DataError, StoreError
from evalkit.store.codec import CodecError, decode, encode, json_bytes, parse_json
from evalkit.store.upgrade import upgraded_manifest, upgraded_row

__all__ = ["load", "load_manifest", "manifest_json", "results", "typed"]

T = TypeVar("T")
_MANIFEST, _RECORDS, _RESULTS = "manifest.json", "records.jsonl", "results.json"
_KEY = ("benchmark", "task", "metric", "category")
_MEASURED = ("point", "standard_error", "low", "high", "level", "n", "n_missing", "df")


def load(folder: Path) -> Run:
    """A run from its folder (or any file of it), sealed or not.

    An unsealed run has the records there are, in the order of manifest and sample ids, and no
    figures or comparisons: those on disk, if any, are of older records.

    Raises:
        DataError: not a run, damaged (names file and line), or of a newer evalkit.
    """
    from evalkit.store.runs import read_records

    place = folder.parent if folder.is_file() else folder
    manifest = load_manifest(place)
    records = {record.key: record for record in read_records(place / _RECORDS)}
    if not manifest.sealed:
        return Run(place, manifest, _ordered(records, manifest), (), ())
    path = place / _RESULTS
    try:
        figures, comparisons = _read_results(parse_json(path.read_bytes()), path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); run the suite again to write it"
        ) from error
    except CodecError as error:
        raise DataError(f"{path}: {error}; run the suite again to write it anew") from error
    return Run(place, manifest, tuple(records.values()), figures, comparisons)


def load_manifest(folder: Path) -> Manifest:
    """The manifest of the run in `folder` (or of the run that the file `folder` is part of).

    Raises:
        DataError: there is no run, it is damaged, or it was written by a newer evalkit.
    """
    place = folder.parent if folder.is_file() else folder
    path = place / _MANIFEST
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(_no_run(place)) from error
    try:
        return _manifest(parse_json(data), path)
    except CodecError as error:
        raise DataError(
            f"{path}: {error}; the run cannot be read: run its suite again into a new folder"
        ) from error


def _manifest(found: Json, path: Path) -> Manifest:
    layout = check_format(found, path)
    if not isinstance(found.get("run_id"), str):
        raise DataError(f"{path}: no run_id, so this is not a run of evalkit; name its folder")
    return decode(Manifest, upgraded_manifest(found) if layout == 1 else found)


def check_format(found: Json, path: Path) -> int:
    """The layout number.  Raises DataError where this version cannot read it."""
    layout = found.get("format") if isinstance(found, Mapping) else None
    if isinstance(layout, int) and 1 <= layout <= FORMAT:
        return layout
    if isinstance(layout, int) and layout > FORMAT:
        raise DataError(
            f"{path}: format {layout!r}, this evalkit reads up to {FORMAT}; upgrade evalkit"
        )
    raise DataError(
        f"{path}: format {layout!r}; expected 1 to {FORMAT}: this file was not written by evalkit"
    )


def manifest_json(manifest: Manifest) -> dict[str, Json]:
    """What manifest.json holds; keys whose meaning does not apply are absent."""
    found: dict[str, Json] = manifest.model_dump(exclude_unset=True)
    return {**found, "format": FORMAT}


def results(
    figures: Sequence[Figure], comparisons: Sequence[Comparison], run_id: str
) -> dict[str, Json]:
    """What results.json holds.

    Raises:
        StoreError: a figure is NaN or infinite (undefined is None).
    """
    try:
        return {
            "format": FORMAT,
            "run_id": run_id,
            "estimates": [figure_row(figure) for figure in figures],
            "comparisons": [comparison_row(comparison) for comparison in comparisons],
        }
    except CodecError as error:
        raise StoreError(
            f"results of run {run_id} cannot be written: {error}; the code that made the figure "
            f"must return None where it is undefined"
        ) from error


def figure_row(figure: Figure) -> dict[str, Json]:
    """A flat row of `estimates`.  Raises CodecError."""
    row = encode(figure)
    source = figure.source
    said = (source.where, source.date, source.settings) if source else ()
    return {
        "model": row["model"],
        **row["key"],
        **_measured_row(row["value"]),
        "unit": row["unit"],
        "method": figure.value.how,
        "source": ", ".join(part for part in said if part),
        "how": row["value"]["method"],
        **({"published": row["source"]} if source else {}),
    }


def comparison_row(comparison: Comparison) -> dict[str, Json]:
    """A flat row of `comparisons`.  Raises CodecError."""
    row = encode(comparison)
    measured = _measured_row(row["difference"])
    del measured["n_missing"]
    rest = ("p", "wins", "losses", "ties", "n_missing_candidate", "n_missing_baseline")
    return {
        "candidate": row["candidate"],
        "baseline": row["baseline"],
        **row["key"],
        "difference": measured.pop("point"),
        **measured,
        **{name: row[name] for name in (*rest, "unit", "higher_is_better")},
        "method": comparison.difference.how,
        "how": row["difference"]["method"],
    }


def _measured_row(value: Mapping[str, Json]) -> dict[str, Json]:
    return {**{name: value[name] for name in _MEASURED}, "n_clusters": value["n_units"]}


def _read_results(found: Json, path: Path) -> tuple[tuple[Figure, ...], tuple[Comparison, ...]]:
    layout = check_format(found, path)

    def rows(name: str, make: Callable[[dict[str, Json]], T]) -> tuple[T, ...]:
        given = found.get(name)
        if not isinstance(given, list):
            raise CodecError(f"{name}: expected a list of rows")
        made = []
        for index, row in enumerate(given):
            try:
                fields = dict(row) if isinstance(row, dict) else {}
                made.append(make(upgraded_row(fields) if layout == 1 else fields))
            except CodecError as error:
                raise CodecError(f"{name}[{index}]: {error}") from None
        return tuple(made)

    return rows("estimates", _figure), rows("comparisons", _comparison)


def _figure(row: dict[str, Json]) -> Figure:
    nested = _nested(row, "value")
    nested["source"] = row.pop("published", None)
    row.pop("source", None)  # the text of `published`
    return decode(Figure, {**row, **nested})


def _comparison(row: dict[str, Json]) -> Comparison:
    if "difference" in row:
        row["point"] = row.pop("difference")
    missing = (row.get("n_missing_candidate"), row.get("n_missing_baseline"))
    row["n_missing"] = sum(n for n in missing if isinstance(n, int))
    nested = _nested(row, "difference")
    return decode(Comparison, {**row, **nested})


def _nested(row: dict[str, Json], name: str) -> dict[str, Any]:
    """Key and measured value of a flat row, whose fields are taken out of it."""
    key = {field: row.pop(field) for field in _KEY if field in row}
    value = {field: row.pop(field) for field in _MEASURED if field in row}
    if "n_clusters" in row:
        value["n_units"] = row.pop("n_clusters")
    if "how" in row:
        value["method"] = row.pop("how")
    row.pop("method", None)  # the text of `how`
    return {"key": key, name: value}


def _ordered(records: Mapping[Any, Record], manifest: Manifest) -> tuple[Record, ...]:
    """By model, benchmark and task as the manifest has them, then by sample."""
    tasks = dict.fromkeys(task for b in manifest.benchmarks for task in b.tasks)
    named = ([m.name for m in manifest.models], [b.name for b in manifest.benchmarks], list(tasks))
    places = tuple({name: i for i, name in enumerate(names)} for names in named)

    def rank(key: tuple[str, str, str, str]) -> tuple[object, ...]:
        known = (p.get(name, len(p)) for p, name in zip(places, key[:3], strict=True))
        return (*known, int(key[3]) if key[3].isdecimal() else -1, key)

    return tuple(records[key] for key in sorted(records, key=rank))


def _no_run(place: Path) -> str:
    if not place.exists():
        return f"{str(place)!r}: no such folder; name a run, reports/SUITE/RUN_ID"
    runs = sorted(p.parent.name for p in place.glob(f"*/{_MANIFEST}"))
    if runs:
        return f"{str(place)!r} is not a run but holds runs; name one of {', '.join(runs)} in it"
    return f"{str(place)!r} is not a run (no {_MANIFEST}); name a run, reports/SUITE/RUN_ID"


def typed(run: Any) -> Run:
    """A typed run of an untyped one, for callers that are not moved yet."""
    from evalkit.store.results import results_json

    path = run.folder / _MANIFEST
    found = json_bytes({"run_id": "", "format": 1, **run.manifest})
    old = parse_json(json_bytes(results_json(run.estimates, run.comparisons, "")))
    figures, comparisons = _read_results({**old, "format": 1}, path)
    return Run(run.folder, _manifest(parse_json(found), path), run.records, figures, comparisons)
