"""The first screen: verdicts after Holm's correction, the drawing, the table, the gate in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup, Tag

from evalkit import compare, gate
from evalkit.core import Comparison, Run
from evalkit.core.specs import GateSpec
from evalkit.report import render, summary_lines
from evalkit.report.browser import samples_link
from evalkit.report.margins import gate_of, gate_words
from evalkit.report.view import View
from tests.support.runs import Plan, build_run

PAIR = ("quick-lora", "smollm2")
PRIMARY = ("win_rate", "score", "acc", "exact_match,strict-match")


@pytest.fixture(scope="module")
def run() -> Run:
    return build_run(Path("run"), Plan())


def soup(run: Run) -> BeautifulSoup:
    return BeautifulSoup(render(run)["index.html"], "html.parser")


def part(page: BeautifulSoup, title: str) -> Tag:
    """The section under a heading."""
    heading = next(h for h in page.find_all("h2") if h.get_text() == title)
    assert heading.parent is not None
    return heading.parent


def cells(page: BeautifulSoup, caption: str) -> dict[str, dict[str, str]]:
    """Rows of a table by their first cell, each by its columns' headings."""
    table = next(t for t in page.find_all("table") if t.caption and t.caption.get_text() == caption)
    assert table.thead is not None
    head = [th.get_text() for th in table.thead.find_all("th")]
    rows = [[c.get_text() for c in tr.find_all(["th", "td"])] for tr in table.find_all("tr")[1:]]
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows if len(row) == len(head)}


def with_gate(run: Run, **policy: Any) -> Run:
    suite = {**run.manifest["suite"], "gate": {"baseline": "smollm2", **policy}}
    return replace(run, manifest={**run.manifest, "suite": suite})


def p_values(run: Run, found: dict[str, float]) -> Run:
    """The run whose headline differences are all positive, with these p by metric."""
    rows = tuple(
        replace(c, difference=2.0, low=0.5, high=3.5, standard_error=0.75, p=found[c.metric])
        if c.metric in found and c.category is None
        else c
        for c in run.comparisons
    )
    return replace(run, comparisons=rows)


def test_what_holm_leaves_open_is_nowhere_called_better(run: Run) -> None:
    """p .03, .03, .03 and .001: Holm gives .09 to the three and .004 to the last."""
    judges = [{**judge, "local": False} for judge in run.manifest["judges"]]
    run = replace(run, manifest={**run.manifest, "judges": judges})
    several = p_values(run, dict.fromkeys(PRIMARY, 0.03) | {"acc": 0.001})
    page = soup(several)
    table = cells(page, "Headline measures")
    assert {label: row["Verdict"] for label, row in table.items()} == {
        "AlpacaEval": "≈ not told apart",
        "MT-Bench, points of 10": "≈ not told apart",
        "lm-eval: opposites": "▲ better",
        "lm-eval: sums": "≈ not told apart",
    }
    assert table["AlpacaEval"]["p (Holm)"] == "0.090"
    assert table["lm-eval: opposites"]["p (Holm)"] == "0.004"
    answer = page.select_one("p.answer")
    assert answer is not None
    assert "better than smollm2 on 1 of 4 measures (lm-eval: opposites" in answer.get_text()
    verdicts = [c.get_text() for c in page.select("td.better")]
    assert verdicts == ["▲ better"] * 2, "the first screen's and the benchmark's own"
    words = [line.split("  ")[-1].strip() for line in summary_lines(several)[1:5]]
    assert words.count("better") == 1
    alone = p_values(run, dict.fromkeys(PRIMARY, 0.0001))
    assert [line.split("  ")[-1].strip() for line in summary_lines(alone)[1:5]] == ["better"] * 4


def test_what_is_left_open_is_open_by_its_shape(run: Run) -> None:
    several = p_values(run, dict.fromkeys(PRIMARY, 0.03) | {"acc": 0.001})
    charts = soup(several).select("svg.forest")
    assert len(charts) == 2, "one for each unit"
    for chart in charts:
        wide = chart.select_one("svg.wide")
        assert wide is not None
        for circle in wide.select(".mark.unclear"):
            assert circle.name == "circle"
        for filled in wide.select(".mark.better"):
            assert filled.name == "polygon"
    (shapes,) = [[m.name for m in charts[0].select("svg.wide .mark")]]
    assert shapes == ["circle", "polygon", "circle"]


def test_drawings_say_in_words_what_they_show(run: Run) -> None:
    for chart in soup(run).select("svg.forest, svg.bars"):
        title, desc = chart.find("title"), chart.find("desc")
        assert isinstance(title, Tag)
        assert isinstance(desc, Tag)
        assert chart["role"] == "img"
        assert (chart["aria-labelledby"], chart["aria-describedby"]) == (title["id"], desc["id"])
        assert len(desc.get_text()) > 80
    ids = [tag["id"] for tag in soup(run).select("[id]")]
    assert len(ids) == len(set(ids))


def test_the_table_has_the_figures_of_the_results(run: Run) -> None:
    table = cells(soup(run), "Headline measures")
    (c,) = [c for c in run.comparisons if c.metric == "win_rate"]
    row = table["AlpacaEval"]
    assert c.difference is not None
    assert row["Difference"] == f"{c.difference:+.1f}"
    counts = [row[name] for name in ("Wins", "Ties", "Losses")]
    assert counts == [str(n) for n in (c.wins, c.ties, c.losses)]
    assert row["n"] == str(c.n)
    assert row["Missing"] == f"{c.n_missing_candidate}, {c.n_missing_baseline}"
    for model, column in zip(PAIR, ("Candidate", "Baseline"), strict=True):
        (e,) = [e for e in run.estimates if (e.model, e.metric) == (model, "win_rate")]
        assert row[column] == f"{e.point:.2f}"


def test_a_count_leads_to_the_samples_it_counts(run: Run) -> None:
    """Links stand only in a page that has the samples, and only on counts above 0."""
    page = soup(run)
    targets = {a["href"]: a.get_text() for a in page.select("td a, tbody th a")}
    (c,) = [c for c in run.comparisons if c.metric == "win_rate"]
    counts = {"win": c.wins, "tie": c.ties, "loss": c.losses}
    for verdict, n in counts.items():
        link = samples_link(benchmark="alpaca_eval", task="alpaca_eval", verdict=verdict)
        assert targets.get(link) == (str(n) if n else None)
    assert all(str(href).startswith("#samples") for href in targets)
    bare = BeautifulSoup(render(run, figures_only=True)["index.html"], "html.parser")
    assert not bare.select("td a, tbody th a")


def test_rows_are_those_of_the_compare_command(run: Run) -> None:
    primary = {(m.benchmark, m.task, m.metric.name) for m in View(run).headlines}
    ours = compare.stated(run, primary)
    theirs = compare.compare([run], *PAIR[:1], [PAIR[1]], compare.Options())
    assert len(ours) == len(theirs) > 10
    for a, b in zip(ours, theirs, strict=True):
        assert (a.verdict, a.mde, a.p_adjusted, a.sentence) == (
            b.verdict,
            b.mde,
            b.p_adjusted,
            b.sentence,
        )


def test_what_was_not_measured_alike_gets_no_verdict(run: Run) -> None:
    benchmarks = run.manifest["benchmarks"]
    evidence = [
        {
            "model": model,
            "entry": "alpaca_eval",
            "kind": "alpaca_eval",
            "files": [],
            "findings": [],
            "description": {**benchmarks[0]["description"], "judge": {"model": judge}},
        }
        for model, judge in zip(PAIR, ("gpt-4", "gpt-4-turbo"), strict=True)
    ]
    mixed = replace(run, manifest={**run.manifest, "evidence": evidence})
    text = render(mixed)["report.md"].decode()
    assert "were not measured alike on AlpacaEval: judge.model: 'gpt-4' against" in text
    assert cells(soup(mixed), "Headline measures")["AlpacaEval"]["Verdict"].startswith("not known")


@pytest.mark.parametrize(
    "policy",
    [
        {"margins": {"default": 50.0}},
        {"margins": {"default": 0.0}},
        {"margins": {"default": 5.0}, "warn_only": ["lm_eval"]},
        {"margins": {"mt_bench": 9.0}, "required": ["mt_bench"]},
        {"margins": {"lm_eval/sums": 1.0, "default": 30.0}, "required": ["lm_eval/sums"]},
        {"required": ["lm_eval"], "warn_only": ["lm_eval"]},
    ],
)
@pytest.mark.parametrize("advantage", [0.12, 0.0, -0.3])
def test_the_gate_in_words_is_the_gate(policy: dict[str, Any], advantage: float) -> None:
    """`gate.decide` is the oracle: it cannot be imported by reports, but by tests."""
    run = with_gate(build_run(Path("run"), Plan(advantage=advantage)), **policy)
    rows = compare.compare([run], PAIR[0], [PAIR[1]], compare.Options())
    spec = GateSpec.model_validate(run.manifest["suite"]["gate"])
    wanted = gate.decide(PAIR, rows, gate.Policy.of(spec))
    found = gate_of(View(run), PAIR)
    assert found is not None
    words = {"pass": "passes", "regression": "finds a regression", "inconclusive": "is undecided"}
    assert words[wanted.verdict] in gate_words(found)
    mine = {(m.measure.benchmark, m.measure.task): m for m in found.margins}
    for decision in wanted.decisions:
        assert mine[decision.place].verdict == decision.verdict
        assert mine[decision.place].required == decision.required
    page = soup(run)
    assert gate_words(found) in page.get_text()
    assert page.select("svg.forest line.margin")


def test_a_gate_that_lacks_required_samples_is_incomplete(run: Run) -> None:
    """`gate.decide` is the oracle."""

    def without(required: Sequence[str]) -> tuple[gate.GateResult, str]:
        kept = tuple(r for r in run.records if (r.model, r.benchmark) != (PAIR[0], "mt_bench"))
        compared = tuple(c for c in run.comparisons if c.benchmark != "mt_bench")
        cut = replace(run, records=kept, comparisons=compared)
        cut = with_gate(cut, required=required, margins={"default": 90.0})
        rows = compare.compare([cut], PAIR[0], [PAIR[1]], compare.Options())
        policy = gate.Policy.of(GateSpec.model_validate(cut.manifest["suite"]["gate"]))
        found = gate_of(View(cut), PAIR)
        assert found is not None
        said = gate_words(found)
        assert said in soup(cut).get_text()
        return gate.decide(PAIR, rows, policy, expected=[("mt_bench", "")]), said

    decided, said = without(["mt_bench", "alpaca_eval"])
    assert decided.verdict == "incomplete"
    assert said == "The suite's gate is incomplete, no samples of both models: MT-Bench."
    decided, said = without(["alpaca_eval"])
    assert decided.verdict == "pass"
    assert "passes" in said


@pytest.mark.parametrize("end", ["dpo", "sft"])
def test_names_that_begin_alike_are_told_apart_at_the_ends_of_an_axis(end: str) -> None:
    names = (f"organisation/some-model-7b-{end}", "organisation/some-model-7b-base")
    page = soup(build_run(Path("run"), Plan(models=names)))
    ends = [t.get_text() for t in page.select("svg.forest text.tick") if "favours" in t.get_text()]
    assert set(ends) == {"← favours the baseline", "favours the candidate →"}


def test_what_a_weak_judge_prefers_is_not_known_of_one_sample() -> None:
    answer = soup(build_run(Path("run"), Plan(samples=(1, 1, 1)))).select_one(".answer")
    assert answer is not None
    assert "What a weak judge prefers is not known." in answer.get_text()
    assert "neither" not in answer.get_text()


def test_a_single_measure_is_said_once(run: Run) -> None:
    of_one = tuple(c for c in run.comparisons if c.metric == "acc")
    page = soup(replace(run, comparisons=of_one))
    answer = page.select_one(".answer")
    assert answer is not None
    assert not page.select(".statements")
    assert soup(run).select(".statements")


def test_a_run_without_gate_or_with_another_baseline_shows_none(run: Run) -> None:
    assert gate_of(View(run), PAIR) is None
    assert gate_of(View(with_gate(run)), ("quick-lora", "other")) is None
    assert "Gate" not in soup(run).get_text()


def test_a_difference_without_interval_is_not_known(run: Run) -> None:
    bare = tuple(
        replace(c, low=None, high=None, standard_error=None, p=None, n=1, n_clusters=1)
        if c.metric == "acc"
        else c
        for c in run.comparisons
    )
    page = soup(replace(run, comparisons=bare))
    marks = [m.get_text() or m.name for m in page.select("svg.forest svg.wide .mark")]
    assert "?" in marks
    assert cells(page, "Headline measures")["lm-eval: opposites"]["Verdict"] == "not known"


def test_lower_is_better_has_an_axis_of_its_own(run: Run) -> None:
    manifest = {**run.manifest, "benchmarks": [_turned(b) for b in run.manifest["benchmarks"]]}
    rows: list[Comparison] = [
        replace(c, higher_is_better=c.metric != "acc") for c in run.comparisons
    ]
    charts = soup(replace(run, manifest=manifest, comparisons=tuple(rows))).select("svg.forest")
    assert len(charts) == 3
    ends = [[t.get_text() for t in c.select("svg.wide .tick")][-2:] for c in charts]
    assert ["← favours smollm2", "favours quick-lora →"] in ends
    assert ["← favours quick-lora", "favours smollm2 →"] in ends


def _turned(benchmark: dict[str, Any]) -> dict[str, Any]:
    tasks = {
        task: {
            **about,
            "metrics": [{**m, "higher_is_better": m["name"] != "acc"} for m in about["metrics"]],
        }
        for task, about in benchmark["tasks"].items()
    }
    return {**benchmark, "tasks": tasks}
