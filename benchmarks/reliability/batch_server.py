"""A server on this machine that has batches, as OpenAI's and Anthropic's APIs have, and bills.

    with BatchServer() as server:
        ...server.url...                  OpenAI's API
        ...server.anthropic_url...        Anthropic's

Every answered request is billed, live or in a batch, and remembered by its last message (`billed`).
A batch ends `batch_s` seconds after it was created; `fate` says what becomes of each request in it:
`ok`, `errored` or `expired`.  `lost_creates`: so many batches are created without a reply.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

__all__ = ["BatchServer"]

Fate: TypeAlias = Literal["ok", "errored", "expired"]
USAGE = (100, 10)
"""Tokens of prompt and reply that every request is billed."""


@dataclass
class _Batch:
    identity: str
    rows: dict[str, Any]
    """Parameters by custom id."""
    metadata: dict[str, str]
    created: float
    ends: float
    cancelled: bool = False
    fates: dict[str, Fate] = field(default_factory=dict)
    """Empty: not ended."""


class BatchServer:
    """Serves on 127.0.0.1 from `with` on."""

    def __init__(
        self,
        reply: Callable[[str], str] = lambda last: f"re:{last}",
        *,
        fate: Callable[[str], Fate] = lambda _: "ok",
        batch_s: float = 0.0,
        live_s: float = 0.0,
        lost_creates: int = 0,
        usage: tuple[int, int] = USAGE,
        has_batches: bool = True,
    ) -> None:
        self.live: Counter[str] = Counter()
        """Live requests that were answered, by last message."""
        self.batched: Counter[str] = Counter()
        """Those answered in batches."""
        self.batches: dict[str, _Batch] = {}
        self.calls: list[str] = []
        """Method and path of all that came."""
        self.at_once = 0
        """Requests that it is working on."""
        self.usage = usage
        self._has_batches = has_batches
        self._reply, self._fate = reply, fate
        self._batch_s, self._live_s, self.lost_creates = batch_s, live_s, lost_creates
        self._files: dict[str, bytes] = {}
        self._lock = threading.RLock()
        self._server = _Quiet(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    def usd(self, price_in: float, price_out: float) -> float:
        """What was billed, at these prices of a million tokens; in batches half of it."""
        one = (self.usage[0] * price_in + self.usage[1] * price_out) / 1e6
        return one * (self.live.total() + self.batched.total() / 2)

    @property
    def url(self) -> str:
        """Of OpenAI's API."""
        return f"{self.anthropic_url}/v1"

    @property
    def anthropic_url(self) -> str:
        """Of Anthropic's API."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    # What both APIs share.

    def _answer(self, parameters: Any, counted: Counter[str], *, anthropic: bool) -> Any:
        last = parameters["messages"][-1]["content"]
        if isinstance(last, list):
            last = "".join(part["text"] for part in last)
        counted[last] += 1
        if anthropic:
            return {
                "id": "m",
                "type": "message",
                "role": "assistant",
                "content": [{"type": "text", "text": self._reply(last)}],
                "stop_reason": "end_turn",
                "usage": {"input_tokens": self.usage[0], "output_tokens": self.usage[1]},
            }
        message = {"role": "assistant", "content": self._reply(last)}
        return {
            "id": "x",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": self.usage[0], "completion_tokens": self.usage[1]},
        }

    def _create(self, rows: dict[str, Any], metadata: dict[str, str]) -> _Batch | None:
        now = time.time()
        with self._lock:
            name = f"batch_{len(self.batches)}"
            batch = _Batch(name, rows, metadata, now, now + self._batch_s)
            self.batches[name] = batch
            if self.lost_creates:
                self.lost_creates -= 1
                return None
        return batch

    def _end(self, batch: _Batch) -> bool:
        """Whether the batch has ended; bills it when it has."""
        with self._lock:
            if not batch.fates and (batch.cancelled or time.time() >= batch.ends):
                for key, parameters in batch.rows.items():
                    last = parameters["messages"][-1]["content"]
                    last = last if isinstance(last, str) else last[0]["text"]
                    batch.fates[key] = "expired" if batch.cancelled else self._fate(last)
        return bool(batch.fates)

    def _results(self, batch: _Batch, *, anthropic: bool) -> bytes:
        lines = []
        for key, fate in batch.fates.items():
            if fate == "ok":
                body = self._answer(batch.rows[key], Counter(), anthropic=anthropic)
                found = (
                    {"result": {"type": "succeeded", "message": body}}
                    if anthropic
                    else {"response": {"status_code": 200, "body": body}, "error": None}
                )
            elif anthropic:
                found = {"result": {"type": fate}}
            else:
                found = {"response": {"status_code": 500, "body": {}}, "error": None}
            lines.append(json.dumps({"custom_id": key, **found}))
        # OpenAI keeps no order.
        return "\n".join(reversed(lines)).encode() + b"\n"

    def _bill(self, batch: _Batch) -> None:
        with self._lock:
            if batch.fates and "billed" not in batch.metadata:
                batch.metadata["billed"] = "yes"
                for key, fate in batch.fates.items():
                    if fate == "ok":
                        self._answer(batch.rows[key], self.batched, anthropic=False)

    def _as_openai(self, batch: _Batch) -> Any:
        done = self._end(batch)
        self._bill(batch)
        return {
            "id": batch.identity,
            "object": "batch",
            "status": ("cancelled" if batch.cancelled else "completed") if done else "in_progress",
            "created_at": int(batch.created),
            "metadata": batch.metadata,
            "output_file_id": f"out-{batch.identity}" if done else None,
        }

    def _as_anthropic(self, batch: _Batch) -> Any:
        done = self._end(batch)
        self._bill(batch)
        return {
            "id": batch.identity,
            "type": "message_batch",
            "processing_status": "ended" if done else "in_progress",
            "created_at": datetime.fromtimestamp(batch.created, UTC).isoformat(),
            "request_counts": {"processing": len(batch.rows), "succeeded": 0, "errored": 0}
            | {"canceled": 0, "expired": 0},
        }

    def _play(self, method: str, path: str, body: bytes) -> bytes | None:
        """The reply's body; None: the connection is closed without one."""
        anthropic = path.startswith("/v1/messages")
        show = self._as_anthropic if anthropic else self._as_openai
        path = path.partition("?")[0].replace("/v1/messages/batches", "/v1/batches")
        if path in ("/v1/chat/completions", "/v1/messages"):
            time.sleep(self._live_s)
            with self._lock:
                found = self._answer(json.loads(body), self.live, anthropic=anthropic)
            return json.dumps(found).encode()
        if path == "/v1/files":
            name = f"file-{len(self._files)}"
            part = re.search(rb'name="file"; [^\r]*\r\n(?:[^\r]+\r\n)*\r\n(.*?)\r\n--', body, re.S)
            assert part is not None
            self._files[name] = part[1]
            return json.dumps({"id": name, "object": "file"}).encode()
        if path == "/v1/batches" and method == "POST":
            asked = json.loads(body)
            if anthropic:
                rows = {row["custom_id"]: row["params"] for row in asked["requests"]}
            else:
                lines = self._files[asked["input_file_id"]].splitlines()
                rows = {row["custom_id"]: row["body"] for row in map(json.loads, lines)}
            batch = self._create(rows, dict(asked.get("metadata") or {}))
            return None if batch is None else json.dumps(show(batch)).encode()
        if path == "/v1/batches":
            listed = [show(batch) for batch in reversed(self.batches.values())]
            return json.dumps({"object": "list", "data": listed, "has_more": False}).encode()
        parts = path.split("/")
        if parts[2] == "files":
            return self._results(self.batches[parts[3].removeprefix("out-")], anthropic=False)
        batch = self.batches[parts[3]]
        if parts[-1] == "results":
            return self._results(batch, anthropic=True)
        if parts[-1] == "cancel":
            batch.cancelled = True
        return json.dumps(show(batch)).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.calls.append(f"{self.command} {self.path}")
                live = self.path in ("/v1/chat/completions", "/v1/messages")
                if not (live or outer._has_batches):
                    self.send_error(404)
                    return
                with outer._lock:
                    outer.at_once += 1
                try:
                    found = outer._play(self.command, self.path, body)
                finally:
                    with outer._lock:
                        outer.at_once -= 1
                if found is None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(found)))
                self.end_headers()
                self.wfile.write(found)

            do_GET = do_POST = _serve  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        return Handler


class _Quiet(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed."""
