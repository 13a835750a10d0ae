"""What identifies an lm-eval task: for the manifest, the run id and the comparability guard.

Here belongs only what is the same on every machine: no absolute paths, no addresses of
functions.  A function of a task's config is identified by its source text.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from evalkit.benchmarks import _lm_eval_scores as scores
from evalkit.benchmarks._lm_eval_requests import generation
from evalkit.benchmarks._lm_eval_tasks import LoadedTask
from evalkit.core import Json

__all__ = ["describe_group", "describe_task", "digest"]

_NOT_IDENTITY = ("metadata", "dataset_kwargs", "dataset_path", "dataset_name", "task_alias", "tag")
"""Config entries that are described on their own, or decide nothing."""


def digest(items: Iterable[Any]) -> str:
    """Hex sha256 over items in order, each as canonical JSON."""
    found = hashlib.sha256()
    for item in items:
        text = json.dumps(canonical(item), sort_keys=True, ensure_ascii=False)
        found.update(text.encode("utf-8", "surrogatepass") + b"\n")
    return found.hexdigest()


def canonical(value: Any) -> Json:
    """`value` as JSON that is equal on every machine."""
    if isinstance(value, Mapping):
        return {str(k): canonical(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(v) for v in value]
    if callable(value):
        return _function(value)
    return scores.jsonable(value)


def _function(value: Any) -> Json:
    if isinstance(value, partial):
        return {"function": _function(value.func), "with": canonical([value.args, value.keywords])}
    name = getattr(value, "__qualname__", type(value).__qualname__)
    try:
        source = inspect.getsource(value)
    except (OSError, TypeError):
        return {"function": name}
    return {"function": name, "sha256": hashlib.sha256(source.encode()).hexdigest()}


def describe_task(loaded: LoadedTask) -> dict[str, Json]:
    """Version, data, shots, stops, filters and metrics of one task."""
    task = loaded.task
    config = task.config
    shots = int(config.num_fewshot or 0)
    kwargs, source = config.dataset_kwargs or {}, loaded.source
    fields = {k: v for k, v in vars(config).items() if k not in _NOT_IDENTITY and v is not None}
    return {
        "version": canonical(task.VERSION),
        "output_type": task.OUTPUT_TYPE,
        "dataset": {
            "path": config.dataset_path if source is None else source.path,
            "name": config.dataset_name if source is None else source.config,
            "revision": kwargs.get("revision") if source is None else source.revision,
            "remarks": [] if source is None else list(source.remarks),
            "files": {label: _sha256(path) for label, path in sorted(loaded.files.items())},
        },
        "documents": len(loaded.docs),
        "documents_sha256": digest(loaded.docs),
        "shots": shots,
        "shots_sha256": digest(_pool(task)) if shots else None,
        "repeats": config.repeats,
        "generation": _generation(task, loaded.name),
        "filters": scores.filters(task),
        "metrics": [scores.display(m, f) for m, f in scores.declared(task)],
        "config_sha256": digest([{k: _plain(v) for k, v in fields.items()}]),
    }


def _plain(value: Any) -> Any:
    """Dataclasses of lm-eval (FewshotConfig) as mappings."""
    return vars(value) if hasattr(value, "__dataclass_fields__") else value


def _pool(task: Any) -> list[Any]:
    sampler = getattr(task, "sampler", None)
    return list(sampler.df) if sampler is not None else []


def _generation(task: Any, name: str) -> Json:
    if task.OUTPUT_TYPE != "generate_until":
        return None
    return canonical(generation(task.config.generation_kwargs or {}, name))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_group(group: Any) -> dict[str, Json]:
    """Version, members and aggregation of one group."""
    wanted = [
        {"metric": a.metric, "filters": a.filter_list, "weight_by_size": a.weight_by_size}
        for a in group.aggregate_metric_list or ()
    ]
    tasks = [t.task_name for t in group.get_all_tasks()]
    return {"version": group.version, "tasks": tasks, "aggregate": wanted}
