"""`evalkit gate`: pass, regression, incomplete or inconclusive, for CI."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.console import commands_of, split
from evalkit.errors import ComparisonError, SuiteError

if TYPE_CHECKING:
    from evalkit.core.contests import GateResult
    from evalkit.core.run import Run
    from evalkit.core.specs import GateSpec

__all__ = ["command"]

_NOT_WRITTEN = 3


@click.command("gate")
@click.argument("targets", metavar="RUN...|SUITE", nargs=-1, required=True)
@click.option("--candidate", help="MODEL or RUN:MODEL; default: the run's candidate.")
@click.option(
    "--baseline-run",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Stored run or baseline.json that has the baseline; several repeat it; default: RUN.",
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
def command(
    targets: tuple[str, ...],
    candidate: str | None,
    baseline_run: tuple[Path, ...],
    policy: str | None,
    allow_different: tuple[str, ...],
    write_baseline: Path | None,
    junit: Path | None,
    comment: Path | None,
    *,
    as_json: bool,
) -> int:
    """Say whether a candidate is worse than its baseline by more than the suite's margins.

    A stored RUN is judged as it is; a SUITE is run first.  Several RUNs repeat one measurement:
    their means are judged, and what a run shifts by by itself widens the bounds.  Exit code 0:
    passed (or inconclusive, where the policy only warns); 1: regression; 2: wrong input; 3:
    inconclusive, a required test that has no samples of both models, a suite whose run could not
    answer everything, or a --write-baseline that was not written.  On GitHub the table goes to
    the job summary and the reasons become annotations.
    """
    from evalkit import store
    from evalkit.compare.gate import gate, read_baseline

    if len(targets) > 1 and write_baseline is not None:
        raise ComparisonError(
            f"--write-baseline pins the scores of one run, and {len(targets)} are given; gate one "
            f"of them to pin it"
        )
    (run, *repeats), unanswered = _runs_of(targets)
    result = gate(
        run,
        None if policy is None else _policy(policy),
        candidate=candidate,
        baseline=[read_baseline(path) for path in baseline_run],
        allow_different=split(allow_different),
        repeats=repeats,
    )
    result = replace(result, unanswered=unanswered)
    if junit is not None:
        from evalkit.cli.ci import junit as as_junit

        store.write_file(junit, as_junit(result))
    _write(result, comment, as_json=as_json)
    pinned = write_baseline is None or _pin(write_baseline, run, result)
    return result.exit_code or (0 if pinned else _NOT_WRITTEN)


# --- what is gated --------------------------------------------------------------------------


def _runs_of(targets: tuple[str, ...]) -> tuple[list[Run], int]:
    """The stored runs, or the one that running the suite makes, and what that left unanswered."""
    from evalkit import store

    first, *more = targets
    if not more and not _is_stored(first):
        return _run_suite(first)
    suites = [target for target in more if not _is_stored(target)]
    if suites:
        raise ComparisonError(
            f"{suites[0]!r} is no stored run; runs that repeat a measurement are stored ones: run "
            f"the suite first (evalkit run), each time in a workspace without its cached answers"
        )
    return [store.load(Path(target)) for target in targets], 0


def _is_stored(target: str) -> bool:
    path = Path(target)
    if (path / "manifest.json").is_file():
        return True
    if path.is_dir():
        raise ComparisonError(f"{target!r} is a folder without a run; expected RUN or SUITE")
    return path.is_file() and path.suffix not in (".yaml", ".yml")


def _run_suite(suite: str) -> tuple[list[Run], int]:
    from evalkit import plugins, runner
    from evalkit import suite as suites
    from evalkit.cli.progress import watcher

    file = suites.locate(suite)
    loaded = suites.load(file, (), plugins)
    command = ("evalkit", "run", suite)
    origin = runner.Origin(suite, file.parent, suites.find_workspace(suite), command)
    result = runner.run_suite(loaded, origin, watcher(verbose=False))
    if result.unanswered:
        click.echo(f"incomplete: {result.unanswered} samples: {result.reasons}", err=True)
    click.echo(f"run: {result.run.folder}", err=True)
    return [result.run], result.unanswered


def _policy(suite: str) -> GateSpec:
    from evalkit import plugins
    from evalkit import suite as suites

    spec = suites.load(suites.locate(suite), (), plugins).gate
    if spec is None:
        raise SuiteError(
            f"{suite}: has no gate section; write one (gate: {{baseline: MODEL, margins: "
            f"{{default: 2.0}}}})"
        )
    return spec


# --- what is written ------------------------------------------------------------------------


def _write(result: GateResult, comment: Path | None, *, as_json: bool) -> None:
    from evalkit import draw, store
    from evalkit.compare.gate import gate_json

    if comment is not None:
        store.write_file(comment, draw.gate_comment(result).encode())
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        path = Path(summary)
        used = path.stat().st_size if path.exists() else 0
        with path.open("a", encoding="utf-8") as file:
            file.write(draw.gate_job_summary(result, used))
    if as_json:
        click.echo(json.dumps(gate_json(result), indent=1, ensure_ascii=False))
    else:
        for line in draw.gate_lines(result):
            click.echo(line)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in draw.gate_annotations(result):
            click.echo(line, file=commands_of(sys.stderr if as_json else sys.stdout))


def _pin(path: Path, run: Run, result: GateResult) -> bool:
    """Whether the baseline was written."""
    from evalkit import store
    from evalkit.compare.gate import pin

    if result.verdict != "pass" or result.unanswered:
        why = f"the gate's verdict is {result.verdict}"
        why = "the run is not complete" if result.unanswered else why
        click.echo(
            f"not written: {path}, since {why}; only what passes becomes a baseline (exit code "
            f"{result.exit_code or _NOT_WRITTEN})",
            err=True,
        )
        return False
    store.write_file(path, pin(run, result.candidate.rpartition(":")[2]))
    click.echo(f"baseline: {path}", err=True)
    return True
