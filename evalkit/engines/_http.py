"""Requests to an HTTP API: hard caps, retries, the circuit breaker, and the thread they run on.

Event                                              reaction
---------------------------------------------------------------------------------------------
408, 409, 425, 429, 5xx, broken connection         retry, after Retry-After or a growing pause
no answer within timeout_s                         retry, at most twice
a reply that does not conform to the API           retry; engine_error in the end
the same after all retries                         transport_error
BREAKER of these in a row                          the rest fails at once: the server is gone
401, or 429 without credit left                    engine_error, and the rest fails at once
400 that names the context length                  over_long
400 that names a content filter                    refused
any other 4xx                                      engine_error with the server's message

UTF-8 cannot encode half a surrogate pair: U+FFFD is sent in its place.
"""

from __future__ import annotations

import asyncio
import json
import queue
import random
import re
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from evalkit.core import Job, Json, Reply, Request
from evalkit.engines._budget import Budget
from evalkit.engines._keys import sayable
from evalkit.errors import EngineError, FailureStatus, RequestFailed

if TYPE_CHECKING:
    import httpx

BREAKER = 5
"""Requests in a row that failed after all their retries."""
LONGEST_WAIT_S = 300.0
"""A server that asks for a longer pause counts as unreachable."""
SLOW_RETRIES = 2
AGAIN = frozenset({408, 409, 425, 429})
MAYBE_BILLED = frozenset({408, 502, 504, 524})
"""A gateway gave up; the server behind it may have done the work."""
OVER_LONG = re.compile(
    r"context.?length|context.?window|maximum model length|max_model_len|too many (input )?tokens"
    r"|prompt is too long|exceed\w* .{0,40}context",
    re.IGNORECASE,
)
FILTERED = re.compile(
    r"content.?filter|content.?(management )?policy|responsible.?ai", re.IGNORECASE
)


@dataclass(frozen=True)
class Parsed:
    """A parsed 200 reply."""

    reply: Reply
    cost_usd: float | None
    """None: the server did not give its token counts."""


@dataclass(frozen=True)
class Question:
    """What is posted, and how to parse the answer."""

    path: str
    payload: Mapping[str, Json]
    worst_usd: float
    parse: Callable[[Json], Parsed]
    """Anything it raises means that the reply does not conform to the API."""


class _Trouble(Exception):
    """One attempt failed and another may succeed."""

    def __init__(
        self,
        message: str,
        *,
        billed: bool,
        wait_s: float | None = None,
        slow: bool = False,
        status: FailureStatus = "transport_error",
    ) -> None:
        super().__init__(message)
        self.billed = billed
        """The server may have done the work."""
        self.status: FailureStatus = status
        """The request's status where no attempt succeeds."""
        self.wait_s = wait_s
        self.slow = slow


class _UseNewName(Exception):
    """The server wants `max_completion_tokens` for `max_tokens`."""


class Sender:
    """Posts requests to one server.  Used from one event loop."""

    def __init__(
        self,
        base_url: str,
        key: str | None,
        budget: Budget,
        *,
        max_retries: int,
        retry_pause_s: float,
        timeout_s: float,
    ) -> None:
        """`retry_pause_s`: before the first retry; doubles with each."""
        import httpx

        self._key = key
        self._max_retries = max_retries
        self._retry_pause_s = retry_pause_s
        self._timeout_s = timeout_s
        self._budget = budget
        self._random = random.SystemRandom()
        self._new_name = False
        self._failed_in_a_row = 0
        self._stopped: RequestFailed | None = None
        self._base_url = base_url
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(timeout_s, connect=min(10.0, timeout_s)),
            limits=httpx.Limits(max_connections=None),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def send(self, question: Question) -> Reply:
        """The reply, after retries where needed.  Raises RequestFailed."""
        attempt = 0
        while True:
            if self._stopped is not None:
                raise RequestFailed(self._stopped.status, f"not sent: {self._stopped}")
            try:
                reply = await self._attempt(question)
            except _UseNewName:
                continue
            except _Trouble as trouble:
                most = min(self._max_retries, SLOW_RETRIES) if trouble.slow else self._max_retries
                wait = self._pause(attempt, trouble)
                if attempt >= most or wait > LONGEST_WAIT_S:
                    raise self._gave_up(trouble, attempt) from None
                attempt += 1
                await asyncio.sleep(wait)
            else:
                self._failed_in_a_row = 0
                return reply

    def _pause(self, attempt: int, trouble: _Trouble) -> float:
        """Seconds: what the server asks for, else 1, 2, 4, ... times the pause, with jitter."""
        jitter = self._random.uniform(0.5, 1.0)
        grown: float = min(self._retry_pause_s * 2.0**attempt, 60.0) * jitter
        return grown if trouble.wait_s is None else trouble.wait_s + grown / 8

    def _gave_up(self, trouble: _Trouble, attempt: int) -> RequestFailed:
        self._failed_in_a_row += 1
        tries = "once" if attempt == 0 else f"{attempt + 1} times"
        what = "did not answer" if trouble.status == "transport_error" else "answered nonsense"
        failed = RequestFailed(
            trouble.status, f"{self._base_url} {what} (tried {tries}): {trouble}"
        )
        if self._failed_in_a_row >= BREAKER:
            self._stopped = RequestFailed(
                trouble.status,
                f"{self._base_url} failed {self._failed_in_a_row} requests in a row, the last "
                f"with: {trouble}; check that the server runs and run again: answered requests "
                f"are kept",
            )
        return failed

    async def _attempt(self, question: Question) -> Reply:
        """One HTTP request, within the caps.  Raises _Trouble, _UseNewName, RequestFailed."""
        await self._budget.reserve(question.worst_usd)
        # Without a status from the server (cancelled, timed out, cut off) it may have done all
        # the work.
        cost: float | None = question.worst_usd
        try:
            response = await self._post(question)
            if response.status_code != 200:
                cost = question.worst_usd if response.status_code in MAYBE_BILLED else None
                self._raise_for(response)
            parsed = self._read(question, response)
            cost = question.worst_usd if parsed.cost_usd is None else parsed.cost_usd
        except _Trouble as trouble:
            if not trouble.billed:
                cost = None
            raise
        finally:
            self._budget.settle(question.worst_usd, cost)
        return parsed.reply

    def _read(self, question: Question, response: httpx.Response) -> Parsed:
        try:
            return question.parse(json.loads(response.content))
        except Exception as error:  # noqa: BLE001 - a server may send anything
            raise _Trouble(
                f"a reply of unknown form ({self._named(error)}): "
                f"{self._tidy(_text_of(response))}; check that base_url names an "
                f"OpenAI-compatible API",
                billed=True,
                status="engine_error",
            ) from None

    async def _post(self, question: Question) -> httpx.Response:
        import httpx

        payload = dict(question.payload)
        if self._new_name and "max_tokens" in payload:
            payload["max_completion_tokens"] = payload.pop("max_tokens")
        try:
            return await self._client.post(
                f"{self._base_url}{question.path}",
                content=_body(payload),
                headers={"Content-Type": "application/json"},
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise _Trouble(self._named(error), billed=False) from None
        except httpx.TimeoutException:
            raise _Trouble(
                f"no answer within timeout_s {self._timeout_s:g}", billed=True, slow=True
            ) from None
        except httpx.HTTPError as error:
            raise _Trouble(self._named(error), billed=True) from None

    def _raise_for(self, response: httpx.Response) -> None:
        """Turn a status that is not 200 into what follows from it (see the table above)."""
        status = response.status_code
        message, code = _error_of(response)
        text = f"HTTP {status}: {self._tidy(message)}"
        if status == 401 or code == "insufficient_quota":
            self._stopped = RequestFailed("engine_error", f"{self._base_url} answered {text}")
            raise self._stopped
        if status in AGAIN or status >= 500:
            raise _Trouble(text, billed=status in MAYBE_BILLED, wait_s=_retry_after(response))
        self._failed_in_a_row = 0
        if code == "context_length_exceeded" or OVER_LONG.search(message):
            raise RequestFailed("over_long", text)
        if FILTERED.search(f"{code} {message}"):
            raise RequestFailed("refused", text)
        wants_new_name = "max_completion_tokens" in message and not self._was_renamed(response)
        if status == 400 and wants_new_name:
            self._new_name = True
            raise _UseNewName
        raise RequestFailed("engine_error", text)

    @staticmethod
    def _was_renamed(response: httpx.Response) -> bool:
        return b'"max_completion_tokens"' in response.request.content

    def _named(self, error: Exception) -> str:
        return self._tidy(f"{type(error).__name__}: {error}")

    def _tidy(self, text: str) -> str:
        """One line, not too long, without the key."""
        if self._key:
            text = text.replace(self._key, "[key]")
        return sayable(re.sub(r"[\s\x00-\x1f\x7f]+", " ", text)[:500].strip())


def _body(payload: Mapping[str, Json]) -> bytes:
    """JSON in UTF-8, with U+FFFD for what UTF-8 cannot encode."""
    return sayable(json.dumps(payload, ensure_ascii=False, allow_nan=False)).encode()


def _text_of(response: httpx.Response) -> str:
    # Not `response.text`, which uses the server's charset: that may be no text encoding.
    return response.content.decode("utf-8", "replace")


def _error_of(response: httpx.Response) -> tuple[str, str]:
    """(message, code) of an error reply; servers differ in how they wrap them."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return _text_of(response), ""
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return str(error), ""
    return str(error.get("message") or error), str(error.get("code") or error.get("type") or "")


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds the server asks to wait: `retry-after-ms`, or `Retry-After` (seconds or a date)."""
    try:
        if "retry-after-ms" in response.headers:
            return max(0.0, float(response.headers["retry-after-ms"]) / 1000)
        value = response.headers.get("retry-after", "")
        if re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError, OSError):
        return None


class Background:
    """`concurrency` workers over one queue of jobs; first come, first served.

    They run on an event loop in a thread of its own, so that `poll` never blocks the work.
    """

    def __init__(
        self,
        answer: Callable[[Request], Awaitable[Reply]],
        finish: Callable[[], Awaitable[None]],
        concurrency: int,
    ) -> None:
        """`finish` is awaited on the loop when it stops.

        An exception of `answer` fails its own request only: a RequestFailed as such, any other as
        an `engine_error` with the advice to report it.
        """
        self._answer = answer
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
        self._thread.join(timeout=10)

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
            self._done.put((ticket, await self._reply(request)))

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
