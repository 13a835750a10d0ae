"""What was asked, of which data, with which settings: one table per benchmark."""

from __future__ import annotations

from evalkit.report.blocks import Section
from evalkit.report.facts import facts, flat
from evalkit.report.view import View
from evalkit.report.words import benchmark_label

__all__ = ["build"]


def build(view: View) -> Section | None:
    """Versions, checksums and settings, as the benchmarks describe themselves."""
    tables = tuple(
        facts(
            benchmark_label(b.name),
            [("entry", b.name), ("samples", b.n_samples), *flat(b.description)],
        )
        for b in view.benchmarks
        if b.description
    )
    return Section("Benchmarks and settings", tables) if tables else None
