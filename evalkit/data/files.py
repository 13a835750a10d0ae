"""Data files to checksummed records: JSON Lines or a JSON list, plain or gzipped.

Errors give file and line.  `locate` finds a suite's own data: the file or folder that `data:` of a
benchmark's entry names.  Public data sets are found by name (`public.py`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.core import Json
from evalkit.core.files import read_file, unpacked
from evalkit.errors import DataError, did_you_mean, did_you_mean_beside

__all__ = ["Dataset", "locate", "read_jsonl", "require"]

SUFFIXES = (".jsonl", ".json")


@dataclass(frozen=True)
class Dataset:
    """The records of one file."""

    records: tuple[Mapping[str, Json], ...]
    """In file order."""
    sha256: str
    """Of the file's bytes as stored (of the compressed bytes for `.gz`)."""
    path: Path
    places: tuple[str, ...] = ()
    """Where each record stands, for messages: `file:line`, or `file: item N` of a JSON list."""


def read_jsonl(path: Path, *, nan: bool = False) -> Dataset:
    """Read a `.jsonl` or `.json` file (also with `.gz`) of objects.

    A `.jsonl` file may hold one JSON list, too, as lm-eval 0.4.0 wrote it.

    Args:
        path: The file.
        nan: NaN and Infinity, which are no JSON, are read as Python writes them.

    Raises:
        DataError: the file is missing, unreadable, not UTF-8, or not in the format of its name.
            The message gives `file:line`.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file in it that ends in .jsonl or .json")
    name = path.name.removesuffix(".gz")
    if not name.endswith(SUFFIXES):
        raise DataError(
            f"{path}: unknown kind of data file {path.name!r}; expected a name ending in .jsonl or "
            f".json, with or without .gz; convert or rename the file"
        )
    stored = _bytes(path)
    text = _text(path, stored)
    by_line = name.endswith(".jsonl") and not re.match(r"\s*\[\s*[{\]]", text)
    constant = float if nan else _refuse_constant
    rows = list(_lines(path, text, constant) if by_line else _items(path, text, constant))
    for place, row in rows:
        if not isinstance(row, dict):
            raise DataError(
                f"{place}: expected an object, got {_shown(row)}; write one record as {{...}}"
            )
    return Dataset(
        records=tuple(row for _, row in rows),
        sha256=hashlib.sha256(stored).hexdigest(),
        path=path,
        places=tuple(place for place, _ in rows),
    )


def require(
    dataset: Dataset, fields: Mapping[str, type], optional: Mapping[str, type] | None = None
) -> None:
    """Check that every record has `fields` of these types.

    Those of `optional` may be absent or null.  Raises DataError with file and line.
    """
    for place, record in zip(dataset.places, dataset.records, strict=True):
        for name, kind in fields.items():
            if name not in record:
                raise DataError(
                    f"{place}: no field {name!r}; this record has {', '.join(record) or 'none'}"
                    f"{did_you_mean(name, list(record))}  Add {name!r} ({kind.__name__}) to the "
                    f"record"
                )
            _check_type(place, name, record[name], kind)
        for name, kind in (optional or {}).items():
            if record.get(name) is not None:
                _check_type(place, name, record[name], kind)
    if not dataset.records:
        raise DataError(f"{dataset.path}: the file has no records; add at least one")


def _check_type(place: str, name: str, value: Json, kind: type) -> None:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise DataError(
            f"{place}: field {name!r} is {_shown(value)}, expected {kind.__name__}; "
            f"correct the record"
        )


def locate(named: str, root: Path, names: Sequence[str], *, what: str) -> Path:
    """Path of one data file.

    Args:
        named: `data:` of the entry, a file or a folder, relative to `root`.
        root: Folder of the suite file.
        names: File names that may hold it, the preferred one first, relative to the folder.
        what: The data set's name for messages.

    Returns:
        `named` where it is a file; else the first of `names` in that folder.

    Raises:
        DataError: nothing found.
    """
    place = root / named
    if place.is_file():
        return place
    if not place.is_dir():
        raise DataError(
            f"data of {what}: {_missing(place)} `data:` is {named!r}, expected a file or "
            f"folder relative to the suite's folder {root}: correct `data:` in the suite"
        )
    for name in names:
        if (place / name).is_file():
            return place / name
    rest = f" (nor {', '.join(names[1:])})" if len(names) > 1 else ""
    raise DataError(
        f"data of {what}: {_missing(place / names[0], rest)} looked there because of "
        f"`data: {named}` of the suite: put the file there, or write another `data:` in the "
        f"benchmark's entry"
    )


def _missing(path: Path, also: str = "") -> str:
    """The missing path (`also`: and others) and the nearest name there, as half a sentence."""
    folder = path.parent
    if not folder.is_dir():
        return f"{path} does not exist (there is no folder {folder});"
    return f"{path} does not exist{also}{did_you_mean_beside(path) or ';'}"


def _bytes(path: Path) -> bytes:
    try:
        return read_file(path)
    except FileNotFoundError:
        raise DataError(
            f"{_missing(path)} put the file there or correct the path in the suite"
        ) from None
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); name a readable file"
        ) from error


def _text(path: Path, stored: bytes) -> str:
    try:
        stored = unpacked(stored, path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; copy or download it again") from error
    try:
        return stored.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = stored.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: byte {stored[error.start : error.start + 1]!r} is not UTF-8; "
            f"save the file as UTF-8"
        ) from error


def _lines(path: Path, text: str, constant: Callable[[str], Json]) -> Iterator[tuple[str, Json]]:
    # Only \n ends a line here: str.splitlines would also cut at U+2028, legal inside a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            place = f"{path}:{number}"
            try:
                yield place, json.loads(line, parse_constant=constant)
            except (ValueError, RecursionError) as error:
                raise DataError(
                    f"{place}: not JSON ({error}): {_shown(line.strip())}; "
                    f"a .jsonl file has one object a line"
                ) from error


def _items(path: Path, text: str, constant: Callable[[str], Json]) -> Iterator[tuple[str, Json]]:
    try:
        value = json.loads(text, parse_constant=constant)
    except json.JSONDecodeError as error:
        if not text.strip():
            raise DataError(f"{path}: the file is empty; copy or download it again") from error
        is_lines = error.msg == "Extra data"
        cure = "rename it to .jsonl if it has one object a line" if is_lines else "correct the file"
        raise DataError(
            f"{path}:{error.lineno}: not JSON ({error.msg}, column {error.colno}); {cure}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}); correct the file") from error
    if not isinstance(value, list):
        raise DataError(
            f"{path}: expected a list of objects, got {_shown(value)}; "
            f"write [{{...}}, {{...}}], or one object a line in a .jsonl file"
        )
    for number, item in enumerate(value, start=1):
        yield f"{path}: item {number}", item


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is not a JSON number")


def _shown(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
