"""The one table of candidate against baseline, and the tables of figures."""

from __future__ import annotations

import csv
import io

from evalkit import draw
from evalkit.core.contests import GateResult, LocalJudge
from evalkit.core.figures import Estimator, Figure, FigureKey, Interval, Method, Source
from evalkit.draw import Cell, Column, Group, Table
from tests.support.contests import contest, gate_test, measured
from tests.support.terminal import screen

KEY = FigureKey("alpaca_eval", "alpaca_eval", "win_rate")


def shown(table: Table) -> list[list[str]]:
    return [[cell.shown for cell in row] for row in table.rows]


def test_compare_shows_every_number_of_a_contest() -> None:
    found = contest(mde=3.41, tests=2)
    table = draw.contest_table([found, contest(baseline="c", p_adjusted=0.2, tests=2)])
    assert [c.label for c in table.columns] == [
        *("Benchmark", "Metric", "Difference", "95% CI", "p", "p (Holm)"),
        *("Wins / ties / losses", "n", "Missing", "MDE", "Verdict"),
    ]
    assert [group.label for group in table.groups] == ["a against b", "a against c"]
    assert shown(table)[0] == [
        *("AlpacaEval", "win rate", "+2.9", "+0.4 to +5.4", "0.020", "0.020"),
        *("400 / 1 / 404", "805", "3, 0", "3.4", "better"),
    ]
    assert table.rows[0][2].value == 2.9
    assert table.rows[0][-1].tone == "better"
    assert "Holm: p corrected for 2 headline comparisons." in table.note
    assert "with 80% power" in table.note


def test_the_report_has_scores_links_and_the_gate() -> None:
    figures = [
        Figure(m, KEY, "percent", measured(p, p - 3, p + 3, method=Method(Estimator.MEAN)))
        for m, p in (("a", 57.321), ("b", 54.4))
    ]
    items: list[draw.Item] = [
        gate_test("inconclusive", required=False),
        contest(unit="points", metric="score"),
    ]
    table = draw.contest_table(
        items, ("scores", *draw.SURE, "gate"), figures=figures, link=lambda c, name: f"#{name}"
    )
    first, second = table.rows
    assert [c.shown for c in first[:2]] == ["54.4 → 57.3", "AlpacaEval"]
    assert first[-1].shown == "\N{MINUS SIGN}2.0: not shown, not required"
    assert [c.href for c in first if c.href] == ["#figure", "#wins", "#ties", "#losses"]
    assert second[1].shown == "AlpacaEval, points of 10"
    assert second[0].is_missing
    assert second[-1].is_missing


def test_own_columns_stand_before_and_a_row_may_have_no_contest() -> None:
    lead = Table.of(
        "", [Column("Checkpoint", header=True)], [[Cell.text("100")], [Cell.text("200")]]
    )
    table = draw.contest_table([None, contest()], draw.HISTORY, lead=lead)
    missing = draw.MISSING
    assert shown(table) == [["100"] + [missing] * 3, ["200", "+2.9", "+0.4 to +5.4", "better"]]


def test_the_gate_has_one_row_a_test_also_without_samples() -> None:
    tests = (gate_test("regression", resolvable=1.5), gate_test("missing", contest=None))
    result = GateResult("a", "b", "regression", tests, (), 0.05, 0.8, False)
    table = draw.gate_table(result)
    assert shown(table)[0] == [
        *("AlpacaEval", "win rate", "+2.9", "+0.8 to +5.0", "2.00", "1.50", "805", "3, 0"),
        "REGRESSION",
    ]
    assert shown(table)[1] == ["AlpacaEval", *[draw.MISSING] * 7, "MISSING"]
    assert "95% confidence" in table.note


def test_what_speaks_against_a_contest_is_below_its_table() -> None:
    table = draw.contest_table([contest(cautions=(LocalJudge("qwen"),))], draw.INDEX)
    assert "not validated against people" in table.note
    assert table.rows[0][-1].shown == "better (local judge)"


def test_figures_one_below_the_other_and_side_by_side() -> None:
    published = Method(Estimator.PUBLISHED, Interval.STATED)
    stated = measured(95.28, None, None, n=0, method=published)
    figures = [
        Figure("a", KEY, "percent", measured(57.3, 52.1, 62.5)),
        Figure("gpt", KEY, "percent", stated, Source("leaderboard")),
    ]
    table = draw.figure_table(figures)
    assert table.groups[0].label == "AlpacaEval, win rate, percent"
    assert shown(table)[0] == ["a", "57.30", "52.10 to 62.50", "805", "0"]
    assert shown(table)[1] == ["gpt (published)", "95.28", *[draw.MISSING] * 3]
    assert table.rows[1][1].provenance == "leaderboard"
    flat = draw.figure_table(figures, by_figure=False)
    assert flat.rows[0][0].shown == "AlpacaEval, win rate, percent"
    beside = draw.side_by_side(figures, ["gpt", "a"])
    assert shown(beside) == [["AlpacaEval", "win rate", "95.28", "57.30 (52.10 to 62.50)"]]


def test_csv_has_values_unrounded_and_no_formula_where_that_matters() -> None:
    groups = (Group("g", ((Cell.text("=1+1"), Cell(0.123456, "0.12")),)),)
    table = Table("", (Column("name"), Column("n")), groups)
    assert draw.table_to_csv(table) == "group,name,n\ng,=1+1,0.123456\n"
    (_, row) = csv.reader(io.StringIO(draw.table_to_csv(table, for_spreadsheet=True)))
    assert row == ["g", "'=1+1", "0.123456"]


def test_a_terminal_gets_aligned_lines_without_control_characters() -> None:
    table = Table.of(
        "", [Column("name"), Column("n", "right")], [[Cell.text("a\x1b[31m"), Cell(5, "5")]]
    )
    assert screen([table])[1] == "a⟨U+001B⟩[31m  5"
