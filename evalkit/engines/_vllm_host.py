"""One loaded vLLM, and who uses it: a base and the adapters served beside it take turns.

A host is of one checkpoint and one set of arguments.  Engines that serve adapters unmerged share
the host of their base, so that its weights are loaded once; whoever is open has it alone, because
a batch that mixes the base with an adapter may give the base wrong answers (it does on CPU).
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from weakref import WeakSet, WeakValueDictionary

from evalkit.core import Json
from evalkit.errors import EngineError

__all__ = ["Host", "Tenant", "shared_host"]


class Tenant(Protocol):
    """An engine that is served by a host."""

    @property
    def pending(self) -> int:
        """Jobs it still owes."""
        ...

    @property
    def lora_rank(self) -> int:
        """Of its adapter; 0: it has none."""
        ...

    def verify(self, engine: Any) -> None:
        """Ask the loaded engine whether it serves the adapter rightly.  Raises EngineError."""
        ...


class Host:
    """Loads when the first tenant opens, releases when nobody has work left."""

    def __init__(self, load: Callable[[int], Any], release: Callable[[Any], None]) -> None:
        """`load` takes the largest rank of an adapter (0: no adapters), `release` its result.

        `release` must not refer to the host.
        """
        self._load = load
        self._release = release
        self._tenants: WeakSet[Tenant] = WeakSet()
        self._verified: WeakSet[Tenant] = WeakSet()
        self._user: Tenant | None = None
        self._loaded: list[Any] = []
        self._rank = 0
        self.loads = 0
        """How often weights were loaded."""
        # A run that was stopped between two tenants leaves the weights to a third that never
        # comes: they go when the last of them is forgotten.
        weakref.finalize(self, _empty, self._loaded, release).atexit = False

    @property
    def engine(self) -> Any:
        """What is loaded; None: nothing."""
        return self._loaded[0] if self._loaded else None

    @property
    def has_adapters(self) -> bool:
        """It was loaded with room for adapters.

        A prompt's own rows cannot be asked for then, of the base neither (vLLM's CPU engine ends
        with an error).
        """
        return self._rank > 0

    def register(self, tenant: Tenant) -> None:
        """Announce a tenant before anything is loaded, so that its rank is provided for."""
        self._tenants.add(tenant)

    def acquire(self, tenant: Tenant) -> Any:
        """The loaded engine, for `tenant` alone; every adapter with work has been verified.

        Raises EngineError where another tenant has it, and what `load` and `verify` raise.
        """
        if self._user not in (None, tenant):
            raise EngineError(
                "two models of one base were opened at the same time; a batch that mixes them "
                "may be wrong: this is a bug in evalkit"
            )
        self.register(tenant)
        if self._rank < tenant.lora_rank:
            self.release()
        if not self._loaded:
            self._load_for(tenant)
        self._user = tenant
        try:
            self._verify(tenant)
        except BaseException:
            self.give_up(tenant, idle=False)
            raise
        return self.engine

    def give_up(self, tenant: Tenant, *, idle: bool) -> None:
        """End of a turn; the weights stay while another tenant has work.  Idempotent.

        `idle`: no request of `tenant` is left in the engine.  One that is (a stopped run, a step
        that failed) would be computed with the next tenant's, so then nothing stays.
        """
        if self._user is not tenant:
            return
        self._user = None
        if not (idle and any(t.pending for t in self._tenants if t is not tenant)):
            self.release()

    def release(self) -> None:
        """Free what is loaded, unless a tenant has it."""
        if self._user is None:
            self._verified.clear()
            self._rank = 0
            _empty(self._loaded, self._release)

    def _load_for(self, tenant: Tenant) -> None:
        # In process there is room for one vLLM: what waits for a later tenant goes first.
        for host in list(_HOSTS):
            host.release()
        wanted = [t.lora_rank for t in self._tenants if t is tenant or t.pending]
        rank = max(wanted)
        self._loaded.append(self._load(rank))
        self._rank = rank
        self.loads += 1
        _HOSTS.add(self)

    def _verify(self, tenant: Tenant) -> None:
        """The base's answers rest on it as well, so it is done before anyone's first request."""
        for other in list(self._tenants - self._verified):
            if 0 < other.lora_rank <= self._rank and (other is tenant or other.pending):
                other.verify(self.engine)
                self._verified.add(other)


_HOSTS: WeakSet[Host] = WeakSet()
"""Those that have loaded something."""
_SHARED: WeakValueDictionary[str, Host] = WeakValueDictionary()
"""vLLM itself allows one engine per process; hosts are found here while an engine holds them."""


def shared_host(
    arguments: Mapping[str, Json], load: Callable[[int], Any], release: Callable[[Any], None]
) -> Host:
    """The host of these arguments, the same one for every engine that names them."""
    key = json.dumps(arguments, sort_keys=True, default=str)
    host = _SHARED.get(key)
    if host is None:
        host = _SHARED[key] = Host(load, release)
    return host


def _empty(loaded: list[Any], release: Callable[[Any], None]) -> None:
    while loaded:
        release(loaded.pop())
