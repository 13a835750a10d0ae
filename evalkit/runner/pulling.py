"""Which public data a suite needs, and a copy of it for a machine without network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from evalkit import data, plugins
from evalkit import suite as suites
from evalkit.core import Json
from evalkit.core.protocols import DataPlaces
from evalkit.core.specs import Suite
from evalkit.runner.assemble import Origin, build_benchmarks, data_places, mirrors
from evalkit.runner.known import is_asked, needed_files
from evalkit.runner.selection import Selection

__all__ = ["data_needs", "pull"]


def data_needs(named: str | None) -> tuple[DataPlaces, list[str] | None]:
    """Where data is looked up for a suite, and the names of what it needs.

    Without a suite: the environment's places, and None.  Raises SuiteError.
    """
    if named is None:
        origin = Origin("", Path.cwd(), suites.find_workspace(), ())
        return mirrors(None, origin), None
    path = suites.locate(named)
    suite = suites.load(path, (), plugins)
    origin = Origin(named, path.parent, suites.find_workspace(named), ())
    return data_places(suite, origin), _needs(suite, origin)


def _needs(suite: Suite, origin: Origin) -> list[str]:
    """Names of every public data set that a run of `suite` would read."""
    models = Selection().compared(suite)
    found: list[str] = []
    for benchmark, spec in zip(build_benchmarks(suite, origin), suite.benchmarks, strict=True):
        if any(is_asked(suite, model, spec) for model in models):
            found += benchmark.data_needs()
    found += [name for name in needed_files(suite) if not (origin.root / name).is_file()]
    return list(dict.fromkeys(found))


def pull(named: str, folder: Path) -> Iterator[dict[str, Json]]:
    """Copy what suite `named` needs into `folder`; yields name, from, bytes, licence of each.

    What is there already is verified and kept.

    Raises:
        SuiteError: the suite is wrong.
        DataError: something cannot be had, or is not what its name says.
    """
    suites.locate(named)
    folder.mkdir(parents=True, exist_ok=True)  # EVALKIT_DATA may name it already
    places, names = data_needs(named)
    assert names is not None
    there = DataPlaces((folder, *places.mirrors), folder)
    for name in names:
        if name.startswith("hub:"):
            yield _pull_hub(name, folder, there)
            continue
        entry = data.entry(name)
        found = data.resolve(name, there)
        path = found.path
        if not path.is_relative_to(folder):
            path = folder / entry.mirror
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found.path, path)
        yield {
            "name": name,
            "from": entry.origin if found.source in ("url", "hub") else found.source,
            "bytes": path.stat().st_size,
            "sha256": found.sha256,
            "licence": entry.licence,
        }


def _pull_hub(name: str, folder: Path, places: DataPlaces) -> dict[str, Json]:
    """The official copy where the hub answers, else the converted files of a mirror."""
    kept = data.pulled(name, folder)
    source = "mirror"
    if kept is None and data.missing([name], DataPlaces()) == []:
        kept, source = data.pull_hub(name, folder), "hub"
    if kept is None:
        files = data.copy_local(name, places, folder)
        size = sum(path.stat().st_size for path in files)
        return {"name": name, "from": "mirror", "bytes": size, "licence": ""}
    size = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file())
    return {"name": name, "from": source, "bytes": size, "licence": ""}
