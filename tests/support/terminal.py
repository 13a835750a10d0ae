"""What a wide terminal shows."""

from __future__ import annotations

from collections.abc import Iterable

from evalkit.draw import Line, to_text


def screen(lines: Iterable[Line]) -> list[str]:
    """One string a line, tables with all their columns."""
    return to_text(lines, width=None).splitlines()
