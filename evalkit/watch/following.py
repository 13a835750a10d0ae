"""A whole watch in one call: ledger opened, plan kept, folder followed, state told."""

from __future__ import annotations

from evalkit.errors import SuiteError
from evalkit.stats.sequential import Spending
from evalkit.watch.ledger import Ledger, Plan
from evalkit.watch.loop import Listener, Options, watch
from evalkit.watch.summary import Summary, summarise
from evalkit.watch.training import Training

__all__ = ["follow"]


def follow(
    training: Training,
    looks: int | None,
    spending: Spending | None,
    options: Options,
    listener: Listener,
) -> Summary:
    """Watch a training run, or go on with it.

    Args:
        training: What is watched.
        looks: Planned in all; None: as many as the first call said.
        spending: How alpha is spread; None: as the first call said, which is `even` by default.
        options: How to watch.
        listener: Told what happens.

    Raises:
        SuiteError: no plan, or another one than the first call's.
        EvalkitError: What ended the watch early; the same call goes on from there.
    """
    with Ledger(training.ledger_folder) as ledger:
        ledger.begin(_plan(training, ledger.plan, looks, spending))
        listener.note(f"ledger: {ledger.path}")
        standing = watch(training, ledger, options, listener)
        return summarise(training, ledger, standing)


def _plan(
    training: Training, before: Plan | None, looks: int | None, spending: Spending | None
) -> Plan:
    if looks is None and before is not None:
        looks = before.looks
    if looks is None:
        suggested = training.suggested_looks()
        hint = f"; the trainer's state lets expect {suggested}" if suggested else ""
        raise SuiteError(
            f"the number of looks is missing: alpha is spread over a planned number of "
            f"checkpoints, which must be said (--looks N) before the first of them is seen{hint}"
        )
    if spending is None:
        spending = "even" if before is None else before.spending
    return training.plan(looks, spending)
