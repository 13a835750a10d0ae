"""Base and adapters through `drive`, on a stand-in that spoils every batch that mixes them."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core import Completion, Flow, PreparedModel, Request
from evalkit.engines._drive import drive
from evalkit.engines.vllm import VllmEngine, VllmSpec
from evalkit.errors import EngineError
from tests.support.vllm_lora_standin import LoraStandIn, installed, logprob

from .conftest import MakeModel
from .lora_models import unmerged

NAMES = ("one", "other", "base", "apart")
"""Two adapters, their base, and a model of another checkpoint."""


@pytest.fixture(scope="module")
def models(
    tiny_model: MakeModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, PreparedModel]]:
    base, apart = tiny_model(), tiny_model(adds_bos=True)
    assert base.path is not None
    found = {"base": replace(base, name="base"), "apart": replace(apart, name="apart")}
    for name, rank in (("one", 8), ("other", 16)):
        adapter = unmerged(base.path, Path(f"/adapters/{name}"), rank)
        found[name] = replace(base, name=name, fingerprint=name, unmerged=adapter)
    gc.freeze()  # closing an engine collects garbage, which takes long with torch loaded
    yield found
    gc.unfreeze()


def engines(models: dict[str, PreparedModel], names: Sequence[str]) -> dict[str, VllmEngine]:
    spec = VllmSpec(serve="lora", max_num_seqs=3)
    return {name: VllmEngine(spec, models[name]) for name in names}


def asking(steps: Sequence[str], number: int) -> Flow[list[str]]:
    """Ask the named models in turn: one answers, another judges it."""
    said = []
    for turn, name in enumerate(steps):
        (answer,) = yield [Request(name, "generate", f"{number} {turn}", max_tokens=4)]
        said.append(answer.text)
    return said


def served(made: Sequence[LoraStandIn]) -> list[set[str | None]]:
    """Batches of real work: what follows the probes in which base and adapter were mixed."""
    return [batch for engine in made for batch in engine.steps]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), min_size=1, max_size=8),
    st.permutations(NAMES),
)
def test_each_model_answers_as_itself_whatever_is_asked(
    models: dict[str, PreparedModel], samples: list[list[str]], order: list[str]
) -> None:
    flows = {n: asking(steps, n) for n, steps in enumerate(samples)}
    with installed() as made:
        ours = engines(models, order)
        found = dict(drive(flows, ours))
        assert all(engine.is_shut for engine in made)
    for number, steps in enumerate(samples):
        expected = [
            f"as {f'/adapters/{name}' if name in ('one', 'other') else None}" for name in steps
        ]
        assert found[number] == expected


def test_a_base_and_two_adapters_are_loaded_once(models: dict[str, PreparedModel]) -> None:
    flows = {n: asking([name], n) for n, name in enumerate(("one", "base", "other", "one"))}
    with installed() as made:
        ours = engines(models, ("one", "other", "base"))
        list(drive(flows, ours))
    (loaded,) = made
    assert loaded.arguments.model == str(models["base"].path)
    assert loaded.arguments.max_lora_rank == 16
    assert loaded.aborted == 0
    assert loaded.resets >= 1, "keys and values of the mixed probes stayed in the prefix cache"
    checks = ours["one"].checks()
    assert checks["mixed_batches_right"] is False
    assert ours["base"].checks() == {}


def test_merged_models_are_loaded_one_by_one(models: dict[str, PreparedModel]) -> None:
    flows = {n: asking([name], n) for n, name in enumerate(("one", "base"))}
    with installed() as made:
        spec = VllmSpec(max_num_seqs=3)
        list(drive(flows, {name: VllmEngine(spec, models[name]) for name in ("one", "base")}))
    assert len(made) == 2
    assert not any(hasattr(engine.arguments, "enable_lora") for engine in made)


def test_another_checkpoint_in_between_gets_the_device(models: dict[str, PreparedModel]) -> None:
    """The stand-in refuses a second engine while one is loaded, as vLLM does."""
    flows = {n: asking([name], n) for n, name in enumerate(("one", "apart", "base"))}
    with installed() as made:
        list(drive(flows, engines(models, ("one", "apart", "base"))))
    assert [engine.arguments.model for engine in made] == [
        str(models[name].path) for name in ("base", "apart", "base")
    ]


def test_a_stopped_run_keeps_nothing(models: dict[str, PreparedModel]) -> None:
    flows = {n: asking([name], n) for n, name in enumerate(("one",) * 9 + ("base",) * 3)}
    with installed() as made:
        ours = engines(models, ("one", "base"))
        with closing(drive(flows, ours)) as running:
            next(running)
        assert not any(engine.pending for name, engine in ours.items() if name == "one")
        del ours, running, flows
        gc.collect()
        assert [engine.is_shut for engine in made] == [True]


def test_what_was_running_is_not_mixed_with_what_comes_next(
    models: dict[str, PreparedModel],
) -> None:
    request = Request("m", "generate", "x", max_tokens=4)
    with installed() as made:
        ours = engines(models, ("one", "base"))
        ours["base"].submit([(1, request)])
        ours["one"].open()
        ours["one"].submit([(n, replace(request, prompt=f"{n}")) for n in range(9)])
        ours["one"].poll(0.0)
        ours["one"].close()
        ours["base"].open()
        before = len(made[0].steps)
        replies = list(ours["base"].poll(0.0))
        ours["base"].close()
    (loaded,) = made
    assert [reply.text for _, reply in replies if isinstance(reply, Completion)] == ["as None"]
    assert loaded.steps[before:] == [{None}]


def test_only_one_is_open_at_a_time(models: dict[str, PreparedModel]) -> None:
    with installed():
        ours = engines(models, ("one", "base"))
        ours["one"].open()
        with pytest.raises(EngineError, match="same time"):
            ours["base"].open()
        ours["one"].close()
        ours["base"].open()
        ours["base"].close()


def test_an_adapter_made_after_the_load_is_served(models: dict[str, PreparedModel]) -> None:
    request = Request("m", "generate", "x", max_tokens=4)
    with installed() as made:
        (base,) = engines(models, ("base",)).values()
        base.open()
        (late,) = engines(models, ("one",)).values()
        late.submit([(1, request)])
        base.close()
        late.open()
        ((_, reply),) = late.poll(0.0)
        late.close()
    assert isinstance(reply, Completion)
    assert reply.text == "as /adapters/one"
    assert len(made) <= 2
    assert all(engine.is_shut for engine in made)


def test_log_likelihoods_of_an_adapter_are_its_own(models: dict[str, PreparedModel]) -> None:
    asked = [Request("m", "loglikelihood", "One", continuation=c) for c in (" two", " three six")]
    found: dict[str, list[float]] = {}
    with installed():
        for name, engine in engines(models, ("one", "base")).items():
            if name == "base":
                break
            engine.open()
            engine.submit(list(enumerate(asked)))
            replies: dict[int, Any] = {}
            while engine.pending:
                replies.update(engine.poll(0.0))
            found[name] = [replies[n].logprob for n in range(len(asked))]
            expected = [_summed(engine, request) for request in asked]
            engine.close()
    assert found["one"] == pytest.approx(expected)


def _summed(engine: VllmEngine, request: Request) -> float:
    """The log-likelihood by the stand-in's own rule, token by token."""
    ids = engine.render(request).prompt_ids
    tokens = engine._renderer.tokens([request])[0]
    context, continuation = list(tokens.prompt), list(tokens.continuation)
    assert list(ids)[: len(context)] == context
    return sum(
        logprob("/adapters/one", context + continuation[:n], token)
        for n, token in enumerate(continuation)
    )
