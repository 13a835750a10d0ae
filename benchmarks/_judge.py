"""A judge behind OpenAI's API on this machine, which says the same after the same time."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["serve"]

RANKING = "[{'model': 'model_1', 'rank': 2}, {'model': 'model_2', 'rank': 1}]"
"""As alpaca_eval's judge answers: the second output is better."""
RATING = "It is fine. Rating: [[7]]"
"""As FastChat's judge answers."""


@contextmanager
def serve(delay_s: float) -> Iterator[str]:
    """Until the end there is a judge that takes `delay_s` for each question; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(delay_s)
            body = json.dumps(_reply(str(sent["messages"][-1]["content"]))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _reply(sent: str) -> dict[str, Any]:
    text = RANKING if "rank the models" in sent else RATING
    return {
        "id": "judgment",
        "object": "chat.completion",
        "created": 0,
        "model": "gpt-4-0613",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }
