"""The scoring plan against a toy model with a block cache that hides rows as vLLM's does."""

from __future__ import annotations

import hashlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.engines._scoring import (
    MAX_LABELS,
    Answer,
    Ask,
    Pair,
    Score,
    Scoring,
    rolling_windows,
    rows_hidden,
)

Ids = tuple[int, ...]
VOCABULARY = 4


def distribution(prefix: Ids) -> list[float]:
    """Log-probabilities of the next token: any function of the whole prefix will do."""
    raw = hashlib.sha256(repr(prefix).encode()).digest()[:VOCABULARY]
    total = math.log(sum(byte + 1 for byte in raw))
    return [math.log(byte + 1) - total for byte in raw]


def greedy(prefix: Ids) -> int:
    row = distribution(prefix)
    return row.index(max(row))


class ToyEngine:
    """Answers asks; caches full blocks; rows of cached positions come back as garbage."""

    def __init__(self, block: int) -> None:
        self.block = block
        self.blocks: set[Ids] = set()
        self.computed = 0

    def cached(self, prompt: Ids) -> int:
        n = 0
        while n + self.block < len(prompt) and prompt[: n + self.block] in self.blocks:
            n += self.block
        return n

    def ask(self, ask: Ask, *, uncached: bool = False) -> tuple[Answer, int]:
        prompt = ask.prompt
        cached = 0 if uncached else self.cached(prompt)
        for end in range(self.block, len(prompt) + 1, self.block):
            self.blocks.add(prompt[:end])
        self.computed += len(prompt) - cached
        positions = range(ask.first_row, len(prompt) - 1) if ask.first_row is not None else ()
        rows = [
            distribution(prompt[: p + 1])[prompt[p + 1]] if p >= cached else 99.0 for p in positions
        ]
        tops = [greedy(prompt[: p + 1]) == prompt[p + 1] for p in positions]
        labels = {t: distribution(prompt)[t] for t in ask.labels}
        return Answer(len(prompt) - cached, greedy(prompt), labels, rows, tops), cached


def run(items: list[list[Pair]], block: int) -> tuple[dict[int, Score], ToyEngine, int]:
    scoring, engine, redone = Scoring(items, block), ToyEngine(block), 0
    found: dict[int, Score] = {}
    for index, ask in enumerate(scoring.asks):
        answer, cached = engine.ask(ask)
        if rows_hidden(ask, cached):
            redone += 1
            answer, _ = engine.ask(ask, uncached=True)
        for score in scoring.receive(index, answer):
            assert score.item not in found
            found[score.item] = score
    return found, engine, redone


def direct(pairs: list[Pair]) -> tuple[float, bool]:
    total, every = 0.0, True
    for context, continuation in pairs:
        for n, token in enumerate(continuation):
            prefix = context + continuation[:n]
            total += distribution(prefix)[token]
            every = every and greedy(prefix) == token
    return total, every


token_ids = st.integers(0, VOCABULARY - 1)
contexts = st.lists(token_ids, min_size=1, max_size=7).map(tuple)
continuations = st.lists(token_ids, min_size=1, max_size=5).map(tuple)
pairs_of_items = st.lists(
    st.lists(st.tuples(contexts, continuations), min_size=1, max_size=2), min_size=1, max_size=8
)


@given(pairs_of_items, st.integers(1, 4))
def test_scores_equal_direct_sums(items: list[list[Pair]], block: int) -> None:
    found, engine, redone = run(items, block)
    assert sorted(found) == list(range(len(items)))
    for number, score in found.items():
        logprob, is_greedy = direct(items[number])
        assert score.logprob == pytest.approx(logprob, abs=1e-9)
        assert score.is_greedy == is_greedy
    if not redone:
        assert sum(s.computed for s in found.values()) == engine.computed


@given(pairs_of_items, st.integers(1, 4))
def test_asks_are_in_trie_order_and_once(items: list[list[Pair]], block: int) -> None:
    asks = Scoring(items, block).asks
    prompts = [ask.prompt for ask in asks]
    assert prompts == sorted(set(prompts))
    assert all(ask.prompt for ask in asks)


def test_one_token_choices_share_one_ask() -> None:
    context = (1, 2, 3)
    asks = Scoring([[(context, (n,))] for n in range(4)], 16).asks
    assert asks == (Ask(context, (0, 1, 2, 3)),)


def test_more_labels_than_an_ask_takes_are_split() -> None:
    items: list[list[Pair]] = [[((5,), (n,))] for n in range(MAX_LABELS + 1)]
    scoring = Scoring(items, 16)
    assert [len(ask.labels) for ask in scoring.asks] == [MAX_LABELS, 1]
    assert scoring.receive(1, Answer(1, 0, {MAX_LABELS: -1.0})) == []
    scores = scoring.receive(0, Answer(1, 0, dict.fromkeys(range(MAX_LABELS), -2.0)))
    assert {s.item: s.logprob for s in scores}[MAX_LABELS] == -1.0


def test_duplicates_are_asked_once() -> None:
    pair: Pair = ((1, 2), (3, 0))
    found, engine, _ = run([[pair]] * 5, 2)
    assert len({(s.logprob, s.is_greedy) for s in found.values()}) == 1
    _, alone, _ = run([[pair]], 2)
    assert engine.computed == alone.computed


def test_a_shared_context_is_computed_once() -> None:
    context = tuple(n % VOCABULARY for n in range(33))
    items: list[list[Pair]] = [[(context, (n, 0, 1))] for n in range(4)]
    _, engine, _ = run(items, 4)
    # 32 context tokens once (the warm ask), then the last one and two more for each choice.
    assert engine.computed == 32 + 4 * 3
    naive = sum(len(c) + len(k) - 1 for ((c, k),) in items)
    assert engine.computed < naive / 3


def test_a_hidden_row_is_noticed() -> None:
    # The second item's context is a prefix of the first one's tail: its rows may be cached.
    items: list[list[Pair]] = [[((1, 2, 3), (0, 1, 2, 3, 1))], [((1, 2, 3), (0, 1, 2, 3, 1, 2))]]
    found, _, redone = run(items, 2)
    assert redone == 1
    assert found[1].logprob == pytest.approx(direct(items[1])[0])


def test_a_failed_ask_names_its_items() -> None:
    scoring = Scoring([[((1,), (2,))], [((1,), (3,))], [((2,), (3,))]], 16)
    assert [scoring.items_of(n) for n in range(2)] == [[0, 1], [2]]


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
