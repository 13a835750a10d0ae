"""The Open LLM Leaderboard: choice of tasks, averages, sizes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit import plugins
from evalkit.benchmarks._lm_eval_scores import Figure
from evalkit.benchmarks.open_llm_leaderboard import (
    OpenLlmLeaderboard,
    OpenLlmLeaderboardSpec,
    average_v1,
    average_v2,
)
from evalkit.core.protocols import BenchmarkContext, DataPlaces


def make(**spec: Any) -> OpenLlmLeaderboard:
    context = BenchmarkContext(root=Path(), places=DataPlaces(), judge=None, seed=0)
    return OpenLlmLeaderboard(OpenLlmLeaderboardSpec(**spec), context)


def figure(metric: str, point: float | None, n: int = 100) -> Figure:
    return Figure(metric, point, 0.01, n, 0, "mean", corpus=False)


def test_the_module_offers_one_class_and_its_spec() -> None:
    found = plugins.find("benchmarks", "open_llm_leaderboard")
    assert (found.cls, found.spec) == (OpenLlmLeaderboard, OpenLlmLeaderboardSpec)


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
