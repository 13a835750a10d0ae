"""Models: from a `ModelSpec` to weights on disk, converted or merged, proved and fingerprinted."""

from __future__ import annotations

from evalkit.models.checkpoint import CheckpointInfo, checkpoint_info
from evalkit.models.missing import missing
from evalkit.models.preparing import merge, prepare, prepare_base, record_base

__all__ = [
    "CheckpointInfo",
    "checkpoint_info",
    "merge",
    "missing",
    "prepare",
    "prepare_base",
    "record_base",
]
