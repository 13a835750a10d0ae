r"""Text as every tokenizer and server takes it: without half a surrogate pair.

JSON may spell one half of a pair (`"\ud83d"`), and Python then holds a string that UTF-8 cannot
say.  What puts text to a model replaces such halves; what stores text keeps them.
"""

from __future__ import annotations

import re

__all__ = ["sayable"]

HALF = re.compile("[\ud800-\udfff]")


def sayable(text: str) -> str:
    """`text` with U+FFFD for each lone surrogate; two halves that make a pair are joined."""
    if HALF.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
