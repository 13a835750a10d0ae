"""Figures, paired comparisons and averages over tasks.

Oracles: scipy's and statsmodels' intervals and tests, the figures that the leaderboards' own code
computes (`average_v1`, `average_v2`), numpy for the stratified error, and a bootstrap of documents
for the delta method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from evalkit import catalogue
from evalkit.benchmarks import open_llm_leaderboard as leaderboard
from evalkit.benchmarks._lm_eval_scores import Aggregate
from evalkit.comparison.contests import same_averages
from evalkit.comparison.figures import average_comparisons, comparisons, figures
from evalkit.core import Outcome, Record, Score, Status
from evalkit.core.contests import Contest
from evalkit.core.figures import Average, Comparison, FigureKey, Metric
from evalkit.core.run import BenchmarkEntry, Run, TaskEntry
from evalkit.errors import BenchmarkError, ComparisonError
from tests.comparison.conftest import MakeRecord
from tests.support.compared import against, entry, keeping, one_model
from tests.support.leaderboards import ENTRY, SUBJECTS, V1_SIZES, V2_SIZES, board_run

ACC = Metric("acc", "percent", scale=100, primary=True)
RATING = Metric("score", "points", primary=True, by_category=True, parts=("turn_1", "turn_2"))
ROLES = {"new": "candidate", "new2": "candidate", "old": "baseline", "gpt": "published"}
RATES = {"a": 0.62, "b": 0.5}


def turns(*values: float) -> list[Score]:
    return [Score("score", v, f"turn_{i}") for i, v in enumerate(values, 1)]


def scored(record: MakeRecord, model: str, values: dict[str, float]) -> list[Record]:
    return [record(model, key, [Score("acc", value)]) for key, value in values.items()]


# --- figures of one model -----------------------------------------------------------------------


def test_percent_with_failed_samples_counted_not_scored(record: MakeRecord) -> None:
    records = [
        *(record("m", str(i), [Score("acc", float(i < 3))]) for i in range(4)),
        record("m", "4", status="engine_error"),
        record("m", "5", [Score("acc", 1.0)], status="excluded"),
    ]
    (row,) = figures(records, [entry(ACC)], 0.95)
    value = row.value
    assert (value.point, value.n, value.n_units, value.n_missing) == (75.0, 4, 4, 2)
    assert value.standard_error == pytest.approx(25.0)
    assert (row.unit, value.level, row.key.category) == ("percent", 0.95, None)
    # statsmodels.stats.proportion.proportion_confint(3, 4, 0.05, "wilson")
    assert value.low == pytest.approx(30.06418425824)
    assert value.high == pytest.approx(95.44127391902)


def test_two_turns_cluster_by_question_and_split_by_category(record: MakeRecord) -> None:
    records = [
        record("m", "81", turns(8, 6), category="writing"),
        record("m", "82", turns(4, 2), category="writing"),
        record("m", "91", turns(9), status="unparsable", category="math"),
    ]
    rows = figures(records, [entry(RATING)], 0.95)
    assert [row.key.category for row in rows] == [None, "writing", "math"]
    whole, writing, maths = (row.value for row in rows)
    assert (whole.point, whole.n, whole.n_units, whole.n_missing) == (5.8, 5, 3, 1)
    assert (writing.point, writing.n, writing.n_missing) == (5.0, 4, 0)
    assert writing.standard_error == pytest.approx(2.0), "√(2/1 · (4² + 4²))/4"
    assert (maths.point, maths.standard_error, maths.n_missing) == (9.0, None, 1)


def test_rows_come_model_by_model_in_report_order(record: MakeRecord) -> None:
    """A corpus metric, which no sample has a score of, has no row here."""
    scores = [Score("acc", 1.0), Score("norm", 0.0)]
    records = [record(m, s, scores) for m in ("z", "a") for s in ("2", "1")]
    other, corpus = Metric("norm", "percent", scale=100), Metric("bleu", "raw")
    entries = [entry(ACC, name="not run"), entry(ACC, other, corpus)]
    rows = figures(records, entries, 0.9)
    expected = [(model, metric) for model in ("z", "a") for metric in ("acc", "norm")]
    assert [(r.model, r.key.metric) for r in rows] == expected


def test_all_failed_is_undefined_not_zero(record: MakeRecord) -> None:
    records = [record("m", str(i), status="transport_error") for i in range(3)]
    (row,) = figures(records, [entry(ACC)], 0.95)
    value = row.value
    assert (value.point, value.standard_error, value.low, value.high) == (None,) * 4
    assert (value.n, value.n_missing) == (0, 3)


def test_one_cluster_name_and_one_sample_name_do_not_meet(record: MakeRecord) -> None:
    score = [Score("acc", 1.0)]
    records = [record("m", "x", score), record("m", "1", score, cluster="x")]
    (row,) = figures(records, [entry(ACC)], 0.95)
    assert row.value.n_units == 2


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
        figures([record("m", "1", scores)], [entry(RATING)], 0.95)
    with pytest.raises(BenchmarkError, match=r"no metrics for task 't'.*expected one of other"):
        figures([record("m", "1")], [entry(ACC, task="other")], 0.95)


STATUSES: list[Status] = ["ok", "excluded", "refused"]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(STATUSES))))
def test_every_sample_is_either_scored_or_missing(samples: list[tuple[bool, Status]]) -> None:
    records = [
        Record("m", "b", "t", str(i), None, "", Outcome(status, scores=scores))
        for i, (scored, status) in enumerate(samples)
        for scores in [(Score("acc", 1.0),) if scored else ()]
    ]
    rows = figures(records, [entry(ACC)], 0.95)
    for row in rows:
        assert row.value.n + row.value.n_missing == len(samples)
        assert row.value.n == sum(scored and status != "excluded" for scored, status in samples)
    corpus_only = not any(scored for scored, _ in samples) and any(s == "ok" for _, s in samples)
    assert len(rows) == (0 if corpus_only or not samples else 1)


POINTS = Metric("score", "points", primary=True)


def rated(values: list[float]) -> list[Record]:
    return [
        Record("m", "b", "t", str(n), None, "", Outcome("ok", scores=(Score("score", value),)))
        for n, value in enumerate(values)
    ]


@given(st.lists(st.floats(1, 10), min_size=2, max_size=12))
def test_no_interval_of_a_mean_leaves_the_scale(values: list[float]) -> None:
    """Within it the interval is scipy's; the mean and its error are never touched."""
    (row,) = figures(rated(values), [entry(POINTS)], 0.95)
    found = row.value
    if not found.standard_error:
        return
    low, high = scipy.stats.t.interval(
        0.95, len(values) - 1, loc=found.point, scale=found.standard_error
    )
    assert found.low == pytest.approx(max(low, 1.0), abs=1e-9)
    assert found.high == pytest.approx(min(high, 10.0), abs=1e-9)
    assert found.method.cut_to_scale == (low < 1 or high > 10)


def test_values_beyond_the_scale_are_not_hidden() -> None:
    """A task may define its points otherwise; then nothing is known of the scale."""
    (row,) = figures(rated([0.0, 11.0, 30.0]), [entry(POINTS)], 0.95)
    assert row.value.low is not None
    assert row.value.low < 0


# --- candidates against baselines ---------------------------------------------------------------


def test_paired_on_common_samples_in_percent(record: MakeRecord) -> None:
    new = {"1": 1.0, "2": 1.0, "3": 0.0, "4": 1.0, "only new": 0.0}
    old = {"1": 0.0, "2": 1.0, "3": 0.5, "4": 0.0}
    records = [
        *scored(record, "new", new),
        *scored(record, "old", old),
        record("old", "only new", status="refused"),
    ]
    (row,) = comparisons(records, [entry(ACC)], ROLES, 0.9)
    oracle = scipy.stats.ttest_rel([100, 100, 0, 100], [0, 100, 50, 0])
    assert (row.candidate, row.baseline, row.difference.point) == ("new", "old", 37.5)
    assert row.p == pytest.approx(oracle.pvalue)
    assert row.difference.low == pytest.approx(oracle.confidence_interval(0.9).low)
    assert (row.wins, row.losses, row.ties, row.difference.n) == (2, 1, 1, 4)
    assert (row.n_missing_candidate, row.n_missing_baseline) == (0, 1)


def test_every_candidate_meets_every_baseline_and_nobody_else(record: MakeRecord) -> None:
    records = [r for m in ("new", "new2", "old", "gpt") for r in scored(record, m, {"1": 1.0})]
    rows = comparisons(records, [entry(ACC)], ROLES, 0.95)
    assert [(r.candidate, r.baseline) for r in rows] == [("new", "old"), ("new2", "old")]


def test_where_lower_is_better_a_win_is_lower(record: MakeRecord) -> None:
    loss = Metric("acc", "raw", higher_is_better=False)
    records = [
        *scored(record, "new", {"1": 1.0, "2": 1.0, "3": 5.0}),
        *scored(record, "old", {"1": 2.0, "2": 3.0, "3": 4.0}),
    ]
    (row,) = comparisons(records, [entry(loss)], ROLES, 0.95)
    assert (row.wins, row.losses, row.higher_is_better) == (2, 1, False)
    assert row.difference.point == pytest.approx(-2 / 3)


def test_categories_and_parts_are_paired_each_by_itself(record: MakeRecord) -> None:
    records = [
        record("new", "81", turns(8, 7), category="writing"),
        record("new", "91", turns(3), category="math"),
        record("old", "81", turns(6, 7), category="writing"),
        record("old", "91", turns(4, 9), category="math"),
    ]
    whole, writing, maths = comparisons(records, [entry(RATING)], ROLES, 0.95)
    assert [c.key.category for c in (whole, writing, maths)] == [None, "writing", "math"]
    assert whole.difference.point == pytest.approx(1 / 3)
    assert (whole.difference.n, whole.difference.n_units) == (3, 2)
    assert (writing.difference.point, writing.wins, writing.ties) == (1.0, 1, 1)
    assert (maths.difference.point, maths.difference.n, maths.n_missing_candidate) == (-1.0, 1, 1)
    assert (maths.difference.standard_error, maths.p) == (None, None)


def test_nothing_in_common_is_undefined(record: MakeRecord) -> None:
    records = [*scored(record, "new", {"1": 1.0}), *scored(record, "old", {"2": 1.0})]
    (row,) = comparisons(records, [entry(ACC)], ROLES, 0.95)
    assert (row.difference.point, row.p, row.difference.n, row.wins) == (None, None, 0, 0)
    assert "no common" in row.difference.how


def test_different_clusters_are_different_samples(record: MakeRecord) -> None:
    score = [Score("acc", 1.0)]
    records = [record("new", "1", score, cluster="a"), record("old", "1", score, cluster="b")]
    with pytest.raises(ComparisonError, match="not the same samples"):
        comparisons(records, [entry(ACC)], ROLES, 0.95)


# --- averages over tasks ------------------------------------------------------------------------


def rows(run: Run) -> dict[tuple[str, str], Contest]:
    return {(c.key.task, c.key.metric): c for c in against(run)}


def whole(run: Run) -> Comparison:
    return rows(run)[ENTRY, "average"].comparison


def aggregates(records: Sequence[Record]) -> dict[str, list[Aggregate]]:
    """One model's figures, as lm-eval aggregates them."""
    found: dict[str, list[Aggregate]] = {}
    for task in dict.fromkeys(r.task for r in records):
        mine = [r for r in records if r.task == task]
        scores = [s for r in mine for s in r.outcome.scores]
        points = {scores[0].metric: np.mean([s.value for s in scores])}
        for metric in mine[0].outcome.data:
            points[metric] = np.mean([v for r in mine for v in r.outcome.data[metric]])
        found[task] = [
            Aggregate(m, float(p), None, len(mine), 0, "", True) for m, p in points.items()
        ]
    return found


def of(run: Run, model: str) -> list[Record]:
    return [r for r in run.records if r.model == model]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Version 1 of the leaderboard."""
    return board_run(tmp_path_factory.mktemp("first"), RATES)


def test_version_1_is_the_difference_of_the_leaderboards_averages(first: Run) -> None:
    a, b = (
        leaderboard.average_v1(aggregates(of(first, m)), include_drop=False).point for m in "ab"
    )
    assert a is not None
    assert b is not None
    assert whole(first).difference.point == pytest.approx(100 * (a - b), abs=1e-9)


def test_version_1_has_the_error_of_a_stratified_mean(first: Run) -> None:
    """By numpy: each task's paired variance, MMLU's subjects together one sixth."""
    weights = {task: 1 / 6 / (3 if task in SUBJECTS else 1) for task in V1_SIZES}
    variances, degrees = [], []
    for task, weight in weights.items():
        ours, theirs = ([r for r in of(first, m) if r.task == task] for m in "ab")
        d = [
            100 * (x.outcome.scores[0].value - y.outcome.scores[0].value)
            for x, y in zip(ours, theirs, strict=True)
        ]
        variances.append(weight**2 * np.var(d, ddof=1) / len(d))
        degrees.append(len(d) - 1)
    error = math.sqrt(sum(variances))
    c = whole(first)
    assert c.difference.standard_error == pytest.approx(error, abs=1e-9)
    # Satterthwaite in two steps: MMLU first, then the six columns.
    mmlu = [v for v, task in zip(variances, V1_SIZES, strict=True) if task in SUBJECTS]
    inner = sum(mmlu) ** 2 / sum(
        v**2 / (V1_SIZES[t] - 1) for v, t in zip(mmlu, SUBJECTS, strict=True)
    )
    rest = [
        (v, n) for v, n, t in zip(variances, degrees, V1_SIZES, strict=True) if t not in SUBJECTS
    ]
    df = sum(variances) ** 2 / (sum(mmlu) ** 2 / inner + sum(v**2 / n for v, n in rest))
    point = c.difference.point or 0
    assert c.difference.df == pytest.approx(df, rel=1e-9)
    assert c.p == pytest.approx(2 * scipy.stats.t.sf(abs(point) / error, df), abs=1e-9)
    assert c.difference.low == pytest.approx(point - scipy.stats.t.ppf(0.975, df) * error, abs=1e-9)
    assert (c.difference.n, c.difference.n_units) == (sum(V1_SIZES.values()),) * 2
    assert c.wins + c.losses + c.ties == c.difference.n


def test_version_2_is_the_difference_of_the_normalised_averages(tmp_path: Path) -> None:
    run = board_run(tmp_path, {"a": 0.62, "b": 0.42}, version=2)
    ours, theirs = (aggregates(of(run, m)) for m in "ab")
    a, b = (leaderboard.average_v2(f).point for f in (ours, theirs))
    assert a is not None
    assert b is not None
    assert whole(run).difference.point == pytest.approx(100 * (a - b), abs=1e-9)
    families = [leaderboard.families_v2(f) for f in (ours, theirs)]
    for family in (c.task for c in catalogue.columns(2)):
        mine, other = (f[family] for f in families)
        assert mine is not None
        assert other is not None
        c = rows(run)[family, "normalised"].comparison
        assert c.difference.point == pytest.approx(100 * (mine - other), abs=1e-9)


@pytest.mark.slow
def test_version_2s_error_is_that_of_a_bootstrap_of_documents(tmp_path: Path) -> None:
    """Delta method against resampling; well above chance, so that no floor bends the figure."""
    sizes = dict.fromkeys(V2_SIZES, 150)
    run = board_run(tmp_path, {"a": 0.8, "b": 0.7}, version=2, sizes=sizes)
    rng = np.random.default_rng(7)
    by_model: list[dict[str, list[Record]]] = [{r.task: [] for r in run.records} for _ in range(2)]
    for place, model in enumerate("ab"):
        for record in of(run, model):
            by_model[place][record.task].append(record)
    draws = []
    for _ in range(400):
        sampled: list[list[Record]] = [[], []]
        for task, n in sizes.items():
            chosen = rng.integers(0, n, n)
            for place in range(2):
                sampled[place] += [by_model[place][task][i] for i in chosen]
        a, b = (leaderboard.average_v2(aggregates(found)).point for found in sampled)
        assert a is not None
        assert b is not None
        draws.append(100 * (a - b))
    # The standard deviation of 400 draws is known to about 3.5%.
    error = whole(run).difference.standard_error
    assert error == pytest.approx(float(np.std(draws)), rel=0.12)


def test_a_task_at_chance_on_both_sides_says_nothing(tmp_path: Path) -> None:
    run = board_run(tmp_path, {"a": 0.01, "b": 0.0}, version=2)
    c = rows(run)["leaderboard_bbh_navigate", "normalised"].comparison
    assert (c.difference.point, c.difference.standard_error, c.p) == (0.0, 0.0, None)


@pytest.mark.parametrize("model", ["a", "b"])
def test_a_task_without_scores_on_either_side_leaves_the_average_undefined(
    first: Run, model: str
) -> None:
    records = tuple(
        replace(r, outcome=replace(r.outcome, status="engine_error", scores=()))
        if (r.model, r.task) == (model, "gsm8k")
        else r
        for r in first.records
    )
    contest = rows(replace(first, records=records))[ENTRY, "average"]
    c = contest.comparison
    assert (c.difference.point, c.difference.low, c.p) == (None, None, None)
    assert "gsm8k" in c.difference.how
    assert (contest.family, contest.verdict) == ("headline", "undefined")
    missing = c.n_missing_candidate, c.n_missing_baseline
    assert missing == ((80, 0) if model == "a" else (0, 80))


def test_averages_count_what_one_side_has_no_records_of(first: Run) -> None:
    run = keeping(
        first, lambda r: not (r.model == "a" and r.task == "gsm8k" and int(r.sample) > 29)
    )
    for contest in against(run):
        if contest.family == "headline" and contest.key.task in ("gsm8k", ENTRY):
            c = contest.comparison
            assert (c.n_missing_candidate, c.n_missing_baseline) == (50, 0)


def test_the_headline_set_is_the_average_and_its_columns(first: Run, tmp_path: Path) -> None:
    found = [place for place, contest in rows(first).items() if contest.family == "headline"]
    assert found == [
        ("arc_challenge", "acc_norm"),
        ("hellaswag", "acc_norm"),
        ("truthfulqa_mc2", "acc"),
        ("winogrande", "acc"),
        ("gsm8k", "exact_match,strict-match"),
        ("mmlu", "acc (mean of tasks)"),
        (ENTRY, "average"),
    ]
    second = rows(board_run(tmp_path, RATES, version=2)).items()
    columns = {(c.task, "normalised") for c in catalogue.columns(2)}
    assert {p for p, c in second if c.family == "headline"} == columns | {(ENTRY, "average")}


def test_an_average_over_tasks_that_are_not_there_is_no_headline(tmp_path: Path) -> None:
    sizes = {task: n for task, n in V1_SIZES.items() if task != "gsm8k"}
    found = rows(board_run(tmp_path, RATES, sizes=sizes))
    assert found[ENTRY, "average"].comparison.difference.point is None
    assert found[ENTRY, "average"].family == "detail"
    assert found["mmlu", "acc (mean of tasks)"].family == "headline"
    assert found["mmlu_anatomy", "acc"].family == "detail"
    assert found["mmlu_anatomy", "acc"].primary


def test_averages_are_the_same_within_a_run_and_over_two(first: Run) -> None:
    """As the run's own comparisons are made, and with each model in a run of its own."""
    roles = {"a": "candidate", "b": "baseline"}
    within = comparisons(first.records, first.manifest.benchmarks, roles, 0.95)
    assert whole(first) in within
    assert within[-1].key == FigureKey(ENTRY, ENTRY, "average")
    apart = [one_model(first, model, model) for model in "ab"]
    assert whole(first) in [contest.comparison for contest in against(apart)]


def test_averages_that_are_declared_otherwise_are_left_out(first: Run) -> None:
    mine, other = (one_model(first, model, model) for model in "ab")
    (known,) = other.manifest.benchmarks
    fewer = known.model_copy(update={"averages": known.averages[:1]})
    other = replace(other, manifest=other.manifest.model_copy(update={"benchmarks": (fewer,)}))
    places = {(c.key.task, c.key.metric) for c in against([mine, other])}
    assert ("mmlu", "acc (mean of tasks)") in places
    assert (ENTRY, "average") not in places
    # An average over averages is declared alike only if they are.
    by_size = tuple(replace(a, by_size=a.task == "mmlu") for a in known.averages)
    assert same_averages(known, known.model_copy(update={"averages": by_size})) == ()


def test_groups_weight_by_size(first: Run) -> None:
    """As lm-eval prints MMLU: the mean over all questions."""
    acc = Metric("acc", "percent", 100.0, primary=True)
    group = Average("mmlu", acc, tuple((s, "acc") for s in SUBJECTS), by_size=True)
    (c,) = average_comparisons(first.records, [group], "a", "b", 0.95)
    pooled = [[r.outcome.scores[0].value for r in of(first, m) if r.task in SUBJECTS] for m in "ab"]
    expected = 100 * (np.mean(pooled[0]) - np.mean(pooled[1]))
    assert c.difference.point == pytest.approx(expected, abs=1e-9)
    assert c.difference.n == 70


def test_an_entry_of_many_tasks_is_read_in_its_order() -> None:
    tasks = {name: TaskEntry(n_samples=1, metrics=(ACC,)) for name in "zyx"}
    records = [
        Record("m", "b", task, "1", None, "", Outcome("ok", scores=(Score("acc", 1.0),)))
        for task in "xyz"
    ]
    found = figures(records, [BenchmarkEntry(name="b", tasks=tasks)], 0.95)
    assert [row.key.task for row in found] == ["z", "y", "x"]
