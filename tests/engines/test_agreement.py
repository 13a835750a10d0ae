"""vllm against transformers, the reference, in float32 on the real SmolLM2.

50 prompts: equal greedy text, or a near-tie at the first token that differs (listed with its
gap); log-probabilities within 1e-3.  Then the log-likelihoods where planning could go wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from evalkit.core import Completion, Message, PreparedModel, Request
from evalkit.engines.transformers import TransformersEngine, TransformersSpec
from evalkit.engines.vllm import VllmEngine, VllmSpec

pytestmark = [pytest.mark.vllm, pytest.mark.model]

TOLERANCE = 1e-3
TOPICS = (
    "rivers", "bread", "the moon", "chess", "photosynthesis", "trains", "honey bees", "the sea",
    "prime numbers", "winter", "clouds", "bicycles", "the French Revolution", "coffee", "whales",
    "vaccines", "music", "bridges", "volcanoes", "dreams", "gravity", "cats", "the Silk Road",
    "tea", "mountains",
)  # fmt: skip
QUESTIONS = ("Explain {} in two sentences.", "List three facts about {}.")


def tell(line: str) -> None:
    """Shown by `pytest -rP` or `-s`."""
    sys.stdout.write(line + "\n")


def questions() -> list[Request]:
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


def pair(context: str, continuation: str) -> Request:
    return Request(engine="m", kind="loglikelihood", prompt=context, continuation=continuation)


def run(engine: Any, requests: Sequence[Request]) -> list[Completion]:
    engine.submit(list(enumerate(requests)))
    found: dict[int, Any] = {}
    while engine.pending:
        found.update(engine.poll(1.0))
    assert all(isinstance(r, Completion) for r in found.values()), found
    return [found[n] for n in range(len(requests))]


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
    (reply,) = run(reference, [wanted])
    (_, first), (_, second) = reply.top_logprobs
    return first - second


def test_fifty_prompts(fast: VllmEngine, reference: TransformersEngine) -> None:
    requests = questions()
    assert len(requests) == 50
    ours, theirs = run(fast, requests), run(reference, requests)
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
        tell(
            f"near-tie, gap {gap:.2e}: {request.prompt[-1]}\n"
            f"  vllm: {text!r}\n  transformers: {expected_text!r}"
        )
        assert gap < TOLERANCE
    tell(f"{50 - len(differ)} of 50 greedy texts equal, {len(differ)} near-ties")
    assert len(differ) <= 5


def test_log_likelihoods_of_the_generated_texts(
    fast: VllmEngine, reference: TransformersEngine
) -> None:
    requests = [
        Request(engine="m", kind="loglikelihood", prompt=r.prompt, continuation=f"Here is {topic}.")
        for r, topic in zip(questions(), TOPICS * 2, strict=True)
    ]
    compare(fast, reference, requests)


def test_edge_cases(fast: VllmEngine, reference: TransformersEngine) -> None:
    block = fast._block_size
    word = " river"
    contexts = [f"The{word * (n - 1)}" for n in (block - 1, block, block + 1, 2 * block, 3 * block)]
    sizes = fast.prompt_tokens([pair(c, word) for c in contexts])
    assert sizes == [block - 1, block, block + 1, 2 * block, 3 * block]
    requests = [
        *(pair("", text) for text in ("Paris", "The capital of France", "<|im_start|>user")),
        *(pair("Choose one. Answer:", f" {letter}") for letter in "ABCD"),
        *[pair("Choose one. Answer:", " A")] * 3,
        *(pair("Choose one. Answer:", text) for text in (" A", " A B", " A B C", " A B C D")),
        *(pair(c, k) for c in contexts for k in (word, word * 2, " sea", " sea shore", word * 70)),
        pair("one two three " * 500, " four five"),
        pair("A trailing space ", "moves to the continuation"),
        Request(engine="m", kind="rolling", prompt="A short text."),
        Request(engine="m", kind="rolling", prompt="The river runs to the sea. " * 250),
    ]
    compare(fast, reference, requests)
    # Again with everything in the prefix cache: more rows hidden, more asked anew.
    compare(fast, reference, list(reversed(requests)))


def compare(fast: VllmEngine, reference: TransformersEngine, requests: list[Request]) -> None:
    worst = 0.0
    pairs = zip(requests, run(fast, requests), run(reference, requests), strict=True)
    for request, ours, theirs in pairs:
        assert ours.logprob is not None
        assert theirs.logprob is not None
        # A rolling sum of thousands of tokens carries the rounding of each.
        tolerance = TOLERANCE * (1 + abs(theirs.logprob) / 1000)
        difference = abs(ours.logprob - theirs.logprob)
        worst = max(worst, difference)
        assert difference <= tolerance, request
        assert ours.is_greedy == theirs.is_greedy, request
    tell(f"{len(requests)} log-likelihoods, largest difference {worst:.1e}")
