"""What a claim lacks: samples that are not there, figures without samples, damaged evidence.

What is not there cannot carry a claim; each gap is a sentence that says so, followed by the figures
that are known all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from evalkit.compare.claim_text import Claim, Place
from evalkit.compare.doubts import damages
from evalkit.compare.headline import averages_of_entry, primary
from evalkit.compare.rows import Row
from evalkit.compare.sides import find, metrics_of, run_names
from evalkit.compare.words import benchmark_label, figure_label, metric_words, task_label
from evalkit.core import Estimate, Json, Metric, Run
from evalkit.draw import figure
from evalkit.store.codec import decode

__all__ = ["damaged", "missing", "only_published", "without_samples"]

_NO_INTERVAL = (
    "without scores of single samples the error of a difference cannot be computed, so that no "
    "interval can be given"
)
_NO_VALUES = (
    "has no paired interval: it is computed over all samples at once, and no value of single "
    "samples is there to be compared"
)


def missing(
    runs: Sequence[Run], claim: Claim, rows: Sequence[Row], others: Sequence[str]
) -> Iterator[str]:
    """Parts of a claim that no row was found for."""
    for other in others:
        mine = [row for row in rows if row.comparison.baseline == other]
        pair = f"{claim.subject} and {other}"
        if not claim.places and not mine:
            yield f"{pair} have no samples in common: {_NO_INTERVAL}."
            yield from _known(runs, (claim.subject, other), ())
        for place in dict.fromkeys(claim.places):
            if any(_covers(row, place) for row in mine):
                continue
            known = list(_known(runs, (claim.subject, other), (place,)))
            if _is_over_all(runs, (claim.subject, other), place):
                yield f"{_label(place)} of {pair} {_NO_VALUES}."
            else:
                why = f": {_NO_INTERVAL}" if known else ""
                yield f"{pair} have no samples of {_label(place)} in common{why}."
            yield from known


def _is_over_all(runs: Sequence[Run], pair: tuple[str, str], place: Place) -> bool:
    """Whether both have samples of the task, of which the metric has no value each."""
    parts = [find(runs, name).parts.get(place.benchmark) for name in pair]
    metrics = [{} if part is None else metrics_of(part) for part in parts]
    return place.metric is not None and all(
        place.task in known and place.metric not in {m.name for m in known[place.task]}
        for known in metrics
        if place.task is not None
    )


def without_samples(runs: Sequence[Run], claim: Claim, others: Sequence[str]) -> Iterator[str]:
    """Where a claim on everything there is has figures of both, but no samples of both."""
    if claim.places:
        return
    shown: dict[str, set[str]] = {}
    for run in runs:
        for e in run.estimates:
            if e.point is not None:
                shown.setdefault(e.model, set()).add(e.benchmark)
    measured = {(r.model, r.benchmark) for run in runs for r in run.records}
    ours = shown.get(claim.subject, set())
    for other in others:
        for benchmark in sorted(ours & shown.get(other, set())):
            if not {(claim.subject, benchmark), (other, benchmark)} <= measured:
                yield (
                    f"{claim.subject} and {other} have figures of {benchmark_label(benchmark)}, "
                    f"but no samples in common: name what the claim is about with 'on'."
                )


def only_published(runs: Sequence[Run], claim: Claim, published: Sequence[str]) -> Iterator[str]:
    """Why published figures carry no comparison, and what they are."""
    yield f"Only published figures of {', '.join(published)} are known: {_NO_INTERVAL}."
    yield from _known(runs, (claim.subject, *published), claim.places)


def damaged(runs: Sequence[Run], models: set[str]) -> Iterator[str]:
    """Findings that make evidence of these models doubtful."""
    for run in runs:
        own = {name.removeprefix(f"{place}:") for place in run_names(run) for name in models}
        for damage in damages(run, own):
            yield f"Damaged evidence of {damage.model}: {damage.message}."


def _covers(row: Row, place: Place) -> bool:
    c = row.comparison
    return (c.benchmark, c.category) == (place.benchmark, place.category) and (
        (place.task is None or c.task == place.task)
        and (place.metric is None or c.metric == place.metric)
    )


def _label(place: Place) -> str:
    if place.task is None:
        return benchmark_label(place.benchmark)
    if place.category is not None:
        return f"{task_label(place.benchmark, place.task)} ({place.category})"
    if place.metric is None:
        return task_label(place.benchmark, place.task)
    return f"{task_label(place.benchmark, place.task)} ({metric_words(place.metric)})"


def _known(runs: Sequence[Run], models: Sequence[str], places: Sequence[Place]) -> Iterator[str]:
    """The models' figures in words: those that speak for their tasks where there are some."""
    found = [
        (run, e)
        for run in runs
        for e in run.estimates
        if e.model in models and e.point is not None
        if any(_is_of(e, place) for place in places or (Place(e.benchmark),))
    ]
    named = any(place.metric is not None for place in places)
    speaking = [] if named else [e for run, e in found if _speaks(run, e)]
    for e in sorted(speaking or [e for _, e in found], key=lambda e: models.index(e.model)):
        yield (
            f"{e.model}, {figure_label(e.benchmark, e.task, e.metric)}, {metric_words(e.metric)}: "
            f"{figure(e.point, e.unit)} ({e.source or 'measured here'})"
        )


def _is_of(e: Estimate, place: Place) -> bool:
    return (
        (e.benchmark, e.category) == (place.benchmark, place.category)
        and place.task in (None, e.task)
        and place.metric in (None, e.metric)
    )


def _speaks(run: Run, e: Estimate) -> bool:
    return (e.task, e.metric) in _primary(run, e.benchmark)


def _primary(run: Run, benchmark: str) -> Collection[tuple[str, str]]:
    """The figures that speak for their tasks, as the run's manifest declares them."""
    entries: Sequence[Mapping[str, Json]] = run.manifest.get("benchmarks", ())
    entry: Mapping[str, Json] = next((e for e in entries if e.get("name") == benchmark), {})
    tasks = {
        task: [decode(Metric, metric) for metric in about.get("metrics", ())]
        for task, about in entry.get("tasks", {}).items()
    }
    return primary(tasks, averages_of_entry(entry))
