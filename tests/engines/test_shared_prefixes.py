"""Log-likelihoods with shared prefixes against the engine's own plain passes, case by case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import pytest

from evalkit.core import Completion, Message, PreparedModel, Reply, Request
from evalkit.engines import transformers as module
from evalkit.engines._tree import Pack, TreePass
from evalkit.engines.transformers import TransformersEngine, TransformersSpec
from evalkit.errors import RequestFailed

from .conftest import MakeModel

QUESTION = (Message("user", "What is the capital of France?"),)
Asked: TypeAlias = tuple[list[Request], list[Reply]]
SHOTS = "One two three. Answer: yes. Two three four. Answer: no. "


def score(prompt: Any, continuation: str) -> Request:
    return Request(engine="m", kind="loglikelihood", prompt=prompt, continuation=continuation)


def rolling(text: str) -> Request:
    return Request(engine="m", kind="rolling", prompt=text)


def adversarial() -> list[Request]:
    """Where a plan could go wrong; the tiny model's window holds `WINDOW` tokens."""
    long = "one two three four five six. " * 30
    questions = ("Six five four.", "Six five four. Answer:", "The lazy dog.", "The lazy fox.")
    return [
        *(
            score(SHOTS + q, k)
            for q in questions
            for k in (" yes", " no", " yes yes no", " y", "x")
        ),
        # A choice that is another's beginning, and a context that ends with another's choice.
        *(score("Answer:", text) for text in (" yes", " yes. Answer", " yes. Answer: no.", " yes")),
        *(score("Answer: yes.", text) for text in (" Answer", " Answer: no.", " One")),
        *[score(SHOTS, " one two three")] * 3,
        *(score("", text) for text in ("The", "The capital of France", "<|im_start|>One", "The")),
        *(score("O", text) for text in ("ne", "n", "ne two three")),
        *(score(long + end, " five") for end in ("four", "five", "")),
        score("Trailing spaces  ", "move"),
        score(QUESTION, "Paris"),
        score(QUESTION, "The capital of France is Paris."),
        score("a", ""),
        score("One", long),
        *(rolling(text) for text in (SHOTS, long, "a", long)),
    ]


def likeliest(engine: TransformersEngine) -> list[Request]:
    """Continuations of one token that the model itself would write."""
    words = SHOTS.split()
    contexts = [" ".join(words[:n]) for n in range(1, len(words))]
    asked = [Request("m", "generate", text, max_tokens=1, top_logprobs=1) for text in contexts]
    firsts = [reply.top_logprobs[0][0] for reply in completions(engine, asked)]
    return [score(text, first) for text, first in zip(contexts, firsts, strict=True) if first]


def answers(engine: TransformersEngine, requests: Sequence[Request]) -> list[Reply]:
    engine.submit(list(enumerate(requests)))
    found: dict[int, Reply] = {}
    while engine.pending:
        found.update(engine.poll(0))
    return [found[n] for n in range(len(requests))]


def completions(engine: TransformersEngine, requests: Sequence[Request]) -> list[Completion]:
    found = []
    for reply in answers(engine, requests):
        assert isinstance(reply, Completion), reply
        found.append(reply)
    return found


def opened(model: PreparedModel, **settings: Any) -> TransformersEngine:
    engine = TransformersEngine(TransformersSpec(device="cpu", **settings), model)
    engine.open()
    return engine


def path(engine: TransformersEngine) -> tuple[str | None, str]:
    return engine.scoring_path, engine.scoring_reason


@pytest.fixture(scope="module")
def plain(tiny_model: MakeModel) -> Iterator[TransformersEngine]:
    engine = opened(tiny_model(), batch_size=4, shared_prefixes=False)
    yield engine
    engine.close()


def alike(ours: Reply, theirs: Reply) -> None:
    if isinstance(theirs, RequestFailed):
        assert isinstance(ours, RequestFailed)
        assert ours.status == theirs.status
        return
    assert isinstance(ours, Completion)
    assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-4)
    assert ours.is_greedy == theirs.is_greedy
    assert ours.prompt_tokens == theirs.prompt_tokens


def computed(replies: list[Reply]) -> int:
    return sum(r.prompt_tokens - r.reused_tokens for r in replies if isinstance(r, Completion))


def counted(engine: TransformersEngine) -> list[int]:
    """Tokens of each of the model's passes from now on, but for those that only compare."""
    passes: list[int] = []

    def note(_module: Any, _args: Any, arguments: dict[str, Any]) -> None:
        if engine.scoring_path == "plain" or arguments["use_cache"]:
            passes.append(int(arguments["input_ids"].numel()))

    engine._lm.register_forward_pre_hook(note, with_kwargs=True)
    return passes


@pytest.fixture(scope="module")
def expected(plain: TransformersEngine) -> Asked:
    requests = [*adversarial(), *likeliest(plain)]
    return requests, answers(plain, requests)


@pytest.mark.parametrize("tokens", [3, 64, 4096])
def test_shared_prefixes_change_no_number(
    tiny_model: MakeModel, expected: Asked, tokens: int
) -> None:
    engine = opened(tiny_model())
    engine._pack_tokens = tokens
    requests, theirs = expected
    assert {type(reply) for reply in theirs} == {Completion, RequestFailed}
    assert any(r.is_greedy for r in theirs if isinstance(r, Completion))
    found = answers(engine, requests)
    for ours, reply in zip(found, theirs, strict=True):
        alike(ours, reply)
    # From what the last walk left in the cache.
    again = answers(engine, requests[:20])
    for ours, reply in zip(again, theirs[:20], strict=True):
        alike(ours, reply)
    assert engine.scoring_path == "shared"
    assert "largest difference" in engine.scoring_reason
    engine.close()


def test_reused_tokens_are_those_not_put_through_the_model(
    tiny_model: MakeModel, plain: TransformersEngine, expected: Asked
) -> None:
    engine = opened(tiny_model())
    first = completions(engine, [score("One", " two")])
    passes, before = counted(engine), engine.work()["computed"]
    found = answers(engine, adversarial())
    assert computed(found) == sum(passes) == engine.work()["computed"] - before
    assert all(0 <= r.reused_tokens <= r.prompt_tokens for r in found if isinstance(r, Completion))
    theirs = [r for r in expected[1][: len(found)] if isinstance(r, Completion)]
    assert sum(passes) < 0.4 * computed(list(theirs))
    assert engine.work()["naive"] == sum(r.prompt_tokens for r in [*theirs, *first])
    # Rows without padding: the plain pass's own tokens.
    alone = counted(plain)
    assert computed(answers(plain, [score(SHOTS, " one two")])) == sum(alone)
    engine.close()


def test_a_later_question_goes_on_from_the_last(tiny_model: MakeModel) -> None:
    engine = opened(tiny_model())
    asked = [score(SHOTS + end, " yes") for end in ("Two", "Two", "Six")]
    sizes = engine.prompt_tokens(asked)
    found = [completions(engine, [request])[0] for request in asked]
    # All of the context, then its last token, then what comes after the shots.
    assert [computed([reply]) for reply in found[:2]] == [sizes[0], 1]
    assert computed([found[2]]) <= 3
    engine.close()


def test_a_poll_computes_no_more_than_one_pack(tiny_model: MakeModel) -> None:
    engine = opened(tiny_model(), batch_size=1)
    engine.submit([(n, score(SHOTS + f"Question {n}", " yes")) for n in range(40)])
    engine.poll(0)
    passes = counted(engine)
    finished = 0
    while engine.pending:
        done = len(engine.poll(0))
        finished += done
        assert len(passes) <= 1
        assert sum(passes) <= 64
        passes.clear()
    assert finished
    engine.close()


def test_a_failed_pack_is_asked_job_by_job(
    tiny_model: MakeModel, plain: TransformersEngine
) -> None:
    engine = opened(tiny_model())
    completions(engine, [score("One", " two")])
    requests = [score(SHOTS + f"{n}", k) for n in range(6) for k in (" yes", " no no", "\x07")]
    bad = engine.render(requests[2]).continuation_ids[0]
    broken = [score("\x07 One", " two"), score("\x07", " two three")]
    assert engine.render(broken[0]).prompt_ids[0] == bad

    def fail(_module: Any, _args: Any, arguments: dict[str, Any]) -> None:
        if bad in arguments["input_ids"]:
            raise MemoryError("too much")

    engine._lm.register_forward_pre_hook(fail, with_kwargs=True)
    found = answers(engine, [*requests, *broken])
    # Looked up but never put through the model, the token harms nobody.
    for ours, expected in zip(found[:-2], answers(plain, requests), strict=True):
        alike(ours, expected)
    for reply in found[-2:]:
        assert isinstance(reply, RequestFailed)
        assert "too much" in str(reply)
    assert engine.work()["redone"] >= 1
    assert engine.pending == 0
    engine.close()


def test_a_model_that_cannot_share_is_scored_plainly(
    tiny_model: MakeModel,
    expected: Asked,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "sharing", lambda _lm, _device, _length: (None, "no such mask"))
    engine = opened(tiny_model())
    assert path(engine) == (None, "no log-likelihood was asked for yet")
    for ours, reply in zip(answers(engine, expected[0]), expected[1], strict=True):
        alike(ours, reply)
    assert path(engine) == ("plain", "no such mask")
    engine.close()
    assert path(engine) == ("plain", "no such mask")


def test_long_sequences_are_compared_when_they_come(
    tiny_model: MakeModel, plain: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model may do something to long sequences that neither config nor short ones show."""
    run = TreePass.run

    def odd(passes: TreePass, pack: Pack) -> tuple[list[float], list[bool]]:
        logprobs, greedy = run(passes, pack)
        changes = [0.01 * (pack.depths[node] > 40) for node in pack.nodes]
        return [value - change for value, change in zip(logprobs, changes, strict=True)], greedy

    monkeypatch.setattr(TreePass, "run", odd)
    engine = opened(tiny_model(), batch_size=1)
    requests = [score("One two three " * n, " four") for n in range(1, 25)]
    for ours, expected in zip(answers(engine, requests), answers(plain, requests), strict=True):
        alike(ours, expected)
    assert engine.scoring_path == "plain"
    assert engine.scoring_reason.startswith("largest difference from plain passes 2.0e-02")
    engine.close()


def test_sharing_is_the_users_choice(plain: TransformersEngine) -> None:
    completions(plain, [score("One", " two")])
    assert path(plain) == ("plain", "shared_prefixes is false")


def test_sharing_is_no_part_of_the_identity() -> None:
    assert "shared_prefixes" in TransformersSpec.operational


@pytest.mark.model
def test_shared_prefixes_with_a_real_model(smollm2: PreparedModel) -> None:
    replies = []
    for shared in (True, False):
        engine = opened(smollm2, dtype="float32", max_model_len=256, shared_prefixes=shared)
        requests = [*adversarial(), *likeliest(engine)]
        replies.append(answers(engine, requests))
        assert engine.scoring_path == ("shared" if shared else "plain")
        engine.close()
    assert any(r.is_greedy for r in replies[1] if isinstance(r, Completion))
    for ours, expected in zip(*replies, strict=True):
        alike(ours, expected)
