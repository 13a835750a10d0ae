"""`evalkit power`: what a suite can show, before anything is spent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.console import split

if TYPE_CHECKING:
    from evalkit.core.run import Run
    from evalkit.runner import Origin

__all__ = ["command"]


@click.command("power")
@click.argument("suite")
@click.option("--runs", multiple=True, type=click.Path(path_type=Path), help="Past runs; several.")
@click.option("--only", multiple=True, metavar="BENCH", help="Only these benchmarks.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="First N samples a task.")
@click.option("--json", "as_json", is_flag=True, help='Print {"power": [...]}.')
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
def command(
    suite: str,
    runs: tuple[Path, ...],
    only: tuple[str, ...],
    limit: int | None,
    as_json: bool,
    markdown: bool,
) -> None:
    """Say what differences each benchmark of SUITE can show with its number of samples.

    How much a sample's difference varies is taken from past runs (--runs, else those of the suite
    in reports/), and where there are none it is assumed, and said to be.
    """
    from evalkit import plugins, runner
    from evalkit import suite as suites
    from evalkit.compare.power import power_table, power_warning
    from evalkit.draw import table_to_markdown, table_to_text

    file = suites.locate(suite)
    loaded = suites.load(file, (), plugins)
    origin = runner.Origin(suite, file.parent, suites.find_workspace(suite), ("evalkit", "power"))
    past = _past(runs, origin, loaded.name)
    selection = runner.Selection(split(only), (), limit)
    rows = runner.power(loaded, origin, selection, past, lambda line: click.echo(line, err=True))
    if as_json:
        click.echo(json.dumps({"power": [row.to_json() for row in rows]}, indent=1))
        return
    table = power_table(rows)
    click.echo(table_to_markdown(table) if markdown else f"{table_to_text(table)}\n{table.note}")
    for row in rows:
        if row.underpowered:
            click.echo(f"warning: {power_warning(row)}")


def _past(runs: Sequence[Path], origin: Origin, name: str) -> list[Run]:
    """The runs named, else the sealed runs of this suite in the workspace."""
    from evalkit import store
    from evalkit.errors import EvalkitError

    if runs:
        return [store.load(run) for run in runs]
    found = []
    for manifest in sorted((origin.workspace / "reports" / name).glob("*/manifest.json")):
        try:
            found.append(store.load(manifest.parent))
        except EvalkitError as error:
            click.echo(f"left out: {error}", err=True)
    return found
