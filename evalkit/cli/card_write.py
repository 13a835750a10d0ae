"""`evalkit card write`: a whole card, or its tables, from stored runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.console import split

if TYPE_CHECKING:
    from evalkit.card.render import Part

__all__ = ["command"]


@dataclass(frozen=True)
class _Options:
    """The command line as click parsed it; one field per option below."""

    runs: tuple[Path, ...]
    model: str | None
    name: str | None
    only: tuple[str, ...]
    table: Part | None
    template: Path | None
    source: str | None
    out: Path | None
    allow_unpublishable: bool


@click.command("write")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", help="Whose card it is; default: the runs' candidate.")
@click.option("--name", help="The model's name in the index; default: its name in the runs.")
@click.option("--only", multiple=True, metavar="BENCH", help="Only these benchmarks.")
@click.option("--table", type=click.Choice(["chat", "academic", "all"]), help="Tables alone.")
@click.option("--template", type=click.Path(path_type=Path), help="A Jinja file for the card.")
@click.option("--source", metavar="URL", help="Where the runs can be seen; goes into the index.")
@click.option("--out", type=click.Path(path_type=Path), help="File; default: print it.")
@click.option("--allow-unpublishable", is_flag=True, help="Limited or damaged runs too, marked.")
def command(**given: Any) -> None:
    """Write the card of one model from RUNS: front matter, tables, and what may be said.

    What stands between the markers (<!-- evalkit:results -->) is what `card update` writes anew.
    Figures that a model of the same suite judged are marked in the tables and are not in the index:
    such a judge is weak.  Figures that the index does not hold are named on standard error.
    """
    from evalkit import card, store

    asked = _Options(**given)
    if asked.table is not None and asked.template is not None:
        raise click.UsageError("--table prints tables alone: it cannot go with --template")
    stored = [store.read_run(run) for run in asked.runs]
    material = card.gather(
        stored,
        asked.model,
        split(asked.only),
        allow_unpublishable=asked.allow_unpublishable,
    )
    made = card.Card(material, asked.name or material.candidate, asked.source)
    if asked.table is not None:
        text = made.part(asked.table) + "\n"
    else:
        made.require_valid()
        text = made.text(asked.template)
        if asked.template is not None and "<!-- evalkit:" not in text:
            click.echo(
                "the template has no markers, so that card update would add its tables to these: "
                "put <!-- evalkit:results --> and <!-- /evalkit:results --> around {{ results }}, "
                "each on a line of its own",
                err=True,
            )
        for reason in made.index.left_out:
            click.echo(f"not in the index: {reason}", err=True)
        if made.claims.refused:
            click.echo(f"nothing is said of baselines: {made.claims.refused}", err=True)
    if asked.out is None:
        click.echo(text, nl=False)
    else:
        store.write_file(asked.out, text.encode("utf-8"))
        click.echo(f"card: {asked.out}", err=True)
