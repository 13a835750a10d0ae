"""The Open LLM Leaderboard: its tasks and settings, its averages and their errors, imports of it.

Oracles: published rows and the leaderboard's documentation; the harness of 2023's rule of drawing
worked examples, written out here on whole documents (`evaluator.py`: seed 42, shuffle the
documents, then sample for each in that order; `base.py`: `fewshot_context`); numpy's bootstrap of
documents, and the closed form of a share's error.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import catalogue, data
from evalkit.benchmarks import _lm_eval_scores as scoring
from evalkit.benchmarks import open_llm_leaderboard as board
from evalkit.benchmarks._lm_eval_scores import Aggregate
from evalkit.benchmarks.lm_eval import draw
from evalkit.benchmarks.open_llm_leaderboard import (
    OpenLlmLeaderboard,
    OpenLlmLeaderboardSpec,
    average_v1,
    average_v2,
)
from evalkit.core import Metric, Record
from evalkit.core.evidence import ImportOptions
from evalkit.core.protocols import Averaged, BenchmarkContext, DataPlaces
from evalkit.core.run import tasks_below
from evalkit.formats import lm_eval
from evalkit.stats.averages import averages_of_records
from tests.support.leaderboards import ENTRY, V2_SIZES, averages, board_run


def make(**spec: Any) -> OpenLlmLeaderboard:
    context = BenchmarkContext(root=Path(), places=DataPlaces(), judge=None, seed=0)
    return OpenLlmLeaderboard(OpenLlmLeaderboardSpec(**spec), context)


def figure(metric: str, point: float | None, n: int = 100) -> Aggregate:
    return Aggregate(metric, point, 0.01, n, 0, "mean", corpus=False)


def test_version_1_asks_the_leaderboards_shots() -> None:
    inner = make(include_drop=True)._inner._spec
    shots = {task: over["num_fewshot"] for task, over in inner.overrides.items()}
    assert shots == {
        "arc_challenge": 25,
        "hellaswag": 10,
        "mmlu": 5,
        "truthfulqa_mc2": 0,
        "winogrande": 5,
        "gsm8k": 5,
        "drop": 3,
    }
    assert tuple(shots) == inner.tasks


@pytest.mark.parametrize(
    "spec",
    [{"version": 3}, {"version": 2, "include_drop": True}, {"fewshot_as_multiturn": True}],
)
def test_the_spec_refuses(spec: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        OpenLlmLeaderboardSpec(**spec)


@pytest.mark.parametrize(
    ("scores", "average"),
    [
        ((62.03, 84.36, 61.07, 57.45, 77.74, 12.74, 9.66), 52.15),
        ((64.59, 84.78, 63.03, 54.37, 79.40, 15.16, 8.91), 52.89),
    ],
    ids=["zephyr-7b-beta", "notus-7b-v1"],
)
def test_the_average_of_version_1_is_the_published_one(
    scores: tuple[float, ...], average: float
) -> None:
    """Published rows of the November 2023 leaderboard (model cards of both models)."""
    names = ("arc_challenge", "hellaswag", "truthfulqa_mc2", "winogrande", "gsm8k", "drop")
    metrics = ("acc_norm", "acc_norm", "acc", "acc", "exact_match,strict-match", "f1")
    arc, hellaswag, mmlu, truthful, winogrande, gsm8k, drop = (s / 100 for s in scores)
    points = (arc, hellaswag, truthful, winogrande, gsm8k, drop)
    figures = {n: [figure(m, p)] for n, m, p in zip(names, metrics, points, strict=True)}
    figures["mmlu_anatomy"] = [figure("acc", mmlu - 0.1, n=10)]
    figures["mmlu_virology"] = [figure("acc", mmlu + 0.1, n=990)]
    found = average_v1(figures, include_drop=True)
    assert found.point is not None
    assert round(100 * found.point, 2) == average
    figures["gsm8k"] = [figure("exact_match,strict-match", None)]
    assert average_v1(figures, include_drop=True).point is None
    del figures["gsm8k"]
    assert average_v1(figures, include_drop=True).point is None


def test_version_2_is_normalised_against_chance() -> None:
    """GPQA .6 gives 46.67 and MuSR .7/.4/.6 give 35.00 (the leaderboard's documentation)."""
    figures = {
        "leaderboard_gpqa_main": [figure("acc_norm", 0.6)],
        "leaderboard_musr_murder_mysteries": [figure("acc_norm", 0.7)],
        "leaderboard_musr_object_placements": [figure("acc_norm", 0.4)],
        "leaderboard_musr_team_allocation": [figure("acc_norm", 0.6)],
        "leaderboard_bbh_navigate": [figure("acc_norm", 0.3)],
        "leaderboard_mmlu_pro": [figure("acc", 0.1)],
        "leaderboard_math_algebra_hard": [figure("exact_match", 0.25)],
        "leaderboard_ifeval": [
            figure("prompt_level_strict_acc", 0.2),
            figure("inst_level_strict_acc", 0.4),
        ],
    }
    found = average_v2(figures)
    assert found.point == pytest.approx((46.6667 + 35.0 + 0 + 0 + 25 + 30) / 600, abs=1e-6)
    del figures["leaderboard_ifeval"]
    assert average_v2(figures).point is None


@pytest.mark.data
def test_nominal_requests_are_those_of_the_data_sets(public_data: Path) -> None:
    v1, v2 = public_data / "leaderboard_v1", public_data / "leaderboard_v2"
    arc = sum(len(d["choices"]["text"]) for d in lines(v1 / "arc_challenge/test.jsonl"))
    truthful = lines(v1 / "truthfulqa/multiple_choice_validation.jsonl")
    mc2 = sum(len(d["mc2_targets"]["choices"]) for d in truthful)
    mmlu = 4 * sum(1 for f in (v1 / "mmlu/test").iterdir() for _ in lines(f))
    hellaswag = 4 * sum(1 for _ in lines(v1 / "hellaswag/validation_reconstructed.jsonl.gz"))
    gsm8k = sum(1 for _ in lines(v1 / "gsm8k/test.jsonl"))
    assert make().nominal_requests() == arc + hellaswag + mmlu + mc2 + 2 * 1267 + gsm8k
    assert make(include_drop=True).nominal_requests() == make().nominal_requests() + 9536
    pro = sum(len(d["options"]) for d in lines(v2 / "mmlu_pro/test.jsonl.gz"))
    assert make(version=2).nominal_requests() == pro + 31_710 + 4_768 + 541 + 1_324 + 2_530


def lines(path: Path) -> Iterator[dict[str, Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig") as file:
        yield from (json.loads(line) for line in file)


# --- what it declares, and imports of it ----------------------------------------------------------


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
    assert average.metric == Metric("acc", "percent", 100.0)


# --- the settings of 2023 -------------------------------------------------------------------------


def as_then(documents: list[str], training: list[str], k: int) -> dict[str, list[str]]:
    """Examples by document; `training` empty: drawn from the documents themselves."""
    rnd = Random()
    rnd.seed(42)
    shuffled = list(documents)
    rnd.shuffle(shuffled)
    found = {}
    for doc in shuffled:
        if training:
            found[doc] = rnd.sample(training, k)
        else:
            found[doc] = [x for x in rnd.sample(documents, k + 1) if x != doc][:k]
    return found


@given(st.integers(1, 40), st.integers(0, 40), st.integers(1, 5))
def test_examples_are_drawn_as_in_2023(n: int, m: int, k: int) -> None:
    documents = [f"document {i}" for i in range(n)]
    training = [f"training {i}" for i in range(m)] if m >= k else []
    pool = training or documents
    if len(pool) < k + 1:
        return
    drawn = draw(documents, pool, k, 42, apart=bool(training))
    assert dict(zip(documents, drawn, strict=True)) == as_then(documents, training, k)


def make_at(places: DataPlaces, **spec: Any) -> OpenLlmLeaderboard:
    context = BenchmarkContext(Path(), places, judge=None, seed=0)
    return OpenLlmLeaderboard(OpenLlmLeaderboardSpec(**spec), context)


@pytest.mark.data
@pytest.mark.slow
def test_gsm8k_asks_what_the_harness_of_2023_asked(public_data: Path) -> None:
    """Prompt and stops of the first documents, put together from the raw files."""
    places = DataPlaces((public_data,))
    test = data.records("leaderboard_v1/gsm8k/test", places).records
    train = data.records("leaderboard_v1/gsm8k/train", places).records
    shots = as_then(
        [row["question"] for row in test], [str(n) for n in range(len(train))], 5
    )  # fmt: skip
    bench = make_at(places, settings="2023", only=("gsm8k",))
    now = make_at(places, only=("gsm8k",))
    different = 0
    for row, sample, other in zip(test[:20], bench.samples(), now.samples(), strict=False):
        examples = [train[int(n)] for n in shots[row["question"]]]
        parts = [f"Question: {e['question']}\nAnswer: {e['answer']}" for e in examples]
        expected = "\n\n".join([*parts, f"Question: {row['question']}\nAnswer:"])
        (request,) = next(bench.flow(sample, "m"))
        assert request.prompt == expected
        assert request.stop == (":", "Question:", "Question")
        different += next(now.flow(other, "m"))[0].prompt != expected
    assert different == 20
    told = bench.describe()["settings_differences"]["gsm8k"]
    assert [text.partition(":")[0] for text in told] == ["worked examples", "generation stops at '"]


@pytest.mark.parametrize(
    "spec",
    [
        {"version": 2, "settings": "2023"},
        {"version": 1, "only": ("bbh",)},
        {"version": 2, "only": ("gsm8k",)},
        {"version": 1, "only": ("drop",)},
    ],
)
def test_settings_that_never_were_are_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        OpenLlmLeaderboardSpec(**spec)


def test_its_tasks_are_known_without_data() -> None:
    tasks = make_at(DataPlaces(), include_drop=True).figure_tasks()
    assert list(tasks) == [
        *(c.task for c in catalogue.columns(1, drop=True)),
        "open_llm_leaderboard",
    ]
    assert tasks["gsm8k"][0].name == "exact_match,strict-match"
    families = make_at(DataPlaces(), version=2).figure_tasks()
    assert families["leaderboard_bbh"][0].name == "normalised"


# --- standard errors of version 2 -----------------------------------------------------------------


def figures(records: list[Record]) -> dict[str, list[Aggregate]]:
    found: dict[str, list[Aggregate]] = {}
    for task in dict.fromkeys(r.task for r in records):
        mine = [r for r in records if r.task == task]
        points = {mine[0].outcome.scores[0].metric: [r.outcome.scores[0].value for r in mine]}
        for metric in mine[0].outcome.data:
            points[metric] = [v for r in mine for v in r.outcome.data[metric]]
        found[task] = [
            Aggregate(m, float(np.mean(v)), None, len(mine), 0, "", True) for m, v in points.items()
        ]
    return found


def test_the_averages_error_is_that_of_a_bootstrap_of_documents(tmp_path: Path) -> None:
    """Well above chance, so that no floor bends the figure."""
    sizes = dict.fromkeys(V2_SIZES, 150)
    run = board_run(tmp_path, {"a": 0.75}, version=2, sizes=sizes)
    found = averages_of_records(run.records, averages(2, list(sizes)), 0.95)[ENTRY, "average"]
    point = board.average_v2(figures(list(run.records))).point
    assert point is not None
    assert found.point == pytest.approx(100 * point, abs=1e-9)
    by_task: dict[str, list[Record]] = {}
    for record in run.records:
        by_task.setdefault(record.task, []).append(record)
    rng = np.random.default_rng(11)
    draws = []
    for _ in range(400):
        drawn = [
            mine[i] for mine in by_task.values() for i in rng.integers(0, len(mine), len(mine))
        ]
        drawn_point = board.average_v2(figures(drawn)).point
        assert drawn_point is not None
        draws.append(100 * drawn_point)
    # The standard deviation of 400 draws is known to about 3.5%.
    assert found.standard_error == pytest.approx(float(np.std(draws)), rel=0.12)


def test_a_subtasks_error_is_its_shares_over_what_chance_leaves(tmp_path: Path) -> None:
    run = board_run(tmp_path, {"a": 0.8}, version=2)
    task = "leaderboard_gpqa_main"
    values = [r.outcome.scores[0].value for r in run.records if r.task == task]
    found = averages_of_records(run.records, averages(2, list(V2_SIZES)), 0.95)[task, "normalised"]
    share = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    assert found.standard_error == pytest.approx(100 * share / 0.75, abs=1e-9)


def test_below_chance_there_is_no_error(tmp_path: Path) -> None:
    """The figure is cut to 0 there; an interval of no width would look like certainty."""
    run = board_run(tmp_path, {"a": 0.0}, version=2)
    errors = averages_of_records(run.records, averages(2, list(V2_SIZES)), 0.95)
    task = "leaderboard_bbh_navigate"
    flat = Aggregate("normalised", 0.0, None, 60, 0, "against chance 1/2", True)
    found = board.with_error(flat, errors[task, "normalised"])
    assert found.standard_error is None
    assert found.method == "against chance 1/2; no standard error"
