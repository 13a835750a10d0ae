"""The scoring plan against a toy model with a block cache that hides rows as vLLM's does."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evalkit.engines._scoring import (
    MAX_LABELS,
    Answer,
    Ask,
    Cost,
    Pair,
    Score,
    Scoring,
    common,
    decode,
    encode,
    length,
    rolling_windows,
    token_at,
)

from .conftest import VOCABULARY, Ids, direct, distribution, greedy


class ToyEngine:
    """Answers asks; caches full blocks; rows of cached positions come back as garbage.

    `capacity` blocks are kept, the least recently used is dropped first; None: all are.
    """

    def __init__(self, block: int, capacity: int | None = None) -> None:
        self.block = block
        self.capacity = capacity
        self.blocks: dict[Ids, None] = {}
        self.computed = 0
        self.rows = 0

    def cached(self, prompt: Ids) -> int:
        n = 0
        while n + self.block < len(prompt) and prompt[: n + self.block] in self.blocks:
            n += self.block
        return n

    def ask(self, ask: Ask, *, uncached: bool = False) -> tuple[Answer, int]:
        prompt = tuple(ask.prompt)
        cached = 0 if uncached else self.cached(prompt)
        for end in range(self.block, len(prompt) + 1, self.block):
            self.blocks.pop(prompt[:end], None)
            self.blocks[prompt[:end]] = None
        while self.capacity is not None and len(self.blocks) > self.capacity:
            del self.blocks[next(iter(self.blocks))]
        self.computed += len(prompt) - cached
        positions = range(ask.first_row, len(prompt) - 1) if ask.first_row is not None else ()
        self.rows += len(positions)
        rows = [
            distribution(prompt[: p + 1])[prompt[p + 1]] if p >= cached else 99.0 for p in positions
        ]
        tops = [greedy(prompt[: p + 1]) == prompt[p + 1] for p in positions]
        labels = {t: distribution(prompt)[t] for t in ask.labels}
        return Answer(len(prompt) - cached, greedy(prompt), labels, rows, tops), cached


@dataclass
class Ran:
    found: dict[int, Score]
    engine: ToyEngine
    cost: Cost
    asks: list[Ask]


def run(
    items: list[list[Pair]],
    block: int,
    *,
    capacity: int | None = None,
    hold: int = 1,
) -> Ran:
    """Ask everything; `hold` answers are kept back and then given in reverse."""
    scoring, engine = Scoring(items, block), ToyEngine(block, capacity)
    found: dict[int, Score] = {}
    asks: list[Ask] = []
    held: list[tuple[int, Answer]] = []
    while (following := scoring.next()) is not None:
        number, ask = following
        asks.append(ask)
        answer, cached = engine.ask(ask)
        if scoring.hidden(number, cached):
            answer, _ = engine.ask(ask, uncached=True)
        held.append((number, answer))
        if len(held) >= hold:
            give(scoring, held, found)
    give(scoring, held, found)
    return Ran(found, engine, scoring.cost, asks)


def give(scoring: Scoring, held: list[tuple[int, Answer]], found: dict[int, Score]) -> None:
    while held:
        for score in scoring.receive(*held.pop()):
            assert score.item not in found
            found[score.item] = score


def check(items: list[list[Pair]], found: dict[int, Score]) -> None:
    assert sorted(found) == list(range(len(items)))
    for number, score in found.items():
        logprob, is_greedy = direct(items[number])
        assert score.logprob == pytest.approx(logprob, abs=1e-9)
        assert score.is_greedy == is_greedy


token_ids = st.integers(0, VOCABULARY - 1)
contexts = st.lists(token_ids, min_size=1, max_size=7).map(tuple)
continuations = st.lists(token_ids, min_size=1, max_size=5).map(tuple)
pairs = st.tuples(contexts, continuations)
pairs_of_items = st.lists(st.lists(pairs, min_size=1, max_size=2), min_size=1, max_size=8)
one_context = st.builds(
    lambda context, found: [[(context, k)] for k in found],
    contexts,
    st.lists(continuations, min_size=1, max_size=12),
)
batches = st.one_of(pairs_of_items, one_context)


@given(batches, st.integers(1, 4), st.integers(1, 5))
def test_scores_equal_direct_sums(items: list[list[Pair]], block: int, hold: int) -> None:
    ran = run(items, block, hold=hold)
    check(items, ran.found)
    assert ran.cost.requests == len(items)
    assert ran.cost.asks == len(ran.asks)


@given(batches, st.integers(1, 4), st.integers(1, 6))
def test_a_cache_that_is_too_small_changes_no_number(
    items: list[list[Pair]], block: int, capacity: int
) -> None:
    check(items, run(items, block, capacity=capacity).found)


# One prompt wanted by two contexts; a context whose first block an earlier one's prompt has.
@example([[((0,), (0, 0)), ((0, 0), (0,))]], 2)
@example([[((2,), (0, 0, 0))], [((0,), (0,)), ((2, 0, 1), (0, 0))]], 2)
@given(batches, st.integers(1, 4))
def test_asks_are_in_trie_order(items: list[list[Pair]], block: int) -> None:
    prompts = [tuple(ask.prompt) for ask in run(items, block).asks]
    assert all(prompts)
    assert prompts == sorted(set(prompts))


@given(batches, st.integers(1, 4))
def test_costs_are_what_they_say(items: list[list[Pair]], block: int) -> None:
    """Oracles: sets of prefixes, and the toy engine's own account."""
    ran = run(items, block)
    wanted = {(*c, *k[:-1]) for pairs in items for c, k in pairs}
    prefixes = {p[:n] for p in wanted for n in range(1, len(p) + 1)}
    assert ran.cost.trie == len(prefixes)
    leaves = {p for p in wanted if not any(len(q) > len(p) and q[: len(p)] == p for q in wanted)}
    whole = {p[:n] for p in leaves for n in range(block, len(p) + 1, block)}
    assert ran.cost.floor == len(whole) * block + sum(len(p) % block for p in leaves)
    assert ran.cost.naive == sum(len(c) + len(k) for pairs in items for c, k in pairs)
    assert ran.cost.computed == ran.engine.computed
    if not ran.cost.redone:
        assert ran.cost.planned == ran.engine.computed
    assert ran.cost.trie <= ran.cost.floor <= ran.cost.planned


@given(one_context, st.integers(1, 4))
def test_choices_of_one_question_are_never_asked_again(items: list[list[Pair]], block: int) -> None:
    ran = run(items, block)
    assert ran.cost.redone == 0
    assert ran.cost.planned == ran.engine.computed


@given(batches, st.integers(1, 4))
def test_shares_of_items_never_exceed_the_whole(items: list[list[Pair]], block: int) -> None:
    ran = run(items, block)
    assert sum(score.computed for score in ran.found.values()) <= ran.engine.computed


def test_one_token_choices_share_one_ask() -> None:
    context = (1, 2, 3)
    asks = run([[(context, (n,))] for n in range(4)], 16).asks
    assert asks == [Ask(encode(context), (0, 1, 2, 3))]


def test_more_labels_than_an_ask_takes_are_split() -> None:
    items: list[list[Pair]] = [[((5,), (n,))] for n in range(MAX_LABELS + 1)]
    scoring = Scoring(items, 16)
    first, second = scoring.next(), scoring.next()
    assert first
    assert second
    assert scoring.next() is None
    assert [len(ask.labels) for _, ask in (first, second)] == [MAX_LABELS, 1]
    assert scoring.receive(second[0], Answer(1, 0, {MAX_LABELS: -1.0})) == []
    scores = scoring.receive(first[0], Answer(1, 0, dict.fromkeys(range(MAX_LABELS), -2.0)))
    assert {s.item: s.logprob for s in scores}[MAX_LABELS] == -1.0


def test_duplicates_are_asked_once() -> None:
    pair: Pair = ((1, 2), (3, 0))
    ran = run([[pair]] * 5, 2)
    assert len({(s.logprob, s.is_greedy) for s in ran.found.values()}) == 1
    assert ran.engine.computed == run([[pair]], 2).engine.computed


def test_a_shared_context_is_computed_once() -> None:
    context = tuple(n % VOCABULARY for n in range(33))
    items: list[list[Pair]] = [[(context, (n, 0, 1))] for n in range(4)]
    ran = run(items, 4)
    # 32 context tokens once (the warm ask), then the last one and two more for each choice.
    assert ran.engine.computed == 32 + 4 * 3
    assert ran.cost.naive == 4 * 36
    # Rows are wanted for the choices alone: each costs a pass through the whole vocabulary.
    assert ran.engine.rows == 4 * 2


def test_a_common_beginning_longer_than_a_block_is_not_asked_again() -> None:
    context, common_part = (1, 2, 3, 0), (2, 2, 1, 3, 0, 1)
    items: list[list[Pair]] = [[(context, (*common_part, n, 0))] for n in range(4)]
    ran = run(items, 2)
    check(items, ran.found)
    assert ran.cost.redone == 0
    assert ran.engine.computed == ran.cost.planned == ran.cost.floor


def test_a_row_that_another_context_hides_is_noticed() -> None:
    # The second context is the first one's question with its answer: it is computed first.
    items: list[list[Pair]] = [
        [((1, 2), (0, 1, 2, 3, 2))],
        [((1, 2, 0, 1, 2, 2), (0, 1))],
    ]
    ran = run(items, 2)
    check(items, ran.found)
    assert ran.cost.redone == 1


def test_a_failed_ask_names_its_items_once() -> None:
    items: list[list[Pair]] = [
        [((1,), (2,))],
        [((1,), (3, 1))],
        [((2,), (3,)), ((1,), (0, 0, 0))],
    ]
    scoring = Scoring(items, 16)
    asks = [scoring.next() for _ in range(4)]
    numbers = [ask[0] for ask in asks if ask is not None]
    assert len(numbers) == 4
    assert scoring.next() is None
    assert scoring.fail(numbers[0]) == [0, 1, 2]
    assert scoring.fail(numbers[1]) == []
    # What the others would have given comes too late.
    assert (
        scoring.receive(numbers[2], Answer(1, 0, {0: -1.0, 1: -1.0, 3: -1.0}, [-1.0], [True])) == []
    )
    assert scoring.receive(numbers[3], Answer(1, 0, {3: -1.0})) == []


def test_planning_needs_no_more_than_what_is_open() -> None:
    """A context is planned when its turn comes and forgotten when its answers are in."""
    items: list[list[Pair]] = [[((0, n), (1, 2))] for n in range(1000)]
    scoring = Scoring(items, 16)
    most = 0
    while (following := scoring.next()) is not None:
        number, ask = following
        most = max(most, len(scoring._open))
        scoring.receive(number, ToyEngine(16).ask(Ask(ask.key, ask.labels, ask.first_row))[0])
    assert most == 1


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 12))
def test_rolling_windows_equal_lm_evals(ids: list[int], size: int) -> None:
    """Oracle: lm_eval.utils."""
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    oracle = [
        make_disjoint_window(window)
        for window in get_rolling_token_windows(
            ids, prefix_token=99, max_seq_len=size, context_len=1
        )
    ]
    assert rolling_windows(ids, 99, size) == [(tuple(c), tuple(k)) for c, k in oracle]


@given(st.lists(st.integers(0, 2**31 - 1)), st.lists(st.integers(0, 2**31 - 1)))
def test_keys_sort_as_sequences(a: list[int], b: list[int]) -> None:
    assert decode(encode(a)) == a
    assert (encode(a) < encode(b)) == (a < b)
    assert length(encode(a)) == len(a)
    assert [token_at(encode(a), n) for n in range(-len(a), len(a))] == a + a


@given(st.lists(st.integers(0, 2), max_size=9), st.lists(st.integers(0, 2), max_size=9))
def test_common_beginnings(a: list[int], b: list[int]) -> None:
    same = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
    assert common(encode(a), encode(b)) == (min(len(a), len(b)) if same is None else same)
