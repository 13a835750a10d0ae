"""Fingerprints: SHA-256 over everything that decides what a model answers.

Hashing gigabytes takes a minute, so a file's digest is remembered under its absolute path,
size, times and inode in WORKSPACE/.evalkit/file_hashes.sqlite, and read again only when one of
them changes.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from evalkit.core import Json
from evalkit.models.checkpoint import code_files, config_files, tokenizer_files, weight_files

__all__ = ["FileHashes", "digest", "fingerprint", "weights_digest"]

_CHUNK = 1 << 22
_TABLE = """CREATE TABLE IF NOT EXISTS file_hashes (
    path TEXT PRIMARY KEY, stat TEXT NOT NULL, sha256 TEXT NOT NULL)"""


def digest(value: Json) -> str:
    """Hex SHA-256 of a JSON value, the same for equal values."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class FileHashes:
    """SHA-256 of files, remembered in `workspace` while a file's stat stays as it was."""

    def __init__(self, workspace: Path) -> None:
        self._store = workspace / ".evalkit" / "file_hashes.sqlite"

    def sha256(self, path: Path) -> str:
        """Hex digest of the file's bytes.  Raises OSError when it cannot be read."""
        real = path.resolve()
        before = _stat(real)
        known = self._recall(real, before)
        if known is not None:
            return known
        value = _hash_file(real)
        if _stat(real) == before:
            self._remember(real, before, value)
        return value

    def of(self, files: Iterable[Path]) -> dict[str, str]:
        """Digest by file name."""
        return {p.name: self.sha256(p) for p in files}

    # A memory that cannot be read or written (read-only or full disk, another process holding
    # it for long) costs time, never the run: the file is hashed anew.
    def _recall(self, path: Path, stat: str) -> str | None:
        if not self._store.is_file():
            return None
        try:
            with closing(sqlite3.connect(self._store, timeout=10)) as db:
                row = db.execute(
                    "SELECT sha256 FROM file_hashes WHERE path = ? AND stat = ?", (str(path), stat)
                ).fetchone()
        except sqlite3.Error:
            return None
        return str(row[0]) if row else None

    def _remember(self, path: Path, stat: str, value: str) -> None:
        try:
            self._store.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._store, timeout=10)) as db, db:
                db.execute(_TABLE)
                db.execute(
                    "INSERT OR REPLACE INTO file_hashes VALUES (?, ?, ?)", (str(path), stat, value)
                )
        except (sqlite3.Error, OSError):
            return


def _stat(path: Path) -> str:
    # The change time catches a file rewritten in place whose modification time was set back.
    s = path.stat()
    return f"{s.st_size}:{s.st_mtime_ns}:{s.st_ctime_ns}:{s.st_ino}"


def _hash_file(path: Path) -> str:
    value = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            value.update(chunk)
    return value.hexdigest()


def fingerprint(folder: Path, hashes: FileHashes, *, code: bool = False) -> str:
    """Hex digest of a checkpoint's weights, configs and tokenizer files (and code, if trusted).

    File names count, folder names and times do not.
    """
    files = (*weight_files(folder), *config_files(folder), *tokenizer_files(folder))
    if code:
        files = (*files, *code_files(folder))
    return digest(["checkpoint", hashes.of(files)])


def weights_digest(folder: Path, hashes: FileHashes) -> str:
    """`weights:` and the hex digest of the weight files alone, in name order.

    The same weights split into other shards have another digest.
    """
    return "weights:" + digest([hashes.sha256(p) for p in weight_files(folder)])
