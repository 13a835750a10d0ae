"""What benchmarks declare about averages, and which documents share a passage."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evalkit import catalogue
from evalkit.benchmarks import _lm_eval_scores as scoring
from evalkit.benchmarks import open_llm_leaderboard as board
from evalkit.benchmarks._lm_eval_scores import Figure
from evalkit.benchmarks.open_llm_leaderboard import OpenLlmLeaderboard, OpenLlmLeaderboardSpec
from evalkit.compare.averages import average_comparisons, tasks_below
from evalkit.core import Metric, Outcome, Record, Score
from evalkit.core.protocols import Averaged, BenchmarkContext, DataPlaces
from evalkit.importers import lm_eval
from evalkit.importers.evidence import ImportOptions

ACC = Metric("acc", "percent", 100.0, primary=True)
NORM = Metric("acc_norm", "percent", 100.0)


def group(*tasks: str, by_size: bool = True) -> Any:
    """As much of lm-eval's Group as evalkit reads."""
    wanted = SimpleNamespace(metric="acc", filter_list=None, weight_by_size=by_size)
    leaves = [SimpleNamespace(task_name=task) for task in tasks]
    return SimpleNamespace(get_all_tasks=lambda: leaves, aggregate_metric_list=[wanted])


def test_groups_are_declared_as_they_are_computed() -> None:
    sizes, groups = {"x": 10, "y": 30}, {"g": group("x", "y")}
    declared = scoring.group_averages(groups, dict.fromkeys(sizes, (ACC, NORM)))
    assert [(a.metric.name, a.by_size) for a in declared] == [
        ("acc", True),
        ("acc (mean of tasks)", False),
    ]
    records = [
        Record(m, "b", task, str(i), None, "", Outcome("ok", scores=(Score("acc", value),)))
        for m, shift in (("new", 1), ("old", 0))
        for task, n in sizes.items()
        for i in range(n)
        for value in [float((i + shift) % 3 == 0)]
    ]
    rows = average_comparisons(records, declared, ("new", "old"), 0.95)
    for row in rows:
        points = []
        for model in ("new", "old"):
            by_task = {task: [_figure(records, model, task)] for task in sizes}
            found = scoring.group_figures(groups["g"], by_task)
            points += [f.point for f in found if f.metric == row.metric and f.point is not None]
        new, old = points
        assert row.difference == pytest.approx(100 * (new - old), abs=1e-9)


def _figure(records: list[Record], model: str, task: str) -> Figure:
    values = [r.outcome.scores[0].value for r in records if (r.model, r.task) == (model, task)]
    return Figure("acc", sum(values) / len(values), 0.1, len(values), 0, "", corpus=False)


def test_only_outermost_groups_are_headlines() -> None:
    groups = {
        "all": group("x", "y", "z"),
        "some": group("x", "y"),
        "mean": group("w", by_size=False),
    }
    declared = scoring.group_averages(groups, dict.fromkeys("xyzw", (ACC,)))
    assert {a.task for a in declared if a.metric.primary} == {"all", "mean"}


def test_the_leaderboards_average_is_over_its_columns() -> None:
    made = board.averages_v1(["arc_challenge", "mmlu_anatomy", "gsm8k"], include_drop=True)
    whole = next(a for a in made if a.columns)
    assert [task for task, _ in whole.of] == [c.task for c in catalogue.columns(1, drop=True)]
    six = next(a for a in made if a.metric.name == "average_without_drop")
    assert [task for task, _ in six.of] == [c.task for c in catalogue.columns(1)]
    assert tasks_below(whole, made)["mmlu_anatomy"] == "acc"


def test_chance_levels_are_the_leaderboards() -> None:
    made = {a.task: a for a in board.averages_v2(["leaderboard_gpqa_main", "leaderboard_ifeval"])}
    assert made["leaderboard_gpqa_main"].chance == 1 / 4
    assert made["leaderboard_ifeval"].chance is None
    assert [m for _, m in made["leaderboard_ifeval"].of] == [
        "prompt_level_strict_acc",
        "inst_level_strict_acc",
    ]


@pytest.mark.data
@pytest.mark.slow
def test_a_real_leaderboard_declares_what_it_asks(public_data: Path) -> None:
    places = DataPlaces(mirrors=(public_data,))
    context = BenchmarkContext(root=Path(), places=places, judge=None, seed=0)
    bench = OpenLlmLeaderboard(OpenLlmLeaderboardSpec(only=("mmlu",)), context)
    assert isinstance(bench, Averaged)
    declared = bench.averages()
    mmlu = next(a for a in declared if a.metric.primary and a.task == "mmlu")
    assert len(mmlu.of) == 57
    assert {a.task for a in declared} >= {"mmlu", "mmlu_stem", "open_llm_leaderboard"}
    assert len(declared) == len({(a.task, a.metric.name) for a in declared})


# --- passages -------------------------------------------------------------------------------


def test_documents_about_one_passage_are_one_unit() -> None:
    one, other = ({"passage": "In 1815 ...", "question": q} for q in ("Who?", "When?"))
    assert scoring.passage_cluster("drop", one) == scoring.passage_cluster("drop", other) != ""
    assert scoring.passage_cluster("drop", {**one, "passage": "In 1816 ..."}) != (
        scoring.passage_cluster("drop", one)
    )
    assert scoring.passage_cluster("squad", one) != scoring.passage_cluster("drop", one)
    for doc in ({"question": "Who?"}, {"passage": "  "}, {"passage": None}, "text", None):
        assert scoring.passage_cluster("t", doc) == ""


@pytest.mark.data
@pytest.mark.slow
def test_drop_is_resampled_by_passage(public_data: Path) -> None:
    """Oracle: the passages in the data file itself."""
    path = public_data / "leaderboard_v1" / "drop" / "validation_reconstructed.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        passages = {json.loads(line)["passage"] for line in file}
    context = BenchmarkContext(Path(), DataPlaces(mirrors=(public_data,)), None, 0)
    spec = OpenLlmLeaderboardSpec(include_drop=True, only=("drop",))
    samples = OpenLlmLeaderboard(spec, context).samples()
    assert len(samples) == 9536
    assert len({sample.cluster for sample in samples}) == len(passages) < 600


# --- imports --------------------------------------------------------------------------------


def write_samples(folder: Path, task: str, metric: str, chosen: str = "none") -> None:
    rows = [
        {
            "doc_id": n,
            "doc": {"passage": f"passage {n // 2}"} if task == "drop" else {},
            "filter": chosen,
            "target": "0",
            "metrics": [metric],
            metric: float(n % 2),
        }
        for n in range(4)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"samples_{task}_2024-05-01T10-00-00.0.jsonl").write_text(text)


def write_board(folder: Path, subjects: int) -> None:
    for column in catalogue.columns(1):
        task, metric = column.task, column.metric
        if task == "mmlu":
            for n in range(subjects):
                write_samples(folder, f"mmlu_subject_{n}", "acc")
        else:
            name, _, chosen = metric.partition(",")
            write_samples(folder, task, name, chosen or "none")


OPTIONS = ImportOptions(("m",), None, (), DataPlaces(), 0.95)


def test_samples_of_a_whole_leaderboard_bring_its_average(tmp_path: Path) -> None:
    write_board(tmp_path, 57)
    (found,) = lm_eval.read([tmp_path], OPTIONS)
    whole = next(a for a in found.averages if a.columns)
    assert len(tasks_below(whole, found.averages)) == 62
    assert next(a for a in found.averages if a.task == "mmlu").of[0][1] == "acc"


def test_samples_of_half_a_leaderboard_bring_none(tmp_path: Path) -> None:
    write_board(tmp_path, 56)
    (found,) = lm_eval.read([tmp_path], OPTIONS)
    assert found.averages == ()


def test_imported_passages_are_units_as_asked_ones(tmp_path: Path) -> None:
    write_samples(tmp_path, "drop", "f1")
    (found,) = lm_eval.read([tmp_path], OPTIONS)
    clusters = [record.cluster for record in found.records]
    assert clusters[0] == clusters[1] != clusters[2] == clusters[3]
    assert clusters[0] == scoring.passage_cluster("drop", {"passage": "passage 0"})


def test_groups_of_a_result_file_are_means_over_documents(tmp_path: Path) -> None:
    for task in ("x", "y"):
        write_samples(tmp_path, task, "acc")
    results = {
        "results": {t: {"alias": t, "acc,none": 0.5} for t in ("g", "x", "y")},
        "groups": {"g": {"acc,none": 0.5}},
        "group_subtasks": {"g": ["x", "y"]},
    }
    (tmp_path / "results_2024-05-01T10-00-00.0.json").write_text(json.dumps(results))
    (found,) = lm_eval.read([tmp_path], OPTIONS)
    (average,) = found.averages
    assert (average.task, average.of, average.by_size) == ("g", (("x", "acc"), ("y", "acc")), True)
    assert average.metric == replace(ACC, primary=False)
