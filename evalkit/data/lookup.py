"""Where a suite's own data lies: the file or folder that `data:` of a benchmark's entry names.

Public data sets are found by their names instead (`resolve.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evalkit.data.files import say_missing
from evalkit.errors import DataError

__all__ = ["locate"]


def locate(named: str, root: Path, names: Sequence[str], *, what: str) -> Path:
    """Path of one data file.

    Args:
        named: `data:` of the entry, a file or a folder, relative to `root`.
        root: Folder of the suite file.
        names: File names that may hold it, the preferred one first, relative to the folder.
        what: The data set's name for messages.

    Returns:
        What is named where that is a file; else the first of `names` that is in that folder.

    Raises:
        DataError: nothing there; says where was looked and what to correct.
    """
    place = root / named
    if place.is_file():
        return place
    if not place.is_dir():
        raise DataError(
            f"data of {what}: {say_missing(place)}; `data:` is {named!r}, expected a file or "
            f"folder relative to the suite's folder {root}: correct `data:` in the suite"
        )
    for name in names:
        if (place / name).is_file():
            return place / name
    rest = f" (nor {', '.join(names[1:])})" if len(names) > 1 else ""
    raise DataError(
        f"data of {what}: {say_missing(place / names[0])}{rest}; looked there because of "
        f"`data: {named}` of the suite: put the file there, or write another `data:` in the "
        f"benchmark's entry"
    )
