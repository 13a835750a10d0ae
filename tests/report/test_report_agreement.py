"""One figure, wherever it is read: page, report.md, comment, terminal, JSON, CSV, card, gate.

What results.json has is read back as JSON and rounded here by the rule that the documentation
states, not by the code under test; every other place must then say the same.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from bs4 import BeautifulSoup, Tag
from click.testing import CliRunner

from evalkit import report
from evalkit.cli.card import command as card_command
from evalkit.cli.compare import compare as compare_command
from evalkit.cli.compare import gate as gate_command
from evalkit.cli.exchange import export as export_command
from evalkit.core import Json
from evalkit.core.run import Run
from tests.support.github_markdown import rendered
from tests.support.runs import Plan, build_run, with_suite, write_run
from tests.support.terminal import screen

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
DIGITS = {"percent": 1, "points": 2, "characters": 0}
"""Of a difference; a figure in percent has one more."""
PLANS = {
    "plain": Plan(samples=(24, 16, 40), published=True),
    "large": Plan(samples=(60, 80, 1100), seed=5, advantage=0.02),
    "several": Plan(models=("new", "old", "older"), samples=(40, 16, 60), seed=3),
}
METRICS = {"win_rate": "win rate", "score": "score, both turns", "acc": "accuracy"} | {
    "discrete_win_rate": "discrete win rate",
    "avg_length": "average length",
    "score_turn_1": "score, first turn",
    "score_turn_2": "score, second turn",
    "exact_match,strict-match": "exact match (strict-match)",
}
LABELS = {
    ("alpaca_eval", "alpaca_eval"): "AlpacaEval",
    ("mt_bench", "mt_bench"): "MT-Bench",
    ("lm_eval", "opposites"): "lm-eval: opposites",
    ("lm_eval", "sums"): "lm-eval: sums",
}
WORDS = {"better": "better", "worse": "worse", "not_significant": "no significant difference"}
MARKS = {"better": "▲", "worse": "▼", "not_significant": "○"}


@dataclass(frozen=True)
class Stored:
    """A run on disk, what its results.json says, and what `evalkit compare --json` adds."""

    folder: Path
    run: Run
    estimates: list[dict[str, Json]]
    comparisons: list[dict[str, Json]]
    compared: list[dict[str, Json]]
    page: BeautifulSoup
    markdown: str

    @property
    def headlines(self) -> list[dict[str, Json]]:
        return [row for row in self.compared if row["headline"]]


def invoke(command: Any, *arguments: str | Path) -> str:
    done = CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module", params=PLANS)
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    folder = tmp_path_factory.mktemp("agreement") / str(request.param)
    built = build_run(PLANS[request.param], folder)
    gate = {
        "baseline": PLANS[request.param].models[1],
        "margins": {"default": {"percent": 2.0, "points": 2.0}},
    }
    run = write_run(with_suite(built, gate=gate), folder)
    files = report.render(run)
    results = json.loads((folder / "results.json").read_text())
    compared = json.loads(invoke(compare_command, folder, "--json"))["comparisons"]
    return Stored(
        folder,
        run,
        results["estimates"],
        results["comparisons"],
        compared,
        BeautifulSoup(files["index.html"], "html.parser"),
        files["report.md"].decode("utf-8"),
    )


# --- the declared rounding --------------------------------------------------------------------


def fixed(value: float, digits: int) -> str:
    return f"{value:+,.{digits}f}".replace("-", MINUS) if value else f"{0:.{digits}f}"


def enough(values: list[float], unit: str) -> int:
    """Digits of differences: more where one that is not zero would show as zero."""
    digits = DIGITS[unit]
    while any(v and not float(f"{v:.{digits}f}") for v in values):
        digits += 1
    return digits


def gap(row: dict[str, Json]) -> str:
    return fixed(row["difference"], enough([row["difference"]], row["unit"]))


def between(row: dict[str, Json]) -> str:
    digits = enough([row["low"], row["high"]], row["unit"])
    scale = {"points": 9, "percent": 100}.get(row["unit"], float("inf"))
    if row["n_clusters"] < 5 and row["high"] - row["low"] >= scale / 2:
        return f"{DASH} (too wide to be informative)"
    return f"{fixed(row['low'], digits)} to {fixed(row['high'], digits)}"


def p(value: float) -> str:
    if value < 0.001:
        return "<0.001"
    return ">0.999" if 0.9995 <= value < 1 else f"{value:.3f}"


def resolves(row: dict[str, Json]) -> str:
    return f"{row['mde']:.{enough([row['mde']], row['unit'])}f}"


def point(row: dict[str, Json]) -> str:
    return f"{row['point']:,.{DIGITS[row['unit']] + (row['unit'] == 'percent')}f}"


def label(row: dict[str, Json]) -> str:
    return LABELS[row["benchmark"], row["task"]]


def sizes(row: dict[str, Json]) -> list[str]:
    return [f"{row[key]:,}" for key in ("wins", "ties", "losses", "n")]


def missing(row: dict[str, Json]) -> str:
    return f"{row['n_missing_candidate']:,}, {row['n_missing_baseline']:,}"


def local(row: dict[str, Json]) -> bool:
    """All of these runs are judged by one of their own models."""
    return row["benchmark"] in ("alpaca_eval", "mt_bench")


def word(row: dict[str, Json]) -> str:
    said = WORDS[row["verdict"]]
    if row["verdict"] == "not_significant" and (row["low"] > 0 or row["high"] < 0):
        said = "not significant after correcting for 4 tests"
    return said + (" (local judge)" if local(row) else "")


def score(stored: Stored, model: str, row: dict[str, Json]) -> str:
    return point(estimate(stored, model, row))


def estimate(stored: Stored, model: str, row: dict[str, Json]) -> dict[str, Json]:
    (found,) = [
        e
        for e in stored.estimates
        if e["model"] == model
        and e["category"] is None
        and [e[k] for k in ("benchmark", "task", "metric")]
        == [row[k] for k in ("benchmark", "task", "metric")]
    ]
    return found


# --- what a page says -------------------------------------------------------------------------


def rows_of(table: Tag) -> Iterator[list[str]]:
    """Cells of the rows; of a group's heading, its text alone."""
    for row in table.select("tbody tr"):
        yield [cell.get_text().strip() for cell in row.find_all(["th", "td"])]


def captioned(page: Tag, caption: str) -> list[Tag]:
    return [t for t in page.find_all("table") if t.caption and t.caption.get_text() == caption]


def change(stored: Stored, row: dict[str, Json]) -> str:
    """Both scores with the digits of their difference."""
    digits = DIGITS[row["unit"]]
    sides = (estimate(stored, row[side], row) for side in ("baseline", "candidate"))
    return " → ".join(f"{side['point']:.{digits}f}" for side in sides)


def preferred(row: dict[str, Json]) -> str:
    """The verdict as the first screen has it."""
    if not local(row):
        return word(row)
    sides = {"better": "candidate", "worse": "baseline"}
    side = sides.get(row["verdict"])
    if side:
        return f"prefers {row[side]}"
    _, after, tests = word(row).removesuffix(" (local judge)").partition(" after ")
    return f"no significant preference{after}{tests}"


def test_compare_says_what_results_json_says(stored: Stored) -> None:
    """To the last digit: a run is compared again from its records."""
    assert len(stored.compared) == len(stored.comparisons) > 15
    by_key = {key(row): row for row in stored.compared}
    for row in stored.comparisons:
        again = by_key[key(row)]
        assert {name: again[name] for name in row if name != "how"} == {
            name: value for name, value in row.items() if name != "how"
        }


def key(row: dict[str, Json]) -> tuple[Json, ...]:
    names = ("candidate", "baseline", "benchmark", "task", "metric", "category")
    return tuple(row[name] for name in names)


def test_the_exported_table_has_the_same_figures(stored: Stored, tmp_path: Path) -> None:
    invoke(export_command, stored.folder, "--format", "csv", "--out", tmp_path)
    for table, wanted in (("comparisons", stored.comparisons), ("estimates", stored.estimates)):
        lines = (tmp_path / f"{table}.csv").read_text(encoding="utf-8").splitlines()
        found = list(csv.DictReader(lines))
        assert len(found) == len(wanted) > 0
        for row, figures in zip(found, wanted, strict=True):
            for name, value in figures.items():
                if name not in row:
                    assert name in ("df", "source", "how", "published") or value is None
                elif isinstance(value, bool):
                    assert row[name] == str(value).lower()
                elif isinstance(value, int | float):
                    assert float(row[name]) == value
                else:
                    assert row[name] == (value or "")


def test_the_first_screen(stored: Stored) -> None:
    found = [
        [text for i, text in enumerate(row) if i != 3]
        for table in stored.page.select("table.scores")
        for row in rows_of(table)
    ]
    wanted = [
        [
            *(label(row), change(stored, row), gap(row), between(row)),
            *(f"{MARKS[row['verdict']]} {preferred(row)}", f"{row['n']:,}"),
        ]
        for row in stored.headlines
    ]
    assert sorted(found) == sorted(wanted)


def test_how_sure(stored: Stored) -> None:
    (table,) = captioned(stored.page, "Tests and counts")
    found = [row[:7] for row in rows_of(table) if len(row) > 1]
    assert found == [
        [shown_label(row), p(row["p_adjusted"]), resolves(row), *sizes(row)[:3], missing(row)]
        for row in stored.headlines
    ]


def test_the_gate_column_is_what_the_gate_decides(stored: Stored) -> None:
    done = CliRunner().invoke(gate_command, [str(stored.folder), "--json"])
    decided = json.loads(done.stdout)["decisions"]
    (table,) = captioned(stored.page, "Tests and counts")
    column = {row[0].removesuffix(", points of 10"): row for row in reversed(list(rows_of(table)))}
    words = {"pass": "held", "regression": "exceeded", "inconclusive": "not shown"}
    assert len(decided) == 4
    baseline = PLANS[stored.folder.name].models[1]
    first = [row for row in stored.headlines if row["baseline"] == baseline]
    for decision, row in zip(decided, first, strict=True):
        margin = fixed(-decision["margin"], DIGITS[decision["unit"]])
        assert column[label(decision)][7] == f"{margin}: {words[decision['verdict']]}"
        assert decision["difference"] == row["difference"]
        assert [decision["n"], *decision["n_missing"]] == [
            row[name] for name in ("n", "n_missing_candidate", "n_missing_baseline")
        ]


def shown_label(row: dict[str, Json]) -> str:
    """Of a row in a table of details."""
    name = label(row) if row["category"] is None else f"{label(row)}, {row['category']}"
    if not row["primary"]:
        name += f" ({METRICS[row['metric']]})"
    unit = {"points": ", points of 10", "characters": ", characters"}.get(row["unit"], "")
    return name + unit


def test_differences_of_every_metric_and_category(stored: Stored) -> None:
    """Also of those that are no headline, with p before and after the correction."""
    heads = ["Benchmark", "Difference", "95% CI", "p", "p (Holm)"]
    found = [
        cells[:9]
        for table in stored.page.find_all("table")
        if [th.get_text() for th in table.select("thead th")][:5] == heads
        for cells in rows_of(table)
        if len(cells) > 1
    ]
    wanted = [
        [shown_label(row), gap(row), between(row), p(row["p"]), p(row["p_adjusted"]), *sizes(row)]
        for row in stored.compared
    ]
    assert sorted(found) == sorted(wanted)


def test_markdown_has_every_cell_of_the_page(stored: Stored) -> None:
    """As GitHub renders it; marks of verdicts stand in the page only."""
    cells = {cell.strip() for cell in rendered(stored.markdown).cells}
    for caption in ("Tests and counts", "Models side by side"):
        for table in captioned(stored.page, caption):
            for row in rows_of(table):
                for cell in row if len(row) > 1 else ():
                    assert not cell or cell in cells or cell.partition(" ")[2] in cells


def test_the_terminal_and_a_comment(stored: Stored) -> None:
    lines = [
        line
        for line in screen(report.summary_lines(stored.run))
        if line.startswith(tuple(LABELS.values()))
    ]
    comment = rendered(report.comment(stored.run))
    for row, line in zip(stored.headlines, lines, strict=True):
        wanted = [change(stored, row), gap(row), between(row), word(row), f"{row['n']:,}"]
        assert " ".join(line.split()) == " ".join([shown_label(row), *wanted])
        assert set(wanted) <= set(comment.cells)


def test_the_card_has_the_same_figures(stored: Stored, tmp_path: Path) -> None:
    invoke(card_command, "write", stored.folder, "--out", tmp_path / "card.md")
    text = (tmp_path / "card.md").read_text(encoding="utf-8")
    _, index, body = text.split("---\n", 2)
    published = {
        m["type"]: m
        for result in yaml.safe_load(index)["model-index"][0]["results"]
        for m in result["metrics"]
    }
    cells = rendered(body).cells
    models = [m.name for m in stored.run.manifest.models]
    for row in stored.headlines:
        for model in models[:2]:
            figure = score(stored, model, row)
            assert any(cell.startswith(figure) for cell in cells), figure
        name = row["metric"].partition(",")[0]
        if local(row):
            assert name not in published, "a local judge's figure is not for the index"
            continue
        metric = published[name]
        (own,) = [
            e
            for e in stored.estimates
            if (e["model"], e["metric"], e["category"]) == (row["candidate"], row["metric"], None)
        ]
        assert metric["value"] == own["point"]
        assert metric["args"]["interval"] == [own["low"], own["high"]]
        assert [metric["args"][k] for k in ("n", "n_missing")] == [own["n"], own["n_missing"]]
