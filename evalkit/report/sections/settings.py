"""What was asked, of which data, with which settings: one table per benchmark."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.report.blocks import Block, Details, Section
from evalkit.report.facts import facts, flat
from evalkit.report.view import BenchmarkView, View, mapping
from evalkit.report.words import benchmark_label

__all__ = ["build"]


def build(view: View) -> Section | None:
    """Versions, checksums and settings, as the benchmarks describe themselves."""
    parts = tuple(
        Section(benchmark_label(b.name), tuple(_blocks(b)))
        for b in view.benchmarks
        if b.description
    )
    return Section("Benchmarks and settings", parts) if parts else None


def _blocks(benchmark: BenchmarkView) -> Iterator[Block]:
    """Its own settings; those of many tasks are folded away."""
    about = benchmark.description
    own = {k: v for k, v in about.items() if k != "tasks"}
    yield facts("", [("entry", benchmark.name), ("samples", benchmark.n_samples), *flat(own)])
    tasks = list(flat(mapping(about.get("tasks"))))
    if tasks:
        yield Details("Settings of each task", (facts("", tasks),))
