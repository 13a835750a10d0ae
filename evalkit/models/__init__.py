"""Models: from a `ModelSpec` to weights on disk, converted or merged, proved and fingerprinted."""

from __future__ import annotations

from evalkit.models.cache import discard
from evalkit.models.checkpoint import CheckpointInfo, checkpoint_info
from evalkit.models.missing import missing
from evalkit.models.preparing import merge, prepare, prepare_base, record_base
from evalkit.models.whole import model_contents, model_files, unfinished

__all__ = [
    "CheckpointInfo",
    "checkpoint_info",
    "discard",
    "merge",
    "missing",
    "model_contents",
    "model_files",
    "prepare",
    "prepare_base",
    "record_base",
    "unfinished",
]
