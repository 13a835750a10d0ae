"""The first screen, its terminal table and its comment: corrected verdicts, warnings, the gate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.comparison.contests import Options, contests, stored
from evalkit.comparison.figures import average_figures, comparisons
from evalkit.comparison.gate import gate
from evalkit.core import Record
from evalkit.core.figures import Average, FigureKey, Metric
from evalkit.core.run import BenchmarkEntry, Run
from evalkit.draw import COMMENT_LIMIT, contest_sentence, gate_sentence
from evalkit.report import comment, render, summary_lines
from evalkit.report.content import samples_link
from evalkit.report.summary import COMMENT_MARKER
from tests.report.conftest import (
    PAIR,
    PRIMARY,
    changed,
    headlines,
    markdown,
    soup,
    unfinished,
    with_gate,
)
from tests.support.github_markdown import Rendered, rendered
from tests.support.properties import examples
from tests.support.runs import Plan, build_run, with_manifest
from tests.support.terminal import screen

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"


def p_values(run: Run, p: dict[str, float]) -> Run:
    """The run whose headline differences are all positive, with these p by metric."""
    numbers = {"point": 2.0, "low": 0.5, "high": 3.5, "standard_error": 0.75}
    return changed(
        run,
        lambda c: (
            {**numbers, "p": p[c.key.metric]}
            if c.key.metric in p and c.key.category is None
            else None
        ),
    )


def test_what_holm_leaves_open_is_nowhere_called_better(sound: Run) -> None:
    """p .03, .03, .03 and .001: Holm gives .09 to the three and .004 to the last."""
    several = p_values(sound, dict.fromkeys(PRIMARY, 0.03) | {"acc": 0.001})
    page = soup(several)
    table = headlines(page)
    assert {label: row["Verdict"] for label, row in table.items()} == {
        "AlpacaEval": "○ not significant after correcting for 4 tests",
        "MT-Bench": "○ not significant after correcting for 4 tests",
        "lm-eval: opposites": "▲ better",
        "lm-eval: sums": "○ not significant after correcting for 4 tests",
    }
    assert table["AlpacaEval"]["p (Holm)"] == "0.090"
    assert table["lm-eval: opposites"]["p (Holm)"] == "0.004"
    answer = page.select_one("p.answer")
    assert answer is not None
    said = "Better on 1 of 4 · no significant difference on 3 · no regression"
    assert said in answer.get_text()
    assert screen(summary_lines(several))[:2] == [
        f"▲ {said}",
        f"  {next(line for line in page.stripped_strings if '→' in line)}",
    ]
    first = page.select_one("#part-1")
    assert first is not None
    assert [c.get_text() for c in first.select(".chip.better")] == ["▲ better"]
    shapes = [m.name for m in page.select("svg.difference .mark")]
    assert shapes == ["circle", "polygon", "circle", "circle"]
    assert sum("  better  " in line for line in screen(summary_lines(several))) == 1
    alone = screen(summary_lines(p_values(sound, dict.fromkeys(PRIMARY, 0.0001))))
    assert sum("  better  " in line for line in alone) == 4


def test_a_local_judge_is_named_wherever_it_decided(run: Run) -> None:
    better = p_values(run, dict.fromkeys(PRIMARY, 0.0001))
    table = headlines(soup(better))
    assert table["AlpacaEval"]["Verdict"] == "▲ prefers quick-lora"
    assert table["lm-eval: sums"]["Verdict"] == "▲ better"
    apart = soup(better).select("table.scores.apart")
    assert [t.select_one("tbody th").get_text() for t in apart] == ["AlpacaEval", "MT-Bench"]  # type: ignore[union-attr]
    assert [t.caption.get_text() for t in apart if t.caption] == [
        "Judged by a local judge, not validated against people"
    ]
    text = markdown(better)
    for line in text.split("\n"):
        assert "is better than" not in line or "AlpacaEval" not in line


def test_the_table_has_the_figures_of_the_results(run: Run) -> None:
    table = headlines(soup(run))
    (c,) = [c for c in run.comparisons if c.key.metric == "win_rate"]
    row, d = table["AlpacaEval"], c.difference
    assert d.point is not None
    assert row["Difference"] == f"{d.point:+.1f}"
    counts = [row[name] for name in ("Wins", "Ties", "Losses")]
    assert counts == [str(n) for n in (c.wins, c.ties, c.losses)]
    assert row["n"] == str(d.n)
    assert row["Missing"] == f"{c.n_missing_candidate}, {c.n_missing_baseline}"
    key = FigureKey("alpaca_eval", "alpaca_eval", "win_rate")
    points = [f.value.point for m in PAIR[::-1] if (f := run.figure(m, key))]
    assert row["Baseline"] == " → ".join(f"{point:.1f}" for point in points)


def test_a_count_leads_to_the_samples_it_counts(run: Run) -> None:
    """Links stand only in a page that has the samples, and only on counts above 0."""
    page = soup(run)
    targets = {a["href"]: a.get_text() for a in page.select("td a, tbody th a")}
    (c,) = [c for c in run.comparisons if c.key.metric == "win_rate"]
    for verdict, n in {"win": c.wins, "tie": c.ties, "loss": c.losses}.items():
        link = samples_link(benchmark="alpaca_eval", task="alpaca_eval", verdict=verdict)
        assert targets.get(link) == (str(n) if n else None)
    assert all(str(href).startswith("#samples") for href in targets)
    assert not soup(run, figures_only=True).select("td a, tbody th a")


def test_what_is_said_is_what_compare_says(run: Run) -> None:
    ours, theirs = (
        [(c.key, c.verdict, c.p_adjusted, c.mde, contest_sentence(c)) for c in found]
        for found in (stored(run), contests([run], PAIR[0], [PAIR[1]], Options()))
    )
    assert ours == theirs
    assert len(ours) > 10


def test_what_was_measured_otherwise_gets_no_verdict() -> None:
    evidence = [
        {
            "model": model,
            "entry": "alpaca_eval",
            "kind": "alpaca_eval",
            "description": {"type": "alpaca_eval", "version": "1", "judge": {"model": judge}},
        }
        for model, judge in zip(PAIR, ("gpt-4", "gpt-4-turbo"), strict=True)
    ]
    mixed = build_run(evidence=evidence)
    assert "settings differ: judge.model: 'gpt-4' against" in markdown(mixed)
    verdict = headlines(soup(mixed))["AlpacaEval"]["Verdict"]
    assert verdict.startswith("undefined (settings differ")


def test_a_difference_without_interval_is_undefined(run: Run) -> None:
    bare: dict[str, Any] = {"low": None, "high": None, "standard_error": None, "p": None}
    page = soup(changed(run, lambda c: {**bare, "n": 1} if c.key.metric == "acc" else None))
    assert "?" in [m.get_text() for m in page.select("svg.difference .mark")]
    assert headlines(page)["lm-eval: opposites"]["Verdict"] == "undefined"


def test_an_unfinished_run_says_only_that(run: Run) -> None:
    said = (
        "This run is not finished, so there is no verdict. Run the same command again to finish it."
    )
    text = markdown(unfinished(run))
    assert said in text.split("## ")[1]
    for claim in ("Nothing to show", "compares no candidate", "side by side\n\n|"):
        assert claim not in text
    assert screen(summary_lines(unfinished(run)))[0] == said
    assert said in comment(unfinished(run))
    assert said not in markdown(run)


def test_a_run_without_a_pair_shows_figures(run: Run) -> None:
    alone = with_manifest(replace(run, comparisons=()), limit=3)
    assert "This run compares no candidate with a baseline." in markdown(alone)
    lines = screen(summary_lines(alone))
    assert [line.split()[0] for line in lines[1:3]] == ["AlpacaEval,", "AlpacaEval,"]
    assert lines[-1].startswith("limited run: at most 3 samples per task")
    assert {"quick-lora", "claude-2 (published)", "91.38"} <= set(rendered(comment(alone)).cells)
    assert screen(summary_lines(with_manifest(Run(Path("run"), run.manifest, (), (), ())))) == []


# --- warnings -----------------------------------------------------------------------------------


def test_the_first_screen_warns(run: Run) -> None:
    free = markdown(run)
    assert "Limited run." not in free
    assert "**Limited run.** At most 8 samples per task" in markdown(build_run(Plan(limit=8)))
    head = free.split("## Results")[0]
    assert "position bias 5.0 points towards the answer shown first" in head
    assert "the adapter names its base by another name" in head
    failed = sum(r.outcome.status != "ok" for r in run.records)
    assert f"{failed} of 240 samples have no score" in head


def test_the_terminal_says_why_samples_have_no_score(run: Run) -> None:
    said = "cut before a verdict: raise judge_max_tokens (100)\x1b[31m"

    def lost(record: Record) -> Record:
        outcome = replace(record.outcome, status="unparsable", error=said)
        return replace(record, outcome=outcome) if record.task == "alpaca_eval" else record

    records = tuple(map(lost, run.records))
    lines = screen(summary_lines(replace(run, records=records)))
    assert "  48 of them: cut before a verdict: raise judge_max_tokens (100)⟨U+001B⟩[31m" in lines


@pytest.mark.parametrize("bos", ["doubled", "missing"])
def test_unsound_models_are_shown_on_the_first_screen(run: Run, bos: str) -> None:
    first, second = run.manifest.models
    prompt = second.first_prompts[0].model_copy(update={"bos": bos})
    odd = second.model_copy(update={"trust_remote_code": True, "first_prompts": (prompt,)})
    head = markdown(with_manifest(run, models=(first, odd))).split("## Results")[0]
    assert f"smollm2: BOS {bos}." in head
    assert "smollm2: remote code." in head


@pytest.mark.parametrize(("n", "said"), [(1, "1 finding makes"), (5, "5 findings make")])
def test_damage_is_named_in_the_comment_itself(n: int, said: str) -> None:
    """Where the page refers to a section, which a comment has not."""
    findings = [{"code": "cut", "message": f"file {i} is cut"} for i in range(n)]
    entry = {"model": "quick-lora", "entry": "mt_bench", "kind": "x", "findings": findings}
    damaged = build_run(evidence=[entry])
    assert "“Recorded evidence” below names each." in markdown(damaged)
    printed = " ".join(shown(comment(damaged)).texts)
    assert f"Damaged evidence. {said} recorded figures unreliable: " in printed
    assert "quick-lora, MT-Bench: file 0 is cut" in printed
    assert ("The run's report names 2 more." in printed) == (n == 5)


# --- the gate -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "policy",
    [
        {"margins": {"default": {"percent": 50.0, "points": 50.0}}},
        {"margins": {"default": {"percent": 5.0, "points": 5.0}}, "warn_only": ["lm_eval"]},
        {
            "margins": {"lm_eval/sums": 1.0, "default": {"percent": 30.0, "points": 30.0}},
            "required": ["lm_eval/sums"],
        },
    ],
)
@pytest.mark.parametrize("advantage", [0.12, -0.3])
def test_the_page_shows_the_gate(policy: dict[str, Any], advantage: float) -> None:
    run = with_gate(build_run(Plan(advantage=advantage)), **policy)
    decided = gate(run)
    page = soup(run)
    assert gate_sentence(decided) in page.get_text()
    assert page.select("svg.difference line.margin")
    words = {"pass": "held", "regression": "exceeded", "inconclusive": "not shown"}
    table = headlines(page)
    assert len(table) == len(decided.tests) == 4
    for row, test in zip(table.values(), decided.tests, strict=True):
        assert f": {words[test.verdict]}" in row["Gate"]
        assert row["Gate"].endswith(", not required") != test.required
    # Intervals are the report's: the gate's own are at another level.
    assert {"95% CI"} <= set(next(iter(table.values())))
    assert [{**row, "Gate": ""} for row in table.values()] == [
        {**row, "Gate": ""}
        for row in headlines(soup(build_run(Plan(advantage=advantage)))).values()
    ]


def test_a_gate_that_lacks_required_samples_is_incomplete(run: Run) -> None:
    kept = tuple(r for r in run.records if (r.model, r.benchmark) != (PAIR[0], "mt_bench"))
    compared = tuple(c for c in run.comparisons if c.key.benchmark != "mt_bench")
    cut = with_gate(
        replace(run, records=kept, comparisons=compared),
        margins={"default": {"percent": 90.0, "points": 90.0}},
    )
    text = soup(cut).get_text()
    assert gate_sentence(gate(cut)) in text
    assert "Gate incomplete" in text
    assert "Not passed: MT-Bench: " in text


def test_a_gate_against_another_baseline_is_not_shown(run: Run) -> None:
    assert "Gate" not in soup(run).get_text()
    assert "Gate" not in soup(with_gate(run, baseline="another")).get_text()


def averaged(sound: Run) -> Run:
    """The run whose two tasks of lm-eval are averaged, computed as a run does."""
    average = Average(
        "lm_eval",
        Metric("average", "percent", primary=True),
        of=(("opposites", "acc"), ("sums", "exact_match,strict-match")),
    )
    *others, entry = sound.manifest.benchmarks
    entries = (*others, BenchmarkEntry(name="lm_eval", tasks=entry.tasks, averages=(average,)))
    roles = dict(zip(PAIR, ("candidate", "baseline"), strict=True))
    found = comparisons(sound.records, entries, roles, 0.95)
    of_each = [average_figures(sound.records_of(m, "lm_eval"), [average], 0.95) for m in PAIR]
    figures = (*sound.figures, *(f for mine in of_each for f in mine))
    run = replace(sound, figures=figures, comparisons=tuple(found))
    return with_manifest(run, benchmarks=entries)


def test_an_average_is_the_headline_of_its_tasks(sound: Run) -> None:
    """On the page, for the gate and in `compare`: the same rows."""
    run = with_gate(
        averaged(sound),
        required=["lm_eval/average"],
        margins={"default": {"percent": 60.0, "points": 60.0}},
    )
    headline = [c.key for c in stored(run) if c.family == "headline"]
    assert [key.task for key in headline] == ["alpaca_eval", "mt_bench", "lm_eval"]
    page = soup(run)
    table = headlines(page)
    assert list(table) == ["AlpacaEval", "MT-Bench", "lm-eval average"]
    decided = gate(run)
    assert [test.key for test in decided.tests] == headline
    assert gate_sentence(decided).startswith("Gate passed: quick-lora against smollm2")
    assert gate_sentence(decided) in page.get_text()
    assert table["lm-eval average"]["Gate"] == f"{MINUS}60.0: held"
    assert table["AlpacaEval"]["Gate"].endswith("not required")
    # Its tasks are details, listed with the benchmark.
    assert "2 subtasks" in [s.get_text() for s in page.find_all("summary")]


# --- several models -----------------------------------------------------------------------------


def test_many_pairs_are_folded() -> None:
    names = ("tuned", "base", *(f"other-{i}" for i in range(6)))
    page = soup(build_run(Plan(models=names, samples=(12, 16, 20))))
    assert page.h1 is not None
    assert page.h1.get_text() == "tuned against 7 models"
    pairs = page.select("p.answer")
    assert len(pairs) == 7
    assert sum(answer.find_parent("details") is not None for answer in pairs) == 4
    assert "4 more pairs" in [s.get_text() for s in page.find_all("summary")]
    assert "tuned against other-5: " in pairs[-1].get_text()
    # No two models of a chart look alike: candidate and baselines are drawn, the table has all.
    (chart,) = page.select("svg.bars")
    assert [t.get_text() for t in chart.select("text.key")] == list(names[:4])
    assert "Drawn: 4 of 8 models; the table has all." in page.get_text()


# --- win rates and lengths ----------------------------------------------------------------------


def lengths(sound: Run, controlled: tuple[float, float] | None, raw: float, p: float) -> str:
    """A page whose win rates differ by `raw`, and by these figures with length controlled."""
    numbers: dict[str, dict[str, Any]] = {
        "win_rate": {"point": raw, "low": raw - 1, "high": raw + 1, "p": p},
        "avg_length": {"point": 650.0, "low": 500.0, "high": 800.0, "p": 0.0001},
    }
    run = changed(sound, lambda c: dict(numbers.get(c.key.metric, {})))
    base = next(f for f in run.figures if f.key.metric == "win_rate")
    key = replace(base.key, metric="length_controlled_win_rate")
    more = [
        replace(base, model=name, key=key, value=replace(base.value, point=point))
        for name, point in zip(PAIR, controlled or (), strict=False)
    ]
    return markdown(replace(run, figures=(*run.figures, *more)))


def test_a_lead_that_length_explains(sound: Run) -> None:
    text = lengths(sound, (48.0, 50.0), 5.0, 0.0001)
    assert (
        "quick-lora is longer than smollm2 on AlpacaEval (average length): +650 characters, 95% CI "
        "+500 to +800, 22 samples. The "
        f"lead of quick-lora disappears ({MINUS}2.0 percentage points with length controlled "
        "instead of +5.0): length alone may explain it."
    ) in text
    assert "Most of the lead of quick-lora" in lengths(sound, (52, 50), 5.0, 0.0001)
    assert "The lead of quick-lora remains (+4.0" in lengths(sound, (54, 50), 5.0, 0.0001)
    assert "The lead of smollm2 remains" in lengths(sound, (50, 54), -5.0, 0.0001)


def test_lengths_decide_nothing_where_nothing_is_significant(sound: Run) -> None:
    text = lengths(sound, (48.0, 50.0), 0.5, 0.6)
    assert "which has no paired interval and settles nothing" in text
    assert "lead of" not in text.split("## Results")[0]
    assert "There is no length-controlled figure of both." in lengths(sound, None, 5.0, 0.0001)


# --- the comment --------------------------------------------------------------------------------

ALLOWED = {
    *("h3", "p", "strong", "blockquote", "ul", "li", "br"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}


def shown(text: str) -> Rendered:
    assert len(text) <= COMMENT_LIMIT
    found = rendered(text)
    assert found.tags <= ALLOWED
    assert found.attributes <= {"align"}
    assert found.comments == [COMMENT_MARKER.removeprefix("<!--").removesuffix("-->")]
    return found


def test_a_comment_has_the_verdict_the_warnings_and_the_table() -> None:
    run = build_run(Plan(limit=24))
    text = comment(run)
    lines = text.split("\n")
    assert lines[0] == COMMENT_MARKER
    assert lines[2] == "### evalkit: quickstart"
    assert " on 1 · no regression · 2 more by a local judge**" in lines[4]
    assert "Limited run." in text
    assert "local judge, not validated against people" in text
    found = shown(text)
    assert found.cells[0] == "quick-lora against smollm2"
    assert len(found.cells) == 6 * (1 + 4)
    assert "(cut:" not in text


def test_rows_that_do_not_fit_a_comment_are_cut_off_whole(run: Run) -> None:
    """The same pair on very many tasks."""
    entries = list(run.manifest.benchmarks)
    own = [c for c in run.comparisons if c.key.benchmark == "lm_eval"]
    rows = [
        replace(c, key=replace(c.key, task=f"{c.key.task} {i}")) for i in range(600) for c in own
    ]
    tasks = {f"{t} {i}": about for i in range(600) for t, about in entries[2].tasks.items()}
    entries[2] = BenchmarkEntry(name="lm_eval", tasks=tasks)
    text = comment(replace(with_manifest(run, benchmarks=tuple(entries)), comparisons=tuple(rows)))
    found = shown(text)
    assert 100 < len(found.cells) // 6 < 1200
    assert len(found.cells) % 6 == 0
    assert text.endswith("\n\n(cut: the rest does not fit here)\n")
    # As many as fit: one more row would be too many.
    longest = max(len(line) for line in text.split("\n") if line.startswith("| lm"))
    assert len(text) > COMMENT_LIMIT - longest - 40


def test_names_of_any_length_fit_a_comment() -> None:
    shown(comment(build_run(Plan(models=("a&<|" * 30_000, "b")))))


@given(st.text(st.characters(), max_size=40), st.sampled_from(["|", "`", "<b>", "\n", "@x", "*"]))
@examples(30)
def test_hostile_names_stay_text_in_a_comment(name: str, mark: str) -> None:
    hostile = f"{name}{mark}"
    plan = Plan(models=(hostile, f"{hostile} 2"), samples=(3, 2, 3), say=lambda s: s + hostile)
    shown(comment(build_run(plan)))


def test_a_copy_for_publication_has_every_figure_and_no_text(run: Run) -> None:
    first = run.manifest.models[0]
    prompt = first.first_prompts[0].model_copy(update={"text": "a rendered question"})
    model = first.model_copy(update={"first_prompts": (prompt,)})
    given_run = with_manifest(run, models=(model, *run.manifest.models[1:]))
    whole, bare = render(given_run), render(given_run, figures_only=True)
    texts = {m.content for r in run.records for m in r.outcome.conversation}
    for name in ("index.html", "report.md"):
        shown_texts = {t for t in {*texts, prompt.text} if t and t in whole[name].decode()}
        assert prompt.text in shown_texts
        assert len(shown_texts) > 2
        assert not [t for t in shown_texts if t in bare[name].decode()]
    rows = [line for line in whole["report.md"].decode().splitlines() if line.startswith("|")]
    assert len(rows) > 10
    assert [row for row in rows if row not in bare["report.md"].decode()] == []
