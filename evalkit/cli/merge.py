"""`evalkit merge`: an adapter into its base, by hand."""

from __future__ import annotations

from pathlib import Path

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
@verbose_option
def command(
    base: str,
    adapter: str,
    out: Path,
    dtype: str,
    allow_different_base: str | None,
    verbose: bool,
) -> None:
    """Merge ADAPTER into BASE, prove it, and write a plain transformers checkpoint to OUT.

    BASE and ADAPTER are folders or hub repositories; BASE may be package://module/file.gguf.
    """
    from evalkit import models
    from evalkit.cli.progress import watcher

    watch = watcher(verbose=verbose)
    raise NotImplementedError((base, adapter, out, dtype, allow_different_base, watch, models))
