"""How many samples each headline figure of a suite will rest on: the planning of `evalkit power`.

What so many samples can show is computed in `comparison.power`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from evalkit import catalogue
from evalkit.comparison.gate import Policy
from evalkit.comparison.power import Design, Power, power_of
from evalkit.core.figures import Average, FigureKey
from evalkit.core.protocols import Averaged, Benchmark
from evalkit.core.run import BenchmarkEntry, Run, TaskEntry
from evalkit.core.specs import BenchmarkSpec, GateSpec, Suite
from evalkit.errors import BenchmarkError, DataError
from evalkit.runner.assemble import Origin, build_benchmarks
from evalkit.runner.known import has_samples

__all__ = ["power"]


def power(
    suite: Suite,
    origin: Origin,
    limit: int | None,
    past: Sequence[Run],
    say: Callable[[str], None],
) -> list[Power]:
    """One row per headline figure of the benchmarks; nothing is downloaded or sent.

    Args:
        suite: Whose benchmarks, gate and confidence level count.
        origin: Where it came from.
        limit: First samples of each task that are run; None: all.
        past: Runs whose comparisons tell how much a sample's difference varies.
        say: called with data that is unavailable.
    """
    gate = suite.gate or GateSpec(baseline="")
    rows, found = [], []
    for benchmark in build_benchmarks(suite, origin):
        spec = next(s for s in suite.benchmarks if s.entry == benchmark.name)
        try:
            benchmark.load()
            entry, designs = _designs(benchmark, limit)
        except (DataError, BenchmarkError) as error:
            say(f"{benchmark.name}: its data is not here ({str(error).splitlines()[0]})")
            entry = BenchmarkEntry(name=benchmark.name)
            designs = [_published_size(benchmark.name, spec.type, limit)]
        found.append((entry, designs, _has_pairs(suite, spec)))
    policy = Policy(gate, {entry.name: entry for entry, _, _ in found})
    for _, designs, pairs in found:
        for design in designs:
            margin = None if suite.gate is None else policy.margin(design.key, design.unit)
            rows.append(power_of(design, past, gate, margin, has_pairs=pairs))
    return rows


def _has_pairs(suite: Suite, spec: BenchmarkSpec) -> bool:
    """Whether samples of two models will be there; where one is run, another is planned for."""
    measured = [name for name, model in suite.models.items() if model.role != "published"]
    found = [name for name in measured if has_samples(suite, name, spec)]
    return len(found) >= 2 or (bool(found) and len(found) == len(measured))


def _published_size(name: str, kind: str, limit: int | None) -> Design:
    """Of a benchmark whose data is not here."""
    info = catalogue.BENCHMARKS.get(kind)
    n = None if info is None else info.samples
    metric = info.headline if info is not None and info.metrics else "average"
    cut = n if limit is None or n is None else min(n, limit)
    key = FigureKey(name, name, metric)
    return Design(key, "percent" if info is None else info.unit, cut, cut, n, "published size")


def _designs(benchmark: Benchmark, limit: int | None) -> tuple[BenchmarkEntry, list[Design]]:
    """Of a loaded benchmark: as a run would declare it, and its headline figures."""
    samples: Counter[str] = Counter()
    units: dict[str, set[str]] = {}
    available: dict[str, set[str]] = {}
    for sample in benchmark.samples():
        unit = sample.cluster or sample.id
        available.setdefault(sample.task, set()).add(unit)
        if limit is None or samples[sample.task] < limit:
            samples[sample.task] += 1
            units.setdefault(sample.task, set()).add(unit)
    sizes = {task: len(found) for task, found in units.items()}
    entry = BenchmarkEntry(
        name=benchmark.name,
        tasks={
            task: TaskEntry(n_samples=samples[task], metrics=tuple(benchmark.metrics(task)))
            for task in units
        },
        averages=tuple(benchmark.averages()) if isinstance(benchmark, Averaged) else (),
    )
    source = "its data" if limit is None else f"its data, limited to {limit}"

    def designs() -> Iterator[Design]:
        for key in entry.headlines:
            metric = entry.metric(key.task, key.metric)
            average = _average(key, entry.averages)
            weights = {key.task: 1.0}
            if average is not None:
                weights = _weights(average, entry.averages, sizes)
            n = sum(sizes[task] for task in weights)
            yield Design(
                key=key,
                unit="raw" if metric is None else metric.unit,
                n=sum(samples[task] for task in weights),
                n_units=n,
                n_available=sum(len(available[task]) for task in weights),
                source=source,
                spread=n * math.fsum(w**2 / sizes[task] for task, w in weights.items()),
            )

    return entry, list(designs())


def _average(key: FigureKey, averages: Sequence[Average]) -> Average | None:
    return next((a for a in averages if (a.task, a.metric.name) == (key.task, key.metric)), None)


def _weights(
    average: Average, averages: Sequence[Average], sizes: Mapping[str, int]
) -> dict[str, float]:
    """Each task's weight; the slope of a score against chance is part of it."""
    inner = {(a.task, a.metric.name): a for a in averages}
    parts = [
        _weights(inner[place], averages, sizes) if place in inner else {place[0]: 1.0}
        for place in average.of
    ]
    n = [sum(sizes[task] for task in part) for part in parts]
    found: dict[str, float] = {}
    for part, size in zip(parts, n, strict=True):
        share = size / sum(n) if average.by_size else 1 / len(parts)
        for task, weight in part.items():
            slope = 1 / (1 - average.chance) if average.chance is not None else 1.0
            found[task] = found.get(task, 0.0) + share * weight * slope
    return found
