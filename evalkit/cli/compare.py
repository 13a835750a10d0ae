"""`evalkit compare`: a candidate against baselines, over stored runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.options import split

if TYPE_CHECKING:
    from evalkit.compare import Row

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
@click.option("--json", "as_json", is_flag=True, help='Print {"comparisons": [...]}.')
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
def command(**given: Any) -> None:
    """Compare models of the RUNS on the samples they share.

    Every difference comes with its interval, what the samples can resolve, and a sentence that
    may be printed as it stands.  Scores that were not made alike are refused.  With --repeats,
    runs of one model are averaged and what they shift by is in the interval.
    """
    from evalkit import compare, store
    from evalkit.tables import escape_markdown, one_line, table_to_markdown, table_to_text, visible

    asked = _Options(**given)
    stored = [store.read_run(run) for run in asked.runs]
    ours, theirs = compare.pick(stored, asked.candidate, split(asked.baseline))
    allowed = frozenset(split(asked.allow_different))
    options = compare.Options(asked.level, allow_different=allowed, repeats=asked.repeats)
    rows = compare.compare(stored, ours, theirs, options)
    if asked.as_json:
        found = [row.to_json() for row in rows]
        click.echo(json.dumps({"comparisons": found}, indent=1, ensure_ascii=False))
        return
    shown = rows if asked.everything else _primary(rows)
    table = compare.rows_table(shown)
    click.echo(table_to_markdown(table) if asked.markdown else table_to_text(table))
    click.echo("")
    for row in shown:
        if row.headline:
            text = one_line(visible(row.sentence))
            click.echo(f"- {escape_markdown(text)}" if asked.markdown else text)


def _primary(rows: Sequence[Row]) -> list[Row]:
    """Rows of primary metrics, categories among them."""
    primary = {_measure(row) for row in rows if row.headline}
    return [row for row in rows if _measure(row) in primary]


def _measure(row: Row) -> tuple[str, str, str]:
    return row.comparison.benchmark, row.comparison.task, row.comparison.metric
