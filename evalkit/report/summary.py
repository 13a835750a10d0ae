"""What a terminal shows at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.report.health import weakly_judged
from evalkit.report.view import Measure, View
from evalkit.report.words import UNFINISHED, WORDS, bounds, level_text, measure_label, verdict
from evalkit.tables import count, difference, figure, one_line, visible
from evalkit.types import Comparison, Run

__all__ = ["summary_lines"]


def summary_lines(run: Run) -> list[str]:
    """One line per headline measure and pair: figures, difference with interval, verdict.

    Control characters of names are spelled out, so that a terminal shows text and nothing else.
    """
    view = View(run)
    primary = [m for b in view.benchmarks for m in b.measures if m.metric.primary]
    weak = weakly_judged(view)
    lines: list[str] = [] if view.sealed else [UNFINISHED]
    for pair in view.pairs:
        found = [(m, c) for m in primary if (c := view.comparison(pair, m)) is not None]
        head = ["", *pair, "difference", f"{level_text(view.level)} interval", "n", "verdict"]
        lines += _columns([head, *(_row(view, m, c, weak) for m, c in found)])
    if not view.pairs:
        rows = [
            [measure_label(m), e.model, figure(e.point, e.unit), f"n {count(e.n)}"]
            for m in primary
            for model in view.models
            if (e := view.estimate(model.name, m)) is not None
        ]
        lines += _columns(rows)
    failed = sum(r.outcome.status != "ok" for r in run.records)
    if failed:
        lines.append(f"{count(failed)} of {count(len(run.records))} samples have no score")
    if view.limit is not None:
        lines.append(f"limited to {count(view.limit)} samples per task: not publishable")
    return lines


def _row(view: View, measure: Measure, c: Comparison, weak: set[str]) -> list[str]:
    figures = []
    for name in (c.candidate, c.baseline):
        estimate = view.estimate(name, measure)
        figures.append(figure(estimate.point if estimate else None, c.unit))
    return [
        measure_label(measure),
        *figures,
        difference(c.difference, c.unit),
        bounds(c),
        count(c.n),
        WORDS[verdict(c)] + (" (weak judge)" if measure.benchmark in weak else ""),
    ]


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    clean = [[one_line(visible(cell), 40) for cell in row] for row in rows]
    if not clean:
        return []
    widths = [max(len(row[i]) for row in clean) for i in range(len(clean[0]))]
    last = len(widths) - 1
    lines = []
    for row in clean:
        cells = [
            cell.ljust(w) if i in (0, last) else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
