"""The vllm engine's real queue over a stand-in for vLLM: no slot idle, nothing left for the end.

Lengths are those of published answers to AlpacaEval, MT-Bench and GSM8K (`benchmarks.schedule`),
a token being four characters.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.schedule import (
    LIMITS,
    Conversation,
    bound,
    conversations,
    decode_steps,
    four_characters,
)
from evalkit.core import Completion, Flow, Message, PreparedModel, Reply, Request
from evalkit.core.protocols import CompletionCache, Engine
from evalkit.engines._cached import CachedEngine
from evalkit.engines._drive import drive
from evalkit.engines.fake import FakeEngine, FakeSpec
from evalkit.engines.vllm import VllmEngine, VllmSpec
from evalkit.store import CompletionStore
from tests.support.vllm_standin import StandIn, installed

from .conftest import MakeModel

MakeEngine = Callable[..., VllmEngine]
JUDGE = PreparedModel(
    name="judge",
    role="judge",
    path=None,
    fingerprint="judge",
    chat_template=None,
    template_source="none",
)


def requests(number: int, sample: Conversation) -> list[Request]:
    """One for each turn, as the benchmark would ask them."""
    said: list[Message] = []
    found = []
    most = LIMITS[sample.benchmark]
    for turn in range(len(sample.turns)):
        said.append(Message("user", f"{number} {turn}"))
        rest = most * (len(sample.turns) - turn)
        hint = rest if sample.benchmark == "mt_bench" else None
        found.append(Request("m", "generate", tuple(said), max_tokens=most, expected_tokens=hint))
        said.append(Message("assistant", "fine"))
    return found


def asking(turns: Sequence[Request], judge: str | None) -> Flow[None]:
    for request in turns:
        yield [request]
    if judge is not None:
        yield [Request(judge, "generate", str(turns[-1].prompt))]


@pytest.fixture(scope="module")
def engine_of(tiny_model: MakeModel) -> Iterator[MakeEngine]:
    """`engine_of(slots, model=0)`; another number is another model.  Closed after each use."""

    @functools.cache
    def make(slots: int, model: int = 0) -> VllmEngine:
        prepared = replace(tiny_model(), fingerprint=f"tiny-{model}")
        return VllmEngine(VllmSpec(max_num_seqs=slots), prepared)

    tiny_model()
    # Closing an engine collects garbage, which takes long with torch and transformers loaded.
    gc.freeze()
    yield make
    gc.unfreeze()


class Served:
    """Conversations put through the real engine, and what the stand-in saw of them."""

    def __init__(self, engine: VllmEngine, cache: CompletionCache | None = None) -> None:
        self.engine = engine
        self.asked: Engine = CachedEngine(engine, cache) if cache else engine
        self.prompts: list[list[tuple[int, ...]]] = []
        self.vllm: StandIn
        self.replies: list[tuple[str, int]] = []
        """(engine, vLLM's steps by then) of each reply."""

    def run(
        self, samples: Sequence[Conversation], extra: Mapping[str, Engine] | None = None
    ) -> int:
        """Decode steps until every flow has ended."""
        asked = [requests(n, sample) for n, sample in enumerate(samples)]
        self.prompts = [[self.engine.render(r).prompt_ids for r in turns] for turns in asked]
        lengths = {
            ids: n
            for prompts, sample in zip(self.prompts, samples, strict=True)
            for ids, n in zip(prompts, sample.turns, strict=True)
        }
        judge = next(iter(extra or {}), None)
        flows = {n: asking(turns, judge) for n, turns in enumerate(asked)}
        with installed(lambda ids: lengths[tuple(ids)]) as made:

            def observe(_key: int, request: Request, _reply: Reply) -> None:
                self.replies.append((request.engine, made[0].steps))

            assert len(list(drive(flows, {"m": self.asked, **(extra or {})}, observe))) == len(
                flows
            )
        (self.vllm,) = made
        return self.vllm.steps


MIX = st.lists(
    st.one_of(
        st.builds(Conversation, st.just("alpaca_eval"), st.tuples(st.integers(1, 60))),
        st.builds(Conversation, st.just("mt_bench"), st.tuples(*[st.integers(1, 40)] * 2)),
        st.builds(Conversation, st.just("gsm8k"), st.tuples(st.integers(1, 10))),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=40)
@given(MIX, st.integers(1, 6))
def test_no_slot_is_idle_and_second_turns_follow_at_once(
    engine_of: MakeEngine, samples: list[Conversation], slots: int
) -> None:
    served = Served(engine_of(slots))
    steps = served.run(samples)
    vllm = served.vllm
    assert sum(vllm.busy) == sum(n for sample in samples for n in sample.turns)
    # Graham's bound for list scheduling: nothing waits while a slot is free.
    longest = max(sum(sample.turns) for sample in samples)
    assert steps <= sum(vllm.busy) / slots + longest
    for first, second in (prompts for prompts in served.prompts if len(prompts) == 2):
        assert vllm.started[second] == vllm.ended[first] + 1


Mixes = Callable[[str, str], list[Conversation]]


@pytest.fixture(scope="module")
def mixes(public_data: Path) -> Mixes:
    return lambda alpaca, mt: conversations(public_data, alpaca, mt, four_characters)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[CompletionStore]:
    with CompletionStore(tmp_path / "cache.sqlite") as store:
        yield store


@pytest.mark.data
@pytest.mark.parametrize(("slots", "unknown"), [(64, 1.05), (256, 1.3)])
def test_the_whole_chat_suite_stays_near_the_bound(
    engine_of: MakeEngine, mixes: Mixes, cache: CompletionStore, slots: int, unknown: float
) -> None:
    """First a run that knows the limits only, then another model whose answers are as long."""
    samples = mixes("zephyr-7b-beta", "zephyr-7b-beta")
    assert len(samples) == 805 + 80 + 1319
    best = bound(samples, slots)
    first = Served(engine_of(slots), cache)
    assert best <= first.run(samples) <= unknown * best
    again = Served(engine_of(slots, model=1), cache)
    assert again.asked.keys(requests(0, samples[0])) != first.asked.keys(requests(0, samples[0]))
    assert best <= again.run(samples) <= 1.02 * best
    for served in (first, again):
        for turns in (p for p in served.prompts if len(p) == 2):
            assert served.vllm.started[turns[1]] == served.vllm.ended[turns[0]] + 1
        # Full until nothing waits any more: no benchmark waits for another.
        last = max(served.vllm.started.values())
        assert set(served.vllm.busy[: last - 1]) == {slots}


@pytest.mark.data
def test_judging_by_an_api_overlaps_generation(
    engine_of: MakeEngine, mixes: Mixes, cache: CompletionStore
) -> None:
    samples = [s for s in mixes("notus-7b-v1", "vicuna-13b-v1.3") if s.benchmark != "gsm8k"]
    served = Served(engine_of(64), cache)
    api = FakeEngine(FakeSpec(), JUDGE, lambda _: Completion("[[7]]"))
    steps = served.run(samples, {"api": api})
    judged = [at for engine, at in served.replies if engine == "api"]
    assert len(judged) == len(samples) == 885
    assert judged[0] < steps / 50
    # All but what was still being written in the last step was judged before it.
    assert sum(at < steps for at in judged) >= len(judged) - 2


@pytest.mark.data
@pytest.mark.parametrize("slots", [64, 256])
def test_what_the_benchmark_counts_is_what_the_queue_does(
    engine_of: MakeEngine, mixes: Mixes, slots: int
) -> None:
    """`decode_steps` is the simulation that `benchmarks/RESULTS.md` reports."""
    samples = mixes("notus-7b-v1", "vicuna-13b-v1.3")
    guesses: list[Any] = [[n + (len(s.turns) > 1) for n in s.limits] for s in samples]
    counted = decode_steps(samples, slots, guesses)
    assert abs(Served(engine_of(slots)).run(samples) / counted - 1) < 0.02
