"""What speaks against a run's figures: its state, judges that are local or not fit, limits, damage.

Whoever compares, publishes, gates or claims asks here; the words are `draw`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from evalkit import catalogue
from evalkit.comparison.health import unfit, unvalidated
from evalkit.comparison.resolve import Part
from evalkit.core import Json
from evalkit.core.contests import (
    Caution,
    Damaged,
    Limited,
    LocalJudge,
    SettingsDiffer,
    Unfinished,
    Unreliable,
)
from evalkit.core.figures import FigureKey, Unit
from evalkit.core.run import Run, tasks_below
from evalkit.draw import state_text

__all__ = ["UNFINISHED", "cautions_of", "damages", "doubts", "of_thinking"]


def cautions_of(
    parts: Iterable[Part], unit: Unit, *, accepted: bool = False
) -> tuple[Caution, ...]:
    """Of a row over these parts; a length is not judged.

    Args:
        parts: One of each side and run.
        unit: Of the row.
        accepted: That a run is not as it was sealed takes no verdict away.
    """
    found: dict[Caution, None] = {}
    for part in parts:
        run = part.run
        if run.state != "finished":
            taken = accepted and run.state != "unfinished"
            found[Unreliable(run.manifest.run_id, run.state, run.faults, taken)] = None
        if catalogue.unit(unit).has_direction:
            if judge := unvalidated(run, part.benchmark):
                found[LocalJudge(judge)] = None
            found |= dict.fromkeys(unfit(run, part.benchmark))
        if run.manifest.limit is not None:
            found[Limited(run.manifest.limit)] = None
        mine = (d for d in damages(run, [part.model]) if d.benchmark == part.benchmark)
        found |= dict.fromkeys(mine)
    return tuple(found)


UNFINISHED = 0.05
"""Share of unfinished samples up to which a comparison has a verdict."""


def of_thinking(
    mine: Sequence[Part], others: Sequence[Part], key: FigureKey
) -> Iterator[Unfinished | SettingsDiffer]:
    """Where one side's models think otherwise, or do not come to an end."""
    for part in (*mine, *others):
        averages = part.entry.averages
        below = (tasks_below(a, averages) for a in averages if a.task == key.task)
        tasks = next(below, {key.task: ""})
        statuses = [r.outcome.status for r in part.records if r.task in tasks]
        share = statuses.count("unfinished") / len(statuses) if statuses else 0.0
        if share > UNFINISHED:
            yield Unfinished(part.model, part.benchmark, share)
    ours, theirs = (_generation(part, tasks) for part in (mine[0], others[0]))
    for name in dict.fromkeys([*ours, *theirs]):
        if ours.get(name) != theirs.get(name):
            yield SettingsDiffer(name, ours.get(name), theirs.get(name))


def _generation(part: Part, tasks: Collection[str]) -> dict[str, Json]:
    """What a model's own settings say of how it generates, by dotted name."""
    entry, about = part.run.model(part.model), part.description
    if entry is None:
        return {}
    said = {"thinking": entry.thinking, "chat_template_kwargs": entry.chat_template_kwargs}
    generated = {about.task(task).output_type for task in tasks} <= {None, "generate_until"}
    if generated and about.generation_config != "none":
        said["generation"] = entry.generation
    return {f"{name}.{k}": v for name, fields in said.items() for k, v in fields.items()}


def damages(run: Run, models: Collection[str] = ()) -> Iterator[Damaged]:
    """What the import of the evidence of `models` (none: of any) found, in the manifest's order."""
    for entry in run.manifest.evidence:
        for finding in entry.findings:
            if finding.damaged and (not models or entry.model in models):
                yield Damaged(entry.model, entry.entry, finding.message)


def doubts(run: Run, models: Collection[str] = ()) -> list[str]:
    """Why figures of `models` (none: of any) should not be published; empty where they may be."""
    limit = run.manifest.limit
    found = [] if run.state == "finished" else [state_text(run)]
    found += [] if limit is None else [f"limited to {limit} samples per task"]
    found += [
        f"damaged evidence of {d.model}, {d.benchmark}: {d.message}" for d in damages(run, models)
    ]
    # Damage of other models may be why, and is said with theirs.
    if not found and not run.manifest.publishable and not any(damages(run)):
        found.append("its manifest says that it is not publishable")
    return found
