"""Figures of an Every Eval Ever record (schema 0.2 and 0.3), as evidence.

A record holds one model's `evaluation_results`; of each are read the task (`metric_id`'s part
before the point, else `evaluation_name`), the metric, the score, its unit and error, and what it
says of shots and judge.  Source: https://github.com/evaleval/every_eval_ever, `eval.schema.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from evalkit.core.figures import Estimator, Figure, FigureKey, Measured, Method, Unit
from evalkit.core.requests import Json
from evalkit.errors import DataError

__all__ = ["figures"]


def figures(path: Path) -> Iterator[tuple[Figure, int | None, str | None]]:
    """(figure, shots, judge) of each result; raises DataError where it is no such record."""
    try:
        log = json.loads(path.read_text(encoding="utf-8"))
        model = str(log["model_info"]["name"] or log["model_info"]["id"])
        results = list(log["evaluation_results"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{str(path)!r} is no record of Every Eval Ever ({type(error).__name__}: {error}); "
            f"expected JSON with model_info and evaluation_results"
        ) from error
    for result in results:
        if isinstance(result, Mapping):
            found = _figure(model, result)
            if found is not None:
                yield found


def _figure(model: str, result: Mapping[str, Json]) -> tuple[Figure, int | None, str | None] | None:
    config, score = _map(result.get("metric_config")), _map(result.get("score_details"))
    value = score.get("score")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    name = str(result.get("evaluation_name") or "")
    identity = str(config.get("metric_id") or "")
    metric = str(config.get("metric_name") or identity.rpartition(".")[2] or "acc")
    task = identity.removesuffix(f".{metric}") if identity.endswith(f".{metric}") else name
    category = name.removeprefix(f"{task}/") if name.startswith(f"{task}/") else None
    highest = config.get("max_score")
    unit: Unit = "percent" if config.get("metric_unit") in ("percent", "%") else "raw"
    if config.get("metric_unit") in ("points", "characters"):
        unit = config["metric_unit"]
    if unit == "raw" and highest == 1 and config.get("min_score") in (0, None):
        value, unit = 100 * value, "percent"
    error = _map(_map(score.get("uncertainty")).get("standard_error")).get("value")
    measured = Measured(
        float(value), error if isinstance(error, float) else None, None, None, 0.95, 0, 0, 0,
        Method(Estimator.RECORDED),
    )  # fmt: skip
    parameters = _map(config.get("metric_parameters"))
    shots = parameters.get("num_fewshot", parameters.get("shots"))
    judges = _map(config.get("llm_scoring")).get("judges")
    judge = _map(_map(judges[0]).get("model_info")).get("name") if isinstance(
        judges, list) and judges else None  # fmt: skip
    key = FigureKey(task.partition(".")[0] or name, task or name, metric, category)
    return (
        Figure(model, key, unit, measured),
        shots if isinstance(shots, int) else None,
        str(judge) if judge else None,
    )


def _map(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}
