"""An API that fails in every way a server on the way to a judge can, at 30% of all requests.

    .venv/bin/python -m benchmarks.reliability.faults [--requests N] [--share S] [--seed K]

Each request of the openai engine carries its number.  By that number the server answers it well, or
fails it once or twice in one of the PASSING ways before it answers, or always in one of the LASTING
ways.  So it is known of every request what must become of it: an answer, or a failure of a status.
Nothing may be sent more often than it failed: `surplus` counts requests beyond that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import resource
import threading
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from benchmarks._common import Cell, Table, parser, publish, say
from evalkit.core import Completion, Message, PreparedModel, Reply, Request
from evalkit.engines.openai import OpenAIEngine, OpenAISpec

__all__ = ["LASTING", "PASSING", "Found", "storm"]

TIMEOUT_S = 3.0
"""The engine's, for the ways that never come to an end."""
WORDS = "Rating: [[8]]"

Write = Callable[[asyncio.StreamWriter], Awaitable[None]]


def _head(status: int, size: int | None, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {size}"] if size is not None else []
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _page(status: int, body: bytes | str | dict[str, Any], **headers: str) -> Write:
    raw = json.dumps(body) if isinstance(body, dict) else body
    raw = raw.encode() if isinstance(raw, str) else raw

    async def write(to: asyncio.StreamWriter) -> None:
        to.write(_head(status, len(raw), **headers) + raw)

    return write


_WHOLE = _page(200, "").__qualname__
"""Replies after which the connection goes on: one that is closed without a word is a failure more,
of the next request on it."""


def _error(status: int, message: str = "no", code: str = "", **headers: str) -> Write:
    return _page(status, {"error": {"message": message, "code": code}}, **headers)


def _says(content: Any, finish: str = "stop", **message: Any) -> Write:
    choice = {"index": 0, "finish_reason": finish, "message": {"content": content, **message}}
    usage = {"prompt_tokens": 20, "completion_tokens": 5}
    return _page(200, {"id": "x", "choices": [choice], "usage": usage})


def _cut(raw: bytes) -> Write:
    """Promises more than comes."""

    async def write(to: asyncio.StreamWriter) -> None:
        to.write(raw)

    return write


async def _reset(to: asyncio.StreamWriter) -> None:
    to.transport.abort()


async def _silent(to: asyncio.StreamWriter) -> None:
    await asyncio.sleep(TIMEOUT_S * 3)


async def _drips(to: asyncio.StreamWriter) -> None:
    """One byte every tenth of a second: no read times out."""
    to.write(_head(200, 10_000))
    for _ in range(int(TIMEOUT_S * 30)):
        to.write(b" ")
        await to.drain()
        await asyncio.sleep(0.1)


async def _endless(to: asyncio.StreamWriter) -> None:
    to.write(_head(200, None))
    while True:
        to.write(b" " * 65536)
        await to.drain()


GOOD = {"choices": [{"message": {"content": WORDS}, "finish_reason": "stop"}]}
PASSING: Mapping[str, Write] = {
    "429": _error(429, "Rate limit reached"),
    "429 with Retry-After": _error(429, Retry_After="0"),
    "429 with Retry-After as date": _error(429, Retry_After=formatdate(0, usegmt=True)),
    "429 with retry-after-ms": _error(429, retry_after_ms="20"),
    "529": _error(529, "Overloaded"),
    "503": _error(503),
    "500": _error(500),
    "502 in HTML": _page(502, "<html><body><h1>502 Bad Gateway</h1></body></html>"),
    "504": _page(504, ""),
    "408": _error(408),
    "409": _error(409),
    "425": _error(425),
    "reset": _reset,
    "closed without a word": _cut(b""),
    "cut within the headers": _cut(b"HTTP/1.1 200 OK\r\nContent-Ty"),
    "cut within the body": _cut(_head(200, 900) + b'{"choices": ['),
    "no HTTP": _cut(b"hello\r\n\r\n"),
    "silent": _silent,
    "one byte at a time": _drips,
    "endless": _endless,
    "HTML with status 200": _page(200, "<html>Sign in</html>"),
    "empty": _page(200, ""),
    "half an object": _page(200, '{"choices": ['),
    "nested a hundred thousand times": _page(200, "[" * 100_000),
    "a number of 5,000 digits": _page(200, '{"choices": ' + "9" * 5000 + "}"),
    "no choices": _page(200, {"choices": []}),
    "choices are null": _page(200, {"choices": None}),
    "an error with status 200": _page(200, {"error": {"message": "upstream", "code": 502}}),
    "garbage said to be gzip": _page(200, b"\x1f\x8b garbage", Content_Encoding="gzip"),
    "a gzip bomb": _page(
        200, zlib.compress(b" " * 50_000_000, 9), Content_Encoding="deflate"
    ),
}  # fmt: skip
"""Ways that may pass."""
LASTING: Mapping[str, tuple[Write, str]] = {
    "parts": (_says([{"type": "thinking", "thinking": "[[2]]"}, {"text": WORDS}]), "ok"),
    "thought in its own field": (_says(WORDS, reasoning_content="[[2]]"), "ok"),
    "null": (_says(None), "ok"),
    "null, cut": (_says(None, "length"), "ok"),
    "refusal": (_says(None, refusal="I cannot"), "refused"),
    "content filter": (_says(None, "content_filter"), "refused"),
    "403 for this content": (_error(403, "This input was flagged"), "refused"),
    "too long": (_error(400, "maximum context length is 10 tokens"), "over_long"),
    "400 for this content": (_error(400, "Invalid characters"), "excluded"),
}  # fmt: skip
"""Ways that repeat, and the status each request must get."""


@dataclass
class Found:
    """What became of a storm."""

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """Requests that did not get what they must."""
    received: int = 0
    surplus: int = 0
    """Requests at the server beyond one each and one for each failure that passes."""
    seconds: float = 0.0
    peak_gb: float = 0.0


@dataclass(frozen=True)
class _Fate:
    kind: str = ""
    times: int = 0
    """Failures before an answer."""

    @property
    def expected(self) -> str:
        return LASTING[self.kind][1] if self.kind in LASTING else "ok"


def _fates(requests: int, share: float, seed: int) -> list[_Fate]:
    chance = random.Random(seed)
    kinds = [*PASSING, *LASTING]
    fates = []
    for number in range(requests):
        # The server answers something before it refuses for good.
        if number < 20 or chance.random() >= share:
            fates.append(_Fate())
            continue
        kind = chance.choice(kinds)
        fates.append(_Fate(kind, chance.choice((1, 1, 2)) if kind in PASSING else 0))
    return fates


@contextmanager
def _server(fates: list[_Fate], seen: Counter[int]) -> Iterator[str]:
    """Serves on a thread until the end; yields its URL."""
    loop = asyncio.new_event_loop()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, EOFError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                size = int(re.search(r"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]
                body = json.loads(await reader.readexactly(size))
                number = int(body["messages"][-1]["content"].split()[-1])
                fate = fates[number]
                seen[number] += 1
                if fate.kind in LASTING:
                    await LASTING[fate.kind][0](writer)
                elif seen[number] <= fate.times:
                    await PASSING[fate.kind](writer)
                    if PASSING[fate.kind].__qualname__ != _WHOLE:
                        break
                else:
                    await _says(WORDS)(writer)
                await writer.drain()
        writer.close()

    async def stop(server: asyncio.Server) -> None:
        server.close()
        open_ones = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in open_ones:
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)

    server = loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0, backlog=512))
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield url
    finally:
        asyncio.run_coroutine_threadsafe(stop(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def storm(requests: int, share: float = 0.3, seed: int = 0, concurrency: int = 16) -> Found:
    """Send numbered requests to a server that fails `share` of them."""
    fates, seen, found = _fates(requests, share, seed), Counter[int](), Found()
    model = PreparedModel("judge", "judge", None, "", None, "none")
    began = time.monotonic()
    with _server(fates, seen) as url:
        spec = OpenAISpec(
            model="m",
            base_url=url,
            timeout_s=TIMEOUT_S,
            retry_pause_s=0.01,
            concurrency=concurrency,
        )
        engine = OpenAIEngine(spec, model)
        engine.submit(
            [
                (n, Request("j", "generate", (Message("user", f"Rate number {n}"),)))
                for n in range(requests)
            ]
        )
        engine.open()
        replies: dict[int, Reply] = {}
        while engine.pending:
            replies |= dict(engine.poll(1))
        engine.close()
    found.seconds = time.monotonic() - began
    found.received = seen.total()
    found.peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    for number, fate in enumerate(fates):
        reply = replies.get(number)
        status = "ok" if isinstance(reply, Completion) else getattr(reply, "status", "lost")
        found.statuses[status] += 1
        if status != fate.expected:
            found.wrong.append(f"{number} ({fate.kind}): {status}, not {fate.expected}: {reply}")
        # What is too long is tried without room for a thought, too.
        if fate.expected != "over_long":
            found.surplus += max(0, seen[number] - 1 - fate.times)
    return found


def main() -> None:
    """Run a storm and print what became of it."""
    options = parser(__doc__)
    options.add_argument("--requests", type=int, default=10_000)
    options.add_argument("--share", type=float, default=0.3, help="of requests that fail")
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    found = storm(chosen.requests, chosen.share, chosen.seed)
    for line in found.wrong[:20]:
        say(line)
    say(f"{found.seconds:.0f} s, peak memory {found.peak_gb:.2f} GB")
    rows: list[tuple[Cell, ...]] = [
        ("requests", chosen.requests),
        ("at the server", found.received),
        ("beyond one each and one per failure", found.surplus),
        *((f"status {status}", n) for status, n in sorted(found.statuses.items())),
        ("not as expected", len(found.wrong)),
    ]
    publish("faults", [Table("A server that fails", ("", "requests"), rows)], chosen)


if __name__ == "__main__":
    main()
