"""`evalkit evidence`: from a published figure to everything it rests on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.console import split

if TYPE_CHECKING:
    from evalkit.core.figures import Figure
    from evalkit.core.run import Run

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

    CELL is MODEL/BENCHMARK[/TASK][/METRIC], or A-B/BENCHMARK[...] for a difference.  RUN:MODEL
    where two runs have one name.  Exit code 1: the records say something else than results.json.
    """
    from evalkit import store
    from evalkit.compare import evidence
    from evalkit.compare.contests import Options
    from evalkit.compare.guard import allowed_fields

    def extra(run: Run, model: str, benchmark: str) -> Sequence[Figure]:
        """Only where a figure needs its benchmark's code is all of that loaded."""
        from evalkit.runner.assemble import extra_figures

        return extra_figures(run, model, benchmark)

    stored = [store.load(run) for run in runs]
    options = Options(allow_different=allowed_fields(stored, split(allow_different)))
    found = evidence.find(stored, cell, options)
    made = evidence.chain(found, evidence.recompute(found, extra), stored)
    if samples is not None:
        behind = evidence.records_behind(found, stored)
        lines = [store.canonical_json(store.encode(record)) + b"\n" for record in behind]
        store.write_file(samples, b"".join(lines))
        click.echo(f"samples: {samples} ({len(lines)} records)", err=True)
    if as_json:
        click.echo(json.dumps(made.parts, indent=1, ensure_ascii=False))
    else:
        click.echo("\n".join(evidence.chain_lines(made)))
    return 1 if made.contradicted else 0
