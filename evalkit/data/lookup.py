"""Where a benchmark's data lies: what the suite names, else the local mirror of public sets.

The mirror (environment variable EVALKIT_DATA, read by the command line and handed down as a
path) is a folder with one folder per benchmark: `alpaca_eval/reference_*.jsonl`,
`mt_bench/question.jsonl`, `mt_bench/reference_answer/gpt-4.jsonl`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.data.files import say_missing
from evalkit.errors import DataError

__all__ = ["Place", "locate"]


@dataclass(frozen=True)
class Place:
    """Where a benchmark's data may come from."""

    data: str | None
    """`data:` of the suite's entry: a file or folder, relative to `root`."""
    root: Path
    """Folder of the suite file."""
    mirror: Path | None
    """Folder with the public data sets; None: not set."""


def locate(place: Place, folder: str, names: Sequence[str], *, what: str) -> Path:
    """Path of one data file.

    Args:
        place: What the suite and the environment say.
        folder: The benchmark's folder in the mirror.
        names: File names that may hold it, the preferred one first, relative to the folder.
        what: The data set's name for messages.

    Returns:
        `place.data` itself where that is a file; else the first of `names` that exists in the
        folder `place.data`, or in the mirror.

    Raises:
        DataError: nothing there; says where was looked and what to set.
    """
    if place.data is not None:
        named = place.root / place.data
        if named.is_file():
            return named
        if named.is_dir():
            return _first(named, names, f"`data: {place.data}` of the suite", what)
        raise DataError(
            f"data of {what}: {say_missing(named)}; `data:` is {place.data!r}, expected a file or "
            f"folder relative to the suite's folder {place.root}: correct `data:` in the suite"
        )
    if place.mirror is None:
        raise DataError(
            f"no data for {what}: the suite names none and EVALKIT_DATA is not set.  Set "
            f"EVALKIT_DATA to a folder that holds {folder}/{names[0]}, or write `data:` with a "
            f"file or folder of your own in the benchmark's entry"
        )
    return _first(place.mirror / folder, names, "EVALKIT_DATA", what)


def _first(folder: Path, names: Sequence[str], source: str, what: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    rest = f" (nor {', '.join(names[1:])})" if len(names) > 1 else ""
    raise DataError(
        f"data of {what}: {say_missing(folder / names[0])}{rest}; looked there because of "
        f"{source}: put the file there, or write `data:` in the benchmark's entry"
    )
