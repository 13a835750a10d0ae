"""Judge: `judge`, `judge-bridge`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.console import (
    PATH,
    RUNS,
    json_option,
    named_values,
    print_json,
    read_run,
    run_argument,
    show,
)

if TYPE_CHECKING:
    from evalkit.runner import Result

__all__ = ["bridge", "judge"]

_REFUSED = 1
_EXAMPLE = "max_cost_usd=5"


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of both commands."""
    for option in (
        json_option,
        click.option("--out", type=PATH, help="Folder of the new run."),
        click.option(
            "--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Of the new judge."
        ),
        click.option(
            "--model", "models", multiple=True, help="Only this model's answers; may be repeated."
        ),
    ):
        command = option(command)
    return command


@click.command("judge", epilog=RUNS)
@run_argument
@click.option("--judge", "named", required=True, metavar="NAME|TYPE:MODEL",
              help="A judge of the run's suite, or of --suite; or openai:MODEL, say.")  # fmt: skip
@click.option("--suite", metavar="SUITE", help="A suite that has the judge.")
@_shared
def judge(
    run: str | None,
    named: str,
    suite: str | None,
    models: tuple[str, ...],
    settings: tuple[str, ...],
    out: Path | None,
    *,
    as_json: bool,
) -> int:
    """Judge RUN's answers again with another judge, into a new run, and compare the two judges.

    The answers are the stored ones: no model is loaded.  Everything that RUN's judges judged is
    judged; for a sample, and to go on comparing with RUN, see `judge-bridge`.
    """
    from evalkit import plugins, report
    from evalkit import suite as suites
    from evalkit.cli.progress import watcher
    from evalkit.comparison.bridge import relation_table
    from evalkit.comparison.votes import agreement_table
    from evalkit.runner import judging

    old = read_run(run)
    judges = suites.load(suites.locate(suite), (), plugins).judges if suite else {}
    found = judging.find_judge(named, [old], named_values(settings, _EXAMPLE), judges)
    origin = judging.origin_of(old, str(old.folder), ("evalkit", *sys.argv[1:]))
    done = judging.judge(old, found, origin, watcher(), models=models, out=out)
    if as_json:
        print_json(done.to_json())
    else:
        tables = relation_table(done.relations), agreement_table(done.agreements)
        show(*report.summary_lines(done.run), "", tables[0], "", tables[1])
    click.echo(f"run: {done.run.folder}", err=True)
    return _incomplete(done.result)


@click.command("judge-bridge", epilog=RUNS)
@click.argument("old_run", required=False)
@click.option("--judge", metavar="NAME|TYPE:MODEL", help="The new judge; default: the one of --to.")
@click.option("--to", metavar="RUN", help="State this run's judged figures.")
@click.option("--sample", type=click.IntRange(1), default=100, show_default=True, metavar="N",
              help="Questions per task, whose answers the new judge judges.")  # fmt: skip
@_shared
def bridge(
    old_run: str | None,
    judge: str | None,
    to: str | None,
    sample: int,
    models: tuple[str, ...],
    settings: tuple[str, ...],
    out: Path | None,
    *,
    as_json: bool,
) -> int:
    """Make runs of a new judge comparable with OLD_RUN, which an earlier judge judged.

    A random sample of OLD_RUN's answers is judged by the new judge, too.  The bridge is a run:
    gate and compare against it (`evalkit gate RUN --baseline-run BRIDGE`).  With --to it also has
    RUN's judged figures on the earlier judge's scale, marked as bridged; those that are no means
    of scores, as the length-controlled win rate, have none.  Where the two judges agree too little
    on single answers (correlation below 0.5), nothing is written, and the exit code is 1.
    """
    from evalkit import draw, report, store
    from evalkit.cli.progress import watcher
    from evalkit.comparison.bridge import relation_table
    from evalkit.runner import judging

    old, target = read_run(old_run), None if to is None else read_run(to)
    runs = [old] if target is None else [target, old]
    named = judging.find_judge(judge, runs, named_values(settings, _EXAMPLE))
    origin = judging.origin_of(old, str(old.folder), ("evalkit", *sys.argv[1:]))
    done = judging.judge_bridge(
        old, named, origin, watcher(), to=target, models=models, sample=sample, out=out
    )
    table = relation_table(done.relations)
    if done.run is not None and as_json:
        click.echo((done.run.folder / store.RESULTS_NAME).read_text(encoding="utf-8"))
    else:
        show(table, "")
    if code := _incomplete(done.judged):
        return code
    if done.run is None:
        for one in done.relations:
            click.echo(
                f"refused: {draw.figure_label(one.key)}, {one.model}: {one.refusal}", err=True
            )
        return _REFUSED
    if not as_json:
        show(*report.summary_lines(done.run))
    click.echo(f"bridge: {done.run.folder}", err=as_json)
    return 0


def _incomplete(judged: Result) -> int:
    """Exit code, with the reason where answers are left over."""
    if judged.unanswered:
        click.echo(
            f"incomplete: {judged.unanswered} answers are not judged: {judged.reasons}; the same "
            f"command judges the rest",
            err=True,
        )
    return judged.exit_code
