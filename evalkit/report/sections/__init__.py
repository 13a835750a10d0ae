"""The page, section by section: each file turns a `View` into one `Section`, or None.

A new section is a new file with a `build` and its place in `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable

from evalkit.report.blocks import Section
from evalkit.report.sections.cost import build as cost
from evalkit.report.sections.evidence import build as evidence
from evalkit.report.sections.examples import build as examples
from evalkit.report.sections.judges import build as judges
from evalkit.report.sections.leaderboard import build as leaderboard
from evalkit.report.sections.models import build as models
from evalkit.report.sections.reproduce import build as reproduce
from evalkit.report.sections.results import build as results
from evalkit.report.sections.settings import build as settings
from evalkit.report.sections.verdict import build as verdict
from evalkit.report.view import View

__all__ = ["RESULTS", "SECTIONS", "TEXTS"]

SECTIONS: tuple[Callable[[View], Section | None], ...] = (
    verdict,
    results,
    leaderboard,
    evidence,
    judges,
    examples,
    models,
    settings,
    cost,
    reproduce,
)

TEXTS = frozenset({examples})
"""Sections made of questions and answers."""

RESULTS = results
"""What the caller adds stands after it."""
