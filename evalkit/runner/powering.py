"""What a suite can resolve before anything is spent: `evalkit power`.

Per headline figure (a task's, or an average's): how many samples there are, how much one sample's
paired difference varies (seen in past runs, else the most it can), and what follows: the smallest
difference that is found, the smallest gate margin that an equal candidate passes, and the samples
that the suite's own margin needs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from evalkit import compare
from evalkit.compare.rows import resolved
from evalkit.core import Comparison, Json, Run
from evalkit.core.protocols import Average, Averaged, Benchmark
from evalkit.core.specs import BenchmarkSpec, Suite
from evalkit.errors import BenchmarkError, DataError
from evalkit.gate import Policy
from evalkit.runner.assemble import Origin, Selection, build_benchmarks
from evalkit.runner.known import has_samples
from evalkit.stats.decisions import (
    minimum_detectable_effect,
    unit_variance,
    units_for_margin,
    worst_case_variance,
)

__all__ = ["ASSUMED_SHARE", "PowerRow", "power"]

ASSUMED_SHARE = 0.1
"""Share of samples on which two good models differ, where no past run says: on AlpacaEval, Notus
and Zephyr-7B-beta differ on 70 of 802."""
_BOUNDS = {"percent": (0.0, 100.0), "points": (1.0, 10.0)}
_NO_BOUNDS = "unknown: no past run, and the metric has no bounds"
_NO_PAIRS = "no samples to compare (figures, or one model)"
_UNLOADED = {"alpaca_eval": ("win_rate", "percent"), "mt_bench": ("score", "points")}
"""Primary metric and unit of benchmarks whose data is not here."""


@dataclass(frozen=True)
class PowerRow:
    """What one task's primary metric can resolve, in its unit."""

    benchmark: str
    task: str
    metric: str
    unit: str
    n: int | None
    """Samples; None: unknown before the run."""
    n_clusters: int | None
    """Units that are resampled among them: questions, documents, passages that some share."""
    n_available: int | None
    """Units that the benchmark has, whatever the limit."""
    n_source: str
    variance: float | None
    """Of one unit's paired difference."""
    variance_source: str
    """A past comparison, or an assumption, which says so; or why there is nothing to resolve."""
    mde: float | None
    """Smallest true difference found with the policy's power at 5%, two-sided."""
    resolvable: float | None
    """Smallest margin that an equal candidate passes with the policy's power."""
    margin: float | None
    """The suite's own; None: it has no gate."""
    needed: int | None
    """Units that would resolve that margin, be there so many or not; None where it is resolved,
    or cannot be."""
    worst_mde: float | None
    """The same with the largest variance there can be: every sample differs by all there is."""

    @property
    def underpowered(self) -> bool:
        """The suite's margin is under what so many units resolve."""
        return (
            self.margin is not None
            and self.resolvable is not None
            and self.margin < self.resolvable
        )

    def to_json(self) -> dict[str, Json]:
        """By field name."""
        return asdict(self) | {"underpowered": self.underpowered}


@dataclass(frozen=True)
class _Measure:
    benchmark: str
    task: str
    metric: str
    unit: str
    n: int | None
    """Units that are resampled."""
    samples: int | None
    available: int | None
    """Units without the limit."""
    source: str
    spread: float = 1.0
    """n times the variance of the figure, per variance of a unit: above 1 where tasks of
    different sizes count alike."""


def power(
    suite: Suite,
    origin: Origin,
    selection: Selection,
    past: Sequence[Run],
    say: Callable[[str], None],
) -> list[PowerRow]:
    """One row per headline figure of the selected benchmarks; nothing is downloaded or asked.

    Args:
        suite: Whose benchmarks, gate and confidence level count.
        origin: Where it came from.
        selection: Benchmarks and limit.
        past: Runs whose comparisons tell how much a sample's difference varies.
        say: Told of data that is not here.
    """
    chosen = selection.entries(suite)
    policy = Policy() if chosen.gate is None else Policy.of(chosen.gate)
    rows = []
    for benchmark in build_benchmarks(chosen, origin):
        spec = next(s for s in chosen.benchmarks if s.entry == benchmark.name)
        compared = _has_pairs(chosen, spec)
        for measure in _measures(benchmark, spec.type, selection.limit, say):
            margin = None
            if chosen.gate is not None:
                margin = policy.margin((measure.benchmark, measure.task), measure.metric)
            if compared or _seen(measure, past):
                rows.append(_row(measure, policy, margin, past))
            else:
                rows.append(_unknown(measure, margin, _NO_PAIRS))
    return rows


def _has_pairs(suite: Suite, spec: BenchmarkSpec) -> bool:
    """Whether samples of two models will be there; one model that is asked is planned for, too."""
    measured = [name for name, model in suite.models.items() if model.role != "published"]
    found = [name for name in measured if has_samples(suite, name, spec)]
    return len(found) >= 2 or (bool(found) and len(found) == len(measured))


def _measures(
    benchmark: Benchmark, kind: str, limit: int | None, say: Callable[[str], None]
) -> Iterator[_Measure]:
    try:
        benchmark.load()
    except (DataError, BenchmarkError) as error:
        say(f"{benchmark.name}: its data is not here ({str(error).splitlines()[0]})")
        name, unit = _UNLOADED.get(kind, ("score", "percent"))
        n = benchmark.nominal_requests()
        if n is not None and kind == "mt_bench":
            n //= 2  # two turns a question
        cut = n if limit is None or n is None else min(n, limit)
        place = (benchmark.name, benchmark.name, name, unit)
        yield _Measure(*place, cut, cut, n, "published size")
        return
    sizes = _sizes(benchmark, limit)
    metrics = {task: benchmark.metrics(task) for task in sizes.units}
    averages = benchmark.averages() if isinstance(benchmark, Averaged) else ()
    wanted = compare.headlines(metrics, averages)
    for task, found in metrics.items():
        for metric in found:
            if (task, metric.name) in wanted:
                place = (benchmark.name, task, metric.name, metric.unit)
                yield _Measure(*place, *sizes.of((task,)))
    for average in averages:
        if (average.task, average.metric.name) in wanted:
            yield _average(benchmark.name, average, averages, sizes)


@dataclass(frozen=True)
class _Sizes:
    """Of a benchmark's tasks."""

    units: Mapping[str, int]
    samples: Mapping[str, int]
    available: Mapping[str, int]
    source: str

    def of(self, tasks: Collection[str]) -> tuple[int, int, int, str]:
        """Of several together."""
        n, samples, available = (
            sum(sizes[task] for task in tasks)
            for sizes in (self.units, self.samples, self.available)
        )
        return n, samples, available, self.source


def _sizes(benchmark: Benchmark, limit: int | None) -> _Sizes:
    samples: Counter[str] = Counter()
    seen: dict[str, set[str]] = {}
    every: dict[str, set[str]] = {}
    for sample in benchmark.samples():
        unit = sample.cluster or sample.id
        every.setdefault(sample.task, set()).add(unit)
        if limit is not None and samples[sample.task] >= limit:
            continue
        samples[sample.task] += 1
        seen.setdefault(sample.task, set()).add(unit)
    return _Sizes(
        units={task: len(units) for task, units in seen.items()},
        samples=samples,
        available={task: len(units) for task, units in every.items()},
        source="its data" if limit is None else f"its data, limited to {limit}",
    )


def _average(
    benchmark: str, average: Average, averages: Sequence[Average], sizes: _Sizes
) -> _Measure:
    weights = _weights(average, averages, sizes.units)
    n = sum(sizes.units[task] for task in weights)
    spread = n * math.fsum(w**2 / sizes.units[task] for task, w in weights.items())
    metric = average.metric
    place = (benchmark, average.task, metric.name, metric.unit)
    return _Measure(*place, *sizes.of(tuple(weights)), spread)


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


def _row(measure: _Measure, policy: Policy, margin: float | None, past: Sequence[Run]) -> PowerRow:
    found = _seen(measure, past)
    low, high = _BOUNDS.get(measure.unit, (None, None))
    worst = None
    if low is not None and high is not None:
        worst = measure.spread * worst_case_variance(low, high)
    if found is not None:
        variance, source = found
    elif low is not None and high is not None:
        variance = measure.spread * worst_case_variance(low, high, share_different=ASSUMED_SHARE)
        source = _assumed(measure)
    else:
        return _unknown(measure, margin, _NO_BOUNDS)
    error = _error(variance, measure.n)
    return PowerRow(
        benchmark=measure.benchmark,
        task=measure.task,
        metric=measure.metric,
        unit=measure.unit,
        n=measure.samples,
        n_clusters=measure.n,
        n_available=measure.available,
        n_source=measure.source,
        variance=variance,
        variance_source=source,
        mde=_finds(error, measure.n, policy),
        resolvable=_resolvable(error, measure.n, policy),
        margin=margin,
        needed=_needed(variance, margin, measure.n, policy),
        worst_mde=_finds(_error(worst, measure.n), measure.n, policy),
    )


def _assumed(measure: _Measure) -> str:
    """Whole groups are assumed to differ: how alike the samples of one are is not known."""
    share = f"assumed: {ASSUMED_SHARE:.0%} of"
    if measure.n == measure.samples:
        return f"{share} samples differ, by all there is"
    return f"{share} units differ in all their samples"


def _unknown(measure: _Measure, margin: float | None, why: str) -> PowerRow:
    place = (measure.benchmark, measure.task, measure.metric, measure.unit)
    sizes = (measure.samples, measure.n, measure.available, measure.source)
    return PowerRow(*place, *sizes, None, why, None, None, margin, None, None)


def _seen(measure: _Measure, past: Sequence[Run]) -> tuple[float, str] | None:
    """The largest variance of a paired difference among past comparisons of this metric."""
    found: list[tuple[float, str]] = []
    for run in past:
        for c in run.comparisons:
            variance = unit_variance(c.standard_error, c.n_clusters)
            if variance and _is_of(c, measure):
                found.append((variance, f"{run.folder.name}: {c.candidate} and {c.baseline}"))
    return max(found, default=None)


def _is_of(c: Comparison, measure: _Measure) -> bool:
    wanted = (measure.benchmark, measure.task, measure.metric, None)
    return (c.benchmark, c.task, c.metric, c.category) == wanted


def _error(variance: float | None, n: int | None) -> float | None:
    return None if variance is None or not n else math.sqrt(variance / n)


def _finds(error: float | None, n: int | None, policy: Policy) -> float | None:
    """As `compare` says it of so many samples."""
    if error is None or n is None:
        return None
    return resolved(error, n - 1, compare.Options(power=policy.power))


def _resolvable(error: float | None, n: int | None, policy: Policy) -> float | None:
    if error is None or n is None or n < 2:
        return None
    alpha, power = policy.alpha, policy.power
    return minimum_detectable_effect(error, alpha=alpha, power=power, sides=1, df=n - 1)


def _needed(variance: float, margin: float | None, n: int | None, policy: Policy) -> int | None:
    if not margin:
        return None
    needed = units_for_margin(variance, margin, alpha=policy.alpha, power=policy.power)
    return None if needed is None or (n is not None and needed <= n) else needed
