"""`evalkit power`: what a suite can resolve, before anything is spent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.console import split

if TYPE_CHECKING:
    from evalkit.core import Run
    from evalkit.draw import Cell, Table
    from evalkit.runner import Origin, PowerRow

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
    """Say what each benchmark of SUITE can resolve with its number of samples.

    How much a sample's difference varies is taken from past runs (--runs, else those of the suite
    in reports/), and where there are none it is assumed, and said to be.
    """
    from evalkit import plugins, runner
    from evalkit import suite as suites
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
    table = _table(rows)
    click.echo(table_to_markdown(table) if markdown else f"{table_to_text(table)}\n{table.note}")
    for row in rows:
        if row.underpowered:
            click.echo(f"warning: {_warning(row)}")


def _past(runs: Sequence[Path], origin: Origin, name: str) -> list[Run]:
    """The runs named, else the sealed runs of this suite in the workspace."""
    from evalkit import store
    from evalkit.errors import EvalkitError

    if runs:
        return [store.read_run(run) for run in runs]
    found = []
    for manifest in sorted((origin.workspace / "reports" / name).glob("*/manifest.json")):
        try:
            run = store.read_run(manifest.parent)
        except EvalkitError as error:
            click.echo(f"left out: {error}", err=True)
            continue
        found.append(run)
    return found


def _table(rows: Sequence[PowerRow]) -> Table:
    from evalkit.draw import Column, Table

    columns = (
        Column("", header=True),
        Column("Metric"),
        Column("Samples", "right"),
        Column("Units", "right"),
        Column("Finds", "right"),
        Column("At worst", "right"),
        Column("Margin resolved", "right"),
        Column("Suite's margin", "right"),
        Column("Units for it", "right"),
        Column("Variation from"),
    )
    note = (
        "Units: what is resampled: samples, or what several share (the questions of a passage). "
        "Finds: smallest true difference that is found with the policy's power (5%, two-sided). "
        "At worst: the same if every sample differed by all there is. Margin resolved: smallest "
        "margin that an equal candidate passes with that power."
    )
    return Table.of("", columns, [_row(row) for row in rows], note)


def _row(row: PowerRow) -> tuple[Cell, ...]:
    from evalkit.compare.words import figure_label, metric_words
    from evalkit.draw import Cell, count, figure

    def shown(value: float | None) -> Cell:
        return Cell(value, figure(value, row.unit))

    return (
        Cell.text(figure_label(row.benchmark, row.task, row.metric)),
        Cell.text(metric_words(row.metric)),
        Cell(row.n, count(row.n)),
        Cell(row.n_clusters, count(row.n_clusters)),
        shown(row.mde),
        shown(row.worst_mde),
        shown(row.resolvable),
        shown(row.margin),
        Cell(row.needed, count(row.needed)),
        Cell.text(row.variance_source),
    )


def _warning(row: PowerRow) -> str:
    from evalkit.compare.words import figure_label
    from evalkit.draw import figure

    unit = "samples" if row.n == row.n_clusters else "units"
    needed = f"; {row.needed:,} {unit} would do" if row.needed else ""
    if row.needed and row.n_available is not None and row.needed > row.n_available:
        needed = (
            f"; it would take {row.needed:,} {unit}, and the benchmark has only "
            f"{row.n_available:,}: allow a wider margin"
        )
    label = figure_label(row.benchmark, row.task, row.metric)
    return (
        f"{label}: the margin {figure(row.margin, row.unit)} is "
        f"under the {figure(row.resolvable, row.unit)} that its samples resolve{needed}"
    )
