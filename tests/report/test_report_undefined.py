"""What a report may not claim: intervals of no width, and figures of a run that goes on."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from evalkit import compare
from evalkit.core import Metric, Outcome, Record, Run, Score
from evalkit.report import render, summary_lines
from tests.support.runs import Plan, build_run

DASH = "\N{EN DASH}"
AGREE = f"{DASH} (all samples agree)"


def settled(candidate: float, baseline: float, unit: str = "points") -> Run:
    """Six samples on which each model always has the same rating; computed as a run does."""
    records = [
        Record(
            model,
            "mt_bench",
            "mt_bench",
            str(n),
            "math",
            str(n),
            Outcome("ok", scores=(Score("score", value),)),
        )
        for model, value in (("tuned", candidate), ("plain", baseline))
        for n in range(6)
    ]
    scale = 100 if unit == "percent" else 1
    metric = Metric("score", unit, scale, primary=True, by_category=True)  # type: ignore[arg-type]
    metrics = {"mt_bench": {"mt_bench": [metric]}}
    roles = {"tuned": "candidate", "plain": "baseline"}
    return Run(
        Path("run"),
        {
            "sealed": True,
            "models": [{"name": n, "role": r} for n, r in roles.items()],
            "benchmarks": [
                {"name": "mt_bench", "tasks": {"mt_bench": {"metrics": [asdict(metric)]}}}
            ],
        },
        tuple(records),
        tuple(compare.estimates(records, metrics, 0.95)),
        tuple(compare.comparisons(records, metrics, roles, 0.95)),
    )


def markdown(run: Run) -> str:
    return render(run)["report.md"].decode("utf-8")


@pytest.mark.parametrize(("candidate", "baseline"), [(9.0, 7.0), (9.0, 9.0)])
def test_ratings_that_all_agree_have_no_interval(candidate: float, baseline: float) -> None:
    run = settled(candidate, baseline)
    assert {(e.standard_error, e.low == e.high) for e in run.estimates} == {(0.0, True)}
    text = markdown(run)
    rows = [line.split(" | ") for line in text.split("\n") if line.startswith("| ")]
    (figures,) = [row for row in rows if row[0] == "| tuned"]
    assert figures[1:3] == ["9.00", AGREE]
    (gap,) = [row for row in rows if row[0] == "| score, both turns"]
    assert gap[2] == AGREE
    (category,) = [row for row in rows if row[0] == "| math"]
    assert category[1:3] == [f"{candidate:.2f}", f"{baseline:.2f}"]
    assert " to " not in category[3]
    assert "9.00 to 9.00" not in text
    assert "0.00 to" not in text
    assert "all samples agree" in render(run)["index.html"].decode("utf-8")
    assert any(AGREE in line for line in summary_lines(run))


def test_a_share_keeps_its_interval_where_all_agree() -> None:
    run = settled(1.0, 1.0, "percent")
    (tuned,) = [e for e in run.estimates if (e.model, e.category) == ("tuned", None)]
    assert tuned.low is not None
    (row,) = [line for line in markdown(run).split("\n") if line.startswith("| tuned")]
    assert f"{tuned.low:.2f} to 100.00" in row
    assert tuned.low < 70


def test_an_unfinished_run_says_only_that() -> None:
    whole = build_run(Path("run"), Plan())
    run = replace(
        whole,
        manifest={**whole.manifest, "sealed": False},
        records=whole.records[:100],
        estimates=(),
        comparisons=(),
    )
    said = "This run is not finished: figures are computed when it is; run the same command again."
    text = markdown(run)
    assert said in text.split("## ")[1]
    for claim in (
        "Figures below",
        "Nothing to show",
        "No candidate is compared",
        "side by side\n\n|",
    ):
        assert claim not in text
    assert said in render(run)["index.html"].decode("utf-8")
    assert summary_lines(run)[0] == said
    assert said not in markdown(whole)
