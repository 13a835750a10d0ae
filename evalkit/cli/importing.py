"""`evalkit import`: results that someone already has, as a run folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from evalkit.cli.console import say_findings, verbose_option
from evalkit.errors import SuiteError

__all__ = ["command"]

_KINDS = ("alpaca_eval", "mt_bench", "lm_eval")
_FILE = click.Path(path_type=Path)


@click.command("import")
@click.argument("kind", type=click.Choice(_KINDS))
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="FILE...")
@click.option("--model", "models", multiple=True, help="Name of the model; the first is candidate.")
@click.option("--outputs", multiple=True, type=_FILE, help="alpaca_eval: the model's outputs.")
@click.option("--answers", multiple=True, type=_FILE, help="mt_bench: FastChat's answer file.")
@click.option("--out", type=_FILE, help="Run folder.")
@click.option("--strict", is_flag=True, help="Exit with 1 where the evidence is damaged.")
@click.option("--json", "as_json", is_flag=True, help="Print results.json.")
@verbose_option
def command(kind: str, files: tuple[Path, ...], **given: Any) -> int:
    """Make an ordinary run of results that other tools wrote.

    \b
    alpaca_eval  annotations.json: which answer the judge preferred
    mt_bench     FastChat's judgments (gpt-4_single.jsonl)
    lm_eval      results_*.json and samples_*.jsonl, or a folder of them

    Files may be .json or .jsonl, each also with .gz.  What is wrong with the evidence is said,
    and shown in the report.
    """  # noqa: D301 - click reads a backspace as: leave these lines as they stand
    from evalkit import report, runner
    from evalkit import suite as suites
    from evalkit.cli.progress import watcher

    watch = watcher(verbose=given["verbose"])
    workspace = suites.find_workspace()
    origin = runner.Origin(f"import {kind}", Path.cwd(), workspace, ("evalkit", *sys.argv[1:]))
    source = runner.Source(kind, files, _companions(kind, given), given["models"])
    result = runner.import_run(source, origin, given["out"], watch.step)
    stored = result.run
    damaged = say_findings(stored)
    if given["as_json"]:
        click.echo((stored.folder / "results.json").read_text(encoding="utf-8"))
    else:
        for line in report.summary_lines(stored):
            click.echo(line)
    click.echo(f"report: {stored.folder / 'index.html'}", err=given["as_json"])
    return 1 if damaged and given["strict"] else 0


def _companions(kind: str, given: dict[str, Any]) -> tuple[Path, ...]:
    for option, of in (("outputs", "alpaca_eval"), ("answers", "mt_bench")):
        if given[option] and kind != of:
            raise SuiteError(f"--{option} belongs to {of!r} results, not to {kind!r}; leave it out")
    return (*given["outputs"], *given["answers"])
