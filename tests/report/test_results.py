"""What stands in the sections, against figures computed here from the records by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from bs4 import BeautifulSoup, Tag

from evalkit.comparison.ranking import rankings
from evalkit.core import Exchange, Judgment, Message, Outcome, Record, Score
from evalkit.core.figures import (
    Average,
    Estimator,
    Figure,
    FigureKey,
    Interval,
    Measured,
    Method,
    Metric,
)
from evalkit.core.run import BenchmarkEntry, Manifest, Run, TaskEntry
from evalkit.draw import Table
from evalkit.report import summary_lines
from evalkit.report.content import Block, Details, Note, Report, Section, gap
from evalkit.report.results import leaderboard
from tests.report.conftest import captioned, cells, markdown, rows_of, soup
from tests.support.runs import Plan, build_run, training_run, with_manifest
from tests.support.terminal import screen

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
AGREE = f"{DASH} (all samples agree)"


def scores(run: Run, model: str, benchmark: str, metric: str) -> dict[tuple[str, str], float]:
    return {
        (r.sample, s.part): s.value
        for r in run.records_of(model, benchmark)
        for s in r.outcome.scores
        if s.metric == metric
    }


def signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", MINUS)


def row_of(text: str, start: str) -> list[str]:
    """Cells of the first row that begins so."""
    line = next(line for line in text.split("\n") if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


# --- figures, differences, categories, what is missing ------------------------------------------


def folded(page: BeautifulSoup, summary: str) -> list[Tag]:
    """Tables folded under this summary."""
    found = (s.parent for s in page.find_all("summary") if s.get_text() == summary)
    return [table for fold in found if fold is not None for table in fold.find_all("table")]


def details(page: BeautifulSoup) -> list[Tag]:
    """A benchmark's differences on every metric."""
    return folded(page, "Candidate against baseline on every metric")


def test_figures_side_by_side(run: Run) -> None:
    rows = list(rows_of(captioned(soup(run), "Models side by side")[0]))
    assert rows[0] == ["AlpacaEval, win rate, percent"]
    for row, model in zip(rows[1:3], ("quick-lora", "smollm2"), strict=True):
        own = run.records_of(model, "alpaca_eval")
        values = list(scores(run, model, "alpaca_eval", "win_rate").values())
        assert row[:2] == [model, f"{100 * fmean(values):.2f}"]
        assert row[3:] == [str(len(values)), str(len(own) - len(values))]
        assert 0 < len(values) < len(own) == 24
    # Published: marked, with what its publisher states, and paired with nothing.
    assert rows[3] == ["claude-2 (published)", "91.38", DASH, DASH, DASH]
    for table in details(soup(run)):
        assert "claude-2" not in table.get_text()


def test_paired_differences(run: Run) -> None:
    table = details(soup(run))[0]
    a, b = (scores(run, m, "alpaca_eval", "win_rate") for m in ("quick-lora", "smollm2"))
    pairs = [(a[key], b[key]) for key in a if key in b]
    group, row, *_ = rows_of(table)
    assert group == ["quick-lora against smollm2"]
    assert row[:2] == ["AlpacaEval", signed(100 * fmean(x - y for x, y in pairs), 1)]
    assert row[5:9] == [
        str(sum(x > y for x, y in pairs)),
        str(sum(x == y for x, y in pairs)),
        str(sum(x < y for x, y in pairs)),
        str(len(pairs)),
    ]


def test_categories(run: Run) -> None:
    page = soup(run)
    table = cells(page, "MT-Bench by category: score, both turns")
    assert len(table) == 8
    means = {
        model: fmean(
            s.value
            for r in run.records_of(model, "mt_bench")
            if r.category == "writing"
            for s in r.outcome.scores
            if s.metric == "score"
        )
        for model in ("quick-lora", "smollm2")
    }
    row = table["MT-Bench, writing"]
    assert [row[m].split(" ")[0] for m in means] == [f"{v:.2f}" for v in means.values()]
    (chart,) = page.select("svg.bars")
    said = chart.find("desc")
    assert said is not None
    for f in run.figures:
        if f.key.category is not None:
            assert f"{f.model} {f.value.point:.2f}" in said.get_text()
    assert not chart.select("line.whisker"), "four scores of two questions have no interval"
    gap = signed(means["quick-lora"] - means["smollm2"], 2)
    assert any(row[:2] == ["MT-Bench, writing, points of 10", gap] for row in rows_of(page))


def test_what_is_missing_and_what_was_cut(run: Run) -> None:
    alpaca, mt_bench = folded(soup(run), "Missing scores and truncated answers")[:2]
    cut = sum(r.outcome.truncated for r in run.records_of("smollm2", "alpaca_eval"))
    rows = list(rows_of(alpaca))
    assert ["quick-lora", "alpaca_eval", "over_long", "2"] in rows
    assert ["smollm2", "alpaca_eval", "truncated, scored", str(cut)] in rows
    assert ["quick-lora", "mt_bench", "unparsable", "1"] in rows_of(mt_bench)


def test_a_model_without_a_headline_figure_is_visibly_missing(run: Run) -> None:
    kept = tuple(f for f in run.figures if (f.model, f.key.metric) != ("smollm2", "win_rate"))
    rows = list(rows_of(captioned(soup(replace(run, figures=kept)), "Models side by side")[0]))
    assert ["smollm2", DASH, DASH, DASH, DASH] in rows[1:4]


def test_an_unknown_number_of_samples_is_missing_not_0(run: Run) -> None:
    """A result file may state a figure and not of how many samples."""
    published = next(f for f in run.figures if f.source is not None)
    alone = Run(Path("run"), run.manifest, (), (published,), ())
    assert screen(summary_lines(alone))[1].endswith(f"91.38       {DASH}  {DASH}        {DASH}")
    zero = replace(published, value=replace(published.value, point=0.0))
    alone = replace(alone, figures=(zero,))
    assert screen(summary_lines(alone))[1].endswith(f"0.00       {DASH}  {DASH}        {DASH}")


def settled(candidate: float, baseline: float) -> Run:
    """Six samples on which each model always has the same rating."""
    from evalkit.comparison.figures import comparisons, figures

    records = tuple(
        Record(model, "mt_bench", "mt_bench", str(n), "math", str(n), outcome)
        for model, value in (("tuned", candidate), ("plain", baseline))
        for n in range(6)
        for outcome in [Outcome("ok", scores=(Score("score", value),))]
    )
    metric = Metric("score", "points", primary=True, by_category=True)
    entry = BenchmarkEntry(name="mt_bench", tasks={"mt_bench": TaskEntry(metrics=(metric,))})
    roles = {"tuned": "candidate", "plain": "baseline"}
    models = [{"name": name, "role": role} for name, role in roles.items()]
    manifest = Manifest(run_id="0", sealed=True, models=models, benchmarks=(entry,))  # type: ignore[arg-type]
    return Run(
        Path("run"),
        manifest,
        records,
        tuple(figures(records, [entry], 0.95)),
        tuple(comparisons(records, [entry], roles, 0.95)),
    )


@pytest.mark.parametrize(("candidate", "baseline"), [(9.0, 7.0), (9.0, 9.0)])
def test_ratings_that_all_agree_have_no_interval(candidate: float, baseline: float) -> None:
    run = settled(candidate, baseline)
    assert {(f.value.standard_error, f.value.low == f.value.high) for f in run.figures} == {
        (0.0, True)
    }
    text = markdown(run)
    assert row_of(text, "tuned")[1:3] == ["9.00", AGREE]
    assert row_of(text.split("## Results")[1], "MT-Bench, points of 10")[2] == AGREE
    for nothing in ("9.00 to 9.00", "0.00 to"):
        assert nothing not in text
    assert any(AGREE in line for line in screen(summary_lines(run)))


# --- tasks --------------------------------------------------------------------------------------


def board() -> Run:
    """Version 2's shape: raw scores of subtasks, normalised ones of subtasks and families."""
    points = {
        ("bbh_snarks", "acc_norm"): 60.0,
        ("bbh_snarks", "normalised"): 20.0,
        ("bbh", "normalised"): 20.0,
        ("math", "exact_match"): 4.0,
        ("board", "average"): 12.0,
    }
    figures = tuple(
        Figure(
            model,
            FigureKey("board", *place),
            "percent",
            Measured(
                point + i, 1.0, point + i - 2, point + i + 2, 0.95, 100, 100, 0,
                Method(Estimator.MEAN, Interval.T),
            ),
        )
        for i, model in enumerate(("tuned", "plain"))
        for place, point in points.items()
    )  # fmt: skip
    own = {
        "bbh_snarks": Metric("acc_norm", "percent", 100, primary=True),
        "math": Metric("exact_match", "percent", 100, primary=True),
    }
    averages = (
        Average("bbh", Metric("normalised", "percent"), of=(("bbh_snarks", "normalised"),)),
        Average(
            "board",
            Metric("average", "percent", primary=True),
            of=(("bbh", "normalised"), ("math", "exact_match")),
            columns=True,
        ),
    )
    tasks = {task: TaskEntry(metrics=(metric,)) for task, metric in own.items()}
    entry = BenchmarkEntry(name="board", tasks=tasks, averages=averages)
    models: Any = [{"name": "tuned", "role": "candidate"}, {"name": "plain", "role": "baseline"}]
    manifest = Manifest(run_id="0", sealed=True, models=models, benchmarks=(entry,))
    return Run(Path("run"), manifest, (), figures, ())


def test_tasks_below_an_average_are_folded_away() -> None:
    page = soup(board())
    shown = {(row[0], row[1]): row[2:] for row in rows_of(captioned(page, "Tasks")[0])}
    assert shown["board: bbh", "normalised"] == ["20.00 (18.00 to 22.00)", "21.00 (19.00 to 23.00)"]
    assert shown["board: math", "exact match"][0] == "4.00 (2.00 to 6.00)"
    assert shown["board average", "average"][0] == "12.00 (10.00 to 14.00)"
    (inner,) = captioned(page, "Subtasks")
    assert [row[:3] for row in rows_of(inner)] == [
        ["board: bbh_snarks", "accuracy, length-normalised", "60.00 (58.00 to 62.00)"],
        ["board: bbh_snarks", "normalised", "20.00 (18.00 to 22.00)"],
    ]
    fold = inner.find_parent("details")
    assert fold is not None
    assert fold.find("summary").get_text() == "1 subtask"  # type: ignore[union-attr]


# --- leaderboard --------------------------------------------------------------------------------

MODELS = ("tuned", "base", "other", "third")


@pytest.fixture(scope="module")
def several() -> Run:
    return build_run(Plan(models=MODELS, published=True, advantage=0.4))


def tables(block: Block) -> list[Table]:
    if isinstance(block, Table):
        return [block]
    if isinstance(block, Section | Details):
        return [t for inner in block.blocks for t in tables(inner)]
    return []


def shown_board(run: Run) -> Section:
    found = leaderboard(Report(run))
    assert found is not None
    return found


def test_a_leaderboard_needs_three_models_and_a_finished_run(run: Run, several: Run) -> None:
    two = tuple(f for f in run.figures if f.source is None)
    assert (
        leaderboard(
            Report(with_manifest(replace(run, figures=two), suite=type(run.manifest.suite)()))
        )
        is None
    )
    assert leaderboard(Report(with_manifest(several, sealed=False))) is None


def test_ranks_are_the_rankings(several: Run) -> None:
    boards = [t for t in tables(shown_board(several)) if t.columns[-1].label == "Role"]
    assert [t.caption for t in boards] == [
        "AlpacaEval: win rate",
        "MT-Bench: score, both turns",
        "lm-eval: opposites: accuracy",
        "lm-eval: sums: exact match (strict-match)",
    ]
    found = list(rankings(several.records, several.benchmarks, 0.95))
    for (_, ranking, _), board_ in zip(found, boards, strict=True):
        shown = {row[1].shown: row[0].shown for row in board_.rows if not row[0].is_missing}
        assert shown == {
            p.model: str(p.first) if p.first == p.last else f"{p.first} to {p.last}"
            for p in ranking.places
        }
    # The candidate of this run is far ahead on AlpacaEval, and the others are alike.
    first = {row[1].shown: row[0].shown for row in boards[0].rows}
    assert first["tuned"] == "1"
    assert {first[name] for name in MODELS[1:]} == {"2 to 4"}
    # Published rows are marked and have no rank.
    (row,) = boards[0].groups[-1].rows
    assert boards[0].groups[-1].label.startswith("Not ranked")
    assert (row[0].is_missing, row[1].shown, row[-1].shown) == (
        True,
        "claude-2 (published)",
        "published",
    )


def test_an_order_by_a_local_judge_is_marked(several: Run) -> None:
    marked = [
        part.title
        for part in shown_board(several).blocks
        if isinstance(part, Section) and any(isinstance(b, Note) for b in part.blocks)
    ]
    assert marked == ["AlpacaEval", "MT-Bench"]


def test_strengths_have_the_reference_as_a_player(several: Run) -> None:
    named = [t for t in tables(shown_board(several)) if t.caption.startswith("Strengths")]
    (strengths,) = named
    assert {row[1].shown for row in strengths.rows} == {*MODELS, "reference"}


# --- answers side by side -----------------------------------------------------------------------


def test_examples_are_the_largest_differences_of_both_directions_in_turn(run: Run) -> None:
    a, b = (scores(run, m, "alpaca_eval", "win_rate") for m in ("quick-lora", "smollm2"))
    gaps = sorted((a[key] - b[key], key[0]) for key in a if key in b)
    up, down = gaps[:-3:-1], gaps[:2]
    part = markdown(run).split("## Largest changes")[1].split("### MT-Bench")[0]
    titles = [line for line in part.split("\n") if line.startswith(("####", "Sample "))]
    found = [(titles[i].split(":")[0].lstrip("# "), titles[i + 1]) for i in range(0, 8, 2)]
    assert found == [
        (f"{signed(100 * gap, 1)} percentage points", f"Sample {sample}")
        for pair in zip(up, down, strict=True)
        for gap, sample in pair
    ]
    first, *others = soup(run).select(".example > details")
    assert first.has_attr("open")
    assert not any(other.has_attr("open") for other in others)


def test_answers_are_rendered_from_markdown_and_the_judge_speaks_in_words(run: Run) -> None:
    said = "# Why\n\n**Steam** `x<1`\n\n```py\nprint(1)\n```\n\n[a](https://e.vil) ![b](c.png)"
    judged = Judgment("gpt-4", "pairwise_text", "ok", 0.9, votes=(0.9,))

    def outcome(value: float) -> Outcome:
        talk = (Message("user", "Why?"),)
        score = (Score("win_rate", value),)
        return Outcome("ok", talk, (said,), judgments=(judged,), scores=score)

    records = tuple(
        replace(r, outcome=outcome(0.9 if r.model == "quick-lora" else 0.5))
        for r in run.records
        if (r.benchmark, r.sample) == ("alpaca_eval", "0001")
    )
    page = soup(replace(run, records=records))
    answer = page.select_one(".example .side .markdown")
    assert answer is not None
    assert [e.name for e in answer.find_all(True)] == [
        *("p", "p", "strong", "code", "p", "pre", "code", "p")
    ]
    assert answer.get_text().endswith("[a](https://e.vil) ![b](c.png)\n")
    assert [p.get_text() for p in page.select(".example .judged")] == [
        "gpt-4 prefers this answer: 90.00 of 100 for this answer.",
        "gpt-4 prefers no side: 50.00 of 100 for this answer.",
    ]


def shown_example(run: Run, benchmark: str, sample: str, outcome: Outcome) -> str:
    """The example of one sample, when it is the only one, both models have `outcome` and no pair
    is compared."""
    records = tuple(
        replace(r, outcome=outcome)
        for r in run.records
        if (r.benchmark, r.sample) == (benchmark, sample)
    )
    text = markdown(replace(run, records=records, comparisons=()))
    return text.split("## Answers")[1].split("## Results")[0]


def test_what_a_judge_wrote_is_shown_as_it_is(run: Run) -> None:
    wrote = "Assistant A is more precise.\n\n- It names *causes*.\n\nRating: [[7]]"
    sent = (Message("user", "Which is better?"),)
    judged = Judgment(
        "gpt-4",
        "pairwise_text",
        "ok",
        0.5,
        votes=(1.0, 0.0),
        exchanges=(Exchange(sent, wrote),) * 2,
    )
    talk = (Message("user", "2+2?"), Message("assistant", "4"))
    part = shown_example(run, "lm_eval", "1", Outcome("ok", talk, ("4",), judgments=(judged,)))
    # Two tasks have a sample of this name, each with two models, each judged in two orders.
    assert part.count(f"```text\n{wrote}\n```") == 8
    assert "**What gpt-4 wrote, this answer shown first**" in part
    brief = replace(judged, exchanges=(Exchange(sent, "[[A]]"), Exchange(sent, "[[B]]")))
    part = shown_example(run, "lm_eval", "1", Outcome("ok", talk, ("4",), judgments=(brief,)))
    assert "gpt-4: \\[\\[A\\]\\] / \\[\\[B\\]\\]" in part


def test_few_shot_turns_belong_to_the_question(run: Run) -> None:
    said = (("user", "2+2?"), ("assistant", "4"), ("user", "3+3?"), ("assistant", "six"))
    talk = tuple(Message(role, text) for role, text in said)  # type: ignore[arg-type]
    part = shown_example(run, "lm_eval", "1", Outcome("ok", talk, ("six",)))
    question = "**Question**\n\n```text\n[user]\n2+2?\n\n[assistant]\n4\n\n[user]\n3+3?\n```"
    assert question in part
    assert "```text\nsix\n```" in part


def test_a_second_turn_that_failed_has_no_answer(run: Run) -> None:
    talk = (Message("user", "one?"), Message("assistant", "1"), Message("user", "two?"))
    outcome = Outcome("over_long", talk, ("1",), scores=(Score("score", 7.0, "turn_1"),))
    first, second = shown_example(run, "mt_bench", "81", outcome).split("```text\ntwo?\n```")
    assert "\n\nscore, both turns: 7.00 points of 10.\n\n" in first
    assert "\n\nNo score (over\\_long).\n\n" in second


def test_a_difference_is_over_the_turns_that_both_have() -> None:
    def rated(**by_turn: float) -> Record:
        scores = tuple(Score("score", value, turn) for turn, value in by_turn.items())
        return Record("m", "mt_bench", "mt_bench", "1", None, "", Outcome("ok", scores=scores))

    metric = Metric("score", "points", primary=True, parts=("turn_1", "turn_2"))
    both = {"tuned": rated(turn_1=7.0), "plain": rated(turn_1=6.0, turn_2=1.0)}
    assert gap(both, ("tuned", "plain"), metric) == 1.0
    assert gap({"tuned": rated(turn_1=7.0)}, ("tuned", "plain"), metric) is None


# --- how the figures came about -----------------------------------------------------------------

WORK = {
    "requests": 40,
    "asks": 12,
    "naive": 20_000,
    "trie": 1_000,
    "floor": 1_040,
    "planned": 1_040,
    "computed": 1_050,
    "redone": 0,
}


def test_cost_shows_time_tokens_and_money(run: Run) -> None:
    usage = {
        "seconds": 3723.5,
        "sessions": 2,
        "asked": 1234,
        "prompt_tokens": 56_000,
        "cost_usd": 1.254,
        "spent": {"gpt-4": {"requests": 805, "cost_usd": 1.254}},
    }
    text = markdown(build_run(usage=usage, work={"notus": WORK, "idle": {**WORK, "computed": 0}}))
    assert row_of(text, "time")[1] == "`1 h 2 min`"
    assert row_of(text, "prompt tokens")[1] == "`56,000`"
    assert row_of(text, "cost, in US dollars")[1] == "`1.25`"
    assert row_of(text, "gpt-4, of its cap")[1] == "`805 requests, 1.25 US dollars`"
    assert row_of(text, "notus")[1:] == [
        "40",
        "20,000",
        "1,050",
        "94.8%",
        "1,000",
        "1.050",
        "1.010",
    ]
    assert "| idle |" not in text
    assert "generated tokens" not in text, "what nobody counted is not zero"
    assert "## Cost" not in markdown(run)


def test_the_provenance_of_a_model_is_shown(run: Run) -> None:
    checks = {"quick-lora": {"scoring_path": "plain", "scoring_reason": "no cache to share"}}
    text = markdown(build_run(checks=checks)).split("## Models")[1]
    assert row_of(text, "largest logit change by adapter")[1] == "`3.41`"
    assert row_of(text, "adapter.path")[1] == "`suites/quickstart/adapter`"
    assert row_of(text, "target\\_modules")[1] == '`["q_proj", "v_proj"]`'
    assert row_of(text, "scoring reason")[1] == "`no cache to share`"
    assert "First prompt of alpaca\\_eval: 31 tokens, one BOS token, as it should be" in text
    assert row_of(text, "git commit")[1] == f"`{run.manifest.git_commit}`"


def test_a_base_that_is_not_proved_is_a_line_under_models(run: Run) -> None:
    first, *others = run.manifest.models
    proof = {
        **(first.provenance.merge_proof or {}),
        "base_unproved": "Whether it fits is not known",
    }
    provenance = first.provenance.model_copy(update={"merge_proof": proof, "warnings": ()})
    model = first.model_copy(update={"provenance": provenance})
    text = markdown(with_manifest(run, models=(model, *others)))
    assert "**Base.** Whether it fits is not known." in text.split("## Models")[1]
    assert "WARNING" not in text.split("## Largest changes")[0]


def test_recorded_evidence_lists_files_and_findings() -> None:
    entry = {
        "model": "quick-lora",
        "entry": "mt_bench",
        "kind": "mt_bench",
        "files": [{"file": "a.jsonl", "sha256": "ab" * 32}],
        "n_records": 80,
        "findings": [{"code": "x", "message": "two rows repeat", "damaged": False}],
    }
    text = markdown(build_run(evidence=[entry])).split("## Recorded evidence")[1]
    assert "**Remark.** quick-lora, MT-Bench: two rows repeat." in text
    assert row_of(text, "a.jsonl")[1:] == ["ab" * 32, "mt\\_bench", "80"]


def test_a_trend_over_checkpoints_stands_after_the_results(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from evalkit.cli.read import report as command

    for n in range(2):
        training_run(tmp_path / f"r{n}", f"step-{100 * n}", 5 + n, 0.1 * n)
    arguments = [str(tmp_path / "r1"), "--history", str(tmp_path), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    page = BeautifulSoup((tmp_path / "out" / "index.html").read_bytes(), "html.parser")
    titles = [h.get_text() for h in page.find_all("h2")]
    assert titles.index("Over checkpoints") == titles.index("Results") + 2, "samples between them"
    assert len(page.select("figure.chart .scroll > svg")) == 4, "one for each headline figure"
