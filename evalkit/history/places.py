"""Which runs there are, and the checkpoints in them, in the order of training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evalkit import store
from evalkit.core import Json, Run
from evalkit.errors import DataError
from evalkit.history.order import Step, natural_key, step_of

__all__ = ["Checkpoint", "Found", "checkpoints", "find_runs"]


@dataclass(frozen=True)
class Checkpoint:
    """One model of one run."""

    label: str
    """As tables show it: unique among the checkpoints."""
    run: Run
    model: str
    """Name in the run."""
    step: Step | None
    """None: neither name nor path tells it."""
    time: float | None
    """Unix time at which the run's first session began."""


@dataclass(frozen=True)
class Found:
    """What a search found."""

    checkpoints: tuple[Checkpoint, ...]
    """In order."""
    notes: tuple[str, ...] = field(default=())
    """What was left out, and what the order rests on where that is not plain steps."""


def find_runs(places: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """Runs in `places`: run folders, or folders searched for some; each run once.

    Returns:
        The sealed runs, and a note for each run that was found and left out.

    Raises:
        DataError: a place is not there or holds no run, or a run that was named is damaged.
    """
    runs: dict[Path, Run] = {}
    notes: list[str] = []
    for place in places:
        for folder in store.run_folders(place):
            key = folder.resolve()
            if key in runs:
                continue
            try:
                runs[key] = store.read_run(folder)
            except DataError as error:
                if folder == place:
                    raise
                notes.append(f"left out: {error}")
    whole = [run for run in runs.values() if run.manifest.get("sealed")]
    for run in runs.values():
        if not run.manifest.get("sealed"):
            notes.append(f"left out: {run.folder} is not finished; run its suite again")
    return whole, notes


def checkpoints(runs: Sequence[Run], model: str | None = None) -> Found:
    """The checkpoints in `runs`: their candidates, or the model called `model`.

    Ordered by training step where every name or path tells one; those that tell none come last,
    by the time of their run.  Where some tell steps and others epochs, all are ordered by time.

    Raises:
        DataError: no run has such a model.
    """
    found = [c for run in runs for c in _of(run, model)]
    if not found:
        wanted = f"model {model!r}" if model else "a candidate"
        has = sorted({name for run in runs for name in _asked(run)})
        raise DataError(
            f"none of {len(runs)} runs has {wanted}; expected one of: {', '.join(has) or 'none'} "
            f"(choose it with --model)"
        )
    kinds = {c.step.kind for c in found if c.step is not None}
    notes: list[str] = []
    if len(kinds) > 1:
        notes.append("some checkpoints tell steps and others epochs: ordered by time of their runs")
        found.sort(key=_by_time)
    else:
        found.sort(key=lambda c: (c.step is None, c.step.value if c.step else 0.0, _by_time(c)))
        notes += _order_notes(found)
    return Found(tuple(_labelled(found)), tuple(notes))


def _by_time(checkpoint: Checkpoint) -> tuple[object, ...]:
    time = checkpoint.time
    name = natural_key(f"{checkpoint.label} {checkpoint.run.folder}")
    return (time is None, 0.0 if time is None else time, name)


def _order_notes(found: Sequence[Checkpoint]) -> Iterator[str]:
    unknown = [c.label for c in found if c.step is None]
    if unknown and len(found) > 1:
        where = "all" if len(unknown) == len(found) else "last,"
        yield (
            f"no training step in the name or path of {_some(unknown)}: {where} ordered by time "
            f"of their runs"
        )
    for step, n in Counter(str(c.step) for c in found if c.step is not None).items():
        if n > 1:
            yield f"{n} checkpoints at step {step}: ordered by time of their runs"
    untimed = [c.label for c in found if c.time is None and c.step is None]
    if untimed and len(found) > 1:
        yield f"no time is known of {_some(untimed)}: ordered by name"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _of(run: Run, model: str | None) -> Iterator[Checkpoint]:
    time = store.started(run.folder)
    for entry in run.manifest.get("models", ()):
        name = str(entry.get("name"))
        if name == model if model else entry.get("role") == "candidate":
            names = list(_names(run, entry))
            yield Checkpoint(_label(name, names), run, name, step_of(names), time)


def _asked(run: Run) -> list[str]:
    return [str(entry.get("name")) for entry in run.manifest.get("models", ())]


def _names(run: Run, entry: Json) -> Iterator[str]:
    """What may tell the step, surest first."""
    name = str(entry.get("name"))
    yield name
    provenance = entry.get("provenance") or {}
    spec = run.manifest.get("suite", {}).get("models", {}).get(name) or {}
    for holder in (provenance.get("adapter"), provenance.get("source"), spec):
        for key in ("adapter", "path", "name"):
            value = holder.get(key) if isinstance(holder, dict) else None
            if isinstance(value, str):
                yield value
    yield run.folder.name


def _label(name: str, names: Sequence[str]) -> str:
    """The part of a name or path that tells the step, else the model's name."""
    told = next((text for text in names if step_of([text])), None)
    if told is None:
        return name
    return next(part for part in reversed(told.replace("\\", "/").split("/")) if step_of([part]))


def _labelled(found: Sequence[Checkpoint]) -> Iterator[Checkpoint]:
    """With labels that are unique: as they are, else with the run's id, else numbered."""
    plain = [c.label for c in found]
    with_run = [f"{c.label} ({str(c.run.manifest.get('run_id'))[:8]})" for c in found]
    numbered = [f"{c.label} ({i})" for i, c in enumerate(found, 1)]
    labels = next((ls for ls in (plain, with_run) if len(set(ls)) == len(ls)), numbered)
    for checkpoint, label in zip(found, labels, strict=True):
        yield Checkpoint(label, checkpoint.run, checkpoint.model, checkpoint.step, checkpoint.time)
