"""A run's folder: written while it runs, sealed at its end, read by everything after it.

    manifest.json    what the run is of (`manifest.py`); `sealed` says whether it is whole
    records.jsonl    one record a line: as they finish, then, sealed, in canonical order
    results.json     estimates and comparisons (`results.py`)
    sessions.jsonl   one line per command that worked on the run: times, tokens, retries
    index.html, ...  what was rendered from the above

Sealing writes each file as a whole and the manifest last, so a run that says `sealed` is.
A record may be written twice (a failed sample tried again): the latest counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TypeAlias

from evalkit.core import Json, Record, Run
from evalkit.errors import DataError, StoreError, SuiteError
from evalkit.store.closing import Closing
from evalkit.store.codec import CodecError, canonical_json, json_bytes, line, parse_json, read
from evalkit.store.files import FolderLock, LineFile, remove_leftovers, write_file, writing
from evalkit.store.manifest import MANIFEST_NAME, read_manifest
from evalkit.store.results import RESULTS_NAME, read_results

__all__ = [
    "RunStore",
    "pretty_json",
    "read_records",
    "read_run",
    "read_sessions",
    "run_id",
    "started",
]

RECORDS_NAME = "records.jsonl"
SESSIONS_NAME = "sessions.jsonl"
_OURS = frozenset({MANIFEST_NAME, RECORDS_NAME, RESULTS_NAME, SESSIONS_NAME})

Key: TypeAlias = tuple[str, str, str, str]
"""`Record.key`: model, benchmark, task, sample."""


def run_id(description: Json) -> str:
    """12 hex digits that change whenever `description` does: sha256 of its canonical JSON.

    Raises StoreError where JSON cannot hold it.
    """
    try:
        return hashlib.sha256(canonical_json(description)).hexdigest()[:12]
    except CodecError as error:
        raise StoreError(f"the run's description {error}") from error


def pretty_json(value: Json) -> bytes:
    """JSON as it lies in manifest.json and results.json: indented, keys in the given order."""
    return json_bytes(value, indent=1) + b"\n"


class RunStore(Closing):
    """Writes one run.  One process at a time; closing lets the next one in."""

    def __init__(
        self,
        folder: Path,
        manifest: Mapping[str, Json],
        lock: FolderLock,
        records: dict[Key, Record],
    ) -> None:
        """Use `RunStore.open`."""
        self.folder = folder
        self._manifest = manifest
        self._lock = lock
        self._records = records
        self._files: dict[str, LineFile] = {}

    @classmethod
    def open(cls, folder: Path, manifest: Mapping[str, Json]) -> RunStore:
        """Create the run that `manifest` describes, or go on with it.

        An existing run keeps its manifest until `update_manifest` or `seal`.

        Raises:
            SuiteError: the folder holds something else; another must be named.
            StoreError: another process writes this run, or it cannot be written.
            DataError: its files are damaged.
        """
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(folder)
        try:
            remove_leftovers(folder)
            stored = _stored_manifest(folder, manifest)
            path = folder / RECORDS_NAME
            LineFile(path).close()  # cuts a torn last line off
            records = {r.key: r for r in read_records(path)}
            store = cls(folder, stored or manifest, lock, records)
            if stored is None:
                store.update_manifest(manifest)
        except BaseException:
            lock.release()
            raise
        return store

    @property
    def records(self) -> Mapping[Key, Record]:
        """Latest record by key."""
        return MappingProxyType(self._records)

    @property
    def manifest(self) -> Mapping[str, Json]:
        """As it lies in the folder."""
        return self._manifest

    @property
    def sealed(self) -> bool:
        """Whole and unchanged since."""
        return bool(self._manifest.get("sealed"))

    def append(self, record: Record) -> None:
        """Add a record; once this returns, `kill -9` cannot lose it.

        A sealed run is open again from the first append on.

        Raises:
            StoreError: the disk is full (the file stays whole), or a number is NaN or infinite.
        """
        line = _record_line(record)
        if self.sealed:
            self.update_manifest({**self._manifest, "sealed": False})
        self._lines(RECORDS_NAME).append(line)
        self._records[record.key] = record

    def session(self, entry: Mapping[str, Json]) -> None:
        """Add a line to sessions.jsonl: when, how long, tokens, retries."""
        self._lines(SESSIONS_NAME).append(json_bytes(entry))

    def sessions(self) -> list[Json]:
        """Lines of sessions.jsonl, oldest first; see `read_sessions`."""
        return read_sessions(self.folder)

    def update_manifest(self, manifest: Mapping[str, Json]) -> None:
        """Replace manifest.json (same run), sealed or not as it says.

        Raises:
            SuiteError: another run's manifest.
            StoreError: the file cannot be written.
        """
        _check_same_run(self.folder, self._manifest, manifest)
        write_file(self.folder / MANIFEST_NAME, pretty_json(manifest))
        self._manifest = dict(manifest)

    def seal(
        self,
        order: Sequence[Key],
        manifest: Mapping[str, Json],
        results: Json,
        files: Mapping[str, bytes],
    ) -> None:
        """Put the run into its final form; the same records give the same bytes.

        Args:
            order: every key of the run, canonical.
            manifest: final; `sealed` is set to true here.
            results: see `results_json`.
            files: rendered reports by name.

        Raises:
            StoreError: records and `order` differ, a file name is not allowed, or the disk is
                full (the run is then as resumable as before).
        """
        self._check_order(order)
        targets = {self._target(name): data for name, data in files.items()}
        if self.sealed:
            self.update_manifest({**self._manifest, "sealed": False})
        lines = b"".join(_record_line(self._records[key]) + b"\n" for key in order)
        self._close_lines(RECORDS_NAME)  # its descriptor would go on writing into the old file
        write_file(self.folder / RECORDS_NAME, lines)
        self._records = {key: self._records[key] for key in order}
        write_file(self.folder / RESULTS_NAME, pretty_json(results))
        for path, data in targets.items():
            write_file(path, data)
        self.update_manifest({**manifest, "sealed": True})

    def close(self) -> None:
        """Let the next process in; idempotent."""
        for name in list(self._files):
            self._close_lines(name)
        self._lock.release()

    def _lines(self, name: str) -> LineFile:
        if name not in self._files:
            self._files[name] = LineFile(self.folder / name)
        return self._files[name]

    def _close_lines(self, name: str) -> None:
        if name in self._files:
            self._files.pop(name).close()

    def _check_order(self, order: Sequence[Key]) -> None:
        wanted = set(order)
        missing = [key for key in order if key not in self._records]
        foreign = [key for key in self._records if key not in wanted]
        for keys, what in ((missing, "have no record"), (foreign, "are not part of the run")):
            if keys:
                raise StoreError(
                    f"{self.folder}: cannot be sealed: {len(keys)} samples {what}, first "
                    f"{' / '.join(keys[0])!r}; run the same command again"
                )

    def _target(self, name: str) -> Path:
        path = PurePosixPath(name)
        inside = path.parts and not path.is_absolute() and ".." not in path.parts
        if not inside or name in _OURS or path.name.startswith("."):
            raise StoreError(
                f"{self.folder}: a report file may not be named {name!r}; "
                f"expected a relative path other than {', '.join(sorted(_OURS))}"
            )
        return self.folder / path


def read_run(folder: Path) -> Run:
    """A run from its folder (or any file of it), sealed or not; nothing is written.

    An unsealed run has the records there are, in the order of manifest and sample ids, and no
    estimates or comparisons: those on disk, if any, are of older records.

    Raises:
        DataError: not a run, damaged (names file and line), or of a newer evalkit.
    """
    manifest = read_manifest(folder)
    place = folder.parent if folder.is_file() else folder
    records = {record.key: record for record in read_records(place / RECORDS_NAME)}
    if manifest.get("sealed"):
        estimates, comparisons = read_results(place / RESULTS_NAME)
        return Run(place, manifest, tuple(records.values()), estimates, comparisons)
    return Run(place, manifest, _ordered(records, manifest), (), ())


def read_sessions(folder: Path) -> list[Json]:
    """Lines of a run's sessions.jsonl, oldest first; a torn last line is left out.

    Raises:
        DataError: a line is damaged; names it.
    """
    path = folder / SESSIONS_NAME
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    return [_read_session(line, f"{path}:{n}") for n, line in enumerate(lines, 1)]


def started(folder: Path) -> float | None:
    """When the first session of the run began, in Unix time; None where no file says so."""
    try:
        return float(read_sessions(folder)[0]["started"])
    except (DataError, IndexError, KeyError, OSError, TypeError, ValueError):
        return None


def _read_session(line: bytes, where: str) -> Json:
    try:
        return parse_json(line)
    except CodecError as error:
        raise DataError(
            f"{where}: {error}; delete that line: its session's times, tokens and cost are lost, "
            f"and a judge's cap no longer counts what it spent"
        ) from error


def _ordered(records: Mapping[Key, Record], manifest: Mapping[str, Json]) -> tuple[Record, ...]:
    models = [m["name"] for m in manifest.get("models", ())]
    benchmarks = [b["name"] for b in manifest.get("benchmarks", ())]
    tasks = [t for b in manifest.get("benchmarks", ()) for t in b.get("tasks", {})]
    places = tuple(
        {name: i for i, name in enumerate(names)} for names in (models, benchmarks, tasks)
    )

    def rank(key: Key) -> tuple[object, ...]:
        sample = key[3]
        number = int(sample) if sample.isdecimal() else -1
        known = (p.get(name, len(p)) for p, name in zip(places, key[:3], strict=True))
        return (*known, number, key)

    return tuple(records[key] for key in sorted(records, key=rank))


def _stored_manifest(folder: Path, manifest: Mapping[str, Json]) -> Mapping[str, Json] | None:
    if not (folder / MANIFEST_NAME).exists():
        foreign = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        if foreign:
            raise SuiteError(
                f"{folder}: neither empty nor a run (it holds {foreign[0]!r}); name another folder"
            )
        return None
    stored = read_manifest(folder)
    _check_same_run(folder, stored, manifest)
    return stored


def _check_same_run(folder: Path, stored: Mapping[str, Json], manifest: Mapping[str, Json]) -> None:
    if stored.get("run_id") != manifest.get("run_id"):
        raise SuiteError(
            f"{folder}: holds run {stored.get('run_id')!r}, this is run "
            f"{manifest.get('run_id')!r} (suite, inputs or limit differ); name another folder, "
            f"or delete this one"
        )


def _record_line(record: Record) -> bytes:
    try:
        return line(record)
    except CodecError as error:
        raise StoreError(
            f"record {' / '.join(record.key)!r} cannot be written: {error}; "
            f"the benchmark that made it is at fault"
        ) from error


def read_records(path: Path) -> list[Record]:
    """Every whole line; one without its newline is still being written."""
    found: list[Record] = []
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    break
                found.append(_read_record(line, f"{path}:{number}"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    return found


def _read_record(line: bytes, where: str) -> Record:
    try:
        return read(Record, line)
    except CodecError as error:
        raise DataError(
            f"{where}: {error}; delete that line and run the suite again: "
            f"answers already paid for come from the cache"
        ) from error
