"""`evalkit compare`: a candidate against baselines, over stored runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.console import split

if TYPE_CHECKING:
    from evalkit.compare import Row, Uncompared

__all__ = ["command"]


@dataclass(frozen=True)
class _Options:
    """The command line as click parsed it; one field per option below."""

    runs: tuple[Path, ...]
    candidate: str | None
    baseline: tuple[str, ...]
    allow_different: tuple[str, ...]
    level: float
    repeats: bool
    everything: bool
    as_json: bool
    markdown: bool


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--candidate", help="MODEL or RUN:MODEL; default: the runs' candidate.")
@click.option("--baseline", multiple=True, help="The same; several: A,B. Default: the baselines.")
@click.option(
    "--allow-different",
    multiple=True,
    metavar="FIELD",
    help="Compare although this setting differs; flagged wherever it shows.",
)
@click.option("--level", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True)
@click.option("--repeats", is_flag=True, help="Several runs of a model repeat one measurement.")
@click.option("--all", "everything", is_flag=True, help="Also metrics that are not primary.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help='Print {"comparisons": [...], "uncompared": [...], "notes": [...]}.',
)
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
def command(**given: Any) -> None:
    """Compare models of the RUNS on the samples they share.

    Every difference comes with its interval, what the samples can resolve, and a sentence that
    may be printed as it stands.  Scores that were not made alike are refused; benchmarks and
    tasks that only one side has are named.  With --repeats, runs of one model are averaged and
    what they shift by is in the interval.
    """
    from evalkit import compare, store
    from evalkit.draw import one_line, visible

    asked = _Options(**given)
    stored = [store.read_run(run) for run in asked.runs]
    ours, theirs = compare.pick(stored, asked.candidate, split(asked.baseline))
    allowed = compare.allowed_fields(stored, split(asked.allow_different))
    options = compare.Options(asked.level, allow_different=allowed, repeats=asked.repeats)
    rows = compare.compare(stored, ours, theirs, options)
    left_out = compare.uncompared(stored, ours, theirs, options)
    if asked.repeats:
        sides = [compare.find(stored, name, repeats=True) for name in (ours, *theirs)]
        for note in compare.unvaried(sides):
            click.echo(f"warning: {one_line(visible(note))}", err=True)
    if asked.as_json:
        found = {
            "comparisons": [row.to_json() for row in rows],
            "uncompared": [one.to_json() for one in left_out],
            "notes": compare.notes(rows),
        }
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    _show(rows if asked.everything else _primary(rows), left_out, markdown=asked.markdown)


def _show(rows: Sequence[Row], left_out: Sequence[Uncompared], *, markdown: bool) -> None:
    """The table, then a sentence for each headline row and for what has no row."""
    from evalkit import compare
    from evalkit.draw import escape_markdown, one_line, table_to_markdown, table_to_text, visible

    table = compare.rows_table(rows, left_out)
    click.echo(table_to_markdown(table) if markdown else table_to_text(table))
    click.echo("")
    sentences = [row.sentence for row in rows if row.headline]
    if not markdown or not rows:
        # Markdown has them in the table's note, which a table without rows has not.
        sentences += [one.sentence for one in left_out]
        sentences += [*compare.notes(rows), compare.corrected_text(rows)] if rows else []
    for sentence in sentences:
        text = one_line(visible(sentence))
        click.echo(f"- {escape_markdown(text)}" if markdown else text)


def _primary(rows: Sequence[Row]) -> list[Row]:
    """Rows of primary metrics, categories among them."""
    primary = {_measure(row) for row in rows if row.headline}
    return [row for row in rows if _measure(row) in primary]


def _measure(row: Row) -> tuple[str, str, str]:
    return row.comparison.benchmark, row.comparison.task, row.comparison.metric
