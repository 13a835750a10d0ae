"""The reference engine on a tiny random Llama; oracles: lm-eval's hf backend, transformers' own
`generate`, and for log-likelihoods with shared prefixes the engine's own plain passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from evalkit.core import Completion, Message, PreparedModel, Reply, Request
from evalkit.engines import transformers as module
from evalkit.engines._tree import Pack, TreePass
from evalkit.engines.transformers import TransformersEngine, TransformersSpec
from evalkit.errors import EngineError, RequestFailed

from .conftest import QUESTION, WINDOW, MakeModel, answers, ask, completions, rolling, score

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine(tiny_model: MakeModel) -> Iterator[TransformersEngine]:
    engine = TransformersEngine(TransformersSpec(device="cpu", batch_size=4), tiny_model())
    engine.open()
    yield engine
    engine.close()


def test_greedy_text_equals_transformers_own_generate(engine: TransformersEngine) -> None:
    prompts: list[Any] = ["One two", "The quick brown fox", "Answer:", QUESTION, "x"]
    ours = completions(engine, [ask(p) for p in prompts])
    for prompt, completion in zip(prompts, ours, strict=True):
        import torch

        ids = torch.tensor([engine.render(ask(prompt)).prompt_ids])
        out = engine._lm.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12
        )
        new = out[0, ids.shape[1] :]
        text = engine._renderer.tokenizer.decode(new, skip_special_tokens=True)
        # A character cut in the middle is left out, as in vLLM, not shown as U+FFFD.
        assert completion.text == text.rstrip("\ufffd")
        assert completion.completion_tokens == len(new)


def test_answers_do_not_depend_on_the_batch(engine: TransformersEngine) -> None:
    mixed = [
        ask("One"),
        ask("The quick brown fox jumps", temperature=1.0, seed=3, max_tokens=20),
        ask("Answer:", temperature=0.7, top_p=0.8, seed=4, max_tokens=3),
        ask("x", temperature=1.0),
        score("The capital of France is", " Paris"),
        score("A", " b c d e f g"),
        replace(score("One two three four", ""), kind="rolling"),
    ]
    together = completions(engine, mixed)
    for request, reply in zip(mixed, together, strict=True):
        (alone,) = completions(engine, [request])
        assert alone.text == reply.text
        if reply.logprob is not None:
            assert alone.logprob == pytest.approx(reply.logprob, abs=1e-4)
            assert alone.is_greedy == reply.is_greedy


def test_seeds(engine: TransformersEngine) -> None:
    base = ask(temperature=1.0, seed=1)
    first, again, other, trial = completions(
        engine, [base, base, replace(base, seed=2), replace(base, trial=1)]
    )
    assert first.text == again.text
    assert len({first.text, other.text, trial.text}) == 3


def test_top_p_near_zero_is_greedy(engine: TransformersEngine) -> None:
    sampled, greedy = completions(engine, [ask(temperature=2.0, top_p=1e-9, seed=1), ask()])
    assert sampled.text == greedy.text


def test_stop_strings_and_truncation(engine: TransformersEngine) -> None:
    (full,) = completions(engine, [ask(max_tokens=30)])
    assert full.truncated
    assert full.completion_tokens == 30
    stop = full.text[7:10]
    (cut,) = completions(engine, [ask(max_tokens=30, stop=("\0never", stop))])
    assert cut.text == full.text[: full.text.index(stop)]
    assert not cut.truncated
    assert cut.completion_tokens < 30


def test_the_window_truncates_an_answer(engine: TransformersEngine) -> None:
    (reply,) = completions(engine, [ask(max_tokens=WINDOW)])
    assert reply.truncated
    assert reply.prompt_tokens + reply.completion_tokens == WINDOW


def test_top_logprobs_are_of_the_first_token(engine: TransformersEngine) -> None:
    (reply,) = completions(engine, [ask("The capital", top_logprobs=3, temperature=0.3)])
    values = [value for _, value in reply.top_logprobs]
    assert len(values) == 3
    assert values == sorted(values, reverse=True)
    import torch

    ids = torch.tensor([engine.render(ask("The capital")).prompt_ids])
    with torch.inference_mode():
        row = engine._lm(input_ids=ids).logits[0, -1].double().log_softmax(-1)
    best = row.topk(3)
    decode = engine._renderer.tokenizer.decode
    assert [text for text, _ in reply.top_logprobs] == [decode([t]) for t in best.indices.tolist()]
    assert values == pytest.approx(best.values.tolist(), abs=1e-5)


def test_failures_are_statuses_and_the_rest_goes_on(engine: TransformersEngine) -> None:
    long, empty, fine = answers(
        engine, [ask((Message("user", "one two " * 200),)), score("a", ""), ask("One")]
    )
    assert isinstance(long, RequestFailed)
    assert long.status == "over_long"
    assert isinstance(empty, RequestFailed)
    assert isinstance(fine, Completion)


def test_jobs_may_come_before_open(tiny_model: MakeModel) -> None:
    engine = TransformersEngine(TransformersSpec(), tiny_model())
    engine.submit([(1, ask("One"))])
    assert engine.poll(0) == []
    assert engine.pending == 1
    engine.open()
    ((ticket, reply),) = engine.poll(10)
    assert ticket == 1
    assert isinstance(reply, Completion)
    engine.submit([(2, ask("One"))])
    engine.close()
    assert engine.pending == 0
    assert engine._lm is None


def test_a_model_that_will_not_load(tiny_model: MakeModel, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    model = PreparedModel("broken", "candidate", tmp_path, "x", None, "none")
    with pytest.raises(EngineError, match=r"'broken'.*check the checkpoint"):
        TransformersEngine(TransformersSpec(), model).open()


@pytest.mark.slow
def test_log_likelihoods_equal_lm_evals_hf_backend(engine: TransformersEngine) -> None:
    """Oracle: HFLM of lm-eval, whole and rolling; texts longer than the window included."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    path = str(engine._model.path)
    pairs = [
        ("", "The capital"),
        ("The capital of France is", " Paris"),
        ("The capital of France is ", "Paris"),
        ("Answer:", " yes"),
        ("Answer:", " one two three four five"),
        ("one two three " * 60 + "four", " five"),
    ]
    # One token less than ours: vLLM's limit, which we keep to, counts the token it generates.
    oracle = HFLM(pretrained=path, device="cpu", dtype="float32", max_length=WINDOW - 2)
    instances = [Instance("loglikelihood", {}, pair, n) for n, pair in enumerate(pairs)]
    expected = oracle.loglikelihood(instances, disable_tqdm=True)
    ours = completions(engine, [score(*pair) for pair in pairs])
    for reply, (logprob, is_greedy) in zip(ours, expected, strict=True):
        assert reply.logprob == pytest.approx(logprob, abs=1e-3)
        assert reply.is_greedy == is_greedy

    texts = ["The quick brown fox.", "one two three four five six. " * 30]
    whole = [Instance("loglikelihood_rolling", {}, (text,), n) for n, text in enumerate(texts)]
    sums = oracle.loglikelihood_rolling(whole, disable_tqdm=True)
    asked = [rolling(text) for text in texts]
    for reply, total in zip(completions(engine, asked), sums, strict=True):
        assert reply.logprob == pytest.approx(total, rel=1e-5)


# --- shared prefixes ---------------------------------------------------------------------------

Asked: TypeAlias = tuple[list[Request], list[Reply]]
SHOTS = "One two three. Answer: yes. Two three four. Answer: no. "


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
    assert path(engine) == (None, "no log-likelihood was requested yet")
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
