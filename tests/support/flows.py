"""Runs one flow with a function in place of the engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from evalkit.core import Flow, Reply, Request
from evalkit.errors import RequestFailed

__all__ = ["play"]

T = TypeVar("T")


def play(flow: Flow[T], answer: Callable[[Request], Reply]) -> tuple[T, list[list[Request]]]:
    """What `flow` returns, and the requests of each of its yields."""
    waves: list[list[Request]] = []
    try:
        asked = next(flow)
        while True:
            waves.append(list(asked))
            replies = [answer(request) for request in asked]
            failed = next((r for r in replies if isinstance(r, RequestFailed)), None)
            if failed is not None:
                failed.replies = replies
                asked = flow.throw(failed)
            else:
                asked = flow.send([r for r in replies if not isinstance(r, RequestFailed)])
    except StopIteration as stop:
        return stop.value, waves
