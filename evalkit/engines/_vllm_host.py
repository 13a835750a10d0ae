"""One loaded vLLM, and who uses it: a base and the adapters served beside it take turns.

A host is of one checkpoint and one set of arguments.  Engines that serve adapters unmerged share
the host of their base, so that its weights are loaded once; whoever is open has it alone, because
a batch that mixes the base with an adapter may give the base wrong answers (it does on CPU).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from weakref import WeakSet, WeakValueDictionary

from evalkit.errors import EngineError
from evalkit.types import Json

__all__ = ["Host", "Tenant", "shared_host"]


class Tenant(Protocol):
    """An engine that is served by a host."""

    @property
    def pending(self) -> int: ...

    @property
    def lora_rank(self) -> int:
        """Of its adapter; 0: it has none."""
        ...


class Host:
    """Loads when the first tenant opens, releases when nobody has work left."""

    def __init__(self, load: Callable[[int], Any], release: Callable[[Any], None]) -> None:
        """`load` takes the largest rank of an adapter (0: no adapters), `release` its result."""
        self._load = load
        self._release = release
        self._tenants: WeakSet[Tenant] = WeakSet()
        self._user: Tenant | None = None
        self.engine: Any = None
        self.has_adapters = False
        """It was loaded with room for adapters: a prompt's own rows cannot be asked for then, of
        the base neither (vLLM's CPU engine ends with an error)."""
        self.loads = 0
        """How often weights were loaded."""
        self.checked: dict[str, Mapping[str, Json]] = {}
        """By adapter: what was verified of it since the weights were loaded."""

    def register(self, tenant: Tenant) -> None:
        """Announce a tenant before anything is loaded, so that its rank is provided for."""
        self._tenants.add(tenant)

    def acquire(self, tenant: Tenant) -> Any:
        """The loaded engine, for `tenant` alone.

        Raises EngineError where another tenant has it, and what `load` raises.
        """
        if self._user not in (None, tenant):
            raise EngineError(
                "two models of one base were opened at the same time; a batch that mixes them "
                "may be wrong: this is a bug in evalkit"
            )
        if self.engine is None:
            rank = max((t.lora_rank for t in self._tenants), default=0)
            self.engine = self._load(rank)
            self.has_adapters = rank > 0
            self.loads += 1
        self._user = tenant
        return self.engine

    def give_up(self, tenant: Tenant) -> None:
        """End of a turn; the weights stay while another tenant has work.  Idempotent."""
        if self._user is not tenant:
            return
        self._user = None
        if any(other is not tenant and other.pending for other in self._tenants):
            return
        engine, self.engine = self.engine, None
        self.checked.clear()
        if engine is not None:
            self._release(engine)


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
