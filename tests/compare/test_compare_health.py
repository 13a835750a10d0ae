"""What a run says about its judges."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evalkit.compare import judge_health
from evalkit.core import Judgment, Record, Status

MakeRecord = Callable[..., Record]


def pair(first: float, second: float) -> Judgment:
    return Judgment("j", "pairwise", "ok", (first + second) / 2, votes=(first, second))


def failed(status: Status) -> Judgment:
    return Judgment("j", "pairwise", status, None)


def test_a_judge_that_always_takes_the_first(record: MakeRecord) -> None:
    records = [record("m", str(i), judgments=[pair(1.0, 0.0)]) for i in range(5)]
    (row,) = judge_health(records)
    assert (row.position_bias, row.position_bias_se) == (50.0, 0.0)
    assert (row.order_disagreement, row.vote_margin) == (1.0, 50.0)


def test_a_judge_that_reads_the_answers_has_no_bias(record: MakeRecord) -> None:
    records = [record("m", str(i), judgments=[pair(i % 2, i % 2)]) for i in range(6)]
    (row,) = judge_health(records)
    assert (row.position_bias, row.order_disagreement) == (0.0, 0.0)


def test_counts_and_mixed_votes(record: MakeRecord) -> None:
    judgments = [pair(0.9, 0.3), pair(0.5, 0.1), failed("unparsable"), failed("transport_error")]
    records = [record("m", str(i), judgments=[j]) for i, j in enumerate(judgments)]
    (row,) = judge_health(records)
    assert (row.asked, row.parsed, row.unparsable, row.failed, row.pairs) == (4, 2, 1, 1, 2)
    assert row.position_bias == pytest.approx((30 + 20) / 2)
    assert row.position_bias_se == pytest.approx(5.0)
    assert row.order_disagreement == 0.5, "an even vote prefers neither"
    assert row.vote_margin == pytest.approx((40 + 20 + 0 + 40) / 4)


def test_bias_is_clustered_by_sample_over_models(record: MakeRecord) -> None:
    votes = {"1": pair(0.8, 0.2), "2": pair(0.6, 0.6)}
    once = judge_health([record("m", k, judgments=[j]) for k, j in votes.items()])[0]
    twice = judge_health([record(m, k, judgments=[j]) for m in "mn" for k, j in votes.items()])[0]
    assert twice.pairs == 4
    assert twice.position_bias_se == pytest.approx(once.position_bias_se)


def test_a_rating_judge_has_no_position(record: MakeRecord) -> None:
    ratings = [Judgment("r", "rating_text", "ok", 7.0, part=f"turn_{i}") for i in (1, 2)]
    (row,) = judge_health([record("m", "1", judgments=ratings)])
    assert (row.asked, row.parsed, row.pairs) == (2, 2, 0)
    assert (row.position_bias, row.order_disagreement, row.vote_margin) == (None, None, None)
