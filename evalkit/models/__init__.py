"""Models: from a `ModelSpec` to weights on disk, converted or merged, proved and fingerprinted.

`preparing.py` is the entrance.  `sources` and `hub` find files, `checkpoint`, `adapter` and `whole`
say what they are, `gguf` converts, `merge_job`, `merging` and `proof` merge and prove, `base_check`
asks whether the base is the right one, `unmerged` readies an adapter for `serve: lora`, `template`
and `fastchat_template` choose the chat template, `fingerprint` and `cache` name and keep what was
made, `missing` says what a plan lacks.
"""

from __future__ import annotations

from evalkit.models.cache import discard
from evalkit.models.missing import missing
from evalkit.models.preparing import merge, prepare, prepare_base, record_base
from evalkit.models.whole import model_contents, model_files, unfinished

__all__ = [
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
