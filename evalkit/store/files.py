"""Reading files that may be anything, and writing so that a killed process loses nothing.

What is read may be a stranger's (`core.files`).  Writing: whole-file replacement, files that grow
by lines, the lock on a run, and messages about a full disk.  A power cut may lose the last lines of
a run in progress (they are flushed to disk when the run is sealed); `kill -9` loses none.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from evalkit.core.files import open_plain, read_file, too_large
from evalkit.errors import StoreError

__all__ = [
    "Closing",
    "FolderLock",
    "LineFile",
    "holds",
    "open_plain",
    "read_file",
    "read_lines",
    "remove_leftovers",
    "write_file",
    "writing",
]

LOCK_NAME = ".lock"
_TEMPORARY = ".tmp"
_DYING_SECONDS = 2.0
"""How long the children of a killed process may take to release its lock."""
_LONGEST_LINE = 1 << 28
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW
"""A run's folder may be a stranger's: what is written there is written to no file elsewhere."""


def holds(path: Path, data: bytes) -> bool:
    """Whether a plain file has exactly these bytes, so that it need not be written."""
    try:
        with open_plain(path) as file:
            is_long = os.fstat(file.fileno()).st_size == len(data)
            return is_long and file.read(len(data) + 1) == data
    except OSError:
        return False


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a plain file, each with its newline; the last may lack it.

    Raises:
        OSError: as `open_plain`; a line is longer than 256 MiB.
    """
    with open_plain(path) as file:
        while line := file.readline(_LONGEST_LINE + 1):
            if len(line) > _LONGEST_LINE:
                raise too_large(path, _LONGEST_LINE)
            yield line


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn system errors about `path` into a StoreError with a next step."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {_advice(error)}") from error


def _advice(error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.errno == errno.ELOOP:
        return "it is a link to another file; remove the link and run the same command again"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full ({reason}); free some space and run the same command again"
    if error.errno == errno.EFBIG:
        return f"{reason}; raise the limit on file size (ulimit -f) and run the command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{reason}; choose a folder you may write to"
    return f"{reason}; fix that and run the same command again"


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_file(path: Path, data: bytes) -> None:
    """Replace `path` as a whole: readers see the old bytes or the new ones, never a mixture.

    The bytes are on disk before this returns.  Folders are made as needed.

    Raises:
        StoreError: the disk is full, or the place cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_TEMPORARY}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_flushed(temporary, data)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)


def _write_flushed(path: Path, data: bytes) -> None:
    descriptor = os.open(path, _OPEN | os.O_TRUNC, 0o666)
    try:
        _write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed `write_file` left in `folder`; files of live processes stay."""
    for path in folder.glob(f".*{_TEMPORARY}"):
        pid = path.name.removesuffix(_TEMPORARY).rpartition(".")[2]
        if pid.isdecimal() and (int(pid) == os.getpid() or not _alive(int(pid))):
            path.unlink(missing_ok=True)


class LineFile:
    """A file that grows by whole lines.

    Opening cuts off a last line without its newline: a process was killed while writing it, so it
    was never acknowledged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path):
            self._descriptor = os.open(path, _OPEN, 0o666)
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                os.close(self._descriptor)
                raise OSError(errno.EINVAL, "not a plain file", str(path))
            self._end = _end_of_last_line(self._descriptor)
            os.ftruncate(self._descriptor, self._end)

    def append(self, line: bytes) -> None:
        """Add `line` (without its newline); once this returns, `kill -9` cannot lose it.

        Raises:
            StoreError: the disk is full; the file is as it was before.
            ValueError: `line` holds a newline.
        """
        if b"\n" in line:
            raise ValueError("a line holds no newline")
        data = line + b"\n"
        with writing(self.path):
            os.lseek(self._descriptor, self._end, os.SEEK_SET)
            try:
                _write_all(self._descriptor, data)
            except BaseException:  # Ctrl-C halfway through a line, too
                os.ftruncate(self._descriptor, self._end)
                raise
        self._end += len(data)

    def close(self) -> None:
        """Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _end_of_last_line(descriptor: int) -> int:
    position = os.fstat(descriptor).st_size
    step = 1 << 16
    while position:
        start = max(0, position - step)
        newline = os.pread(descriptor, position - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        position = start
    return 0


class FolderLock:
    """Exclusive use of a folder by one process; the system releases it when the process ends.

    The lock file names the process.  It is removed on release, so that a finished folder
    holds results only.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_NAME
        with writing(self.path):
            self._descriptor = self._acquire()
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        _keep_from_children(self)

    def _acquire(self) -> int:
        deadline = time.monotonic() + _DYING_SECONDS
        while True:
            descriptor = os.open(self.path, _OPEN, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                os.close(descriptor)
                if _dead(holder) and time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                raise StoreError(self._held_by(holder)) from error
            except BaseException:
                os.close(descriptor)
                raise
            # The previous holder may have removed the file between our open and our lock.
            if _same_file(descriptor, self.path):
                return descriptor
            os.close(descriptor)

    def _held_by(self, holder: str) -> str:
        folder = self.path.parent
        if not holder.isdecimal():
            return f"{folder}: another process is starting this run; wait for it or end it"
        if not _dead(holder):
            return (
                f"{folder}: process {holder} is writing this run; "
                f"wait until it ends, or end it (kill {holder}) and run the same command again"
            )
        return (
            f"{folder}: process {holder}, which wrote this run, is gone, but a process it "
            f"started still holds {self.path}; end that one and run the same command again"
        )

    def release(self) -> None:
        """Let the next process in; idempotent."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                self.path.unlink()
            os.close(self._descriptor)
            self._descriptor = -1

    def forget(self) -> None:
        """In a forked child: drop the copy, which would outlive a killed parent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


_LOCKS: weakref.WeakSet[FolderLock] = weakref.WeakSet()
_WATCHED: list[bool] = []


def _keep_from_children(lock: FolderLock) -> None:
    """Engines may fork; a child that outlives its killed parent must not keep the lock."""
    if not _WATCHED:
        os.register_at_fork(after_in_child=_forget_all)
        _WATCHED.append(True)
    _LOCKS.add(lock)


def _forget_all() -> None:
    for lock in list(_LOCKS):
        lock.forget()


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _dead(holder: str) -> bool:
    return holder.isdecimal() and not _alive(int(holder))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Closing(ABC):
    """Closed at the end of a `with` block, however it ends."""

    @abstractmethod
    def close(self) -> None:
        """Release everything; idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
