"""`evalkit schema`: what editors check suites with."""

from __future__ import annotations

import json

import click

__all__ = ["command"]


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of suites, with the fields of every engine, judge and benchmark."""
    from evalkit import plugins
    from evalkit import suite as suites

    click.echo(json.dumps(suites.json_schema(plugins), indent=2, ensure_ascii=False))
