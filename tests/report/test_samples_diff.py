"""The words that only one of two answers has: both texts are whole, and no more is marked than
must be.

Oracle: the longest common subsequence by its textbook recurrence.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalkit.report import browser
from tests.support.browser import opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

SOURCE = Path(browser.__file__).parent / "static" / "45_diff.js"
TOKEN = re.compile(r"\s*(?:\w+|[^\s])|\s+$")
EDGES = [
    ("", ""),
    ("", "a"),
    ("a", ""),
    ("same words", "same words"),
    ("a  b", "a b"),
    ("one two three", "three two one"),
    ("line\n\nline", "line\nother"),
    ("don't", "do not"),
    ("漢字かな", "漢字カナ"),
    (" lead", "lead "),
]


def common(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for x in a:
        last = 0
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], last + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


def words(text: str) -> list[str]:
    return [token.strip() for token in TOKEN.findall(text)]


def pairs() -> list[tuple[str, str]]:
    rng = random.Random(5)
    found = list(EDGES)
    for _ in range(150):
        alphabet = ["a", "b", "ç", "d,", "e.\n", "ff"][: rng.randint(1, 6)]
        texts = [
            "".join(
                rng.choice(alphabet) + rng.choice((" ", "  ", "\n"))
                for _ in range(rng.randint(0, 14))
            )
            for _ in range(2)
        ]
        found.append((texts[0], texts[1]))
    return found


def compared(chromium: Browser, tmp_path: Path, given: list[tuple[str, str]]) -> list[Any]:
    (tmp_path / "blank.html").write_text("<!doctype html>")
    with opened(chromium, tmp_path / "blank.html") as watched:
        code = (
            f"(pairs) => {{ {SOURCE.read_text()}\nreturn pairs.map(([a, b]) => wordDiff(a, b)); }}"
        )
        found: list[Any] = watched.page.evaluate(code, [list(pair) for pair in given])
        return found


def test_marks_are_the_shortest_edit_script(chromium: Browser, tmp_path: Path) -> None:
    given = pairs()
    for (a, b), found in zip(given, compared(chromium, tmp_path, given), strict=True):
        for text, runs in zip((a, b), found, strict=True):
            assert "".join(run for run, _ in runs) == text
        kept = [words("".join(run for run, only in runs if not only)) for runs in found]
        shared = common(words(a), words(b))
        for text, runs in zip((a, b), found, strict=True):
            marked = sum(len(words(run)) for run, only in runs if only)
            assert marked == len(words(text)) - shared, (a, b)
        assert len(kept[0]) == len(kept[1])


def test_texts_without_a_word_in_common_are_not_forced(chromium: Browser, tmp_path: Path) -> None:
    a = " ".join(f"a{i}" for i in range(4000))
    b = " ".join(f"b{i}" for i in range(4000))
    assert compared(chromium, tmp_path, [(a, b)]) == [None]
