"""The figures of one or several runs, as a card needs them: whose, made how, from which source.

    runs ─ gather ─▶ Material: the candidate, and Blocks of Figures that were made alike

Figures of one benchmark entry that were made differently (compare's guard says so) are different
blocks, shown apart.  The same figure twice with different values is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from evalkit.compare.doubts import doubts, weak_judges
from evalkit.compare.old_guard import differences
from evalkit.compare.sides import Part
from evalkit.compare.words import benchmark_label
from evalkit.core import Estimate, Json, Metric, Run
from evalkit.draw import figure
from evalkit.errors import CardError

__all__ = ["Block", "Figure", "Material", "Stated", "gather", "unpublishable"]

PUBLISHED = "published"
"""`Estimate.method` of a figure that someone else measured."""


@dataclass(frozen=True)
class Stated:
    """What is said of a figure that was not computed from samples here."""

    source: str
    date: str = ""
    settings: str = ""
    row: str = ""
    """Name of its row, where the source is a leaderboard's table."""


@dataclass(frozen=True)
class Figure:
    """One number of one model."""

    run: Run
    kind: str
    """Type of the benchmark."""
    estimate: Estimate
    metric: Metric
    description: Mapping[str, Json]
    """What decided it, as the manifest has it; for published figures of the benchmark."""
    stated: Stated | None
    """None: computed from samples."""
    weak_judge: str = ""
    """The model of the same suite that judged; empty where none did."""

    @property
    def is_published(self) -> bool:
        """Someone else measured it; its settings are theirs."""
        return self.estimate.method == PUBLISHED

    @property
    def suite_entry(self) -> Mapping[str, Json]:
        """The benchmark's entry in the suite."""
        for spec in self.run.manifest.get("suite", {}).get("benchmarks", ()):
            if (spec.get("name") or spec.get("type")) == self.estimate.benchmark:
                found: Mapping[str, Json] = spec
                return found
        return {}

    @property
    def of_task(self) -> Mapping[str, Json]:
        """What the description says of the figure's task."""
        tasks = self.description.get("tasks")
        found = tasks.get(self.estimate.task) if isinstance(tasks, Mapping) else None
        return found if isinstance(found, Mapping) else {}


@dataclass(frozen=True)
class Block:
    """Figures of one benchmark entry that were made alike."""

    entry: str
    kind: str
    figures: tuple[Figure, ...]
    apart: str = ""
    """How it differs from an earlier block of the same entry; empty for the first."""

    @property
    def title(self) -> str:
        """The benchmark by its proper name."""
        name = benchmark_label(self.entry)
        if self.entry == self.kind == "alpaca_eval":
            stated = str(self.figures[0].description.get("version", "")) if self.figures else ""
            name = f"{name} {stated.partition('.')[0]}".rstrip()
        elif self.entry != self.kind:
            name = f"{name} ({benchmark_label(self.kind)})"
        own = [s for f in self.figures if (s := f.suite_entry.get("data")) and not f.is_published]
        said = [part for part in ("own questions" if own else "", self.apart) if part]
        return f"{name} ({'; '.join(said)})" if said else name

    @cached_property
    def models(self) -> tuple[str, ...]:
        """In order of the runs."""
        return tuple(dict.fromkeys(f.estimate.model for f in self.figures))

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """In order of the manifest."""
        return tuple(dict.fromkeys(f.estimate.task for f in self.figures))

    def find(self, model: str, task: str, metric: str) -> Figure | None:
        """A model's figure; None where there is none, or it is undefined."""
        for f in self.figures:
            e = f.estimate
            if (e.model, e.task, e.metric) == (model, task, metric) and e.point is not None:
                return f
        return None


@dataclass(frozen=True)
class Material:
    """Everything a card is made from."""

    runs: tuple[Run, ...]
    candidate: str
    blocks: tuple[Block, ...]
    warnings: tuple[str, ...] = ()
    """Why the runs should not be published; empty for publishable ones."""


def gather(
    runs: Sequence[Run],
    model: str | None = None,
    only: Sequence[str] = (),
    *,
    allow_unpublishable: bool = False,
) -> Material:
    """The figures of `runs`.

    Args:
        runs: Sealed runs; several make one card.
        model: The card's model; None: the runs' candidate.
        only: Benchmark entries; empty: all.
        allow_unpublishable: Accept limited runs and damaged evidence; they are marked.

    Raises:
        CardError: a run is not finished or not publishable, the model or an entry is unknown, or
            two runs have different values of one figure.
    """
    runs = _distinct(runs)
    warnings = tuple(reason for run in runs for reason in unpublishable(run))
    if warnings and not allow_unpublishable:
        raise CardError(
            "not publishable:\n  " + "\n  ".join(warnings) + "\nmend the evidence or run the whole "
            "suite; or, for a card that is marked and stays here: --allow-unpublishable"
        )
    found = [block for run in runs for block in _blocks_of(run)]
    _require_entries(only, found)
    joined: list[Block] = []
    for block in found:
        if not only or block.entry in only:
            _join(joined, block)
    candidate = _candidate(runs, model)
    if not any(f.estimate.model == candidate for block in joined for f in block.figures):
        raise CardError(
            f"{candidate!r} has no figures of {', '.join(only)}; leave --only out, or name others"
        )
    return Material(runs, candidate, tuple(joined), warnings)


def unpublishable(run: Run) -> list[str]:
    """Why a run should not be published; empty where nothing speaks against it.

    Raises:
        CardError: it is not finished, so that it has no figures at all.
    """
    if not run.manifest.get("sealed", True):
        raise CardError(
            f"{run.folder}: this run is not finished and has no figures yet; run the same command "
            f"again, then write its card"
        )
    # Not its folder: the same run has the same card wherever it lies.
    name = f"{run.manifest.get('suite_name')}, run {run.manifest.get('run_id')}"
    return [f"{name}: {reason}" for reason in doubts(run)]


def _distinct(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Each run once: naming one twice adds nothing."""
    return tuple({str(run.manifest.get("run_id")): run for run in reversed(runs)}.values())[::-1]


def _candidate(runs: Sequence[Run], model: str | None) -> str:
    known = list(dict.fromkeys(e.model for run in runs for e in run.estimates))
    if model is not None:
        if model not in known:
            raise CardError(
                f"model {model!r} has no figures in {_folders(runs)}; expected one of: "
                f"{', '.join(known) or 'none'}"
            )
        return model
    found = list(dict.fromkeys(name for run in runs for name in _candidates(run)))
    if len(found) != 1:
        raise CardError(
            f"{len(found)} candidates in {_folders(runs)}: {', '.join(found) or 'none'}; say "
            f"whose card it is with --model (models: {', '.join(known) or 'none'})"
        )
    return found[0]


def _candidates(run: Run) -> Iterator[str]:
    for entry in run.manifest.get("models", ()):
        if entry.get("role") == "candidate":
            yield str(entry.get("name"))


def _require_entries(only: Sequence[str], found: Sequence[Block]) -> None:
    known = list(dict.fromkeys(block.entry for block in found))
    for entry in only:
        if entry not in known:
            raise CardError(
                f"--only {entry!r}: the runs have no such benchmark entry; expected one of: "
                f"{', '.join(known) or 'none'}"
            )


def _folders(runs: Sequence[Run]) -> str:
    return ", ".join(str(run.folder) for run in runs)


# --- one run ------------------------------------------------------------------------------------


def _blocks_of(run: Run) -> Iterator[Block]:
    entries = list(run.manifest.get("benchmarks", ()))
    weak = weak_judges([run])
    names = [str(e.get("name")) for e in entries]
    for name in dict.fromkeys([*names, *(e.benchmark for e in run.estimates)]):
        about = entries[names.index(name)] if name in names else {}
        rows = [e for e in run.estimates if e.benchmark == name and e.category is None]
        blocks: list[Block] = []
        for model in dict.fromkeys(e.model for e in rows):
            made = [_figure(run, about, e) for e in rows if e.model == model]
            mine = tuple(
                f if f.is_published else replace(f, weak_judge=weak.get(name, "")) for f in made
            )
            _join(blocks, Block(name, _kind(about, name), mine))
        yield from blocks


def _kind(about: Mapping[str, Json], name: str) -> str:
    return str((about.get("description") or {}).get("type", name))


def _figure(run: Run, about: Mapping[str, Json], e: Estimate) -> Figure:
    description = about.get("description") or {}
    for evidence in run.manifest.get("evidence", ()):
        if (evidence.get("model"), evidence.get("entry")) == (e.model, e.benchmark):
            description = evidence.get("description") or description
    kind = _kind(about, e.benchmark)
    return Figure(run, kind, e, _metric(about, e), description, _stated(run, kind, e))


def _metric(about: Mapping[str, Json], e: Estimate) -> Metric:
    declared = (about.get("tasks") or {}).get(e.task) or {}
    for m in declared.get("metrics", ()):
        if m.get("name") == e.metric:
            return Metric(
                name=e.metric,
                unit=m.get("unit", "raw"),
                higher_is_better=bool(m.get("higher_is_better", True)),
                primary=bool(m.get("primary", False)),
            )
    unit = e.unit if e.unit in ("percent", "points", "characters") else "raw"
    return Metric(e.metric, unit)  # type: ignore[arg-type]


def _stated(run: Run, kind: str, e: Estimate) -> Stated | None:
    if not e.source:
        return None
    spec = run.manifest.get("suite", {}).get("models", {}).get(e.model, {})
    for known in spec.get("figures", ()):
        place = (known.get("benchmark"), known.get("task") or kind, known.get("metric"))
        if place[0] in (e.benchmark, kind) and place[1:] == (e.task, e.metric):
            said = (known.get("source"), known.get("date"), known.get("settings"))
            return Stated(*(str(part or "") for part in said))
    source, comma, row = e.source.partition(", row ")
    return Stated(source, row=row if comma else "")


# --- several ------------------------------------------------------------------------------------


def _join(blocks: list[Block], new: Block) -> None:
    """Add `new` to the block whose figures were made alike, else after them."""
    same = [block for block in blocks if block.entry == new.entry]
    apart = ""
    for block in same:
        apart = _difference(block, new)
        if not apart:
            _refuse_conflicts(block, new)
            known = {_key(f) for f in block.figures}
            extra = tuple(f for f in new.figures if _key(f) not in known)
            blocks[blocks.index(block)] = replace(block, figures=(*block.figures, *extra))
            return
    blocks.append(replace(new, apart=apart))


def _key(f: Figure) -> tuple[str, str, str]:
    return f.estimate.model, f.estimate.task, f.estimate.metric


def _refuse_conflicts(block: Block, new: Block) -> None:
    known = {_key(f): f for f in block.figures}
    for f in new.figures:
        other = known.get(_key(f))
        if other is None or other.estimate == f.estimate or other.run is f.run:
            continue
        values = [figure(x.estimate.point, x.estimate.unit) for x in (other, f)]
        raise CardError(
            f"{f.estimate.model!r} has {f.estimate.metric} of {f.estimate.task} ({new.entry!r}) "
            f"twice: {values[0]} in {other.run.folder}, {values[1]} in {f.run.folder}; name only "
            f"the run that is to be published, or leave that benchmark out with --only"
        )


def _difference(block: Block, new: Block) -> str:
    """Settings in which two blocks differ, in words; empty where none is known to."""
    ours = next((f for f in block.figures if not f.is_published), None)
    theirs = next((f for f in new.figures if not f.is_published), None)
    if ours is None or theirs is None:
        return ""
    parts = [Part(f.run, f.estimate.model, block.entry) for f in (ours, theirs)]
    found: dict[str, str] = {}
    for task in block.tasks:
        if task in new.tasks:
            for one in differences(parts[1], parts[0], task)[0]:
                found.setdefault(one.field, str(one))
    return "; ".join(found.values())
