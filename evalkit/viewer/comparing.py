"""Two or three runs side by side: their figures, and differences where they were measured alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.compare import Options, Row, compare, rows_table, weak_judges
from evalkit.compare.old_cautions import weak_text
from evalkit.compare.words import (
    bounds,
    has_width,
    metric_words,
    task_label,
)
from evalkit.core import Run
from evalkit.draw import Cell, Column, Table, count, figure
from evalkit.errors import ComparisonError, DataError
from evalkit.viewer.found import Entry, Library, headline_metrics

__all__ = ["MOST", "Contest", "SideBySide", "Sided", "choose", "side_by_side"]

MOST = 3
"""Runs that stand side by side."""


@dataclass(frozen=True)
class Sided:
    """One model of one run."""

    entry: Entry
    model: str
    label: str
    """Tells it from the others."""

    @property
    def choice(self) -> str:
        """As an address names it."""
        return f"{self.entry.slug}:{self.model}"


@dataclass(frozen=True)
class Contest:
    """One of the others against the first."""

    candidate: str
    baseline: str
    table: Table | None
    sentences: tuple[str, ...]
    refusals: tuple[str, ...]
    """Why benchmarks were not compared, line by line."""
    caveat: str = ""
    """Whose word not to take; empty: nobody's."""


@dataclass(frozen=True)
class SideBySide:
    """What the page shows."""

    sides: tuple[Sided, ...]
    """The baseline first."""
    figures: Table
    contests: tuple[Contest, ...]


def choose(entries: Sequence[Entry], choices: Sequence[str]) -> tuple[Sided, ...]:
    """The sides that an address names as `SLUG` or `SLUG:MODEL`, in its order.

    Raises:
        DataError: not two or three, one twice, or one that is not there.
    """
    unique = list(dict.fromkeys(choices))
    if not 2 <= len(unique) <= MOST:
        raise DataError(f"{len(unique)} runs chosen; choose two or three")
    found = [_side(entries, choice) for choice in unique]
    labels = [f"{entry.run_id[:8]}:{model}" for entry, model in found]
    models = [model for _, model in found]
    if len(set(models)) == len(models):
        labels = models
    elif len(set(labels)) < len(labels):
        labels = [f"{entry.slug}:{model}" for entry, model in found]
    if len(set(labels)) < len(labels):
        raise DataError(f"{choices[0]!r} and another choice are the same; choose two or three")
    return tuple(
        Sided(entry, model, label) for (entry, model), label in zip(found, labels, strict=True)
    )


def _side(entries: Sequence[Entry], choice: str) -> tuple[Entry, str]:
    slug, colon, model = choice.partition(":")
    entry = next((e for e in entries if e.slug == slug and not e.error), None)
    if entry is None:
        raise DataError(f"run {slug!r} is not there (any more); go back to the index")
    asked = [str(m.get("name")) for m in entry.manifest.get("models", ())]
    if not colon:
        model = next(iter(entry.models), "")
    if model not in asked:
        raise DataError(
            f"run {entry.run_id!r} has no model {model!r}; expected one of: {', '.join(asked)}"
        )
    return entry, model


def side_by_side(library: Library, sides: Sequence[Sided]) -> SideBySide:
    """The page of some sides; every later one is compared with the first, at its suite's level.

    Raises:
        DataError: a run's records cannot be read.
    """
    runs = [_only(library.run(side.entry), side) for side in sides]
    options = Options(sides[0].entry.level)
    contests = [
        _contest((runs[0], sides[0]), (run, side), options)
        for run, side in zip(runs[1:], sides[1:], strict=True)
    ]
    return SideBySide(tuple(sides), _figures(sides), tuple(contests))


def _only(run: Run, side: Sided) -> Run:
    """The run with this model's records and figures alone, under the side's label."""
    records = tuple(replace(r, model=side.label) for r in run.records if r.model == side.model)
    figures = tuple(replace(e, model=side.label) for e in run.estimates if e.model == side.model)
    evidence = [
        {**e, "model": side.label}
        for e in run.manifest.get("evidence", ())
        if e.get("model") == side.model
    ]
    manifest = {**run.manifest, "evidence": evidence}
    return replace(
        run,
        folder=Path(side.entry.slug),
        manifest=manifest,
        records=records,
        estimates=figures,
        comparisons=(),
    )


def _contest(first: tuple[Run, Sided], other: tuple[Run, Sided], options: Options) -> Contest:
    """Benchmark by benchmark, so that one that was measured otherwise stops none of the others.

    What can be compared is then compared at once: Holm's correction is over all of it.
    """
    (base, baseline), (run, candidate) = first, other
    shared = [b for b in _benchmarks(run) if b in _benchmarks(base)]
    alike, refusals = [], []
    for benchmark in shared:
        try:
            _compare((base, baseline), (run, candidate), [benchmark], options)
        except ComparisonError as error:
            refusals.append(_without_advice(str(error)))
        else:
            alike.append(benchmark)
    if not shared:
        refusals.append(
            f"no benchmark is common: {candidate.label} has samples of "
            f"{', '.join(_benchmarks(run)) or 'none'}, {baseline.label} of "
            f"{', '.join(_benchmarks(base)) or 'none'}"
        )
    rows = _compare((base, baseline), (run, candidate), alike, options) if alike else []
    rows = [row for row in rows if row.headline]
    weak = [name for name in weak_judges((base, run)) if name in alike]
    return Contest(
        candidate=candidate.label,
        baseline=baseline.label,
        table=rows_table(rows) if rows else None,
        sentences=tuple(row.sentence for row in rows),
        refusals=tuple(refusals),
        caveat=weak_text(weak) if weak else "",
    )


def _benchmarks(run: Run) -> list[str]:
    return list(dict.fromkeys(record.benchmark for record in run.records))


def _compare(
    first: tuple[Run, Sided], other: tuple[Run, Sided], benchmarks: Sequence[str], options: Options
) -> list[Row]:
    runs = [
        replace(run, records=tuple(r for r in run.records if r.benchmark in benchmarks))
        for run, _ in (first, other)
    ]
    return compare(runs, other[1].label, [first[1].label], options)


def _without_advice(text: str) -> str:
    """Without the options of a command line, which a page has not."""
    return text.partition("\nrun both with one suite;")[0]


def _figures(sides: Sequence[Sided]) -> Table:
    measures = headline_metrics([side.entry for side in sides])
    columns = (
        Column("Measure", header=True),
        *(Column(side.label, "right") for side in sides),
    )
    rows = [
        [
            Cell.text(f"{task_label(benchmark, task)}: {metric_words(metric)}"),
            *(_figure(side, (benchmark, task, metric)) for side in sides),
        ]
        for benchmark, task, metric in measures
    ]
    note = (
        "Each figure with its own interval and n, as its run has it. Whether two differ is said "
        "below, from the samples both have."
    )
    return Table.of("Figures", columns, rows, note)


def _figure(side: Sided, measure: tuple[str, str, str]) -> Cell:
    e = side.entry.figure(side.model, measure)
    if e is None or e.point is None:
        return Cell.missing("no figure")
    text = figure(e.point, e.unit)
    text += f" ({bounds(e)})" if has_width(e) else ""
    source = "published" if e.method == "published" else f"n {count(e.n)}"
    return Cell(e.point, ", ".join((text, source, *side.entry.doubts(e))), e.source or e.method)
