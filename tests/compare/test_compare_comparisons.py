"""Candidates against baselines: pairing, roles, direction, what is missing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import scipy.stats

from evalkit.compare import comparisons, estimates
from evalkit.core import Metric, Record, Score
from evalkit.errors import ComparisonError

MakeRecord = Callable[..., Record]
ACC = Metric("acc", "percent", scale=100, primary=True, by_category=True)
METRICS = {"b": {"t": [ACC]}}
ROLES = {"new": "candidate", "new2": "candidate", "old": "baseline", "gpt": "published"}


def scored(record: MakeRecord, model: str, values: dict[str, float]) -> list[Record]:
    return [record(model, key, [Score("acc", value)]) for key, value in values.items()]


def test_paired_on_common_samples_in_percent(record: MakeRecord) -> None:
    new = {"1": 1.0, "2": 1.0, "3": 0.0, "4": 1.0, "only new": 0.0}
    old = {"1": 0.0, "2": 1.0, "3": 0.5, "4": 0.0}
    records = [
        *scored(record, "new", new),
        *scored(record, "old", old),
        record("old", "only new", status="refused"),
    ]
    (row,) = comparisons(records, METRICS, ROLES, 0.9)
    oracle = scipy.stats.ttest_rel([100, 100, 0, 100], [0, 100, 50, 0])
    assert (row.candidate, row.baseline, row.difference) == ("new", "old", 37.5)
    assert row.p == pytest.approx(oracle.pvalue)
    assert row.low == pytest.approx(oracle.confidence_interval(0.9).low)
    assert (row.wins, row.losses, row.ties, row.n) == (2, 1, 1, 4)
    assert (row.n_missing_candidate, row.n_missing_baseline) == (0, 1)


def test_every_candidate_meets_every_baseline_and_nobody_else(record: MakeRecord) -> None:
    records = [r for m in ("new", "new2", "old", "gpt") for r in scored(record, m, {"1": 1.0})]
    roles = {**ROLES, "old": "baseline"}
    rows = comparisons(records, METRICS, roles, 0.95)
    assert [(r.candidate, r.baseline) for r in rows] == [("new", "old"), ("new2", "old")]


def test_where_lower_is_better_a_win_is_lower(record: MakeRecord) -> None:
    loss = Metric("acc", "raw", higher_is_better=False)
    records = [
        *scored(record, "new", {"1": 1.0, "2": 1.0, "3": 5.0}),
        *scored(record, "old", {"1": 2.0, "2": 3.0, "3": 4.0}),
    ]
    (row,) = comparisons(records, {"b": {"t": [loss]}}, ROLES, 0.95)
    assert (row.wins, row.losses, row.higher_is_better) == (2, 1, False)
    assert row.difference == pytest.approx(-2 / 3)


def test_categories_and_parts_are_paired_each_by_itself(record: MakeRecord) -> None:
    rating = Metric("score", "points", by_category=True, parts=("turn_1", "turn_2"))

    def rated(model: str, sample: str, category: str, *turns: float) -> Record:
        scores = [Score("score", v, f"turn_{i}") for i, v in enumerate(turns, 1)]
        return record(model, sample, scores, category=category)

    records = [
        rated("new", "81", "writing", 8, 7),
        rated("new", "91", "math", 3),
        rated("old", "81", "writing", 6, 7),
        rated("old", "91", "math", 4, 9),
    ]
    whole, writing, math = comparisons(records, {"b": {"t": [rating]}}, ROLES, 0.95)
    assert (whole.category, writing.category, math.category) == (None, "writing", "math")
    assert whole.difference == pytest.approx(1 / 3)
    assert (whole.n, whole.n_clusters) == (3, 2)
    assert (writing.difference, writing.wins, writing.ties) == (1.0, 1, 1)
    assert (math.difference, math.n, math.n_missing_candidate) == (-1.0, 1, 1)
    assert (math.standard_error, math.p) == (None, None)


def test_nothing_in_common_is_undefined(record: MakeRecord) -> None:
    records = [*scored(record, "new", {"1": 1.0}), *scored(record, "old", {"2": 1.0})]
    (row,) = comparisons(records, METRICS, ROLES, 0.95)
    assert (row.difference, row.p, row.n, row.wins) == (None, None, 0, 0)
    assert "no common" in row.method


def test_different_clusters_are_different_samples(record: MakeRecord) -> None:
    score = [Score("acc", 1.0)]
    records = [record("new", "1", score, cluster="a"), record("old", "1", score, cluster="b")]
    with pytest.raises(ComparisonError, match="not the same samples"):
        comparisons(records, METRICS, ROLES, 0.95)


def test_difference_of_complete_runs_is_the_difference_of_estimates(record: MakeRecord) -> None:
    new, old = {str(i): i % 3 / 2 for i in range(20)}, {str(i): i % 2 / 1 for i in range(20)}
    records = [*scored(record, "new", new), *scored(record, "old", old)]
    (row,) = comparisons(records, METRICS, ROLES, 0.95)
    first, second = (e.point for e in estimates(records, METRICS, 0.95))
    assert first is not None
    assert second is not None
    assert row.difference == pytest.approx(first - second)
