"""Task configs as lm-eval has them: changes merged in, local data files made absolute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalkit.errors import DataError

__all__ = ["merge", "with_files"]


def with_files(
    config: Mapping[str, Any], folder: Path | None, name: str, files: dict[str, Path]
) -> dict[str, Any]:
    """`config` with absolute local data files, which are added to `files`.

    Args:
        config: a task's, or a change to it.
        folder: relative files start there; None: there are none.
        name: of the task, for messages.
        files: gets each file by the label that is shown for it.

    Raises:
        DataError: a file is not there.
    """
    kwargs = config.get("dataset_kwargs")
    if folder is None or not isinstance(kwargs, Mapping) or "data_files" not in kwargs:
        return dict(config)
    made = _absolute(kwargs["data_files"], folder, name, files)
    return {**config, "dataset_kwargs": {**kwargs, "data_files": made}}


def _absolute(value: Any, folder: Path, name: str, files: dict[str, Path]) -> Any:
    if isinstance(value, Mapping):
        return {k: _absolute(v, folder, name, files) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_absolute(v, folder, name, files) for v in value]
    if "://" in value:
        return value
    path = folder / value
    found = sorted(folder.glob(value)) if "*" in value else [path]
    if not found or not all(p.is_file() for p in found):
        raise DataError(
            f"task {name!r}: data file {value!r} does not exist in {str(folder)!r}; "
            f"data_files are relative to the folder of the task's YAML (in overrides: of the suite)"
        )
    files.update({str(value) if len(found) == 1 else p.name: p for p in found})
    return str(path)


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`change` over `base`; mappings are merged, and a None inside one removes its key."""
    merged = dict(base)
    for key, value in change.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            inner = merge(merged[key], value)
            merged[key] = {k: v for k, v in inner.items() if v is not None}
        else:
            merged[key] = value
    return merged
