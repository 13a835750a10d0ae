"""Published figures: alpaca-eval's tables and the suite's own."""

from __future__ import annotations

import csv

import pytest

from evalkit.benchmarks.alpaca_eval import AlpacaEvalSpec
from evalkit.benchmarks.mt_bench import MtBenchSpec
from evalkit.benchmarks.open_llm_leaderboard import OpenLlmLeaderboardSpec
from evalkit.core.figures import Source
from evalkit.core.specs import ModelSpec, PublishedFigure
from evalkit.errors import DataError
from evalkit.importers import leaderboards

VERSIONS = (AlpacaEvalSpec(version=1, name="one"), AlpacaEvalSpec(version=2, name="two"))


def test_every_row_of_the_shipped_tables_is_given_as_it_stands() -> None:
    """The package's own CSV files are the oracle."""
    paths = {p.stem.removesuffix("_leaderboard"): p for p in leaderboards.tables()}
    checked = 0
    for spec, evaluator in zip(
        VERSIONS, ("alpaca_eval_gpt4", "weighted_alpaca_eval_gpt4_turbo"), strict=True
    ):
        with paths[evaluator].open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                found = leaderboards.row_figures("m", row[""], [spec], 0.95)
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
        leaderboards.row_figures("Claude", "claud-2", VERSIONS, 0.95)


def test_a_row_of_one_version_only_is_fine() -> None:
    found = leaderboards.row_figures("m", "alpaca-7b-neft", VERSIONS, 0.95)
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
    found = {f.key.task: f for f in leaderboards.suite_figures("z", spec, [board], 0.95)}
    average = found["open_llm_leaderboard"].value
    assert average.point is not None
    assert round(average.point, 2) == 52.15
    assert found["drop"].source == Source("https://a.example", "2023-12-01")
    assert found["drop"].value.low is None
    fewer = spec.model_copy(update={"figures": spec.figures[1:]})
    assert len(leaderboards.suite_figures("z", fewer, [board], 0.95)) == 6


def test_a_figure_belongs_to_an_entry_or_to_all_of_a_type() -> None:
    published = PublishedFigure(benchmark="mt_bench", metric="score", value=7.3, source="s")
    spec = ModelSpec(role="published", figures=(published,))
    entries = [MtBenchSpec(name="a"), MtBenchSpec(name="b")]
    found = leaderboards.suite_figures("m", spec, entries, 0.95)
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
        leaderboards.suite_figures("m", spec, entries, 0.95)
