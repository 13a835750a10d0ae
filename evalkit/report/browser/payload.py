"""Every sample of a run, packed: the list, then the texts in blocks that are read when needed.

A block is gzipped JSON.  In one file it is base64 inside an inert element; split, it is a file
named by its content, so that a host may keep it for ever.  Same run, same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from evalkit.core import Json
from evalkit.report.browser.rows import columns, models_of, rows_of
from evalkit.report.browser.samples import tasks_of
from evalkit.report.browser.texts import details
from evalkit.report.browser.ways import Way, ways_in
from evalkit.report.view import View

__all__ = ["Samples", "build", "sample_files"]

_FOLDER = "samples"
"""Where the blocks of a split report lie, beside its page."""
_BLOCK = 400_000
"""Characters of JSON in a block of texts: some milliseconds to unpack."""
_LEVEL = 6
_NAME = re.compile(r"[0-9a-f]{20}\.json\.gz")


@dataclass(frozen=True)
class Samples:
    """What the browser of a page is made of."""

    n: int
    ways: tuple[Way, ...]
    blocks: tuple[bytes, ...]
    """The list, the pieces of texts that samples share, then the texts."""

    @property
    def files(self) -> Mapping[str, bytes]:
        """The blocks by the names they have beside a split page."""
        return {f"{_FOLDER}/{hashlib.sha256(b).hexdigest()[:20]}.json.gz": b for b in self.blocks}


def build(view: View) -> Samples | None:
    """The samples of a run; None where it has no records."""
    tasks = list(tasks_of(view))
    rows = rows_of(view, tasks)
    if not rows:
        return None
    shared, samples = details(tasks, rows, models_of(view, tasks))
    blocks, sizes = [], []
    for texts in _gathered(samples):
        blocks.append(_packed(f"[{','.join(texts)}]"))
        sizes.append(len(texts))
    head = {**columns(view, tasks, rows), "sizes": sizes}
    return Samples(
        n=len(rows),
        ways=ways_in(view, rows),
        blocks=(_packed(_json(head)), _packed(_json(shared.json())), *blocks),
    )


def _gathered(samples: Iterable[Json]) -> Iterator[list[str]]:
    texts: list[str] = []
    size = 0
    for sample in samples:
        text = _json(sample)
        texts.append(text)
        size += len(text)
        if size >= _BLOCK:
            yield texts
            texts, size = [], 0
    if texts:
        yield texts


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _packed(text: str) -> bytes:
    buffer = io.BytesIO()
    # Neither a time nor a file name in the header.
    with gzip.GzipFile("", "wb", _LEVEL, buffer, mtime=0) as file:
        file.write(text.encode("utf-8"))
    return buffer.getvalue()


def sample_files(folder: Path) -> list[Path]:
    """Files in a report's folder that a split page left there, of this run or an earlier one."""
    found = sorted((folder / _FOLDER).glob("*.json.gz"))
    return [path for path in found if _NAME.fullmatch(path.name)]
