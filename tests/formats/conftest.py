"""Evidence made up for tests: annotations and judgments of a few questions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from evalkit.core import Json

Write = Callable[[str, Sequence[Json]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write rows as a JSON list, or one a line where the name says so."""

    def make(name: str, rows: Sequence[Json]) -> Path:
        path = tmp_path / name
        if name.endswith(".jsonl"):
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        else:
            path.write_text(json.dumps(list(rows)), encoding="utf-8")
        return path

    return make
