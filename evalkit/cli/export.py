"""`evalkit export`: stored runs in the formats of other tools."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import click

from evalkit.errors import ExportError

__all__ = ["command"]

_PATH = click.Path(path_type=Path)


@click.command("export")
@click.argument("runs", nargs=-1, required=True, type=_PATH, metavar="RUN...")
@click.option("--format", "kind", required=True, metavar="FORMAT", help="See above.")
@click.option("--out", required=True, type=_PATH, help="Folder to write into.")
@click.option("--model", "models", multiple=True, help="Only this model; repeat for several.")
@click.option("--figures-only", is_flag=True, help="Leave out every question and answer.")
@click.option(
    "--allow-unpublishable",
    is_flag=True,
    help="Publish limited runs and damaged evidence too, marked.",
)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="The format's own.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def command(
    runs: tuple[Path, ...],
    kind: str,
    out: Path,
    settings: tuple[str, ...],
    as_json: bool,
    **common: Any,
) -> None:
    """Write RUNS in a format that other tools read.

    \b
    csv, json, parquet  the tables of Run.to_frame(), with their columns described
    eval_results        .eval_results/*.yaml of a model repository on the hub
    every_eval_ever     Every Eval Ever's JSON, one file per model and benchmark
    lm_eval             results_*.json and samples_*.jsonl, as lm-eval writes them
    argilla             judged pairs for people to review, blind

    A setting that a format does not have is refused with the list of those it has.
    """  # noqa: D301 - click reads a backspace as: leave these lines as they stand
    from evalkit import formats, store

    spec = formats.settings(kind, {**dict(map(_pair, settings)), **common})
    done = formats.export([store.load(run) for run in runs], spec)
    formats.write(done, out)
    for note in done.notes:
        click.echo(f"note: {note}", err=True)
    if as_json:
        listing = [
            {
                "file": str(out / name),
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for name, content in done.files.items()
        ]
        click.echo(json.dumps({"files": listing}, indent=1, ensure_ascii=False))
        return
    for name in done.files:
        click.echo(out / name)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ExportError(f"--set {text!r}: expected NAME=VALUE, such as spreadsheet=true")
    return name, value
