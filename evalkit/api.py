"""The library's functions; the commands do the same by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evalkit import extensions, runner, store
from evalkit import suite as suites
from evalkit.specs import Suite
from evalkit.types import Run

__all__ = ["load_run", "load_suite", "run"]


def load_suite(path: str | Path, overrides: Sequence[str] = ()) -> Suite:
    """Read and check a suite.

    Args:
        path: A YAML file, or the name of a bundled suite.
        overrides: Changes as `a.b=c`.

    Raises:
        SuiteError: Everything that is wrong with it.
    """
    return suites.load(suites.locate(str(path)), overrides, extensions)


def run(path: str | Path, limit: int | None = None, out: Path | None = None) -> Run:
    """Run a suite to its report, silently; goes on where an earlier call was interrupted.

    Args:
        path: A YAML file, or the name of a bundled suite.
        limit: First samples of each task; None: all.
        out: Run folder; None: reports/<suite>/<run id> in the workspace.

    Raises:
        EvalkitError: What ended the run early; everything finished is stored.
    """
    file = suites.locate(str(path))
    workspace = suites.find_workspace(str(path))
    origin = runner.Origin(str(path), file.parent, workspace, ("evalkit", "run", str(path)))
    with store.CompletionStore(origin.state / "cache.sqlite") as cache:
        chosen = runner.Selection(limit=limit)
        job = runner.assemble(load_suite(path), origin, chosen, cache)
        return runner.run(job, out, retry_failed=True, progress=runner.Silent()).run


def load_run(folder: str | Path) -> Run:
    """Read a run folder.  Raises DataError or StoreError."""
    return store.read_run(Path(folder))
