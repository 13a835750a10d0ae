"""The token forest: its plan against a toy model, its packs through tiny models of many kinds.

The toy model holds one path, as the real pass does.  Of real models, what `sharing` accepts must
give the numbers of plain passes over padded batches on any sequences, longer than a sliding window
too; what cannot must be refused with a reason.
"""

from __future__ import annotations

import random
import re
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.engines._scoring import Cost, Pair
from evalkit.engines._tree import (
    Forest,
    Pack,
    Scored,
    TreePass,
    ends,
    path_slots,
    score_pairs,
    sharing,
)

from .conftest import VOCABULARY, Ids, direct, distribution, greedy


@dataclass
class ToyModel:
    """Knows of the tokens before a pack only the path to the last one."""

    path: list[int] = field(default_factory=list)
    computed: int = 0
    nodes: list[Ids] = field(default_factory=list)
    """Every prefix that was computed, in order."""

    def run(self, pack: Pack) -> tuple[list[float], list[bool]]:
        prefixes: list[Ids] = []
        for token, depth in zip(pack.tokens, pack.depths, strict=True):
            assert 0 <= depth <= len(self.path), "a token before its parent"
            self.path[depth:] = [token]
            prefixes.append(tuple(self.path))
        self.nodes += prefixes
        self.computed += len(pack.tokens)
        assert list(pack.nodes) == sorted(pack.nodes)
        edges = list(zip(pack.nodes, pack.labels, strict=True))
        return (
            [distribution(prefixes[node])[label] for node, label in edges],
            [greedy(prefixes[node]) == label for node, label in edges],
        )


@dataclass
class Ran:
    found: dict[int, Scored]
    model: ToyModel
    cost: Cost
    packs: list[Pack]


def run(
    items: Sequence[Sequence[Pair]], limit: int, rows: int = 10**6, *, split: int | None = None
) -> Ran:
    """Score everything; the items from `split` on come when those before are done."""
    forest, ran = Forest(), Ran({}, ToyModel(), Cost(), [])
    ran.cost = forest.cost
    parts = [items] if split is None else [items[:split], items[split:]]
    number = 0
    for part in parts:
        for pairs in part:
            forest.add(number, pairs)
            number += 1
        finish(forest, ran, limit, rows)
    return ran


def finish(forest: Forest, ran: Ran, limit: int, rows: int = 10**6) -> None:
    while (pack := forest.next(limit, rows)) is not None:
        assert len(pack.tokens) <= limit
        assert len(set(pack.nodes)) <= rows
        ran.packs.append(pack)
        for score in forest.receive(pack, *ran.model.run(pack)):
            assert score.ticket not in ran.found
            ran.found[score.ticket] = score
    assert len(forest) == 0


def check(items: Sequence[Sequence[Pair]], found: dict[int, Scored]) -> None:
    for number, score in found.items():
        logprob, is_greedy = direct(items[number])
        assert score.logprob == pytest.approx(logprob, abs=1e-9)
        assert score.is_greedy == is_greedy
        assert score.tokens == sum(len(c) + len(k) for c, k in items[number])


def trie(items: Sequence[Sequence[Pair]]) -> set[Ids]:
    """Every prefix that must pass through a model."""
    wanted = {(*c, *k[:-1]) for pairs in items for c, k in pairs}
    return {p[:n] for p in wanted for n in range(1, len(p) + 1)}


token_ids = st.integers(0, VOCABULARY - 1)
contexts = st.lists(token_ids, min_size=1, max_size=7).map(tuple)
continuations = st.lists(token_ids, min_size=1, max_size=5).map(tuple)
pairs = st.tuples(contexts, continuations)
several = st.lists(st.lists(pairs, min_size=1, max_size=3), min_size=1, max_size=9)
one_context = st.builds(
    lambda context, found: [[(context, k)] for k in found],
    contexts,
    st.lists(continuations, min_size=1, max_size=12),
)
nested = st.builds(
    # Contexts and continuations cut out of one text: prefixes of one another, all of them.
    lambda text, cuts: [[(text[:a], text[a : a + b])] for a, b in cuts if text[a : a + b]],
    st.lists(token_ids, min_size=8, max_size=12).map(tuple),
    st.lists(st.tuples(st.integers(1, 8), st.integers(1, 5)), min_size=1, max_size=8),
).filter(bool)
batches = st.one_of(several, one_context, nested)


@given(batches, st.integers(1, 20), st.integers(1, 6))
def test_scores_equal_direct_sums(items: list[list[Pair]], limit: int, rows: int) -> None:
    ran = run(items, limit, rows)
    assert sorted(ran.found) == list(range(len(items)))
    check(items, ran.found)


@given(batches, st.integers(1, 20), st.integers(1, 6))
def test_each_token_of_the_trie_goes_through_once(
    items: list[list[Pair]], limit: int, rows: int
) -> None:
    """Oracle: the set of prefixes."""
    ran = run(items, limit, rows)
    assert len(ran.model.nodes) == len(set(ran.model.nodes))
    assert set(ran.model.nodes) == trie(items)
    assert ran.model.nodes == sorted(ran.model.nodes)
    assert ran.cost.trie == ran.cost.floor == ran.cost.planned == ran.cost.computed
    assert ran.cost.computed == ran.model.computed == len(trie(items))
    assert ran.cost.naive == sum(len(c) + len(k) for item in items for c, k in item)
    assert ran.cost.requests == len(items)
    assert ran.cost.asks == len(ran.packs)


@given(batches, st.integers(1, 20), st.integers(0, 9))
def test_shares_add_up_to_what_was_computed(
    items: list[list[Pair]], limit: int, split: int
) -> None:
    ran = run(items, limit, split=split)
    assert sum(score.computed for score in ran.found.values()) == ran.model.computed
    assert all(0 <= score.computed <= score.tokens for score in ran.found.values())


@given(batches, st.integers(1, 20), st.integers(0, 9))
def test_later_jobs_go_on_from_the_path(items: list[list[Pair]], limit: int, split: int) -> None:
    ran = run(items, limit, split=split)
    assert sorted(ran.found) == list(range(len(items)))
    check(items, ran.found)


def test_the_same_context_again_costs_its_last_token() -> None:
    context = tuple(n % VOCABULARY for n in range(50))
    ran = run([[(context, (1,))], [(context, (2,))]], 100, split=1)
    check([[(context, (1,))], [(context, (2,))]], ran.found)
    assert [len(pack.tokens) for pack in ran.packs] == [50, 1]
    assert [ran.found[n].computed for n in range(2)] == [50, 1]


@given(
    batches,
    st.integers(1, 12),
    st.one_of(st.sets(st.integers(0, 12), max_size=4), st.just(set(range(1000)))),
)
def test_a_failed_pack_loses_its_own_jobs_alone(
    items: list[list[Pair]], limit: int, failing: set[int]
) -> None:
    forest, model = Forest(), ToyModel()
    for number, item in enumerate(items):
        forest.add(number, item)
    found: dict[int, Scored] = {}
    lost: list[int] = []
    count = 0
    while (pack := forest.next(limit, 10**6)) is not None:
        if count in failing:
            model.path = []
            named = forest.fail(pack)
            assert named
            lost += named
        else:
            found |= {s.ticket: s for s in forest.receive(pack, *model.run(pack))}
        count += 1
    assert len(lost) == len(set(lost))
    assert sorted([*found, *lost]) == list(range(len(items)))
    check(items, found)
    assert len(forest) == 0
    assert forest.cost.redone == len(failing & set(range(count)))
    assert all(0 <= score.computed <= score.tokens for score in found.values())


def test_one_token_choices_need_the_context_alone() -> None:
    ran = run([[((1, 2, 3), (n,))] for n in range(4)], 100)
    (pack,) = ran.packs
    assert list(pack.tokens) == [1, 2, 3]
    assert list(pack.nodes) == [2] * 4
    assert list(pack.labels) == [0, 1, 2, 3]


def test_rows_are_read_where_something_is_wanted() -> None:
    context = (0,) * 30
    (pack,) = run([[(context, (n, 1, 2))] for n in range(4)], 100).packs
    # The context's last token, and two of each choice.
    assert sorted(set(pack.nodes)) == list(range(29, 38))


def test_duplicates_are_computed_once() -> None:
    pair: Pair = ((1, 2), (3, 0))
    ran = run([[pair]] * 5 + [[pair, pair]], 100)
    assert ran.model.computed == 3
    check([[pair]] * 5 + [[pair, pair]], ran.found)
    assert [ran.found[n].computed for n in range(6)] == [3, 0, 0, 0, 0, 0]


def test_jobs_that_come_while_others_are_walked_wait_for_the_next_walk() -> None:
    forest, ran = Forest(), Ran({}, ToyModel(), Cost(), [])
    items: list[list[Pair]] = [[((2, 1, 1), (0, 3))], [((1, 1), (2,))], [((2, 1, 1), (0, 2))]]
    forest.add(0, items[0])
    pack = forest.next(2, 10)
    assert pack is not None
    assert forest.receive(pack, *ran.model.run(pack)) == []
    forest.add(1, items[1])
    forest.add(2, items[2])
    finish(forest, ran, 2)
    check(items, ran.found)
    assert len(ran.found) == 3


def test_a_hundred_thousand_jobs_are_unfolded_one_context_at_a_time() -> None:
    forest = Forest()
    for number in range(20_000):
        forest.add(number, [((0, 1, number // 4), (1, number % 4, 2))])
    done = 0
    while (pack := forest.next(64, 64)) is not None:
        branches = {id(branch.group) for branch in pack.branches}
        assert len(branches) <= 64
        answers = [-1.0] * len(pack.branches), [True] * len(pack.branches)
        done += sum(score.logprob == -3.0 for score in forest.receive(pack, *answers))
    assert done == 20_000
    assert forest.cost.computed == 2 + 5_000 * (1 + 1 + 4)


def shapes(depths: list[int]) -> list[int]:
    """Depths as packs have them: never more than one deeper than the token before."""
    found = [depths[0]]
    for depth in depths[1:]:
        found.append(min(depth, found[-1] + 1))
    return found


@given(st.lists(st.integers(0, 6), min_size=1, max_size=20).map(shapes))
def test_shapes_equal_walks_up_the_tree(depths: list[int]) -> None:
    """Oracle: parents looked up one by one."""
    base = depths[0]
    below = ends(depths)
    for n, depth in enumerate(depths):
        ancestors, wanted = {n}, depth - 1
        for m in range(n - 1, -1, -1):
            if depths[m] == wanted:
                ancestors.add(m)
                wanted -= 1
        assert {m for m in range(n + 1) if n < below[m]} == ancestors
        # What the pack lacks lies on the path before it.
        assert wanted + 1 == min(depths[: n + 1])
    expected = [*range(wanted + 1), *(base + m for m in sorted(ancestors))]
    assert path_slots(array("i", depths)) == expected


# --- through real models --------------------------------------------------------------------

WORDS = 64
LENGTH = 40
SIZES: dict[str, Any] = {
    "vocab_size": WORDS,
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
            vocab_size=WORDS, n_embd=32, n_layer=2, n_head=4, n_positions=64,
            initializer_range=0.3, bos_token_id=1, eos_token_id=2,
        )
    )  # fmt: skip


def mixtral() -> Any:
    from transformers import MixtralConfig

    return built(MixtralConfig(**SIZES, num_local_experts=4))


def bloom() -> Any:
    from transformers import BloomConfig

    return built(
        BloomConfig(vocab_size=WORDS, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3)
    )


def mamba() -> Any:
    from transformers import MambaConfig

    return built(MambaConfig(vocab_size=WORDS, hidden_size=32, num_hidden_layers=2))


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
        return [draw.randrange(3, WORDS) for _ in range(draw.randint(low, high))]

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


@pytest.mark.parametrize(
    "make",
    [
        llama,
        *(pytest.param(m, marks=pytest.mark.slow) for m in (eager, mistral, qwen3, gpt2, mixtral)),
        gemma3,
    ],
)
@pytest.mark.parametrize("limit", [pytest.param(7, marks=pytest.mark.slow), 1000])
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
