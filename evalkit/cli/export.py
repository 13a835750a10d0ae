"""`evalkit export`: stored runs in the forms that other tools read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.errors import ExportError

if TYPE_CHECKING:
    from evalkit.core.protocols import Exported

__all__ = ["command"]


@dataclass(frozen=True)
class _Options:
    """The command line as click parsed it; one field per option below."""

    runs: tuple[Path, ...]
    kind: str
    out: Path
    models: tuple[str, ...]
    figures_only: bool
    allow_unpublishable: bool
    settings: tuple[str, ...]
    as_json: bool


@click.command("export")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--format", "kind", required=True, metavar="FORMAT", help="See above.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write into.")
@click.option("--model", "models", multiple=True, help="Only this model; repeat for several.")
@click.option("--figures-only", is_flag=True, help="Leave out every question and answer.")
@click.option(
    "--allow-unpublishable",
    is_flag=True,
    help="Publish limited runs and damaged evidence too, marked.",
)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="The format's own.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def command(**given: Any) -> None:
    """Write RUNS in the form that other tools read.

    \b
    csv, json, parquet  the tables of Run.to_frame(), with their columns described
    eval_results        .eval_results/*.yaml of a model repository on the hub
    every_eval_ever     Every Eval Ever's JSON, one file per model and benchmark
    lm_eval             results_*.json and samples_*.jsonl, as lm-eval writes them
    argilla             judged pairs for people to review, blind

    A setting that a format does not have is refused with the list of those it has.
    """  # noqa: D301 - click reads a backspace as: leave these lines as they stand
    from evalkit import formats, store

    asked = _Options(**given)
    spec = formats.settings(asked.kind, _settings(asked))
    done = formats.export([store.load(run) for run in asked.runs], spec)
    formats.write(done, asked.out)
    _say(asked, done)


def _settings(asked: _Options) -> dict[str, Any]:
    return {
        **dict(_pair(text) for text in asked.settings),
        "models": asked.models,
        "figures_only": asked.figures_only,
        "allow_unpublishable": asked.allow_unpublishable,
    }


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ExportError(f"--set {text!r}: expected NAME=VALUE, such as spreadsheet=true")
    return name, value


def _say(asked: _Options, done: Exported) -> None:
    for note in done.notes:
        click.echo(f"note: {note}", err=True)
    if asked.as_json:
        click.echo(json.dumps(_listing(asked.out, done.files), indent=1, ensure_ascii=False))
        return
    for name in done.files:
        click.echo(asked.out / name)


def _listing(out: Path, files: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "files": [
            {
                "file": str(out / name),
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for name, content in files.items()
        ]
    }
