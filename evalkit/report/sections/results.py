"""Per benchmark: every model's figures, paired differences, categories and what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from evalkit.compare import Row
from evalkit.core import Comparison, Estimate
from evalkit.draw import (
    Cell,
    Column,
    Group,
    Table,
    count,
    difference,
    figure,
    p_value,
)
from evalkit.report.blocks import Block, Details, Section, Text
from evalkit.report.categories import category_blocks
from evalkit.report.counts import outcome_cells
from evalkit.report.published import PUBLISHED, is_published, published_cells, sources
from evalkit.report.tasks import task_blocks
from evalkit.report.view import BenchmarkView, Measure, ModelView, View
from evalkit.report.words import (
    benchmark_label,
    bounds,
    has_width,
    level_text,
    metric_label,
    tone,
    unit_text,
    verdict_words,
)

__all__ = ["build"]


def build(view: View) -> Section | None:
    """One subsection per benchmark entry."""
    parts = tuple(
        Section(benchmark_label(b.name), blocks)
        for b in view.benchmarks
        if b.measures and (blocks := tuple(_blocks(view, b)))
    )
    return Section("Results", parts) if parts else None


def _blocks(view: View, benchmark: BenchmarkView) -> Iterator[Block]:
    if view.run.estimates:
        overview = tuple(task_blocks(view, benchmark))
        yield from overview
        side_by_side = _figures(view, benchmark)
        # What the overview shows of many tasks is not shown twice at first sight.
        yield Details("Every metric of every task", (side_by_side,)) if overview else side_by_side
    if view.pairs:
        differences = _differences(view, benchmark)
        if differences.groups:
            yield differences
        else:
            yield Text(
                "No difference can be stated: there are no samples that candidate and baseline "
                "were both scored on."
            )
    for measure in benchmark.measures:
        yield from category_blocks(view, measure)
    missing = _missing(view, benchmark)
    if missing.rows:
        yield missing
    stated = sources(view, benchmark)
    if stated is not None:
        yield Details(stated.caption, (replace(stated, caption=""),))


def _figures(view: View, benchmark: BenchmarkView) -> Table:
    level = level_text(view.level)
    columns = (
        Column("Model", header=True),
        Column("Figure", "right"),
        Column(f"{level} interval", "right"),
        Column("n", "right"),
        Column("Missing", "right"),
        Column("Truncated", "right"),
        Column("Role"),
    )
    groups = tuple(
        Group(_group_label(m, benchmark), rows)
        for m in benchmark.measures
        if (rows := tuple(_figure_rows(view, benchmark, m)))
    )
    note = "n: scores that entered. Truncated answers reached their token limit and are scored."
    if any(row[-1].shown == PUBLISHED for group in groups for row in group.rows):
        note += " Published figures were measured by others, and are not paired with anything."
    return Table("Models side by side", columns, groups, note)


def _group_label(measure: Measure, benchmark: BenchmarkView) -> str:
    metric = measure.metric
    label = f"{metric_label(metric)}, {unit_text(metric.unit)}"
    if len(benchmark.tasks) > 1 or measure.task not in (benchmark.name, benchmark.kind):
        label = f"{measure.task}: {label}"
    direction = "" if metric.higher_is_better else ", lower is better"
    return f"{label}{direction}{' (headline)' if metric.primary else ''}"


def _figure_rows(
    view: View, benchmark: BenchmarkView, measure: Measure
) -> Iterator[tuple[Cell, ...]]:
    """Every model with a figure; in headline measures also those without, visibly missing."""
    for model in (*view.measured, *view.published):
        estimate = view.estimate(model.name, measure)
        if estimate is None:
            if measure.metric.primary and _is_expected(view, benchmark, model):
                yield (Cell.text(model.name), *_nothing(model))
        elif is_published(estimate):
            yield (Cell.text(model.name), *published_cells(estimate))
        else:
            cut = sum(
                r.outcome.truncated
                for r in view.of_task(model.name, measure.benchmark, measure.task)
            )
            cells = _estimate_cells(estimate)
            role = f"{model.role}, recorded" if estimate.source else model.role
            yield (Cell.text(model.name), *cells, Cell(cut, count(cut)), Cell.text(role))


def _is_expected(view: View, benchmark: BenchmarkView, model: ModelView) -> bool:
    """Models of the suite; of published ones those with some figure of this benchmark."""
    if model.role != PUBLISHED:
        return True
    return any(view.estimate(model.name, m) is not None for m in benchmark.measures)


def _nothing(model: ModelView) -> tuple[Cell, ...]:
    unknown = Cell.missing("no evidence")
    return (*(unknown for _ in range(5)), Cell.text(model.role))


def _estimate_cells(e: Estimate) -> tuple[Cell, ...]:
    return (
        Cell(e.point, figure(e.point, e.unit), e.method),
        _interval(e),
        _size(e),
        Cell(e.n_missing, count(e.n_missing), tone="warning" if e.n_missing else ""),
    )


def _size(e: Estimate) -> Cell:
    if e.source and not e.n:
        return Cell.missing("not stated")
    return Cell(e.n, count(e.n), f"in {count(e.n_clusters)} units of resampling")


def _interval(row: Estimate | Comparison) -> Cell:
    text = bounds(row)
    return Cell(text if has_width(row) else None, text, row.method)


def _differences(view: View, benchmark: BenchmarkView) -> Table:
    level = level_text(view.level)
    columns = (
        Column("Measure", header=True),
        Column("Difference", "right"),
        Column(f"{level} interval", "right"),
        Column("p", "right"),
        Column("p (Holm)", "right"),
        Column("Wins", "right"),
        Column("Ties", "right"),
        Column("Losses", "right"),
        Column("n", "right"),
        Column("Verdict"),
    )
    groups = []
    for candidate, baseline in view.pairs:
        rows = tuple(
            _difference_row(view, row, m, _row_label(m, benchmark))
            for m in benchmark.measures
            if (row := view.row((candidate, baseline), m)) is not None
        )
        if rows:
            groups.append(Group(f"{candidate} minus {baseline}", rows))
    note = (
        "Paired on the samples both models have a score for; p is two-sided. Holm: corrected for "
        "all headline measures of this run, other measures and categories apart. Percentages "
        "differ in percentage points. Verdicts are given for headline measures only, and after "
        "the correction."
    )
    return Table("Candidate minus baseline", columns, tuple(groups), note)


def _row_label(measure: Measure, benchmark: BenchmarkView) -> str:
    label = metric_label(measure.metric)
    return f"{measure.task}: {label}" if len(benchmark.tasks) > 1 else label


def _difference_row(view: View, row: Row, measure: Measure, label: str) -> tuple[Cell, ...]:
    c, said = row.comparison, row.verdict
    word = verdict_words(view, row)
    final = Cell(said, word, tone=tone(said)) if measure.metric.primary else Cell("", "")
    return (
        Cell.text(label),
        Cell(c.difference, difference(c.difference, c.unit), c.method),
        _interval(c),
        Cell(c.p, p_value(c.p)),
        Cell(row.p_adjusted, p_value(row.p_adjusted)),
        *outcome_cells(view, measure, c),
        Cell(
            c.n,
            count(c.n),
            f"missing: {count(c.n_missing_candidate)} of the candidate, "
            f"{count(c.n_missing_baseline)} of the baseline",
        ),
        final,
    )


def _missing(view: View, benchmark: BenchmarkView) -> Table:
    counts: Counter[tuple[str, str, str]] = Counter()
    for task in benchmark.tasks:
        for model in view.measured:
            for record in view.of_task(model.name, benchmark.name, task):
                if record.outcome.status != "ok":
                    counts[model.name, task, record.outcome.status] += 1
    columns = (
        Column("Model", header=True),
        Column("Task"),
        Column("Status"),
        Column("Samples", "right"),
    )
    rows = [
        (Cell.text(model), Cell.text(task), Cell.text(status), Cell(n, count(n)))
        for (model, task, status), n in counts.items()
    ]
    note = "These samples lack at least one score, which is counted as missing and never scored."
    return Table.of("What is missing, and why", columns, rows, note)
