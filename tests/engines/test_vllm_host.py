"""Who has a loaded vLLM, and for how long; the loaded engine is a stand-in."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from evalkit.engines._vllm import lora_arguments
from evalkit.engines._vllm_host import Host, shared_host
from evalkit.errors import EngineError


@dataclass(eq=False)
class Engine:
    pending: int = 0
    lora_rank: int = 0


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
    host.give_up(adapter)
    assert host.acquire(base) is first
    base.pending = 0
    host.give_up(base)
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
        host.give_up(one)
        host.give_up(one)
    assert device.loaded == [0, 0]
    assert device.released == 2


def test_two_at_once_are_refused() -> None:
    device = Device()
    host = Host(device.load, device.release)
    one, other = Engine(), Engine()
    host.acquire(one)
    with pytest.raises(EngineError, match="mixes them"):
        host.acquire(other)
    host.give_up(other)
    assert device.released == 0
    assert host.acquire(one) is host.engine


def test_what_was_checked_is_checked_again_after_a_load() -> None:
    device = Device()
    host = Host(device.load, device.release)
    one = Engine()
    host.acquire(one)
    host.checked["a"] = {"probes": 1}
    host.give_up(one)
    assert host.checked == {}


def test_equal_arguments_share_a_host_while_someone_holds_it() -> None:
    device = Device()
    first = shared_host({"model": "a", "block_size": 32}, device.load, device.release)
    assert shared_host({"block_size": 32, "model": "a"}, device.load, device.release) is first
    assert shared_host({"model": "b", "block_size": 32}, device.load, device.release) is not first


@pytest.mark.parametrize(("rank", "allowed"), [(1, 8), (8, 8), (9, 16), (64, 64), (500, 512)])
def test_ranks_are_rounded_up_to_what_there_is(rank: int, allowed: int) -> None:
    assert lora_arguments(rank)["max_lora_rank"] == allowed
    assert lora_arguments(0) == {}
