"""Judge: `judge-bridge`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from evalkit.errors import SuiteError

__all__ = ["bridge"]

_REFUSED, _INCOMPLETE = 1, 3
_PATH = click.Path(path_type=Path)


@click.command("judge-bridge")
@click.argument("old_run", type=_PATH)
@click.option("--judge", metavar="NAME|TYPE:MODEL", help="The new judge; default: the one of --to.")
@click.option("--to", type=_PATH, metavar="RUN", help="State this run's judged figures.")
@click.option("--sample", type=click.IntRange(1), default=100, show_default=True, metavar="N",
              help="Questions per task, whose answers the new judge judges.")  # fmt: skip
@click.option("--model", "models", multiple=True, help="Only this model's answers; repeat.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Of the new judge.")
@click.option("--out", type=_PATH, help="Folder of the bridge.")
@click.option("--json", "as_json", is_flag=True, help="Print the bridge's results.json.")
def bridge(
    old_run: Path,
    judge: str | None,
    to: Path | None,
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
    RUN's judged figures on the earlier judge's scale, marked as bridged.  Where the two judges
    agree too little on single answers, nothing is written, and the exit code is 1.
    """
    from evalkit import draw, report, runner, store
    from evalkit import suite as suites
    from evalkit.cli.progress import watcher
    from evalkit.compare.bridge import relation_table
    from evalkit.runner import judging

    old, target = store.load(old_run), None if to is None else store.load(to)
    runs = [old] if target is None else [target, old]
    named = judging.find_judge(judge, runs, dict(map(_field, settings)))
    place = Path(old.manifest.suite_file or "").parent
    root = place if place.is_dir() else old.folder
    command = ("evalkit", *sys.argv[1:])
    origin = runner.Origin(str(old_run), root, suites.find_workspace(), command)
    done = judging.judge_bridge(
        old, named, origin, watcher(), to=target, models=models, sample=sample, out=out
    )
    table = relation_table(done.relations)
    if done.run is not None and as_json:
        click.echo((done.run.folder / store.RESULTS_NAME).read_text(encoding="utf-8"))
    else:
        click.echo(f"{draw.table_to_text(table)}\n")
    if done.judged.unanswered:
        click.echo(
            f"incomplete: {done.judged.unanswered} answers are not judged: {done.judged.reasons}; "
            f"the same command judges the rest",
            err=True,
        )
        return _INCOMPLETE
    if done.run is None:
        for one in done.relations:
            click.echo(
                f"refused: {draw.figure_label(one.key)}, {one.model}: {one.refusal}", err=True
            )
        return _REFUSED
    if not as_json:
        for line in report.summary_lines(done.run):
            click.echo(line)
    click.echo(f"bridge: {done.run.folder}", err=as_json)
    return 0


def _field(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise SuiteError(f"--set {text!r}: expected FIELD=VALUE, such as max_cost_usd=5")
    return name, value
