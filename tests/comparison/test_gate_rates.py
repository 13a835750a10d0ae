"""What the gate does to equal and to worse models, by simulation through its own code.

Each round draws a run's scores and calls `gate`, as the command does: guard, pairing,
clustered errors, non-inferiority, Holm.  AlpacaEval: 805 instructions, of which two models differ
on 70 of 802 as Notus and Zephyr-7B-beta do, so that the standard error is 1.04 points.  MT-Bench:
80 questions of two turns, whose differences share more than half of their variance; a question's
mean difference has a standard deviation of 2.2 points.

Oracle: the normal approximation of a non-inferiority test's power, Φ((margin + d)/SE - z), and
alpha itself; each within 3.5 standard errors of the share of ROUNDS.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from evalkit.comparison.gate import gate
from evalkit.core import Outcome, Record, Score
from evalkit.core.contests import GateResult, GateTest, GateVerdict
from evalkit.core.figures import Metric
from evalkit.core.run import Manifest, ModelEntry, Run
from evalkit.core.specs import GateSpec
from tests.support.compared import bare, entry

pytestmark = pytest.mark.slow

ROUNDS = 400
ALPACA, TURNS = 805, ("turn_1", "turn_2")
DISCORDANT = 70 / 802
SHARED, OWN = 1.8, 1.8
METRICS = {
    "alpaca_eval": Metric("win_rate", "percent", 100.0, primary=True),
    "mt_bench": Metric("score", "points", primary=True, parts=TURNS),
}
MARGINS = {"alpaca_eval": 3.0, "mt_bench": 0.8}
SPEC = GateSpec(baseline="b", margins=MARGINS)
ERRORS = {
    "alpaca_eval": 100 * math.sqrt(DISCORDANT / ALPACA),
    "mt_bench": math.sqrt((SHARED**2 + OWN**2 / 2) / 80),
}


MANIFEST = Manifest(
    run_id="x",
    sealed=True,
    models=(ModelEntry(name="a", role="candidate"), ModelEntry(name="b", role="baseline")),
    benchmarks=tuple(entry(metric, name=name, task=name) for name, metric in METRICS.items()),
)
WON = {
    (model, i, score): Record(
        model, "alpaca_eval", "alpaca_eval", str(i), None, "",
        Outcome("ok", scores=(Score("win_rate", score),)),
    )
    for model in "ab"
    for i in range(ALPACA)
    for score in (0.0, 1.0)
}  # fmt: skip
"""Every record that can be, so that a round only chooses."""


def alpaca(rng: np.random.Generator, shift: float) -> Iterator[Record]:
    """The candidate loses where the draw is low, the baseline where it is next to that."""
    worse, better = (DISCORDANT - shift / 100) / 2, (DISCORDANT + shift / 100) / 2
    draws = rng.random(ALPACA)
    yield from (WON["a", i, float(u >= worse)] for i, u in enumerate(draws))
    yield from (WON["b", i, float(not worse <= u < worse + better)] for i, u in enumerate(draws))


def mt_bench(rng: np.random.Generator, shift: float) -> Iterator[Record]:
    difference = shift + rng.normal(0, SHARED, (80, 1)) + rng.normal(0, OWN, (80, 2))
    for model, sign in (("a", 0.5), ("b", -0.5)):
        for i in range(80):
            scores = tuple(
                Score("score", 6.0 + sign * float(d), turn)
                for turn, d in zip(TURNS, difference[i], strict=True)
            )
            yield Record(
                model, "mt_bench", "mt_bench", str(i), None, str(i), Outcome("ok", scores=scores)
            )


def simulated(seed: int, shifts: dict[str, float]) -> list[GateResult]:
    rng = np.random.default_rng(seed)
    results = []
    for _ in range(ROUNDS):
        records = (*alpaca(rng, shifts["alpaca_eval"]), *mt_bench(rng, shifts["mt_bench"]))
        results.append(gate(Run(Path("run"), MANIFEST, records, (), ()), SPEC))
    return results


@pytest.fixture(scope="module")
def equal() -> list[GateResult]:
    return simulated(1, {"alpaca_eval": 0.0, "mt_bench": 0.0})


@pytest.fixture(scope="module")
def worse() -> list[GateResult]:
    """Worse by the margins: the most that must not pass."""
    return simulated(2, {name: -margin for name, margin in MARGINS.items()})


def of(results: list[GateResult], benchmark: str) -> list[GateTest]:
    return [test for r in results for test in r.tests if test.key.benchmark == benchmark]


def share(results: list[GateResult], benchmark: str, verdict: GateVerdict) -> float:
    found = [test.verdict for test in of(results, benchmark)]
    assert len(found) == ROUNDS
    return found.count(verdict) / ROUNDS


def within(p: float) -> float:
    return 3.5 * math.sqrt(p * (1 - p) / ROUNDS)


@pytest.mark.parametrize("benchmark", MARGINS)
def test_equal_models_pass_as_often_as_the_theory_says(
    equal: list[GateResult], benchmark: str
) -> None:
    """About 90% on AlpacaEval at 3 points, 94% on MT-Bench at 0.8."""
    power = norm.cdf(MARGINS[benchmark] / ERRORS[benchmark] - norm.ppf(0.95))
    assert power == pytest.approx({"alpaca_eval": 0.89, "mt_bench": 0.945}[benchmark], abs=0.01)
    assert share(equal, benchmark, "pass") == pytest.approx(power, abs=within(power))


@pytest.mark.parametrize("benchmark", MARGINS)
def test_a_model_worse_by_the_margin_passes_as_rarely_as_alpha(
    worse: list[GateResult], benchmark: str
) -> None:
    """About 5 to 6%: the share of discordant pairs is small, so that t is a little bold."""
    assert share(worse, benchmark, "pass") == pytest.approx(0.055, abs=within(0.055))


def test_equal_models_are_rarely_called_a_regression(equal: list[GateResult]) -> None:
    """On any of the two benchmarks: Holm keeps the whole to alpha."""
    alarms = sum(r.verdict == "regression" for r in equal) / ROUNDS
    assert alarms <= 0.05 + within(0.05)


def test_a_real_loss_is_mostly_called_one(worse: list[GateResult]) -> None:
    assert sum(r.verdict == "regression" for r in worse) / ROUNDS > 0.7
    assert not any(r.verdict == "pass" and r.reasons for r in worse)


def test_mt_bench_is_clustered_by_question(equal: list[GateResult]) -> None:
    """Its error is that of 80 questions; of 160 turns it would be a fifth too small."""
    bounds = [test.bounds for test in of(equal, "mt_bench") if test.bounds]
    assert {d.n_units for d in bounds} == {80}
    error = np.mean([(d.high - d.low) / 2 / 1.664 for d in bounds if d.low and d.high])
    assert error == pytest.approx(ERRORS["mt_bench"], rel=0.03)


def shifted(rng: np.random.Generator, number: int, items: np.ndarray) -> Run:
    """A run of two equal models, each off by a draw of its own."""
    scores = {
        m: (items + rng.normal(0, 0.5, items.size) + rng.normal(0, 0.15)).tolist() for m in "ab"
    }
    roles = {"a": "candidate", "b": "baseline"}
    metric = Metric("score", "points", primary=True)
    return bare(f"run{number}", metric, scores, roles, seed=number)


def test_equal_models_in_shifting_runs_are_seldom_called_a_regression() -> None:
    """One run takes its own shift for the model's; four know how much runs shift."""
    rng = np.random.default_rng(5)
    spec = GateSpec(baseline="b", margins={"default": 0.0})
    rounds, alone, together = 200, 0, 0
    for _ in range(rounds):
        items = rng.normal(6, 1, 80)
        runs = [shifted(rng, number, items) for number in range(4)]
        alone += gate(runs[0], spec).verdict == "regression"
        together += gate(runs[0], spec, repeats=runs[1:]).verdict == "regression"
    assert alone / rounds > 0.12
    # Alpha is 0.05, and 200 rounds know a rate of it to 1.5 points.
    assert together / rounds < 0.10
