"""Averages over tasks: the leaderboards', groups', and scores against chance.

Oracles: the figures that the benchmark itself computes for each model (`average_v1`,
`average_v2`), numpy for the stratified error, and a bootstrap of documents for the delta method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

from evalkit import catalogue, compare
from evalkit.benchmarks import open_llm_leaderboard as board
from evalkit.benchmarks._lm_eval_scores import Aggregate
from evalkit.compare import Row
from evalkit.core import Comparison, Metric, Record, Run
from evalkit.core.protocols import Average
from tests.support.leaderboards import ENTRY, SUBJECTS, V1_SIZES, V2_SIZES, board_run

RATES = {"a": 0.62, "b": 0.5}


def rows(run: Run) -> dict[tuple[str, str], Row]:
    found = compare.compare([run], "a", ["b"], compare.Options())
    return {(r.comparison.task, r.comparison.metric): r for r in found}


def whole(run: Run) -> Comparison:
    return rows(run)[ENTRY, "average"].comparison


def figures(records: Sequence[Record]) -> dict[str, list[Aggregate]]:
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


def test_version_1_is_the_difference_of_the_leaderboards_averages(tmp_path: Path) -> None:
    run = board_run(tmp_path, RATES)
    a, b = (board.average_v1(figures(of(run, m)), include_drop=False).point for m in "ab")
    assert a is not None
    assert b is not None
    assert whole(run).difference == pytest.approx(100 * (a - b), abs=1e-9)


def test_version_1_has_the_error_of_a_stratified_mean(tmp_path: Path) -> None:
    """By numpy: each task's paired variance, MMLU's subjects together one sixth."""
    run = board_run(tmp_path, RATES)
    weights = {task: 1 / 6 / (3 if task in SUBJECTS else 1) for task in V1_SIZES}
    variances, degrees = [], []
    for task, weight in weights.items():
        ours, theirs = ([r for r in of(run, m) if r.task == task] for m in "ab")
        d = [
            100 * (x.outcome.scores[0].value - y.outcome.scores[0].value)
            for x, y in zip(ours, theirs, strict=True)
        ]
        variances.append(weight**2 * np.var(d, ddof=1) / len(d))
        degrees.append(len(d) - 1)
    error = math.sqrt(sum(variances))
    c = whole(run)
    assert c.standard_error == pytest.approx(error, abs=1e-9)
    # Satterthwaite in two steps: MMLU first, then the six columns.
    mmlu = [v for v, task in zip(variances, V1_SIZES, strict=True) if task in SUBJECTS]
    inner = sum(mmlu) ** 2 / sum(
        v**2 / (V1_SIZES[t] - 1) for v, t in zip(mmlu, SUBJECTS, strict=True)
    )
    rest = [
        (v, n) for v, n, t in zip(variances, degrees, V1_SIZES, strict=True) if t not in SUBJECTS
    ]
    df = sum(variances) ** 2 / (sum(mmlu) ** 2 / inner + sum(v**2 / n for v, n in rest))
    assert c.df == pytest.approx(df, rel=1e-9)
    assert c.p == pytest.approx(2 * student.sf(abs(c.difference or 0) / error, df), abs=1e-9)
    assert c.low == pytest.approx((c.difference or 0) - student.ppf(0.975, df) * error, abs=1e-9)
    assert (c.n, c.n_clusters) == (sum(V1_SIZES.values()),) * 2
    assert c.wins + c.losses + c.ties == c.n


def test_version_2_is_the_difference_of_the_normalised_averages(tmp_path: Path) -> None:
    run = board_run(tmp_path, {"a": 0.62, "b": 0.42}, version=2)
    ours, theirs = (figures(of(run, m)) for m in "ab")
    a, b = (board.average_v2(f).point for f in (ours, theirs))
    assert a is not None
    assert b is not None
    assert whole(run).difference == pytest.approx(100 * (a - b), abs=1e-9)
    families = [board.families_v2(f) for f in (ours, theirs)]
    for family in (c.task for c in catalogue.columns(2)):
        mine, other = (f[family] for f in families)
        assert mine is not None
        assert other is not None
        row = rows(run)[family, "normalised"].comparison
        assert row.difference == pytest.approx(100 * (mine - other), abs=1e-9)


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
        a, b = (board.average_v2(figures(found)).point for found in sampled)
        assert a is not None
        assert b is not None
        draws.append(100 * (a - b))
    # The standard deviation of 400 draws is known to about 3.5%.
    assert whole(run).standard_error == pytest.approx(float(np.std(draws)), rel=0.12)


def test_a_task_at_chance_on_both_sides_says_nothing(tmp_path: Path) -> None:
    run = board_run(tmp_path, {"a": 0.01, "b": 0.0}, version=2)
    row = rows(run)["leaderboard_bbh_navigate", "normalised"].comparison
    assert (row.difference, row.standard_error, row.p) == (0.0, 0.0, None)


@pytest.mark.parametrize("model", ["a", "b"])
def test_a_task_without_scores_on_either_side_leaves_the_average_undefined(
    tmp_path: Path, model: str
) -> None:
    run = board_run(tmp_path, RATES)
    records = tuple(
        replace(r, outcome=replace(r.outcome, status="engine_error", scores=()))
        if (r.model, r.task) == (model, "gsm8k")
        else r
        for r in run.records
    )
    row = rows(replace(run, records=records))[ENTRY, "average"]
    assert (row.comparison.difference, row.comparison.low, row.comparison.p) == (None, None, None)
    assert "gsm8k" in row.comparison.method
    assert row.headline
    assert row.verdict == "undefined"
    missing = row.comparison.n_missing_candidate, row.comparison.n_missing_baseline
    assert missing == ((80, 0) if model == "a" else (0, 80))


def test_the_headline_set_is_the_average_and_its_columns(tmp_path: Path) -> None:
    first = [place for place, row in rows(board_run(tmp_path, RATES)).items() if row.headline]
    assert first == [
        ("arc_challenge", "acc_norm"),
        ("hellaswag", "acc_norm"),
        ("truthfulqa_mc2", "acc"),
        ("winogrande", "acc"),
        ("gsm8k", "exact_match,strict-match"),
        ("mmlu", "acc (mean of tasks)"),
        (ENTRY, "average"),
    ]
    second = [p for p, r in rows(board_run(tmp_path, RATES, version=2)).items() if r.headline]
    columns = {(c.task, "normalised") for c in catalogue.columns(2)}
    assert set(second) == columns | {(ENTRY, "average")}


def test_an_average_over_tasks_that_were_not_asked_is_no_headline(tmp_path: Path) -> None:
    sizes = {task: n for task, n in V1_SIZES.items() if task != "gsm8k"}
    found = rows(board_run(tmp_path, RATES, sizes=sizes))
    assert found[ENTRY, "average"].comparison.difference is None
    assert not found[ENTRY, "average"].headline
    assert found["mmlu", "acc (mean of tasks)"].headline
    assert not found["mmlu_anatomy", "acc"].headline
    assert found["mmlu_anatomy", "acc"].primary


def test_sentences_name_the_average(tmp_path: Path) -> None:
    row = rows(board_run(tmp_path, RATES))[ENTRY, "average"]
    assert row.sentence.startswith("a is better than b on Open LLM Leaderboard average: +")


def test_the_runs_own_comparisons_have_the_average(tmp_path: Path) -> None:
    run = board_run(tmp_path, RATES)
    (entry,) = run.manifest["benchmarks"]
    metrics = {
        ENTRY: {t: [Metric(**m) for m in about["metrics"]] for t, about in entry["tasks"].items()}
    }
    found = compare.comparisons(
        run.records,
        metrics,
        {"a": "candidate", "b": "baseline"},
        0.95,
        {ENTRY: compare.averages_of_entry(entry)},
    )
    assert whole(run) in found
    assert [c.task for c in found][-1] == ENTRY


def test_models_of_two_runs_average_as_in_one(tmp_path: Path) -> None:
    run = board_run(tmp_path / "one", RATES)
    apart = [replace(run, folder=tmp_path / m, records=tuple(of(run, m))) for m in ("a", "b")]
    found = compare.compare(apart, "a", ["b"], compare.Options())
    assert whole(run) in [row.comparison for row in found]


def test_averages_that_are_declared_otherwise_are_left_out(tmp_path: Path) -> None:
    run = board_run(tmp_path / "one", RATES)
    other = replace(run, folder=tmp_path / "two", records=tuple(of(run, "b")))
    (entry,) = other.manifest["benchmarks"]
    changed = {**entry, "averages": entry["averages"][:1]}
    other = replace(other, manifest={**other.manifest, "benchmarks": [changed]})
    mine = replace(run, records=tuple(of(run, "a")))
    found = compare.compare([mine, other], "a", ["b"], compare.Options())
    places = {(r.comparison.task, r.comparison.metric) for r in found}
    assert ("mmlu", "acc (mean of tasks)") in places
    assert (ENTRY, "average") not in places


def test_groups_weight_by_size(tmp_path: Path) -> None:
    """As lm-eval prints MMLU: the mean over all questions."""
    run = board_run(tmp_path, RATES)
    acc = Metric("acc", "percent", 100.0, primary=True)
    group = Average("mmlu", acc, tuple((s, "acc") for s in SUBJECTS), by_size=True)
    (c,) = compare.comparisons(
        run.records,
        {ENTRY: {s: [acc] for s in SUBJECTS} | others(run)},
        {"a": "candidate", "b": "baseline"},
        0.95,
        {ENTRY: [group]},
    )[-1:]
    pooled = [[r.outcome.scores[0].value for r in of(run, m) if r.task in SUBJECTS] for m in "ab"]
    assert c.difference == pytest.approx(100 * (np.mean(pooled[0]) - np.mean(pooled[1])), abs=1e-9)
    assert c.n == 70


def others(run: Run) -> dict[str, list[Metric]]:
    (entry,) = run.manifest["benchmarks"]
    return {
        t: [Metric(**m) for m in about["metrics"]]
        for t, about in entry["tasks"].items()
        if t not in SUBJECTS
    }
