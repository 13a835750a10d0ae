"""`evalkit gate`: pass, regression or inconclusive, for CI."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.options import split
from evalkit.errors import ComparisonError, SuiteError

if TYPE_CHECKING:
    from evalkit.gate import GateResult
    from evalkit.specs import GateSpec
    from evalkit.types import Run

__all__ = ["command"]


@dataclass(frozen=True)
class _Options:
    """The command line as click parsed it; one field per option below."""

    target: str
    candidate: str | None
    baseline_run: Path | None
    policy: str | None
    allow_different: tuple[str, ...]
    write_baseline: Path | None
    junit: Path | None
    comment: Path | None
    as_json: bool


@click.command("gate")
@click.argument("target", metavar="RUN|SUITE")
@click.option("--candidate", help="MODEL or RUN:MODEL; default: the run's candidate.")
@click.option(
    "--baseline-run",
    type=click.Path(path_type=Path),
    help="Stored run or baseline.json that has the baseline; default: RUN itself.",
)
@click.option("--policy", metavar="SUITE", help="Suite whose gate section decides; default: RUN's.")
@click.option("--allow-different", multiple=True, metavar="FIELD", help="Setting that may differ.")
@click.option(
    "--write-baseline",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Pin the candidate's scores as a baseline.json for later gates, if it passes.",
)
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML here.")
@click.option("--comment", type=click.Path(path_type=Path), help="Write a PR comment here.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(**given: Any) -> int:
    """Say whether a candidate is worse than its baseline by more than the suite's margins.

    A stored RUN is judged as it is; a SUITE is run first.  Exit code 0: passed (or undecided,
    where the policy only warns); 1: regression; 2: wrong input; 3: undecided.  On GitHub the
    table goes to the job summary and the reasons become annotations.
    """
    from evalkit import compare, gate

    asked = _Options(**given)
    run = _run_of(asked)
    spec = _policy(asked, run)
    policy = gate.Policy.of(spec)
    runs, candidate, baseline = _sides(asked, run, spec)
    options = compare.Options(1 - 2 * policy.alpha, policy.power, _allowed(asked))
    rows = compare.compare(runs, candidate, [baseline], options)
    result = gate.decide(
        (candidate, baseline),
        rows,
        policy,
        expected=_expected(run),
        notes=[note for r in runs for note in _notes(r)],
    )
    _write(asked, result)
    if asked.write_baseline is not None:
        _pin(asked.write_baseline, run, candidate, result)
    return result.exit_code


def _allowed(asked: _Options) -> frozenset[str]:
    return frozenset(split(asked.allow_different))


# --- what is gated --------------------------------------------------------------------------


def _run_of(asked: _Options) -> Run:
    """The stored run, or the one that running the suite makes."""
    from evalkit import store

    path = Path(asked.target)
    if (path / "manifest.json").is_file() or (path.is_file() and path.suffix != ".yaml"):
        return store.read_run(path)
    if path.is_dir():
        raise ComparisonError(f"{asked.target!r} is a folder without a run; expected RUN or SUITE")
    return _run_suite(asked.target)


def _run_suite(suite: str) -> Run:
    from evalkit import extensions, runner, store
    from evalkit import suite as suites
    from evalkit.cli.progress import watcher

    file = suites.locate(suite)
    loaded = suites.load(file, (), extensions)
    command = ("evalkit", "run", suite)
    origin = runner.Origin(suite, file.parent, suites.find_workspace(suite), command)
    watch = watcher(verbose=False)
    with store.CompletionStore(origin.state / "cache.sqlite") as cache:
        job = runner.assemble(loaded, origin, runner.Selection(), cache, say=watch.step)
        result = runner.run(job, None, retry_failed=True, progress=watch)
    if result.unanswered:
        click.echo(f"incomplete: {result.unanswered} samples: {result.reasons}", err=True)
    click.echo(f"run: {result.run.folder}", err=True)
    return result.run


def _policy(asked: _Options, run: Run) -> GateSpec:
    from evalkit import extensions
    from evalkit import suite as suites
    from evalkit.specs import GateSpec

    if asked.policy is not None:
        spec = suites.load(suites.locate(asked.policy), (), extensions).gate
    else:
        given = run.manifest.get("suite", {}).get("gate")
        spec = None if given is None else GateSpec.model_validate(given)
    if spec is None:
        where = asked.policy or run.folder
        raise SuiteError(
            f"{where}: its suite has no gate section; write one (gate: {{baseline: MODEL, "
            f"margins: {{default: 2.0}}}}), or name a suite that has with --policy"
        )
    return spec


def _sides(asked: _Options, run: Run, spec: GateSpec) -> tuple[list[Run], str, str]:
    """Runs, candidate, baseline."""
    from evalkit import compare

    if asked.baseline_run is None:
        candidate, (baseline,) = compare.pick([run], asked.candidate, [spec.baseline])
        return [run], candidate, baseline
    other = _baseline_run(asked.baseline_run)
    known = compare.names([other])
    if spec.baseline in known:
        name = spec.baseline
    elif len(known) == 1:
        name = known[0]
    else:
        raise ComparisonError(
            f"{asked.baseline_run}: has no model {spec.baseline!r}, which the policy names; it "
            f"has {', '.join(known) or 'none'}"
        )
    candidate = asked.candidate or _only_candidate(run)
    places = (run.folder, other.folder)
    if places[0].name != places[1].name:
        places = (Path(places[0].name), Path(places[1].name))
    if candidate in known or name in compare.names([run]):
        candidate, name = f"{places[0]}:{candidate}", f"{places[1]}:{name}"
    return [run, other], candidate, name


def _only_candidate(run: Run) -> str:
    from evalkit import compare

    found = compare.by_role([run], "candidate")
    if len(found) != 1:
        raise ComparisonError(
            f"{run.folder}: {len(found)} candidates ({', '.join(found) or 'none'}); say which "
            f"with --candidate (models: {', '.join(compare.names([run])) or 'none'})"
        )
    return found[0]


def _baseline_run(path: Path) -> Run:
    from evalkit import gate, store

    if path.is_file() and path.name != "manifest.json":
        return gate.read_pinned(path)
    return store.read_run(path)


def _expected(run: Run) -> list[tuple[str, str]]:
    """Every task of the run that has figures of single samples."""
    return [
        (str(entry.get("name")), task)
        for entry in run.manifest.get("benchmarks", ())
        for task, about in entry.get("tasks", {}).items()
        if any(metric.get("primary") for metric in about.get("metrics", ()))
    ]


def _notes(run: Run) -> list[str]:
    """What makes a run's scores doubtful."""
    found = []
    limit = run.manifest.get("limit")
    if limit is not None:
        found.append(f"{run.folder}: limited to {limit} samples a task; for trying out only.")
    for entry in run.manifest.get("evidence", ()):
        found += [
            f"Damaged evidence: {finding.get('message')}."
            for finding in entry.get("findings", ())
            if finding.get("damaged")
        ]
    return found


# --- what is written ------------------------------------------------------------------------


def _write(asked: _Options, result: GateResult) -> None:
    from evalkit import gate, store

    if asked.junit is not None:
        store.write_file(asked.junit, gate.junit(result))
    if asked.comment is not None:
        store.write_file(asked.comment, gate.comment(result).encode())
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        path = Path(summary)
        used = path.stat().st_size if path.exists() else 0
        with path.open("a", encoding="utf-8") as file:
            file.write(gate.job_summary(result, used))
    if asked.as_json:
        click.echo(json.dumps(result.to_json(), indent=1, ensure_ascii=False))
    else:
        for line in gate.gate_lines(result):
            click.echo(line)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in gate.workflow_commands(result):
            click.echo(line, file=sys.stderr if asked.as_json else sys.stdout)


def _pin(path: Path, run: Run, candidate: str, result: GateResult) -> None:
    from evalkit import gate, store

    if result.verdict != "pass":
        click.echo(f"not written: {path}, since the gate did not pass", err=True)
        return
    model = candidate.rpartition(":")[2]
    store.write_file(path, gate.pin(run, model))
    click.echo(f"baseline: {path}", err=True)
