r"""Text as models take and give it: without half a surrogate pair, cut at stop strings.

JSON may spell one half of a pair (`"\ud83d"`), and Python then holds a string that UTF-8 cannot
say.  What puts text to a model replaces such halves; what stores text keeps them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["cut", "sayable"]

HALF = re.compile("[\ud800-\udfff]")


def sayable(text: str) -> str:
    """`text` with U+FFFD for each lone surrogate; two halves that make a pair are joined."""
    if HALF.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def cut(text: str, stop: Sequence[str]) -> str:
    """`text` up to the first of the stop strings; empty ones stop nothing."""
    ends = [at for s in stop if s and (at := text.find(s)) >= 0]
    return text[: min(ends)] if ends else text
