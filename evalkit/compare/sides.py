"""Who is compared with whom: models found by name in one run or several.

A side is one model's records, benchmark by benchmark, from whichever runs have them.  `MODEL`
names it where that is enough, `RUN:MODEL` where several runs have the same benchmark of it; a
run goes by its folder, the folder's last part, or its run id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evalkit.compare.headline import averages_of_entry
from evalkit.core import Json, Metric, Record, Run
from evalkit.core.protocols import Average
from evalkit.errors import ComparisonError

__all__ = [
    "Part",
    "Side",
    "averages_of",
    "by_role",
    "find",
    "fingerprint_of",
    "metrics_of",
    "names",
    "pick",
    "run_names",
]


@dataclass(frozen=True)
class Part:
    """One model's records of one benchmark entry in one run."""

    run: Run
    model: str
    benchmark: str

    @property
    def records(self) -> tuple[Record, ...]:
        """In canonical order."""
        wanted = (self.model, self.benchmark)
        return tuple(r for r in self.run.records if (r.model, r.benchmark) == wanted)


@dataclass(frozen=True)
class Side:
    """One side of a comparison."""

    label: str
    """As tables show it."""
    parts: Mapping[str, Part]
    """By benchmark entry."""
    repeats: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)
    """By benchmark entry, all runs of it where several are wanted; the first is the part's."""


def names(runs: Sequence[Run]) -> list[str]:
    """Models with records, in order."""
    return list(dict.fromkeys(name for run in runs for name in _models(run)))


def by_role(runs: Sequence[Run], role: str) -> list[str]:
    """Names of the models that the runs' suites give a role, and that have records."""
    return [name for name in names(runs) if any(_role(run, name) == role for run in runs)]


def pick(
    runs: Sequence[Run], candidate: str | None, baselines: Sequence[str]
) -> tuple[str, list[str]]:
    """The candidate and the baselines: as named, else as the runs' suites say.

    Raises:
        ComparisonError: no candidate or no baseline is named, and the suites name none or several
            candidates.
    """
    if candidate is None:
        found = [name for name in by_role(runs, "candidate") if name not in baselines]
        if len(found) != 1:
            raise ComparisonError(
                f"{len(found)} candidates in {_folders(runs)}: {', '.join(found) or 'none'}; say "
                f"which with --candidate (models: {', '.join(names(runs))})"
            )
        candidate = found[0]
    chosen = list(baselines) or [n for n in by_role(runs, "baseline") if n != candidate]
    if not chosen:
        raise ComparisonError(
            f"no baseline in {_folders(runs)}; say which with --baseline (models: "
            f"{', '.join(name for name in names(runs) if name != candidate) or 'no other'})"
        )
    return candidate, chosen


def find(runs: Sequence[Run], wanted: str, *, repeats: bool = False) -> Side:
    """The side a name stands for.

    Args:
        runs: Where to look.
        wanted: `MODEL` or `RUN:MODEL`.
        repeats: Several runs of a benchmark repeat one measurement (a run given twice counts
            once); else they are ambiguous.

    Raises:
        ComparisonError: nothing has that name, or two runs have the same benchmark of it.
    """
    if any(wanted in _models(run) for run in runs):
        return _side(wanted, wanted, runs, repeats=repeats)
    place, colon, model = wanted.rpartition(":")
    chosen = [run for run in runs if colon and place in run_names(run)]
    if any(model in _models(run) for run in chosen):
        return _side(wanted, model, chosen)
    choices = ", ".join(names(runs)) or "none: no run has records"
    if any(_role(run, wanted) == "published" for run in runs):
        raise ComparisonError(
            f"{wanted!r} is known by its published figures only, and without scores of single "
            f"samples there is no paired difference; import its judgments or samples with "
            f"`evalkit import`, or compare with one of: {choices}"
        )
    raise ComparisonError(
        f"model {wanted!r} has no records in {_folders(runs)}; expected one of: {choices}; "
        f"or RUN:MODEL with a run's folder or id"
    )


def _side(label: str, model: str, runs: Sequence[Run], *, repeats: bool = False) -> Side:
    found: dict[str, list[Part]] = {}
    for run in runs:
        for benchmark in dict.fromkeys(r.benchmark for r in run.records if r.model == model):
            if benchmark in found and not repeats:
                first = found[benchmark][0].run.folder
                raise ComparisonError(
                    f"{model!r} has {benchmark!r} in both {first} and {run.folder}; say which: "
                    f"{first.name}:{model} or {run.folder.name}:{model}; or, if they repeat one "
                    f"measurement, --repeats"
                )
            places = {part.run.folder.resolve() for part in found.get(benchmark, ())}
            if run.folder.resolve() not in places:
                found.setdefault(benchmark, []).append(Part(run, model, benchmark))
    parts = {name: several[0] for name, several in found.items()}
    return Side(label, parts, {name: tuple(several) for name, several in found.items()})


def _models(run: Run) -> list[str]:
    return list(dict.fromkeys(record.model for record in run.records))


def _role(run: Run, model: str) -> str | None:
    specs = run.manifest.get("suite", {}).get("models", {})
    return next(
        (str(e.get("role")) for e in run.manifest.get("models", ()) if e.get("name") == model),
        specs.get(model, {}).get("role"),
    )


def run_names(run: Run) -> set[str]:
    """What may stand for the run in `RUN:MODEL`."""
    folder = Path(run.folder)
    return {str(folder), str(folder.resolve()), folder.name, str(run.manifest.get("run_id"))}


def _folders(runs: Iterable[Run]) -> str:
    return ", ".join(str(run.folder) for run in runs)


def metrics_of(part: Part) -> dict[str, tuple[Metric, ...]]:
    """Metrics of each task of a part's benchmark, as its run's manifest has them."""
    return {
        task: tuple(Metric(**_fields(m)) for m in described.get("metrics", ()))
        for task, described in _entry(part).get("tasks", {}).items()
    }


def fingerprint_of(part: Part) -> str | None:
    """Of the model that answered; None where the run does not say (imports, pinned baselines)."""
    entries: Sequence[Mapping[str, Json]] = part.run.manifest.get("models", ())
    found = next((e for e in entries if e.get("name") == part.model), {})
    mark = found.get("fingerprint")
    return None if mark is None else str(mark)


def averages_of(part: Part) -> tuple[Average, ...]:
    """Averages over the tasks of a part's benchmark, as its run's manifest declares them."""
    return averages_of_entry(_entry(part))


def _entry(part: Part) -> Mapping[str, Json]:
    entries: Iterator[Mapping[str, Json]] = iter(part.run.manifest.get("benchmarks", ()))
    return next((e for e in entries if e.get("name") == part.benchmark), {})


def _fields(described: Mapping[str, Json]) -> dict[str, Json]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in described.items()}
