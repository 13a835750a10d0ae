"""`evalkit evidence`: from a published figure to everything it rests on."""

from __future__ import annotations

import json
from pathlib import Path

import click

from evalkit.cli.console import split

__all__ = ["command"]


@click.command("evidence")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("cell")
@click.option(
    "--samples",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the records behind the figure here, as JSON lines.",
)
@click.option("--allow-different", multiple=True, metavar="FIELD", help="Settings that may differ.")
@click.option("--json", "as_json", is_flag=True, help="Print the chain as JSON.")
def command(
    runs: tuple[Path, ...],
    cell: str,
    samples: Path | None,
    allow_different: tuple[str, ...],
    as_json: bool,
) -> int:
    """Show what the figure CELL of the RUNS rests on, and compute it again.

    CELL is MODEL/BENCHMARK[/TASK][/METRIC], A-B/BENCHMARK[...] for a difference, or the number as
    it was printed, alone or after a model ("notus-7b-v1 91.42").  RUN:MODEL where two runs have
    one name.  Exit code 1: the records say something else than results.json.
    """
    from evalkit import compare, evidence, store
    from evalkit.runner.assemble import extra_estimates

    stored = [store.read_run(run) for run in runs]
    options = compare.Options(
        allow_different=compare.allowed_fields(stored, split(allow_different))
    )
    figure = evidence.find(stored, cell, options)
    found = evidence.chain(figure, evidence.recompute(figure, extra_estimates), stored)
    if samples is not None:
        behind = evidence.records_behind(figure, stored)
        lines = [store.canonical_json(store.encode(record)) + b"\n" for record in behind]
        store.write_file(samples, b"".join(lines))
        click.echo(f"samples: {samples} ({len(lines)} records)", err=True)
    if as_json:
        click.echo(json.dumps(found.parts, indent=1, ensure_ascii=False))
    else:
        click.echo("\n".join(evidence.chain_lines(found)))
    return 1 if found.contradicted else 0
