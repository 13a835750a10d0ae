"""What stands in the cells, against figures computed here from the records by hand."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean

import pytest

from evalkit.core import Comparison, Exchange, Judgment, Message, Outcome, Run, Score
from evalkit.report import render, summary_lines
from tests.support.runs import Plan, build_run

MINUS = "\N{MINUS SIGN}"


class Tables(HTMLParser):
    """Rows of cell texts of every table, by caption, in order of appearance."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, list[list[str]]]] = []
        self.open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.found.append(("", []))
        if tag == "tr":
            self.found[-1][1].append([])
        if tag in ("td", "th"):
            self.found[-1][1][-1].append("")
        if tag in ("td", "th", "caption"):
            self.open = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self.open:
            self.open = ""

    def handle_data(self, data: str) -> None:
        caption, rows = self.found[-1] if self.found else ("", [])
        if self.open == "caption":
            self.found[-1] = (caption + data, rows)
        elif self.open:
            rows[-1][-1] += data


def tables(run: Run) -> list[tuple[str, list[list[str]]]]:
    parser = Tables()
    parser.feed(render(run)["index.html"].decode("utf-8"))
    return parser.found


def first(run: Run, caption: str) -> list[list[str]]:
    """The rows of the first table with this caption."""
    return next(rows for found, rows in tables(run) if found == caption)


@pytest.fixture(scope="module")
def run() -> Run:
    return build_run(Path("run"), Plan(published=True))


def scores(run: Run, model: str, benchmark: str, metric: str) -> dict[tuple[str, str], float]:
    return {
        (r.sample, s.part): s.value
        for r in run.records
        if (r.model, r.benchmark) == (model, benchmark)
        for s in r.outcome.scores
        if s.metric == metric
    }


def signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", MINUS)


def test_figures_side_by_side(run: Run) -> None:
    rows = first(run, "Models side by side")
    assert rows[1] == ["win rate, percent (headline)"]
    for row, model in zip(rows[2:4], ("quick-lora", "smollm2"), strict=True):
        own = [r for r in run.records if (r.model, r.benchmark) == (model, "alpaca_eval")]
        values = list(scores(run, model, "alpaca_eval", "win_rate").values())
        cut = sum(r.outcome.truncated for r in own)
        assert row[:2] == [model, f"{100 * fmean(values):.2f}"]
        assert row[3:6] == [str(len(values)), str(len(own) - len(values)), str(cut)]
        assert 0 < len(values) < len(own) == 24
        assert cut > 0


def test_published_figures_are_marked_and_not_paired(run: Run) -> None:
    dash = "\N{EN DASH}"
    rows = first(run, "Models side by side")
    assert rows[4] == ["claude-2", "91.38", dash, dash, dash, dash, "published"]
    cells = [cell for caption, t in tables(run) if "minus" in caption for row in t for cell in row]
    assert cells
    assert not any("claude-2" in cell for cell in cells)


def test_paired_differences(run: Run) -> None:
    rows = first(run, "Candidate minus baseline")
    a, b = (scores(run, m, "alpaca_eval", "win_rate") for m in ("quick-lora", "smollm2"))
    pairs = [(a[key], b[key]) for key in a if key in b]
    assert rows[1] == ["quick-lora minus smollm2"]
    row = rows[2]
    assert row[0] == "win rate"
    assert row[1] == signed(100 * fmean(x - y for x, y in pairs), 1)
    assert row[5:9] == [
        str(sum(x > y for x, y in pairs)),
        str(sum(x == y for x, y in pairs)),
        str(sum(x < y for x, y in pairs)),
        str(len(pairs)),
    ]


@pytest.mark.parametrize(("local", "mark"), [(True, " (weak judge)"), (False, "")])
def test_a_benchmarks_own_table_marks_a_weak_judge(local: bool, mark: str) -> None:
    """As the headline table does; a task that needs no judge is not marked."""
    run = build_run(Path("run"), Plan(local_judge=local, advantage=0.3))
    own = [rows for caption, rows in tables(run) if caption == "Candidate minus baseline"]
    said = {row[0]: row[9] for rows in own for row in rows if len(row) == 10}
    assert said["win rate"] == f"▲ better{mark}"
    assert said["score, both turns"] == f"≈ not told apart{mark}"
    assert {word.partition(" (")[2] for name, word in said.items() if ": " in name} == {""}


def test_categories(run: Run) -> None:
    ((_, rows),) = [t for t in tables(run) if t[0].startswith("MT-Bench by category")]
    assert rows[0] == ["Category", "quick-lora", "smollm2", "quick-lora minus smollm2", "n"]
    means = {}
    for model in ("quick-lora", "smollm2"):
        means[model] = fmean(
            s.value
            for r in run.records
            if r.model == model and r.category == "writing"
            for s in r.outcome.scores
            if s.metric == "score"
        )
    figures = [f"{means[m]:.2f}" for m in ("quick-lora", "smollm2")]
    gap = signed(means["quick-lora"] - means["smollm2"], 2)
    assert rows[1] == ["writing", *figures, gap, "4 / 4"]
    assert len(rows) == 9


def test_what_is_missing(run: Run) -> None:
    found = [t for t in tables(run) if t[0] == "What is missing, and why"]
    assert found[0][1][1:] == [
        ["quick-lora", "alpaca_eval", "over_long", "2"],
        ["smollm2", "alpaca_eval", "over_long", "2"],
    ]
    assert found[1][1][1] == ["quick-lora", "mt_bench", "unparsable", "1"]


def headline(run: Run, **changes: float | int | None) -> str:
    """The first sentence of the report when its comparison is changed."""
    rows = tuple(
        replace(c, **changes) if c.metric == "win_rate" else c  # type: ignore[arg-type]
        for c in run.comparisons
    )
    text = render(replace(run, comparisons=rows))["report.md"].decode("utf-8")
    return next(line for line in text.split("\n") if line.startswith("- "))


def test_better_is_said_only_where_the_interval_excludes_zero(run: Run) -> None:
    figures = {"difference": 1.2, "standard_error": 2.0, "n": 24, "n_clusters": 24}
    sure = figures | {"p": 0.0001}
    # MDE: 2.93 standard errors (5% two-sided, 80% power, 23 df), by statsmodels' TTestPower.
    unclear = headline(run, **figures, low=-3.0, high=5.4)
    assert unclear == (
        "- ≈ By a weak judge only: quick-lora and smollm2 cannot be told apart on AlpacaEval: +1.2 "
        f"percentage points, 95% {MINUS}3.0 to +5.4, 24 samples, which resolve 5.9. (weak judge)"
    )
    judges = [{**judge, "local": False} for judge in run.manifest["judges"]]
    sound = replace(run, manifest={**run.manifest, "judges": judges})
    assert "- ▲ quick-lora is better than" in headline(sound, **sure, low=0.01, high=5.4)
    assert "- ▼ quick-lora is worse than" in headline(sound, **sure, low=-5.4, high=-0.01)
    lower = headline(sound, **sure, low=0.01, high=5.4, higher_is_better=False)
    assert "- ▼ quick-lora is worse than" in lower
    up = headline(run, **sure, low=0.01, high=5.4)
    assert "- ▲ A weak judge prefers quick-lora to smollm2 on AlpacaEval" in up
    down = headline(run, **sure, low=-5.4, high=-0.01)
    assert "- ▼ A weak judge prefers smollm2 to quick-lora on AlpacaEval" in down
    nothing = headline(run, difference=None, standard_error=None, low=None, high=None, n=0)
    assert "- ? Nothing can be said" in nothing
    certain = headline(run, **(figures | {"standard_error": 0.0}), low=1.2, high=1.2)
    assert "no error can be measured" in certain
    same = headline(run, difference=0.0, low=0.0, high=0.0, n=24, n_clusters=24, ties=24)
    assert "have the same score on each of 24 samples" in same


def decided(run: Run, bounds: list[tuple[float, float]], p: float = 0.0001) -> Run:
    """The run with other intervals of its headline measures, in their order."""
    rows: list[Comparison] = []
    left = list(bounds)
    for c in run.comparisons:
        if c.metric in ("win_rate", "score", "acc", "exact_match,strict-match") and not c.category:
            low, high = left.pop(0)
            sure = p if low > 0 or high < 0 else 0.5
            middle, error = (low + high) / 2, (high - low) / 4
            rows.append(
                replace(c, low=low, high=high, difference=middle, standard_error=error, p=sure)
            )
        else:
            rows.append(c)
    return replace(run, comparisons=tuple(rows))


def test_the_answer_counts_the_measures(run: Run) -> None:
    def answer(bounds: list[tuple[float, float]]) -> str:
        return render(decided(run, bounds))["report.md"].decode().split("\n")[4]

    none, up, down = (-1.0, 1.0), (1.0, 2.0), (-2.0, -1.0)
    # The run's judge is local: AlpacaEval and MT-Bench come first, the two tasks after them.
    assert answer([none] * 4) == (
        "**≈ quick-lora cannot be told apart from smollm2 on either measure, which resolve 1.4 "
        "percentage points. A weak judge prefers neither on any of 2 judged.**"
    )
    assert answer([up, none, none, up]) == (
        "**▲ quick-lora is better than smollm2 on 1 of 2 measures (lm-eval: sums +1.5 percentage "
        "points, 95% +1.0 to +2.0); not told apart on 1, which resolves 1.4 percentage points. "
        "A weak judge prefers quick-lora on 1 of 2 judged.**"
    )
    figures = f"{MINUS}1.5 percentage points, 95% {MINUS}2.0 to {MINUS}1.0"
    assert answer([down] * 4) == (
        f"**▼ quick-lora is worse than smollm2 on 2 of 2 measures (lm-eval: opposites {figures}; "
        f"lm-eval: sums {figures}). A weak judge prefers smollm2 on 2 of 2 judged.**"
    )
    assert answer([up, down, up, down]) == (
        "**≈ quick-lora is better than smollm2 on 1 of 2 measures (lm-eval: opposites +1.5 "
        f"percentage points, 95% +1.0 to +2.0); worse on 1 (lm-eval: sums {figures}). "
        "A weak judge prefers quick-lora on 1 and smollm2 on 1 of 2 judged.**"
    )


def test_the_first_screen_warns(run: Run) -> None:
    free = render(run)["report.md"].decode("utf-8")
    limited = render(build_run(Path("run"), Plan(limit=8)))["report.md"].decode("utf-8")
    assert "Limited run." not in free
    assert "At most 8 samples per task were asked" in limited
    head = free.split("## Results")[0]
    assert "Weak judge: base-judge." in head
    assert "leaning 5.0 points of 50 to the answer shown first" in head
    assert "the adapter names its base by another name" in head


@pytest.mark.parametrize("bos", ["doubled", "missing"])
def test_unsound_models_are_shown_on_the_first_screen(run: Run, bos: str) -> None:
    model = run.manifest["models"][1]
    prompts = [{"benchmark": "mt_bench", "text": "<s><s>", "bos": bos, "n_tokens": 2}]
    changed = model | {"trust_remote_code": True, "first_prompts": prompts}
    models = [run.manifest["models"][0], changed]
    text = render(replace(run, manifest={**run.manifest, "models": models}))["report.md"].decode()
    head = text.split("## Results")[0]
    assert f"smollm2: BOS {bos}." in head
    assert "smollm2: remote code." in head


def test_examples_show_the_largest_differences_of_both_directions(run: Run) -> None:
    a, b = (scores(run, m, "alpaca_eval", "win_rate") for m in ("quick-lora", "smollm2"))
    gaps = {key[0]: a[key] - b[key] for key in a if key in b}
    up = sorted((s for s in gaps if gaps[s] > 0), key=lambda s: -gaps[s])
    down = sorted((s for s in gaps if gaps[s] < 0), key=lambda s: gaps[s])
    text = render(run)["report.md"].decode("utf-8")
    part = text.split("## Answers side by side")[1].split("### MT-Bench")[0]
    shown = [line.lstrip("# ") for line in part.split("\n") if line.startswith("####")]

    def titles(samples: list[str]) -> list[str]:
        return [f"Sample {s}, {signed(100 * gaps[s], 1)} percentage points" for s in samples]

    assert shown == [
        "Largest regressions",
        *titles(down[:2]),
        "Largest improvements",
        *titles(up[:2]),
    ]


def test_what_a_judge_wrote_is_shown_as_it_is(run: Run) -> None:
    wrote = "Assistant A is more precise.\n\n- It names *causes*.\n\nRating: [[7]]"
    asked = (Message("user", "Which is better?"),)
    judged = Judgment(
        "gpt-4",
        "pairwise_text",
        "ok",
        0.5,
        votes=(1.0, 0.0),
        exchanges=(Exchange(asked, wrote),) * 2,
    )
    talk = (Message("user", "2+2?"), Message("assistant", "4"))
    part = shown_example(run, "lm_eval", "1", Outcome("ok", talk, ("4",), judgments=(judged,)))
    # Two tasks have a sample of this name, each with two models, each judged in two orders.
    assert part.count(f"```text\n{wrote}\n```") == 8
    assert "**What gpt-4 wrote, this answer shown first**" in part
    brief = replace(judged, exchanges=(Exchange(asked, "[[A]]"), Exchange(asked, "[[B]]")))
    part = shown_example(run, "lm_eval", "1", Outcome("ok", talk, ("4",), judgments=(brief,)))
    assert "gpt-4: \\[\\[A\\]\\] / \\[\\[B\\]\\]" in part


def shown_example(run: Run, benchmark: str, sample: str, outcome: Outcome) -> str:
    """The example of one sample, when it is the only one and both models have `outcome`."""
    records = tuple(
        replace(r, outcome=outcome)
        for r in run.records
        if (r.benchmark, r.sample) == (benchmark, sample)
    )
    text = render(replace(run, records=records))["report.md"].decode("utf-8")
    return text.split("## Answers side by side")[1].split("## Models")[0]


def test_few_shot_turns_belong_to_the_question(run: Run) -> None:
    talk = (
        Message("user", "2+2?"),
        Message("assistant", "4"),
        Message("user", "3+3?"),
        Message("assistant", "six"),
    )
    part = shown_example(run, "lm_eval", "1", Outcome("ok", talk, ("six",)))
    question = "**Question**\n\n```text\n[user]\n2+2?\n\n[assistant]\n4\n\n[user]\n3+3?\n```"
    assert question in part
    assert "```text\nsix\n```" in part


def test_a_second_turn_that_failed_has_no_answer(run: Run) -> None:
    talk = (Message("user", "one?"), Message("assistant", "1"), Message("user", "two?"))
    outcome = Outcome("over_long", talk, ("1",), scores=(Score("score", 7.0, "turn_1"),))
    part = shown_example(run, "mt_bench", "81", outcome)
    first, second = part.split("```text\ntwo?\n```")
    assert "**quick-lora** (score 7.00)" in first
    assert "**quick-lora** (no score (over\\_long))" in second


def test_formats_and_examples_of_the_suite_are_followed() -> None:
    only = render(build_run(Path("run"), Plan(formats=("markdown", "card"), examples=0)))
    assert list(only) == ["report.md"]
    assert b"Answers side by side" not in only["report.md"]
    assert render(build_run(Path("run"), Plan(formats=("card",)))) == {}


def test_the_same_run_gives_the_same_bytes_wherever_it_lies(run: Run) -> None:
    again = build_run(Path("elsewhere"), Plan(published=True))
    assert render(run) == render(again) == render(again)


def test_the_order_of_an_objects_keys_does_not_matter(run: Run) -> None:
    def reverse(value: object) -> object:
        if isinstance(value, dict):
            return {k: reverse(value[k]) for k in reversed(list(value))}
        return [reverse(v) for v in value] if isinstance(value, list) else value

    manifest = reverse(dict(run.manifest))
    assert isinstance(manifest, dict)
    assert render(replace(run, manifest=manifest)) == render(run)


def test_a_run_with_next_to_nothing_in_it_renders() -> None:
    empty = Run(Path("run"), {}, (), (), ())
    assert set(render(empty)) == {"index.html", "report.md"}
    assert summary_lines(empty) == []


def test_summary_lines(run: Run) -> None:
    lines = summary_lines(run)
    (row,) = [c for c in run.comparisons if c.metric == "win_rate"]
    assert row.difference is not None
    assert " ".join(lines[0].split()) == (
        "quick-lora smollm2 difference 95% interval p (Holm) n resolves verdict"
    )
    assert lines[1].split()[0] == "AlpacaEval"
    assert signed(row.difference, 1) in lines[1].split()
    assert len(lines) == 6
    failed = sum(r.outcome.status != "ok" for r in run.records)
    assert lines[5] == f"{failed} of 240 samples have no score"
    assert all("\x1b" not in line for line in lines)


def test_summary_without_a_baseline_lists_figures(run: Run) -> None:
    alone = replace(run, comparisons=(), manifest={**run.manifest, "limit": 3})
    lines = summary_lines(alone)
    assert [line.split()[0] for line in lines[:2]] == ["AlpacaEval", "AlpacaEval"]
    assert lines[-1] == "limited to 3 samples per task: not publishable"


def test_an_unknown_number_of_samples_is_missing_not_0(run: Run) -> None:
    """A result file may state a figure and not of how many samples."""
    (e, *_) = run.estimates
    alone = replace(run, comparisons=(), records=(), estimates=(replace(e, n=0, source="a file"),))
    assert summary_lines(alone)[0].endswith("n \N{EN DASH}")


def test_examples_of_many_samples_do_not_make_a_large_page() -> None:
    plan = Plan(models=("a", "b", "c"), samples=(500, 500, 500))
    run = build_run(Path("run"), plan)
    assert len(run.records) == 6000
    files = render(run)
    assert len(files["index.html"]) < 1_000_000
