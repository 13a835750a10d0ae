"""The completion cache: one SQLite file that several processes may share.

Each completion is one row, `key` to compact JSON, with a digest over both: a row that is not what
was stored is noticed and removed, and its request sent again.  The lengths of answers are kept
beside them by request, over all models, so that later runs can start with the longest.  SQLite
because it is atomic, safe under `kill -9`, shared between processes, and in the standard library.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from evalkit.core import Completion, Json
from evalkit.errors import StoreError
from evalkit.store.codec import CodecError, canonical_json, encode, read
from evalkit.store.files import Closing

__all__ = ["CompletionStore"]

_log = logging.getLogger(__name__)
_APPLICATION = 0x65766B63
"""`evkc`: marks the file as ours, so that another program's data base is not written to."""
_VERSION = 2
"""2: rows have a digest.  Those of version 1 are kept and have none."""
_BUSY_SECONDS = 60.0
_BATCH = 500
"""Keys per query; SQLite may be built with a limit of 999 variables."""

_SCHEMA = """
CREATE TABLE completions (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    stored_at INTEGER NOT NULL,  -- seconds since 1970; for pruning, never part of an answer
    digest TEXT  -- of key and value; null: stored by a version that made none
)
"""
_LENGTHS_SCHEMA = """
CREATE TABLE IF NOT EXISTS lengths (
    name TEXT PRIMARY KEY,
    tokens REAL NOT NULL,  -- running mean, in which the last answers weigh most
    answers INTEGER NOT NULL
)
"""
_CLAIMS_SCHEMA = """
CREATE TABLE IF NOT EXISTS claims (
    key TEXT PRIMARY KEY,
    holder TEXT NOT NULL  -- the process that sends this request, see `_process`
)
"""
_REMEMBERED = 4
"""The mean moves by at least 1/_REMEMBERED of the way to each new answer's length."""
_ADD_LENGTH = f"""
INSERT INTO lengths VALUES (?, ?, 1) ON CONFLICT (name) DO UPDATE SET
    tokens = tokens + (excluded.tokens - tokens) / min(answers + 1, {_REMEMBERED}.0),
    answers = answers + 1
"""  # noqa: S608 - a constant number


class CompletionStore(Closing):
    """Implements `core.CompletionCache`, and `Claiming`.

    Write-ahead log with `synchronous=NORMAL`: what `put_many` has stored survives the death of the
    process; a power cut may lose the last moments, never the file.  Threads may share one store.
    The first completion stored under a key stays.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the cache.

        Raises:
            StoreError: the file is damaged, foreign, of a newer evalkit, or cannot be written.
        """
        self.path = path
        self._lock = threading.Lock()
        self._said = False
        self._me = _process(os.getpid())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{path.parent}: cannot be created: {error.strerror}") from error
        with self._explained():
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        # Bytes that are no UTF-8 are damage, which is told by the digest.
        self._connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        try:
            with self._explained():
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def get_many(self, keys: Sequence[str]) -> dict[str, Completion]:
        """Those of `keys` that are stored and as they were stored.  Raises StoreError."""
        query = "SELECT key, value, digest, rowid FROM completions WHERE key IN"
        found, damaged = {}, []
        for key, value, stated, row in self._rows(query, keys):
            completion = _decode(key, value, stated)
            if completion is None:
                damaged.append((row,))
            else:
                found[key] = completion
        if damaged:
            self._remove(damaged)
        return found

    def _remove(self, rows: Sequence[tuple[int]]) -> None:
        with self._lock, self._explained(), self._transaction():
            self._connection.executemany("DELETE FROM completions WHERE rowid = ?", rows)
        if not self._said:
            self._said = True
            _log.warning(
                "warning: %s: %d stored answers or more are damaged and were removed: their "
                "requests are sent again; check the disk",
                self.path,
                len(rows),
            )

    def lengths(self, names: Sequence[str]) -> dict[str, int]:
        """Recent lengths of the answers of these names, in tokens.  Raises StoreError."""
        query = "SELECT name, tokens FROM lengths WHERE name IN"
        return {name: round(tokens) for name, tokens in self._rows(query, names)}

    def put_many(
        self, items: Mapping[str, Completion], lengths: Mapping[str, int] | None = None
    ) -> None:
        """Store all of `items` and `lengths` or, where this raises StoreError, nothing."""
        if not items:
            return
        now = int(time.time())
        made = {key: _encode(key, value) for key, value in items.items()}
        rows = [(key, value, now, _digest(key, value)) for key, value in made.items()]
        insert = "INSERT INTO completions VALUES (?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"
        with self._lock, self._explained(), self._transaction():
            self._connection.executemany(insert, rows)
            self._connection.executemany(_ADD_LENGTH, (lengths or {}).items())
            self._unclaim(items)

    def claim(self, key: str) -> Completion | bool:
        """The completion, if it is stored by now; else whether this process is to send it.

        Raises StoreError.
        """
        stored = "SELECT 1 FROM completions WHERE key = ?"
        claimed = "SELECT holder FROM claims WHERE key = ?"
        with self._lock, self._explained(), self._transaction():
            if self._connection.execute(stored, [key]).fetchone() is None:
                row = self._connection.execute(claimed, [key]).fetchone()
                if row is not None and row[0] != self._me and _lives(row[0]):
                    return False
                values = [key, self._me]
                self._connection.execute("INSERT OR REPLACE INTO claims VALUES (?, ?)", values)
                return True
        return self.get_many([key]).get(key, True)

    def release(self, keys: Sequence[str]) -> None:
        """Give up claims of this process.  Raises StoreError."""
        with self._lock, self._explained(), self._transaction():
            self._unclaim(keys)

    def _unclaim(self, keys: Iterable[str]) -> None:
        rows = [(key, self._me) for key in keys]
        self._connection.executemany("DELETE FROM claims WHERE key = ? AND holder = ?", rows)

    def is_empty(self) -> bool:
        """Whether no completion is stored.  Raises StoreError."""
        with self._lock, self._explained():
            return self._connection.execute("SELECT 1 FROM completions").fetchone() is None

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            self._connection.close()

    def _rows(self, query: str, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        remaining = iter(dict.fromkeys(names))
        while batch := list(islice(remaining, _BATCH)):
            marks = ",".join("?" * len(batch))
            with self._lock, self._explained():
                rows = self._connection.execute(f"{query} ({marks})", batch).fetchall()
            yield from rows

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA synchronous=NORMAL")
        # A transaction, since another process may write the schema between two queries.
        with self._transaction("DEFERRED"):
            current = self._is_current()
        if current:
            return
        self._use_write_ahead_log()
        with self._transaction():
            if not self._is_current():  # another process may have been quicker
                if not self._has("completions"):
                    self._connection.execute(_SCHEMA)
                elif self._version() == 1:
                    self._connection.execute("ALTER TABLE completions ADD COLUMN digest TEXT")
                self._connection.execute(_LENGTHS_SCHEMA)
                self._connection.execute(_CLAIMS_SCHEMA)
                self._connection.execute(f"PRAGMA application_id={_APPLICATION}")
                self._connection.execute(f"PRAGMA user_version={_VERSION}")

    def _is_current(self) -> bool:
        """Whether the schema is there; False for an empty file or one of an earlier version."""
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        version = self._version()
        if application == _APPLICATION and version == _VERSION:
            return self._has("claims")
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != _APPLICATION and tables:
            raise StoreError(
                f"{self.path}: a data base, but not evalkit's cache; "
                f"move it away, or use another workspace"
            )
        if version > _VERSION:
            raise StoreError(
                f"{self.path}: cache of version {version}, this evalkit reads up to {_VERSION}; "
                f"upgrade evalkit, or delete the file: its requests are then sent again"
            )
        return False

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def _has(self, table: str) -> bool:
        query = "SELECT count(*) FROM sqlite_master WHERE name = ?"
        return bool(self._connection.execute(query, [table]).fetchone()[0])

    def _use_write_ahead_log(self) -> None:
        """Retry while another process creates the file: SQLite does not wait here by itself."""
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                busy = (error.sqlite_errorcode & 0xFF) in (
                    sqlite3.SQLITE_BUSY,
                    sqlite3.SQLITE_LOCKED,
                )
                if not busy or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    @contextmanager
    def _transaction(self, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE") -> Iterator[None]:
        self._connection.execute(f"BEGIN {kind}")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {_advice(error)}") from error


_DEFAULTS: Mapping[str, Json] = {
    f.name: f.default for f in fields(Completion) if f.default is not MISSING
}


def _process(pid: int) -> str:
    """A living process: its id and, since ids are used again, when it began, as Linux counts."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"{pid}:"
    return f"{pid}:{stat.rpartition(')')[2].split()[19]}"


def _lives(process: str) -> bool:
    """Whether a process of this machine lives; SQLite's log is for one machine, too."""
    pid = int(process.partition(":")[0])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _process(pid) == process


def _decode(key: str, value: object, stated: object) -> Completion | None:
    """A row's completion; None: it is damaged."""
    if not isinstance(value, str) or (stated is not None and stated != _digest(key, value)):
        return None
    try:
        return read(Completion, value.encode("utf-8", "surrogatepass"))
    except CodecError:
        return None


def _digest(key: str, value: str) -> str:
    """64 bits of SHA-256: against accidents, not against forgery."""
    return hashlib.sha256(f"{key}\0{value}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _encode(key: str, completion: Completion) -> str:
    """Compact JSON without fields at their default."""
    try:
        data = encode(replace(completion, from_cache=False))
        kept = {k: v for k, v in data.items() if v != _DEFAULTS[k] and v != []}
        return canonical_json(kept).decode()
    except CodecError as error:
        raise StoreError(
            f"answer {key!r} cannot be stored: {error}; the engine that gave it is at fault"
        ) from error


def _advice(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return (
            f"the cache is damaged ({error}); move the file away or delete it: "
            f"its requests are then sent again"
        )
    if code == sqlite3.SQLITE_FULL:
        return f"{error}; free some space and run the same command again"
    if code == sqlite3.SQLITE_IOERR:
        return f"{error}; check the disk (full? read-only?) and run the same command again"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"{error} for {_BUSY_SECONDS:.0f} s by another process; end it and try again"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"{error}; check that you may write the file and its folder"
    return f"{error}; if this persists, delete the file: its requests are then sent again"
