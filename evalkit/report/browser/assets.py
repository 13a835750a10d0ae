"""The browser's own script and style sheet, as they stand in a page."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["script", "style"]

_STATIC = Path(__file__).parent / "static"


@cache
def script() -> str:
    """All of `static/*.js` in the order of their names, in one scope of their own."""
    parts = (path.read_text(encoding="utf-8") for path in sorted(_STATIC.glob("*.js")))
    return '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"


@cache
def style() -> str:
    """The style sheet; its colours are the page's."""
    return (_STATIC / "browser.css").read_text(encoding="utf-8")
