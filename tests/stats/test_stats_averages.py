"""Averages over tasks against scipy's Welch test and plain formulas, and their properties."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.figures import Measured
from evalkit.stats.averages import average_of_tasks
from evalkit.stats.means import mean, p_value, paired_difference

Scores = dict[str, dict[int, float]]
task = st.dictionaries(st.integers(0, 12), st.floats(-5, 5).map(lambda x: round(x, 3)), min_size=2)
tables = st.dictionaries(st.sampled_from("abcde"), task, min_size=1)


def itself(values: Scores) -> dict[str, dict[int, int]]:
    """Each document a unit of its own."""
    return {name: {k: k for k in scores} for name, scores in values.items()}


def stratified_mean(values: Scores, clusters: dict[str, dict[int, int]], level: float) -> Measured:
    parts = {t: mean([*v.values()], [clusters[t][k] for k in v], level) for t, v in values.items()}
    return average_of_tasks(parts, level)


def stratified_difference(
    a: Scores, b: Scores, clusters: dict[str, dict[int, int]], level: float
) -> Measured:
    parts = {
        t: paired_difference(a.get(t, {}), b.get(t, {}), clusters.get(t, {}), level).measured
        for t in dict.fromkeys([*a, *b])
    }
    return average_of_tasks(parts, level)


def drawn(seed: int, sizes: dict[str, int]) -> Scores:
    rng = np.random.default_rng(seed)
    return {
        name: dict(enumerate(map(float, rng.normal(i, 1 + i, n))))
        for i, (name, n) in enumerate(sizes.items())
    }


def test_two_tasks_are_welchs_test() -> None:
    """(x̄ + ȳ)/2 is half the difference between x and -y."""
    values = drawn(1, {"x": 12, "y": 40})
    oracle = scipy.stats.ttest_ind(
        [*values["x"].values()], [-v for v in values["y"].values()], equal_var=False
    )
    interval = oracle.confidence_interval(0.9)
    got = stratified_mean(values, itself(values), 0.9)
    assert p_value(got) == pytest.approx(oracle.pvalue, abs=1e-9)
    assert got.df == pytest.approx(oracle.df, abs=1e-9)
    assert got.low == pytest.approx(interval.low / 2, abs=1e-9)
    assert got.high == pytest.approx(interval.high / 2, abs=1e-9)
    assert (got.n, got.n_units, got.method.tasks) == (52, 52, 2)


def test_one_task_is_its_mean() -> None:
    values = drawn(2, {"x": 30})
    got = stratified_mean(values, itself(values), 0.95)
    alone = mean([*values["x"].values()], range(30), 0.95)
    assert got.point == pytest.approx(alone.point, abs=1e-12)
    assert got.standard_error == pytest.approx(alone.standard_error, abs=1e-12)
    assert (got.low, got.high) == pytest.approx((alone.low, alone.high), abs=1e-9)


def test_size_of_a_task_does_not_weigh() -> None:
    values = {"small": {0: 1.0, 1: 0.0}, "large": {i: float(i % 4 == 0) for i in range(400)}}
    got = stratified_mean(values, itself(values), 0.95)
    assert got.point == pytest.approx((0.5 + 0.25) / 2)
    errors = [scipy.stats.sem([*v.values()]) for v in values.values()]
    assert got.standard_error == pytest.approx(math.hypot(*errors) / 2, abs=1e-12)


def test_differences_are_paired_and_clustered_within_tasks() -> None:
    a, b = drawn(3, {"x": 24, "y": 30}), drawn(4, {"x": 20, "y": 30})
    clusters = {name: {k: k // 3 for k in scores} for name, scores in a.items()}
    parts = [paired_difference(a[t], b[t], clusters[t], 0.95).measured for t in "xy"]
    got = stratified_difference(a, b, clusters, 0.95)
    assert got.point == pytest.approx(sum(p.point or 0 for p in parts) / 2, abs=1e-12)
    assert got.standard_error == pytest.approx(
        math.hypot(*(p.standard_error or 0 for p in parts)) / 2, abs=1e-12
    )
    assert (got.n, got.n_units) == (50, 7 + 10)


def test_an_average_counts_as_one_task_of_another() -> None:
    """Six tasks of which one is 57 subjects: the subjects share one sixth of the weight."""
    subjects = drawn(5, {f"subject {i}": 20 for i in range(57)})
    others = drawn(6, {f"task {i}": 50 for i in range(5)})
    inner = stratified_mean(subjects, itself(subjects), 0.95)
    means = {t: mean([*v.values()], range(50), 0.95) for t, v in others.items()}
    got = average_of_tasks({"mmlu": inner, **means}, 0.95)
    assert got.point == pytest.approx(
        ((inner.point or 0) + sum(m.point or 0 for m in means.values())) / 6
    )
    squares = [(inner.standard_error or 0) ** 2] + [
        (m.standard_error or 0) ** 2 for m in means.values()
    ]
    assert got.standard_error == pytest.approx(math.sqrt(sum(squares)) / 6)
    assert (got.n, got.method.tasks) == (57 * 20 + 250, 6)


def test_undefined_is_none_and_says_why() -> None:
    assert average_of_tasks({}, 0.95).how == "undefined: no tasks"
    empty = stratified_mean({"x": {0: 1.0, 1: 2.0}, "y": {}}, {"x": {0: 0, 1: 1}, "y": {}}, 0.95)
    assert (empty.point, empty.how) == (None, "undefined: no scores in task 'y'")
    one = stratified_mean(
        {"x": {0: 1.0, 1: 2.0}, "y": {0: 3.0}}, {"x": {0: 0, 1: 1}, "y": {0: 0}}, 0.95
    )
    assert (one.point, one.standard_error, one.low) == (2.25, None, None)
    assert "one unit in task 'y'" in one.how
    agree = stratified_mean({"x": {0: 1.0, 1: 1.0}}, {"x": {0: 0, 1: 1}}, 0.95)
    assert (agree.standard_error, agree.low, agree.high, p_value(agree)) == (0.0, 1.0, 1.0, None)
    assert "no evidence" in agree.how


def test_a_task_of_one_side_only_leaves_no_average() -> None:
    a = {"x": {0: 1.0, 1: 2.0}, "y": {0: 1.0, 1: 2.0}}
    got = stratified_difference(a, {"x": a["x"]}, itself(a), 0.95)
    assert (got.point, got.how) == (None, "undefined: no scores in task 'y'")


@given(tables, st.randoms(use_true_random=False))
def test_order_does_not_matter(values: Scores, draw: random.Random) -> None:
    mixed = {
        t: dict(draw.sample(sorted(values[t].items()), len(values[t])))
        for t in draw.sample(sorted(values), len(values))
    }
    plain = stratified_mean(values, itself(values), 0.95)
    got = stratified_mean(mixed, itself(mixed), 0.95)
    assert got == plain


@given(tables, st.floats(-50, 50), st.floats(0.1, 100))
def test_shift_and_scale(values: Scores, shift: float, scale: float) -> None:
    moved = {t: {k: scale * (v + shift) for k, v in s.items()} for t, s in values.items()}
    plain = stratified_mean(values, itself(values), 0.95)
    got = stratified_mean(moved, itself(values), 0.95)
    assert plain.point is not None
    assert got.point == pytest.approx(scale * (plain.point + shift), abs=1e-6)
    assert got.standard_error == pytest.approx(scale * (plain.standard_error or 0), abs=1e-6)


@given(tables)
def test_swapping_the_sides_flips_the_sign(a: Scores) -> None:
    b = {t: {k: -v / 2 for k, v in s.items()} for t, s in a.items()}
    one = stratified_difference(a, b, itself(a), 0.95)
    other = stratified_difference(b, a, itself(a), 0.95)
    assert one.point == -(other.point or 0.0)
    assert (one.standard_error, p_value(one)) == (other.standard_error, p_value(other))


def test_the_interval_covers_as_often_as_it_says() -> None:
    """Tasks of very different size and spread, 1500 draws: 95% within four standard errors."""
    rng = np.random.default_rng(9)
    hits = 0
    for _ in range(1500):
        values = {
            name: dict(enumerate(map(float, rng.normal(0, spread, n))))
            for name, n, spread in [("a", 5, 3.0), ("b", 40, 1.0), ("c", 12, 0.2)]
        }
        got = stratified_mean(values, itself(values), 0.95)
        assert got.low is not None
        assert got.high is not None
        hits += got.low <= 0 <= got.high
    assert abs(hits / 1500 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 1500)
