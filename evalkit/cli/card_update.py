"""`evalkit card update`: a real card brought up to date in place."""

from __future__ import annotations

from pathlib import Path

import click

from evalkit.cli.console import split
from evalkit.errors import CardError

__all__ = ["command"]


@click.command("update")
@click.argument("file", metavar="README.md", type=click.Path(path_type=Path))
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", help="Whose card it is, by the runs' name; default: their candidate.")
@click.option("--name", help="The model's name in the card's index, where it is another one.")
@click.option("--only", multiple=True, metavar="BENCH", help="Only these benchmarks.")
@click.option("--source", metavar="URL", help="Where the runs can be seen; goes into the index.")
@click.option("--dry-run", is_flag=True, help="Show what would change as a diff; write nothing.")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 where the card is stale.")
@click.option("--push", metavar="REPO", help="Also commit it to this repository of the hub.")
@click.option("--allow-unpublishable", is_flag=True, help="Limited or damaged runs too, marked.")
def command(
    file: Path,
    runs: tuple[Path, ...],
    model: str | None,
    name: str | None,
    only: tuple[str, ...],
    source: str | None,
    dry_run: bool,
    check: bool,
    push: str | None,
    allow_unpublishable: bool,
) -> int:
    """Bring the card README.md up to date with RUNS, in place.

    Changed are evalkit's own entries of the model-index and the text between markers
    (<!-- evalkit:results --> … <!-- /evalkit:results -->; also chat, academic, all).  A card
    without markers gets them below its heading on results.  Everything else stays as it is.
    But an entry of the card's author that is the same measurement with the same value becomes
    evalkit's, unless it is more precise.  One with another value stays, and evalkit's is not
    written beside it.  Both are said on standard error.  A card of another model is written into
    only with --model.
    """
    from evalkit import card, store

    if push is not None and (dry_run or check):
        raise click.UsageError("--push writes: it cannot go with --dry-run or --check")
    if push is not None and allow_unpublishable:
        raise click.UsageError("--push publishes: it cannot go with --allow-unpublishable")
    material = card.gather(
        [store.load(run) for run in runs],
        model,
        split(only),
        allow_unpublishable=allow_unpublishable,
    )
    made = card.Card(material, name or material.candidate, source)

    def again(text: str) -> card.Updated:
        return card.update(text, made, named=name is not None, other_model=model is not None)

    updated = again(_read(file))
    for note in updated.notes:
        click.echo(note, err=True)
    word = "stale" if updated.is_stale else "up to date"
    if dry_run:
        click.echo(updated.diff(file.name), nl=False)
    if dry_run or check:
        click.echo(f"{file}: {word}", err=dry_run)
        return 1 if check and updated.is_stale else 0
    if push is not None:
        # Before the file is written: what the hub does not take leaves everything as it was.
        click.echo(f"pushed: {card.push(updated.new, push, lambda text: again(text).new)}")
    if updated.is_stale:
        store.write_file(file.resolve(), updated.new.encode("utf-8"))
    click.echo(f"{file}: {'updated' if updated.is_stale else 'up to date'}")
    return 0


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise CardError(
            f"{str(file)!r}: no such file; write a card first: evalkit card write RUN --out {file}"
        ) from None
    except UnicodeDecodeError as error:
        raise CardError(f"{str(file)!r}: not UTF-8 ({error}); save it as UTF-8") from error
