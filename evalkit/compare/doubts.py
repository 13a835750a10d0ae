"""What speaks against a run's figures: weak judges, limited runs, damaged evidence.

Whoever compares, publishes, gates or claims asks here, and words the answer for its own reader.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from evalkit.compare.agreement import disagreements
from evalkit.core import Run

__all__ = ["Damage", "damages", "doubts", "weak_judges"]


@dataclass(frozen=True)
class Damage:
    """A finding that makes figures unfit for publication."""

    model: str
    entry: str
    """Benchmark entry whose evidence it is about."""
    message: str


def damages(run: Run, models: Collection[str] = ()) -> Iterator[Damage]:
    """Of the evidence of `models` (none: of any): what its import found, in the manifest's order.

    Then where records and stored figures say different things (`agreement`).
    """
    for entry in run.manifest.get("evidence", ()):
        model = str(entry.get("model"))
        if models and model not in models:
            continue
        for finding in entry.get("findings", ()):
            if finding.get("damaged"):
                yield Damage(model, str(entry.get("entry")), str(finding.get("message")))
    for model, name, said in disagreements(run):
        if not models or model in models:
            yield Damage(model, name, said)


def weak_judges(runs: Iterable[Run]) -> dict[str, str]:
    """The judge by benchmark entry, where a model of the suite judged.

    A model that is small enough to be evaluated agrees little with people: its scores say what it
    prefers, not which model is better.
    """
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        local = {str(j.get("name")) for j in run.manifest.get("judges", ()) if j.get("local")}
        for asked in run.manifest.get("suite", {}).get("benchmarks", ()) if local else ():
            if str(asked.get("judge")) in local:
                name = str(asked.get("name") or asked.get("type"))
                found.setdefault(name, {})[str(asked["judge"])] = None
        for record in run.records if local else ():
            for judgment in record.outcome.judgments:
                if judgment.judge in local:
                    found.setdefault(record.benchmark, {})[judgment.judge] = None
    return {entry: ", ".join(names) for entry, names in found.items()}


def doubts(run: Run, models: Collection[str] = ()) -> list[str]:
    """Why figures of `models` (none: of any) should not be published; empty where they may be."""
    limit = run.manifest.get("limit")
    found = [] if limit is None else [f"limited to {limit} samples per task"]
    found += [
        f"damaged evidence of {d.model}, {d.entry}: {d.message}" for d in damages(run, models)
    ]
    unsaid = not found and not run.manifest.get("publishable", True)
    # Last, since it reads every record: damage of other models is why, and is said with theirs.
    if unsaid and not any(damages(run)):
        found.append("its manifest says that it is not publishable")
    return found
