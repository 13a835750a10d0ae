"""Models: from a `ModelSpec` to weights on disk, converted or merged, proved and fingerprinted.

Start with `preparing.py`.  `sources` finds files, here or on the hub; `checkpoint` describes and
hashes them; `gguf` converts; `merging` merges and proves; `base_check` checks that the base is the
right one; `recording` writes beside an adapter what was trained; `template` chooses the chat
template; `cache` keeps derived checkpoints.
"""

from __future__ import annotations

from evalkit.models.cache import discard
from evalkit.models.checkpoint import FileHashes, digest, model_files, unfinished
from evalkit.models.preparing import (
    base_of,
    check,
    merge,
    outlook,
    prepare,
    prepare_base,
    record_base,
    recording_callback,
)
from evalkit.models.sources import missing

__all__ = [
    "FileHashes",
    "base_of",
    "check",
    "digest",
    "discard",
    "merge",
    "missing",
    "model_files",
    "outlook",
    "prepare",
    "prepare_base",
    "record_base",
    "recording_callback",
    "unfinished",
]
