"""A run's folder: written while it runs, sealed at its end, read by everything after it.

    manifest.json    what was run (`core.run.Manifest`); `sealed`: whether it is complete
    records.jsonl    one record per line: as samples finish; once sealed, in canonical order
    results.json     figures and comparisons (`reading.results`)
    votes.jsonl      people's votes on pairs of its answers, if any were imported
    sessions.jsonl   one line per command that worked on the run: times, tokens, retries
    ledger.jsonl     what requests may cost and did cost (`ledger`)
    SHA256SUMS       once sealed: digests of manifest, records and results, as sha256sum writes them
    index.html, ...  reports rendered from the above

Sealing replaces each file as a whole, the manifest last, so `sealed` is true only of complete runs.
The digests show accidents; forgery too, where the digest of SHA256SUMS is quoted elsewhere.
A record may be written twice (a failed sample sent again): the latest counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING

from evalkit.core import Json, Record
from evalkit.core.run import Manifest
from evalkit.core.votes import Vote
from evalkit.errors import DataError, StoreError, SuiteError
from evalkit.store.codec import CodecError, canonical_json, json_bytes, line
from evalkit.store.files import Closing, FolderLock, LineFile, remove_leftovers, write_file, writing
from evalkit.store.reading import (
    LEDGER_NAME,
    MANIFEST_NAME,
    RECORDS_NAME,
    RESULTS_NAME,
    SESSIONS_NAME,
    SUMS_NAME,
    VOTES_NAME,
    Key,
    load_manifest,
    manifest_json,
    read_records,
    read_sessions,
)

if TYPE_CHECKING:
    from evalkit.store.ledger import Account, LedgerFile

__all__ = ["RunStore", "pretty_json", "run_id", "write_votes"]

_OURS = frozenset(
    {MANIFEST_NAME, RECORDS_NAME, RESULTS_NAME, SESSIONS_NAME, VOTES_NAME, LEDGER_NAME, SUMS_NAME}
)


def run_id(description: Json) -> str:
    """12 hex digits that change whenever `description` does: sha256 of its canonical JSON.

    Raises StoreError where JSON cannot hold it.
    """
    try:
        return hashlib.sha256(canonical_json(description)).hexdigest()[:12]
    except CodecError as error:
        raise StoreError(f"the run's description {error}") from error


def pretty_json(value: Json) -> bytes:
    """JSON as in manifest.json and results.json: indented, keys in the given order."""
    return json_bytes(value, indent=1) + b"\n"


class RunStore(Closing):
    """Writes one run.  One process at a time; closing lets the next one in."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        lock: FolderLock,
        records: dict[Key, Record],
    ) -> None:
        """Use `RunStore.open`."""
        self.folder = folder
        self._manifest = manifest
        self._lock = lock
        self._records = records
        self._files: dict[str, LineFile] = {}
        self._ledger: LedgerFile | None = None

    @classmethod
    def open(cls, folder: Path, manifest: Manifest) -> RunStore:
        """Create the run that `manifest` describes, or resume it.

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
            with writing(path):
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
    def manifest(self) -> Manifest:
        """As stored."""
        return self._manifest

    @property
    def sealed(self) -> bool:
        """Complete, and unchanged since."""
        return self._manifest.sealed

    def append(self, record: Record) -> None:
        """Add a record; once this returns, `kill -9` cannot lose it.

        The first append to a sealed run unseals it.

        Raises:
            StoreError: the disk is full (the file stays whole), or a number is NaN or infinite.
        """
        line = _record_line(record)
        if self.sealed:
            self.update_manifest(self._manifest.model_copy(update={"sealed": False}))
        self._lines(RECORDS_NAME).append(line)
        self._records[record.key] = record

    def session(self, entry: Mapping[str, Json]) -> None:
        """Add a line to sessions.jsonl: when, how long, tokens, retries."""
        self._lines(SESSIONS_NAME).append(json_bytes(entry))

    def sessions(self) -> list[Json]:
        """Lines of sessions.jsonl, oldest first; see `read_sessions`."""
        return read_sessions(self.folder)

    def account(self, engine: str) -> Account:
        """What an engine spent on this run, to be continued.  Raises DataError, StoreError.

        Runs from before there was a ledger have it in their sessions.
        """
        if self._ledger is None:
            from evalkit.store.ledger import LedgerFile  # reading a run needs none

            self._ledger = LedgerFile(self.folder)
        try:
            spent = [line.get("spent", {}) for line in self.sessions()]
            found = [each[engine] for each in spent if engine in each]
            last = found[-1] if found else {"requests": 0, "cost_usd": 0.0}
            requests, usd = int(last["requests"]), float(last["cost_usd"])
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            path = self.folder / SESSIONS_NAME
            raise DataError(f"{path}: what {engine} spent cannot be read: {error!r}") from error
        return self._ledger.account(engine, requests, usd)

    def update_manifest(self, manifest: Manifest) -> None:
        """Replace manifest.json (same run), sealed or not as it says.

        Raises:
            SuiteError: another run's manifest.
            StoreError: the file cannot be written.
        """
        _check_same_run(self.folder, self._manifest, manifest)
        write_file(self.folder / MANIFEST_NAME, pretty_json(manifest_json(manifest)))
        self._manifest = manifest

    def seal(
        self,
        order: Sequence[Key],
        manifest: Manifest,
        results: Json,
        files: Mapping[str, bytes],
    ) -> None:
        """Write the run's final files; the same records give the same bytes.

        Args:
            order: every key of the run, canonical.
            manifest: final; `sealed` is set to true here.
            results: see `reading.results`.
            files: rendered reports by name.

        Raises:
            StoreError: records and `order` differ, a file name is not allowed, or the disk is
                full (the run can still be resumed).
        """
        self._check_order(order)
        targets = {self._target(name): data for name, data in files.items()}
        if self.sealed:
            self.update_manifest(self._manifest.model_copy(update={"sealed": False}))
        lines = b"".join(_record_line(self._records[key]) + b"\n" for key in order)
        self._close_lines(RECORDS_NAME)  # its descriptor would keep writing into the old file
        write_file(self.folder / RECORDS_NAME, lines)
        self._records = {key: self._records[key] for key in order}
        found = pretty_json(results)
        write_file(self.folder / RESULTS_NAME, found)
        for path, data in targets.items():
            write_file(path, data)
        sealed = manifest.model_copy(update={"sealed": True})
        final = pretty_json(manifest_json(sealed))
        contents = {MANIFEST_NAME: final, RECORDS_NAME: lines, RESULTS_NAME: found}
        sums = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in contents.items())
        write_file(self.folder / SUMS_NAME, "".join(sums).encode())
        self.update_manifest(sealed)

    def close(self) -> None:
        """Let the next process in; idempotent."""
        for name in list(self._files):
            self._close_lines(name)
        if self._ledger is not None:
            self._ledger.close()
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
        for folder in (self.folder / each for each in path.parents if each.parts):
            if folder.is_symlink():
                raise StoreError(f"{folder}: is a link; remove the link and run again")
        return self.folder / path


def write_votes(folder: Path, votes: Sequence[Vote]) -> None:
    """Replace a run's votes.jsonl.  Raises StoreError: it is being written, or the disk is full."""
    with writing(folder):
        lock = FolderLock(folder)
    try:
        write_file(folder / VOTES_NAME, b"".join(line(vote) + b"\n" for vote in votes))
    finally:
        lock.release()


def _stored_manifest(folder: Path, manifest: Manifest) -> Manifest | None:
    if not (folder / MANIFEST_NAME).exists():
        foreign = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        if foreign:
            raise SuiteError(
                f"{folder}: neither empty nor a run (it holds {foreign[0]!r}); name another folder"
            )
        return None
    stored = load_manifest(folder)
    _check_same_run(folder, stored, manifest)
    return stored


def _check_same_run(folder: Path, stored: Manifest, manifest: Manifest) -> None:
    if stored.run_id != manifest.run_id:
        raise SuiteError(
            f"{folder}: holds run {stored.run_id!r}, this is run "
            f"{manifest.run_id!r} (suite, inputs or limit differ); name another folder, "
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
