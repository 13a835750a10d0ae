"""Engines that wrap another: one never sends it the same request twice, one sends it nothing.

Resume is a replay through it: what was answered before an interruption is answered again from
the cache, and the wrapped engine is opened only for what is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from typing import ClassVar

from evalkit.core import Completion, Job, Json, Rendered, Reply, Request
from evalkit.core.protocols import Background, Claiming, CompletionCache, Engine
from evalkit.engines._order import answer_lengths, expecting, length_names
from evalkit.errors import EngineError, RequestFailed, StoreError

_log = logging.getLogger(__name__)


class CachedEngine:
    """Answers from `cache` where it can, else from `inner`, whose answers it stores.

    An answer is stored before `poll` returns it; failures are never stored.  Identical
    requests in flight are sent to `inner` once; the first of them counts as sent, the others
    as served from the cache.  Hits need no `open`.  Requests to `inner` carry the lengths of their
    answers in earlier runs, of any model (`_order`).
    """

    needs_weights: ClassVar[bool] = False

    def __init__(self, inner: Engine, cache: CompletionCache) -> None:
        # Per object, though the contract declares it for classes: it is the inner engine's.
        self.__dict__["needs_weights"] = inner.needs_weights
        self.identity: Mapping[str, Json] = inner.identity
        self.exclusive = inner.exclusive
        self.inner = inner
        self._cache = cache
        self._hits: list[tuple[int, Reply]] = []
        self._sent: dict[int, tuple[str, Request]] = {}
        """Inner ticket to key and request."""
        self._waiting: dict[str, list[int]] = {}
        """Key to the tickets that wait for its answer."""
        self._n_waiting = 0
        """Tickets in `_waiting`: `pending` is read after every poll and must not count them."""
        self._inner_tickets = count()
        self._kept: set[int] = set()
        """Inner tickets whose answers are stored before `poll` saw them."""
        self._is_open = False
        self._said = False
        if isinstance(inner, Background):
            inner.on_reply = self._keep
            if isinstance(cache, Claiming):
                inner.before_sending = partial(self._claim, cache)

    @property
    def pending(self) -> int:
        """Tickets without a reply yet, hits among them."""
        return len(self._hits) + self._n_waiting

    def keys(self, requests: Sequence[Request]) -> list[str]:
        """Those of the wrapped engine."""
        return self.inner.keys(requests)

    def prompt_tokens(self, requests: Sequence[Request]) -> list[int | None]:
        """Those of the wrapped engine."""
        return self.inner.prompt_tokens(requests)

    def render(self, request: Request) -> Rendered | None:
        """As the wrapped engine does."""
        return self.inner.render(request)

    def open(self) -> None:
        """Open the wrapped engine, and raise what it raises."""
        self.inner.open()
        self._is_open = True

    def submit(self, jobs: Sequence[Job]) -> None:
        """Look jobs up, and submit those that are not stored to the wrapped engine.

        Raises StoreError.
        """
        keys = self.inner.keys([request for _, request in jobs])
        stored = self._cache.get_many(sorted(set(keys) - self._waiting.keys()))
        misses: list[Job] = []
        for (ticket, request), key in zip(jobs, keys, strict=True):
            if key in stored:
                self._hits.append((ticket, replace(stored[key], from_cache=True)))
                continue
            self._n_waiting += 1
            if key in self._waiting:
                self._waiting[key].append(ticket)
            else:
                self._waiting[key] = [ticket]
                inner_ticket = next(self._inner_tickets)
                self._sent[inner_ticket] = (key, request)
                misses.append((inner_ticket, request))
        if misses:
            self.inner.submit(self._expecting(misses))

    def poll(self, timeout: float) -> Sequence[tuple[int, Reply]]:
        """Hits at once; else what the wrapped engine has finished, stored before it is returned.

        Raises StoreError, and EngineError where the wrapped engine is lost or breaks its contract.
        """
        if self._hits:
            hits, self._hits = self._hits, []
            return hits
        if not self._is_open:
            return []
        return self._take(self.inner.poll(timeout))

    def close(self) -> None:
        """Close the wrapped engine; what it still answers meanwhile is stored."""
        try:
            self.inner.close()
        finally:
            self._release([key for key, _ in self._sent.values()])
            self._is_open = False
            self._hits.clear()
            self._sent.clear()
            self._kept.clear()
            self._waiting.clear()
            self._n_waiting = 0

    def _keep(self, ticket: int, reply: Reply) -> None:
        """Store an answer as it comes, in the engine's thread: `poll` may be minutes away."""
        key, request = self._sent.get(ticket, ("", None))
        if not isinstance(reply, Completion):
            self._release([key])
        elif request is not None:
            with suppress(StoreError):  # then `poll` tries again, and raises it
                self._cache.put_many({key: reply}, answer_lengths(request, reply))
                self._kept.add(ticket)

    def _claim(self, cache: Claiming, ticket: int) -> Completion | bool:
        """Whether to send a request, in the engine's thread: another process may be about to."""
        key, _ = self._sent.get(ticket, ("", None))
        try:
            turn = cache.claim(key)
        except StoreError:  # storing the answer will say so
            return True
        if isinstance(turn, Completion):
            return replace(turn, from_cache=True)
        if not turn and not self._said:
            self._said = True
            _log.info("waiting for requests that another process is sending, not to pay twice")
        return turn

    def _release(self, keys: Sequence[str]) -> None:
        if isinstance(self.inner, Background) and isinstance(self._cache, Claiming):
            with suppress(StoreError):
                self._cache.release(keys)

    def _expecting(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs with the lengths of earlier answers to the same requests."""
        requests = [request for _, request in jobs]
        names = {name for r in requests if r.kind == "generate" for name in length_names(r)}
        if names:
            requests = expecting(requests, self._cache.lengths(sorted(names)))
        return [(ticket, r) for (ticket, _), r in zip(jobs, requests, strict=True)]

    def _take(self, replies: Sequence[tuple[int, Reply]]) -> list[tuple[int, Reply]]:
        """Store the inner engine's answers, then return them for every ticket that waits."""
        by_key: dict[str, Reply] = {}
        fresh: dict[str, Completion] = {}
        lengths: dict[str, int] = {}
        for inner_ticket, reply in replies:
            key, request = self._sent.pop(inner_ticket, ("", None))
            if request is None:
                raise EngineError(
                    f"engine {self.identity.get('type')!r} returned ticket {inner_ticket} twice "
                    f"or was never given it; this is a bug in that engine"
                )
            by_key[key] = reply
            stored = inner_ticket in self._kept
            # From the cache is what another process has stored meanwhile.
            if isinstance(reply, Completion) and not (stored or reply.from_cache):
                fresh[key] = reply
                lengths |= answer_lengths(request, reply)
            self._kept.discard(inner_ticket)
        if fresh:
            self._cache.put_many(fresh, lengths)
        out: list[tuple[int, Reply]] = []
        for key, reply in by_key.items():
            first, *others = self._waiting.pop(key)
            self._n_waiting -= 1 + len(others)
            again = replace(reply, from_cache=True) if isinstance(reply, Completion) else reply
            out += [(first, reply), *((ticket, again) for ticket in others)]
        return out


class Withheld:
    """Stands for `inner`, which is sent nothing: every request fails with `reason`."""

    needs_weights: ClassVar[bool] = False
    exclusive = False

    def __init__(self, inner: Engine, reason: str) -> None:
        self.identity: Mapping[str, Json] = inner.identity
        self._inner = inner
        self._reason = reason
        self._failed: list[tuple[int, Reply]] = []

    @property
    def pending(self) -> int:
        """Requests whose failure was not returned yet."""
        return len(self._failed)

    def keys(self, requests: Sequence[Request]) -> list[str]:
        """Those of the wrapped engine: stored answers are found."""
        return self._inner.keys(requests)

    def prompt_tokens(self, requests: Sequence[Request]) -> list[int | None]:
        """Those of the wrapped engine."""
        return self._inner.prompt_tokens(requests)

    def render(self, request: Request) -> Rendered | None:
        """As the wrapped engine does."""
        return self._inner.render(request)

    def open(self) -> None:
        """Nothing to load."""

    def close(self) -> None:
        """Nothing to release."""
        self._failed.clear()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Fail them."""
        self._failed += [(t, RequestFailed("engine_error", self._reason)) for t, _ in jobs]

    def poll(self, timeout: float) -> Sequence[tuple[int, Reply]]:
        """The failures."""
        failed, self._failed = self._failed, []
        return failed
