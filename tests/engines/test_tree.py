"""The plan of a token forest against a toy model that holds one path, as the real pass does."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.engines._scoring import Cost, Pair
from evalkit.engines._tree import Forest, Pack, Scored, ends, path_slots

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


def direct(pairs: Sequence[Pair]) -> tuple[float, bool]:
    total, every = 0.0, True
    for context, continuation in pairs:
        for n, token in enumerate(continuation):
            prefix = (*context, *continuation[:n])
            total += distribution(prefix)[token]
            every = every and greedy(prefix) == token
    return total, every


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
