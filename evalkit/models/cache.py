"""Derived checkpoints (converted, merged) under WORKSPACE/.evalkit/models/, each built once.

A checkpoint is built in a temporary folder beside its final one and renamed, so that it is complete
or absent whenever the process dies; a file lock keeps two processes from building the same one.
Its stamp (a JSON file inside) holds the key it was built for and the digest of every file, so a
checkpoint that was changed since is built again.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from evalkit.core import Json
from evalkit.errors import StoreError
from evalkit.models.checkpoint import FileHashes

__all__ = [
    "Progress",
    "build_once",
    "cache_folder",
    "discard",
    "disk_errors",
    "read_stamp",
    "write_stamp",
]

Progress: TypeAlias = Callable[[str], None]
"""Called with a text at every slow step."""


def cache_folder(workspace: Path, kind: str, label: str, key: str) -> Path:
    """The folder for the checkpoint of `key`; `label` makes its name readable."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-.")[-60:] or "model"
    return workspace / ".evalkit" / "models" / f"{kind}-{slug}-{key[:16]}"


def read_stamp(folder: Path, stamp: str) -> dict[str, Json] | None:
    """The stamp of a folder; None where it is missing or unreadable."""
    try:
        value = json.loads((folder / stamp).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def write_stamp(folder: Path, stamp: str, content: dict[str, Json], hashes: FileHashes) -> None:
    """Write `content` and the digests of all files of `folder` into its stamp."""
    files = hashes.of(sorted(p for p in folder.iterdir() if p.is_file() and p.name != stamp))
    text = json.dumps({**content, "files": files}, indent=2, ensure_ascii=False)
    (folder / stamp).write_text(text + "\n", encoding="utf-8")


def _is_whole(folder: Path, stamp: str, key: str, hashes: FileHashes) -> bool:
    content = read_stamp(folder, stamp)
    if content is None or content.get("key") != key:
        return False
    try:
        return all(hashes.sha256(folder / n) == h for n, h in content.get("files", {}).items())
    except OSError:
        return False


def build_once(
    folder: Path, stamp: str, key: str, build: Callable[[Path], None], hashes: FileHashes
) -> Path:
    """`folder`, built by `build(empty folder)` unless it is already complete for `key`.

    `build` writes the stamp last.  Raises StoreError when the disk is full or read-only; nothing is
    left behind when `build` raises.
    """
    from filelock import FileLock

    if _is_whole(folder, stamp, key, hashes):
        return folder
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if not _is_whole(folder, stamp, key, hashes):
                _build(folder, build)
    return folder


def _build(folder: Path, build: Callable[[Path], None]) -> None:
    """Build beside `folder` and swap in.  The caller holds the lock, so leftovers are stale."""
    fresh = folder.parent / f".{folder.name}.tmp"
    stale = folder.parent / f".{folder.name}.old"
    for leftover in (fresh, stale):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir()
    try:
        build(fresh)
        if folder.exists():
            folder.rename(stale)
        fresh.rename(folder)
    finally:
        for leftover in (fresh, stale):
            shutil.rmtree(leftover, ignore_errors=True)


def discard(folder: Path, workspace: Path) -> None:
    """Remove a merged checkpoint; it is built again when needed.

    Any other folder is kept: the user's own, and converted bases.
    """
    from filelock import FileLock

    if not folder.name.startswith("merged-") or folder.parent != workspace / ".evalkit" / "models":
        return
    lock = folder.parent / f".{folder.name}.lock"
    with FileLock(lock):
        shutil.rmtree(folder, ignore_errors=True)
    lock.unlink(missing_ok=True)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn errors of a full or read-only disk into a StoreError."""
    try:
        yield
    except Exception as error:
        if not _is_disk_error(error):
            raise
        raise StoreError(
            f"cannot write a checkpoint to {str(folder)!r}: {error}; free some space or make the "
            "folder writable, then run the same command again"
        ) from error


def _is_disk_error(error: Exception) -> bool:
    # safetensors reports a full disk as its own exception, which quotes the system's message.
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENOTDIR)
    if isinstance(error, OSError) and error.errno in codes:
        return True
    return "No space left on device" in str(error)
