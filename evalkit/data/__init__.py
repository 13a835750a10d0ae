"""Data set names and files to verified, checksummed records.

`public.py`: public data sets by name; `hubsets.py`: those of lm-eval's tasks; `files.py`: reading
files, and finding a suite's own.
"""

from __future__ import annotations

from evalkit.data.files import Dataset, locate, read_jsonl, require
from evalkit.data.hubsets import TaskData, copy_local, nltk_folder, pulled, task_data
from evalkit.data.hubsets import pull as pull_hub
from evalkit.data.public import (
    Entry,
    Found,
    entries,
    entry,
    evidence,
    is_known,
    is_offline,
    local,
    may_lie,
    missing,
    records,
    require_available,
    resolve,
)

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
    "is_offline",
    "local",
    "locate",
    "may_lie",
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
