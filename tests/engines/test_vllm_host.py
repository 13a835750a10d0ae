"""Who has a loaded vLLM, and for how long; the loaded engine is a stand-in."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from evalkit.engines._vllm import lora_arguments
from evalkit.engines._vllm_host import Host, shared_host
from evalkit.errors import EngineError


@dataclass(eq=False)
class Engine:
    pending: int = 0
    lora_rank: int = 0
    wrong: bool = False
    verified: list[object] = field(default_factory=list)

    def verify(self, engine: object) -> None:
        self.verified.append(engine)
        if self.wrong:
            raise EngineError("differs from its merged weights")


@dataclass
class Device:
    loaded: list[int] = field(default_factory=list)
    released: int = 0

    def load(self, rank: int) -> object:
        self.loaded.append(rank)
        return object()

    def release(self, engine: object) -> None:
        self.released += 1


def test_weights_stay_while_another_tenant_has_work() -> None:
    device = Device()
    host = Host(device.load, device.release)
    base, adapter = Engine(pending=3), Engine(pending=2, lora_rank=8)
    host.register(base)
    host.register(adapter)
    first = host.acquire(adapter)
    adapter.pending = 0
    host.give_up(adapter, idle=True)
    assert host.acquire(base) is first
    base.pending = 0
    host.give_up(base, idle=True)
    assert device.loaded == [8]
    assert device.released == 1
    assert host.loads == 1


def test_work_that_comes_later_loads_again() -> None:
    device = Device()
    host = Host(device.load, device.release)
    one = Engine(pending=1)
    host.register(one)
    for _ in range(2):
        host.acquire(one)
        host.give_up(one, idle=True)
        host.give_up(one, idle=True)
    assert device.loaded == [0, 0]
    assert device.released == 2


def test_two_at_once_are_refused() -> None:
    device = Device()
    host = Host(device.load, device.release)
    one, other = Engine(), Engine()
    host.acquire(one)
    with pytest.raises(EngineError, match="mixes them"):
        host.acquire(other)
    host.give_up(other, idle=True)
    assert device.released == 0
    assert host.acquire(one) is host.engine


def test_adapters_are_verified_once_a_load_before_anyone_is_asked() -> None:
    device = Device()
    host = Host(device.load, device.release)
    base, adapter, idle = Engine(1), Engine(1, lora_rank=8), Engine(0, lora_rank=64)
    for tenant in (base, adapter, idle):
        host.register(tenant)
    first = host.acquire(base)
    assert (base.verified, adapter.verified, idle.verified) == ([], [first], [])
    assert device.loaded == [8]
    host.give_up(base, idle=True)
    assert host.acquire(adapter) is first
    assert adapter.verified == [first]
    base.pending = adapter.pending = 0
    host.give_up(adapter, idle=True)
    assert host.engine is None
    assert not host.has_adapters
    second = host.acquire(adapter)
    assert adapter.verified == [first, second]


def test_an_adapter_that_came_later_with_a_larger_rank_loads_again() -> None:
    device = Device()
    host = Host(device.load, device.release)
    base, adapter = Engine(1), Engine(1, lora_rank=16)
    host.register(base)
    first = host.acquire(base)
    assert not host.has_adapters
    host.register(adapter)
    host.give_up(base, idle=True)
    assert device.released == 0
    assert host.acquire(adapter) is not first
    assert (device.loaded, device.released) == ([0, 16], 1)


def test_nothing_stays_where_requests_are_left_in_the_engine() -> None:
    device = Device()
    host = Host(device.load, device.release)
    stopped, waiting = Engine(1), Engine(1)
    host.register(stopped)
    host.register(waiting)
    host.acquire(stopped)
    host.give_up(stopped, idle=False)
    assert device.released == 1
    host.acquire(waiting)
    assert device.loaded == [0, 0]


def test_a_failed_verification_leaves_nothing_loaded() -> None:
    device = Device()
    host = Host(device.load, device.release)
    base, adapter = Engine(1), Engine(1, lora_rank=8, wrong=True)
    host.register(base)
    host.register(adapter)
    for tenant in (adapter, base):
        with pytest.raises(EngineError, match="differs"):
            host.acquire(tenant)
        assert host.engine is None
    assert device.released == 2


def test_what_waits_makes_room_for_another_checkpoint() -> None:
    device = Device()
    one, other = (Host(device.load, device.release) for _ in range(2))
    first, later, elsewhere = Engine(1), Engine(1), Engine(1)
    for tenant in (first, later):
        one.register(tenant)
    one.acquire(first)
    one.give_up(first, idle=True)
    assert device.released == 0
    other.acquire(elsewhere)
    assert (one.engine, device.released) == (None, 1)
    one.acquire(later)
    assert other.engine is not None, "what is in use stays"


def test_a_forgotten_host_frees_what_it_holds() -> None:
    device = Device()
    host = Host(device.load, device.release)
    first, never = Engine(1), Engine(1)
    host.register(never)
    host.acquire(first)
    host.give_up(first, idle=True)
    assert device.released == 0
    del host
    gc.collect()
    assert device.released == 1


class Lifetimes(RuleBasedStateMachine):
    """Tenants of two checkpoints, in any order of work, turns and stops."""

    def __init__(self) -> None:
        super().__init__()
        self.live: list[object] = []
        self.hosts = [Host(self.load, self.live.remove) for _ in range(2)]
        self.tenants = [[Engine(), Engine(lora_rank=8), Engine(lora_rank=64)] for _ in self.hosts]
        for host, tenants in zip(self.hosts, self.tenants, strict=True):
            for tenant in tenants:
                host.register(tenant)
        self.turn: tuple[Host, Engine] | None = None

    def load(self, rank: int) -> object:
        assert not self.live, "vLLM allows one engine in a process"
        self.live.append((rank, object()))
        return self.live[-1]

    @rule(host=st.integers(0, 1), tenant=st.integers(0, 2), jobs=st.integers(0, 2))
    def submit(self, host: int, tenant: int, jobs: int) -> None:
        self.tenants[host][tenant].pending += jobs

    @precondition(lambda self: self.turn is None)
    @rule(host=st.integers(0, 1), tenant=st.integers(0, 2))
    def open(self, host: int, tenant: int) -> None:
        found = self.tenants[host][tenant]
        engine = self.hosts[host].acquire(found)
        self.turn = (self.hosts[host], found)
        assert self.live == [engine]
        assert engine[0] >= found.lora_rank
        assert not found.lora_rank or found.verified[-1] is engine

    @precondition(lambda self: self.turn is not None)
    @rule(idle=st.booleans())
    def close(self, idle: bool) -> None:
        assert self.turn is not None
        (host, tenant), self.turn = self.turn, None
        tenant.pending = 0
        host.give_up(tenant, idle=idle)
        waiting = any(t.pending for t in self.tenants[self.hosts.index(host)])
        assert (host.engine is not None) == (idle and waiting)

    @invariant()
    def nothing_else_is_loaded(self) -> None:
        held = [host.engine for host in self.hosts if host.engine is not None]
        assert held == self.live

    def teardown(self) -> None:
        for host in self.hosts:
            if self.turn is not None:
                host.give_up(self.turn[1], idle=False)
            host.release()
        assert not self.live


TestLifetimes = Lifetimes.TestCase
TestLifetimes.settings = settings(max_examples=50, stateful_step_count=20, deadline=None)


def test_equal_arguments_share_a_host_while_someone_holds_it() -> None:
    device = Device()
    first = shared_host({"model": "a", "block_size": 32}, device.load, device.release)
    assert shared_host({"block_size": 32, "model": "a"}, device.load, device.release) is first
    assert shared_host({"model": "b", "block_size": 32}, device.load, device.release) is not first


@pytest.mark.parametrize(("rank", "allowed"), [(1, 8), (8, 8), (9, 16), (64, 64), (500, 512)])
def test_ranks_are_rounded_up_to_what_there_is(rank: int, allowed: int) -> None:
    assert lora_arguments(rank)["max_lora_rank"] == allowed
    assert lora_arguments(0) == {}
