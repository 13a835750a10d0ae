"""A real HTTP server on this machine that speaks OpenAI's API and misbehaves as told.

    with FaultServer([status(429, retry_after="1"), drop(), ok("Paris")]) as server:
        ...server.url...

Each request takes the next step of the script; after its end every request gets `default`, which
echoes the last message.  `received` keeps what came in; `kill` ends the server at once.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

__all__ = [
    "FaultServer",
    "Received",
    "Step",
    "drop",
    "free_port",
    "hang",
    "malformed",
    "ok",
    "status",
]


@dataclass(frozen=True)
class Received:
    """A request as the server saw it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def last(self) -> str:
        """The raw prompt or the last message."""
        if "prompt" in self.body:
            return str(self.body["prompt"])
        if "contents" in self.body:  # Google's form
            return str(self.body["contents"][-1]["parts"][0]["text"])
        return str(self.body["messages"][-1]["content"])


@dataclass(frozen=True)
class Step:
    """One answer of the server, or its absence."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    drop: bool = False
    """Close the connection without a word."""
    hang: bool = False
    """Say nothing until the server ends."""


def ok(
    text: str | None = "fine",
    *,
    finish_reason: str = "stop",
    refusal: str | None = None,
    usage: tuple[int, int] | None = (7, 3),
    logprobs: Any = None,
    delay_s: float = 0.0,
) -> Step:
    """A completion, of both kinds at once; `usage`: prompt and completion tokens."""
    body: dict[str, Any] = {
        "id": "x",
        "choices": [
            {
                "index": 0,
                "text": text,
                "message": {"role": "assistant", "content": text, "refusal": refusal},
                "finish_reason": finish_reason,
                "logprobs": logprobs,
            }
        ],
    }
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return Step(body=json.dumps(body).encode(), delay_s=delay_s)


def status(
    number: int,
    message: str = "no",
    *,
    code: str | None = None,
    retry_after: str | None = None,
    wrapped: bool = True,
) -> Step:
    """An error status; `wrapped`: in {"error": ...} as OpenAI does."""
    error = {"message": message, "code": code}
    body = json.dumps({"error": error} if wrapped else error).encode()
    headers = {"Retry-After": retry_after} if retry_after is not None else {}
    return Step(number, body, headers)


def drop() -> Step:
    return Step(drop=True)


def hang() -> Step:
    return Step(hang=True)


def malformed(body: bytes = b'{"choices": [') -> Step:
    return Step(body=body)


def echo(received: Received) -> Step:
    return ok(f"re:{received.last}")


def free_port() -> int:
    """A port where nothing listens just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class FaultServer:
    """Serves on 127.0.0.1 from `with` on; `port` 0 takes a free one."""

    def __init__(
        self,
        script: Sequence[Step] = (),
        default: Callable[[Received], Step] = echo,
        port: int = 0,
    ) -> None:
        self.received: list[Received] = []
        self.most_at_once = 0
        self._script = list(script)
        self._default = default
        self._at_once = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._server = _Quiet(("127.0.0.1", port), self._handler())
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """Stop listening and cut every open connection; idempotent."""
        if not self._ended.is_set():
            self._ended.set()
            self._server.shutdown()
            self._server.server_close()

    def _next(self, received: Received) -> Step:
        with self._lock:
            self.received.append(received)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            if self._script:
                return self._script.pop(0)
        return self._default(received)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length))
                step = outer._next(
                    Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                )
                try:
                    self._play(step)
                finally:
                    with outer._lock:
                        outer._at_once -= 1

            def _play(self, step: Step) -> None:
                if step.delay_s:
                    time.sleep(step.delay_s)
                if step.hang:
                    outer._ended.wait()
                if step.drop or step.hang or outer._ended.is_set():
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(step.status)
                for name, value in step.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(step.body)))
                self.end_headers()
                self.wfile.write(step.body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        return Handler


class _Quiet(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what these tests are about."""
