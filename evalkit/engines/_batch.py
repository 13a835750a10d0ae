"""Batches: requests sent together at half the price and answered within a day (`mode: batch`).

    request ─▶ gathered ─ quiet for a moment, or full ─▶ reserved ─▶ created ─ polled ─▶ reply
                                                                        │
            what the batch fails on, lets expire, or has no room for ─▶ sent live

A vendor's file defines, besides what `_remote` wants of it, `create_batch`, `find_batch`,
`batch_results` and `cancel_batch`, as they stand in `BatchingEngine`.

Nothing is paid for twice.  Each request is reserved in the ledger under `NAME:KEY` before its batch
is created, and the server's id is noted after.  A later process goes on with both: it polls a batch
whose id is noted, and looks for one whose id is not by its name.  A reply is stored before its
reservation is settled.  The first request of each form goes live, as it does without batches: what
the server refuses is learned by one request, and by no batch.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from evalkit.core import Json, PreparedModel, Reply, Request
from evalkit.engines._exchange import Prepared
from evalkit.engines._remote import LONGEST_PAUSE_S, RemoteEngine
from evalkit.engines._settings import RemoteSpec
from evalkit.errors import RequestFailed

if TYPE_CHECKING:
    import httpx2

_log = logging.getLogger(__name__)

MOST_REQUESTS = 10_000
"""Of one batch; OpenAI takes 50,000 and 200 MB, Anthropic 100,000 and 256 MB."""
MOST_BYTES = 100 * 2**20
MOST_RESULT_BYTES = 256 * 2**20
QUIET_PAUSES, FIRST_PAUSES, LONGEST_PAUSES = 10, 10, 120
"""Times `retry_pause_s`: a batch is created when no request has come for so long; it is polled
after so long, and then less often, down to once in so long."""
CLOCKS_S = 300.0
"""By which the server's clock and ours may differ."""

T = TypeVar("T")


class BatchSpec(RemoteSpec):
    """Settings of an API that has batches."""

    operational = RemoteSpec.operational | {"mode"}

    mode: Literal["live", "batch"] = "live"
    """`batch`: send requests together, at half the price, and wait up to a day; prices in the suite
    are those of live requests."""


def started_at(name: str) -> float:
    """The earliest time at which a batch of this name was created, in Unix time."""
    return int(name[:8], 16) - CLOCKS_S


@dataclass(eq=False)
class _Item:
    """A request for a batch."""

    key: str
    parameters: Mapping[str, Json]
    worst_usd: float
    body: asyncio.Future[Json] = field(default_factory=asyncio.Future)
    """Of the server's reply; None: to be sent live."""
    batch: str = ""
    """Our name for it."""
    number: int | None = None
    """Its reservation's."""


class BatchingEngine(RemoteEngine):
    """An API that has batches, if the suite says `mode: batch`."""

    def __init__(self, spec: BatchSpec, model: PreparedModel) -> None:
        self._uses_batches = spec.mode == "batch"
        super().__init__(spec, model)
        if self._uses_batches:
            self.workers, self.most_bytes = MOST_REQUESTS, MOST_RESULT_BYTES

    # What a vendor's file defines.

    @abstractmethod
    async def create_batch(self, name: str, requests: Mapping[str, Mapping[str, Json]]) -> str:
        """Create a batch of these parameters by key; returns the server's id."""

    @abstractmethod
    async def find_batch(self, name: str, keys: Sequence[str], known: Sequence[str]) -> str | None:
        """The id of the batch that was created under `name`; `known`: ids of others.

        None: it was not created; empty: only a later call can know.
        """

    @abstractmethod
    async def batch_results(self, identity: str) -> dict[str, Json] | None:
        """Bodies of replies by key, without what was not answered; None: not all is done."""

    @abstractmethod
    async def cancel_batch(self, identity: str) -> None:
        """Let the server do nothing more of it."""

    # The contract of an engine.

    @property
    def batched(self) -> bool | None:
        """Whether requests are sent in batches."""
        return self._uses_batches

    def _restart(self) -> None:
        super()._restart()
        self._gathered: list[_Item] = []
        self._size = 0
        self._came_at = 0.0
        self._gathering: asyncio.Task[None] | None = None
        self._proving = asyncio.Lock()
        self._handing_out = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._polls: dict[str, asyncio.Task[dict[str, Json] | None]] = {}
        """By our name: each batch is polled once for all that wait for it."""
        ledger = self._budget.ledger
        self._ids = {} if ledger is None else dict(ledger.batches)
        """The server's, by our name."""
        self._earlier: dict[str, tuple[str, int, float]] = {}
        """By key, what an earlier process sent: the batch's name, reservation, USD of it."""
        for full, (number, usd) in ({} if ledger is None else ledger.in_flight).items():
            name, _, key = full.partition(":")
            self._earlier[key] = (name, number, usd)

    async def _finish(self, http: httpx2.AsyncClient) -> None:
        """Leave all batches to a later process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await super()._finish(http)

    async def _answer(self, request: Request) -> Reply:
        if not self._uses_batches or isinstance(request.prompt, str) or self._no_key is not None:
            return await super()._answer(request)
        (key,) = self.keys([request])
        prepared = self.prepare(request)
        if key not in self._earlier and prepared.form not in self._proven:
            async with self._proving:
                prepared = self.prepare(request)
                if prepared.form not in self._proven:
                    return await super()._answer(request)
        item = _Item(key, prepared.parameters, self._most_cost(prepared, batched=True))
        body = await self._body(item)
        async with self._handing_out:
            await asyncio.sleep(0)  # one after the other: each is settled as soon as it is stored
        reply = self._completed(body, item, prepared)
        return await super()._answer(request) if reply is None else reply

    async def _body(self, item: _Item) -> Json:
        """Of the reply to `item` in a batch; None: there is none.  Raises RequestFailed."""
        if (found := self._earlier.pop(item.key, None)) is not None:
            item.batch, item.number, item.worst_usd = found
            self._budget.take_over(item.number, item.worst_usd)
            others = [key for key, (name, _, _) in self._earlier.items() if name == item.batch]
            return self._body_of(await self._polled(item.batch, [item.key, *others]), item)
        self._gathered.append(item)
        self._size += len(str(item.parameters))
        self._came_at = time.monotonic()
        if self._gathering is None or self._gathering.done():
            self._gathering = self._start(self._gather())
        return await item.body

    def _completed(self, body: Json, item: _Item, prepared: Prepared) -> Reply | None:
        """The reply with this body, whose reservation is settled once it is stored; None: none."""
        if body is None or item.number is None:
            return None
        cost = item.worst_usd
        try:
            parsed = self.read(body, prepared.request)
            cost = self._cost(parsed, prepared, batched=True)
            self._heard(prepared)
            completion = self.reply(parsed, prepared)
            self._learn_thought(completion, prepared)
            return replace(completion, cost_usd=cost)
        except RequestFailed:
            raise
        except Exception:  # noqa: BLE001 - a reply of unknown form, or one that was cut short
            return None
        finally:
            asyncio.get_running_loop().call_soon(self._budget.settle, item.number, cost)

    def _body_of(self, results: Mapping[str, Json] | None, item: _Item) -> Json:
        """The body; None, with the reservation settled, where the batch has none.

        `results` None: the batch is gone, and may have been paid for.
        """
        body = (results or {}).get(item.key)
        if body is None and item.number is not None:
            cost = item.worst_usd if results is None else 0.0
            self._budget.settle(item.number, cost if item.batch in self._ids else None)
        return body

    # Batches.

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _gather(self) -> None:
        """Create a batch of what has come, once nothing more comes."""
        while self._gathered:
            full = len(self._gathered) >= MOST_REQUESTS or self._size >= MOST_BYTES
            wait = self._came_at + QUIET_PAUSES * self.spec.retry_pause_s - time.monotonic()
            if wait > 0 and not full:
                await asyncio.sleep(wait)
                continue
            items, self._gathered, self._size = self._gathered, [], 0
            self._start(self._send_together(items))

    async def _send_together(self, items: Sequence[_Item]) -> None:
        name = f"{int(time.time()):08x}{secrets.token_hex(4)}"
        held = [item for item in items if self._reserve(item, name)]
        if not held:
            return
        sent = {item.key: item.parameters for item in held}
        try:
            try:
                self._ids[name] = await self._call(
                    lambda: self.create_batch(name, sent), repeatable=False
                )
                self._budget.created(name, self._ids[name])
                _log.info(
                    f"a batch of {len(held)} requests to {self.spec.model} is sent; it may take a "
                    f"day, and an interrupted run goes on with it"
                )
            except ConnectionError:
                pass  # it may have been created: it is looked for by its name
            results = await self._polled(name, list(sent))
        except RequestFailed as failed:
            if name not in self._ids and failed.status == "engine_error":
                _log.info(f"no batch, its requests are sent live: {failed}")
                results = {}
            else:
                for item in held:
                    item.body.set_exception(failed)
                return
        for item in held:
            item.body.set_result(self._body_of(results, item))

    def _reserve(self, item: _Item, name: str) -> bool:
        """Whether there is room under the caps; else it is refused, or waits for it live."""
        try:
            if self._budget.fits(item.worst_usd):
                item.batch = name
                item.number = self._budget.take(item.worst_usd, f"{name}:{item.key}")
                return True
            item.body.set_result(None)
        except RequestFailed as failed:
            item.body.set_exception(failed)
        return False

    async def _polled(self, name: str, keys: Sequence[str]) -> dict[str, Json] | None:
        if name not in self._polls:
            self._polls[name] = self._start(self._poll_batch(name, keys))
        return await asyncio.shield(self._polls[name])

    async def _poll_batch(self, name: str, keys: Sequence[str]) -> dict[str, Json] | None:
        """Bodies by key once the batch has ended; empty: it was never created; None: it is gone."""
        pauses, is_cancelled = 0.0, False
        while True:
            await asyncio.sleep(pauses * self.spec.retry_pause_s)
            pauses = min(max(pauses * 1.5, FIRST_PAUSES), LONGEST_PAUSES)
            identity = self._ids.get(name) or await self._find(name, keys)
            if identity is None:
                return {}
            if not identity:
                continue
            try:
                if self._budget.is_exceeded and not is_cancelled:
                    is_cancelled = True
                    await self._call(partial(self.cancel_batch, identity))
                results = await self._call(partial(self.batch_results, identity))
            except LookupError:
                return None
            if results is not None:
                return results

    async def _find(self, name: str, keys: Sequence[str]) -> str | None:
        known = list(self._ids.values())
        try:
            identity = await self._call(lambda: self.find_batch(name, keys, known))
        except LookupError:
            return None
        if identity:
            self._ids[name] = identity
            self._budget.created(name, identity)
        return identity

    async def _call(self, work: Callable[[], Awaitable[T]], *, repeatable: bool = True) -> T:
        """One call about batches, repeated while the server is away, for `wait_s` at most.

        Raises:
            RequestFailed: The server refuses, or is away for longer.
            LookupError: It knows of no such thing.
            ConnectionError: Not `repeatable`, and it may have been done.
        """
        from evalkit.engines._wire import broken, never_sent, watching

        began, failures = time.monotonic(), 0
        while True:
            with watching() as seen:
                try:
                    async with asyncio.timeout(max(self.spec.timeout_s, 60.0)):
                        return await work()
                except LookupError:
                    raise
                except Exception as error:  # noqa: BLE001 - a server may send anything
                    cause, response = broken(error), seen.response
                    what = self._named(cause or error)
                    status = 0 if response is None else response.status_code
            if status == 404 and repeatable:
                raise LookupError(what)
            if 300 <= status < 500 and status not in (408, 409, 429):
                raise RequestFailed("engine_error", f"HTTP {status}: {what}")
            unsent = cause is not None and never_sent(cause)
            if not (repeatable or unsent or status in (429, 503)):
                raise ConnectionError(what)
            failures += 1
            pause = min(self.spec.retry_pause_s * 2.0 ** min(failures, 10), LONGEST_PAUSE_S)
            if time.monotonic() + pause > began + self.spec.wait_s:
                raise RequestFailed("transport_error", f"no word about a batch: {what}")
            await asyncio.sleep(pause)
