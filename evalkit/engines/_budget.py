"""Hard caps on requests and money: reserved before a request is sent, settled after its reply.

The account is kept in a ledger on disk as well (`core.protocols.Ledger`), so that caps hold over
processes that are killed: a reservation that nobody settled counts as spent, once.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count

from evalkit.core.protocols import Ledger
from evalkit.errors import RequestFailed

_ROUNDING = 1e-9
"""USD: a bill that exceeds its reservation by no more is a rounding difference."""


class Budget:
    """Reserves a request's highest possible cost before it is sent, and settles afterwards.

    Spending plus reservations never exceed a cap, unless a server bills more than the highest
    possible cost: then nothing more is sent.  Used from one event loop.
    """

    def __init__(self, max_requests: int | None, max_cost_usd: float | None) -> None:
        self.spent_requests = 0
        """Requests that were sent, retries among them."""
        self.spent_usd = 0.0
        self.reached: str | None = None
        """The cap that refused a request, `max_requests` or `max_cost_usd`."""
        self._max_requests = max_requests
        self._max_cost_usd = max_cost_usd
        self.ledger: Ledger | None = None
        """Where the account is kept; None: in memory only."""
        self._numbers = count()
        self._open: dict[int, float] = {}
        """Reserved USD by reservation."""
        self._batched: set[int] = set()
        """Those of requests in batches."""
        self.reserved_usd = 0.0
        """Of requests in flight, at most."""
        self._overbilled: str | None = None
        self._draining = False
        self._changed = asyncio.Event()

    def use(self, ledger: Ledger) -> None:
        """Keep the account in `ledger`, and go on from what it says is spent."""
        self.ledger = ledger
        self.spent_requests, self.spent_usd = ledger.spent_requests, ledger.spent_usd

    def restart(self) -> None:
        """Count what is still reserved as spent; call when a new event loop takes over."""
        self.spent_requests += len(self._open)
        self.spent_usd += sum(self._open.values())
        self._open.clear()
        self._batched.clear()
        self.reserved_usd = 0.0
        self._draining = False
        self._changed = asyncio.Event()

    @property
    def reserved_requests(self) -> int:
        """Requests in flight."""
        return len(self._open)

    async def drain(self, seconds: float) -> None:
        """Let nothing more be sent, and wait for what is in flight, since it is paid for."""
        self._draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._open.keys() - self._batched:
                    await self._changed.wait()

    async def reserve(self, worst_usd: float) -> int:
        """Wait until the request fits under the caps; returns the reservation's number.

        Raises:
            RequestFailed: It does not fit, given what is already spent.
            StoreError: The ledger cannot be written.
        """
        while self._draining or not self.fits(worst_usd):
            await self._changed.wait()
        return self.take(worst_usd)

    def fits(self, worst_usd: float) -> bool:
        """Whether the request fits now, while others are in flight.

        Raises RequestFailed where it does not even fit into what is not spent.
        """
        self._refuse_if_spent(worst_usd)
        requests = self.spent_requests + len(self._open)
        usd = self.spent_usd + self.reserved_usd + worst_usd
        return (self._max_requests is None or requests < self._max_requests) and (
            self._max_cost_usd is None or usd <= self._max_cost_usd
        )

    def take(self, worst_usd: float, name: str = "") -> int:
        """Reserve without waiting, durably; `name`: to find the reservation by, in the ledger."""
        if self.ledger is None:
            number = next(self._numbers)
        else:
            number = self.ledger.reserve(worst_usd, name)
        self._hold(number, worst_usd, batched=name != "")
        return number

    def take_over(self, number: int, worst_usd: float) -> None:
        """Hold a reservation of an earlier process again, which counted as spent until now."""
        self.spent_requests -= 1
        self.spent_usd = max(0.0, self.spent_usd - worst_usd)
        self._hold(number, worst_usd, batched=True)

    def _hold(self, number: int, worst_usd: float, *, batched: bool) -> None:
        self._open[number] = worst_usd
        self.reserved_usd += worst_usd
        if batched:
            self._batched.add(number)

    def created(self, batch: str, identity: str) -> None:
        """Note the server's id of a batch.  Raises StoreError."""
        if self.ledger is not None:
            self.ledger.created(batch, identity)

    @property
    def is_exceeded(self) -> bool:
        """Whether what is in flight may pass a cap: it was lowered, or the server bills more."""
        usd, most = self.spent_usd + self.reserved_usd, self._max_cost_usd
        return self._overbilled is not None or (most is not None and usd > most + _ROUNDING)

    def settle(self, number: int, cost_usd: float | None) -> None:
        """Replace a reservation by its true cost; None: the request was never sent.

        Raises StoreError where the ledger cannot be written.
        """
        if self.ledger is not None:
            self.ledger.settle(number, cost_usd)
        worst = self._open.pop(number)
        self._batched.discard(number)
        # A sum of floats need not come back to zero; with nothing in flight it is zero.
        self.reserved_usd = self.reserved_usd - worst if self._open else 0.0
        if cost_usd is not None:
            self.spent_requests += 1
            self.spent_usd += cost_usd
            if self._max_cost_usd is not None and cost_usd > worst + _ROUNDING:
                self._overbilled = (
                    f"the server billed {cost_usd:.4f} USD for a request that could cost "
                    f"{worst:.4f} at most, so max_cost_usd {self._max_cost_usd} cannot be kept and "
                    f"nothing more is sent; check the prices in the suite and the server's token "
                    f"counts, and run again: answered requests are kept"
                )
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _refuse_if_spent(self, worst_usd: float) -> None:
        if self._overbilled is not None:
            raise RequestFailed("engine_error", self._overbilled)
        if self._max_requests is not None and self.spent_requests >= self._max_requests:
            self.reached = "max_requests"
            raise RequestFailed(
                "engine_error",
                f"max_requests {self._max_requests} is reached; raise max_requests in the suite "
                f"and run again: answered requests are kept",
            )
        if self._max_cost_usd is not None and self.spent_usd + worst_usd > self._max_cost_usd:
            self.reached = "max_cost_usd"
            raise RequestFailed(
                "engine_error",
                f"max_cost_usd {self._max_cost_usd} could be passed: {self.spent_usd:.4f} USD are "
                f"spent and this request may cost {worst_usd:.4f}; raise max_cost_usd in the "
                f"suite and run again: answered requests are kept",
            )
