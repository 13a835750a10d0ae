"""Hard caps on requests and money: reserved before a request is sent, settled after its reply."""

from __future__ import annotations

import asyncio

from evalkit.errors import RequestFailed


class Budget:
    """Reserves a request's highest possible cost before it is sent, and settles afterwards.

    Spending plus reservations never exceed a cap.  Used from one event loop.
    """

    def __init__(self, max_requests: int | None, max_cost_usd: float | None) -> None:
        self.spent_requests = 0
        """Requests that were answered, or may have been."""
        self.spent_usd = 0.0
        self._max_requests = max_requests
        self._max_cost_usd = max_cost_usd
        self._reserved_requests = 0
        self._reserved_usd = 0.0
        self._changed = asyncio.Event()

    def restart(self) -> None:
        """Forget reservations; call when a new event loop takes over."""
        self._reserved_requests = 0
        self._reserved_usd = 0.0
        self._changed = asyncio.Event()

    async def reserve(self, worst_usd: float) -> None:
        """Wait until the request fits under the caps.

        Raises:
            RequestFailed: It does not fit, given what is already spent.
        """
        while True:
            self._refuse_if_spent(worst_usd)
            fits_count = (
                self._max_requests is None
                or self.spent_requests + self._reserved_requests < self._max_requests
            )
            fits_cost = (
                self._max_cost_usd is None
                or self.spent_usd + self._reserved_usd + worst_usd <= self._max_cost_usd
            )
            if fits_count and fits_cost:
                break
            await self._changed.wait()
        self._reserved_requests += 1
        self._reserved_usd += worst_usd

    def settle(self, worst_usd: float, cost_usd: float | None) -> None:
        """Replace a reservation by its true cost; None: the server did not do the work."""
        self._reserved_requests -= 1
        # A sum of floats need not come back to zero; with nothing in flight it is zero.
        self._reserved_usd = self._reserved_usd - worst_usd if self._reserved_requests else 0.0
        if cost_usd is not None:
            self.spent_requests += 1
            self.spent_usd += cost_usd
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _refuse_if_spent(self, worst_usd: float) -> None:
        if self._max_requests is not None and self.spent_requests >= self._max_requests:
            raise RequestFailed(
                "engine_error",
                f"max_requests {self._max_requests} is reached; raise max_requests in the suite "
                f"and run again: answered requests are kept",
            )
        if self._max_cost_usd is not None and self.spent_usd + worst_usd > self._max_cost_usd:
            raise RequestFailed(
                "engine_error",
                f"max_cost_usd {self._max_cost_usd} could be passed: {self.spent_usd:.4f} USD are "
                f"spent and this request may cost {worst_usd:.4f}; raise max_cost_usd in the "
                f"suite and run again: answered requests are kept",
            )
