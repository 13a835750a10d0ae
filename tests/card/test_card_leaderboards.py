"""The academic tables and entries of both Open LLM Leaderboards, from figures alone."""

from __future__ import annotations

from dataclasses import replace

from evalkit import card, catalogue
from evalkit.core import Figure, FigureKey, Json, Measured, Run
from evalkit.core.figures import Estimator, Interval, Method, Metric
from evalkit.core.run import TaskEntry
from tests.support.runs import Plan, build_run

MEAN = Method(Estimator.MEAN, Interval.T)
METRIC = {c.task: c.metric for c in catalogue.columns(1)}
V1 = {"arc_challenge": 25, "hellaswag": 10, "truthfulqa_mc2": 0, "winogrande": 5, "gsm8k": 5}


def figure(task: str, metric: str, point: float | None, error: float | None = 1.0) -> Figure:
    value = Measured(point, error, None, None, 0.95, 100, 100, 0, MEAN)
    return Figure("mine", FigureKey("open_llm_leaderboard", task, metric), "percent", value)


def a_run(version: int, figures: list[Figure], tasks: dict[str, Json]) -> Run:
    entry = {
        "name": "open_llm_leaderboard",
        "description": {
            "type": "open_llm_leaderboard",
            "leaderboard": version,
            "settings": "current",
            "lm_eval": "0.4.13",
            "tasks": tasks,
        },
        "tasks": {task: {"n_samples": 100} for task in tasks},
    }
    models = [{"name": "mine", "role": "candidate"}]
    run = build_run(Plan(samples=(4, 4, 4)), benchmarks=[entry], models=models)
    return replace(run, records=(), figures=tuple(figures), comparisons=())


def made(run: Run) -> card.Card:
    written = card.Card(card.gather([run]), "mine")
    written.require_valid()
    return written


def test_version_1_has_its_columns_in_order_with_shots_and_mmlu_as_it_averaged_it() -> None:
    figures = [figure(t, METRIC[t], 10.0 + n) for n, t in enumerate(V1)]
    figures += [
        figure("mmlu_anatomy", "acc", 1.0),
        figure("mmlu", "acc", 61.0),
        figure("mmlu", "acc (mean of tasks)", 62.0),
        figure("open_llm_leaderboard", "average", 21.0, None),
    ]
    tasks: dict[str, Json] = {t: {"shots": n} for t, n in V1.items()}
    tasks |= {"mmlu_anatomy": {"shots": 5}, "mmlu_virology": {"shots": 5}}
    written = made(a_run(1, figures, tasks))
    head, _, row = written.part("academic").splitlines()[2:5]
    assert head == (
        "| Model | Average | ARC (25-shot) | HellaSwag (10-shot) | MMLU (5-shot) | "
        "TruthfulQA (0-shot) | Winogrande (5-shot) | GSM8K (5-shot) |"
    )
    assert row.startswith("| **mine** | 21.00 | 10.00 ± 1.00 | 11.00 ± 1.00 | 62.00 ")
    found = {r["dataset"]["name"]: r["metrics"][0] for r in written.index.results}
    assert list(found) == [
        "AI2 Reasoning Challenge (25-shot)",
        "HellaSwag (10-shot)",
        "MMLU (5-shot)",
        "TruthfulQA (0-shot)",
        "Winogrande (5-shot)",
        "GSM8K (5-shot)",
    ]
    assert (found["MMLU (5-shot)"]["type"], found["MMLU (5-shot)"]["value"]) == ("acc", 62.0)
    assert found["MMLU (5-shot)"]["args"]["leaderboard_settings"] == "current"


def test_an_average_that_no_model_has_makes_no_column_and_no_error_is_zero() -> None:
    figures = [figure("gsm8k", METRIC["gsm8k"], 0.0, 0.0)]
    undefined = figure("open_llm_leaderboard", "average", None, None)
    written = made(a_run(1, [*figures, undefined], {"gsm8k": {"shots": 5}}))
    table = written.part("academic")
    assert "| **mine** | 0.00 |" in table
    assert "Average" not in table
    (result,) = written.index.results
    assert "standard_error" not in result["metrics"][0]["args"]


def test_version_2_shows_families_not_their_parts() -> None:
    families = [c.task for c in catalogue.columns(2)]
    figures = [figure(f, "normalised", 10.0 + n, None) for n, f in enumerate(families)]
    figures += [
        figure("leaderboard_bbh_navigate", "normalised", 1.0),
        figure("leaderboard_math_hard", "exact_match", 2.0),
        figure("leaderboard", "acc", 3.0),
        figure("open_llm_leaderboard", "average", 12.5, None),
    ]
    written = made(a_run(2, figures, {}))
    head = written.part("academic").splitlines()[2]
    assert head == (
        "| Model | Average | IFEval (0-shot) | BBH (3-shot) | MATH Lvl 5 (4-shot) | "
        "GPQA (0-shot) | MuSR (0-shot) | MMLU-Pro (5-shot) |"
    )
    types = {r["metrics"][0]["type"] for r in written.index.results}
    assert types == {"normalized_score"}


def test_imported_results_have_the_leaderboards_metrics_and_its_average() -> None:
    """lm-eval's files declare `em` of DROP first; the leaderboard's column is `f1`."""
    figures = [
        figure("truthfulqa_mc1", "acc", 35.0),
        figure("drop", "em", 0.0),
        figure("drop", "f1", 0.98),
        figure("gsm8k_cot", "exact_match,strict-match", 41.0),
        figure("gsm8k", "exact_match,strict-match", 39.5),
        figure("mmlu", "acc", 61.69),
        figure("mmlu_anatomy", "acc", 50.0),
        figure("open_llm_leaderboard", "average_without_drop", 63.09, None),
        figure("open_llm_leaderboard", "average", 54.22, None),
    ]
    run = a_run(1, figures, {"mmlu_anatomy": {"num_fewshot": 5}, "mmlu": {"version": "N/A"}})
    metrics = {
        task: tuple(
            Metric(f.key.metric, "percent", 100.0, True, primary=f.key.metric != "f1")
            for f in figures
            if f.key.task == task
        )
        for task in dict.fromkeys(f.key.task for f in figures[:7])
    }
    (entry,) = run.manifest.benchmarks
    entry = entry.model_copy(
        update={
            "description": entry.description.model_copy(update={"type": "lm_eval"}),
            "tasks": {t: TaskEntry(metrics=found) for t, found in metrics.items()},
        }
    )
    run = replace(run, manifest=run.manifest.model_copy(update={"benchmarks": (entry,)}))
    head, _, row = made(run).part("academic").splitlines()[2:5]
    assert head == (
        "| Model | Average | MMLU (5-shot) | GSM8K | DROP | TruthfulQA MC1 | gsm8k\\_cot |"
    )
    assert row == (
        "| **mine** | 54.22 | 61.69 ± 1.00 | 39.50 ± 1.00 | 0.98 ± 1.00 | 35.00 ± 1.00 | "
        "41.00 ± 1.00 |"
    )
