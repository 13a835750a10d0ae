"""Runs of format 1 as format 2, in memory: the only place that knows the older format.

Reading never writes.  What format 1 left to the suite (which judge a benchmark has) or wrote as
prose (that a figure was published) becomes a field; values that have no meaning any more are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.core import Json
from evalkit.core.figures import Estimator
from evalkit.core.run import (
    FORMAT,
    BenchmarkEntry,
    EvidenceEntry,
    FirstPrompt,
    Manifest,
    ModelEntry,
    TaskEntry,
)

__all__ = ["upgraded_manifest", "upgraded_row"]

_ESTIMATORS = (
    ("published", Estimator.PUBLISHED),
    ("recorded", Estimator.RECORDED),
    ("paired by document", Estimator.TASKS),
    ("paired", Estimator.PAIRED),
    ("share", Estimator.SHARE),
    ("mean", Estimator.MEAN),
    ("unweighted mean of", Estimator.TASKS),
    ("weighted by size mean of", Estimator.TASKS),
    ("length-controlled", Estimator.LENGTH_CONTROLLED),
)
"""How the `method` texts of format 1 begin; any other is a corpus metric's."""


def upgraded_manifest(found: Mapping[str, Json]) -> dict[str, Json]:
    """The manifest of format 1 in the layout of format 2; wrong types are left to the reader."""
    manifest = _only(found, Manifest) | {"format": FORMAT}
    suite = found.get("suite")
    specs = _objects(suite.get("benchmarks")) if isinstance(suite, Mapping) else []
    judges = {str(spec.get("name") or spec.get("type")): spec.get("judge") for spec in specs}
    manifest["models"] = [
        _only(model, ModelEntry)
        | {"first_prompts": [_only(p, FirstPrompt) for p in _objects(model.get("first_prompts"))]}
        for model in _objects(found.get("models"))
    ]
    manifest["benchmarks"] = [
        _only(entry, BenchmarkEntry)
        | {
            "tasks": {t: _only(about, TaskEntry) for t, about in _object(entry.get("tasks"))},
            "judge": judges.get(str(entry.get("name"))),
        }
        for entry in _objects(found.get("benchmarks"))
    ]
    manifest["evidence"] = [_only(e, EvidenceEntry) for e in _objects(found.get("evidence"))]
    return {name: value for name, value in manifest.items() if value is not None}


def _only(found: Mapping[str, Json], cls: type[Any]) -> dict[str, Json]:
    """What this version has a field for; the rest decided no figure."""
    return {name: value for name, value in found.items() if name in cls.model_fields}


def _objects(value: Json) -> list[Mapping[str, Json]]:
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list) else []


def _object(value: Json) -> list[tuple[str, Mapping[str, Json]]]:
    items = value.items() if isinstance(value, Mapping) else ()
    return [(k, v) for k, v in items if isinstance(v, Mapping)]


def upgraded_row(row: Mapping[str, Json]) -> dict[str, Json]:
    """A row of results.json: the text of `method` stays, and its facts become fields."""
    text, source = str(row.get("method", "")), row.get("source") or ""
    named = next((e for start, e in _ESTIMATORS if text.startswith(start)), Estimator.CORPUS)
    how = {"estimator": named.value, "interval": "stated", "detail": text}
    published = {"where": source} if source else None
    if "model" in row:
        return {**row, "how": how, "published": published}
    df, units = row.get("df"), row.get("n_clusters")
    if df is None and row.get("standard_error") is not None and isinstance(units, int):
        df = units - 1  # format 1 did not store it
    return {**row, "how": how, "df": df}
