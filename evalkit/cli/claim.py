"""`evalkit claim`: whether stored runs support a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import click

from evalkit.cli.console import split

__all__ = ["command"]


@click.command("claim")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("text")
@click.option("--allow-different", multiple=True, metavar="FIELD", help="Settings that may differ.")
@click.option("--level", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True)
@click.option("--repeats", is_flag=True, help="Several runs of a model repeat one measurement.")
@click.option("--accept-damaged", is_flag=True, help="Judge on damaged evidence, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def command(
    runs: tuple[Path, ...],
    text: str,
    allow_different: tuple[str, ...],
    level: float,
    repeats: bool,
    accept_damaged: bool,
    as_json: bool,
) -> int:
    """Say whether RUNS support TEXT, as "A beats B on alpaca_eval".

    Forms: A beats (surpasses, outperforms, is better than) B [and C] on BENCHMARK[/TASK];
    A beats B by more than X points, or by X points as printed; A is worse than B; A matches (is on
    par with) B within X points; A is not worse than B by more than X points; A is best; A scores X
    on BENCHMARK; A gives longer answers than B.  Exit code 0: supported; 1: not supported or
    contradicted.
    """
    from evalkit import store
    from evalkit.compare.claim import claim
    from evalkit.compare.contests import Options
    from evalkit.compare.guard import allowed_fields
    from evalkit.draw import one_line, visible

    stored = [store.load(run) for run in runs]
    allowed = allowed_fields(stored, split(allow_different))
    options = Options(level, allow_different=allowed, repeats=repeats)
    found = claim(stored, text, options, accept_damaged=accept_damaged)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        click.echo(found.answer)
        for reason in found.reasons:
            click.echo(f"  {one_line(visible(reason))}")
        if found.answer != "supported" and found.suggestion:
            click.echo(f"summary: {one_line(visible(found.suggestion))}")
    return 0 if found.answer == "supported" else 1
