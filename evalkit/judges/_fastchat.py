"""How FastChat reads a judge's reply (`fastchat/llm_judge/common.py`).

Ratings: the first `[[number]]`, else the first `[number]`; winners: `[[A]]` before `[[B]]` before
`[[C]]`, wherever they stand.
"""

from __future__ import annotations

import ast
import re
from typing import Literal

__all__ = ["read_rating", "read_winner"]

_RATING = re.compile(r"\[\[(\d+\.?\d*)\]\]")
_RATING_BACKUP = re.compile(r"\[(\d+\.?\d*)\]")


def read_rating(reply: str) -> float | None:
    """The number FastChat reads; None where it reads -1, or stops with an error (`[[08]]`)."""
    found = _RATING.search(reply) or _RATING_BACKUP.search(reply)
    if found is None:
        return None
    try:
        # As upstream: `08`, and digits of other scripts, are no Python literals.
        return float(ast.literal_eval(found.group(1)))
    except (SyntaxError, ValueError, OverflowError):
        return None


def read_winner(reply: str) -> Literal["A", "B", "tie"] | None:
    """Who won; None where there is no verdict."""
    if "[[A]]" in reply:
        return "A"
    if "[[B]]" in reply:
        return "B"
    return "tie" if "[[C]]" in reply else None
