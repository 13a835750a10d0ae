"""`evalkit card write`: a whole card, or its tables, from stored runs."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from evalkit.cli.console import split

__all__ = ["command"]


@click.command("write")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", help="Whose card it is; default: the runs' candidate.")
@click.option("--name", help="The model's name on the hub; default: its name in the runs.")
@click.option("--only", multiple=True, metavar="BENCH", help="Only these benchmarks.")
@click.option("--license", help="The hub's identifier (mit, apache-2.0); default: the suite's.")
@click.option(
    "--template",
    metavar="FILE|chat|academic|all",
    help="A Jinja file for the card; or a word for tables alone.",
)
@click.option("--source", metavar="URL", help="Where the runs can be seen; goes into the index.")
@click.option("--out", type=click.Path(path_type=Path), help="File; default: print it.")
@click.option("--allow-unpublishable", is_flag=True, help="Limited or damaged runs too, marked.")
def command(
    runs: tuple[Path, ...],
    model: str | None,
    name: str | None,
    only: tuple[str, ...],
    license: str | None,  # noqa: A002 - the option's name
    template: str | None,
    source: str | None,
    out: Path | None,
    allow_unpublishable: bool,
) -> None:
    """Write the card of one model from RUNS: front matter, tables, statements, how to use it.

    What no run knows (license, datasets, language, more columns of the tables) is in the suite's
    `card` section.  What stands between the markers (<!-- evalkit:results -->) is what `card
    update` writes anew.  Figures that a model of the same suite judged are marked in the tables and
    are not in the index.  Figures that the index does not hold are named on standard error.
    """
    from evalkit import card, store

    material = card.gather(
        [store.load(run) for run in runs],
        model,
        split(only),
        allow_unpublishable=allow_unpublishable,
    )
    made = card.Card(material, name or material.candidate, source, license)
    parts = {part: part for part in get_args(card.Part)}
    if template in parts:
        text = made.part(parts[template]) + "\n"
    else:
        made.require_valid()
        text = made.text(None if template is None else Path(template))
        if template is not None and "<!-- evalkit:" not in text:
            click.echo(
                "the template has no markers, so that card update would add its tables to these: "
                "put <!-- evalkit:results --> and <!-- /evalkit:results --> around {{ results }}, "
                "each on a line of its own",
                err=True,
            )
        for reason in made.index.left_out:
            click.echo(f"not in the index: {reason}", err=True)
        if made.statements[1]:
            click.echo(f"nothing is said of baselines: {made.statements[1]}", err=True)
        if not made.said.license:
            click.echo("no license in the front matter: --license, or card: {license: …}", err=True)
    if out is None:
        click.echo(text, nl=False)
    else:
        store.write_file(out, text.encode("utf-8"))
        click.echo(f"card: {out}", err=True)
