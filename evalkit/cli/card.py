"""Publish: `card write`, `card update`, `card audit`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

import click

from evalkit.cli.console import (
    PATH,
    RUNS,
    json_option,
    print_json,
    read_runs,
    runs_argument,
    show,
    split,
    write_out,
)
from evalkit.core.files import read_file
from evalkit.errors import CardError

__all__ = ["command"]


@click.group("card")
def command() -> None:
    """Model cards whose every figure leads back to evidence."""


@command.command("write", short_help="Write the card of one model from runs.", epilog=RUNS)
@runs_argument
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
@click.option("--out", type=PATH, default="-", help="File; default: print it.")
@click.option("--allow-unpublishable", is_flag=True, help="Limited or damaged runs too, marked.")
def write(
    runs: tuple[str, ...],
    model: str | None,
    name: str | None,
    only: tuple[str, ...],
    license: str | None,  # noqa: A002 - the option's name
    template: str | None,
    source: str | None,
    out: Path,
    allow_unpublishable: bool,
) -> None:
    """Write the card of one model from RUNS: front matter, tables, statements, how to use it.

    What no run knows (license, datasets, language, more columns of the tables) is in the suite's
    `card` section.  What stands between the markers (<!-- evalkit:results -->) is what `card
    update` writes anew.  Figures that a model of the same suite judged are marked in the tables and
    are not in the index.  Figures that the index does not hold are named on standard error.
    """
    from evalkit import card

    material = card.gather(
        read_runs(runs),
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
    write_out(text, out, "card")


@command.command("update", epilog=RUNS)
@click.argument("file", metavar="README.md", type=PATH)
@runs_argument
@click.option("--model", help="Whose card it is, by the runs' name; default: their candidate.")
@click.option("--name", help="The model's name in the card's index, where it is another one.")
@click.option("--only", multiple=True, metavar="BENCH", help="Only these benchmarks.")
@click.option("--source", metavar="URL", help="Where the runs can be seen; goes into the index.")
@click.option("--dry-run", is_flag=True, help="Show what would change as a diff; write nothing.")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 where the card is stale.")
@click.option("--push", metavar="REPO", help="Also commit it to this repository of the hub.")
@click.option("--allow-unpublishable", is_flag=True, help="Limited or damaged runs too, marked.")
def update(
    file: Path,
    runs: tuple[str, ...],
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
        read_runs(runs),
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
        return read_file(file, 1 << 24).decode("utf-8")
    except FileNotFoundError:
        raise CardError(
            f"{str(file)!r}: no such file; write a card first: evalkit card write RUN --out {file}"
        ) from None
    except OSError as error:
        raise CardError(f"{str(file)!r} cannot be read ({error.strerror}); name a card") from error
    except UnicodeDecodeError as error:
        raise CardError(f"{str(file)!r}: not UTF-8 ({error}); save it as UTF-8") from error


@command.command("audit")
@click.argument("card", type=PATH)
@click.option(
    "--evidence",
    multiple=True,
    type=PATH,
    metavar="RUN|FILE|SUITE",
    help="A run, a result file of lm-eval or another tool, a suite; may be repeated.",
)
@click.option(
    "--model",
    multiple=True,
    metavar="[CARD_NAME=]NAME",
    help="The evidence's NAME for the card's model, or for another it names; may be repeated.",
)
@click.option("--all", "everything", is_flag=True, help="Every number, and how it was matched.")
@click.option("--strict", is_flag=True, help="Exit with 1 for claims not supported, too.")
@json_option
@click.option("--markdown", is_flag=True, help="Print the audit as Markdown.")
def audit(
    card: Path,
    evidence: tuple[Path, ...],
    model: tuple[str, ...],
    everything: bool,
    strict: bool,
    as_json: bool,
    markdown: bool,
) -> int:
    """Hold the model card CARD against itself and against evidence.

    Without evidence: averages against the numbers they are of, and every two places of the card
    (tables, index, sentences) that state one figure.  With evidence: only a run or result file of
    that very model with the same settings contradicts a number; a published figure that differs is
    a note.  The AlpacaEval leaderboards that alpaca-eval ships are always among the evidence.
    Sentences that compare models are read as by `evalkit claim`, or listed as not checked.

    Exit code 0: nothing is wrong for certain; 1: a number, an average or a claim is; 2: the card or
    the evidence cannot be read.
    """
    from evalkit import plugins, suite
    from evalkit.card import audit as audits
    from evalkit.core.protocols import DataPlaces

    mirror = os.environ.get("EVALKIT_DATA")
    places = DataPlaces((Path(mirror),) if mirror and Path(mirror).is_dir() else ())
    read = audits.read_card(card)
    known = audits.gather(
        evidence, places, lambda name: suite.load(suite.locate(name), (), plugins)
    )
    found = audits.audit(read, known, audits.by_user(model, known))
    if as_json:
        print_json(found.to_json())
    elif markdown:
        click.echo(audits.audit_markdown(found, everything=everything), nl=False)
    else:
        show(*audits.audit_lines(found, everything=everything))
    unsupported = any(claim.answer == "not supported" for claim in found.claims)
    return 1 if found.contradicted or (strict and unsupported) else 0
