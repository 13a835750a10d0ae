"""Figures that are no means over samples, computed again from a stored run.

They are their benchmark's affair (`Benchmark.extra_estimates`), so the benchmark is built again
from the suite in the run's manifest; data it needs is found as a run would find it.
"""

from __future__ import annotations

from collections.abc import Sequence

from evalkit import plugins
from evalkit import suite as suites
from evalkit.core import Estimate, Run
from evalkit.errors import DataError
from evalkit.runner.assemble import Origin, build_benchmarks

__all__ = ["extra_estimates"]


def extra_estimates(run: Run, model: str, benchmark: str) -> Sequence[Estimate]:
    """Extra figures of one model on one benchmark entry, at the level of the run's own.

    Raises:
        SuiteError: the stored suite cannot be read any more (a plugin that is not installed).
        DataError: data that the figures need is not here.
    """
    label = f"{run.folder}/manifest.json"
    suite = suites.load_stored(run.manifest["suite"], label, plugins)
    origin = Origin(label, run.folder, suites.find_workspace(str(run.folder)), ())
    found = [b for b in build_benchmarks(suite, origin) if b.name == benchmark]
    if not found:
        raise DataError(f"{label}: its suite has no benchmark {benchmark!r}")
    mine = [r for r in run.records if (r.model, r.benchmark) == (model, benchmark)]
    return found[0].extra_estimates(mine, suite.report.level)
