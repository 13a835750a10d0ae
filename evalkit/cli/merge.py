"""`evalkit merge`: an adapter into its base, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from evalkit.cli.options import verbose_option

__all__ = ["command"]


@click.command("merge")
@click.argument("base")
@click.argument("adapter")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    show_default=True,
    help="Type of the written weights; auto: the base's own.",
)
@click.option("--allow-different-base", metavar="NAME", help="The base the adapter names.")
@click.option("--json", "as_json", is_flag=True, help="Print the proof.")
@verbose_option
def command(base: str, adapter: str, out: Path, as_json: bool, **settings: Any) -> None:
    """Merge ADAPTER into BASE, prove it, and write a plain transformers checkpoint to OUT.

    BASE and ADAPTER are folders or hub repositories; BASE may be package://module/file.gguf.
    """
    from evalkit import models
    from evalkit import suite as suites
    from evalkit.cli.progress import watcher
    from evalkit.core.specs import ModelSpec

    watch = watcher(verbose=settings.pop("verbose"))
    spec = ModelSpec.model_validate({"base": base, "adapter": adapter, **settings})
    workspace = suites.find_workspace()
    proof = models.merge(base, adapter, out, spec, workspace, watch.step)
    for warning in proof.get("warnings", ()):
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps(proof, indent=2))
    else:
        click.echo(f"merged and proved: {out} (the proof is {out / 'evalkit_merge.json'})")
