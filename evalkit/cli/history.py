"""`evalkit history`: figures over the checkpoints of a training run, from stored runs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from evalkit.cli.console import split

__all__ = ["command"]

_STDOUT = Path("-")


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
@click.option("--csv", "csv_file", type=Path, metavar="FILE", help="A row per figure (-: stdout).")
@click.option("--spreadsheet", is_flag=True, help="--csv for Excel: no text counts as a formula.")
@click.option("--svg", "svg_file", type=Path, metavar="FILE", help="Charts (-: stdout).")
def command(
    places: tuple[Path, ...],
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

    Checkpoints are runs, found in DIR, in the order of the training steps that their models'
    names or paths tell.  Where settings changed between two, the series is split.  Averages over
    tasks are figures like others; a task that is a detail of one shows with --benchmark B/TASK.
    """
    from evalkit.compare import history
    from evalkit.compare.guard import allowed_fields
    from evalkit.draw import formula_note, one_line, svg, visible

    to_stdout = {"--csv -": csv_file == _STDOUT, "--svg -": svg_file == _STDOUT, "--json": as_json}
    wanted = [name for name, is_there in to_stdout.items() if is_there]
    if len(wanted) > 1:
        raise click.UsageError(
            f"{' and '.join(wanted)} all go to standard output; expected one of them"
        )
    runs, left_out = history.find_runs(places)
    found = history.checkpoints(runs, model)
    allowed = allowed_fields(runs, split(allow_different))
    every = history.history(found.checkpoints, history.Options(benchmark, metric, allowed))
    notes = [*left_out, *found.notes]
    if csv_file is not None:
        _write(csv_file, history.history_csv(every, spreadsheet=spreadsheet))
        formulas = 0 if spreadsheet else history.formula_cells(every)
        if formulas:
            click.echo(f"note: {formula_note(formulas, '--spreadsheet')}", err=True)
    if svg_file is not None:
        _write(svg_file, f"{svg.trends([history.series_trend(series) for series in every])}\n")
    if _STDOUT in (csv_file, svg_file):
        for note in notes:
            click.echo(f"note: {one_line(visible(note))}", err=True)
        return
    if as_json:
        click.echo(json.dumps(history.history_json(every, notes), indent=1, ensure_ascii=False))
        return
    for series in every:
        click.echo("\n".join(history.series_lines(series)) + "\n")
    for note in notes:
        click.echo(f"note: {one_line(visible(note))}")


def _write(place: Path, text: str) -> None:
    """Into a file; `-` is standard output."""
    from evalkit import store

    if place == _STDOUT:
        click.echo(text, nl=False)
    else:
        store.write_file(place, text.encode())
