"""`evalkit watch`: evaluate and gate the checkpoints of a training run as they appear."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.console import verbose_option

if TYPE_CHECKING:
    from evalkit.gate import GateResult
    from evalkit.runner import Progress
    from evalkit.runner.watch_ledger import Look, Plan
    from evalkit.stats.decisions import Spending

__all__ = ["command"]

_SPENDING = ("even", "pocock", "obrien_fleming")


@dataclass(frozen=True)
class _Options:
    """The command line as click parsed it; one field per option below."""

    place: Path
    suite: str
    looks: int | None
    spending: Spending | None
    once: bool
    poll: float
    stop_on_regression: bool
    candidate: str | None
    overrides: tuple[str, ...]
    as_json: bool
    verbose: bool


@click.command("watch")
@click.argument("place", metavar="CHECKPOINT_DIR", type=click.Path(path_type=Path))
@click.argument("suite")
@click.option(
    "--looks",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Checkpoints to be gated in all; fixed by the first call.",
)
@click.option(
    "--spending",
    type=click.Choice(_SPENDING),
    help="How alpha is spread over the looks; fixed by the first call.  [default: even]",
)
@click.option("--once", is_flag=True, help="Evaluate what is there, and end.")
@click.option(
    "--poll",
    type=click.FloatRange(min=0.05),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="Look for new checkpoints so often; files must be at rest so long.",
)
@click.option("--stop-on-regression", is_flag=True, help="End at the first regression.")
@click.option("--candidate", metavar="NAME", help="Model whose checkpoints they are.")
@click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="Change a field.")
@click.option("--json", "as_json", is_flag=True, help="Print verdicts and figures as JSON.")
@verbose_option
def command(**given: Any) -> int:
    """Evaluate the checkpoints of a training run as they appear, and gate each.

    SUITE's candidate is the template: each checkpoint-N that is whole takes its place.  Alpha of
    the suite's gate is spent over the planned looks, so that all verdicts together keep it.  The
    same command goes on after any interruption.  Exit code 0: all passed; 1: a regression; 3:
    undecided where that fails, or a checkpoint without a verdict.
    """
    from evalkit.runner import watch

    asked = _Options(**given)
    training = watch.training(asked.place, asked.suite, asked.overrides, asked.candidate)
    options = watch.Options(asked.poll, asked.once, asked.stop_on_regression)
    listener = _Listener(asked)
    summary = watch.follow(training, asked.looks, asked.spending, options, listener)
    if asked.as_json:
        click.echo(json.dumps(watch.summary_json(summary), indent=1, ensure_ascii=False))
    else:
        click.echo(f"{summary.standing.ended}\n", err=True)
        click.echo("\n".join(watch.summary_lines(summary)))
    return summary.exit_code


class _Listener:
    """Says on the terminal what happens."""

    def __init__(self, asked: _Options) -> None:
        self._asked = asked

    def progress(self) -> Progress:
        """A display of its own for each checkpoint."""
        from evalkit.cli.progress import watcher

        return watcher(verbose=self._asked.verbose)

    def note(self, text: str) -> None:
        """On the error stream, as progress is."""
        from evalkit.draw import one_line, visible

        click.echo(one_line(visible(text)), err=True)

    def decided(self, plan: Plan, look: Look, result: GateResult) -> None:
        """The gate's lines, and what they cost."""
        from evalkit import gate
        from evalkit.draw import one_line, visible
        from evalkit.runner import watch

        shown = [one_line(visible(watch.look_words(look, plan))), *gate.gate_lines(result)]
        click.echo("\n".join([*shown, ""]), err=self._asked.as_json)
