"""`evalkit card audit`: every number of a model card held against evidence."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

__all__ = ["command"]

_PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class _Options:
    """The command line as click parsed it; one field per option below."""

    card: Path
    evidence: tuple[Path, ...]
    model: tuple[str, ...]
    everything: bool
    strict: bool
    as_json: bool
    markdown: bool


@click.command("audit")
@click.argument("card", type=_PATH)
@click.option(
    "--evidence",
    multiple=True,
    type=_PATH,
    metavar="RUN|FILE|SUITE",
    help="A stored run, a file of results, a suite with figures; may be repeated.",
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
def command(**given: Any) -> int:
    """Check the numbers, tables, index and claims of the model card CARD.

    Each number is confirmed, contradicted (with the right value and its source), or has no
    evidence; what is not recognised for certain contradicts nothing.  The AlpacaEval
    leaderboards that alpaca-eval ships are always among the evidence.

    Exit code 0: nothing is contradicted; 1: a number, an order, units, an average, the index or
    a claim is; 2: the card or the evidence cannot be read.
    """
    from evalkit.card import audit
    from evalkit.core.protocols import DataPlaces

    mirror = os.environ.get("EVALKIT_DATA")
    places = DataPlaces((Path(mirror),) if mirror and Path(mirror).is_dir() else ())
    asked = _Options(**given)
    read = audit.read_card(asked.card)
    known = audit.gather(asked.evidence, places)
    found = audit.audit(read, known, audit.by_user(asked.model, known))
    if asked.as_json:
        click.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    elif asked.markdown:
        click.echo(audit.audit_markdown(found, everything=asked.everything), nl=False)
    else:
        for line in audit.audit_lines(found, everything=asked.everything):
            click.echo(line)
    unsupported = any(claim.answer != "supported" for claim in found.claims)
    return 1 if found.contradicted or (asked.strict and unsupported) else 0
