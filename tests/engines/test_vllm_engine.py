"""The vllm engine on the real SmolLM2; loads it, so these are marked and share one engine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.core import Completion, Message, PreparedModel, Reply, Request
from evalkit.engines.vllm import VllmEngine, VllmSpec
from evalkit.errors import EngineError, RequestFailed

from .conftest import MakeModel

QUESTION = (Message("user", "What is the capital of France?"),)
SETTINGS: dict[str, Any] = {"max_model_len": 1024, "kv_cache_gib": 0.5}


def ask(prompt: Any = QUESTION, **changes: Any) -> Request:
    return replace(Request(engine="m", kind="generate", prompt=prompt, max_tokens=16), **changes)


def answers(engine: VllmEngine, requests: list[Request]) -> list[Reply]:
    engine.submit(list(enumerate(requests)))
    found: dict[int, Reply] = {}
    while engine.pending:
        found.update(engine.poll(1.0))
    return [found[n] for n in range(len(requests))]


def completions(engine: VllmEngine, requests: list[Request]) -> list[Completion]:
    found = []
    for reply in answers(engine, requests):
        assert isinstance(reply, Completion), reply
        found.append(reply)
    return found


def test_identity_names_what_decides_answers(tiny_model: MakeModel) -> None:
    def identity(**settings: Any) -> dict[str, Any]:
        return dict(VllmEngine(VllmSpec(**settings), tiny_model()).identity)

    same = identity(max_num_seqs=3, kv_cache_gib=1, enforce_eager=True, seed=4)
    assert same == identity()
    assert identity(dtype="float32") != identity(dtype="bfloat16")
    assert identity(quantization="fp8") != identity()
    assert identity(max_model_len=50) != identity()
    assert "vllm" in identity()["distribution"]


def test_sampled_requests_without_a_seed_depend_on_the_engines(tiny_model: MakeModel) -> None:
    sampled, greedy = ask("x", temperature=1.0), ask("x")
    one, other = (VllmEngine(VllmSpec(seed=n), tiny_model()) for n in range(2))
    assert one.keys([sampled]) != other.keys([sampled])
    assert one.keys([greedy]) == other.keys([greedy])


def test_jobs_wait_for_open(tiny_model: MakeModel) -> None:
    engine = VllmEngine(VllmSpec(), tiny_model())
    long = (Message("user", "one two " * 200),)
    scored = Request(engine="m", kind="loglikelihood", prompt="a", continuation=" b")
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
        assert bad.status == "engine_error"
        assert isinstance(fine, Completion)

    def test_shared_prefixes_are_computed_once(self, engine: VllmEngine) -> None:
        context = "A sentence about rivers and the towns that lie on them. " * 20 + "Answer:"
        requests = [
            Request(engine="m", kind="loglikelihood", prompt=context, continuation=f" {c}")
            for c in ("yes indeed", "no never", "maybe not today")
        ]
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
