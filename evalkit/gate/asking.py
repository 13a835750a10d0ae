"""From stored runs to the gate's answer: whose scores, by which policy, and what must be there.

The command, the library and whatever gates checkpoints one by one ask here; `decisions` decides.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit import compare, store
from evalkit.compare import Side
from evalkit.core import UNANSWERED, Run
from evalkit.core.specs import GateSpec
from evalkit.errors import ComparisonError, SuiteError
from evalkit.gate.absent import described
from evalkit.gate.decisions import GateResult, Policy, decide
from evalkit.gate.pinned import read_pinned

__all__ = ["Baseline", "expected", "gate_run", "policy_of", "read_baseline"]


@dataclass(frozen=True)
class Baseline:
    """Scores of the baseline that do not stand in the candidate's run."""

    path: Path
    """As the user named it; messages quote it."""
    run: Run
    repeats: tuple[Run, ...] = ()
    """More runs of it that repeat the measurement."""


def read_baseline(path: Path, *repeats: Path) -> Baseline:
    """Stored runs, or pinned `baseline.json` files.  Raises DataError or StoreError."""
    first, *more = (_read(one) for one in (path, *repeats))
    return Baseline(path, first, tuple(more))


def _read(path: Path) -> Run:
    if path.is_file() and path.name != "manifest.json":
        return read_pinned(path)
    return store.read_run(path)


def policy_of(run: Run) -> GateSpec | None:
    """The gate section of the suite that made a run."""
    given = run.manifest.get("suite", {}).get("gate")
    return None if given is None else GateSpec.model_validate(given)


def gate_run(
    run: Run,
    spec: GateSpec | None = None,
    *,
    candidate: str | None = None,
    baseline: Baseline | None = None,
    allow_different: Collection[str] = (),
    repeats: Sequence[Run] = (),
) -> GateResult:
    """Whether a run's candidate is worse than the baseline by more than a policy's margins.

    Args:
        run: Has the candidate's scores.
        spec: The policy; None: the gate section of the run's suite.
        candidate: `MODEL` or `RUN:MODEL`; None: the run's candidate.
        baseline: Has the baseline's scores; None: the run itself.
        allow_different: Settings that may differ; see `compare.Options`.
        repeats: More runs that repeat this one's measurement: a sample's score is its mean over
            them, and what runs shift by is in the bounds (`compare.repeats`).

    Raises:
        SuiteError: there is no policy.
        ComparisonError: candidate or baseline cannot be told, or were not measured alike.
    """
    if spec is None:
        spec = policy_of(run)
    if spec is None:
        raise SuiteError(
            f"{run.folder}: its suite has no gate section; write one (gate: {{baseline: MODEL, "
            f"margins: {{default: 2.0}}}}), or name a suite that has with --policy"
        )
    policy = Policy.of(spec)
    mine = [run, *repeats]
    others = [] if baseline is None else [baseline.run, *baseline.repeats]
    ours, theirs = _sides(mine, spec, candidate, baseline)
    allowed = compare.allowed_fields([*mine, *others], allow_different)
    options = compare.Options(1 - 2 * policy.alpha, policy.power, allowed, repeats=True)
    sizes = [max(len(side.repeats[name]) for name in side.parts) for side in (ours, theirs)]
    rows = compare.compare_sides(ours, [theirs], options)
    notes = [note for one in (*mine, *others) for note in _notes(one)]
    notes += compare.weak_notes(rows)
    if max(sizes) > 1:
        first = _repeated(ours.label, theirs.label, sizes)
        notes = [first, *compare.unvaried((ours, theirs)), *notes]
    result = decide(
        (ours.label, theirs.label),
        rows,
        policy,
        expected=list(
            dict.fromkeys([*(e for one in mine for e in expected(one)), *_demanded(spec)])
        ),
        notes=list(dict.fromkeys(notes)),
        repeated=max(sizes) > 1,
    )
    behind = {one.folder.resolve(): one for one in (*mine, *others)}
    result = replace(result, never_answered=sum(map(_never_answered, behind.values())))
    return described(result, [*mine, *others], (ours, theirs))


def _repeated(ours: str, theirs: str, sizes: Sequence[int]) -> str:
    words = [f"{n} {'run' if n == 1 else 'runs'}" for n in sizes]
    return (
        f"{words[0]} of {ours}, {words[1]} of {theirs}: scores are means over them, and what a run "
        f"shifts by is in the bounds."
    )


def _sides(
    mine: Sequence[Run], spec: GateSpec, candidate: str | None, baseline: Baseline | None
) -> tuple[Side, Side]:
    """Candidate and baseline, under labels that tell them apart."""
    if baseline is None or _is_among(baseline.run, mine):
        more = [] if baseline is None else list(baseline.repeats)
        every = [*mine, *(run for run in more if not _is_among(run, mine))]
        found, (name,) = compare.pick(every, candidate, [spec.baseline])
        ours, theirs = (compare.find(every, one, repeats=True) for one in (found, name))
        return ours, theirs
    others = [baseline.run, *baseline.repeats]
    known = compare.names(others)
    if spec.baseline in known:
        name = spec.baseline
    elif len(known) == 1:
        name = known[0]
    else:
        raise ComparisonError(
            f"{baseline.path}: has no model {spec.baseline!r}, which the policy names; it has "
            f"{', '.join(known) or 'none'}"
        )
    chosen = candidate or _only_candidate(mine)
    where = mine if chosen in compare.names(mine) else [*mine, *others]
    ours = compare.find(where, chosen, repeats=True)
    theirs = compare.find(others, name, repeats=True)
    if chosen in known or name in compare.names(mine):
        places = [mine[0].folder, others[0].folder]
        if places[0].name != places[1].name:
            places = [Path(place.name) for place in places]
        ours = replace(ours, label=f"{places[0]}:{chosen}")
        theirs = replace(theirs, label=f"{places[1]}:{name}")
    return ours, theirs


def _is_among(run: Run, runs: Sequence[Run]) -> bool:
    return run.folder.resolve() in {one.folder.resolve() for one in runs}


def _only_candidate(runs: Sequence[Run]) -> str:
    found = compare.by_role(runs, "candidate")
    if len(found) != 1:
        raise ComparisonError(
            f"{runs[0].folder}: {len(found)} candidates ({', '.join(found) or 'none'}); say which "
            f"with --candidate (models: {', '.join(compare.names(runs)) or 'none'})"
        )
    return found[0]


def expected(run: Run) -> list[tuple[str, str]]:
    """Benchmark and task of every headline figure that a run should have."""
    return [
        (str(entry.get("name")), task)
        for entry in run.manifest.get("benchmarks", ())
        for task, _ in compare.headline_of_entry(entry)
    ]


def _demanded(spec: GateSpec) -> list[tuple[str, str]]:
    """What the policy requires by name, whether the run has it or not."""
    found = []
    for name in spec.required:
        benchmark, _, task = name.partition("/")
        found.append((benchmark, task))
    return found


def _never_answered(run: Run) -> int:
    return sum(r.outcome.status in UNANSWERED for r in run.records)


def _notes(run: Run) -> list[str]:
    """What makes a run's scores doubtful."""
    found = []
    limit = run.manifest.get("limit")
    if limit is not None:
        found.append(f"{run.folder}: limited to {limit} samples a task; for trying out only.")
    open_samples = _never_answered(run)
    if open_samples:
        step = "`evalkit run` of its suite asks them again"
        if run.folder.is_file():
            step = "pin the baseline again (--write-baseline) from a run that is complete"
        found.append(f"{run.folder}: {open_samples} samples were never answered; {step}.")
    if run.manifest.get("sealed") is False:
        found.append(f"{run.folder}: is not finished.")
    return found + [f"Damaged evidence: {d.message}." for d in compare.damages(run)]
