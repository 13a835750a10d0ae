"""`evalkit check`: everything that is wrong with a suite, at once."""

from __future__ import annotations

import json

import click

from evalkit.errors import SuiteError

__all__ = ["command"]


@click.command("check")
@click.argument("suite")
@click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="Change a field.")
@click.option("--json", "as_json", is_flag=True, help="Print problems and warnings as JSON.")
def command(suite: str, overrides: tuple[str, ...], as_json: bool) -> int:
    """Check SUITE (a YAML file or a bundled suite's name) without running it.

    Exit code 0: it would run; 2: it is wrong.
    """
    from evalkit import plugins
    from evalkit import suite as suites
    from evalkit.importers.names import unknown_names

    try:
        path = suites.locate(suite)
        checked = suites.check(path, overrides, plugins, unknown_names)
    except SuiteError as error:
        if not as_json:
            raise
        problems = [{"where": p.where, "message": p.message} for p in error.problems]
        click.echo(json.dumps({"ok": False, "problems": problems, "warnings": []}, indent=2))
        return 2
    warnings = [str(w) for w in checked.warnings]
    if as_json:
        click.echo(json.dumps({"ok": True, "problems": [], "warnings": warnings}, indent=2))
        return 0
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    made = checked.suite
    click.echo(
        f"{suite}: fine; models {', '.join(made.models)}; "
        f"benchmarks {', '.join(b.entry for b in made.benchmarks)}"
        + (f"; judges {', '.join(made.judges)}" if made.judges else "")
    )
    return 0
