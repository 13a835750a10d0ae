"""Reading files that may be a stranger's: plain ones, within a limit, unpacked no further."""

from __future__ import annotations

import errno
import io
import os
import stat
import zlib
from pathlib import Path

__all__ = ["LARGEST", "open_plain", "read_file", "too_large", "unpacked"]

LARGEST = 1 << 30
"""Bytes of a file that is read as a whole, and of what a packed one holds."""


def open_plain(path: Path) -> io.BufferedReader:
    """A plain file, open for reading; nothing is waited for.

    Raises:
        OSError: it is not there, may not be read, or is a folder, a pipe, a socket, a device.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a NUL in its name
        raise OSError(errno.EINVAL, "no possible name of a file", str(path)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        os.close(descriptor)
        if is_folder:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return os.fdopen(descriptor, "rb")


def read_file(path: Path, limit: int = LARGEST) -> bytes:
    """A plain file's bytes, at most `limit`.

    Raises:
        OSError: as `open_plain`; it is larger.
    """
    with open_plain(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise too_large(path, limit)
    return data


def unpacked(data: bytes, path: Path, limit: int = LARGEST) -> bytes:
    """What a file holds: of a name that ends in `.gz` the bytes in it, at most `limit`.

    Raises:
        OSError: it holds more, or is no whole gzip file.
    """
    if path.suffix != ".gz":
        return data
    found, unpacker = bytearray(), zlib.decompressobj()
    try:
        while data and len(found) <= limit:  # several may lie one behind the other
            unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            found += unpacker.decompress(data, limit + 1 - len(found))
            data = unpacker.unused_data.lstrip(b"\0") if unpacker.eof else b""
    except zlib.error as error:
        raise OSError(errno.EINVAL, f"not a whole gzip file ({error})", str(path)) from error
    if len(found) > limit:
        raise too_large(path, limit)
    if not unpacker.eof:
        raise OSError(errno.EINVAL, "not a whole gzip file: its end is missing", str(path))
    return bytes(found)


def too_large(path: Path, limit: int) -> OSError:
    """What is raised of a file, or a line of one, of more than `limit` bytes."""
    return OSError(errno.EFBIG, f"larger than {limit >> 20} MiB", str(path))
