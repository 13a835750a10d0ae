"""`evalkit history`: figures over the checkpoints of a training run, from stored runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from evalkit.cli.options import split

__all__ = ["command"]


@dataclass(frozen=True)
class _Options:
    """The command line as click parsed it; one field per option below."""

    places: tuple[Path, ...]
    model: str | None
    benchmark: str | None
    metric: str | None
    allow_different: tuple[str, ...]
    as_json: bool
    csv_file: Path | None
    spreadsheet: bool
    svg_file: Path | None


@click.command("history")
@click.argument("places", metavar="DIR|RUN...", nargs=-1, required=True, type=Path)
@click.option("--model", help="Name of the checkpoint in its run; default: every candidate.")
@click.option("--benchmark", metavar="B", help="Only this entry, or BENCHMARK/TASK.")
@click.option("--metric", metavar="M", help="This metric instead of the headline ones.")
@click.option(
    "--allow-different",
    multiple=True,
    metavar="FIELD",
    help="Join checkpoints although this setting differs.",
)
@click.option("--json", "as_json", is_flag=True, help='Print {"series": [...], "notes": [...]}.')
@click.option("--csv", "csv_file", type=Path, metavar="FILE", help="Write a row per figure.")
@click.option("--spreadsheet", is_flag=True, help="--csv for Excel: no text counts as a formula.")
@click.option("--svg", "svg_file", type=Path, metavar="FILE", help="Write a chart per figure.")
def command(**given: Any) -> None:
    """Show each headline figure over checkpoints, with intervals and paired differences.

    Checkpoints are runs, found in DIR, in the order of the training steps that their models'
    names or paths tell.  Where settings changed between two, the series is split.  Averages over
    tasks are figures like others; a task that is a detail of one shows with --benchmark B/TASK.
    """
    from evalkit import compare, history, store
    from evalkit.tables import formula_note, one_line, visible

    asked = _Options(**given)
    runs, left_out = history.find_runs(asked.places)
    found = history.checkpoints(runs, asked.model)
    allowed = compare.allowed_fields(runs, split(asked.allow_different))
    options = history.Options(asked.benchmark, asked.metric, allowed)
    every = history.history(found.checkpoints, options)
    notes = [*left_out, *found.notes]
    if asked.csv_file is not None:
        text = history.history_csv(every, spreadsheet=asked.spreadsheet)
        store.write_file(asked.csv_file, text.encode())
        formulas = 0 if asked.spreadsheet else history.formula_cells(every)
        if formulas:
            click.echo(f"note: {formula_note(formulas, '--spreadsheet')}", err=True)
    if asked.svg_file is not None:
        store.write_file(asked.svg_file, history.charts_svg(every).encode())
    if asked.as_json:
        click.echo(json.dumps(history.history_json(every, notes), indent=1, ensure_ascii=False))
        return
    for series in every:
        click.echo("\n".join(history.series_lines(series)) + "\n")
    for note in notes:
        click.echo(f"note: {one_line(visible(note))}")
