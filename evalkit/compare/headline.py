"""Which figures of a benchmark are its headlines, and which are details of them.

A leaderboard shows an average and its columns; nobody claims, or gates, one of MMLU's 57 subjects
by accident.  So the headline figures are: the primary metric of every task, but where tasks are
averaged into a primary average, that average instead of them (beside them where they are its
columns).  Holm's correction, the gate and claims on a whole benchmark are over this set; the
details are shown, and corrected apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from evalkit.compare.averages import tasks_below
from evalkit.core import Json, Metric
from evalkit.core.protocols import Average
from evalkit.store.codec import decode

__all__ = ["averages_of_entry", "headline_of_entry", "headlines", "own_figure", "primary"]

Tasks: TypeAlias = Mapping[str, Sequence[Metric]]
Place: TypeAlias = tuple[str, str]
"""(task, metric)"""


def averages_of_entry(entry: Mapping[str, Json]) -> tuple[Average, ...]:
    """As the manifest's entry of a benchmark declares them."""
    return tuple(decode(Average, average) for average in entry.get("averages", ()))


def primary(tasks: Tasks, averages: Sequence[Average]) -> set[Place]:
    """The metric of each task or group that speaks for it."""
    own = {(task, m.name) for task, found in tasks.items() for m in found if m.primary}
    names: dict[str, str] = {}
    for average in averages:
        if average.metric.primary or average.task not in names:
            names[average.task] = average.metric.name
    return own | set(names.items())


def headlines(tasks: Tasks, averages: Sequence[Average]) -> set[Place]:
    """The headline figures; an average over tasks that were not asked is none."""
    complete = [
        a
        for a in averages
        if a.metric.primary and a.of and set(tasks_below(a, averages)) <= set(tasks)
    ]
    details = {t for a in complete if not a.columns for t in tasks_below(a, averages)}
    details |= {a.task for a in averages}
    own = {
        (task, m.name)
        for task, found in tasks.items()
        for m in found
        if m.primary and task not in details
    }
    return own | {(a.task, a.metric.name) for a in complete}


def headline_of_entry(entry: Mapping[str, Json]) -> list[Place]:
    """The headline figures of a benchmark as the manifest's entry declares it, in its order."""
    averages = averages_of_entry(entry)
    tasks = {
        task: tuple(decode(Metric, metric) for metric in about.get("metrics", ()))
        for task, about in entry.get("tasks", {}).items()
    }
    places = [(task, m.name) for task, found in tasks.items() for m in found]
    places += [(a.task, a.metric.name) for a in averages]
    wanted = headlines(tasks, averages)
    return [place for place in dict.fromkeys(places) if place in wanted]


def own_figure(averages: Sequence[Average]) -> Place | None:
    """The one figure a leaderboard stands for as a whole: its average."""
    return next(((a.task, a.metric.name) for a in averages if a.columns), None)
