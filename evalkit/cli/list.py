"""`evalkit list`: what a suite may name."""

from __future__ import annotations

import json

import click

__all__ = ["command"]


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(as_json: bool) -> None:
    """List bundled suites, benchmarks, engines and judge protocols."""
    from evalkit import plugins
    from evalkit import suite as suites

    found = {
        "suites": list(suites.bundled()),
        "benchmarks": list(plugins.names("benchmarks")),
        "engines": list(plugins.names("engines")),
        "judge protocols": list(plugins.names("judges")),
    }
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for title, names in found.items():
        click.echo(f"{title}: {', '.join(names)}")
