"""Places that a claim may name beside tasks: categories, and figures over all samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evalkit import compare
from evalkit.compare import allowed_fields
from evalkit.compare.claim_names import claim_names
from evalkit.compare.claim_text import Names, Place, parse
from evalkit.compare.words import metric_words, row_label
from evalkit.core import Record, Run
from evalkit.errors import ComparisonError
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


def test_what_compare_prints_of_a_row_is_a_place(run: Run) -> None:
    """Every sentence of `compare --all`, given back, is about that row and no other."""
    rows = compare.compare([run], "A", ["B"], compare.Options())
    assert {r.comparison.category for r in rows} >= {None, "coding"}
    known = claim_names([run])
    for row in rows:
        c = row.comparison
        label = row_label(c, speaks=row.headline)
        (place,) = parse(f"A beats B on {label}", known).places
        assert (place.benchmark, place.category) == (c.benchmark, c.category)
        assert place.task in (None, c.task)
        assert place.metric in (c.metric, None)
        assert place.metric is not None or row.primary
        exact = f"{row_label(c, speaks=True)} ({metric_words(c.metric)})"
        (place,) = parse(f"A beats B on {exact} and mt_bench", known).places[:1]
        assert place == Place(c.benchmark, c.task, c.metric, c.category)


def test_a_label_of_several_places_is_none_of_them(run: Run) -> None:
    """An entry of another name may carry the label that lm_eval has."""
    entries = [
        {**entry, "name": "lm-eval"}
        for entry in run.manifest["benchmarks"]
        if entry["name"] == "lm_eval"
    ]
    other = tuple(replace(r, benchmark="lm-eval") for r in run.records if r.benchmark == "lm_eval")
    both = replace(
        run,
        records=(*run.records, *other),
        manifest={**run.manifest, "benchmarks": [*run.manifest["benchmarks"], *entries]},
    )
    known = claim_names([both])
    for label in ("lm-eval: sums", "LM-Eval: sums"):
        with pytest.raises(ComparisonError, match=r"'lm_eval/sums', 'lm-eval/sums'; write one"):
            parse(f"A beats B on {label}", known)
    for name in ("lm_eval", "lm-eval"):
        (place,) = parse(f"A beats B on {name}/sums", known).places
        assert place == Place(name, "sums")


@pytest.mark.parametrize("n", [1, 2])
def test_a_length_is_longer_or_shorter(run: Run, n: int) -> None:
    """Oracle: the verdict of the row; the scores of one side are moved by hand."""

    def longer(record: Record) -> Record:
        scores = tuple(
            replace(s, value=s.value + (3000 if record.model == "A" else 0) * (-1) ** n)
            if s.metric == "avg_length"
            else s
            for s in record.outcome.scores
        )
        return replace(record, outcome=replace(record.outcome, scores=scores))

    moved = replace(run, records=tuple(map(longer, run.records)), comparisons=(), estimates=())
    (row,) = (
        r
        for r in compare.compare([moved], "A", ["B"], compare.Options())
        if r.comparison.metric == "avg_length"
    )
    assert row.verdict == ("shorter" if n == 1 else "longer")
    said = row.sentence.partition(": ")[0]

    def answer(text: str) -> str:
        return compare.check_claim([moved], text, compare.Options()).answer

    assert answer(said) == "supported"
    other = {"longer": "shorter", "shorter": "longer"}[row.verdict]
    assert answer(said.replace(row.verdict, other)) == "contradicted"
    amount = f"A is {row.verdict} than B by more than 300 characters on alpaca_eval avg_length"
    assert answer(amount) == "supported"
    assert answer(amount.replace("300", "9000")) == "contradicted"
    assert answer(f"A is {row.verdict} than B on AlpacaEval") == "not supported"
    assert answer("A beats B on AlpacaEval (average length)") == "not supported"
