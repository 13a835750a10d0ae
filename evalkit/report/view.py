"""Typed access to a run: its manifest as objects, its rows by key.

The manifest is read leniently: an old run without some key still renders, without that part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from evalkit.compare import (
    Damage,
    JudgeHealth,
    Row,
    damages,
    headline_of_entry,
    judge_health,
    stated,
    weak_judges,
)
from evalkit.core import Comparison, Estimate, Json, Metric, Record, Run

__all__ = ["BenchmarkView", "Measure", "ModelView", "View", "mapping", "sequence"]

_Key = tuple[str, str, str, str, str | None]


@dataclass(frozen=True)
class ModelView:
    """One model of the manifest."""

    name: str
    role: str
    entry: Mapping[str, Json]
    """Its entry under `models`; empty for a published model."""
    spec: Mapping[str, Json]
    """Its entry in the resolved suite."""

    @property
    def provenance(self) -> Mapping[str, Json]:
        """Where its weights came from."""
        return mapping(self.entry.get("provenance"))


@dataclass(frozen=True)
class Measure:
    """One metric of one task."""

    benchmark: str
    task: str
    metric: Metric


@dataclass(frozen=True)
class BenchmarkView:
    """One benchmark entry of the manifest."""

    name: str
    description: Mapping[str, Json]
    n_samples: int | None
    measures: tuple[Measure, ...]
    """Task by task, the primary metric first."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks in order."""
        return tuple(dict.fromkeys(m.task for m in self.measures))

    @property
    def kind(self) -> str:
        """The benchmark's type."""
        return str(self.description.get("type", self.name))


@dataclass(frozen=True)
class View:
    """A run, ready to be read section by section."""

    run: Run
    browsable: bool = False
    """Whether the page carries the samples, so that a figure may link to what it counts."""

    @property
    def manifest(self) -> Mapping[str, Json]:
        """manifest.json."""
        return self.run.manifest

    @property
    def suite(self) -> Mapping[str, Json]:
        """The resolved suite."""
        return mapping(self.manifest.get("suite"))

    @property
    def settings(self) -> Mapping[str, Json]:
        """The suite's `report`."""
        return mapping(self.suite.get("report"))

    @property
    def sealed(self) -> bool:
        """Whether the run is finished; figures are computed only then."""
        return bool(self.manifest.get("sealed", True))

    @property
    def limit(self) -> int | None:
        """Samples per task at most, where the run was cut short on purpose."""
        limit = self.manifest.get("limit")
        return limit if isinstance(limit, int) else None

    @property
    def level(self) -> float:
        """Confidence level of the intervals."""
        rows: list[Estimate | Comparison] = [*self.run.comparisons, *self.run.estimates]
        return rows[0].level if rows else float(self.settings.get("level", 0.95))

    @cached_property
    def models(self) -> tuple[ModelView, ...]:
        """Asked models in suite order, then those only the rows or the suite know of."""
        # Lists keep their order on disk, objects need not: nothing here follows a key's place.
        specs = mapping(self.suite.get("models"))
        entries = {str(e.get("name")): e for e in _entries(self.manifest.get("models"))}
        names = dict.fromkeys([*entries, *(e.model for e in self.run.estimates), *sorted(specs)])
        return tuple(
            ModelView(
                name,
                str(entries.get(name, {}).get("role") or mapping(specs.get(name)).get("role", "")),
                entries.get(name, {}),
                mapping(specs.get(name)),
            )
            for name in names
        )

    @property
    def measured(self) -> tuple[ModelView, ...]:
        """Models that were asked."""
        return tuple(m for m in self.models if m.role != "published")

    @property
    def published(self) -> tuple[ModelView, ...]:
        """Models known by their published figures only."""
        return tuple(m for m in self.models if m.role == "published")

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(candidate, baseline) of the comparisons, in order."""
        return tuple(dict.fromkeys((c.candidate, c.baseline) for c in self.run.comparisons))

    @cached_property
    def benchmarks(self) -> tuple[BenchmarkView, ...]:
        """In suite order."""
        entries = {str(e.get("name")): e for e in _entries(self.manifest.get("benchmarks"))}
        names = dict.fromkeys([*entries, *(e.benchmark for e in self.run.estimates)])
        return tuple(self._benchmark(name, entries.get(name, {})) for name in names)

    def _benchmark(self, name: str, entry: Mapping[str, Json]) -> BenchmarkView:
        declared = {(m.task, m.metric.name): m for m in _declared(name, entry)}
        found: dict[tuple[str, str], Measure] = {}
        for e in self.run.estimates:
            key = (e.task, e.metric)
            if e.benchmark == name and key not in found:
                computed = Measure(name, e.task, Metric(e.metric, _unit(e.unit)))
                found[key] = declared.get(key, computed)
        found = _primary_first(found | dict(sorted(declared.items())))
        size = entry.get("n_samples")
        return BenchmarkView(
            name,
            mapping(entry.get("description")),
            size if isinstance(size, int) else None,
            tuple(found.values()),
        )

    @cached_property
    def _estimates(self) -> dict[_Key, Estimate]:
        return {(e.model, e.benchmark, e.task, e.metric, e.category): e for e in self.run.estimates}

    @cached_property
    def _comparisons(self) -> dict[tuple[str, str, str, str, str, str | None], Comparison]:
        return {
            (c.candidate, c.baseline, c.benchmark, c.task, c.metric, c.category): c
            for c in self.run.comparisons
        }

    def estimate(
        self, model: str, measure: Measure, category: str | None = None
    ) -> Estimate | None:
        """A model's figure."""
        key = (model, measure.benchmark, measure.task, measure.metric.name, category)
        return self._estimates.get(key)

    def comparison(
        self, pair: tuple[str, str], measure: Measure, category: str | None = None
    ) -> Comparison | None:
        """Candidate minus baseline."""
        key = (*pair, measure.benchmark, measure.task, measure.metric.name, category)
        return self._comparisons.get(key)

    @cached_property
    def _rows(self) -> dict[tuple[str, str, str, str, str, str | None], Row]:
        primary = frozenset((m.benchmark, m.task, m.metric.name) for m in self.headlines)
        rows = stated(self.run, primary)
        return {
            (c.candidate, c.baseline, c.benchmark, c.task, c.metric, c.category): row
            for row in rows
            for c in [row.comparison]
        }

    @cached_property
    def headlines(self) -> tuple[Measure, ...]:
        """The headline figures: each task's primary measure, or the average it is a detail of."""
        entries = {str(e.get("name")): e for e in _entries(self.manifest.get("benchmarks"))}
        return tuple(
            m
            for b in self.benchmarks
            for wanted in [_headline_places(entries.get(b.name, {}))]
            for m in b.measures
            if (m.metric.primary if wanted is None else (m.task, m.metric.name) in wanted)
        )

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every comparison as it may be stated."""
        return tuple(self._rows.values())

    def row(
        self, pair: tuple[str, str], measure: Measure, category: str | None = None
    ) -> Row | None:
        """A comparison as it may be stated: verdict after Holm's correction, MDE."""
        key = (*pair, measure.benchmark, measure.task, measure.metric.name, category)
        return self._rows.get(key)

    def contest(self, pair: tuple[str, str]) -> tuple[tuple[Measure, Row], ...]:
        """One pair on every headline measure that both have scores for."""
        return tuple((m, row) for m in self.headlines if (row := self.row(pair, m)) is not None)

    def categories(self, measure: Measure) -> tuple[str, ...]:
        """Categories with figures, in the order of the rows."""
        return tuple(
            dict.fromkeys(
                e.category
                for e in self.run.estimates
                if e.category is not None
                and (e.benchmark, e.task, e.metric)
                == (measure.benchmark, measure.task, measure.metric.name)
            )
        )

    @cached_property
    def health(self) -> tuple[JudgeHealth, ...]:
        """One row per judge and benchmark."""
        return tuple(judge_health(self.run.records))

    @cached_property
    def weak(self) -> Mapping[str, str]:
        """The judge of each benchmark that a model of the suite judged."""
        return weak_judges([self.run])

    @cached_property
    def damages(self) -> tuple[Damage, ...]:
        """What makes stored figures doubtful."""
        return tuple(damages(self.run))

    @cached_property
    def records(self) -> dict[tuple[str, str], dict[str, dict[str, Record]]]:
        """(benchmark, task) → sample → model → record, all in canonical order."""
        found: dict[tuple[str, str], dict[str, dict[str, Record]]] = {}
        for r in self.run.records:
            task = found.setdefault((r.benchmark, r.task), {})
            task.setdefault(r.sample, {})[r.model] = r
        return found

    def of_task(self, model: str, benchmark: str, task: str) -> Iterator[Record]:
        """One model's records of one task."""
        for by_model in self.records.get((benchmark, task), {}).values():
            if model in by_model:
                yield by_model[model]


def mapping(value: Json) -> Mapping[str, Json]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: Json) -> Sequence[Json]:
    """`value` if it is a list, else an empty one."""
    return value if isinstance(value, list | tuple) else ()


def _entries(value: Json) -> list[Mapping[str, Json]]:
    return [e for e in sequence(value) if isinstance(e, Mapping)]


def _declared(name: str, entry: Mapping[str, Json]) -> Iterator[Measure]:
    for task, about in mapping(entry.get("tasks")).items():
        for m in _entries(mapping(about).get("metrics")):
            metric = Metric(
                name=str(m.get("name")),
                unit=_unit(m.get("unit")),
                scale=float(m.get("scale", 1.0)),
                higher_is_better=bool(m.get("higher_is_better", True)),
                primary=bool(m.get("primary", False)),
                by_category=bool(m.get("by_category", False)),
                parts=tuple(str(part) for part in sequence(m.get("parts"))) or ("",),
            )
            yield Measure(name, task, metric)


def _headline_places(entry: Mapping[str, Json]) -> set[tuple[str, str]] | None:
    """None where nothing is averaged, so that every primary measure is a headline."""
    return set(headline_of_entry(entry)) if entry.get("averages") else None


def _primary_first(found: dict[tuple[str, str], Measure]) -> dict[tuple[str, str], Measure]:
    tasks = list(dict.fromkeys(task for task, _ in found))
    order = sorted(found, key=lambda k: (tasks.index(k[0]), not found[k].metric.primary))
    return {key: found[key] for key in order}


def _unit(value: Json) -> Literal["percent", "points", "characters", "raw"]:
    return value if value in ("percent", "points", "characters") else "raw"
