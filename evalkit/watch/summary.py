"""What a watch has found: verdicts, alpha spent and left, figures over checkpoints, best of N."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TypeAlias

from evalkit import history, store
from evalkit.core import Json
from evalkit.draw import (
    Cell,
    Column,
    Table,
    count,
    one_line,
    significant,
    table_to_text,
    visible,
)
from evalkit.errors import DataError
from evalkit.watch.ledger import Failure, Ledger, Look, Plan, Verdict
from evalkit.watch.loop import Standing, changed_text
from evalkit.watch.training import Training

__all__ = ["Summary", "look_words", "summarise", "summary_json", "summary_lines", "summary_table"]

_Seen: TypeAlias = tuple[Look, Verdict]


@dataclass(frozen=True)
class Summary:
    """The state of a watch."""

    plan: Plan
    looks: tuple[_Seen, ...]
    """In the order in which alpha was spent."""
    failures: tuple[Failure, ...]
    """Of checkpoints that have no verdict."""
    standing: Standing
    series: tuple[history.Series, ...]
    """Each primary metric over the checkpoints, in the order of training."""
    notes: tuple[str, ...] = ()

    @property
    def spent(self) -> float:
        """Alpha spent so far."""
        return self.looks[-1][0].spent if self.looks else 0.0

    @property
    def left(self) -> float:
        """Alpha that the plan's other looks may spend."""
        return max(0.0, self.plan.alpha - self.spent)

    @property
    def open_failures(self) -> tuple[Failure, ...]:
        """Failures of checkpoints that are still there."""
        return tuple(f for f in self.failures if f.checkpoint in self.standing.present)

    @property
    def exit_code(self) -> int:
        """1: a regression; 3: undecided where that fails, or a checkpoint has no verdict; else 0.

        What is half written, and what the plan has no look for, does not count; no verdict at all
        does.
        """
        codes = {verdict.exit_code for _, verdict in self.looks}
        if 1 in codes:
            return 1
        is_incomplete = not self.looks or self.open_failures or self.standing.changed
        return 3 if 3 in codes or is_incomplete else 0


def summarise(training: Training, ledger: Ledger, standing: Standing) -> Summary:
    """The state of a watch, from its ledger and its stored runs."""
    assert ledger.plan is not None, "a watch begins with its plan"
    seen = [(k, ledger.verdicts[k.look]) for k in ledger.looks if k.look in ledger.verdicts]
    checkpoints, notes = _checkpoints(seen, training)
    series: list[history.Series] = []
    try:
        series = history.history(checkpoints) if checkpoints else []
    except DataError as error:  # no primary metric has a figure
        notes.append(str(error))
    return Summary(ledger.plan, tuple(seen), ledger.failures, standing, tuple(series), tuple(notes))


def _checkpoints(
    seen: list[_Seen], training: Training
) -> tuple[list[history.Checkpoint], list[str]]:
    found: list[history.Checkpoint] = []
    notes: list[str] = []
    for look, _ in seen:
        try:
            run = store.read_run(training.reports / look.run)
        except DataError as error:
            notes.append(f"{look.checkpoint} is left out of the figures: {error}")
            continue
        found += history.checkpoints([run], look.model).checkpoints
    found.sort(key=lambda c: (c.step.value if c.step else 0.0, history.natural_key(c.label)))
    return found, notes


# --- for people -----------------------------------------------------------------------------


def summary_table(summary: Summary) -> Table:
    """One row a look."""
    columns = (
        Column("Look", "right"),
        Column("Checkpoint", header=True),
        Column("Verdict"),
        Column("Tested at", "right"),
        Column("Spent", "right"),
        Column("Run"),
    )
    return Table.of("", columns, [_row(look, verdict) for look, verdict in summary.looks])


def _row(look: Look, verdict: Verdict) -> tuple[Cell, ...]:
    tone = {"pass": "better", "regression": "worse"}.get(verdict.verdict, "unclear")
    word = "REGRESSION" if verdict.verdict == "regression" else verdict.verdict
    return (
        Cell(look.look, count(look.look)),
        Cell.text(look.checkpoint),
        Cell.text(word, tone=tone),  # type: ignore[arg-type]
        Cell(look.level, significant(look.level)),
        Cell(look.spent, significant(look.spent)),
        Cell.text(look.run),
    )


def look_words(look: Look, plan: Plan) -> str:
    """A look's place in the plan."""
    return (
        f"{look.checkpoint}: look {look.look} of {plan.looks}, tested at one-sided "
        f"{significant(look.level)}; {significant(look.spent)} of alpha {plan.alpha:g} spent"
    )


def summary_lines(summary: Summary) -> list[str]:
    """For a terminal: what was spent and found, then each figure over the checkpoints."""
    plan = summary.plan
    done = f"{len(summary.looks)} of {plan.looks} planned looks"
    spent, left = significant(summary.spent), significant(summary.left)
    head = f"{plan.candidate} in {plan.checkpoints}: {done}; alpha {plan.alpha:g}: {spent} spent, "
    kept = f"the probability of a false regression is at most {plan.alpha:g}, and so is that of a "
    blocks = [
        [
            one_line(visible(f"{head}{left} left")),
            f"Over all planned looks together {kept}false pass.",
        ],
        table_to_text(summary_table(summary)).split("\n") if summary.looks else [],
        [one_line(visible(line)) for line in _remarks(summary)],
        *(history.series_lines(series) for series in summary.series),
    ]
    shown = [["", *block] for block in blocks if block]
    return [line for block in shown for line in block][1:]


def _remarks(summary: Summary) -> Iterator[str]:
    for look, verdict in summary.looks:
        yield from (f"because: {look.checkpoint}: {reason}" for reason in verdict.reasons)
    if not summary.looks:
        yield "no checkpoint has a verdict yet"
    for failure in summary.failures:
        gone = failure.checkpoint not in summary.standing.present
        then = "it is not there any more" if gone else "the same command tries it again"
        what = f"{failure.unanswered} samples unanswered: " if failure.unanswered else ""
        yield f"failed: {failure.checkpoint}: {what}{failure.reason}; {then}"
    yield from (f"not whole yet: {lack}" for lack in summary.standing.lacking.values())
    yield from (f"changed: {changed_text(name)}" for name in summary.standing.changed)
    if summary.standing.beyond:
        yield (
            f"not evaluated: {', '.join(summary.standing.beyond)}: all {summary.plan.looks} "
            f"planned looks are used"
        )
    yield from (f"note: {note}" for note in summary.notes)


# --- for programs ---------------------------------------------------------------------------


def summary_json(summary: Summary) -> dict[str, Json]:
    """Plan, looks with their gates, what is open, and `history --json`'s series."""
    return {
        "exit_code": summary.exit_code,
        "ended": summary.standing.ended,
        "plan": {**asdict(summary.plan), "alpha": summary.plan.alpha},
        "spent": summary.spent,
        "left": summary.left,
        "looks": [
            {**asdict(look), **{k: v for k, v in asdict(verdict).items() if k != "look"}}
            for look, verdict in summary.looks
        ],
        "failures": [
            {**asdict(f), "gone": f.checkpoint not in summary.standing.present}
            for f in summary.failures
        ],
        "not_whole": dict(summary.standing.lacking),
        "changed": list(summary.standing.changed),
        "not_evaluated": list(summary.standing.beyond),
        **history.history_json(summary.series, summary.notes),
    }
