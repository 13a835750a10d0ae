"""Runs on disk and the completion cache.

`runs` writes and reads a run's folder, `completions` is the cache; `codec` turns domain types
into JSON and back, `manifest` and `results` lay out the two JSON files of a run, `finding` says
where runs are, `files` writes so that a killed process loses nothing that was acknowledged,
`closing` is what stores have in common in a `with` statement.
"""

from __future__ import annotations

from evalkit.store.codec import canonical_json, decode, encode
from evalkit.store.completions import CompletionStore
from evalkit.store.files import write_file
from evalkit.store.finding import natural_key, run_folders
from evalkit.store.manifest import read_manifest
from evalkit.store.reading import load, load_manifest, typed
from evalkit.store.results import read_results, results_json
from evalkit.store.runs import RunStore, pretty_json, read_run, run_id, started

__all__ = [
    "CompletionStore",
    "RunStore",
    "canonical_json",
    "decode",
    "encode",
    "load",
    "load_manifest",
    "natural_key",
    "pretty_json",
    "read_manifest",
    "read_results",
    "read_run",
    "results_json",
    "run_folders",
    "run_id",
    "started",
    "typed",
    "write_file",
]
