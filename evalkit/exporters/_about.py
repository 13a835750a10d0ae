"""What formats that name a run's parts share: models, benchmark entries, when it began.

Read leniently, as reports do: an old manifest without some key still exports, without that part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from evalkit.core import Estimate, Json, Run
from evalkit.core.frames import encodable
from evalkit.errors import ExportError
from evalkit.store import started

__all__ = [
    "add",
    "began",
    "declared",
    "description",
    "entries",
    "figures_of",
    "file_part",
    "measured",
    "model_entry",
    "repository",
    "shots",
    "text",
]

_UNSAFE = re.compile(r"[/\\:\x00-\x1f\x7f]")
PUBLISHED = "published"
"""`Estimate.method` of a figure that is someone else's."""


def measured(run: Run) -> list[str]:
    """Models with figures that are not someone else's, in order."""
    return list(dict.fromkeys(row.model for row in run.estimates if row.method != PUBLISHED))


def figures_of(run: Run, model: str, entry: str) -> list[Estimate]:
    """A model's figures of a benchmark entry but those that someone else published."""
    return [
        row
        for row in run.estimates
        if (row.model, row.benchmark) == (model, entry) and row.method != PUBLISHED
    ]


def entries(run: Run) -> dict[str, Mapping[str, Json]]:
    """Benchmark entries of the manifest by name."""
    return {str(entry.get("name")): entry for entry in run.manifest.get("benchmarks", ())}


def description(run: Run, entry: str) -> Mapping[str, Json]:
    """What a benchmark entry says of itself: `Benchmark.describe()`."""
    found: Mapping[str, Json] = entries(run).get(entry, {}).get("description", {})
    return found


def declared(run: Run, entry: str, task: str) -> Sequence[Mapping[str, Json]]:
    """A task's metrics as its benchmark declares them; none for a group of tasks."""
    found: Sequence[Mapping[str, Json]] = (
        entries(run).get(entry, {}).get("tasks", {}).get(task, {}).get("metrics", ())
    )
    return found


def shots(task: Mapping[str, Json]) -> Json:
    """Worked examples in the prompt, from what a benchmark says of a task; None: not said."""
    return task.get("shots", task.get("num_fewshot"))


def model_entry(run: Run, model: str) -> Mapping[str, Json]:
    """A model's entry of the manifest; empty where it has none."""
    found = (e for e in run.manifest.get("models", ()) if e.get("name") == model)
    return next(found, {})


def repository(run: Run, model: str) -> str | None:
    """The hub repository a model was taken from: its adapter's, else its own; None: elsewhere."""
    provenance = model_entry(run, model).get("provenance", {})
    place = provenance.get("adapter") or provenance.get("source") or {}
    found = place.get("repo")
    return found if isinstance(found, str) else None


def began(run: Run) -> datetime | None:
    """When the run's first session began, in UTC; None where nothing had to be asked."""
    seconds = started(run.folder)
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def text(value: Json) -> Json:
    """`value` with every text as UTF-8 can hold it."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, Mapping):
        return {str(encodable(str(k))): text(v) for k, v in value.items()}
    if isinstance(value, Sequence):
        return [text(v) for v in value]
    return value


def file_part(name: str) -> str:
    """`name` as part of a path on any system."""
    found = _UNSAFE.sub("_", str(encodable(name)))
    return "_" + found[1:] if found.startswith(".") else found or "_"


def add(files: dict[str, bytes], name: str, content: bytes) -> None:
    """Put a file in; two of one name (the same model and benchmark in two runs) are an error."""
    if name in files:
        raise ExportError(
            f"{name!r} would be written twice: several runs have the same model and benchmark; "
            f"export them one by one"
        )
    files[name] = content
