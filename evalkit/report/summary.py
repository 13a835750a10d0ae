"""The short forms of a report: what a terminal shows at the end of a run, and a comment."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evalkit.compare import Row
from evalkit.core import Estimate, Run
from evalkit.draw import (
    MISSING,
    Cell,
    Column,
    Group,
    Table,
    count,
    difference,
    escape_markdown,
    figure,
    one_line,
    p_value,
    table_to_markdown,
    visible,
)
from evalkit.report.blocks import Answer
from evalkit.report.caveats import missing, warnings
from evalkit.report.sections.verdict import build as verdict_section
from evalkit.report.view import Measure, View
from evalkit.report.words import UNFINISHED, bounds, level_text, measure_label, verdict_words

__all__ = ["COMMENT_LIMIT", "COMMENT_MARKER", "comment", "summary_lines"]

COMMENT_LIMIT = 65_536
"""Characters of a comment on GitHub at most."""
COMMENT_MARKER = "<!-- evalkit report -->"
"""First line of a comment, by which the next one finds it."""
_LONGEST = 2_000
"""Characters of one sentence of a comment, before escaping."""
_LONGEST_NAME = 80


def summary_lines(run: Run) -> list[str]:
    """One line per headline measure and pair: figures, difference, verdict after correction.

    Control characters of names are spelled out, so that a terminal shows text and nothing else.
    """
    view = View(run)
    lines: list[str] = [] if view.sealed else [UNFINISHED]
    for pair in view.pairs:
        interval = f"{level_text(view.level)} interval"
        head = ["", *pair, "difference", interval, "p (Holm)", "n", "resolves", "verdict"]
        lines += _columns([head, *(_row(view, m, row) for m, row in view.contest(pair))])
    if not view.pairs:
        rows = [
            [measure_label(m), e.model, figure(e.point, e.unit), f"n {_size(e)}"]
            for m in view.headlines
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


def _row(view: View, measure: Measure, row: Row) -> list[str]:
    c, figures = row.comparison, []
    for name in (c.candidate, c.baseline):
        estimate = view.estimate(name, measure)
        figures.append(figure(estimate.point if estimate else None, c.unit))
    return [
        measure_label(measure),
        *figures,
        difference(c.difference, c.unit),
        bounds(c),
        p_value(row.p_adjusted),
        count(c.n),
        difference(row.mde, c.unit).lstrip("+"),
        verdict_words(view, row),
    ]


def _size(e: Estimate) -> str:
    """A figure from somewhere else may come without the number of its samples."""
    return MISSING if e.point is not None and not e.n else count(e.n)


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


@dataclass(frozen=True)
class _Comment:
    """What a comment is made of, so that it can be cut between parts, never inside one."""

    title: str
    answers: tuple[str, ...]
    warnings: tuple[str, ...]
    """Before the table: who reads no further has read these."""
    table: Table
    run: str
    left_out: tuple[tuple[int, str], ...] = ()
    """How many of what did not fit."""

    @property
    def size(self) -> int:
        """Parts that may be left out."""
        return len(self.answers) + len(self.warnings) + len(self.table.rows)


def comment(run: Run) -> str:
    """Markdown for a comment on a pull request: verdict, warnings and one table.

    At most COMMENT_LIMIT characters.  What does not fit is left out whole and counted: rows
    first, then warnings, then sentences of the verdict, each from the end.
    """
    full = _whole(View(run))
    if len(_written(full)) <= COMMENT_LIMIT:
        return _written(full)
    fits = bisect(range(full.size), 0, key=lambda n: len(_written(_first(full, n))) > COMMENT_LIMIT)
    return _written(_first(full, max(0, fits - 1)))


def _whole(view: View) -> _Comment:
    blocks = verdict_section(view).blocks
    caveats = [*warnings(view, alone=True), *missing(view, alone=True)]
    answers = [b.text for b in blocks if isinstance(b, Answer)]
    if not view.pairs and view.sealed:
        answers.append("No candidate is compared with a baseline in this run.")
    return _Comment(
        title=f"evalkit: {view.manifest.get('suite_name', '')}",
        answers=tuple(answers),
        warnings=tuple(f"{note.lead} {note.text}" for note in caveats),
        table=_contests(view) if view.pairs else _figures(view),
        run=f"Run {view.manifest.get('run_id', '')}. Its report has everything else.",
    )


def _first(full: _Comment, n: int) -> _Comment:
    """The first `n` parts."""
    answers = full.answers[:n]
    warnings = full.warnings[: n - len(answers)]
    left = rows = n - len(answers) - len(warnings)
    groups = []
    for group in full.table.groups:
        groups.append(Group(group.label, group.rows[:left]))
        left -= len(groups[-1].rows)
    return replace(
        full,
        answers=answers,
        warnings=warnings,
        table=replace(full.table, groups=tuple(g for g in groups if g.rows)),
        left_out=(
            (len(full.answers) - len(answers), "sentences of the verdict"),
            (len(full.warnings) - len(warnings), "warnings"),
            (len(full.table.rows) - rows, "rows of the table"),
        ),
    )


def _written(made: _Comment) -> str:
    parts = [COMMENT_MARKER, f"### {_short(made.title)}"]
    parts += [f"**{_short(answer)}**" for answer in made.answers]
    if made.warnings:
        lines = ["> [!WARNING]", *(f"> - {_short(text)}" for text in made.warnings)]
        parts.append("\n".join(lines))
    if made.table.rows:
        parts.append(table_to_markdown(made.table))
    lost = [f"{count(n)} {what}" for n, what in made.left_out if n]
    if lost:
        parts.append(f"**Left out, because a comment holds no more: {', '.join(lost)}.**")
    return "\n\n".join([*parts, _short(made.run)]) + "\n"


def _short(text: str) -> str:
    return escape_markdown(one_line(visible(text), _LONGEST))


def _name(text: str) -> str:
    return one_line(visible(text), _LONGEST_NAME)


def _contests(view: View) -> Table:
    """Every pair on the primary metric of every task."""
    columns = (
        Column("Measure", header=True),
        Column("Candidate", "right"),
        Column("Baseline", "right"),
        Column("Difference", "right"),
        Column(f"{level_text(view.level)} interval", "right"),
        Column("p (Holm)", "right"),
        Column("n", "right"),
        Column("Missing", "right"),
        Column("Verdict"),
    )
    groups = tuple(
        Group(
            f"{_name(pair[0])} against {_name(pair[1])}",
            tuple(_contest_row(view, m, row) for m, row in view.contest(pair)),
        )
        for pair in view.pairs
    )
    return Table("", columns, tuple(g for g in groups if g.rows))


def _contest_row(view: View, measure: Measure, row: Row) -> tuple[Cell, ...]:
    c = row.comparison
    label, *figures, shown, between, p, n, _, word = _row(view, measure, row)
    missing = f"{count(c.n_missing_candidate)}, {count(c.n_missing_baseline)}"
    texts = (_name(label), *figures, shown, between, p, n, missing, word)
    return tuple(Cell.text(text) for text in texts)


def _figures(view: View) -> Table:
    """Every model's figures, where nothing is compared."""
    columns = (
        Column("Measure", header=True),
        Column("Model"),
        Column("Figure", "right"),
        Column(f"{level_text(view.level)} interval", "right"),
        Column("n", "right"),
        Column("Missing", "right"),
    )
    rows = [
        [
            Cell.text(_name(measure_label(measure))),
            Cell.text(_name(e.model)),
            Cell.text(figure(e.point, e.unit)),
            Cell.text(bounds(e)),
            Cell.text(count(e.n)) if e.n else Cell.missing("not stated"),
            Cell.missing("not stated") if e.source else Cell.text(count(e.n_missing)),
        ]
        for measure in view.headlines
        for model in view.models
        if (e := view.estimate(model.name, measure)) is not None
    ]
    return Table.of("", columns, rows)
