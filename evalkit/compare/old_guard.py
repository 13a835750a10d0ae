"""The comparability guard: two scores compare only if they were made alike.

What must agree is what a benchmark says of itself in the manifest (`Benchmark.describe`, or what
an import found in the files): versions, data, shots, seeds, stops, templates, judge, judge
prompt, reference; and how its metrics are scaled.  What differs by nature (file names, how many
records there were) is left out.  Something that one side does not say is not a difference: it
is unknown, and said to be.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from evalkit.compare.sides import Part, find, metrics_of
from evalkit.core import Json, Run
from evalkit.errors import ComparisonError

__all__ = ["Difference", "allowed_fields", "check", "differences", "settings"]

_NEUTRAL = frozenset(
    {"file", "files", "model_in_file", "models_in_files", "records", "documents", "remarks"}
    | {"settings_differences", "path", "name", "config", "date", "groups", "metrics", "filters"}
    | {"alpaca_eval", "lm_eval", "evaluator_model", "n", "n_samples", "with_reference"}
)
"""Keys that tell where something came from, how much there is, or repeat what others decide."""
_ALWAYS = ("fingerprint", "seed")
"""What runs that repeat one measurement may be told to differ in."""
_ALIKE: dict[str, Json] = {"judge.protocol": "recorded"}
"""Values that stand for any other: recorded judgments were made by some protocol."""


@dataclass(frozen=True)
class Difference:
    """One setting that two scores do not share."""

    field: str
    """As `--allow-different` takes it."""
    candidate: Json
    baseline: Json

    def __str__(self) -> str:
        return f"{self.field}: {_shown(self.candidate)} against {_shown(self.baseline)}"


def settings(part: Part, task: str) -> dict[str, Json]:
    """What decides the scores of one task, by dotted name."""
    described = _description(part)
    own = {k: v for k, v in described.items() if k not in ("tasks", *_NEUTRAL)}
    tasks = described.get("tasks")
    of_task = tasks.get(task) if isinstance(tasks, Mapping) else None
    found = dict(_flat(own))
    if isinstance(of_task, Mapping):
        found |= {_task_name(name): value for name, value in _flat(of_task)}
    for metric in metrics_of(part).get(task, ()):
        found[f"metric.{metric.name}"] = [metric.unit, metric.scale, metric.higher_is_better]
    return found


def differences(
    candidate: Part, baseline: Part, task: str
) -> tuple[list[Difference], list[Difference]]:
    """(settings both state and that differ, settings only one states)."""
    if candidate.run is baseline.run and _description(candidate) is _description(baseline):
        return [], []
    ours, theirs = settings(candidate, task), settings(baseline, task)
    differ: list[Difference] = []
    unknown: list[Difference] = []
    for name in dict.fromkeys([*ours, *theirs]):
        a, b = ours.get(name), theirs.get(name)
        if a == b or (name in _ALIKE and _ALIKE[name] in (a, b)):
            continue
        if name.startswith("metric.") and None in (a, b):
            continue
        (unknown if None in (a, b) else differ).append(Difference(name, a, b))
    return differ, unknown


def check(
    candidate: Part, baseline: Part, tasks: Sequence[str], allow: Collection[str] = ()
) -> dict[str, list[Difference]]:
    """Refuse to compare what was not made alike.

    Args:
        candidate: One side's records of a benchmark.
        baseline: The other's.
        tasks: Tasks both have.
        allow: Fields that may differ, by name or by their beginning (`judge` for `judge.model`).

    Returns:
        By task, the differences that were allowed.

    Raises:
        ComparisonError: names every difference of every task that is not allowed.
    """
    refused: list[str] = []
    fields: list[str] = []
    allowed: dict[str, list[Difference]] = {}
    for task in tasks:
        differ, _ = differences(candidate, baseline, task)
        for difference in differ:
            if _is_allowed(difference.field, allow):
                allowed.setdefault(task, []).append(difference)
            else:
                refused.append(f"{task}: {difference}")
                fields.append(difference.field)
    if refused:
        some = " ".join(f"--allow-different {f}" for f in dict.fromkeys(fields))
        raise ComparisonError(
            f"{candidate.model!r} and {baseline.model!r} were not measured alike on "
            f"{candidate.benchmark!r}:\n  " + "\n  ".join(dict.fromkeys(refused)) + "\nrun both "
            f"with one suite; or, to compare all the same and have it flagged: {some}"
        )
    return allowed


def allowed_fields(runs: Sequence[Run], given: Collection[str]) -> frozenset[str]:
    """`given`, each of which is a setting of these runs or the beginning of some.

    Raises:
        ComparisonError: names one that is neither, and all there are.
    """
    if not given:
        return frozenset()
    known = {*_ALWAYS, *(name for run in runs for name in _all_settings(run))}
    for name in given:
        if not any(_is_allowed(field, [name]) for field in known):
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ComparisonError(
                f"--allow-different {name!r} is no setting of these runs; {hint}expected one of: "
                f"{', '.join(sorted(known))}; or the beginning of some, as judge of judge.model"
            )
    return frozenset(given)


def _all_settings(run: Run) -> Iterator[str]:
    for model in dict.fromkeys(record.model for record in run.records):
        for part in find([run], model).parts.values():
            for task in metrics_of(part):
                yield from settings(part, task)


def _is_allowed(field: str, allow: Collection[str]) -> bool:
    return any(field == name or field.startswith(f"{name}.") for name in allow)


def _description(part: Part) -> Mapping[str, Json]:
    """Of recorded evidence where the model's scores came from some, else of the benchmark."""
    for entry in part.run.manifest.get("evidence", ()):
        if (entry.get("model"), entry.get("entry")) == (part.model, part.benchmark):
            found: Mapping[str, Json] = entry.get("description", {})
            return found
    for entry in part.run.manifest.get("benchmarks", ()):
        if entry.get("name") == part.benchmark:
            described: Mapping[str, Json] = entry.get("description", {})
            return described
    return {}


def _flat(value: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, Json]]:
    for key, inner in value.items():
        if key in _NEUTRAL:
            continue
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{prefix}{key}.")
        elif inner is not None:
            yield f"{prefix}{key}", inner


def _task_name(name: str) -> str:
    return "task_version" if name == "version" else name


def _shown(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
