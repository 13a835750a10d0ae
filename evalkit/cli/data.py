"""`evalkit data`: what public data there is, and a copy of what a suite needs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from evalkit.core.protocols import DataPlaces
    from evalkit.data import Entry

__all__ = ["command"]


@click.group("data")
def command() -> None:
    """Public data sets: by name, with revision and checksum."""


@command.command("pull")
@click.argument("suite")
@click.option("--to", "folder", type=click.Path(path_type=Path), required=True, metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print what was fetched.")
def _pull(suite: str, folder: Path, as_json: bool) -> None:
    """Copy all the data that SUITE needs into DIR, verified, for a machine without network.

    There, set EVALKIT_DATA=DIR, or write `data: {mirror: DIR}` in the suite.
    """
    from evalkit import runner

    rows = []
    for row in runner.pull(suite, folder):
        rows.append(row)
        if not as_json:
            size = f"{row['bytes']:,} bytes" if row["bytes"] is not None else ""
            licence = f"licence: {row['licence']}" if row["licence"] else ""
            parts = [row["name"], row["from"], size, licence]
            click.echo("  ".join(part for part in parts if part))
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        click.echo(f"{len(rows)} data sets in {folder}; use them with EVALKIT_DATA={folder}")


@command.command("list")
@click.argument("suite", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def _list(suite: str | None, as_json: bool) -> None:
    """Every public data set (or those SUITE needs): where it is, and whether its hash is right."""
    from evalkit import data, runner

    places, names = runner.data_needs(suite)
    rows = [_row(name, places) for name in (names if names is not None else data.entries())]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['state']:<10}  {row['name']}  {row['licence'] or 'no licence stated'}")
        if row["state"] in ("absent", "changed"):
            click.echo(f"{'':<10}  {row['problem'] or row['origin']}")


def _row(name: str, places: DataPlaces) -> dict[str, Any]:
    from evalkit import data

    if name.startswith("hub:"):
        state = "absent" if data.missing([name], places) else "available"
        return {"name": name, "state": state, "licence": "", "origin": "the hub", "problem": ""}
    entry = data.entry(name)
    return {**_state(entry, places), **asdict(entry), "origin": entry.origin}


def _state(entry: Entry, places: DataPlaces) -> dict[str, Any]:
    from evalkit import data
    from evalkit.errors import DataError

    try:
        found = data.local(entry, places)
    except DataError as error:
        return {"state": "changed", "problem": str(error), "path": None}
    if found is None:
        return {"state": "absent", "problem": "", "path": None}
    return {"state": found.source, "problem": "", "path": str(found.path)}
