"""Decode steps as `benchmarks/schedule.py` counts them, against counts made by hand and bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.schedule import (
    LIMITS,
    Conversation,
    bound,
    conversations,
    decode_steps,
    four_characters,
    orders,
)


def alpaca(*lengths: int) -> list[Conversation]:
    return [Conversation("alpaca_eval", (n,)) for n in lengths]


def test_by_hand() -> None:
    #  slot 1: 1 1 9 9 9 9 9 9 9 9 9     slot 1: 9 9 9 9 9 9 9 9 9
    #  slot 2: 2 2 2                     slot 2: 2 2 1
    samples = alpaca(1, 2, 9)
    assert decode_steps(samples, 2) == 1 + 9
    assert decode_steps(samples, 2, [s.turns for s in samples]) == 9
    assert bound(samples, 2) == 9
    assert decode_steps(samples, 1) == bound(samples, 1) == 12
    # A second turn begins when the first has ended, and before what has not begun.
    two = [Conversation("mt_bench", (3, 4)), *alpaca(5, 5)]
    assert decode_steps(two, 2, [s.turns for s in two]) == 10
    assert decode_steps(two, 2) == bound(two, 2) == 9


@given(
    st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=3), min_size=1, max_size=20),
    st.integers(1, 6),
)
def test_no_order_beats_the_bound_or_leaves_slots_idle(
    lengths: list[list[int]], slots: int
) -> None:
    samples = [Conversation("mt_bench", tuple(turns)) for turns in lengths]
    guesses = [[sum(turns) % 7 for _ in turns] for turns in lengths]
    longest = max(sum(turns) for turns in lengths)
    total = sum(sum(turns) for turns in lengths)
    for order in (None, guesses, lengths):
        steps = decode_steps(samples, slots, order)
        assert bound(samples, slots) <= steps <= total / slots + longest


@pytest.mark.data
def test_the_tables_orders(public_data: Path) -> None:
    """FACTS of the data: 805 + 80 + 1319 samples; the tools' counts are sums by definition."""
    mine = conversations(public_data, "zephyr-7b-beta", "zephyr-7b-beta", four_characters)
    other = conversations(public_data, "notus-7b-v1", "vicuna-13b-v1.3", four_characters)
    assert len(mine) == len(other) == 2204
    assert all(max(s.turns) <= LIMITS[s.benchmark] for s in mine)
    counted = orders(mine, other, 64)
    turns = [n for s in mine if s.benchmark == "mt_bench" for n in s.turns]
    outputs = [s.turns[0] for s in mine if s.benchmark == "alpaca_eval"]
    assert counted["FastChat, one at a time"] == sum(turns)
    chunks = sum(max(outputs[at : at + 64]) for at in range(0, 805, 64))
    assert counted["alpaca-eval, chunks of 64"] == chunks
    assert counted["bound"] == -(-sum(sum(s.turns) for s in mine) // 64)
    assert counted["by the same model's lengths"] <= 1.01 * counted["bound"]
    assert counted["by another model's lengths"] <= 1.05 * counted["bound"]
    assert counted["three tools in sequence"] > 5 * counted["one pool, as submitted"]
