"""Packs through tiny random models of many kinds; oracle: plain passes over padded batches.

What `sharing` accepts must give the plain passes' numbers on any sequences, longer than a
sliding window too; what cannot must be refused with a reason.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from evalkit.engines._scoring import Pair
from evalkit.engines._tree import Forest, TreePass, score_pairs, sharing

VOCABULARY = 64
LENGTH = 40
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    # Far from uniform, so that a wrong mask shows.
    "initializer_range": 0.3,
}
WITHOUT_PAD: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def built(config: Any) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def llama(**changes: Any) -> Any:
    from transformers import LlamaConfig

    return built(LlamaConfig(**{**SIZES, **changes}))


def eager() -> Any:
    return llama(attn_implementation="eager")


def mistral(window: int = 7) -> Any:
    from transformers import MistralConfig

    return built(MistralConfig(**SIZES, sliding_window=window))


def qwen3() -> Any:
    from transformers import Qwen3Config

    return built(Qwen3Config(**SIZES, head_dim=8))


def gemma3() -> Any:
    from transformers import Gemma3TextConfig

    kinds = ["sliding_attention", "full_attention"]
    return built(
        Gemma3TextConfig(**SIZES, **WITHOUT_PAD, head_dim=8, sliding_window=6, layer_types=kinds)
    )


def gpt2() -> Any:
    from transformers import GPT2Config

    return built(
        GPT2Config(
            vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=64,
            initializer_range=0.3, bos_token_id=1, eos_token_id=2,
        )
    )  # fmt: skip


def mixtral() -> Any:
    from transformers import MixtralConfig

    return built(MixtralConfig(**SIZES, num_local_experts=4))


def bloom() -> Any:
    from transformers import BloomConfig

    return built(
        BloomConfig(
            vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3
        )
    )


def mamba() -> Any:
    from transformers import MambaConfig

    return built(MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2))


def long_rope() -> Any:
    from transformers import Phi3Config

    rope = {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [2.0] * 4,
        "original_max_position_embeddings": 16,
    }
    return built(
        Phi3Config(
            **SIZES, **WITHOUT_PAD, rope_parameters=rope, original_max_position_embeddings=16
        )
    )


def dynamic_rope() -> Any:
    return llama(rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0})


def families(seed: int) -> list[Pair]:
    """Few-shot beginnings, questions, choices; prefixes of one another; lone texts."""
    draw = random.Random(seed)

    def ids(low: int, high: int) -> list[int]:
        return [draw.randrange(3, VOCABULARY) for _ in range(draw.randint(low, high))]

    found: list[Pair] = [(ids(1, 1), ids(1, 20)), (ids(20, 30), ids(1, 1))]
    for shots in (ids(1, 8), ids(8, 14)):
        for _ in range(3):
            context = [*shots, *ids(1, 6)]
            common = ids(0, 3)
            found += [(context, [*common, *ids(1, 4)]) for _ in range(3)]
            found += [(context, [label]) for label in ids(2, 3)]
            found.append(([*context, *common, *ids(1, 1)], ids(1, 3)))
    return [*found, *found[3:6]]


def packed(passes: TreePass, pairs: list[Pair], limit: int) -> tuple[list[tuple[float, bool]], int]:
    forest = Forest()
    for ticket, pair in enumerate(pairs):
        forest.add(ticket, [pair])
    found = {}
    while (pack := forest.next(limit, passes.most_rows)) is not None:
        for score in forest.receive(pack, *passes.run(pack)):
            found[score.ticket] = (score.logprob, score.is_greedy)
    return [found[ticket] for ticket in range(len(pairs))], forest.cost.computed


@pytest.mark.parametrize("make", [llama, eager, mistral, qwen3, gemma3, gpt2, mixtral])
@pytest.mark.parametrize("limit", [7, 1000])
def test_packs_give_the_numbers_of_plain_passes(make: Callable[[], Any], limit: int) -> None:
    model = make()
    passes, reason = sharing(model, "cpu", LENGTH)
    assert passes is not None, reason
    assert "largest difference" in reason
    for seed in range(3):
        pairs = families(seed)
        found, computed = packed(passes, pairs, limit)
        for ours, theirs in zip(found, score_pairs(model, pairs, "cpu"), strict=True):
            assert ours[0] == pytest.approx(theirs[0], abs=1e-4)
            assert ours[1] == theirs[1]
        prompts = {(*c, *k[:-1]) for c, k in pairs}
        assert computed == len({p[:n] for p in prompts for n in range(1, len(p) + 1)})


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (mamba, "its cache has a LinearAttentionLayer"),
        (long_rope, "rotary frequencies depend"),
        (dynamic_rope, "rotary frequencies depend"),
        (bloom, "Error: "),
    ],
)
def test_models_that_cannot_are_refused_with_a_reason(make: Callable[[], Any], why: str) -> None:
    passes, reason = sharing(make(), "cpu", LENGTH)
    assert passes is None
    assert re.search(why, reason), reason


class Deaf:
    """A model that does not do with one of its arguments what it is told to."""

    def __init__(self, model: Any, argument: str, value: Any) -> None:
        self._model = model
        self._changed = {argument: value}
        self.config = model.config
        self.dtype = model.dtype

    def __call__(self, **arguments: Any) -> Any:
        # Plain passes, which have no cache, are as they should be.
        if arguments.get("past_key_values") is not None:
            arguments |= self._changed
        return self._model(**arguments)


@pytest.mark.parametrize("argument", ["attention_mask", "position_ids"])
def test_models_that_ignore_what_they_are_told_are_found_out(argument: str) -> None:
    passes, reason = sharing(Deaf(llama(), argument, None), "cpu", LENGTH)
    assert passes is None
    assert reason.startswith("largest difference from plain passes ")


def test_a_model_that_fails_is_a_reason() -> None:
    passes, reason = sharing(Deaf(llama(), "position_ids", "x"), "cpu", LENGTH)
    assert passes is None
    assert "Error: " in reason


def test_a_window_that_takes_everything_is_none() -> None:
    passes, _ = sharing(mistral(window=16), "cpu", 16)
    assert passes is not None
    assert passes._windows == {"attention": None}


def test_a_pack_without_its_path_is_refused() -> None:
    passes, _ = sharing(llama(), "cpu", LENGTH)
    assert passes is not None
    forest = Forest()
    forest.add(0, [([1, 2, 3], [4])])
    assert forest.next(2, 10) is not None
    second = forest.next(2, 10)
    assert second is not None
    with pytest.raises(RuntimeError, match="the path has 0 tokens, and 2 are needed"):
        passes.run(second)
