"""Tables before markup: their types, how they are written, and the tables of figures and contests.

    Table of Group of rows of Cell, under Column ─▶ table_to_markdown, table_to_text, table_to_csv
                                                    (table_to_html is in html.py)

    contest_table    candidates against baselines: contests, or the gate's tests of them
    figure_table     models' figures, one below the other
    side_by_side     the same, one column a model
    facts_table      names and values, as of a manifest

`contest_table` is the only table of candidate against baseline.  Who shows it chooses columns by
name (`COMPARE`, `REPORT`, `GATE`, ... are the choices of the rooms) and may put columns of its own
before them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from evalkit.core.contests import Contest, GateResult, GateTest
from evalkit.core.figures import Comparison, Figure, FigureKey
from evalkit.core.requests import Json
from evalkit.draw import words
from evalkit.draw.numbers import (
    MISSING,
    count,
    difference,
    figure,
    level,
    p_value,
    significant,
    size,
)
from evalkit.draw.text import defused, escape_markdown, markdown_code, one_line, visible
from evalkit.draw.words import Tone

__all__ = [
    "CARD",
    "COMMENT",
    "COMPARE",
    "DETAILS",
    "GATE",
    "HISTORY",
    "INDEX",
    "REPORT",
    "Cell",
    "Column",
    "ColumnName",
    "Group",
    "Item",
    "Table",
    "Tone",
    "contest_of",
    "contest_table",
    "facts_table",
    "figure_table",
    "flat",
    "gate_table",
    "side_by_side",
    "table_to_csv",
    "table_to_markdown",
    "table_to_text",
]


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a table, and the text that stands for it."""

    value: float | str | None
    """Unrounded; None where the figure is undefined."""
    shown: str
    """What a reader sees.  May be hostile text: renderers escape it."""
    provenance: str = ""
    """What it was computed from, in words."""
    tone: Tone = ""
    """A colour that repeats what `shown` says in words."""
    href: str = ""
    """What it counts, as an address within the page (`#…`); only HTML has it."""

    @classmethod
    def text(cls, text: str, *, tone: Tone = "", href: str = "") -> Cell:
        """A cell whose value is its text."""
        return cls(text, text, tone=tone, href=href)

    @classmethod
    def missing(cls, why: str = "") -> Cell:
        """A cell without a value."""
        return cls(None, MISSING, why)

    @property
    def is_missing(self) -> bool:
        """Nothing is known, as opposed to an empty text or a zero."""
        return self.value is None


@dataclass(frozen=True, slots=True)
class Column:
    """Heading of a column and how its cells stand."""

    label: str
    align: Literal["left", "right"] = "left"
    header: bool = False
    """Its cells name their row."""
    code: bool = False
    """Its cells are shown in a fixed-width face, and may be long."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that belong together; an empty label makes no heading."""

    label: str
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Table:
    """Columns and grouped rows.  Raises ValueError where a row has another number of cells."""

    caption: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    note: str = ""
    """One sentence below the table: how to read it."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"a row of {self.caption!r} has {len(row)} cells, "
                    f"expected {len(self.columns)}: {[c.shown for c in row]!r}"
                )

    @classmethod
    def of(
        cls, caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], note: str = ""
    ) -> Table:
        """A table with one group without a heading."""
        return cls(caption, tuple(columns), (Group("", tuple(tuple(r) for r in rows)),), note)

    @property
    def rows(self) -> tuple[tuple[Cell, ...], ...]:
        """All rows, without the headings of their groups."""
        return tuple(row for group in self.groups for row in group.rows)


# --- written as text ----------------------------------------------------------------------------

_WIDTH = 48
"""Longest cell in a terminal, in characters."""


def table_to_markdown(table: Table) -> str:
    """Caption, table and note as GitHub-flavoured Markdown, without an end of line.

    A table without rows is a sentence.
    """
    caption = _bold(table.caption)
    head = [caption, ""] if caption else []
    if not table.rows:
        return "\n".join([*head, "Nothing to show."])
    lines = [
        *head,
        _markdown_row([escape_markdown(c.label) for c in table.columns]),
        _markdown_row(["---:" if c.align == "right" else "---" for c in table.columns]),
    ]
    for group in table.groups:
        if group.label:
            lines.append(_markdown_row([_bold(group.label), *[""] * (len(table.columns) - 1)]))
        for row in group.rows:
            cells = zip(row, table.columns, strict=True)
            written = [(markdown_code if k.code else escape_markdown)(c.shown) for c, k in cells]
            lines.append(_markdown_row(written))
    if table.note:
        lines += ["", escape_markdown(table.note)]
    return "\n".join(lines)


def _bold(text: str) -> str:
    """In bold; of blanks nothing, since `****` alone is a rule across the page."""
    escaped = escape_markdown(text)
    return f"**{escaped}**" if escaped else ""


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def table_to_text(table: Table) -> str:
    """Headings, groups and rows as aligned columns for a terminal, without an end of line.

    Control characters are spelled out, and every cell is one line.
    """
    if not table.rows:
        return "Nothing to show."
    head = [column.label for column in table.columns]
    lines: list[list[str]] = [head]
    for group in table.groups:
        if group.label:
            lines.append([group.label])
        lines += [[cell.shown for cell in row] for row in group.rows]
    clean = [[one_line(visible(cell), _WIDTH) for cell in line] for line in lines]
    full = [line for line in clean if len(line) == len(head)]
    widths = [max(len(line[i]) for line in full) for i in range(len(head))]
    return "\n".join(_aligned(line, table.columns, widths) for line in clean)


def _aligned(cells: list[str], columns: tuple[Column, ...], widths: list[int]) -> str:
    if len(cells) < len(columns):
        return cells[0]
    shown = [
        cell.rjust(width) if column.align == "right" else cell.ljust(width)
        for cell, column, width in zip(cells, columns, widths, strict=True)
    ]
    return "  ".join(shown).rstrip()


def table_to_csv(table: Table, *, for_spreadsheet: bool = False) -> str:
    """Headings and rows as CSV, values unrounded; a first column has the groups where there are.

    Args:
        table: What is written; its caption and note are not.
        for_spreadsheet: Text that a spreadsheet would take for a formula gets an apostrophe.
    """
    grouped = any(group.label for group in table.groups)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*(["group"] if grouped else []), *(c.label for c in table.columns)])
    for group in table.groups:
        for row in group.rows:
            values: list[float | str | None] = [*([group.label] if grouped else [])]
            values += [visible(v) if isinstance(v := c.value, str) else v for c in row]
            writer.writerow([defused(v) for v in values] if for_spreadsheet else values)
    return file.getvalue()


# --- candidate against baseline -----------------------------------------------------------------

Item: TypeAlias = Contest | GateTest
"""A contest, or what the gate says of one; a test without samples of both has none."""
ColumnName: TypeAlias = Literal[
    "figure",
    "metric",
    "candidate",
    "baseline",
    "difference",
    "interval",
    "p",
    "p_holm",
    "outcomes",
    "wins",
    "ties",
    "losses",
    "n",
    "missing",
    "mde",
    "verdict",
    "bounds",
    "margin",
    "smallest_margin",
    "gate_verdict",
    "gate",
]
COMPARE: tuple[ColumnName, ...] = (
    *("figure", "metric", "difference", "interval", "p", "p_holm", "outcomes", "n", "missing"),
    *("mde", "verdict"),
)
REPORT: tuple[ColumnName, ...] = (
    *("figure", "candidate", "baseline", "difference", "interval", "verdict", "p_holm", "mde"),
    *("wins", "ties", "losses", "n", "missing"),
)
"""With `gate` behind them where the suite has one."""
DETAILS: tuple[ColumnName, ...] = (
    *("figure", "difference", "interval", "p", "p_holm", "wins", "ties", "losses", "n", "verdict"),
)
COMMENT: tuple[ColumnName, ...] = (
    *("figure", "candidate", "baseline", "difference", "interval", "p_holm", "n", "missing"),
    "verdict",
)
"""Also for the terminal at the end of a run, with `mde` instead of `missing`."""
CARD: tuple[ColumnName, ...] = (
    *("figure", "candidate", "baseline", "difference", "interval", "n", "verdict"),
)
GATE: tuple[ColumnName, ...] = (
    *("figure", "metric", "difference", "bounds", "margin", "smallest_margin", "n", "missing"),
    "gate_verdict",
)
HISTORY: tuple[ColumnName, ...] = ("difference", "interval", "verdict")
"""Behind the checkpoint and its figure."""
INDEX: tuple[ColumnName, ...] = ("figure", "difference", "interval", "verdict")
"""Behind the run."""


@dataclass(frozen=True)
class _Sheet:
    """What cells of a contest table are made with."""

    names: tuple[ColumnName, ...]
    figures: Mapping[tuple[str, FigureKey], Figure]
    link: Callable[[Contest, ColumnName], str] | None


def contest_table(
    items: Sequence[Item | None],
    columns: Sequence[ColumnName] = COMPARE,
    *,
    caption: str = "",
    figures: Iterable[Figure] = (),
    link: Callable[[Contest, ColumnName], str] | None = None,
    lead: Table | None = None,
    power: float = 0.8,
    notes: Sequence[str] = (),
) -> Table:
    """Candidates against baselines, one row each, grouped by pair.

    Args:
        items: Contests, or gate tests of them.  None, with `lead`: a row without a contest.
        columns: Which columns, in order.
        caption: Above the table.
        figures: Both sides' figures, for the columns `candidate` and `baseline`.
        link: The address of what a cell counts; empty: none.
        lead: Columns of one's own before the others: a table with a row for each item.  Its
            groups replace those by pair.
        power: Of the minimum detectable effects.
        notes: What else to say below the table.

    Returns:
        The table; its note says how to read the columns it has, which correction p has, and what
        speaks against the contests.
    """
    contests = [c for c in map(contest_of, items) if c is not None]
    by_place = {(f.model, f.key): f for f in figures}
    sheet = _Sheet(tuple(columns), by_place, link)
    confidence = contests[0].comparison.difference.level if contests else 0.95
    heads = [_COLUMNS[name].head for name in columns]
    heads = [Column(words.ci(confidence), "right") if c.label == "CI" else c for c in heads]
    rows = [tuple(_COLUMNS[name].cell(item, sheet) for name in columns) for item in items]
    groups: list[Group] = []
    if lead is None:
        pairs = [_pair(item) for item in items]
        for pair in dict.fromkeys(pairs):
            mine = (row for row, other in zip(rows, pairs, strict=True) if other == pair)
            groups.append(Group(pair, tuple(mine)))
    else:
        heads = [*lead.columns, *heads]
        left = iter(rows)
        for group in lead.groups:
            groups.append(Group(group.label, tuple((*own, *next(left)) for own in group.rows)))
    said = [_COLUMNS[name].note.format(power=level(power)) for name in columns]
    if "p_holm" in columns:
        said.append(words.holm_text(contests))
    said += [*notes, *words.caution_notes(contests)]
    note = " ".join(text for text in dict.fromkeys(said) if text)
    return Table(caption, tuple(heads), tuple(groups), note)


def gate_table(result: GateResult) -> Table:
    """The gate's tests, one row each."""
    confidence = level(1 - result.alpha)
    note = (
        f"Pass: the difference is above minus the margin with {confidence} confidence, which is "
        f"also that of each bound. Smallest margin: at which an equal candidate passes with "
        f"{level(result.power)} power; this test is one-sided, so that the MDE of `compare` is "
        f"larger."
    )
    table = contest_table(result.tests, GATE, notes=[note])
    return replace(table, groups=(Group("", table.rows),))  # all are of one pair


def contest_of(item: Item | None) -> Contest | None:
    """The contest that an item is, or is of."""
    return item.contest if isinstance(item, GateTest) else item


def _pair(item: Item | None) -> str:
    contest = contest_of(item)
    return "" if contest is None else words.sides_of(contest.comparison)


def _linked(contest: Contest, name: ColumnName, sheet: _Sheet) -> str:
    return "" if sheet.link is None else sheet.link(contest, name)


def _figure_cell(item: Item | None, sheet: _Sheet) -> Cell:
    if item is None:
        return Cell.missing()
    contest = contest_of(item)
    if contest is None:
        return Cell.text(words.figure_label(item.key))
    has_metric = "metric" in sheet.names
    label = words.figure_label(item.key) if has_metric else words.contest_label(contest)
    unit = "" if has_metric else _unit_and_direction(contest.comparison)
    return Cell.text(label + unit, href=_linked(contest, "figure", sheet))


def _metric_cell(item: Item | None, sheet: _Sheet) -> Cell:
    contest = contest_of(item)
    if contest is None:
        return Cell.missing()
    return Cell.text(
        words.metric_label(contest.key.metric) + _unit_and_direction(contest.comparison)
    )


def _unit_and_direction(c: Comparison) -> str:
    unit = "" if c.unit == "percent" else f", {words.unit_words(c.unit)}"
    has_direction = c.unit != "characters"
    return unit + (", lower is better" if has_direction and not c.higher_is_better else "")


def _score_cell(item: Item | None, sheet: _Sheet, side: Literal["candidate", "baseline"]) -> Cell:
    contest = contest_of(item)
    if contest is None:
        return Cell.missing()
    model = getattr(contest.comparison, side)
    found = sheet.figures.get((model, contest.key))
    if found is None or found.value.point is None:
        return Cell.missing("no score")
    method = words.method_text(found.value)
    return Cell(found.value.point, figure(found.value.point, found.unit), method)


def _gate_cell(item: Item | None, sheet: _Sheet) -> Cell:
    """A margin and what was found of it."""
    if not isinstance(item, GateTest):
        return Cell.missing("the gate has another baseline")
    said = {
        "pass": "held",
        "regression": "exceeded",
        "inconclusive": "not shown",
        "missing": "no samples of both",
    }[item.verdict]
    unit = "raw" if item.contest is None else item.contest.comparison.unit
    down = item.contest is None or item.contest.comparison.higher_is_better
    margin = difference(-item.margin if down else item.margin, unit)
    aside = "" if item.required else ", not required"
    return Cell(item.margin, f"{margin}: {said}{aside}", tone=words.gate_tone(item.verdict))


def _bounds_cell(item: GateTest, c: Comparison) -> Cell:
    found = item.bounds
    if found is None or found.low is None or found.high is None:
        return Cell.missing()
    if words.is_too_wide(found, c.unit):
        return Cell(None, f"{MISSING} ({words.TOO_WIDE})")
    shown = f"{difference(found.low, c.unit)} to {difference(found.high, c.unit)}"
    return Cell(shown, shown)


@dataclass(frozen=True)
class _ContestColumn:
    """A column of the contest table."""

    head: Column
    cell: Callable[[Item | None, _Sheet], Cell]
    note: str = ""
    """How to read it."""


def _of_contest(make: Callable[[Contest], Cell]) -> Callable[[Item | None, _Sheet], Cell]:
    """A cell of a contest; missing where there is none."""

    def cell(item: Item | None, sheet: _Sheet) -> Cell:
        contest = contest_of(item)
        return Cell.missing() if contest is None else make(contest)

    return cell


def _of_test(make: Callable[[GateTest, Comparison], Cell]) -> Callable[[Item | None, _Sheet], Cell]:
    """A cell of a gate test; missing for a contest that is none."""

    def cell(item: Item | None, sheet: _Sheet) -> Cell:
        if not isinstance(item, GateTest) or item.contest is None:
            return Cell.missing()
        return make(item, item.contest.comparison)

    return cell


def _counted(
    name: Literal["wins", "ties", "losses"],
) -> Callable[[Item | None, _Sheet], Cell]:
    def cell(item: Item | None, sheet: _Sheet) -> Cell:
        contest = contest_of(item)
        if contest is None:
            return Cell.missing()
        n: int = getattr(contest.comparison, name)
        return Cell(n, count(n), href=_linked(contest, name, sheet) if n else "")

    return cell


def _difference_cell(contest: Contest) -> Cell:
    c = contest.comparison
    method = words.method_text(c.difference)
    return Cell(c.difference.point, difference(c.difference.point, c.unit), method)


def _interval_cell(contest: Contest) -> Cell:
    c, d = contest.comparison, contest.comparison.difference
    text = words.bounds(d, c.unit, signed=True)
    shows = d.has_width and not words.is_too_wide(d, c.unit)
    return Cell(text if shows else None, text, words.method_text(d))


def _outcomes_cell(contest: Contest) -> Cell:
    c = contest.comparison
    return Cell.text(f"{count(c.wins)} / {count(c.ties)} / {count(c.losses)}")


def _missing_cell(contest: Contest) -> Cell:
    c = contest.comparison
    return Cell.text(f"{count(c.n_missing_candidate)}, {count(c.n_missing_baseline)}")


def _mde_cell(contest: Contest) -> Cell:
    return Cell(contest.mde, size(contest.mde, contest.comparison.unit))


_GATE_MARGIN = "Gate: the largest loss allowed, and whether it was shown not to be exceeded."
_COLUMNS: dict[ColumnName, _ContestColumn] = {
    "figure": _ContestColumn(Column("Benchmark", header=True), _figure_cell),
    "metric": _ContestColumn(Column("Metric"), _metric_cell),
    "candidate": _ContestColumn(
        Column("Candidate", "right"),
        lambda item, sheet: _score_cell(item, sheet, "candidate"),
        "Scores are over each model's own samples.",
    ),
    "baseline": _ContestColumn(
        Column("Baseline", "right"), lambda item, sheet: _score_cell(item, sheet, "baseline")
    ),
    "difference": _ContestColumn(
        Column("Difference", "right"),
        _of_contest(_difference_cell),
        "Difference: candidate minus baseline, paired on the samples both have.",
    ),
    "interval": _ContestColumn(Column("CI", "right"), _of_contest(_interval_cell)),
    "p": _ContestColumn(
        Column("p", "right"),
        _of_contest(lambda c: Cell(c.comparison.p, p_value(c.comparison.p))),
        "p is two-sided.",
    ),
    "p_holm": _ContestColumn(
        Column("p (Holm)", "right"),
        _of_contest(lambda c: Cell(c.p_adjusted, p_value(c.p_adjusted))),
    ),
    "outcomes": _ContestColumn(
        Column("Wins / ties / losses", "right"), _of_contest(_outcomes_cell)
    ),
    "wins": _ContestColumn(Column("Wins", "right"), _counted("wins")),
    "ties": _ContestColumn(Column("Ties", "right"), _counted("ties")),
    "losses": _ContestColumn(Column("Losses", "right"), _counted("losses")),
    "n": _ContestColumn(
        Column("n", "right"),
        _of_contest(lambda c: Cell(c.comparison.difference.n, count(c.comparison.difference.n))),
        words.N_COUNTS,
    ),
    "missing": _ContestColumn(
        Column("Missing", "right"),
        _of_contest(_missing_cell),
        "Missing: scores that the candidate and the baseline lack (failed, or never requested).",
    ),
    "mde": _ContestColumn(
        Column("MDE", "right"),
        _of_contest(_mde_cell),
        "MDE: minimum detectable effect, the smallest true difference found with {power} power.",
    ),
    "verdict": _ContestColumn(
        Column("Verdict"),
        _of_contest(lambda c: Cell(c.verdict, words.verdict_words(c), tone=words.tone(c.verdict))),
    ),
    "bounds": _ContestColumn(Column("One-sided bounds", "right"), _of_test(_bounds_cell)),
    "margin": _ContestColumn(
        Column("Margin", "right"),
        _of_test(lambda t, c: Cell(t.margin, figure(t.margin, c.unit))),
    ),
    "smallest_margin": _ContestColumn(
        Column("Smallest margin", "right"),
        _of_test(lambda t, c: Cell(t.resolvable, figure(t.resolvable, c.unit))),
    ),
    "gate_verdict": _ContestColumn(
        Column("Verdict"),
        lambda item, _: (
            Cell(item.verdict, words.gate_words(item), tone=words.gate_tone(item.verdict))
            if isinstance(item, GateTest)
            else Cell.missing()
        ),
    ),
    "gate": _ContestColumn(Column("Gate"), _gate_cell, _GATE_MARGIN),
}


# --- figures and facts --------------------------------------------------------------------------


def figure_table(figures: Sequence[Figure], *, caption: str = "", by_figure: bool = True) -> Table:
    """Models' figures one below the other: figure, interval, n, missing.

    Args:
        figures: In order.
        caption: Above the table.
        by_figure: Grouped by benchmark, task and metric, a row a model; else every row names both.
    """
    confidence = next((f.value.level for f in figures if f.value.has_width), 0.95)
    columns = [
        Column("Model", header=True),
        Column("Figure", "right"),
        Column(words.ci(confidence), "right"),
        Column("n", "right"),
        Column("Missing", "right"),
    ]
    if by_figure:
        keys = dict.fromkeys((f.key, f.unit) for f in figures)
        groups = [
            Group(_heading(key, unit), tuple(_figure_row(f) for f in figures if f.key == key))
            for key, unit in keys
        ]
    else:
        columns.insert(0, Column("Benchmark"))
        rows = ((Cell.text(_heading(f.key, f.unit)), *_figure_row(f)) for f in figures)
        groups = [Group("", tuple(rows))]
    note = words.N_COUNTS if figures else ""
    if any(f.source is not None for f in figures):
        note += " Published figures were measured by others; their source is stated."
    return Table(caption, tuple(columns), tuple(groups), note)


def _heading(key: FigureKey, unit: str) -> str:
    return f"{words.figure_label(key)}, {words.metric_label(key.metric)}, {words.unit_words(unit)}"


def _figure_row(f: Figure) -> tuple[Cell, ...]:
    value, unknown = f.value, Cell.missing("not stated")
    source = "" if f.source is None else f.source.where
    stated = source or words.method_text(value)
    text = words.bounds(value, f.unit)
    shows = value.has_width and not words.is_too_wide(value, f.unit)
    return (
        Cell.text(f"{f.model} (published)" if f.source is not None else f.model),
        Cell(value.point, figure(value.point, f.unit), stated),
        Cell(text if shows else None, text, stated),
        Cell(value.n, count(value.n)) if value.n or not value.point else unknown,
        unknown
        if f.source is not None
        else Cell(
            value.n_missing, count(value.n_missing), tone="warning" if value.n_missing else ""
        ),
    )


def side_by_side(
    figures: Sequence[Figure], models: Sequence[str] = (), *, caption: str = ""
) -> Table:
    """Models' figures in a column each, one row a figure, with intervals where there is room.

    Args:
        figures: In order.
        models: Which, in order; default: all that have a figure.
        caption: Above the table.
    """
    shown = list(models) or list(dict.fromkeys(f.model for f in figures))
    with_intervals = len(shown) <= 3
    columns = [
        Column("Benchmark", header=True),
        Column("Metric"),
        *(Column(m, "right") for m in shown),
    ]
    by_place = {(f.model, f.key): f for f in figures}
    rows = []
    for key, unit in dict.fromkeys((f.key, f.unit) for f in figures):
        aside = "" if unit == "percent" else f", {words.unit_words(unit)}"
        rows.append(
            (
                Cell.text(words.figure_label(key)),
                Cell.text(words.metric_label(key.metric) + aside),
                *(_point_cell(by_place.get((m, key)), with_intervals) for m in shown),
            )
        )
    confidence = next((f.value.level for f in figures if f.value.has_width), 0.95)
    note = f"In brackets the {words.ci(confidence)}, where there is one." if with_intervals else ""
    return Table.of(caption, columns, rows, note)


def _point_cell(f: Figure | None, with_interval: bool) -> Cell:
    if f is None or f.value.point is None:
        return Cell.missing("no figure" if f is None else words.method_text(f.value))
    shown = figure(f.value.point, f.unit)
    if with_interval and f.value.has_width and not words.is_too_wide(f.value, f.unit):
        shown = f"{shown} ({words.bounds(f.value, f.unit)})"
    return Cell(f.value.point, shown, f.source.where if f.source else words.method_text(f.value))


def facts_table(caption: str, items: Iterable[tuple[str, Json]], note: str = "") -> Table:
    """Names and values; what is None is left out."""
    columns = (Column("Setting", header=True), Column("Value", code=True))
    rows = [(Cell.text(name), _fact(value)) for name, value in items if value is not None]
    return Table.of(caption, columns, rows, note)


def flat(value: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, Json]]:
    """Nested objects as `outer.inner`, sorted by name, which no file can change."""
    for key in sorted(value):
        item = value[key]
        if isinstance(item, Mapping) and item:
            yield from flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def _fact(value: Json) -> Cell:
    if isinstance(value, bool):
        return Cell(value, "yes" if value else "no")
    if isinstance(value, int):
        return Cell(value, count(value) if abs(value) >= 10_000 else str(value))
    if isinstance(value, float):
        return Cell(value, significant(value, 6))
    if isinstance(value, str):
        return Cell.text(value)
    shown = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return Cell(shown, shown)
