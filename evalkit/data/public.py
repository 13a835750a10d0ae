"""A data set's name to a verified file: mirrors first, then earlier downloads, then the network.

`catalogue.csv` lists the public data sets (name, checksum, licence, origin); it is written by
`scripts/make_catalogue.py`.  A data set's name is its path in a mirror without the suffix.  Mirrors
(EVALKIT_DATA, or `data: {mirror: ...}` of the suite) hold files under these paths, or as
`evalkit data pull` wrote them (`originals/...`).

Every file is hashed when it is used; one that differs from the catalogue is an error.  Where the
catalogue has no hash, the first one seen is written to `data.lock.json` beside the file, and later
uses must match it.  Files are fetched whole or not at all: hashed before they get their name.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

from evalkit.core import Json
from evalkit.core.protocols import DataPlaces
from evalkit.data.files import Dataset, read_jsonl
from evalkit.errors import DataError, did_you_mean

__all__ = [
    "Entry",
    "Found",
    "answers",
    "entries",
    "entry",
    "evidence",
    "folders",
    "hub_endpoint",
    "is_known",
    "is_offline",
    "local",
    "locked",
    "missing",
    "original",
    "records",
    "require_available",
    "resolve",
]

LOCK = "data.lock.json"
_TIMEOUT = 60.0
_PROBE_TIMEOUT = 5.0
_RAW = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class Entry:
    """One file of the catalogue."""

    name: str
    mirror: str
    """Path in a mirror."""
    sha256: str
    """Of the file in a mirror, hex; empty: unknown, and recorded at first use."""
    rows: int | None
    licence: str
    """As its source states it; empty: none stated."""
    url: str
    """Of the original, at a fixed commit; empty: it cannot be fetched."""
    url_sha256: str
    """Of the original, whose bytes may differ from the mirror's."""
    form: str
    """How the original becomes the same records: empty (unchanged), `instructions` (two of the
    fields), `output_1` (the reference outputs within annotations)."""
    hub: str
    """`OWNER/NAME:FILE` of a data set of the hub."""

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""
        if self.hub:
            return f"hub {self.hub}"
        return self.url or "a mirror only"


@functools.cache
def entries() -> Mapping[str, Entry]:
    """Every file, by name, in order of names."""
    text = resources.files("evalkit.data").joinpath("catalogue.csv").read_text(encoding="utf-8")
    found = {}
    for row in csv.DictReader(text.splitlines()):
        rows = row.pop("rows")
        found[row["name"]] = Entry(rows=int(rows) if rows else None, **row)
    return found


def is_known(name: str) -> bool:
    """Whether the catalogue has a file of that name."""
    return name in entries()


def entry(name: str) -> Entry:
    """The file called `name`.  Raises DataError with the nearest names."""
    known = entries()
    if name not in known:
        raise DataError(
            f"no public data set {name!r}{did_you_mean(name, known, 3, 0.5)}  "
            f"`evalkit data list` shows all {len(known)}"
        )
    return known[name]


# --- where a file is found ------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A verified file."""

    name: str
    path: Path
    sha256: str
    """Of the file itself."""
    source: Literal["mirror", "download", "url", "hub", "file"]
    """`download`: fetched earlier; `url`, `hub`: just now; `file`: named by its path."""
    revision: str | None = None
    """Commit it was published at, where known."""
    form: str = ""
    """See `Entry.form`."""


def resolve(name: str, places: DataPlaces) -> Found:
    """The file of the catalogue called `name`.

    Raises:
        DataError: unknown name, unavailable, or with another checksum.
    """
    wanted = entry(name)
    found = local(wanted, places)
    if found is not None:
        return found
    if places.downloads is None or is_offline():
        raise DataError(_absent([name]))
    path = _fetch(wanted, places.downloads)
    return _found(wanted, path, places.downloads, "hub" if wanted.hub else "url")


def local(wanted: Entry, places: DataPlaces) -> Found | None:
    """The verified file in a mirror or an earlier download; None: in neither.

    Raises DataError where its checksum differs.
    """
    for folder in folders(places):
        for path in _candidates(wanted, folder):
            source: Literal["mirror", "download"]
            source = "mirror" if folder in places.mirrors else "download"
            return _found(wanted, path, folder, source)
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
        DataError: neither.
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
    """Those of `names` that are unavailable here, each as it was given."""
    return [name for name in dict.fromkeys(names) if not _is_available(name, places)]


def _is_available(name: str, places: DataPlaces) -> bool:
    if name.startswith("hub:"):
        from evalkit.data import hubsets  # it imports this file

        return hubsets.is_available(name, places)
    wanted = entry(name)
    if any(_candidates(wanted, folder) for folder in folders(places)):
        return True
    return bool(places.downloads) and not is_offline() and _is_reachable(wanted)


def require_available(names: Sequence[str], places: DataPlaces) -> None:
    """Raises one DataError that lists all of `names` that are unavailable here."""
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


def folders(places: DataPlaces) -> tuple[Path, ...]:
    """Mirrors, then the downloads."""
    return (*places.mirrors, *(() if places.downloads is None else (places.downloads,)))


def may_lie(wanted: Entry, places: DataPlaces) -> list[Path]:
    """Every path where `local` looks for it, whether it is there or not."""
    return [path for folder in folders(places) for path in _places(wanted, folder)]


def _candidates(wanted: Entry, folder: Path) -> list[Path]:
    """Existing files: under its mirror path, or as it was fetched."""
    return [path for path in _places(wanted, folder) if path.is_file()]


def _places(wanted: Entry, folder: Path) -> tuple[Path, Path]:
    return folder / wanted.mirror, folder / original(wanted)


def _found(
    wanted: Entry,
    path: Path,
    folder: Path,
    source: Literal["mirror", "download", "url", "hub"],
) -> Found:
    is_original = path == folder / original(wanted)
    expected = wanted.url_sha256 if is_original and wanted.url else wanted.sha256
    actual = _sha256(path)
    if not expected:
        expected = locked(folder, wanted.name, actual)
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
    """`size` and `changed` are part of the cache key, so that a changed file is hashed again."""
    del size, changed
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- downloads ------------------------------------------------------------------------------------


def is_offline() -> bool:
    """Whether the user forbids the network."""
    return any(
        os.environ.get(name, "").lower() in ("1", "true", "yes", "on")
        for name in ("EVALKIT_OFFLINE", "HF_HUB_OFFLINE")
    )


def original(wanted: Entry) -> str:
    """Path, below a mirror or the downloads, of the file as it was published."""
    if wanted.hub:
        return f"originals/{wanted.name}{PurePosixPath(wanted.hub).suffix}"
    return f"originals/{wanted.name}{PurePosixPath(urlsplit(wanted.url).path).suffix}"


def hub_endpoint() -> str:
    """Where the hub is: HF_ENDPOINT, else the public one."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _url(wanted: Entry) -> str:
    """EVALKIT_RAW_URL replaces raw.githubusercontent.com, with a company's proxy for example."""
    if wanted.hub:
        repository, _, file = wanted.hub.partition(":")
        return f"{hub_endpoint()}/datasets/{repository}/resolve/main/{file}"
    base = (os.environ.get("EVALKIT_RAW_URL") or _RAW).rstrip("/")
    return wanted.url.replace(_RAW, base, 1)


def _is_reachable(wanted: Entry) -> bool:
    """Whether its host answers at all; tried once per process."""
    if not wanted.url and not wanted.hub:
        return False
    try:
        parts = urlsplit(_url(wanted))
    except ValueError:  # an unmatched bracket: no address
        return False
    return answers(f"{parts.scheme}://{parts.netloc}")


@functools.cache
def answers(base: str) -> bool:
    """Whether anything answers at `base`."""
    import httpx

    try:
        httpx.head(base, timeout=_PROBE_TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return True


def _fetch(wanted: Entry, folder: Path) -> Path:
    """Download one file below `folder`; returns its path.

    Raises:
        DataError: it cannot be fetched, or its checksum differs from the catalogue's.
    """
    url = _url(wanted) if wanted.url or wanted.hub else ""
    if not url:
        raise DataError(
            f"the data set {wanted.name!r} is not published anywhere evalkit can fetch it from; "
            f"put the file {wanted.mirror!r} into the folder that EVALKIT_DATA names"
        )
    content = _download(url)
    expected = wanted.sha256 if wanted.hub else wanted.url_sha256
    actual = hashlib.sha256(content).hexdigest()
    if expected and actual != expected:
        raise DataError(
            f"{url}: expected sha256 {expected}, found {actual}; it was changed or damaged in "
            f"transfer: try again, or use a mirror"
        )
    path = folder / original(wanted)
    _write(path, content)
    return path


def _download(url: str) -> bytes:
    import httpx

    try:
        reply = httpx.get(url, timeout=_TIMEOUT, follow_redirects=True)
        reply.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DataError(
            f"{url} cannot be fetched ({type(error).__name__}: {error}); check the network, or "
            f"use a mirror: evalkit data pull SUITE --to DIR on a machine that reaches it"
        ) from error
    content: bytes = reply.content
    return content


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def locked(folder: Path, name: str, actual: str) -> str:
    """The hash of `name` when it was first used from `folder`; at first use, records `actual`.

    Raises DataError where the lock file is damaged.
    """
    path = folder / LOCK
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = {}
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); it holds the checksums of earlier downloads: "
            f"remove it only to accept the present files beside it"
        ) from error
    if not isinstance(known, dict):
        raise DataError(
            f"{path} holds {known!r:.40}, expected checksums by name; remove it only to accept the "
            f"present files beside it"
        )
    if name not in known:
        known[name] = actual
        try:
            _write(path, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
        except OSError:
            return actual  # a read-only mirror: no hash to compare with
    return str(known[name])
