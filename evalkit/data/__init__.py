"""Data set names and files to verified, checksummed records.

`catalogue.py` says what there is, `resolve.py` where it is found, `fetching.py` how it gets here,
`hubsets.py` and `tasks.py` where lm-eval's tasks get theirs, `lookup.py` where a suite's own lies,
`files.py` how files are read.
"""

from __future__ import annotations

from evalkit.data.catalogue import Entry, entries, entry, is_known
from evalkit.data.files import Dataset, read_jsonl, require
from evalkit.data.hubsets import TaskData
from evalkit.data.hubsets import pull as pull_hub
from evalkit.data.lookup import locate
from evalkit.data.resolve import (
    Found,
    evidence,
    local,
    missing,
    records,
    require_available,
    resolve,
)
from evalkit.data.tasks import copy_local, nltk_folder, pulled, task_data

__all__ = [
    "Dataset",
    "Entry",
    "Found",
    "TaskData",
    "copy_local",
    "entries",
    "entry",
    "evidence",
    "is_known",
    "local",
    "locate",
    "missing",
    "nltk_folder",
    "pull_hub",
    "pulled",
    "read_jsonl",
    "records",
    "require",
    "require_available",
    "resolve",
    "task_data",
]
