"""A finished run is found again without being assembled: from the state of all that decided it.

Assembling a run to learn its id builds every task and looks at every weight: half a minute for
nothing, where the run is finished.  So a finished run leaves a stamp in the workspace, under a key
of the suite, the options, the program and its environment.  The stamp holds the state (size, times)
of every file that was read, and of the run's own.  Where anything differs, or cannot be told from
this machine alone, there is no stamp, and the run is assembled as ever.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import TypeAlias

from evalkit import data, store
from evalkit.core import Json
from evalkit.core.protocols import DataPlaces, ReadsFiles
from evalkit.core.specs import ModelSpec, Suite
from evalkit.errors import EvalkitError, StoreError
from evalkit.runner.assemble import Job, Origin, Selection, data_places
from evalkit.runner.known import needed_files
from evalkit.runner.manifest import versions

__all__ = ["recall", "remember"]

_MOST_FILES = 5_000
"""More are not watched: then there is no stamp."""
State: TypeAlias = list[int]
"""Size in bytes; modification and change of a file or folder, ns; empty: there is none."""


def recall(suite: Suite, origin: Origin, selection: Selection, out: Path | None) -> Path | None:
    """The folder of the finished run that these make, if nothing has changed since; else None."""
    try:
        stamp = json.loads(_stamp(suite, origin, selection, out).read_bytes())
        files: dict[str, State] = stamp["files"]
        same = all(_state(Path(name)) == state for name, state in files.items())
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return Path(stamp["folder"]) if same else None


def remember(job: Job, selection: Selection, out: Path | None, folder: Path, began: float) -> None:
    """Leave a stamp of the run in `folder`, which is complete; `began`: Unix time of the session.

    There is none where a file was changed during the session, where the suite's author's code is
    run, and where a model or data set of a hub may move.
    """
    suite, origin = job.suite, job.origin
    if _runs_code(suite) or not all(_is_fixed(spec, origin) for spec in suite.models.values()):
        return
    try:
        read = list(islice(_read(job), _MOST_FILES + 1))
    except EvalkitError:
        return
    states = {str(path.absolute()): _state(path) for path in read}
    newest = max((time for state in states.values() for time in state[1:]), default=0)
    if len(read) > _MOST_FILES or newest >= began * 1e9:
        return
    states |= {str(path.absolute()): _state(path) for path in folder.iterdir() if path.is_file()}
    stamp = {"folder": str(folder.absolute()), "files": states}
    with suppress(StoreError):  # a read-only workspace: the next run is assembled, too
        store.write_file(_stamp(suite, origin, selection, out), json.dumps(stamp).encode())


def _state(path: Path) -> State:
    try:
        found = path.stat()
    except FileNotFoundError:
        return []
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _stamp(suite: Suite, origin: Origin, selection: Selection, out: Path | None) -> Path:
    """Where the stamp is."""
    named = {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(("EVALKIT_", "HF_")) or name.endswith("_BASE_URL")
    }
    package = Path(__file__).resolve().parents[1]
    program = [[p.name, *_state(p)[:2]] for p in sorted(package.rglob("*.*")) if p.suffix != ".pyc"]
    key = {
        "suite": suite.decisive(),
        "report": suite.report.model_dump(mode="json"),
        "card": suite.card.model_dump(mode="json"),
        "label": origin.label,
        "root": str(origin.root.resolve()),
        "limit": selection.limit,
        "out": None if out is None else str(out.absolute()),
        "environment": named,
        "program": program,
        "versions": dict(versions()),
        "python": platform.python_version(),
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return origin.state / "finished" / f"{digest[:32]}.json"


def _runs_code(suite: Suite) -> bool:
    """Whether a type of the suite is code of its author, which may read and import anything."""
    types = [suite.engine.type, *(m.engine.type for m in suite.models.values() if m.engine)]
    return any("." in name for name in (*types, *(spec.type for spec in suite.benchmarks)))


def _is_fixed(spec: ModelSpec, origin: Origin) -> bool:
    """Whether its weights are on this machine, or at a commit of a hub."""
    from evalkit.models.sources import is_commit, on_hub

    given = [(spec.path, spec.revision), (spec.base, spec.base_revision)]
    given += [(spec.adapter, spec.adapter_revision)]
    named = [(reference, revision) for reference, revision in given if reference is not None]
    return all(is_commit(rev) or not on_hub(ref, origin.root) for ref, rev in named)


def _read(job: Job) -> Iterator[Path]:
    """Files and folders that were read: those that the suite names, and the benchmarks' data.

    Raises DataError where recorded evidence is not here: it may come.
    """
    from evalkit.models.sources import local_path, resolve

    suite, origin = job.suite, job.origin
    for name in {*_texts(suite.model_dump(mode="json"))}:
        if name.startswith("package://"):
            yield resolve(name, None, origin.root).path
            continue
        place = local_path(name, origin.root)
        with suppress(OSError, ValueError):
            if place.exists():
                yield from _within(place)
    places = data_places(suite, origin)
    for name in needed_files(suite):
        if not (origin.root / name).is_file():
            yield data.evidence(name, origin.root, DataPlaces(places.mirrors)).path
    types = {spec.type for spec in suite.benchmarks}
    for entry in data.entries().values():
        if entry.name.split("/")[0] in types:  # a benchmark's constants, too, which may come
            yield from data.may_lie(entry, places)
    for benchmark in job.benchmarks_run:
        if isinstance(benchmark, ReadsFiles):
            yield from benchmark.files_read()
            continue
        for name in benchmark.data_needs():
            if data.is_known(name) and (found := data.local(data.entry(name), places)):
                yield found.path


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        parts: Iterable[Json] = value.values() if isinstance(value, dict) else value
        yield from chain.from_iterable(map(_texts, parts))


def _within(place: Path) -> Iterator[Path]:
    yield place
    if place.is_dir():
        yield from place.rglob("*")
