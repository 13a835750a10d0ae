"""Every number is what it was before `Measured`: literal values, computed with the code then."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest

from evalkit.core.figures import Average, Estimator, Measured, Method, Metric
from evalkit.core.samples import Outcome, Record, Score
from evalkit.stats.averages import average_of_tasks, averages_of_records, paired_averages
from evalkit.stats.decisions import (
    alpha_spending,
    holm,
    minimum_detectable_effect,
    non_inferiority,
    units_for_margin,
)
from evalkit.stats.length_control import Games, Pair, length_controlled
from evalkit.stats.means import Paired, mean, p_value, paired_difference, run_noise, share, widened
from evalkit.stats.ppi import PredictionPowered, ppi_mean
from evalkit.stats.resampling import selection_optimism
from evalkit.stats.strengths import Game, bradley_terry, strength_difference

Numbers: TypeAlias = Sequence[float | None]
BEFORE: Mapping[str, list[Numbers]] = json.loads(
    Path(__file__).with_name("numbers_before.json").read_text()
)
"""By case, one row for each seed 0, 1, ..."""


def measured(value: Measured) -> Numbers:
    numbers = (value.point, value.standard_error, value.low, value.high)
    return [*numbers, value.n, value.n_units]


def paired(value: Paired) -> Numbers:
    return [*measured(value.measured), value.p, value.wins, value.losses, value.ties]


def scores(draw: random.Random, n: int, *, binary: bool = False) -> dict[str, float]:
    return {f"s{i}": float(draw.random() < 0.6) if binary else draw.gauss(5, 2) for i in range(n)}


def clusters(draw: random.Random, keys: Sequence[str], groups: int) -> dict[str, int]:
    return {key: draw.randrange(groups) for key in keys}


def means(draw: random.Random) -> Numbers:
    values = list(scores(draw, 40).values())
    units = [draw.randrange(12) for _ in values]
    binary = list(scores(draw, 40, binary=True).values())
    return [
        *measured(mean(values, units, 0.95)),
        *measured(mean(values, range(40), 0.9)),
        *measured(share(binary, range(40), 0.95)),
        *measured(share([1.0] * 7, range(7), 0.99)),
    ]


def differences(draw: random.Random) -> Numbers:
    a, b = scores(draw, 50), scores(draw, 60)
    keys = list(b)
    one = paired_difference(a, b, clusters(draw, keys, 15), 0.95)
    right, wrong = scores(draw, 30, binary=True), scores(draw, 30, binary=True)
    return [*paired(one), *paired(paired_difference(right, wrong, {k: k for k in keys}, 0.95))]


def tasks(draw: random.Random) -> Numbers:
    parts = {
        f"t{i}": mean(list(scores(draw, 10 + 7 * i).values()), range(10 + 7 * i), 0.95)
        for i in range(5)
    }
    plain, sized = (average_of_tasks(parts, 0.95, by_size=by_size) for by_size in (False, True))
    nested = average_of_tasks({"inner": plain, "t0": parts["t0"]}, 0.9)
    return [x for v in (plain, sized, nested) for x in (*measured(v), p_value(v), v.df)]


def difference(draw: random.Random, error: float | None = None) -> Measured:
    point, units = draw.gauss(0, 2), draw.randint(3, 200)
    error = draw.uniform(0.3, 2) if error is None else error
    method = Method(Estimator.PAIRED, paired=True)
    return Measured(point, error, None, None, 0.95, units, units, 0, method, units - 1)


def gates(draw: random.Random) -> Numbers:
    found: list[float | None] = []
    for error, span in ((None, None), (None, 100.0), (0.0, 100.0), (0.0, None)):
        alpha, power = draw.uniform(0.01, 0.1), draw.uniform(0.7, 0.95)
        tested, margin = difference(draw, error), draw.uniform(0, 4)
        got = non_inferiority(tested, margin, alpha=alpha, power=power, span=span)
        verdict = ("pass", "regression", "inconclusive").index(got.verdict)
        bounds = (got.bounds.low, got.bounds.high)
        found += [verdict, *bounds, got.p, got.p_regression, got.resolvable]
    return found


def effects(draw: random.Random) -> Numbers:
    error, df = draw.uniform(0.1, 5), draw.uniform(1, 1000)
    return [
        minimum_detectable_effect(error),
        minimum_detectable_effect(error, df=df, alpha=0.01, power=0.9),
        minimum_detectable_effect(error, df=df, sides=1),
        units_for_margin(draw.uniform(1, 2000), draw.uniform(0.5, 5)),
    ]


def corrections(draw: random.Random) -> Numbers:
    p_values = [None if draw.random() < 0.1 else draw.random() ** 3 for _ in range(12)]
    looks = sorted(draw.uniform(0.01, 1) for _ in range(5))
    found = [alpha_spending(looks, 0.05, name) for name in ("even", "obrien_fleming", "pocock")]
    return [*holm(p_values), *(x for f in found for x in (*f.levels, *f.spent))]


def noise(draw: random.Random) -> Numbers:
    def runs(n: int) -> list[dict[str, float]]:
        base = scores(draw, 20)
        shifts = [draw.gauss(0, 1) for _ in range(n)]
        return [{k: v + shift + draw.gauss(0, 0.5) for k, v in base.items()} for shift in shifts]

    ours, theirs = run_noise(runs(3)), run_noise(runs(2))
    assert ours is not None
    assert theirs is not None
    one = widened(difference(draw), [ours, theirs], [3, 2])
    two = widened(difference(draw), [ours, ours], [3, 1])
    return [
        *(ours.run, ours.within, theirs.run, theirs.within),
        *(x for v in (one, two) for x in (*measured(v)[1:4], v.df, p_value(v))),
    ]


def games(draw: random.Random) -> list[Game]:
    found = []
    for _ in range(120):
        a, b = draw.sample(["a", "b", "c", "d"], 2)
        found.append(Game(a, b, draw.choice([0.0, 0.5, 1.0, 0.3]), draw.randrange(30)))
    return found


def strengths(draw: random.Random) -> Numbers:
    found = bradley_terry(games(draw), 0.9, replicates=100, seed=3)
    contrast = strength_difference(found, "a", "c")
    rows = [measured(v)[:5] for v in (*found.strengths.values(), contrast)]
    return [x for row in rows for x in row]


def best(draw: random.Random) -> Numbers:
    models = {name: scores(draw, 40) for name in ("a", "b", "c")}
    units = clusters(draw, list(models["a"]), 12)
    found = selection_optimism(models, units, replicates=200, seed=1)
    return [found.point, found.honest, found.optimism]


def labels(draw: random.Random) -> Numbers:
    def numbers(found: PredictionPowered) -> Numbers:
        value = found.measured
        row = (value.point, value.standard_error, value.low, value.high)
        return [*row, found.p, found.judge_weight, value.n, found.n_judge]

    def apart(a: dict[str, float], b: dict[str, float]) -> dict[str, float]:
        return {k: a[k] - b[k] for k in a if k in b}

    judge, other = scores(draw, 80), scores(draw, 80)
    human = {k: v + draw.gauss(0.3, 1) for k, v in list(judge.items())[:25]}
    second = {k: v + draw.gauss(0.3, 1) for k, v in list(other.items())[:25]}
    units = clusters(draw, list(judge), 30)
    return [
        *numbers(ppi_mean(human, judge, units, 0.95)),
        *numbers(ppi_mean(apart(human, second), apart(judge, other), units, 0.9)),
    ]


def lengths(draw: random.Random) -> Numbers:
    n = 40
    delta = [draw.gauss(0, 1) for _ in range(2 * n)]
    baseline = Games(
        preference=tuple(min(1.0, max(0.0, 0.5 - 0.2 * d)) for d in delta),
        std_delta_len=tuple(delta),
        instruction=(*range(n), *range(n)),
        difficulty={i: draw.gauss(0, 1.5) for i in range(n)},
    )
    pairs = [
        Pair(
            i,
            draw.randint(100, 3500),
            draw.randint(500, 3000),
            draw.choice([0.0, 1.0, 1.0, 1.0, None]),
        )
        for i in range(n)
    ]
    found = length_controlled(pairs, baseline, 0.95, cap_quantile=0.9, replicates=15, seed=2)
    return measured(found)


def records(draw: random.Random, model: str) -> list[Record]:
    """Three tasks: plain scores, scores of passages, and lists that a metric flattens."""
    found = []
    for i in range(60):
        task = ("plain", "passages", "lists")[i % 3]
        values = tuple(float(draw.random() < 0.5) for _ in range(draw.randint(1, 4)))
        outcome = Outcome(
            status="excluded" if draw.random() < 0.05 else "ok",
            scores=() if task == "lists" else (Score("acc", values[0]),),
            data={"acc": list(values)} if task == "lists" else {},
        )
        if draw.random() < 0.9:
            cluster = f"c{i % 7}" if task == "passages" else ""
            found.append(Record(model, "b", task, f"s{i}", None, cluster, outcome))
    return found


def declared() -> list[Average]:
    acc = Metric("acc", "percent", 100.0)
    return [
        Average("plain", Metric("normal", "percent", 100.0), (("plain", "acc"),), chance=0.25),
        Average("group", acc, (("passages", "acc"), ("lists", "acc")), by_size=True),
        Average("all", acc, (("group", "acc"), ("plain", "normal"), ("lists", "acc"))),
    ]


def averages(draw: random.Random) -> Numbers:
    ours, theirs = records(draw, "a"), records(draw, "b")
    found: list[float | None] = []
    for value in averages_of_records(ours, declared(), 0.95).values():
        found += [*measured(value), value.n_missing]
    for each in paired_averages(ours, theirs, declared(), 0.95).values():
        found += [*paired(each.paired), each.paired.measured.df]
        found += [each.missing_ours, each.missing_theirs]
    return found


CASES: Sequence[Callable[[random.Random], Numbers]] = (
    means,
    differences,
    tasks,
    gates,
    effects,
    corrections,
    noise,
    strengths,
    best,
    labels,
    lengths,
    averages,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_numbers_are_what_they_were(case: Callable[[random.Random], Numbers]) -> None:
    for seed, before in enumerate(BEFORE[case.__name__]):
        now = case(random.Random(seed))
        assert len(now) == len(before)
        for got, wanted in zip(now, before, strict=True):
            assert (got is None) == (wanted is None)
            assert got is None or got == pytest.approx(wanted, rel=1e-9, abs=1e-9)
