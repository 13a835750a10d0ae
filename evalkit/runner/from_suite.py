"""From a suite to its sealed run: the pipeline with its parts assembled and its cache open."""

from __future__ import annotations

from pathlib import Path

from evalkit import store
from evalkit.core.specs import Suite
from evalkit.runner.assemble import Origin, assemble
from evalkit.runner.pipeline import Result, run
from evalkit.runner.progress import Progress
from evalkit.runner.selection import Selection

__all__ = ["run_suite"]


def run_suite(
    suite: Suite,
    origin: Origin,
    progress: Progress,
    selection: Selection | None = None,
    out: Path | None = None,
) -> Result:
    """Run `suite`, or go on with its run; samples that failed before are asked again.

    Args:
        suite: Checked.
        origin: Where it came from.
        progress: Told what happens.
        selection: Part of the suite; None: all of it.
        out: Run folder; None: reports/<suite>/<run id> in the workspace.

    Raises:
        EvalkitError: What ended the run early; everything finished is stored.
    """
    with store.CompletionStore(origin.state / "cache.sqlite") as cache:
        job = assemble(suite, origin, selection or Selection(), cache, say=progress.step)
        return run(job, out, retry_failed=True, progress=progress)
