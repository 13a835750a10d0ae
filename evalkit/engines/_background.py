"""The thread that API engines answer on."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from evalkit.core import Completion, Job, Reply, Request
from evalkit.errors import EngineError, RequestFailed

ELSEWHERE_S = 1.0
"""Between two looks for a reply that another process waits for."""
DRAIN_S = 7.0
"""How long replies in flight are waited for when a run is interrupted; a second signal ends it."""


class Background:
    """`concurrency` workers over one queue of jobs; first come, first served.

    They run on an event loop in a thread of its own, so that `poll` never blocks the work.
    """

    def __init__(
        self,
        answer: Callable[[Request], Awaitable[Reply]],
        drain: Callable[[float], Awaitable[None]],
        finish: Callable[[], Awaitable[None]],
        concurrency: int,
        on_reply: Callable[[int, Reply], None] | None = None,
        before_sending: Callable[[int], Completion | bool] | None = None,
    ) -> None:
        """When it stops, `drain` and then `finish` are awaited on the loop.

        An exception of `answer` fails its own request only: a RequestFailed as such, any other as
        an `engine_error` with the advice to report it.
        """
        self._answer = answer
        self._drain = drain
        self._on_reply = on_reply
        self._before_sending = before_sending
        self._finish = finish
        self._concurrency = concurrency
        self._done: queue.SimpleQueue[tuple[int, Reply] | BaseException] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()
        self._stop = asyncio.Event()
        self._dead: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="evalkit-http", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue jobs; callable from any thread."""
        # A loop that died is closed and refuses calls; the next poll says why.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._accept, list(jobs))

    def poll(self, timeout: float) -> list[tuple[int, Reply]]:
        """All finished replies, waiting at most `timeout` seconds for the first.

        Raises:
            EngineError: The loop died (a bug).
        """
        if self._dead is not None:
            name = type(self._dead).__name__
            raise EngineError(f"the HTTP loop died ({name}); please report this") from self._dead
        got: list[tuple[int, Reply]] = []
        deadline = time.monotonic() + timeout
        while True:
            wait = 0.0 if got else max(0.0, deadline - time.monotonic())
            try:
                item = self._done.get(block=wait > 0, timeout=wait or None)
            except queue.Empty:
                return got
            if isinstance(item, BaseException):
                self._dead = item
                return got
            got.append(item)

    def stop(self) -> None:
        """Drop unanswered jobs and end the thread."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=DRAIN_S + 10)

    def _accept(self, jobs: list[Job]) -> None:
        for job in jobs:
            self._jobs.put_nowait(job)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._main())
        except Exception as error:  # noqa: BLE001 - shown by the next poll
            self._done.put(error)
        finally:
            self._loop.close()

    async def _main(self) -> None:
        workers = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([*workers, stop], return_when=asyncio.FIRST_COMPLETED)
            await self._drain(DRAIN_S)
        finally:
            for task in (*workers, stop):
                task.cancel()
            ended = await asyncio.gather(*workers, return_exceptions=True)
            await self._finish()
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome

    async def _work(self) -> None:
        while True:
            ticket, request = await self._jobs.get()
            turn: Completion | bool = True
            while self._before_sending and not (turn := self._before_sending(ticket)):
                await asyncio.sleep(ELSEWHERE_S)
            if isinstance(turn, Completion):
                self._done.put((ticket, turn))
                continue
            reply = await self._reply(request)
            if self._on_reply is not None:
                self._on_reply(ticket, reply)
            self._done.put((ticket, reply))

    async def _reply(self, request: Request) -> Reply:
        try:
            return await self._answer(request)
        except RequestFailed as failed:
            return failed.with_traceback(None)
        except Exception as error:  # noqa: BLE001 - one request must not end all the others
            # The type only: the text may quote a key.
            return RequestFailed(
                "engine_error",
                f"this request failed unexpectedly ({type(error).__name__}); please report this",
            )
