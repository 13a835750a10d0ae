"""`evalkit claim`: whether stored runs carry a sentence."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from evalkit.cli.console import split

__all__ = ["command"]


@dataclass(frozen=True)
class _Options:
    """The command line as click parsed it; one field per option below."""

    runs: tuple[Path, ...]
    text: str
    allow_different: tuple[str, ...]
    level: float
    repeats: bool
    accept_damaged: bool
    as_json: bool


@click.command("claim")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("text")
@click.option("--allow-different", multiple=True, metavar="FIELD", help="Settings that may differ.")
@click.option("--level", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True)
@click.option("--repeats", is_flag=True, help="Several runs of a model repeat one measurement.")
@click.option("--accept-damaged", is_flag=True, help="Judge on damaged evidence, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def command(**given: Any) -> int:
    """Say whether RUNS carry TEXT, as "A beats B on alpaca_eval".

    Forms: A beats (surpasses, outperforms, is better than) B [and C] on BENCHMARK[/TASK];
    A beats B by more than X points; A is worse than B; A matches (is on par with) B within X
    points; A is not worse than B by more than X points; A is best.  Exit code 0: supported;
    1: not supported or contradicted.
    """
    from evalkit import compare, store
    from evalkit.draw import one_line, visible

    asked = _Options(**given)
    stored = [store.read_run(run) for run in asked.runs]
    allowed = compare.allowed_fields(stored, split(asked.allow_different))
    options = compare.Options(asked.level, allow_different=allowed, repeats=asked.repeats)
    damaged = asked.accept_damaged
    found = compare.check_claim(stored, asked.text, options, accept_damaged=damaged)
    if asked.as_json:
        click.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        click.echo(found.answer)
        for reason in found.reasons:
            click.echo(f"  {one_line(visible(reason))}")
        if found.answer != "supported" and found.suggestion:
            click.echo(f"may be said: {one_line(visible(found.suggestion))}")
    return 0 if found.answer == "supported" else 1
