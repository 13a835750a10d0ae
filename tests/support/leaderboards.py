"""Synthetic runs of the Open LLM Leaderboard: records and manifest as a real run leaves them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from evalkit import catalogue
from evalkit.benchmarks import open_llm_leaderboard as board
from evalkit.core import Average, Json, Manifest, Metric, Outcome, Record, Run, Score

__all__ = ["ENTRY", "SUBJECTS", "V1_SIZES", "V2_SIZES", "averages", "board_run"]

ENTRY = "open_llm_leaderboard"
SUBJECTS = ("mmlu_anatomy", "mmlu_astronomy", "mmlu_virology")
V1_SIZES = {
    "arc_challenge": 60,
    "hellaswag": 90,
    **dict(zip(SUBJECTS, (10, 20, 40), strict=True)),
    "truthfulqa_mc2": 50,
    "winogrande": 70,
    "gsm8k": 80,
}
V2_SIZES = {
    "leaderboard_bbh_navigate": 60,
    "leaderboard_bbh_object_counting": 50,
    "leaderboard_gpqa_main": 70,
    "leaderboard_ifeval": 40,
    "leaderboard_math_algebra_hard": 30,
    "leaderboard_math_geometry_hard": 20,
    "leaderboard_mmlu_pro": 120,
    "leaderboard_musr_murder_mysteries": 50,
}


def averages(version: int, tasks: Sequence[str], *, include_drop: bool = False) -> list[Average]:
    """What the benchmark declares."""
    if version == 1:
        return board.averages_v1(tasks, include_drop=include_drop)
    return board.averages_v2(tasks)


def board_run(
    folder: Path,
    rates: Mapping[str, float],
    *,
    version: int = 1,
    sizes: Mapping[str, int] | None = None,
    seed: int = 1,
) -> Run:
    """A run whose models answer documents rightly at these rates; the first is the candidate."""
    chosen = sizes or (V1_SIZES if version == 1 else V2_SIZES)
    rng = random.Random(seed)
    luck = {task: [rng.random() for _ in range(n)] for task, n in chosen.items()}
    records = tuple(
        Record(model, ENTRY, task, str(i), None, f"{task}:{i}", _outcome(rng, task, rate, draw))
        for model, rate in rates.items()
        for task, draws in luck.items()
        for i, draw in enumerate(draws)
    )
    return Run(folder, _manifest(version, chosen, list(rates)), records, (), ())


def _outcome(rng: random.Random, task: str, rate: float, luck: float) -> Outcome:
    """Half of what decides is the document's, so that models agree more than by chance."""
    right = 0.6 * luck + 0.4 * rng.random() < rate
    data: dict[str, Json] = {}
    if task == "leaderboard_ifeval":
        data["inst_level_strict_acc"] = [
            right or rng.random() < rate for _ in range(rng.choice((1, 2, 3)))
        ]
    return Outcome("ok", scores=(Score(_metric(task), float(right)),), data=data)


def _metric(task: str) -> str:
    family = board.family_of(task)
    if family is not None:
        return next(c.metric for c in catalogue.columns(2) if c.task == family)
    wanted = "mmlu" if task in SUBJECTS else task
    return next(c.metric for c in catalogue.columns(1, drop=True) if c.task == wanted)


def _manifest(version: int, sizes: Mapping[str, int], models: list[str]) -> Manifest:
    tasks = {
        task: {
            "n_samples": n,
            "metrics": [Metric(_metric(task), "percent", 100.0, primary=True)],
        }
        for task, n in sizes.items()
    }
    entry = {
        "name": ENTRY,
        "description": {"type": ENTRY, "leaderboard": version},
        "n_samples": sum(sizes.values()),
        "tasks": tasks,
        "averages": averages(version, list(sizes)),
    }
    roles = {m: {"role": "baseline" if n else "candidate"} for n, m in enumerate(models)}
    return Manifest.model_validate(
        {
            "run_id": "0123456789ab",
            "sealed": True,
            "models": [{"name": m, **roles[m]} for m in models],
            "suite": {"models": roles},
            "benchmarks": [entry],
        }
    )
