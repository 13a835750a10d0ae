"""What the requests of a run may cost and did cost: ledger.jsonl in its folder.

    {"engine": "judge:gpt", "requests": 12, "usd": 0.84}           spent so far
    {"engine": "judge:gpt", "reserve": 13, "usd": 0.07}            a request is about to be sent
    {"engine": "judge:gpt", "settle": 13, "usd": 0.02}             it was answered, and cost this
    {"engine": "judge:gpt", "settle": 13, "usd": null}             it was never sent
    {"engine": "judge:gpt", "batch": "5f2c", "id": "batch_abc"}    reservations named 5f2c:KEY are
                                                                   of this batch at the server

Each line is written before the program goes on, so `kill -9` at any moment loses none.  A
reservation that no line settles is of a request that was in flight: it counts as spent.  Opening
the file replaces what is over by its sum; requests in batches stay, since they can be settled yet.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evalkit.core import Json
from evalkit.errors import DataError
from evalkit.store.codec import json_bytes, parse_json
from evalkit.store.files import LineFile, read_file, write_file
from evalkit.store.reading import LEDGER_NAME

__all__ = ["Account", "LedgerFile"]

_LOST = "a judge's cap no longer counts what it spent"


@dataclass
class _Sum:
    """One engine's account as the file says."""

    requests: int = 0
    usd: float = 0.0
    open: dict[int, tuple[float, str]] = field(default_factory=dict)
    """Reserved USD and name by number."""
    batches: dict[str, str] = field(default_factory=dict)
    """Id at the server by our own name for the batch."""

    def add(self, line: Mapping[str, Json]) -> None:
        if "batch" in line:
            self.batches[str(line["batch"])] = str(line["id"])
            return
        usd = line["usd"]
        if "reserve" in line:
            self.open[int(line["reserve"])] = (float(usd), str(line.get("name", "")))
        elif "settle" in line:
            self.open.pop(int(line["settle"]), None)
            if usd is not None:
                self.requests, self.usd = self.requests + 1, self.usd + float(usd)
        else:
            self.requests, self.usd = int(line["requests"]), float(usd)

    def close_session(self) -> None:
        """Count what was in flight as spent, and forget batches that are over."""
        lost = [number for number, (_, name) in self.open.items() if not name]
        self.requests += len(lost)
        self.usd = math.fsum([self.usd, *(self.open.pop(number)[0] for number in lost)])
        pending = {name.partition(":")[0] for _, name in self.open.values()}
        self.batches = {b: identity for b, identity in self.batches.items() if b in pending}

    def lines(self, engine: str) -> Iterator[bytes]:
        yield json_bytes({"engine": engine, "requests": self.requests, "usd": self.usd})
        for number, (usd, name) in self.open.items():
            yield _line(engine, "reserve", number, usd, name)
        for batch, identity in self.batches.items():
            yield json_bytes({"engine": engine, "batch": batch, "id": identity})


class LedgerFile:
    """All accounts of one run; threads may share it, processes may not (`FolderLock`)."""

    def __init__(self, folder: Path) -> None:
        """Nothing is written before the first account is opened."""
        self._path = folder / LEDGER_NAME
        self._sums = _read(self._path)
        for one in self._sums.values():
            one.close_session()
        self._file: LineFile | None = None
        self._lock = threading.Lock()
        self._next = 1 + max((n for s in self._sums.values() for n in s.open), default=0)

    def account(self, engine: str, requests: int = 0, usd: float = 0.0) -> Account:
        """The account of an engine; `requests`, `usd`: what was spent before it had one."""
        if self._file is None:
            kept = [line for name, one in self._sums.items() for line in one.lines(name)]
            write_file(self._path, b"".join(line + b"\n" for line in kept))
            self._file = LineFile(self._path)
        if engine not in self._sums:
            self._sums[engine] = _Sum(requests, usd)
            self._append(*self._sums[engine].lines(engine))
        return Account(self, engine, self._sums[engine])

    def reserve(self, engine: str, usd: float, name: str) -> int:
        """Raises StoreError."""
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._append(_line(engine, "reserve", number, usd, name))
        return number

    def settle(self, engine: str, number: int, usd: float | None) -> None:
        """Raises StoreError."""
        with self._lock:
            self._append(_line(engine, "settle", number, usd))

    def created(self, engine: str, batch: str, identity: str) -> None:
        """Raises StoreError."""
        with self._lock:
            self._append(json_bytes({"engine": engine, "batch": batch, "id": identity}))

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            if self._file is not None:
                self._file.close()

    def _append(self, *lines: bytes) -> None:
        assert self._file is not None
        for line in lines:
            self._file.append(line)


class Account:
    """Implements `core.protocols.Ledger` for one engine of a run."""

    def __init__(self, file: LedgerFile, engine: str, found: _Sum) -> None:
        self._file, self._engine = file, engine
        self.in_flight: Mapping[str, tuple[int, float]] = {
            name: (number, usd) for number, (usd, name) in found.open.items()
        }
        self.batches: Mapping[str, str] = dict(found.batches)
        self.spent_requests = found.requests + len(found.open)
        self.spent_usd = found.usd + sum(usd for usd, _ in found.open.values())

    def reserve(self, worst_usd: float, name: str = "") -> int:
        """See `core.protocols.Ledger`."""
        return self._file.reserve(self._engine, worst_usd, name)

    def settle(self, number: int, cost_usd: float | None) -> None:
        """See `core.protocols.Ledger`."""
        self._file.settle(self._engine, number, cost_usd)

    def created(self, batch: str, identity: str) -> None:
        """See `core.protocols.Ledger`."""
        self._file.created(self._engine, batch, identity)


def _line(engine: str, what: str, number: int, usd: float | None, name: str = "") -> bytes:
    line = {"engine": engine, what: number, "usd": usd}
    return json_bytes({**line, "name": name} if name else line)


def _read(path: Path) -> dict[str, _Sum]:
    sums: dict[str, _Sum] = {}
    try:
        lines = read_file(path).split(b"\n")[:-1]
    except FileNotFoundError:
        return sums
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; move it away: {_LOST}") from error
    for n, raw in enumerate(lines, 1):
        try:
            line = parse_json(raw)
            sums.setdefault(line["engine"], _Sum()).add(line)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"{path}:{n}: not a line of a ledger ({error}); delete that line: {_LOST}"
            ) from error
    return sums
