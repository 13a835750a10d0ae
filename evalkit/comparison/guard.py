"""The comparability guard: two scores compare only if their settings are the same.

What must agree is what a benchmark says of itself in the manifest (`Benchmark.describe`, or what
an import found in the files): versions, data, shots, seeds, stops, templates, judge, judge
prompt, reference; and how its metrics are scaled.  What differs by nature (file names, how many
records there were) is left out.  Something that one side does not say is not a difference: it
is unknown, and said to be.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from evalkit.comparison.resolve import Part, find, recorded
from evalkit.core import Json
from evalkit.core.contests import Caution, SettingsDiffer, StatedByOne
from evalkit.core.run import Run
from evalkit.draw import settings_text
from evalkit.errors import ComparisonError, did_you_mean

__all__ = [
    "WAYS_OUT",
    "allowed_fields",
    "check",
    "differences",
    "judge_model",
    "not_allowed",
    "of_judge",
    "same_model",
    "settings",
]

_NEUTRAL = frozenset(
    {"file", "files", "model_in_file", "models_in_files", "records", "documents", "remarks"}
    | {"settings_differences", "path", "name", "config", "date", "groups", "metrics", "filters"}
    | {"alpaca_eval", "lm_eval", "evaluator_model", "n", "n_samples", "with_reference"}
)
"""Keys that tell where something came from, how much there is, or repeat what others decide."""
WAYS_OUT = (
    "have one judge judge both (`evalkit judge RUN --judge NAME`), or join the two judges "
    "(`evalkit judge-bridge RUN`)"
)
"""Where nothing but the judge differs."""
_ALWAYS = ("fingerprint", "seed")
"""What runs that repeat one measurement may be told to differ in."""
_ALIKE: dict[str, Json] = {"judge.protocol": "recorded"}
"""Values that stand for any other: recorded judgments were made by some protocol."""


def settings(part: Part, task: str) -> dict[str, Json]:
    """What decides the scores of one task, by dotted name."""
    described = part.description.all
    found = dict(_flat({k: v for k, v in described.items() if k != "tasks"}))
    of_task = part.description.tasks.get(task)
    if isinstance(of_task, Mapping):
        found |= {
            "task_version" if name == "version" else name: value for name, value in _flat(of_task)
        }
    if model := judge_model(part):
        found.setdefault("judge.model", model)
    for metric in part.entry.metrics.get(task, ()):
        found[f"metric.{metric.name}"] = [metric.unit, metric.scale, metric.higher_is_better]
    return found


def judge_model(part: Part) -> str:
    """Who is behind the judges' names; empty where judgments are recorded, or nobody says."""
    known = {judge.name: judge for judge in part.run.manifest.judges}
    judges = [known[name] for name in part.entry.judges if name in known]
    models = [judge.model or judge.engine.model or "" for judge in judges]
    recorded = any(judge.engine.type == "recorded" for judge in judges)
    return "" if recorded or not all(models) else ", ".join(models)


def _published_judge(part: Part, live: Part) -> str:
    """The model behind recorded judgments, by the evaluator that judges the other side.

    An evaluator's published judgments are by the model that it names.  Empty where that is not
    known, or where the other side's judge is it, or a snapshot of it.
    """
    said, other = part.description.judge or {}, live.description.judge or {}
    model, judge = other.get("evaluator_model"), judge_model(live)
    if said.get("protocol") != "recorded" or said.get("evaluator") != other.get("evaluator"):
        return ""
    same = not model or re.fullmatch(rf"{re.escape(str(model))}(-[0-9-]+)?", judge)
    return "" if same or not judge else str(model)


def differences(
    candidate: Part, baseline: Part, task: str
) -> tuple[list[SettingsDiffer], list[StatedByOne]]:
    """(settings both state and that differ, settings only one states)."""
    if candidate.run is baseline.run and candidate.description is baseline.description:
        return [], []
    ours, theirs = settings(candidate, task), settings(baseline, task)
    for mine, part, other in ((ours, candidate, baseline), (theirs, baseline, candidate)):
        if "judge.model" not in mine and (model := _published_judge(part, other)):
            mine["judge.model"] = model
    differ: list[SettingsDiffer] = []
    unknown: list[StatedByOne] = []
    for name in dict.fromkeys([*ours, *theirs]):
        a, b = ours.get(name), theirs.get(name)
        if a == b or (name in _ALIKE and _ALIKE[name] in (a, b)):
            continue
        if a is not None and b is not None:
            differ.append(SettingsDiffer(name, a, b))
        elif not name.startswith("metric."):
            unknown.append(StatedByOne(name))
    return differ, unknown


def check(
    candidate: Part, baseline: Part, tasks: Sequence[str], allow: Collection[str] = ()
) -> dict[str, list[Caution]]:
    """Refuse to compare where settings differ.

    Args:
        candidate: One side's records of a benchmark.
        baseline: The other's.
        tasks: Tasks both have.
        allow: Fields that may differ, by name or by their beginning (`judge` for `judge.model`).

    Returns:
        By task, the differences that were allowed, and what only one side states.

    Raises:
        ComparisonError: names every difference of every task that is not allowed.
    """
    refused: dict[str, str] = {}
    found: dict[str, list[Caution]] = {}
    for task in tasks:
        differ, unknown = differences(candidate, baseline, task)
        found[task] = [*(d for d in differ if _is_allowed(d.field, allow)), *unknown]
        for d in differ:
            if not _is_allowed(d.field, allow):
                refused[f"{task}: {settings_text(d)}"] = d.field
    if refused:
        some = " ".join(f"--allow-different {f}" for f in dict.fromkeys(refused.values()))
        ways = WAYS_OUT if all(map(of_judge, refused.values())) else "run both with one suite"
        raise ComparisonError(
            f"settings of {candidate.model!r} and {baseline.model!r} differ on "
            f"{candidate.benchmark!r}:\n  " + "\n  ".join(refused) + f"\n{ways}; or, to compare "
            f"all the same and have it flagged: {some}"
        )
    return found


def not_allowed(candidate: Part, baseline: Part, allow: Collection[str]) -> list[SettingsDiffer]:
    """The settings of the tasks that both have, which differ and may not."""
    tasks = [task for task in candidate.entry.tasks if task in baseline.entry.tasks]
    found = [d for task in tasks for d in differences(candidate, baseline, task)[0]]
    return [d for d in found if not _is_allowed(d.field, allow)]


def of_judge(field: str) -> bool:
    """Whether a setting says who judges, or how."""
    return field.partition(".")[0] == "judge"


def same_model(first: Part, part: Part, allow: Collection[str]) -> None:
    """Refuse two checkpoints under one name as repetitions: they repeat nothing."""
    marks = [first.fingerprint, part.fingerprint]
    if None in marks or marks[0] == marks[1] or "fingerprint" in allow:
        return
    places = [first.run.folder, part.run.folder]
    raise ComparisonError(
        f"{first.model!r} is not the same model in {places[0]} (fingerprint {marks[0]!r}) and "
        f"{places[1]} ({marks[1]!r}), and runs that repeat a measurement are of one; compare them "
        f"as {places[0].name}:{first.model} and {places[1].name}:{part.model}, or, if the weights "
        f"answer alike: --allow-different fingerprint"
    )


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
            raise ComparisonError(
                f"--allow-different {name!r} is no setting of these runs"
                f"{did_you_mean(name, known)}; expected one of: {', '.join(sorted(known))}; or the "
                f"beginning of some, as judge of judge.model"
            )
    return frozenset(given)


def _all_settings(run: Run) -> Iterator[str]:
    for model in recorded([run]):
        for part in find([run], model).parts.values():
            for task in part.entry.tasks:
                yield from settings(part, task)


def _is_allowed(field: str, allow: Collection[str]) -> bool:
    return any(field == name or field.startswith(f"{name}.") for name in allow)


def _flat(value: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, Json]]:
    for key, inner in value.items():
        if key in _NEUTRAL:
            continue
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{prefix}{key}.")
        elif inner is not None:
            yield f"{prefix}{key}", inner
