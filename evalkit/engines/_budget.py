"""Hard caps on what an API may be asked and may cost; and list prices of dated models."""

from __future__ import annotations

import asyncio

from evalkit.errors import RequestFailed

__all__ = ["PRICES", "Budget"]

PRICES: dict[str, tuple[float, float]] = {
    "gpt-3.5-turbo-0125": (0.5, 1.5),
    "gpt-3.5-turbo-1106": (1.0, 2.0),
    "gpt-4-0125-preview": (10.0, 30.0),
    "gpt-4-0314": (30.0, 60.0),
    "gpt-4-0613": (30.0, 60.0),
    "gpt-4-1106-preview": (10.0, 30.0),
    "gpt-4-turbo-2024-04-09": (10.0, 30.0),
    "gpt-4.1-2025-04-14": (2.0, 8.0),
    "gpt-4.1-mini-2025-04-14": (0.4, 1.6),
    "gpt-4o-2024-05-13": (5.0, 15.0),
    "gpt-4o-2024-08-06": (2.5, 10.0),
    "gpt-4o-2024-11-20": (2.5, 10.0),
    "gpt-4o-mini-2024-07-18": (0.15, 0.6),
}
"""USD per million (input, output) tokens, OpenAI's list prices.  Dated names only: what an
undated name costs changes without notice."""


class Budget:
    """Reserves the most a question can cost before it is sent, and settles afterwards.

    What is spent plus what is in flight never passes a cap.  Used from one event loop.
    """

    def __init__(self, max_requests: int | None, max_cost_usd: float | None) -> None:
        self.spent_requests = 0
        """Questions sent and answered, or sent with an unknown fate."""
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
        """Wait until the question surely fits.

        Raises:
            RequestFailed: It does not fit beside what is already spent.
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
        """Turn a reservation into what it was; None: the server did not do the work."""
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
