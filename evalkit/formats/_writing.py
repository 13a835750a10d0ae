"""What writers share: which runs and models, what may be published, names and text of files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from pathlib import Path

from pydantic import ValidationError

from evalkit import draw, plugins
from evalkit.comparison.cautions import doubts
from evalkit.comparison.health import unfit, unvalidated
from evalkit.core.figures import Figure
from evalkit.core.frames import encodable
from evalkit.core.protocols import Exported, Exporter
from evalkit.core.requests import Json
from evalkit.core.run import Run
from evalkit.core.specs import ExportSpec
from evalkit.errors import ExportError
from evalkit.store import started, write_file

__all__ = [
    "add",
    "began",
    "export",
    "figures_of",
    "file_part",
    "folders",
    "json_bytes",
    "judging",
    "measured",
    "moment",
    "settings",
    "text",
    "write",
]

_UNSAFE = re.compile(r"[/\\:\x00-\x1f\x7f]")


# --- from a format's name and a user's settings to files ----------------------------------------


def settings(kind: str, given: Mapping[str, Json]) -> ExportSpec:
    """The spec of the format called `kind`.

    Raises:
        ExportError: a setting it does not have, or a value that does not fit.
        UnknownTypeError: no such format.
    """
    spec = plugins.find("formats", kind).spec
    assert spec is not None
    assert issubclass(spec, ExportSpec)
    try:
        return spec.model_validate({**given, "format": kind})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        common = set(ExportSpec.model_fields)
        own = {n: f.description for n, f in spec.model_fields.items() if n not in common}
        choices = "; ".join(f"{n}: {about}" for n, about in own.items()) or "none"
        wrong = f"setting {name!r} of {kind}: {first['msg']} (got {first['input']!r})"
        if first["type"] == "missing":
            wrong = f"setting {name!r} of {kind}: needed"
        elif not name:  # of several settings together
            wrong = f"{kind}: {first['msg'].removeprefix('Value error, ')}"
        raise ExportError(f"{wrong}; settings, as --set NAME=VALUE: {choices}") from None


def export(runs: Sequence[Run], spec: ExportSpec) -> Exported:
    """Runs in the format of `spec`; see `settings`.

    Raises:
        ExportError: a run is not finished, may not be published, or has nothing of that format; a
            model that is in none of them.
        UnknownTypeError: no such format.
    """
    exporter: Exporter = plugins.find("formats", spec.format).cls(spec)
    for run in runs:
        if not run.manifest.sealed:
            raise ExportError(
                f"{run.folder}: this run is not finished; run the same command again, then export"
            )
    names = {id(run): _models(run) for run in runs}
    known = dict.fromkeys(name for found in names.values() for name in found)
    for name in spec.models:
        if name not in known:
            raise ExportError(
                f"no model {name!r} in {folders(runs)}; expected one of "
                f"{', '.join(known) or 'none: there are no figures'}"
            )
    chosen = [run for run in runs if not spec.models or set(spec.models) & set(names[id(run)])]
    for run in chosen if exporter.publishes and not spec.allow_unpublishable else ():
        reasons = doubts(run, spec.models)
        if reasons:
            more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
            raise ExportError(
                f"{run.folder}: {reasons[0]}{more}, so its figures should not be published as "
                f"{spec.format}; correct that, or write it all the same, marked, with "
                f"--allow-unpublishable"
            )
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


def _models(run: Run) -> list[str]:
    """Those with records or figures."""
    found = [record.model for record in run.records] + [figure.model for figure in run.figures]
    return list(dict.fromkeys(found))


def _narrowed(run: Run, models: Sequence[str]) -> Run:
    """What a run has of `models`, and comparisons with one of them on either side."""
    if not models:
        return run
    wanted = set(models)
    return replace(
        run,
        records=tuple(r for r in run.records if r.model in wanted),
        figures=tuple(f for f in run.figures if f.model in wanted),
        comparisons=tuple(c for c in run.comparisons if {c.candidate, c.baseline} & wanted),
    )


# --- for writers --------------------------------------------------------------------------------


def measured(run: Run) -> list[str]:
    """Models with figures that are not someone else's, in order."""
    return list(dict.fromkeys(f.model for f in run.figures if not f.published))


def figures_of(run: Run, model: str, entry: str) -> list[Figure]:
    """A model's figures of a benchmark entry but those that someone else published."""
    mine = (f for f in run.figures if (f.model, f.key.benchmark) == (model, entry))
    return [f for f in mine if not f.published]


def began(run: Run) -> datetime | None:
    """When the run's first session began, in UTC; None where nothing had to be generated."""
    seconds = started(run.folder)
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def moment(run: Run, day: date | None) -> datetime:
    """When it was measured, in UTC: `day` where it is given, else when the run began.

    Raises ExportError where neither says so.
    """
    found = began(run) if day is None else datetime.combine(day, time(), UTC)
    if found is None:
        raise ExportError(
            f"{run.folder}: no session says when this was measured, and the format wants a "
            f"time; add --set date=YYYY-MM-DD"
        )
    return found


def judging(run: Run, entry: str) -> str:
    """Why figures of a benchmark's judges are not published; empty where they may be."""
    if judge := unvalidated(run, entry):
        return f"judged by {judge}, a model of the same suite: such figures are not for publication"
    return draw.unfit_text(unfit(run, entry))


def folders(runs: Sequence[Run]) -> str:
    """Where they are, for messages."""
    return ", ".join(str(run.folder) for run in runs)


def text(value: Json) -> Json:
    """`value` with every text as UTF-8 can hold it."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, Mapping):
        return {str(encodable(str(k))): text(v) for k, v in value.items()}
    if isinstance(value, Sequence):
        return [text(v) for v in value]
    return value


def json_bytes(value: Json, indent: int | None = None) -> bytes:
    """JSON as a file has it: UTF-8, a line break at the end."""
    return (json.dumps(text(value), indent=indent, ensure_ascii=False) + "\n").encode()


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
