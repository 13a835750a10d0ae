"""Lengths, tasks, costs and the trend: what each says, and what it does not claim."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from click.testing import CliRunner

from evalkit.cli.report import command
from evalkit.core import Estimate, Metric, Run
from evalkit.report import render
from evalkit.runner.usage import total_usage
from tests.support.runs import Plan, build_run
from tests.support.training import Made, make_run

MINUS = "\N{MINUS SIGN}"


def markdown(run: Run) -> str:
    return render(run)["report.md"].decode("utf-8")


def row_of(text: str, start: str) -> list[str]:
    """Cells of the first row that begins so."""
    line = next(line for line in text.split("\n") if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


# --- lengths --------------------------------------------------------------------------------


def lengths(controlled: tuple[float, float] | None, raw: float, p: float) -> str:
    """A page whose win rates differ by `raw`, and by these figures with length controlled."""
    run = build_run(Path("run"), Plan())
    judges = [{**judge, "local": False} for judge in run.manifest["judges"]]
    changes: dict[str, dict[str, Any]] = {
        "win_rate": {"difference": raw, "low": raw - 1, "high": raw + 1, "p": p},
        "avg_length": {"difference": 650.0, "low": 500.0, "high": 800.0, "p": 0.0001},
    }
    comparisons = tuple(replace(c, **changes.get(c.metric, {})) for c in run.comparisons)
    base = next(e for e in run.estimates if e.metric == "win_rate")
    names = ("quick-lora", "smollm2")
    more = [
        replace(base, model=name, metric="length_controlled_win_rate", point=point)
        for name, point in zip(names, controlled or (), strict=False)
    ]
    return markdown(
        replace(
            run,
            manifest={**run.manifest, "judges": judges},
            comparisons=comparisons,
            estimates=(*run.estimates, *more),
        )
    )


def test_a_lead_that_length_explains() -> None:
    text = lengths((48.0, 50.0), 5.0, 0.0001)
    assert (
        "Answers of quick-lora are 650 characters longer on average than smollm2's. The lead of "
        f"quick-lora is gone ({MINUS}2.0 percentage points with length controlled instead of "
        "+5.0): length alone may explain it."
    ) in text
    assert row_of(text, "length controlled win rate, %")[1:] == [
        "48.00",
        "50.00",
        f"{MINUS}2.0",
        "\N{EN DASH}",
    ]


def test_a_lead_that_length_explains_in_part_or_not() -> None:
    assert "Most of the lead of quick-lora goes with length" in lengths((52, 50), 5.0, 0.0001)
    stays = lengths((54, 50), 5.0, 0.0001)
    assert "The lead of quick-lora stays (+4.0" in stays
    behind = lengths((50, 54), -5.0, 0.0001)
    assert "The lead of smollm2 stays" in behind


def test_lengths_decide_nothing_where_nothing_is_decided() -> None:
    text = lengths((48.0, 50.0), 0.5, 0.6)
    assert "that has no paired interval and decides nothing" in text
    assert "lead" not in text.split("## Results")[0]
    assert "There is no length-controlled figure of both." in lengths(None, 5.0, 0.0001)


# --- tasks ----------------------------------------------------------------------------------


def leaderboard() -> Run:
    """Version 2's shape: raw scores of subtasks, normalised ones of subtasks and families."""
    figures = {
        ("bbh_snarks", "acc_norm"): 60.0,
        ("bbh_snarks", "normalised"): 20.0,
        ("bbh", "normalised"): 20.0,
        ("math", "exact_match"): 4.0,
        ("math", "normalised"): 4.0,
        ("open_llm_leaderboard", "average"): 12.0,
    }
    estimates = [
        Estimate(
            model, "board", task, metric, None, value + i, 1.0, value + i - 2, value + i + 2,
            0.95, 100, 100, 0, "percent", "mean",
        )
        for i, model in enumerate(("tuned", "plain"))
        for (task, metric), value in figures.items()
    ]  # fmt: skip
    metrics = {"bbh_snarks": Metric("acc_norm", "percent", 100, primary=True)}
    tasks = {task: {"metrics": [asdict(metric)]} for task, metric in metrics.items()}
    manifest = {
        "sealed": True,
        "models": [{"name": "tuned", "role": "candidate"}, {"name": "plain", "role": "baseline"}],
        "benchmarks": [{"name": "board", "tasks": tasks}],
    }
    return Run(Path("run"), manifest, (), tuple(estimates), ())


def test_tasks_have_raw_and_normalised_scores() -> None:
    text = markdown(leaderboard())
    part = text.split("**Tasks**")[1]
    head = next(line for line in part.split("\n") if line.startswith("| Task"))
    assert [c.strip() for c in head.strip("|").split("|")] == [
        "Task",
        "Metric",
        "tuned",
        "plain",
        "tuned, normalised",
        "plain, normalised",
    ]
    dash = "\N{EN DASH}"
    assert row_of(part, "bbh")[2:] == [
        dash,
        dash,
        "20.00 (18.00 to 22.00)",
        "21.00 (19.00 to 23.00)",
    ]
    assert row_of(part, "math")[2] == "4.00 (2.00 to 6.00)"
    assert row_of(part, "open\\_llm\\_leaderboard")[2:5] == [dash, dash, "12.00 (10.00 to 14.00)"]
    subtask = row_of(part.split("1 subtasks")[1], "bbh\\_snarks")
    assert subtask[2] == "60.00 (58.00 to 62.00)"
    assert subtask[4] == "20.00 (18.00 to 22.00)"


# --- cost -----------------------------------------------------------------------------------


class Engine:
    """As much of one as its account needs."""

    def __init__(self, kind: str) -> None:
        self.identity = {"type": kind}


def test_usage_adds_sessions_up_by_their_last_lines() -> None:
    lines = [
        {"started": 1.0, "asked": 5, "seconds": 10.0, "cost_usd": 0.1, "spent": {"j": {"n": 1}}},
        {"started": 1.0, "asked": 9, "seconds": 20.0, "cost_usd": 0.2, "spent": {"j": {"n": 2}}},
        {"started": 2.0, "asked": 1, "seconds": 2.5, "cost_usd": 0.3, "spent": {"j": {"n": 3}}},
    ]
    found = total_usage(lines, {"m": Engine("vllm")})  # type: ignore[dict-item]
    assert found["sessions"] == 2
    assert found["asked"] == 10
    assert found["seconds"] == 22.5
    assert found["cost_usd"] == pytest.approx(0.5)
    assert found["spent"] == {"j": {"n": 3}}, "a capped engine goes on counting"


def test_what_costs_nothing_has_no_account() -> None:
    lines = [{"started": 1.0, "asked": 5, "seconds": 10.0}]
    free = {"a": Engine("fake"), "b": Engine("recorded")}
    assert total_usage(lines, free) == {}  # type: ignore[arg-type]
    assert total_usage([], {"m": Engine("vllm")}) == {}  # type: ignore[dict-item]


def test_the_page_shows_time_tokens_and_money() -> None:
    run = build_run(Path("run"), Plan())
    usage = {
        "seconds": 3723.5,
        "sessions": 2,
        "asked": 1234,
        "prompt_tokens": 56_000,
        "cost_usd": 1.254,
        "spent": {"gpt-4": {"requests": 805, "cost_usd": 1.254}},
    }
    text = markdown(replace(run, manifest={**run.manifest, "usage": usage}))
    assert row_of(text, "time")[1] == "`1 h 2 min`"
    assert row_of(text, "prompt tokens")[1] == "`56,000`"
    assert row_of(text, "money, in US dollars")[1] == "`1.25`"
    assert row_of(text, "gpt-4, of its cap")[1] == "`805 requests, 1.25 US dollars`"
    assert "## Cost" not in markdown(run)


# --- trend ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three checkpoints of one training."""
    folder = tmp_path_factory.mktemp("training")
    for n, step in enumerate((100, 200, 300)):
        make_run(folder / f"r{n}", Made(f"step-{step}", 5 + n, 0.1 * n))
    return folder


def report(*arguments: str) -> None:
    done = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_a_trend_stands_after_the_results(training: Path, tmp_path: Path) -> None:
    run = str(training / "r2")
    report(run, "--history", str(training), "--out", str(tmp_path / "with"))
    page = BeautifulSoup((tmp_path / "with" / "index.html").read_bytes(), "html.parser")
    titles = [h.get_text() for h in page.find_all("h2")]
    places = [titles.index(name) for name in ("Results", "Over checkpoints", "Judge")]
    assert places == sorted(places)
    charts = page.select("figure.chart .scroll > svg")
    assert len(charts) == 4, "one for each headline measure"
    desc = charts[0].find("desc")
    assert desc is not None
    assert "step-300" in desc.get_text()
    text = (tmp_path / "with" / "report.md").read_text(encoding="utf-8")
    part = text.split("## Over checkpoints")[1].split("\n## ")[0]
    assert "Since previous" not in part
    assert not {"better", "worse"} & set(part.split())
    assert row_of(text.split("## Over checkpoints")[1], "step-200")[1] == "200"


def test_the_same_files_give_the_same_bytes(training: Path, tmp_path: Path) -> None:
    run = str(training / "r1")
    for name in ("a", "b"):
        report(run, "--history", str(training), "--out", str(tmp_path / name))
        report(run, "--out", str(tmp_path / f"{name} alone"))
    for file in ("index.html", "report.md"):
        first, second = ((tmp_path / name / file).read_bytes() for name in ("a", "b"))
        assert first == second
        assert (tmp_path / "a alone" / file).read_bytes() != first


def test_one_checkpoint_is_no_trend(training: Path, tmp_path: Path) -> None:
    run = str(training / "r0")
    report(run, "--history", run, "--out", str(tmp_path))
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "There are not two checkpoints" in text.split("## Over checkpoints")[1]
