"""`evalkit watch`: evaluate and gate the checkpoints of a training run as they appear."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.options import verbose_option
from evalkit.errors import SuiteError

if TYPE_CHECKING:
    from evalkit.gate import GateResult
    from evalkit.runner import Progress
    from evalkit.watch import Ledger, Look, Plan, Training

__all__ = ["command"]

_SPENDING = ("even", "pocock", "obrien_fleming")


@dataclass(frozen=True)
class _Options:
    """The command line as click parsed it; one field per option below."""

    place: Path
    suite: str
    looks: int | None
    spending: str | None
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
    from evalkit import watch

    asked = _Options(**given)
    training = watch.training(asked.place, asked.suite, asked.overrides, asked.candidate)
    with watch.Ledger(training.ledger_folder) as ledger:
        plan = _plan(asked, training, ledger)
        ledger.begin(plan)
        options = watch.Options(asked.poll, asked.once, asked.stop_on_regression)
        click.echo(f"ledger: {ledger.path}", err=True)
        standing = watch.watch(training, ledger, options, _Listener(asked, plan))
        summary = watch.summarise(training, ledger, standing)
    if asked.as_json:
        click.echo(json.dumps(watch.summary_json(summary), indent=1, ensure_ascii=False))
    else:
        click.echo(f"{standing.ended}\n", err=True)
        click.echo("\n".join(watch.summary_lines(summary)))
    return summary.exit_code


def _plan(asked: _Options, training: Training, ledger: Ledger) -> Plan:
    """As asked, or as it was before where nothing is asked."""
    before = ledger.plan
    looks = asked.looks or (before.looks if before else None)
    spending = asked.spending or (before.spending if before else "even")
    if looks is None:
        suggested = training.suggested_looks()
        hint = f"; the trainer's state lets expect {suggested}" if suggested else ""
        raise SuiteError(
            f"--looks is missing: alpha is spread over a planned number of checkpoints, which "
            f"must be named before the first of them is seen{hint}"
        )
    return training.plan(looks, spending)  # type: ignore[arg-type]


class _Listener:
    """Says on the terminal what happens."""

    def __init__(self, asked: _Options, plan: Plan) -> None:
        self._asked, self._plan = asked, plan

    def progress(self) -> Progress:
        """A display of its own for each checkpoint."""
        from evalkit.cli.progress import watcher

        return watcher(verbose=self._asked.verbose)

    def note(self, text: str) -> None:
        """On the error stream, as progress is."""
        from evalkit.tables import one_line, visible

        click.echo(one_line(visible(text)), err=True)

    def decided(self, look: Look, result: GateResult) -> None:
        """The gate's lines, and what they cost."""
        from evalkit import gate, watch
        from evalkit.tables import one_line, visible

        shown = [one_line(visible(watch.look_words(look, self._plan))), *gate.gate_lines(result)]
        click.echo("\n".join([*shown, ""]), err=self._asked.as_json)
