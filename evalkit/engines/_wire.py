"""The HTTP client under every vendor's client: what came back is seen, and bounded.

The vendors' libraries raise errors of their own.  What a failure means is decided from the HTTP
response alone (`_remote`), which is noted here for the task that sent the request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import httpx2

EXPANDS = 1024
"""Compressed replies, which nobody asked for, are cut this much earlier: so far they expand."""
CONNECT_S = 10.0
_KEY_HEADERS = ("authorization", "x-api-key", "x-goog-api-key")


class TooLongError(Exception):
    """A reply of more bytes than allowed."""


@dataclass
class Seen:
    """What came back for one request; None where nothing did."""

    response: httpx2.Response | None = None

    @property
    def content(self) -> bytes:
        """The body as far as it was read to its end, else nothing."""
        if self.response is None or not self.response.is_stream_consumed:
            return b""
        try:
            return self.response.content
        except httpx2.ResponseNotRead:
            return b""


_SEEN: ContextVar[Seen] = ContextVar("_SEEN")


@contextmanager
def watching() -> Iterator[Seen]:
    """Notes the response to a request that this task sends within."""
    seen = Seen()
    token = _SEEN.set(seen)
    try:
        yield seen
    finally:
        _SEEN.reset(token)


def http_client(*, has_key: bool, most_bytes: int) -> httpx2.AsyncClient:
    """Follows no redirect, reads at most `most_bytes` of a reply; without a key it sends none."""

    async def without_key(request: httpx2.Request) -> None:
        for name in _KEY_HEADERS:
            request.headers.pop(name, None)

    async def note(response: httpx2.Response) -> None:
        _SEEN.get().response = response
        encoding = response.headers.get("content-encoding", "identity").strip()
        if "," in encoding:
            raise TooLongError("a reply compressed twice")
        most = most_bytes if encoding in ("", "identity") else most_bytes // EXPANDS
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream, most)

    return httpx2.AsyncClient(
        headers={"Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(None, connect=CONNECT_S),
        limits=httpx2.Limits(max_connections=None),
        event_hooks={"request": [] if has_key else [without_key], "response": [note]},
    )


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, most: int) -> None:
        self._inner = inner
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._inner:
            size += len(chunk)
            if size > self._most:
                raise TooLongError(f"a reply of more than {self._most:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def broken(error: BaseException) -> Exception | None:
    """What broke the connection, behind the vendor's error; None where nothing did."""
    found: BaseException | None = error
    for _ in range(8):
        if isinstance(found, httpx2.TransportError | httpx2.DecodingError | TooLongError):
            return found
        if found is None:
            return None
        found = found.__cause__ or found.__context__
    return None


def never_sent(error: Exception) -> bool:
    """Whether the server cannot have seen the request."""
    return isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
