"""What a claim may name: the models and the places that stored runs have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.compare.claim_text import Names, Place
from evalkit.compare.headline import own_figure
from evalkit.compare.sides import Part, averages_of, find, metrics_of, names
from evalkit.compare.words import benchmark_label
from evalkit.protocols import Average
from evalkit.types import Run

__all__ = ["claim_names", "published"]


def claim_names(runs: Sequence[Run]) -> Names:
    """Models with records or figures, and every benchmark, task and metric of them."""
    models = [*names(runs), *published(runs)]
    for run in runs:
        own = dict.fromkeys(record.model for record in run.records)
        models += [f"{run.folder.name}:{name}" for name in own]
    places: dict[str, Place] = {}
    for run in runs:
        for model in dict.fromkeys(record.model for record in run.records):
            for benchmark, part in find([run], model).parts.items():
                for name in dict.fromkeys((benchmark, benchmark_label(benchmark))):
                    places |= _ways(name, Place(benchmark), metrics_of(part))
                    places |= _averages(name, Place(benchmark), averages_of(part))
                    places = {**_categories(name, part), **places}
    for run in runs:
        for e in run.estimates:
            for name in (e.benchmark, benchmark_label(e.benchmark)):
                places.setdefault(name, Place(e.benchmark))
                places.setdefault(f"{name}/{e.task}", Place(e.benchmark, e.task))
                place = Place(e.benchmark, e.task, e.metric)
                places.setdefault(f"{name}/{e.task} {e.metric}", place)
                if e.task == e.benchmark:
                    places.setdefault(f"{name} {e.metric}", place)
    return Names(tuple(dict.fromkeys(models)), places)


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
