"""Run folders on disk: where they are, in an order for people.  Nothing of them is read."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TypeAlias

from evalkit.errors import DataError
from evalkit.store.manifest import MANIFEST_NAME

__all__ = ["NaturalKey", "natural_key", "run_folders"]

_DIGITS = re.compile("([0-9]+)")

NaturalKey: TypeAlias = tuple[tuple[tuple[int, int, str], ...], str]


def run_folders(place: Path) -> list[Path]:
    """`place` where it is a run (or a file), else the runs below it by name.

    Hidden folders are not entered, and a run's own folders neither.

    Raises:
        DataError: a folder without any run.
    """
    if not place.is_dir() or (place / MANIFEST_NAME).is_file():
        return [place]
    found = []
    for folder, inner, files in os.walk(place):
        inner[:] = sorted((n for n in inner if not n.startswith(".")), key=natural_key)
        if MANIFEST_NAME in files:
            found.append(Path(folder))
            inner.clear()
    if not found:
        raise DataError(
            f"{str(place)!r} holds no run (no folder in it has a {MANIFEST_NAME}); "
            f"name a folder such as reports/SUITE, or runs in it"
        )
    return found


def natural_key(name: str) -> NaturalKey:
    """Sorts names as people do: `checkpoint-9` before `checkpoint-10`.

    Different names have different keys, so that a sort depends on nothing else.
    """
    parts = []
    for part in _DIGITS.split(name):
        parts.append((0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()))
    return tuple(parts), name
