"""One figure as an entry of Every Eval Ever's `evaluation_results`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from evalkit.core import Estimate, Json, Run
from evalkit.exporters import _about as about

__all__ = ["judges_of", "result"]

Known: TypeAlias = Iterator[tuple[str, Json]]

_BOUNDS: Mapping[str, tuple[Json, Json]] = {
    "percent": (0, 100),
    "points": (1, 10),
    "characters": (0, "Infinity"),
}
"""Lowest and highest value by unit; of other units nothing is known."""


def judges_of(run: Run, model: str, entry: str) -> list[str]:
    """Who judged a model's answers: the models behind the judges its judgments name."""
    behind = {str(j.get("name")): str(j.get("model") or j.get("name")) for j in _judges(run)}
    named = dict.fromkeys(
        judgment.judge
        for record in run.records
        if (record.model, record.benchmark) == (model, entry)
        for judgment in record.outcome.judgments
    )
    return [behind.get(name, name) for name in named]


def _judges(run: Run) -> Sequence[Mapping[str, Json]]:
    found: Sequence[Mapping[str, Json]] = run.manifest.get("judges", ())
    return found


def result(run: Run, row: Estimate, judges: Sequence[str]) -> dict[str, Json]:
    """Of a figure that is defined, by `judges` if it is one of theirs."""
    said = about.description(run, row.benchmark)
    key = (row.benchmark, row.task, row.category, row.metric)
    generation = _generation(said, row)
    return {
        "evaluation_result_id": "/".join(part for part in key if part),
        "evaluation_name": row.task if row.category is None else f"{row.task}/{row.category}",
        "source_data": _data(run, row, said),
        "metric_config": _metric(run, row, said, judges),
        "score_details": _score(row),
        **({"generation_config": generation} if generation else {}),
    }


def _metric(
    run: Run, row: Estimate, said: Mapping[str, Json], judges: Sequence[str]
) -> dict[str, Json]:
    bounds = _BOUNDS.get(row.unit)
    found: dict[str, Json] = {
        "metric_id": f"{row.task}.{row.metric}",
        "metric_name": row.metric,
        "metric_unit": row.unit,
        "metric_parameters": _parameters(said, row),
        "lower_is_better": not _higher_is_better(run, row),
    }
    if bounds is not None:
        found |= {"score_type": "continuous", "min_score": bounds[0], "max_score": bounds[1]}
    if judges and row.unit != "characters":
        found["llm_scoring"] = _judging(said.get("judge"), judges)
    return found


def _parameters(said: Mapping[str, Json], row: Estimate) -> dict[str, Json]:
    """What tells this measurement from others of the same name: versions, reference, settings."""
    task = said.get("tasks", {}).get(row.task, {})
    found = {name: value for name, value in said.items() if _is_plain(value)}
    return {
        **found,
        **({"task_version": task["version"]} if _is_plain(task.get("version")) else {}),
    }


def _higher_is_better(run: Run, row: Estimate) -> bool:
    metrics = about.declared(run, row.benchmark, row.task)
    named = (m.get("higher_is_better", True) for m in metrics if m.get("name") == row.metric)
    return bool(next(named, True))


def _judging(said: Json, judges: Sequence[str]) -> dict[str, Json]:
    """Who judged; the prompts are named by their hash, since they hold a benchmark's words."""
    judge: Mapping[str, Json] = said if isinstance(said, Mapping) else {}
    sha256 = judge.get("prompt_sha256")
    unknown = {"deployment_type": "unknown", "model_availability": "unknown"}
    return {
        "judges": [
            {"model_info": {"name": name, "id": name, "additional_details": unknown}}
            for name in judges
        ],
        "input_prompt": f"sha256 {sha256}" if sha256 else "not stated",
        "additional_details": {n: str(value) for n, value in judge.items() if _is_plain(value)},
    }


def _is_plain(value: Json) -> bool:
    return isinstance(value, str | int | float) and value != ""


def _score(row: Estimate) -> dict[str, Json]:
    uncertainty: dict[str, Json] = {}
    if row.standard_error is not None:
        error = {"value": row.standard_error, "method": row.method}
        uncertainty["standard_error"] = error
    if row.low is not None and row.high is not None:
        uncertainty["confidence_interval"] = {
            "lower": row.low,
            "upper": row.high,
            "confidence_level": row.level,
            "method": row.method,
        }
    if row.n:
        uncertainty["num_samples"] = row.n
    details = {"n_missing": str(row.n_missing), "method": row.method}
    details |= {"source": row.source} if row.source else {}
    details |= {"n_clusters": str(row.n_clusters)} if row.n_clusters != row.n else {}
    found: dict[str, Json] = {"score": row.point, "details": details}
    return {**found, **({"uncertainty": uncertainty} if uncertainty else {})}


def _data(run: Run, row: Estimate, said: Mapping[str, Json]) -> dict[str, Json]:
    """The hub data set where the benchmark names one, else what the benchmark is called."""
    task = said.get("tasks", {}).get(row.task, {})
    dataset = task.get("dataset") or {}
    path = str(dataset.get("path") or "")
    details = dict(_details(said, dataset))
    more = {"additional_details": details} if details else {}
    if path.count("/") == 1 and not path.startswith((".", "/")):
        size = task.get("documents")
        sized = {"samples_number": size} if isinstance(size, int) else {}
        hub = {"dataset_name": row.task, "source_type": "hf_dataset", "hf_repo": path}
        return {**hub, **sized, **more}
    return {"dataset_name": row.task, "source_type": "other", **more}


def _details(said: Mapping[str, Json], dataset: Mapping[str, Json]) -> Known:
    for name in ("name", "revision"):
        if dataset.get(name):
            yield f"dataset_{name}", str(dataset[name])
    data = said.get("data")
    if isinstance(data, Mapping):
        for name, value in data.items():
            if _is_plain(value):
                yield f"data_{name}", str(value)


def _generation(said: Mapping[str, Json], row: Estimate) -> dict[str, Json]:
    task = said.get("tasks", {}).get(row.task, {})
    shots = about.shots(task)
    limit = said.get("max_tokens")
    arguments = {"max_tokens": limit} if isinstance(limit, int) else {}
    details = {} if shots is None else {"num_fewshot": str(shots)}
    found: dict[str, Json] = {"generation_args": arguments} if arguments else {}
    return {**found, **({"additional_details": details} if details else {})}
