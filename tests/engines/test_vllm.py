"""The vllm engine: what it mends before vLLM starts, its queue, and answers of the real SmolLM2.

The queue is tested over a stand-in for vLLM: no slot idle, nothing left for the end.  Lengths are
those of published answers to AlpacaEval, MT-Bench and GSM8K (`benchmarks.schedule`), a token being
four characters.  Tests that load the real model are marked and share one engine.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
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
from evalkit.engines.vllm import VllmEngine, VllmSpec, _mend_llvmlite, _prepare_environment
from evalkit.errors import EngineError, RequestFailed
from evalkit.store.completions import CompletionStore
from tests.support.vllm_standin import StandIn, installed

from .conftest import MakeModel, answers, ask, completions, score


class Handle:
    """As llvmlite's: any name that is asked for is a function of the library."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("__class__", "__getattr__"):
            return object.__getattribute__(self, name)
        return type(self).__getattr__(self, name)

    def __getattr__(self, name: str) -> Any:
        return f"function {name}"


def test_a_handle_that_answers_every_name_keeps_its_functions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("llvmlite.binding.ffi")
    module._lib_wrapper = Handle  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "llvmlite.binding.ffi", module)
    assert hasattr(Handle(), "__dict__")
    for _ in range(2):
        _mend_llvmlite()
    assert not hasattr(Handle(), "__dict__")
    assert Handle().LLVMPY_Version == "function LLVMPY_Version"


@pytest.mark.parametrize(("cuda", "apart"), [(True, "1"), (False, "0")])
def test_a_device_is_used_by_a_child_that_is_no_fork(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, apart: str
) -> None:
    for name in [name for name in os.environ if name.startswith("VLLM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    _prepare_environment(cuda)
    assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == apart
    assert os.environ["VLLM_WORKER_MULTIPROC_METHOD"] == "spawn"


def test_what_the_user_set_for_vllm_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "forkserver"
    _prepare_environment(cuda=True)
    assert os.environ["VLLM_WORKER_MULTIPROC_METHOD"] == "forkserver"


def test_a_child_that_did_not_start_is_said_to_have_printed_why(tiny_model: MakeModel) -> None:
    engine = VllmEngine(VllmSpec(), tiny_model())
    said = engine._load_advice("Engine core initialization failed. See root cause above.")
    assert "printed its reason before this" in said


# --- the queue -----------------------------------------------------------------------------------

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


# --- one engine --------------------------------------------------------------------------------

SETTINGS: dict[str, Any] = {"max_model_len": 1024, "kv_cache_gib": 0.5}


def test_sampled_requests_without_a_seed_depend_on_the_engines(tiny_model: MakeModel) -> None:
    sampled, greedy = ask("x", temperature=1.0), ask("x")
    one, other = (VllmEngine(VllmSpec(seed=n), tiny_model()) for n in range(2))
    assert one.keys([sampled]) != other.keys([sampled])
    assert one.keys([greedy]) == other.keys([greedy])


def test_jobs_wait_for_open(tiny_model: MakeModel) -> None:
    engine = VllmEngine(VllmSpec(), tiny_model())
    long = (Message("user", "one two " * 200),)
    scored = score("a", " b")
    engine.submit([(1, ask()), (2, ask(long)), (3, scored)])
    assert engine.pending == 3
    ((ticket, reply),) = engine.poll(0)
    assert ticket == 2
    assert isinstance(reply, RequestFailed)
    assert reply.status == "over_long"
    assert engine.pending == 2
    assert engine.poll(0) == []
    engine.close()
    assert engine.pending == 0


@pytest.fixture(scope="module")
def engine(smollm2: PreparedModel) -> Iterator[VllmEngine]:
    engine = VllmEngine(VllmSpec(**SETTINGS), smollm2)
    engine.open()
    yield engine
    engine.close()


@pytest.mark.vllm
@pytest.mark.model
class TestRealEngine:
    def test_it_answers(self, engine: VllmEngine) -> None:
        (reply,) = completions(engine, [ask(max_tokens=32)])
        assert reply.text == "The capital of France is Paris."
        assert not reply.truncated
        assert reply.prompt_tokens == len(engine.render(ask()).prompt_ids)

    def test_stop_limits_and_first_logprobs(self, engine: VllmEngine) -> None:
        stopped, cut, judged = completions(
            engine,
            [
                ask(stop=("zzz", " France", "capital of")),
                ask(max_tokens=3),
                ask(max_tokens=1, top_logprobs=5),
            ],
        )
        assert stopped.text == "The "
        assert not stopped.truncated
        assert cut.text == "The capital of"
        assert cut.truncated
        assert len(judged.top_logprobs) == 5
        assert judged.top_logprobs[0][0] == "The"
        values = [value for _, value in judged.top_logprobs]
        assert values == sorted(values, reverse=True)
        assert values[0] < 0

    def test_sampling_follows_the_seed_whatever_is_in_the_batch(self, engine: VllmEngine) -> None:
        base = ask("Once upon a time", temperature=1.0, seed=11)
        (alone,) = completions(engine, [base])
        crowd = [ask(f"Number {n}", temperature=1.0) for n in range(6)]
        replies = completions(engine, [*crowd[:3], base, *crowd[3:], replace(base, trial=1)])
        assert replies[3].text == alone.text
        assert replies[-1].text != alone.text

    def test_one_bad_request_fails_alone(self, engine: VllmEngine) -> None:
        # More alternatives than the engine offers: vLLM itself refuses it.
        bad, fine = answers(engine, [ask(top_logprobs=1000), ask(max_tokens=2)])
        assert isinstance(bad, RequestFailed)
        assert bad.final
        assert isinstance(fine, Completion)

    def test_shared_prefixes_are_computed_once(self, engine: VllmEngine) -> None:
        context = "A sentence about rivers and the towns that lie on them. " * 20 + "Answer:"
        requests = [score(context, f" {c}") for c in ("yes indeed", "no never", "maybe not today")]
        replies = completions(engine, requests)
        size = engine.prompt_tokens(requests[:1])[0]
        assert size is not None
        computed = sum(r.prompt_tokens - r.reused_tokens for r in replies)
        assert size <= computed < size + 150

    def test_second_turns_come_back_before_the_queue_ends(self, engine: VllmEngine) -> None:
        many = [(n, ask(f"Item {n}:", max_tokens=8)) for n in range(400)]
        engine.submit(many)
        order: list[int] = []
        while len(order) < 5:
            order += [ticket for ticket, _ in engine.poll(1.0)]
        engine.submit([(999, ask(max_tokens=9))])
        while engine.pending:
            order += [ticket for ticket, _ in engine.poll(1.0)]
        assert sorted(order) == [*range(400), 999]
        assert order.index(999) < 350


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.vllm
@pytest.mark.model
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_close_gives_memory_back(smollm2: PreparedModel) -> None:
    sizes = []
    for _ in range(2):
        engine = VllmEngine(VllmSpec(**SETTINGS), smollm2)
        engine.open()
        completions(engine, [ask(max_tokens=4)])
        opened = resident_mib()
        engine.close()
        sizes.append((opened, resident_mib()))
    # Weights in float32 and the cache: 540 MiB and 512 MiB.
    assert all(opened - closed > 900 for opened, closed in sizes), sizes
    assert sizes[1][1] - sizes[0][1] < 150, sizes


@pytest.mark.vllm
@pytest.mark.model
def test_a_model_that_will_not_load_says_what_to_change(smollm2: PreparedModel) -> None:
    spec = VllmSpec(max_model_len=8192, kv_cache_gib=0.01)
    with pytest.raises(EngineError, match=r"'smollm2'.*raise kv_cache_gib \(now 0\.01\)"):
        VllmEngine(spec, smollm2).open()
    engine = VllmEngine(VllmSpec(**SETTINGS), smollm2)
    engine.open()
    assert len(completions(engine, [ask(max_tokens=2)])) == 1
    engine.close()
