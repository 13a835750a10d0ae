"""Places that a claim may name beside tasks: categories, and figures over all samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evalkit import compare
from evalkit.compare import allowed_fields
from evalkit.compare.claim_text import Names, Place, parse
from evalkit.errors import ComparisonError
from evalkit.types import Run
from tests.support.runs import Plan, build_run


@pytest.fixture(scope="module")
def run() -> Run:
    return build_run(Path("reports/q/r1"), Plan(models=("A", "B"), samples=(24, 40, 40)))


def reasons(run: Run, text: str) -> tuple[str, ...]:
    return compare.check_claim([run], text, compare.Options()).reasons


@pytest.mark.parametrize("place", ["mt_bench/coding", "MT-Bench/mt_bench/coding"])
def test_a_category_that_compare_has_can_be_claimed(place: str, run: Run) -> None:
    (row,) = (
        r.comparison
        for r in compare.compare([run], "A", ["B"], compare.Options())
        if (r.comparison.metric, r.comparison.category) == ("score", "coding")
    )
    (reason,) = reasons(run, f"A beats B on {place}")
    assert "MT-Bench, coding" in reason
    assert f"{row.n} scores" in reason


def test_a_claim_on_the_benchmark_is_not_one_on_its_categories(run: Run) -> None:
    (reason,) = reasons(run, "A beats B on mt_bench")
    assert "coding" not in reason


def test_a_figure_over_all_samples_has_no_paired_interval(run: Run) -> None:
    """Length-controlled win rates come from a model of all games, not from single ones."""
    own = [e for e in run.estimates if (e.benchmark, e.metric) == ("alpaca_eval", "win_rate")]
    more = [replace(e, metric="length_controlled_win_rate") for e in own]
    whole = replace(run, estimates=(*run.estimates, *more))
    first, *known = reasons(whole, "A beats B on alpaca_eval length_controlled_win_rate")
    assert "of A and B has no paired interval: it is computed over all samples at once" in first
    assert len(known) == 2
    assert (
        compare.check_claim(
            [whole], "A beats B on alpaca_eval length_controlled_win_rate", compare.Options()
        ).answer
        == "not supported"
    )


def test_of_many_names_the_nearest_are_listed() -> None:
    places = {f"bench/task_{n}": Place("bench", f"task_{n}") for n in range(40)}
    with pytest.raises(ComparisonError) as caught:
        parse("A beats B on bench/task-3x", Names(("A", "B"), places))
    assert "one of 40 names, the nearest: bench/task_3" in str(caught.value)
    assert "evalkit compare RUN... --all" in str(caught.value)
    assert str(caught.value).count("bench/task_") <= 4


def test_a_setting_that_may_differ_must_be_one(run: Run) -> None:
    described = [
        {**b, "description": {"judge": {"model": "j"}}} for b in run.manifest["benchmarks"]
    ]
    judged = replace(run, manifest={**run.manifest, "benchmarks": described})
    assert allowed_fields([judged], ()) == frozenset()
    for name in ("judge", "judge.model", "fingerprint"):
        assert allowed_fields([judged], [name]) == {name}
    with pytest.raises(
        ComparisonError, match=r"'judge\.modl' is no setting .*did you mean 'judge\.m"
    ):
        allowed_fields([judged], ["judge", "judge.modl"])
    with pytest.raises(
        ComparisonError, match=r"'nonsense' .*expected one of: fingerprint, judge\.m"
    ):
        allowed_fields([judged], ["nonsense"])
