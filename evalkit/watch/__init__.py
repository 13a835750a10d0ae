"""A training run watched: each new checkpoint is measured and gated, and alpha is kept over all.

`folders` finds whole checkpoints, `training` joins them with the suite, `evaluating` takes one to
its verdict, `spending` says at which level, `ledger` remembers, `loop` follows the folder,
`summary` reports, `following` is all of it in one call.
"""

from __future__ import annotations

from evalkit.watch.folders import Folder, Polled, Settling, find_folders, training_ended
from evalkit.watch.following import follow
from evalkit.watch.ledger import Failure, Ledger, Look, Plan, Verdict
from evalkit.watch.loop import Listener, Options, Silent, Standing, watch
from evalkit.watch.spending import level_of
from evalkit.watch.summary import (
    Summary,
    look_words,
    summarise,
    summary_json,
    summary_lines,
    summary_table,
)
from evalkit.watch.training import Training, training

__all__ = [
    "Failure",
    "Folder",
    "Ledger",
    "Listener",
    "Look",
    "Options",
    "Plan",
    "Polled",
    "Settling",
    "Silent",
    "Standing",
    "Summary",
    "Training",
    "Verdict",
    "find_folders",
    "follow",
    "level_of",
    "look_words",
    "summarise",
    "summary_json",
    "summary_lines",
    "summary_table",
    "training",
    "training_ended",
    "watch",
]
