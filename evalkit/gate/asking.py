"""From stored runs to the gate's answer: whose scores, by which policy, and what must be there.

The command, the library and whatever gates checkpoints one by one ask here; `decisions` decides.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from evalkit import compare, store
from evalkit.errors import ComparisonError, SuiteError
from evalkit.gate.decisions import GateResult, Policy, decide
from evalkit.gate.pinned import read_pinned
from evalkit.specs import GateSpec
from evalkit.types import UNANSWERED, Run

__all__ = ["Baseline", "expected", "gate_run", "policy_of", "read_baseline"]


@dataclass(frozen=True)
class Baseline:
    """Scores of the baseline that do not stand in the candidate's run."""

    path: Path
    """As the user named it; messages quote it."""
    run: Run


def read_baseline(path: Path) -> Baseline:
    """A stored run, or a pinned `baseline.json`.  Raises DataError or StoreError."""
    if path.is_file() and path.name != "manifest.json":
        return Baseline(path, read_pinned(path))
    return Baseline(path, store.read_run(path))


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
) -> GateResult:
    """Whether a run's candidate is worse than the baseline by more than a policy's margins.

    Args:
        run: Has the candidate's scores.
        spec: The policy; None: the gate section of the run's suite.
        candidate: `MODEL` or `RUN:MODEL`; None: the run's candidate.
        baseline: Has the baseline's scores; None: the run itself.
        allow_different: Settings that may differ; see `compare.Options`.

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
    runs, ours, theirs = _sides(run, spec, candidate, baseline)
    options = compare.Options(1 - 2 * policy.alpha, policy.power, frozenset(allow_different))
    return decide(
        (ours, theirs),
        compare.compare(runs, ours, [theirs], options),
        policy,
        expected=[*expected(run), *_demanded(spec)],
        notes=[note for one in runs for note in _notes(one)],
    )


def _sides(
    run: Run, spec: GateSpec, candidate: str | None, baseline: Baseline | None
) -> tuple[list[Run], str, str]:
    """Runs, candidate, baseline."""
    if baseline is None or baseline.run.folder.resolve() == run.folder.resolve():
        found, (name,) = compare.pick([run], candidate, [spec.baseline])
        return [run], found, name
    other = baseline.run
    known = compare.names([other])
    if spec.baseline in known:
        name = spec.baseline
    elif len(known) == 1:
        name = known[0]
    else:
        raise ComparisonError(
            f"{baseline.path}: has no model {spec.baseline!r}, which the policy names; it has "
            f"{', '.join(known) or 'none'}"
        )
    ours = candidate or _only_candidate(run)
    places = (run.folder, other.folder)
    if places[0].name != places[1].name:
        places = (Path(places[0].name), Path(places[1].name))
    if ours in known or name in compare.names([run]):
        ours, name = f"{places[0]}:{ours}", f"{places[1]}:{name}"
    return [run, other], ours, name


def _only_candidate(run: Run) -> str:
    found = compare.by_role([run], "candidate")
    if len(found) != 1:
        raise ComparisonError(
            f"{run.folder}: {len(found)} candidates ({', '.join(found) or 'none'}); say which "
            f"with --candidate (models: {', '.join(compare.names([run])) or 'none'})"
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


def _notes(run: Run) -> list[str]:
    """What makes a run's scores doubtful."""
    found = []
    limit = run.manifest.get("limit")
    if limit is not None:
        found.append(f"{run.folder}: limited to {limit} samples a task; for trying out only.")
    open_samples = sum(r.outcome.status in UNANSWERED for r in run.records)
    if open_samples:
        found.append(
            f"{run.folder}: {open_samples} samples were never answered; `evalkit run` of its suite "
            f"asks them again."
        )
    if run.manifest.get("sealed") is False:
        found.append(f"{run.folder}: is not finished.")
    return found + [f"Damaged evidence: {d.message}." for d in compare.damages(run)]
