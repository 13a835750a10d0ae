"""`evalkit watch`: evaluate and gate the checkpoints of a training run as they appear."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.console import set_option, verbose_option

if TYPE_CHECKING:
    from evalkit.core.contests import GateResult
    from evalkit.runner import Progress
    from evalkit.runner.watch_ledger import Look, Plan
    from evalkit.stats.decisions import Spending

__all__ = ["command"]

_SPENDING = ("even", "pocock", "obrien_fleming")


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
@set_option
@click.option("--json", "as_json", is_flag=True, help="Print verdicts and figures as JSON.")
@verbose_option
def command(
    place: Path,
    suite: str,
    looks: int | None,
    spending: Spending | None,
    once: bool,
    poll: float,
    stop_on_regression: bool,
    candidate: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> int:
    """Evaluate the checkpoints of a training run as they appear, and gate each.

    SUITE's candidate is the template: each checkpoint-N that is whole takes its place.  Alpha of
    the suite's gate is spent over the planned looks, so that all verdicts together keep it.  The
    same command resumes after any interruption.  Exit code 0: all passed; 1: a regression; 3:
    undecided where that fails, or a checkpoint without a verdict.
    """
    from evalkit.runner import watch

    training = watch.training(place, suite, overrides, candidate)
    options = watch.Options(poll, once, stop_on_regression)
    listener = _Listener(as_json=as_json, verbose=verbose)
    summary = watch.follow(training, looks, spending, options, listener)
    if as_json:
        click.echo(json.dumps(watch.summary_json(summary), indent=1, ensure_ascii=False))
    else:
        click.echo(f"{summary.standing.ended}\n", err=True)
        click.echo("\n".join(watch.summary_lines(summary)))
    return summary.exit_code


class _Listener:
    """Says on the terminal what happens."""

    def __init__(self, *, as_json: bool, verbose: bool) -> None:
        self._as_json, self._verbose = as_json, verbose

    def progress(self) -> Progress:
        """A display of its own for each checkpoint."""
        from evalkit.cli.progress import watcher

        return watcher(verbose=self._verbose)

    def note(self, text: str) -> None:
        """On the error stream, as progress is."""
        from evalkit.draw import one_line, visible

        click.echo(one_line(visible(text)), err=True)

    def decided(self, plan: Plan, look: Look, result: GateResult) -> None:
        """The gate's lines, and what they cost."""
        from evalkit.draw import gate_lines, one_line, visible
        from evalkit.runner import watch

        shown = [one_line(visible(watch.look_words(look, plan))), *gate_lines(result)]
        click.echo("\n".join([*shown, ""]), err=self._as_json)
