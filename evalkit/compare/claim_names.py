"""What a claim may name: the models and the places that stored runs have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from evalkit.compare.claim_text import Ambiguous, Names, Place
from evalkit.compare.headline import own_figure
from evalkit.compare.sides import Part, averages_of, find, metrics_of, names
from evalkit.compare.words import benchmark_label, figure_label, metric_words, task_label
from evalkit.core import Estimate, Run
from evalkit.core.protocols import Average

__all__ = ["claim_names", "published"]


def claim_names(runs: Sequence[Run]) -> Names:
    """Models with records or figures, and every benchmark, task and metric of them."""
    models = [*names(runs), *published(runs)]
    for run in runs:
        own = dict.fromkeys(record.model for record in run.records)
        models += [f"{run.folder.name}:{name}" for name in own]
    named: dict[str, Place] = {}
    labels: dict[str, dict[Place, None]] = {}
    for run in runs:
        for model in dict.fromkeys(record.model for record in run.records):
            for benchmark, part in find([run], model).parts.items():
                named = {**_of_part(benchmark, part), **named}
                _add(labels, _of_part(benchmark_label(benchmark), part).items())
                _add(labels, _printed(part))
    for run in runs:
        for e in run.estimates:
            named = {**_of_figure(e.benchmark, e), **named}
            _add(labels, _of_figure(benchmark_label(e.benchmark), e).items())
            _add(labels, _printed_figure(e))
    return Names(tuple(dict.fromkeys(models)), {**_resolved(labels, named), **named})


def _add(labels: dict[str, dict[Place, None]], found: Iterable[tuple[str, Place]]) -> None:
    for label, place in found:
        labels.setdefault(label, {})[place] = None


def _resolved(
    labels: Mapping[str, Mapping[Place, None]], named: dict[str, Place]
) -> dict[str, Place | Ambiguous]:
    """Each label's one place, or the names of the several that it may be."""
    by_place = {place: name for name, place in reversed(named.items())}
    found: dict[str, Place | Ambiguous] = {}
    for label, (first, *more) in labels.items():
        if more:
            found[label] = Ambiguous(tuple(by_place.get(p, label) for p in (first, *more)))
        else:
            found[label] = first
    return found


def _of_part(name: str, part: Part) -> dict[str, Place]:
    """Every place of a benchmark that goes by `name`."""
    whole = Place(part.benchmark)
    return {
        **_categories(name, part),
        **_ways(name, whole, metrics_of(part)),
        **_averages(name, whole, averages_of(part)),
    }


def _of_figure(name: str, e: Estimate) -> dict[str, Place]:
    place = Place(e.benchmark, e.task, e.metric)
    found = {
        name: Place(e.benchmark),
        f"{name}/{e.task}": Place(e.benchmark, e.task),
        f"{name}/{e.task} {e.metric}": place,
    }
    return {**found, f"{name} {e.metric}": place} if e.task == e.benchmark else found


def _printed(part: Part) -> Iterator[tuple[str, Place]]:
    """The labels of rows (`words.row_label`)."""
    seen = {task: {r.category for r in part.records if r.task == task} for task in metrics_of(part)}
    for task, measured in metrics_of(part).items():
        for metric in measured:
            told = sorted(c for c in seen[task] if c) if metric.by_category else []
            for category in (None, *told):
                place = Place(part.benchmark, task, metric.name, category)
                yield from _labels(place, speaks=metric.primary)
    for average in averages_of(part):
        yield from _labels(Place(part.benchmark, average.task, average.metric.name), speaks=True)


def _printed_figure(e: Estimate) -> Iterator[tuple[str, Place]]:
    if e.category is None:
        yield from _labels(Place(e.benchmark, e.task, e.metric), speaks=False)


def _labels(place: Place, *, speaks: bool) -> Iterator[tuple[str, Place]]:
    """A figure's label, and that with its metric; a task's alone is the task's, not a metric's."""
    benchmark, task, metric = place.benchmark, place.task or "", place.metric or ""
    label = figure_label(benchmark, task, metric)
    is_own = label != task_label(benchmark, task) or place.category is not None
    label = label if place.category is None else f"{label}, {place.category}"
    if is_own and speaks:
        yield label, place
    elif speaks and label != benchmark_label(benchmark):
        yield label, Place(benchmark, task)
    yield f"{label} ({metric_words(metric)})", place


def _ways(name: str, place: Place, metrics: Mapping[str, Sequence[object]]) -> dict[str, Place]:
    found = {name: place}
    for task, measured in metrics.items():
        own = Place(place.benchmark, task)
        found[f"{name}/{task}"] = own
        for metric in measured:
            called = getattr(metric, "name", "")
            found[f"{name}/{task} {called}"] = Place(place.benchmark, task, called)
            if len(metrics) == 1:
                found[f"{name} {called}"] = Place(place.benchmark, task, called)
    return found


def _categories(name: str, part: Part) -> dict[str, Place]:
    """Of the tasks whose primary metric is told by category."""
    metrics = metrics_of(part)
    found: dict[str, Place] = {}
    for task, measured in metrics.items():
        told = [m.name for m in measured if m.primary and m.by_category]
        seen = sorted({r.category for r in part.records if r.task == task and r.category})
        for category in seen if told else ():
            own = Place(part.benchmark, task, told[0], category)
            found[f"{name}/{task}/{category}"] = own
            if len(metrics) == 1:
                found[f"{name}/{category}"] = own
    return found


def _averages(name: str, place: Place, averages: Sequence[Average]) -> dict[str, Place]:
    found: dict[str, Place] = {}
    for average in averages:
        task, metric = average.task, average.metric.name
        found.setdefault(f"{name}/{task}", Place(place.benchmark, task))
        found[f"{name}/{task} {metric}"] = Place(place.benchmark, task, metric)
    own = own_figure(averages)
    if own is not None:
        found |= dict.fromkeys((f"{name}/average", f"{name} average"), Place(place.benchmark, *own))
    return found


def published(runs: Sequence[Run]) -> list[str]:
    """Models known by their figures only."""
    with_records = set(names(runs))
    specs = [run.manifest.get("suite", {}).get("models", {}) for run in runs]
    found = [n for s in specs for n, spec in s.items() if spec.get("role") == "published"]
    return [name for name in dict.fromkeys(found) if name not in with_records]
