"""Benchmarks that a model of the suite judged: a weak judge, and not an independent one.

What such a judge says shows that everything works, not how good a model is.  Whoever publishes
asks here, and words the answer for its own reader.
"""

from __future__ import annotations

from evalkit.types import Run

__all__ = ["weak_judges"]


def weak_judges(run: Run) -> dict[str, str]:
    """The judge by benchmark entry, where the run's manifest calls it a model of the suite."""
    local = {str(j.get("name")) for j in run.manifest.get("judges", ()) if j.get("local")}
    if not local:
        return {}
    found = {
        str(entry.get("name") or entry.get("type")): str(entry.get("judge"))
        for entry in run.manifest.get("suite", {}).get("benchmarks", ())
        if str(entry.get("judge")) in local
    }
    for record in run.records:
        for judgment in record.outcome.judgments:
            if judgment.judge in local:
                found[record.benchmark] = judgment.judge
    return found
