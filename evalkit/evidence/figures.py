"""The figures of some runs, each with the cell that names it.

cell      SUBJECT/BENCHMARK/TASK/METRIC[/CATEGORY]
SUBJECT   MODEL, A-B for a difference; RUN:MODEL where several runs have one name
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evalkit.compare import Options, compare
from evalkit.compare.old_cautions import Cautions
from evalkit.compare.sides import Part
from evalkit.core import Comparison, Estimate, Json, Run
from evalkit.draw import difference, figure, interval

__all__ = ["Figure", "of_pair", "of_runs", "primary"]


@dataclass(frozen=True)
class Figure:
    """One printed number and what it is."""

    run: Run
    """Where it stands; of a difference between two runs the candidate's."""
    row: Estimate | Comparison
    headline: bool
    """Primary metric, whole task."""
    stored: bool = True
    """It stands in the run's results.json; else it was computed from records just now."""
    flags: tuple[str, ...] = ()
    """A weak judge, a limit, damage; settings that differ between the sides, or only one states."""
    of_headline_metric: bool = False
    """Primary metric, whole task or one category."""

    @property
    def models(self) -> tuple[str, ...]:
        """The model, or candidate and baseline."""
        row = self.row
        return (row.model,) if isinstance(row, Estimate) else (row.candidate, row.baseline)

    @property
    def subject(self) -> str:
        """As a cell begins."""
        return "-".join(self.models)

    @property
    def place(self) -> tuple[str, str, str, str | None]:
        """Benchmark entry, task, metric, category."""
        return self.row.benchmark, self.row.task, self.row.metric, self.row.category

    @property
    def cell(self) -> str:
        """What names this figure and no other of its run."""
        return "/".join([self.subject, *(part for part in self.place if part is not None)])

    @property
    def value(self) -> float | None:
        """Unrounded."""
        row = self.row
        return row.point if isinstance(row, Estimate) else row.difference

    @property
    def shown(self) -> str:
        """As reports print it."""
        draw = figure if isinstance(self.row, Estimate) else difference
        return draw(self.value, self.row.unit)

    @property
    def shown_interval(self) -> str:
        """As reports print it."""
        signed = isinstance(self.row, Comparison)
        return interval(self.row.low, self.row.high, self.row.unit, signed=signed)


def of_runs(runs: Sequence[Run]) -> Iterator[Figure]:
    """Every figure and difference that stands in the runs' results."""
    cautions = Cautions()
    for run in runs:
        main = primary(run)
        rows: list[Estimate | Comparison] = [*run.estimates, *run.comparisons]
        for row in rows:
            speaks = (row.benchmark, row.task, row.metric) in main
            headline = row.category is None and speaks
            flags = cautions.flags(_parts(run, row), row.unit)
            yield Figure(run, row, headline, flags=flags, of_headline_metric=speaks)


def _parts(run: Run, row: Estimate | Comparison) -> Iterator[Part]:
    """What was measured here of a row: nothing of a figure that others published."""
    models = (row.model,) if isinstance(row, Estimate) else (row.candidate, row.baseline)
    if isinstance(row, Comparison) or row.method != "published":
        yield from (Part(run, model, row.benchmark) for model in models)


def of_pair(
    runs: Sequence[Run], candidate: str, baseline: str, options: Options
) -> Iterator[Figure]:
    """Differences of two models, computed now.

    Args:
        runs: Where their records are.
        candidate: `MODEL` or `RUN:MODEL`.
        baseline: The same.
        options: Level, settings that may differ.

    Raises:
        ComparisonError: the two were not measured alike, or have nothing in common.
    """
    rows = compare(runs, candidate, [baseline], options)
    main = {_measure(row.comparison) for row in rows if row.headline}
    for row in rows:
        home = _home(runs, candidate, row.comparison.benchmark)
        speaks = _measure(row.comparison) in main
        yield Figure(
            home, row.comparison, row.headline, False, row.flags, of_headline_metric=speaks
        )


def _measure(row: Comparison) -> tuple[str, str, str]:
    return row.benchmark, row.task, row.metric


def primary(run: Run) -> set[tuple[str, str, str]]:
    """(benchmark, task, metric) of every headline metric."""
    return {
        (str(entry.get("name")), task, str(metric.get("name")))
        for entry in run.manifest.get("benchmarks", ())
        for task, about in _mapping(entry.get("tasks")).items()
        for metric in about.get("metrics", ())
        if metric.get("primary")
    }


def _home(runs: Sequence[Run], wanted: str, benchmark: str) -> Run:
    from evalkit.compare.sides import find

    return find(runs, wanted).parts[benchmark].run


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}
