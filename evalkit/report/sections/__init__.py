"""The page, section by section: each file turns a `View` into one `Section`, or None.

A new section is a new file with a `build` and its place in `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable

from evalkit.report.blocks import Section
from evalkit.report.sections import (
    examples,
    judges,
    models,
    reproduce,
    results,
    settings,
    verdict,
)
from evalkit.report.view import View

__all__ = ["SECTIONS"]

SECTIONS: tuple[Callable[[View], Section | None], ...] = (
    verdict.build,
    results.build,
    judges.build,
    examples.build,
    models.build,
    settings.build,
    reproduce.build,
)
