"""Published figures: alpaca-eval's tables and the suite's own; names of them that there are not."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from evalkit import plugins, suite
from evalkit.benchmarks.alpaca_eval import AlpacaEvalSpec
from evalkit.benchmarks.mt_bench import MtBenchSpec
from evalkit.benchmarks.open_llm_leaderboard import OpenLlmLeaderboardSpec
from evalkit.core.figures import Source
from evalkit.core.specs import ModelSpec, PublishedFigure
from evalkit.errors import DataError, SuiteError
from evalkit.formats import published
from evalkit.formats.published import unknown_names

VERSIONS = (AlpacaEvalSpec(version=1, name="one"), AlpacaEvalSpec(version=2, name="two"))


def test_every_row_of_the_shipped_tables_is_given_as_it_stands() -> None:
    """The package's own CSV files are the oracle."""
    paths = {p.stem.removesuffix("_leaderboard"): p for p in published.tables()}
    checked = 0
    for spec, evaluator in zip(
        VERSIONS, ("alpaca_eval_gpt4", "weighted_alpaca_eval_gpt4_turbo"), strict=True
    ):
        with paths[evaluator].open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                found = published.row_figures("m", row[""], [spec], 0.95)
                by_metric = {f.key.metric: f.value for f in found}
                assert by_metric["win_rate"].point == float(row["win_rate"])
                assert by_metric["win_rate"].standard_error == float(row["standard_error"])
                assert ("length_controlled_win_rate" in by_metric) == bool(
                    row.get("length_controlled_winrate")
                )
                assert all(f.source and row[""] in f.source.where for f in found)
                assert all(f.value.how == "published" for f in found)
                checked += 1
    assert checked > 250


def test_an_unknown_row_is_an_error_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r"no row 'claud-2'; did you mean 'claude-2'"):
        published.row_figures("Claude", "claud-2", VERSIONS, 0.95)


def test_a_row_of_one_version_only_is_fine() -> None:
    found = published.row_figures("m", "alpaca-7b-neft", VERSIONS, 0.95)
    assert {f.key.benchmark for f in found} == {"one"}


def figure(task: str, metric: str, value: float) -> PublishedFigure:
    return PublishedFigure(
        benchmark="open_llm_leaderboard",
        task=task,
        metric=metric,
        value=value,
        source="https://a.example",
        date="2023-12-01",
    )


def test_seven_published_figures_give_the_published_average() -> None:
    """Zephyr-7B-beta's row of November 2023, whose average was printed as 52.15."""
    values = {
        "arc_challenge": ("acc_norm", 62.03),
        "hellaswag": ("acc_norm", 84.36),
        "mmlu": ("acc", 61.07),
        "truthfulqa_mc2": ("acc", 57.45),
        "winogrande": ("acc", 77.74),
        "gsm8k": ("exact_match,strict-match", 12.74),
        "drop": ("f1", 9.66),
    }
    spec = ModelSpec(
        role="published", figures=tuple(figure(t, m, v) for t, (m, v) in values.items())
    )
    board = OpenLlmLeaderboardSpec(include_drop=True)
    found = {f.key.task: f for f in published.suite_figures("z", spec, [board], 0.95)}
    average = found["open_llm_leaderboard"].value
    assert average.point is not None
    assert round(average.point, 2) == 52.15
    assert found["drop"].source == Source("https://a.example", "2023-12-01")
    assert found["drop"].value.low is None
    fewer = spec.model_copy(update={"figures": spec.figures[1:]})
    assert len(published.suite_figures("z", fewer, [board], 0.95)) == 6


def test_a_figure_belongs_to_an_entry_or_to_all_of_a_type() -> None:
    stated = PublishedFigure(benchmark="mt_bench", metric="score", value=7.3, source="s")
    spec = ModelSpec(role="published", figures=(stated,))
    entries = [MtBenchSpec(name="a"), MtBenchSpec(name="b")]
    found = published.suite_figures("m", spec, entries, 0.95)
    assert [(f.key.benchmark, f.key.task, f.unit) for f in found] == [
        ("a", "mt_bench", "points"),
        ("b", "mt_bench", "points"),
    ]


@pytest.mark.parametrize(
    ("benchmark", "metric", "task", "said"),
    [
        ("one", "winrate", None, r"one has no metric 'winrate'; did you mean 'win_rate'"),
        ("one", "win_rate", "foo", r"one has no task 'foo'  Expected 'alpaca_eval'"),
        ("mt_bench", "mean", None, r"no metric 'mean'  Expected 'score' or 'score_turn_1'"),
    ],
)
def test_a_figure_without_a_place_is_an_error(
    benchmark: str, metric: str, task: str | None, said: str
) -> None:
    """It would be left out of the report without a word."""
    mine = PublishedFigure(benchmark=benchmark, metric=metric, task=task, value=9, source="s")
    spec = ModelSpec(role="published", figures=(mine,))
    entries = (VERSIONS[0], MtBenchSpec(judge="j"))
    with pytest.raises(DataError, match=said):
        published.suite_figures("m", spec, entries, 0.95)


# --- names that there are not, at their line ----------------------------------------------------


TEXT = """\
name: names
models:
  mine: {role: candidate}
  claude-2: {role: published, leaderboard: true}
  claud-2: {role: published, leaderboard: true}
  theirs: {role: published, leaderboard: claude-22}
  other:
    role: published
    figures:
      - {benchmark: mt_bench, metric: score, value: 7, source: s}
      - {benchmark: mt_bench, metric: scor, value: 7, source: s}
      - {benchmark: alpaca_eval, task: alpaca, metric: win_rate, value: 7, source: s}
engine: {type: fake}
judges: {j: {type: fake}}
benchmarks:
  - {type: alpaca_eval, version: 1, judge: j, evaluator: alpaca_eval_gpt5}
  - {type: mt_bench, judge: j}
"""


def found(text: str, folder: Path) -> dict[str, str]:
    path = folder / "s.yaml"
    path.write_text(text)
    with pytest.raises(SuiteError) as caught:
        suite.check(path, (), plugins, unknown_names)
    return {p.where.removeprefix(f"{path}:"): p.message for p in caught.value.problems}


def test_each_is_wrong_at_its_own_field(tmp_path: Path) -> None:
    wrong = found(TEXT.replace(", evaluator: alpaca_eval_gpt5", ""), tmp_path)
    assert list(wrong) == [
        "5: models.claud-2.leaderboard",
        "6: models.theirs.leaderboard",
        "11: models.other.figures.1.metric",
        "12: models.other.figures.2.task",
    ]
    assert "no row 'claud-2'; did you mean 'claude-2'" in wrong["5: models.claud-2.leaderboard"]
    assert "did you mean 'score'?" in wrong["11: models.other.figures.1.metric"]
    assert "Expected 'alpaca_eval'" in wrong["12: models.other.figures.2.task"]


def test_an_evaluator_that_alpaca_eval_does_not_ship(tmp_path: Path) -> None:
    message = found(TEXT, tmp_path)["16: benchmarks.0.evaluator"]
    assert "no evaluator 'alpaca_eval_gpt5'; did you mean 'alpaca_eval_gpt4'" in message


def test_rows_are_not_looked_up_while_an_entry_is_wrong(tmp_path: Path) -> None:
    """Which tables count is not known then, and a false alarm would hide the mistake."""
    wrong = found(TEXT.replace("{type: mt_bench, judge: j}", "{type: mt_bnch}"), tmp_path)
    assert "5: models.claud-2.leaderboard" not in wrong
    assert "17: benchmarks.1.type" in wrong


def test_what_is_right_passes(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    text = TEXT.replace(", evaluator: alpaca_eval_gpt5", "")
    wrong = ("claud-2", "claude-22", "scor,", "task: alpaca")
    path.write_text("\n".join(n for n in text.splitlines() if not any(w in n for w in wrong)))
    assert suite.check(path, (), plugins, unknown_names).suite.name == "names"
