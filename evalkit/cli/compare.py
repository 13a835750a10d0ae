"""Compare: `compare`, `claim`, `gate`, `power`, `history`, `watch`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.console import (
    PATH,
    RUNS,
    allow_different_option,
    commands_of,
    json_option,
    level_option,
    print_json,
    read_runs,
    repeats_option,
    runs_argument,
    set_option,
    show,
    split,
    taken,
    tasks_option,
    write_out,
)
from evalkit.errors import ComparisonError, DataError, EvalkitError, SuiteError

if TYPE_CHECKING:
    from evalkit.core.contests import GateResult
    from evalkit.core.run import Run
    from evalkit.core.specs import GateSpec
    from evalkit.runner import Origin, Progress
    from evalkit.runner.pipeline import Result
    from evalkit.runner.watch_ledger import Look, Plan
    from evalkit.stats.decisions import Spending

__all__ = ["claim", "compare", "gate", "history", "power", "watch"]


# --- compare --------------------------------------------------------------------------------


@click.command("compare", epilog=RUNS)
@runs_argument
@click.option("--candidate", help="MODEL or RUN:MODEL; default: the runs' candidate.")
@click.option("--baseline", multiple=True, help="The same; several: A,B. Default: the baselines.")
@allow_different_option
@level_option
@repeats_option
@click.option("--all", "everything", is_flag=True, help="Also metrics that are not headlines.")
@click.option(
    "--json/--markdown",
    "as_json",
    default=None,
    help='Print {"comparisons": [...], "uncompared": [...], "people": [...], "notes": [...]}, or a '
    "Markdown table.",
)
@click.option("--html", type=PATH, metavar="FILE", help="Write a page side by side (-: stdout).")
def compare(
    runs: tuple[str, ...],
    candidate: str | None,
    baseline: tuple[str, ...],
    allow_different: tuple[str, ...],
    level: float,
    repeats: bool,
    everything: bool,
    as_json: bool | None,
    html: Path | None,
) -> None:
    """Compare models of the RUNS on the samples they share.

    Every difference comes with its interval, the minimum detectable effect, and a summary
    sentence.  Models whose settings differ are refused; benchmarks and tasks that only one side
    has are named.  With --repeats, runs of one model are averaged and what they shift by is in
    the interval.
    """
    from evalkit import draw, report
    from evalkit.comparison import contests as room
    from evalkit.comparison.guard import allowed_fields
    from evalkit.comparison.resolve import find, pick
    from evalkit.comparison.votes import people, people_json

    taken(html=html, json=bool(as_json), markdown=as_json is False)
    stored = read_runs(runs)
    ours, theirs = pick(stored, candidate, split(baseline))
    allowed = allowed_fields(stored, split(allow_different))
    options = room.Options(level, allow_different=allowed, repeats=repeats)
    found = room.contests(stored, ours, theirs, options)
    left_out = room.uncompared(stored, ours, theirs, options)
    if repeats:
        for note in room.unvaried(find(stored, name, repeats=True) for name in (ours, *theirs)):
            show(f"warning: {note}", err=True)
    heads = {one.key for one in found if one.family == "headline"}
    shown = found if everything else [one for one in found if one.key.whole in heads]
    notes = [one.sentence for one in left_out]
    voted = [one for run in stored for one in people(run, level)]
    notes += [preferred.sentence for one in voted for preferred in one.preferred]
    sides = [find(stored, name, repeats=repeats) for name in (ours, *theirs)]
    figures = [f for side in sides for f in side.figures(one.key for one in shown)]
    if html is not None:
        headlines = {one.key for one in shown if one.family == "headline"}
        beside = [figure for figure in figures if figure.key in headlines]
        page = report.comparison_page(shown, figures=beside, notes=notes)
        write_out(page, html, "page")
    if as_json:
        out = {
            "comparisons": [room.contest_json(one) for one in found],
            "uncompared": [one.to_json() for one in left_out],
            "people": people_json(voted),
            "notes": draw.caution_notes(found),
        }
        print_json(out)
    if as_json or (html is not None and as_json is None):
        return
    markdown = as_json is False
    table = draw.contest_table(shown, figures=figures, notes=notes)
    sentences = [draw.contest_sentence(one) for one in shown if one.family == "headline"]
    if markdown:
        listed = [f"- {draw.escape_markdown(draw.one_line(text))}" for text in sentences]
        click.echo("\n".join([draw.table_to_markdown(table), "", *listed]))
    else:
        show(table, "", *sentences)


# --- claim ----------------------------------------------------------------------------------


@click.command("claim", epilog=RUNS)
@runs_argument
@click.argument("text")
@allow_different_option
@level_option
@repeats_option
@click.option("--accept-damaged", is_flag=True, help="Judge on damaged evidence, too.")
@json_option
def claim(
    runs: tuple[str, ...],
    text: str,
    allow_different: tuple[str, ...],
    level: float,
    repeats: bool,
    accept_damaged: bool,
    as_json: bool,
) -> int:
    """Say whether RUNS support TEXT, as "A beats B on alpaca_eval".

    Forms: A beats (surpasses, outperforms, is better than) B [and C] on BENCHMARK[/TASK];
    A beats B by more than X points, or by X points as printed; A is worse than B; A matches (is on
    par with) B within X points; A is not worse than B by more than X points; A is best; A scores X
    on BENCHMARK; A gives longer answers than B.  Exit code 0: supported; 1: not supported or
    contradicted.
    """
    from evalkit.comparison.claim import Answer, claim
    from evalkit.comparison.contests import Options
    from evalkit.comparison.guard import allowed_fields
    from evalkit.draw import Cell, Tone

    stored = read_runs(runs)
    allowed = allowed_fields(stored, split(allow_different))
    options = Options(
        level, allow_different=allowed, repeats=repeats, accept_damaged=accept_damaged
    )
    found = claim(stored, text, options)
    if as_json:
        print_json(found.to_json())
    else:
        tones: dict[Answer, Tone] = {"supported": "better", "contradicted": "worse"}
        answer = Cell.text(found.answer, tone=tones.get(found.answer, "unclear"))
        show(answer, *(f"  {reason}" for reason in found.reasons))
        if found.answer != "supported" and found.suggestion:
            show(f"summary: {found.suggestion}")
    return 0 if found.answer == "supported" else 1


# --- gate -----------------------------------------------------------------------------------


_NOT_WRITTEN = 3


@click.command("gate", epilog=RUNS)
@click.argument("targets", metavar="[RUN...|SUITE]", nargs=-1)
@click.option("--candidate", help="MODEL or RUN:MODEL; default: the run's candidate.")
@click.option(
    "--baseline-run",
    multiple=True,
    metavar="RUN|FILE",
    help="Stored run or baseline.json that has the baseline; several repeat it; default: RUN.",
)
@click.option("--policy", metavar="SUITE", help="Suite whose gate section decides; default: RUN's.")
@allow_different_option
@click.option(
    "--write-baseline",
    type=PATH,
    metavar="FILE",
    help="Pin the candidate's scores as a baseline.json for later gates, if it passes.",
)
@click.option("--junit", type=PATH, metavar="FILE", help="Write JUnit XML (-: stdout).")
@click.option("--comment", type=PATH, metavar="FILE", help="Write a PR comment (-: stdout).")
@json_option
def gate(
    targets: tuple[str, ...],
    candidate: str | None,
    baseline_run: tuple[str, ...],
    policy: str | None,
    allow_different: tuple[str, ...],
    write_baseline: Path | None,
    junit: Path | None,
    comment: Path | None,
    *,
    as_json: bool,
) -> int:
    """Say whether a candidate is worse than its baseline by more than the suite's margins.

    A stored RUN is judged as it is; a SUITE (a YAML file, or a bundled suite that has no run yet)
    is run first.  Several RUNs repeat one measurement:
    their means are judged, and what a run shifts by by itself widens the bounds.  Exit code 0:
    passed (or inconclusive, where the policy only warns); 1: regression; 2: wrong input; 3:
    inconclusive, a required test that has no samples of both models, a suite whose run could not
    answer everything, or a --write-baseline that was not written.  On GitHub the table goes to
    the job summary and the reasons become annotations.
    """
    from evalkit import draw, store
    from evalkit.comparison.gate import gate, read_baseline

    if len(targets) > 1 and write_baseline is not None:
        raise ComparisonError(
            f"--write-baseline pins the scores of one run, and {len(targets)} are given; gate one "
            f"of them to pin it"
        )
    quiet = taken(json=as_json, junit=junit, comment=comment, write_baseline=write_baseline)
    try:
        (run, *repeats), left = _runs_of(targets)
        result = gate(
            run,
            None if policy is None else _policy(policy),
            candidate=candidate,
            baseline=[read_baseline(store.find_run(text)) for text in baseline_run],
            allow_different=split(allow_different),
            repeats=repeats,
        )
    except EvalkitError as error:
        if junit is not None:
            from evalkit.cli.ci import junit_of_error

            write_out(junit_of_error(str(error)), junit, "junit")
        raise
    if left is not None:
        result = replace(
            result,
            unanswered=left.unanswered,
            cause=left.reasons,
            input_error=left.input_error,
        )
    if junit is not None:
        from evalkit.cli.ci import junit as as_junit

        write_out(as_junit(result), junit, "junit")
    if comment is not None:
        write_out(draw.gate_comment(result), comment, "comment")
    _say(result, as_json=as_json, quiet=quiet)
    pinned = write_baseline is None or _pin(write_baseline, run, result)
    return result.exit_code or (0 if pinned else _NOT_WRITTEN)


# --- what is gated --------------------------------------------------------------------------


def _runs_of(targets: tuple[str, ...]) -> tuple[list[Run], Result | None]:
    """The stored runs, or the one that running the suite makes, with what came of it."""
    suites = [target for target in targets if _is_suite(target)]
    if suites and len(targets) > 1:
        raise ComparisonError(
            f"{suites[0]!r} is no stored run; runs that repeat a measurement are stored ones: run "
            f"the suite first (evalkit run), each time in a workspace without its cached answers"
        )
    return _run_suite(suites[0]) if suites else (read_runs(targets), None)


def _is_suite(target: str) -> bool:
    """A YAML file, or the name of a bundled suite that has no run yet."""
    from evalkit import store

    if target.endswith((".yaml", ".yml")):
        return True
    try:
        store.find_place(target)
    except DataError:
        from evalkit import suite as suites  # a stored run needs none

        return target in suites.bundled()
    return False


def _run_suite(suite: str) -> tuple[list[Run], Result]:
    from evalkit import runner
    from evalkit.cli.progress import watcher

    made = runner.opened(suite, command=("evalkit", "run", suite))
    result = runner.run_suite(made.suite, made.origin, watcher())
    if result.unanswered:
        click.echo(f"incomplete: {result.unanswered} samples: {result.reasons}", err=True)
    click.echo(f"run: {result.run.folder}", err=True)
    return [result.run], result


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


def _say(result: GateResult, *, as_json: bool, quiet: bool) -> None:
    """`quiet`: a file goes to standard output."""
    from evalkit import draw
    from evalkit.comparison.gate import gate_json

    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        path = Path(summary)
        used = path.stat().st_size if path.exists() else 0
        with path.open("a", encoding="utf-8") as file:
            file.write(draw.gate_job_summary(result, used))
    if as_json:
        print_json(gate_json(result))
    else:
        show(*draw.gate_lines(result), err=quiet)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in draw.gate_annotations(result):
            click.echo(line, file=commands_of(sys.stderr if quiet else sys.stdout))


def _pin(path: Path, run: Run, result: GateResult) -> bool:
    """Whether the baseline was written."""
    from evalkit.comparison.gate import pin

    if result.verdict != "pass" or result.unanswered:
        why = f"the gate's verdict is {result.verdict}"
        why = "the run is not complete" if result.unanswered else why
        click.echo(
            f"not written: {path}, since {why}; only what passes becomes a baseline (exit code "
            f"{result.exit_code or _NOT_WRITTEN})",
            err=True,
        )
        return False
    write_out(pin(run, result.candidate.rpartition(":")[2]), path, "baseline")
    return True


# --- power ----------------------------------------------------------------------------------


@click.command("power")
@click.argument("suite")
@click.option("--runs", multiple=True, metavar="RUN", help="Past runs; several.")
@tasks_option
@click.option("--limit", type=click.IntRange(1), metavar="N", help="First N samples a task.")
@click.option(
    "--json/--markdown", "as_json", default=None, help='Print {"power": [...]}, or Markdown.'
)
def power(
    suite: str,
    runs: tuple[str, ...],
    tasks: tuple[str, ...],
    limit: int | None,
    as_json: bool | None,
) -> None:
    """Say what differences each benchmark of SUITE can show with its number of samples.

    How much a sample's difference varies is taken from past runs (--runs, else those of the suite
    in reports/), and where there are none it is assumed, and said to be.
    """
    from evalkit import runner
    from evalkit import suite as suites
    from evalkit.comparison.power import power_table, power_warning
    from evalkit.draw import table_to_markdown
    from evalkit.runner.powering import power as planned_power

    made = runner.opened(suite, suites.Options(tasks=split(tasks)))
    past = _past(runs, made.origin, made.suite.name)
    say = partial(click.echo, err=True)
    rows = planned_power(made.suite, made.origin, limit, past, say)
    if as_json:
        print_json({"power": [row.to_json() for row in rows]})
        return
    table = power_table(rows)
    if as_json is None:
        show(table)
    else:
        click.echo(table_to_markdown(table))
    show(*(f"warning: {power_warning(row)}" for row in rows if row.underpowered))


def _past(runs: Sequence[str], origin: Origin, name: str) -> list[Run]:
    """The runs named, else the finished runs of this suite in the workspace."""
    from evalkit.comparison.history import find_runs

    if runs:
        return read_runs(runs)
    place = origin.workspace / "reports" / name
    try:
        found, left_out = find_runs([place]) if any(place.glob("*/manifest.json")) else ([], [])
    except DataError as error:  # none is finished
        found, left_out = [], [str(error)]
    for note in left_out:
        click.echo(note, err=True)
    return found


# --- history --------------------------------------------------------------------------------


@click.command("history")
@click.argument("places", metavar="[DIR|SUITE|RUN]...", nargs=-1)
@click.option("--model", help="Name of the checkpoint in its run; default: every candidate.")
@click.option("--benchmark", metavar="B", help="Only this entry, or BENCHMARK/TASK.")
@click.option("--metric", metavar="M", help="This metric instead of the headline ones.")
@allow_different_option
@click.option("--json", "as_json", is_flag=True, help='Print {"series": [...], "notes": [...]}.')
@click.option("--csv", "csv_file", type=PATH, metavar="FILE", help="A row per figure (-: stdout).")
@click.option("--spreadsheet", is_flag=True, help="--csv for Excel: no text counts as a formula.")
@click.option("--svg", "svg_file", type=PATH, metavar="FILE", help="Charts (-: stdout).")
def history(
    places: tuple[str, ...],
    model: str | None,
    benchmark: str | None,
    metric: str | None,
    allow_different: tuple[str, ...],
    as_json: bool,
    csv_file: Path | None,
    spreadsheet: bool,
    svg_file: Path | None,
) -> None:
    """Show each headline figure over checkpoints, with intervals and paired differences.

    Checkpoints are runs, found in DIR or among the runs of SUITE (by default: the newest run's
    suite), in the order of the training steps that their models'
    names or paths tell.  Where settings changed between two, the series is split.  Averages over
    tasks are figures like others; a task that is a detail of one shows with --benchmark B/TASK.
    """
    from evalkit import store
    from evalkit.comparison import history
    from evalkit.comparison.guard import allowed_fields
    from evalkit.draw import formula_note, one_line, svg, visible

    quiet = taken(csv=csv_file, svg=svg_file, json=as_json)
    found_in = [store.find_place(text) for text in places] or [store.find_run().parent]
    runs, left_out = history.find_runs(found_in)
    found = history.checkpoints(runs, model)
    allowed = allowed_fields(runs, split(allow_different))
    every = history.history(found.checkpoints, history.Options(benchmark, metric, allowed))
    notes = [*left_out, *found.notes]
    if csv_file is not None:
        write_out(history.history_csv(every, spreadsheet=spreadsheet), csv_file, "csv")
        formulas = 0 if spreadsheet else history.formula_cells(every)
        if formulas:
            click.echo(f"note: {formula_note(formulas, '--spreadsheet')}", err=True)
    if svg_file is not None:
        drawn = svg.trends([history.series_trend(series) for series in every])
        write_out(f"{drawn}\n", svg_file, "svg")
    if quiet and not as_json:
        for note in notes:
            click.echo(f"note: {one_line(visible(note))}", err=True)
        return
    if as_json:
        print_json(history.history_json(every, notes))
        return
    lines = [line for series in every for line in (*history.series_lines(series), "")]
    show(*lines, *(f"note: {note}" for note in notes))


# --- watch ----------------------------------------------------------------------------------


_SPENDING = ("even", "pocock", "obrien_fleming")


@click.command("watch")
@click.argument("place", metavar="CHECKPOINT_DIR", type=PATH)
@click.argument("suite")
@click.option(
    "--looks",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Checkpoints to be gated in all; fixed by the first call.",
)
@click.option(
    "--spending",
    type=click.Choice(_SPENDING),
    help="How alpha is spread over the looks; fixed by the first call.  [default: even]",
)
@click.option("--once", is_flag=True, help="Evaluate what is there, and end.")
@click.option(
    "--poll",
    type=click.FloatRange(min=0.05),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="Look for new checkpoints so often; files must be at rest so long.",
)
@click.option("--stop-on-regression", is_flag=True, help="End at the first regression.")
@click.option("--candidate", metavar="NAME", help="Model whose checkpoints they are.")
@set_option
@click.option("--json", "as_json", is_flag=True, help="Print verdicts and figures as JSON.")
def watch(
    place: Path,
    suite: str,
    looks: int | None,
    spending: Spending | None,
    once: bool,
    poll: float,
    stop_on_regression: bool,
    candidate: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> int:
    """Evaluate the checkpoints of a training run as they appear, and gate each.

    SUITE's candidate is the template: each checkpoint-N that is whole takes its place.  Alpha of
    the suite's gate is spent over the planned looks, so that all verdicts together keep it.  The
    same command resumes after any interruption.  Exit code 0: all passed; 1: a regression; 3:
    undecided where that fails, or a checkpoint without a verdict.
    """
    from evalkit.runner import watch

    training = watch.training(place, suite, overrides, candidate)
    options = watch.Options(poll, once, stop_on_regression)
    listener = _Listener(as_json=as_json)
    summary = watch.follow(training, looks, spending, options, listener)
    if as_json:
        print_json(watch.summary_json(summary))
    else:
        click.echo(f"{summary.standing.ended}\n", err=True)
        show(*watch.summary_lines(summary))
    return summary.exit_code


class _Listener:
    """Says on the terminal what happens."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def progress(self) -> Progress:
        """A display of its own for each checkpoint."""
        from evalkit.cli.progress import watcher

        return watcher()

    def note(self, text: str) -> None:
        """On the error stream, as progress is."""
        show(text, err=True)

    def decided(self, plan: Plan, look: Look, result: GateResult) -> None:
        """The gate's lines, and what they cost."""
        from evalkit.draw import gate_lines
        from evalkit.runner import watch

        show(watch.look_words(look, plan), *gate_lines(result), "", err=self._as_json)
