"""`evalkit card update`: a real card brought up to date in place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.console import split
from evalkit.errors import CardError

if TYPE_CHECKING:
    from evalkit.card import Card, Updated

__all__ = ["command"]


@dataclass(frozen=True)
class _Options:
    """The command line as click parsed it; one field per option below."""

    file: Path
    runs: tuple[Path, ...]
    model: str | None
    name: str | None
    only: tuple[str, ...]
    source: str | None
    dry_run: bool
    check: bool
    push: str | None
    allow_unpublishable: bool


@click.command("update")
@click.argument("file", metavar="README.md", type=click.Path(path_type=Path))
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", help="Whose card it is; default: the runs' candidate.")
@click.option("--name", help="The model's name in the card's index, where it is another one.")
@click.option("--only", multiple=True, metavar="BENCH", help="Only these benchmarks.")
@click.option("--source", metavar="URL", help="Where the runs can be seen; goes into the index.")
@click.option("--dry-run", is_flag=True, help="Show what would change as a diff; write nothing.")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 where the card is stale.")
@click.option("--push", metavar="REPO", help="Also commit it to this repository of the hub.")
@click.option("--allow-unpublishable", is_flag=True, help="Limited or damaged runs too, marked.")
def command(**given: Any) -> int:
    """Bring the card README.md up to date with RUNS, in place.

    Changed are evalkit's own entries of the model-index and the text between markers
    (<!-- evalkit:results --> … <!-- /evalkit:results -->; also chat, academic, all).  A card
    without markers gets them below its heading on results.  Everything else stays byte for byte.
    But an entry of the card's author that is the same measurement with the same value, be it as a
    share of 1 or under another name of its data set, becomes evalkit's.  One with another value
    stays, and evalkit's is not written beside it.  Both are said on standard error.
    Figures that a model of the same suite judged are marked in the tables and not in the index.
    """
    asked = _Options(**given)
    if asked.push is not None and (asked.dry_run or asked.check):
        raise click.UsageError("--push writes: it cannot go with --dry-run or --check")
    if asked.push is not None and asked.allow_unpublishable:
        raise click.UsageError("--push publishes: it cannot go with --allow-unpublishable")
    made = _card(asked)
    updated = _updated(asked, made)
    for note in updated.notes:
        click.echo(note, err=True)
    if asked.dry_run:
        click.echo(updated.diff(asked.file.name), nl=False)
    if asked.dry_run or asked.check:
        word = "stale" if updated.is_stale else "up to date"
        click.echo(f"{asked.file}: {word}", err=asked.dry_run)
        return 1 if asked.check and updated.is_stale else 0
    if asked.push is not None:
        _push(asked, made, updated)
    _write(asked.file, updated)
    return 0


def _card(asked: _Options) -> Card:
    from evalkit import card, store

    stored = [store.read_run(run) for run in asked.runs]
    material = card.gather(
        stored, asked.model, split(asked.only), allow_unpublishable=asked.allow_unpublishable
    )
    return card.Card(material, asked.name or material.candidate, asked.source)


def _updated(asked: _Options, made: Card) -> Updated:
    from evalkit import card

    return card.update(_read(asked.file), made, keep_name=asked.name is None)


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise CardError(
            f"{str(file)!r}: no such file; write a card first: evalkit card write RUN --out {file}"
        ) from None
    except UnicodeDecodeError as error:
        raise CardError(f"{str(file)!r}: not UTF-8 ({error}); save it as UTF-8") from error


def _push(asked: _Options, made: Card, updated: Updated) -> None:
    """Before the file is written: what the hub does not take leaves everything as it was."""
    from evalkit import card

    def again(text: str) -> str:
        return card.update(text, made, keep_name=asked.name is None).new

    assert asked.push is not None
    click.echo(f"pushed: {card.push(updated.new, asked.push, again)}")


def _write(file: Path, updated: Updated) -> None:
    from evalkit import store

    if updated.is_stale:
        store.write_file(file.resolve(), updated.new.encode("utf-8"))
    click.echo(f"{file}: {'updated' if updated.is_stale else 'up to date'}")
