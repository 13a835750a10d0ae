"""Fetches files of the catalogue from where they were published, whole or not at all.

A file is hashed before it gets its name.  Where the catalogue has no hash, the first one seen is
written to `data.lock.json` beside the file, and holds from then on.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from evalkit.data.catalogue import Entry
from evalkit.errors import DataError

__all__ = ["answers", "fetch", "hub_endpoint", "is_offline", "is_reachable", "locked", "original"]

LOCK = "data.lock.json"
_TIMEOUT = 60.0
_PROBE_TIMEOUT = 5.0
_RAW = "https://raw.githubusercontent.com"


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
    """EVALKIT_RAW_URL stands in for raw.githubusercontent.com: a proxy inside a company, say."""
    if wanted.hub:
        repository, _, file = wanted.hub.partition(":")
        return f"{hub_endpoint()}/datasets/{repository}/resolve/main/{file}"
    base = (os.environ.get("EVALKIT_RAW_URL") or _RAW).rstrip("/")
    return wanted.url.replace(_RAW, base, 1)


def is_reachable(wanted: Entry) -> bool:
    """Whether the machine it comes from answers at all; asked once a process."""
    if not wanted.url and not wanted.hub:
        return False
    try:
        parts = urlsplit(_url(wanted))
    except ValueError:  # half a bracket: no address
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


def fetch(wanted: Entry, folder: Path) -> Path:
    """Download one file below `folder`; returns its path.

    Raises:
        DataError: not to be had, cut short, or other bytes than the catalogue says.
    """
    url = _url(wanted) if wanted.url or wanted.hub else ""
    if not url:
        raise DataError(
            f"the data set {wanted.name!r} is published nowhere that evalkit could fetch it from; "
            f"put the file {wanted.mirror!r} into the folder that EVALKIT_DATA names"
        )
    content = _download(url)
    expected = wanted.sha256 if wanted.hub else wanted.url_sha256
    actual = hashlib.sha256(content).hexdigest()
    if expected and actual != expected:
        raise DataError(
            f"{url}: expected sha256 {expected}, found {actual}; it was changed or damaged on its "
            f"way: try again, or use a mirror"
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
    """The hash that `name` had when it was first used from `folder`; now `actual` if never.

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
            f"remove it only to accept the files beside it as they are now"
        ) from error
    if not isinstance(known, dict):
        raise DataError(
            f"{path} holds {known!r:.40}, expected checksums by name; remove it only to accept the "
            f"files beside it as they are now"
        )
    if name not in known:
        known[name] = actual
        try:
            _write(path, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
        except OSError:
            return actual  # A mirror that may not be written to: nothing to hold it to.
    return str(known[name])
