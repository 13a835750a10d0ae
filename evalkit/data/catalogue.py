"""What public data sets there are: name, checksum, licence, and where each comes from.

`catalogue.csv` holds facts only and is written by `scripts/make_catalogue.py`.  A data set's name
is its path in a mirror without the ending.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from evalkit.errors import DataError, did_you_mean

__all__ = ["Entry", "entries", "entry", "is_known"]


@dataclass(frozen=True)
class Entry:
    """One file of the catalogue."""

    name: str
    mirror: str
    """Path in a mirror."""
    sha256: str
    """Of the file in a mirror, hex; empty: not known, so recorded when it is first used."""
    rows: int | None
    licence: str
    """As its source states it; empty: none stated."""
    url: str
    """Where the original is, at a fixed commit; empty: nowhere evalkit could fetch it from."""
    url_sha256: str
    """Of the original, whose bytes may differ from the mirror's."""
    form: str
    """How the original becomes the same records: empty (as they are), `instructions` (two fields
    of them), `output_1` (the reference of annotations)."""
    hub: str
    """`OWNER/NAME:FILE` of a data set of the hub."""

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""
        if self.hub:
            return f"hub {self.hub}"
        return self.url or "a mirror only"


@functools.cache
def entries() -> Mapping[str, Entry]:
    """Every file, by name, in order of names."""
    text = resources.files("evalkit.data").joinpath("catalogue.csv").read_text(encoding="utf-8")
    found = {}
    for row in csv.DictReader(text.splitlines()):
        rows = row.pop("rows")
        found[row["name"]] = Entry(rows=int(rows) if rows else None, **row)
    return found


def is_known(name: str) -> bool:
    """Whether the catalogue has a file of that name."""
    return name in entries()


def entry(name: str) -> Entry:
    """The file called `name`.  Raises DataError with the nearest names."""
    known = entries()
    if name not in known:
        raise DataError(
            f"no public data set {name!r}{did_you_mean(name, known, 3, 0.5)}  "
            f"`evalkit data list` shows all {len(known)}"
        )
    return known[name]
