"""What speaks against a run's figures: limited runs, damaged evidence.

Whoever publishes, gates or claims asks here, and words the answer for its own reader.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from evalkit.types import Run

__all__ = ["Damage", "damages", "doubts"]


@dataclass(frozen=True)
class Damage:
    """A finding that makes figures unfit for publication."""

    model: str
    entry: str
    """Benchmark entry whose evidence it is about."""
    message: str


def damages(run: Run, models: Collection[str] = ()) -> Iterator[Damage]:
    """Of the evidence of `models` (none: of any), in the order of the manifest."""
    for entry in run.manifest.get("evidence", ()):
        model = str(entry.get("model"))
        if models and model not in models:
            continue
        for finding in entry.get("findings", ()):
            if finding.get("damaged"):
                yield Damage(model, str(entry.get("entry")), str(finding.get("message")))


def doubts(run: Run, models: Collection[str] = ()) -> list[str]:
    """Why figures of `models` (none: of any) should not be published; empty where they may be."""
    limit = run.manifest.get("limit")
    found = [] if limit is None else [f"limited to {limit} samples per task"]
    found += [
        f"damaged evidence of {d.model}, {d.entry}: {d.message}" for d in damages(run, models)
    ]
    named = found or any(damages(run))
    if not named and not run.manifest.get("publishable", True):
        found.append("its manifest says that it is not publishable")
    return found
