"""From a format's name and a user's settings to files: what every format has in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from evalkit import plugins
from evalkit.compare.doubts import doubts
from evalkit.core import Json, Run
from evalkit.core.protocols import Exported, Exporter
from evalkit.core.specs import ExportSpec
from evalkit.errors import ExportError
from evalkit.store import write_file

__all__ = ["export", "settings", "write"]


def export(runs: Sequence[Run], spec: ExportSpec, kind: str) -> Exported:
    """Runs in the form called `kind`.

    Args:
        runs: sealed ones.
        spec: of that form; see `settings`.
        kind: a module of this room, or a dotted path.

    Raises:
        ExportError: a run is not finished, may not be published, or has nothing of that form; a
            model that is in none of them.
        UnknownTypeError: no such form.
    """
    exporter: Exporter = plugins.find("exporters", kind).cls(spec)
    for run in runs:
        if not run.manifest.get("sealed"):
            raise ExportError(
                f"{run.folder}: this run is not finished; run the same command again, then export"
            )
    chosen = _with_models(runs, spec.models)
    if exporter.publishes and not spec.allow_unpublishable:
        _refuse(chosen, kind, spec.models)
    return exporter.export([_narrowed(run, spec.models) for run in chosen])


def write(done: Exported, folder: Path) -> list[Path]:
    """Put the files into `folder`, which is made as needed; where they are.

    Raises:
        ExportError: `folder` is a file.
        StoreError: the disk is full, or the place cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise ExportError(f"{str(folder)!r} is a file; name a folder to write into")
    for name, content in done.files.items():
        write_file(folder / name, content)
    return [folder / name for name in done.files]


def settings(kind: str, given: Mapping[str, Json]) -> ExportSpec:
    """The spec of the form called `kind`.

    Raises:
        ExportError: a setting it does not have, or a value that does not fit.
        UnknownTypeError: no such form.
    """
    spec = plugins.find("exporters", kind).spec
    assert spec is not None
    assert issubclass(spec, ExportSpec)
    try:
        return spec.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        own = {n: f.description for n, f in spec.model_fields.items() if n in _own(spec)}
        choices = "; ".join(f"{n}: {about}" for n, about in own.items()) or "none"
        is_missing = first["type"] == "missing"
        wrong = "needed" if is_missing else f"{first['msg']} (got {first['input']!r})"
        raise ExportError(
            f"setting {name!r} of {kind}: {wrong}; settings, as --set NAME=VALUE: {choices}"
        ) from None


def _own(spec: type[ExportSpec]) -> set[str]:
    return set(spec.model_fields) - set(ExportSpec.model_fields)


def _refuse(runs: Sequence[Run], kind: str, models: Sequence[str]) -> None:
    for run in runs:
        reasons = doubts(run, models)
        if reasons:
            more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
            raise ExportError(
                f"{run.folder}: {reasons[0]}{more}, so its figures should not be published as "
                f"{kind}; mend that, or write it all the same, marked, with --allow-unpublishable"
            )


def _with_models(runs: Sequence[Run], models: Sequence[str]) -> Sequence[Run]:
    """Runs that have one of `models`; all where none are named."""
    known = list(dict.fromkeys(name for run in runs for name in _names(run)))
    for name in models:
        if name not in known:
            raise ExportError(
                f"no model {name!r} in {', '.join(str(run.folder) for run in runs)}; expected "
                f"one of {', '.join(known) or 'none: there are no figures'}"
            )
    return [run for run in runs if not models or set(models) & set(_names(run))]


def _names(run: Run) -> list[str]:
    found = [record.model for record in run.records] + [row.model for row in run.estimates]
    return list(dict.fromkeys(found))


def _narrowed(run: Run, models: Sequence[str]) -> Run:
    """What a run has of `models`, and comparisons with one of them on either side."""
    if not models:
        return run
    wanted = set(models)
    return replace(
        run,
        records=tuple(r for r in run.records if r.model in wanted),
        estimates=tuple(e for e in run.estimates if e.model in wanted),
        comparisons=tuple(c for c in run.comparisons if {c.candidate, c.baseline} & wanted),
    )
