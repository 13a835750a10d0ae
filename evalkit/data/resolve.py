"""A data set's name to a verified file: mirrors first, then earlier downloads, then the network.

A mirror (EVALKIT_DATA, or `data: {mirror: ...}` of the suite) holds files under their catalogue
paths, or as `evalkit data pull` wrote them (`originals/...`).  Every file is hashed when it is
used; a file that differs from what the catalogue (or, where that has no hash, the lock beside the
downloads) says is an error, never silently taken.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evalkit.core import Json
from evalkit.core.protocols import DataPlaces
from evalkit.data import fetching, hubsets
from evalkit.data.catalogue import Entry, entries, entry, is_known
from evalkit.data.files import Dataset, read_jsonl
from evalkit.errors import DataError, did_you_mean

__all__ = [
    "Found",
    "evidence",
    "local",
    "missing",
    "records",
    "require_available",
    "resolve",
]


@dataclass(frozen=True)
class Found:
    """A verified file."""

    name: str
    path: Path
    sha256: str
    """Of the file as it lies there."""
    source: Literal["mirror", "download", "url", "hub", "file"]
    """`download`: fetched earlier; `url`, `hub`: just now; `file`: named by its path."""
    revision: str | None = None
    """Commit it was published at, where known."""
    form: str = ""
    """See `catalogue.Entry.form`."""


def resolve(name: str, places: DataPlaces) -> Found:
    """The file of the catalogue called `name`.

    Raises:
        DataError: no such name, nowhere to be had, or not the file it should be.
    """
    wanted = entry(name)
    found = local(wanted, places)
    if found is not None:
        return found
    if places.downloads is None or fetching.is_offline():
        raise DataError(_absent([name]))
    path = fetching.fetch(wanted, places.downloads)
    return _found(wanted, path, places.downloads, "hub" if wanted.hub else "url")


def local(wanted: Entry, places: DataPlaces) -> Found | None:
    """The file where a mirror or an earlier download holds it, verified; else None.

    Raises DataError where it is there with other bytes.
    """
    for folder in places.mirrors:
        for path in _candidates(wanted, folder):
            return _found(wanted, path, folder, "mirror")
    if places.downloads is not None:
        for path in _candidates(wanted, places.downloads):
            return _found(wanted, path, places.downloads, "download")
    return None


def records(name: str, places: DataPlaces) -> Dataset:
    """The records of a data set, in canonical order.  Raises DataError."""
    found = resolve(name, places)
    dataset = read_jsonl(found.path)
    if not found.form:
        return dataset
    rows = tuple(_converted(row, found.form) for row in dataset.records)
    return Dataset(rows, dataset.sha256, dataset.path, dataset.places)


def _converted(row: dict[str, Json] | object, form: str) -> dict[str, Json]:
    assert isinstance(row, dict)
    kept = {key: row[key] for key in ("instruction", "dataset") if key in row}
    if form == "output_1":
        kept |= {"output": row["output_1"], "generator": row["generator_1"]}
    return kept


def evidence(named: str, root: Path, places: DataPlaces) -> Found:
    """The file that a suite names: by path relative to `root`, or by its name in the catalogue.

    Raises:
        DataError: neither; says both.
    """
    path = root / named
    if path.is_file():
        return Found(named, path, _sha256(path), "file")
    if is_known(named):
        return resolve(named, places)
    hint = did_you_mean(named, [*_names_beside(path, root), *entries()]) or ";"
    raise DataError(
        f"{named!r} is neither a file below {str(root)!r} nor a public data set{hint}  Correct the "
        f"path, or choose a name from `evalkit data list`"
    )


def _names_beside(path: Path, root: Path) -> list[str]:
    """Files of the folder that `path` should be in, as a suite in `root` would name them."""
    folder = path.parent
    if not folder.is_dir() or not folder.is_relative_to(root):
        return []
    return [str(one.relative_to(root)) for one in sorted(folder.iterdir()) if one.is_file()]


def missing(names: Sequence[str], places: DataPlaces) -> list[str]:
    """Those of `names` that cannot be had here, each as it was given."""
    return [name for name in dict.fromkeys(names) if not _is_available(name, places)]


def _is_available(name: str, places: DataPlaces) -> bool:
    if name.startswith("hub:"):
        return hubsets.is_available(name, places)
    wanted = entry(name)
    if any(_candidates(wanted, folder) for folder in _folders(places)):
        return True
    return bool(places.downloads) and not fetching.is_offline() and fetching.is_reachable(wanted)


def require_available(names: Sequence[str], places: DataPlaces) -> None:
    """Raises one DataError that names everything of `names` that cannot be had here."""
    gone = missing(names, places)
    if gone:
        raise DataError(_absent(gone))


def _absent(names: Sequence[str]) -> str:
    listed = "".join(f"\n  {name} ({_origin(name)})" for name in names)
    count = "1 data set is" if len(names) == 1 else f"{len(names)} data sets are"
    return (
        f"{count} not on this machine and cannot be fetched from here:{listed}\n"
        f"On a machine with network: evalkit data pull SUITE --to DIR; then set EVALKIT_DATA=DIR "
        f"(or `data: {{mirror: DIR}}` in the suite)"
    )


def _origin(name: str) -> str:
    return "a data set of the hub" if name.startswith("hub:") else entry(name).origin


def _folders(places: DataPlaces) -> Iterator[Path]:
    yield from places.mirrors
    if places.downloads is not None:
        yield places.downloads


def _candidates(wanted: Entry, folder: Path) -> list[Path]:
    """Files that may be it: under its mirror path, or as it was fetched."""
    paths = (folder / wanted.mirror, folder / fetching.original(wanted))
    return [path for path in paths if path.is_file()]


def _found(
    wanted: Entry,
    path: Path,
    folder: Path,
    source: Literal["mirror", "download", "url", "hub"],
) -> Found:
    is_original = path == folder / fetching.original(wanted)
    expected = wanted.url_sha256 if is_original and wanted.url else wanted.sha256
    actual = _sha256(path)
    if not expected:
        expected = fetching.locked(folder, wanted.name, actual)
    if actual != expected:
        raise DataError(
            f"{path} is not the data set {wanted.name!r}: expected sha256 {expected}, found "
            f"{actual}; restore the file, or remove it to have it fetched again"
        )
    revision = wanted.url.split("/")[5] if is_original and wanted.url else None
    return Found(wanted.name, path, actual, source, revision, wanted.form if is_original else "")


def _sha256(path: Path) -> str:
    stat = path.stat()
    return _hash(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _hash(path: Path, size: int, changed: int) -> str:
    """`size` and `changed` only make a changed file another call."""
    del size, changed
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
