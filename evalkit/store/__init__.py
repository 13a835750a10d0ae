"""Runs on disk and the completion cache.

`reading` turns a run's folder into a typed `Run` (older formats through `upgrade`), `runs` writes
one; `completions` is the cache; `codec` turns domain types into JSON and back, strictly; `files`
writes so that a killed process loses nothing it has written.
"""

from __future__ import annotations

from evalkit.store.codec import canonical_json, decode, encode
from evalkit.store.files import Closing, FolderLock, LineFile, holds, read_file, write_file, writing
from evalkit.store.reading import (
    LATEST,
    MANIFEST_NAME,
    RESULTS_NAME,
    NaturalKey,
    digest,
    find_place,
    find_run,
    find_workspace,
    load,
    load_manifest,
    manifest_json,
    manifest_of,
    natural_key,
    read_json,
    read_sessions,
    results,
    run_folders,
    shown,
    started,
)
from evalkit.store.runs import RunStore, pretty_json, run_id, write_votes

__all__ = [
    "LATEST",
    "MANIFEST_NAME",
    "RESULTS_NAME",
    "Closing",
    "FolderLock",
    "LineFile",
    "NaturalKey",
    "RunStore",
    "canonical_json",
    "decode",
    "digest",
    "encode",
    "find_place",
    "find_run",
    "find_workspace",
    "holds",
    "load",
    "load_manifest",
    "manifest_json",
    "manifest_of",
    "natural_key",
    "pretty_json",
    "read_file",
    "read_json",
    "read_sessions",
    "results",
    "run_folders",
    "run_id",
    "shown",
    "started",
    "write_file",
    "write_votes",
    "writing",
]
