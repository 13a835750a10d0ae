"""How fast one server is asked: requests in flight, pauses, the limits it states.

Requests in flight start at one and grow by one with each answer, up to `concurrency`.  A server
that is busy (429, 529, 503) or away halves them, and all wait for as long as it says.  Afterwards
they grow by one per round, as TCP's do after a loss (RFC 5681).

Limits a minute are read from the headers of every reply, as OpenAI
(https://platform.openai.com/docs/guides/rate-limits, `x-ratelimit-*`) and Anthropic
(https://docs.anthropic.com/en/api/rate-limits, `anthropic-ratelimit-*`) send them; a request that
does not fit waits until enough is refilled, which both do continuously.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

LONGEST_S = 60.0
"""No stated limit is waited for longer at a time: limits a day are found out by a 429."""
_HEADER = re.compile(
    r"x-ratelimit-(?P<field>limit|remaining|reset)-(?P<kind>requests|tokens)"
    r"|anthropic-ratelimit-(?P<kind2>requests|tokens|input-tokens|output-tokens)"
    r"-(?P<field2>limit|remaining|reset)"
)
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")


@dataclass
class _Limit:
    """What is left of one limit, and when all of it will be."""

    left: float
    missing: float
    """What the server had given out of it when it said so."""
    stated_at: float
    full_at: float

    def ready_at(self, need: float) -> float:
        """When `need` is there, refilled evenly until `full_at`."""
        if self.left >= need:
            return 0.0
        share = min(1.0, (need - self.left) / max(self.missing, 1.0))
        return self.stated_at + (self.full_at - self.stated_at) * share


class Pace:
    """Lets requests through.  Used from one event loop."""

    def __init__(self, most: int) -> None:
        """`most`: requests in flight at most."""
        self._most = most
        self._window = 1.0
        self._threshold = float(most)
        """Up to here it grows by one per answer, beyond by one per round."""
        self._in_flight = 0
        self._line: deque[object] = deque()
        self._tokens = 0
        self._held_until = 0.0
        self._shrunk_at = 0.0
        self._limits: dict[str, _Limit] = {}
        self._changed = asyncio.Event()

    async def enter(self, tokens: int) -> float:
        """Wait for a turn; `tokens`: what the request needs of a limit.  Returns when it came.

        First come, first served, so that a request which fails again and again stands behind all
        others each time.
        """
        turn = object()
        self._line.append(turn)
        try:
            while True:
                wait = self._ready_at(tokens) - time.monotonic()
                is_next = self._line[0] is turn and self._in_flight < int(self._window)
                if wait <= 0 and is_next:
                    break
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait if wait > 0 else None):
                        await self._changed.wait()
        finally:
            self._line.remove(turn)
            self._wake()
        self._in_flight += 1
        self._tokens += tokens
        for kind, limit in self._limits.items():
            limit.left -= 1 if kind == "requests" else tokens
        return time.monotonic()

    def leave(self, tokens: int) -> None:
        """A request has ended, however it did."""
        self._in_flight -= 1
        self._tokens -= tokens
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def answered(self) -> None:
        """The server has answered: one more may be in flight, or one per round."""
        self._window += 1.0 if self._window < self._threshold else 1.0 / self._window
        self._window = min(self._window, float(self._most))

    def slow_down(self, entered_at: float, *, to_one: bool = False) -> bool:
        """Halve what may be in flight; False where that was done since `entered_at` already."""
        if entered_at < self._shrunk_at:
            return False
        self._threshold = max(1.0, self._window / 2)
        self._window = 1.0 if to_one else self._threshold
        self._shrunk_at = time.monotonic()
        return True

    def hold(self, seconds: float) -> None:
        """Send nothing for so long."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)

    def release(self) -> None:
        """Let through whoever waits, and whoever comes."""
        self._held_until, self._window = 0.0, float(self._most)
        self._limits.clear()
        self._wake()

    def note(self, headers: Mapping[str, str]) -> None:
        """Take over the limits that a reply states."""
        stated: dict[str, dict[str, str]] = {}
        for name, value in headers.items():
            if found := _HEADER.fullmatch(name.lower()):
                kind = found["kind"] or found["kind2"]
                stated.setdefault(kind, {})[found["field"] or found["field2"]] = value
        now = time.monotonic()
        for kind, fields in stated.items():
            left, limit = _number(fields.get("remaining")), _number(fields.get("limit"))
            if left is None:
                continue
            others = self._in_flight - 1 if kind == "requests" else self._tokens
            reset = min(until(fields.get("reset", "")) or LONGEST_S, LONGEST_S)
            missing = (limit or left) - left
            self._limits[kind] = _Limit(left - others, missing, now, now + reset)

    def _ready_at(self, tokens: int) -> float:
        """`time.monotonic` at which nothing forbids such a request."""
        limits = [
            limit.ready_at(1 if kind == "requests" else tokens)
            for kind, limit in self._limits.items()
        ]
        return max((self._held_until, *limits))


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and re.fullmatch(r"\d{1,12}(\.\d+)?", text) else None


def until(text: str) -> float | None:
    """Seconds that a header names: `1.5`, `6m0s`, `20ms`, or a date of RFC 3339 or RFC 9110."""
    text = text.strip()
    try:
        if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
            return float(text)
        if text and (found := _DURATION.fullmatch(text)):
            days, hours, minutes, seconds, ms = (float(g or 0) for g in found.groups())
            return days * 86400 + hours * 3600 + minutes * 60 + seconds + ms / 1000
        is_iso = re.match(r"\d{4}-", text)
        date = datetime.fromisoformat(text) if is_iso else parsedate_to_datetime(text)
        return max(0.0, date.timestamp() - time.time())
    except (ValueError, OverflowError, OSError):
        return None


def retry_after(headers: Mapping[str, str], body: str) -> float | None:
    """Seconds the server asks to wait; None where it does not say.

    `retry-after-ms`, `Retry-After`, Google's `retryDelay` in the body, or OpenAI's `Please try
    again in 6m0s` there.
    """
    if (ms := until(headers.get("retry-after-ms", ""))) is not None:
        return ms / 1000
    if (wait := until(headers.get("retry-after", ""))) is not None:
        return wait
    said = re.search(r'"retryDelay":\s*"([^"]{1,20})"|try again in ([\dhms.]{1,20}[sm])', body)
    return until(said.group(1) or said.group(2)) if said else None
