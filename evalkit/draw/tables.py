"""Tables before markup: their types, how they are written, and the tables of figures and contests.

    Table of Group of rows of Cell, under Column ─▶ table_to_markdown, table_to_csv
                                                    (to_text, table_to_html: terminal.py, html.py)

    contest_table    candidates against baselines: contests, or the gate's tests of them
    figure_table     models' figures, one below the other
    side_by_side     the same, one column a model
    facts_table      names and values, as of a manifest

`contest_table` is the only table of candidate against baseline.  Who shows it chooses columns by
name (`COMPARE`, `SUMMARY`, `GATE`, ... are the choices of the rooms) and may put columns of its own
before them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Literal, TypeAlias

from markupsafe import Markup

from evalkit.core.contests import Contest, GateTest
from evalkit.core.figures import Comparison, Figure, FigureKey, Measured
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
from evalkit.draw.text import defused, escape_markdown, markdown_code, visible
from evalkit.draw.words import Tone

__all__ = [
    "CARD",
    "COMPARE",
    "DETAILS",
    "GATE",
    "HISTORY",
    "INDEX",
    "SUMMARY",
    "SURE",
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
    "side_by_side",
    "table_to_csv",
    "table_to_markdown",
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
    drawn: Markup | None = None
    """A drawing that says the same as the cells beside it; only HTML has it."""

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
    rank: int = 0
    """In a terminal without room for all columns the highest is left out first, 0 never."""
    note: str = ""
    """How to read it: its sentence within the table's note."""
    chip: bool = False
    """Its cells are verdicts, set off by their shape."""
    drawn: Markup | None = None
    """Its cells are drawings, and this is their axis: a column that only HTML has."""


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
    apart: bool = False
    """Its figures prove nothing, and are drawn so."""

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
    def written(self) -> Table:
        """Without the columns that only HTML has."""
        keep = [column.drawn is None for column in self.columns]
        groups = (
            Group(group.label, tuple(tuple(compress(row, keep)) for row in group.rows))
            for group in self.groups
        )
        return replace(self, columns=tuple(compress(self.columns, keep)), groups=tuple(groups))

    @property
    def rows(self) -> tuple[tuple[Cell, ...], ...]:
        """All rows, without the headings of their groups."""
        return tuple(row for group in self.groups for row in group.rows)


# --- written as text ----------------------------------------------------------------------------


def table_to_markdown(table: Table) -> str:
    """Caption, table and note as GitHub-flavoured Markdown, without an end of line.

    A table without rows is a sentence.
    """
    table = table.written
    caption, note = _bold(table.caption), escape_markdown(table.note)
    head = [caption, ""] if caption else []
    if not table.rows:
        return "\n".join([*head, "Nothing to show.", *(["", note] if note else [])])
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
    if note:
        lines += ["", note]
    return "\n".join(lines)


def _bold(text: str) -> str:
    """In bold; of blanks nothing, since `****` alone is a rule across the page."""
    escaped = escape_markdown(text)
    return f"**{escaped}**" if escaped else ""


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


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
    "scores",
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
    *("figure", "metric", "candidate", "baseline", "difference", "interval", "p", "p_holm"),
    *("outcomes", "n", "missing", "mde", "verdict"),
)
SUMMARY: tuple[ColumnName, ...] = ("figure", "scores", "difference", "interval", "verdict", "n")
"""The first screen of a report, the end of a run, a comment on a pull request."""
SURE: tuple[ColumnName, ...] = ("figure", "p_holm", "mde", "wins", "ties", "losses", "missing")
"""What the first screen folds away, with `gate` behind it where the suite has one."""
DETAILS: tuple[ColumnName, ...] = (
    *("figure", "difference", "interval", "p", "p_holm", "wins", "ties", "losses", "n", "verdict"),
)
CARD: tuple[ColumnName, ...] = (
    *("figure", "candidate", "baseline", "difference", "interval", "n", "verdict"),
)
GATE: tuple[ColumnName, ...] = (
    *("figure", "metric", "candidate", "baseline", "difference", "bounds", "margin"),
    *("smallest_margin", "n", "missing", "gate_verdict"),
)
HISTORY: tuple[ColumnName, ...] = ("difference", "interval", "verdict")
"""Behind the checkpoint and its figure."""
INDEX: tuple[ColumnName, ...] = ("figure", "difference", "interval", "verdict")
"""Behind the run."""


_HEADS: dict[ColumnName, str] = {
    "figure": "Benchmark",
    "metric": "Metric",
    "candidate": "Candidate",
    "baseline": "Baseline",
    "scores": "Baseline → candidate",
    "difference": "Difference",
    "interval": "{ci}",
    "p": "p",
    "p_holm": "p (Holm)",
    "outcomes": "Wins / ties / losses",
    "wins": "Wins",
    "ties": "Ties",
    "losses": "Losses",
    "n": "n",
    "missing": "Missing",
    "mde": "MDE",
    "verdict": "Verdict",
    "bounds": "One-sided bounds",
    "margin": "Margin",
    "smallest_margin": "Smallest margin",
    "gate_verdict": "Verdict",
    "gate": "Gate",
}
_LEFT: frozenset[ColumnName] = frozenset({"figure", "metric", "verdict", "gate_verdict", "gate"})
_LINKED: tuple[ColumnName, ...] = ("figure", "wins", "ties", "losses")
_RANKS: dict[ColumnName, int] = {
    "n": 1,
    "gate": 2,
    "missing": 3,
    "smallest_margin": 4,
    "mde": 4,
    "p_holm": 5,
    "metric": 6,
    "outcomes": 7,
    "wins": 7,
    "ties": 7,
    "losses": 7,
    "p": 8,
}
"""As `Column.rank`: scores, difference, interval and verdict are always shown."""
_NOTES: dict[ColumnName, str] = {
    "candidate": "Scores are over each model's own samples.",
    "scores": "Scores are over each model's own samples.",
    "difference": "Difference: candidate minus baseline, paired on the samples both have.",
    "p": "p is two-sided.",
    "n": words.N_COUNTS,
    "missing": (
        "Missing: scores that the candidate and the baseline lack (failed, or never requested)."
    ),
    "mde": "MDE: minimum detectable effect, the smallest true difference found with {power} power.",
    "gate": "Gate: the largest loss allowed, and whether it was shown not to be exceeded.",
}


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
        figures: Both sides' figures, for the columns `candidate` and `baseline`; without any
            figure the table has neither.
        link: The address of what a cell of `figure`, `wins`, `ties` or `losses` counts, or empty.
        lead: Columns of one's own before the others: a table with a row for each item.  Its
            groups replace those by pair.
        power: Of the minimum detectable effects.
        notes: What else to say below the table.

    Returns:
        The table; its note says how to read the columns it has, which correction p has, and what
        speaks against the contests.
    """
    contests = [c for c in map(contest_of, items) if c is not None]
    confidence = contests[0].comparison.difference.level if contests else 0.95
    known = {(f.model, f.key): f for f in figures}
    if not known:
        columns = [name for name in columns if name not in ("candidate", "baseline")]
    speaks = _speaking(contests)
    said = {n: _NOTES[n].format(power=level(power)) if n in speaks else "" for n in columns}
    if said.pop("p_holm", None) is not None:  # last
        said["p_holm"] = words.holm_text(contests)
    heads = [
        Column(
            _HEADS[name].format(ci=words.ci(confidence)),
            "left" if name in _LEFT else "right",
            header=name == "figure" and lead is None,
            rank=_RANKS.get(name, 0),
            note=said[name],
        )
        for name in columns
    ]
    cells = _Cells(tuple(columns), known, link)
    rows = [cells.row(item) for item in items]
    groups: list[Group] = []
    if lead is None:
        pairs = [
            "" if (c := contest_of(i)) is None else words.sides_of(c.comparison) for i in items
        ]
        for pair in dict.fromkeys(pairs):
            mine = (row for row, other in zip(rows, pairs, strict=True) if other == pair)
            groups.append(Group(pair, tuple(mine)))
    else:
        heads = [*lead.columns, *heads]
        left = iter(rows)
        for group in lead.groups:
            groups.append(Group(group.label, tuple((*own, *next(left)) for own in group.rows)))
    texts = [*(said.values() if items else ()), *notes, *words.caution_notes(contests)]
    note = " ".join(text for text in dict.fromkeys(texts) if text)
    return Table(caption, tuple(heads), tuple(groups), note)


def _speaking(contests: Sequence[Contest]) -> set[str]:
    """Columns that hold something to explain: nothing is said of what is not there."""
    found = [c.comparison for c in contests]
    silent = {
        "missing": not any(c.n_missing_candidate or c.n_missing_baseline for c in found),
        "n": all(c.difference.n == c.difference.n_units for c in found),
        "mde": all(c.mde is None for c in contests),
    }
    return {name for name in _NOTES if not silent.get(name, False)}


def contest_of(item: Item | None) -> Contest | None:
    """The contest that an item is, or is of."""
    return item.contest if isinstance(item, GateTest) else item


@dataclass(frozen=True)
class _Cells:
    """Makes the cells of a contest table."""

    names: tuple[ColumnName, ...]
    """All columns of the table."""
    figures: Mapping[tuple[str, FigureKey], Figure]
    link: Callable[[Contest, ColumnName], str] | None

    def row(self, item: Item | None) -> tuple[Cell, ...]:
        """One cell a column; missing where what it shows is not there."""
        contest = contest_of(item)
        made = {} if contest is None else _of_contest(contest)
        if contest is not None:
            c = contest.comparison
            made["figure"] = Cell.text(self._label(contest))
            made["candidate"] = self._score(c.candidate, c.key)
            made["baseline"] = self._score(c.baseline, c.key)
            made["scores"] = self._scores(c)
        if isinstance(item, GateTest):
            made |= _of_test(item)
            made.setdefault("figure", Cell.text(words.figure_label(item.key)))
        if self.link is not None and contest is not None:
            made |= {
                n: replace(made[n], href=self.link(contest, n)) for n in _LINKED if made[n].value
            }
        return tuple(made.get(name, Cell.missing()) for name in self.names)

    def _label(self, contest: Contest) -> str:
        if "metric" in self.names:
            return words.figure_label(contest.key)
        return words.contest_label(contest) + words.unit_and_direction(contest.comparison)

    def _score(self, model: str, key: FigureKey) -> Cell:
        found = self.figures.get((model, key))
        if found is None or found.value.point is None:
            return Cell.missing("no score")
        shown = figure(found.value.point, found.unit)
        return Cell(found.value.point, shown, _stated(found))

    def _scores(self, c: Comparison) -> Cell:
        found = [self.figures.get((model, c.key)) for model in (c.baseline, c.candidate)]
        before, after = (None if f is None else f.value for f in found)
        shown = words.change(before, after, c.unit)
        return Cell.missing("no score") if shown == MISSING else Cell.text(shown)


def _of_test(test: GateTest) -> dict[ColumnName, Cell]:
    """The cells that a gate test adds."""
    tone = words.gate_tone(test.verdict)
    made: dict[ColumnName, Cell] = {
        "gate": Cell(test.margin, words.margin_words(test)),
        "gate_verdict": Cell(test.verdict, words.gate_words(test), tone=tone),
    }
    if test.contest is None:
        return made
    unit, found = test.contest.comparison.unit, test.bounds
    made["margin"] = Cell(test.margin, figure(test.margin, unit))
    made["smallest_margin"] = Cell(test.resolvable, figure(test.resolvable, unit))
    if found is not None and found.low is not None:
        shows = words.ends(found, unit)[0] is not None
        shown = words.bounds(found, unit, signed=True)
        made["bounds"] = Cell(shown if shows else None, shown)
    return made


def _interval_cell(value: Measured, unit: str, *, signed: bool = False, source: str = "") -> Cell:
    text = words.bounds(value, unit, signed=signed)
    shows = words.ends(value, unit)[0] is not None
    return Cell(text if shows else None, text, source or value.how)


def _of_contest(x: Contest) -> dict[ColumnName, Cell]:
    """The cells that a contest alone makes."""
    c, d = x.comparison, x.comparison.difference
    outcomes = f"{count(c.wins)} / {count(c.ties)} / {count(c.losses)}"
    lacking = (c.n_missing_candidate, c.n_missing_baseline)
    # Without any record of a task nobody knows what its scores would be.
    missing = ", ".join(map(count, lacking)) if c.difference.n or any(lacking) else MISSING
    metric = words.metric_label(c.key.metric) + words.unit_and_direction(c)
    return {
        "metric": Cell.text(metric),
        "difference": Cell(d.point, difference(d.point, c.unit), d.how),
        "interval": _interval_cell(d, c.unit, signed=True),
        "p": Cell(c.p, p_value(c.p)),
        "p_holm": Cell(x.p_adjusted, p_value(x.p_adjusted)),
        "outcomes": Cell.text(outcomes),
        "wins": Cell(c.wins, count(c.wins)),
        "ties": Cell(c.ties, count(c.ties)),
        "losses": Cell(c.losses, count(c.losses)),
        "n": Cell(d.n, count(d.n)),
        "missing": Cell.text(missing),
        "mde": Cell(x.mde, size(x.mde, c.unit)),
        "verdict": Cell(x.verdict, words.verdict_words(x), tone=words.tone(x.verdict)),
    }


# --- figures and facts --------------------------------------------------------------------------


def figure_table(
    figures: Sequence[Figure],
    *,
    caption: str = "",
    by_figure: bool = True,
    expected: Mapping[FigureKey, Sequence[str]] | None = None,
) -> Table:
    """Models' figures one below the other: figure, interval, n, missing.

    Args:
        figures: In order.
        caption: Above the table.
        by_figure: Grouped by benchmark, task and metric, a row a model; else every row names both.
        expected: Models that should have a figure; without one, their row in its group is empty.
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
        groups = []
        for key, unit in dict.fromkeys((f.key, f.unit) for f in figures):
            mine = [f for f in figures if f.key == key]
            lacking = dict.fromkeys((expected or {}).get(key, ()))
            for f in mine:
                lacking.pop(f.model, None)
            rows = [_figure_row(f) for f in mine]
            rows += [(Cell.text(m), *[Cell.missing("no figure")] * 4) for m in lacking]
            groups.append(Group(_heading(key, unit), tuple(rows)))
    else:
        columns.insert(0, Column("Benchmark"))
        rows = [(Cell.text(_heading(f.key, f.unit)), *_figure_row(f)) for f in figures]
        groups = [Group("", tuple(rows))]
    note = words.N_COUNTS if any(f.value.n != f.value.n_units for f in figures) else ""
    if any(f.source is not None for f in figures):
        note += " Published and recorded figures were measured by others; their source is stated."
    return Table(caption, tuple(columns), tuple(groups), note.strip())


def _heading(key: FigureKey, unit: str) -> str:
    return f"{words.figure_label(key)}, {words.metric_label(key.metric)}, {words.unit_words(unit)}"


def _figure_row(f: Figure) -> tuple[Cell, ...]:
    value, unknown = f.value, Cell.missing("not stated")
    tone: Tone = "warning" if value.n_missing else ""
    missing = Cell(value.n_missing, count(value.n_missing), tone=tone)
    return (
        Cell.text(f"{f.model}{words.origin(f)}"),
        Cell(value.point, figure(value.point, f.unit), _stated(f)),
        _interval_cell(value, f.unit, source=_stated(f)),
        Cell(value.n, count(value.n)) if value.n or f.source is None else unknown,
        missing if f.source is None else unknown,
    )


def _stated(f: Figure) -> str:
    """Where a figure comes from, or how it was computed."""
    return f.value.how if f.source is None else f.source.where


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
        return Cell.missing("no figure" if f is None else f.value.how)
    shown = figure(f.value.point, f.unit)
    if with_interval and f.value.has_width and not words.is_too_wide(f.value, f.unit):
        shown = f"{shown} ({words.bounds(f.value, f.unit)})"
    return Cell(f.value.point, shown, _stated(f))


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
