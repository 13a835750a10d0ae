"""`evalkit card audit`: every number of a model card held against evidence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

__all__ = ["command"]

_PATH = click.Path(path_type=Path)


@click.command("audit")
@click.argument("card", type=_PATH)
@click.option(
    "--evidence",
    multiple=True,
    type=_PATH,
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
@click.option("--json", "as_json", is_flag=True, help="Print the audit as JSON.")
@click.option("--markdown", is_flag=True, help="Print the audit as Markdown.")
def command(
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
    from evalkit.card import audit
    from evalkit.core.protocols import DataPlaces

    mirror = os.environ.get("EVALKIT_DATA")
    places = DataPlaces((Path(mirror),) if mirror and Path(mirror).is_dir() else ())
    read = audit.read_card(card)
    known = audit.gather(evidence, places, lambda name: suite.load(suite.locate(name), (), plugins))
    found = audit.audit(read, known, audit.by_user(model, known))
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    elif markdown:
        click.echo(audit.audit_markdown(found, everything=everything), nl=False)
    else:
        for line in audit.audit_lines(found, everything=everything):
            click.echo(line)
    unsupported = any(claim.answer == "not supported" for claim in found.claims)
    return 1 if found.contradicted or (strict and unsupported) else 0
