"""Figures of one model: what enters, what is missing, in which order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.compare import estimates
from evalkit.core import Metric, Outcome, Record, Score, Status
from evalkit.errors import BenchmarkError

MakeRecord = Callable[..., Record]
ACC = Metric("acc", "percent", scale=100, primary=True)
RATING = Metric("score", "points", primary=True, by_category=True, parts=("turn_1", "turn_2"))


def test_percent_with_failed_samples_counted_not_scored(record: MakeRecord) -> None:
    records = [
        *(record("m", str(i), [Score("acc", float(i < 3))]) for i in range(4)),
        record("m", "4", status="engine_error"),
        record("m", "5", [Score("acc", 1.0)], status="excluded"),
    ]
    (row,) = estimates(records, {"b": {"t": [ACC]}}, 0.95)
    assert (row.point, row.n, row.n_clusters, row.n_missing) == (75.0, 4, 4, 2)
    assert row.standard_error == pytest.approx(25.0)
    assert (row.unit, row.level, row.category) == ("percent", 0.95, None)
    # statsmodels.stats.proportion.proportion_confint(3, 4, 0.05, "wilson")
    assert row.low == pytest.approx(30.06418425824)
    assert row.high == pytest.approx(95.44127391902)


def test_two_turns_cluster_by_question_and_split_by_category(record: MakeRecord) -> None:
    def turns(first: float, second: float) -> list[Score]:
        return [Score("score", first, "turn_1"), Score("score", second, "turn_2")]

    records = [
        record("m", "81", turns(8, 6), category="writing"),
        record("m", "82", turns(4, 2), category="writing"),
        record("m", "91", [Score("score", 9, "turn_1")], status="unparsable", category="math"),
    ]
    whole, writing, math = estimates(records, {"b": {"t": [RATING]}}, 0.95)
    assert [row.category for row in (whole, writing, math)] == [None, "writing", "math"]
    assert (whole.point, whole.n, whole.n_clusters, whole.n_missing) == (5.8, 5, 3, 1)
    assert (writing.point, writing.n, writing.n_missing) == (5.0, 4, 0)
    assert writing.standard_error == pytest.approx(2.0), "√(2/1 · (4² + 4²))/4"
    assert (math.point, math.standard_error, math.n_missing) == (9.0, None, 1)


def test_rows_come_model_by_model_in_report_order(record: MakeRecord) -> None:
    other = Metric("norm", "percent", scale=100)
    scores = [Score("acc", 1.0), Score("norm", 0.0)]
    records = [record(m, s, scores) for m in ("z", "a") for s in ("2", "1")]
    rows = estimates(records, {"unasked": {"x": [ACC]}, "b": {"t": [ACC, other]}}, 0.9)
    assert [(r.model, r.metric) for r in rows] == [
        ("z", "acc"),
        ("z", "norm"),
        ("a", "acc"),
        ("a", "norm"),
    ]


def test_all_failed_is_undefined_not_zero(record: MakeRecord) -> None:
    records = [record("m", str(i), status="transport_error") for i in range(3)]
    (row,) = estimates(records, {"b": {"t": [ACC]}}, 0.95)
    assert (row.point, row.standard_error, row.low, row.high) == (None,) * 4
    assert (row.n, row.n_missing) == (0, 3)


def test_a_corpus_metric_has_no_row_here(record: MakeRecord) -> None:
    records = [record("m", "1", [Score("acc", 1.0)])]
    corpus = Metric("bleu", "raw")
    rows = estimates(records, {"b": {"t": [ACC, corpus]}}, 0.95)
    assert [row.metric for row in rows] == ["acc"]


def test_one_cluster_name_and_one_sample_name_do_not_meet(record: MakeRecord) -> None:
    score = [Score("acc", 1.0)]
    records = [record("m", "x", score), record("m", "1", score, cluster="x")]
    (row,) = estimates(records, {"b": {"t": [ACC]}}, 0.95)
    assert row.n_clusters == 2


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([Score("score", 1.0, "turn_3")], "part 'turn_3'.*'turn_1', 'turn_2'"),
        ([Score("score", 1.0, "turn_1")] * 2, "two scores 'score' for part 'turn_1'"),
    ],
)
def test_scores_no_metric_announces_are_refused(
    record: MakeRecord, scores: list[Score], message: str
) -> None:
    with pytest.raises(BenchmarkError, match=message):
        estimates([record("m", "1", scores)], {"b": {"t": [RATING]}}, 0.95)


def test_records_of_an_unknown_task_are_refused(record: MakeRecord) -> None:
    with pytest.raises(BenchmarkError, match=r"no metrics for task 't'.*expected one of other"):
        estimates([record("m", "1")], {"b": {"other": [ACC]}}, 0.95)


STATUSES: list[Status] = ["ok", "excluded", "refused"]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(STATUSES))))
def test_every_sample_is_either_scored_or_missing(samples: list[tuple[bool, Status]]) -> None:
    records = [
        Record("m", "b", "t", str(i), None, "", Outcome(status, scores=scores))
        for i, (scored, status) in enumerate(samples)
        for scores in [(Score("acc", 1.0),) if scored else ()]
    ]
    rows = estimates(records, {"b": {"t": [ACC]}}, 0.95)
    for row in rows:
        assert row.n + row.n_missing == len(samples)
        assert row.n == sum(scored and status != "excluded" for scored, status in samples)
    corpus_only = not any(scored for scored, _ in samples) and any(s == "ok" for _, s in samples)
    assert len(rows) == (0 if corpus_only or not samples else 1)
