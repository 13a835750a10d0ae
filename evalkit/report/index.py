"""Pages on several runs: the index of a folder, and models side by side.

The index has a row for each headline figure of every run's candidates, with its difference to the
baseline where there is one, and sorts by any column; a run that cannot be read is a row that says
why.  The page of a comparison is for `evalkit compare --html`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from evalkit import draw, store
from evalkit.comparison.cautions import damages
from evalkit.comparison.recompute import load
from evalkit.core.contests import Contest
from evalkit.core.figures import Figure, FigureKey
from evalkit.core.run import Run
from evalkit.draw import COMPARE, Cell, Column, Table
from evalkit.draw.html import Assets, element, page_html, policy, table_to_html
from evalkit.draw.svg import score_tables
from evalkit.errors import EvalkitError
from evalkit.report.content import (
    Answer,
    Block,
    Report,
    Section,
    Statements,
    Text,
    pair_of,
)
from evalkit.report.render import sections_html

__all__ = [
    "Entry",
    "Line",
    "comparison_page",
    "entries",
    "entry_of",
    "index_page",
    "index_policy",
    "relative_link",
]

_SLUG = 12
_STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True)
class Line:
    """A headline figure of a run's model."""

    model: str
    key: FigureKey | None
    """None: the run has no figures (yet)."""
    figure: Figure | None
    contest: Contest | None
    """Against a baseline; a figure has a line for each."""


@dataclass(frozen=True)
class Entry:
    """A run's folder, and what an index shows of it."""

    slug: str
    """Its part of an address: hex digits, whatever its name holds."""
    folder: Path
    lines: tuple[Line, ...] = ()
    run_id: str = ""
    suite: str = ""
    started: float | None = None
    """When its first session began, in Unix time."""
    marks: tuple[str, ...] = ()
    """What must be known before a figure is quoted."""
    error: str = ""
    """Why it cannot be read; empty: it can."""

    @property
    def date(self) -> str:
        """Of the first session, in UTC; empty where no session is stored."""
        if self.started is None:
            return ""
        return datetime.fromtimestamp(self.started, UTC).strftime("%Y-%m-%d %H:%M")


def entries(places: Sequence[Path], read: Callable[[Path], Entry] | None = None) -> Iterator[Entry]:
    """The runs in some places, by place and name, each once; none that lies elsewhere by a link.

    Args:
        places: Run folders, or folders that are searched for runs.
        read: Makes an entry of a folder; default: `entry_of`.

    Raises:
        DataError: a place is not there or holds no run.
    """
    seen: set[str] = set()
    for place in places:
        for folder in store.run_folders(place):
            entry = (read or entry_of)(folder.parent if folder.is_file() else folder)
            if entry.slug not in seen:
                seen.add(entry.slug)
                yield entry


def entry_of(folder: Path) -> Entry:
    """What an index shows of one run; its records are read and dropped."""
    resolved = str(folder.resolve()).encode("utf-8", "surrogateescape")
    slug = hashlib.sha256(resolved).hexdigest()[:_SLUG]
    try:
        run = load(folder)
        return Entry(
            slug,
            folder,
            tuple(_lines(Report(run))),
            run.manifest.run_id,
            run.manifest.suite_name or "",
            store.started(folder),
            tuple(_marks(run)),
        )
    except EvalkitError as error:
        return Entry(slug, folder, error=str(error))
    except Exception as error:  # noqa: BLE001 - one damaged run must not hide the others
        return Entry(slug, folder, error=f"{folder}: damaged ({error!r}); run its suite again")


def _lines(report: Report) -> Iterator[Line]:
    """Of the candidates, or of all models where there are none."""
    run = report.run
    candidates = [m for m in report.measured if run.role(m) == "candidate"]
    for model in candidates or report.measured or ("",):
        some = False
        for key in run.headlines:
            found = run.figure(model, key)
            contests = (report.contest(pair, key) for pair in report.pairs if pair[0] == model)
            against = [c for c in contests if c is not None]
            yield from (Line(model, key, found, contest) for contest in against)
            if found is not None and not against:
                yield Line(model, key, found, None)
            some = some or found is not None or bool(against)
        if not some:
            yield Line(model, None, None, None)


def _marks(run: Run) -> Iterator[str]:
    if run.state != "finished":
        yield draw.STATES[run.state]
    if run.manifest.limit is not None:
        yield f"limited to {draw.count(run.manifest.limit)} samples per task"
    damaged = any(damages(run))
    if damaged:
        yield "damaged evidence"
    if not run.manifest.publishable and run.manifest.limit is None and not damaged:
        yield "not publishable"


# --- the index ----------------------------------------------------------------------------------


def index_page(found: Sequence[Entry], link: Callable[[Entry], str], places: Sequence[Path]) -> str:
    """The index as one HTML file, the newest runs first.

    Args:
        found: Of which runs.
        link: The address of a run's report, relative to the index; empty: there is none.
        places: Where the runs were looked for.
    """
    newest = sorted(found, key=lambda e: (bool(e.error), e.started is None, -(e.started or 0.0)))
    readable = [(e, line) for e in newest if not e.error for line in e.lines]
    columns = (
        Column("Run", header=True),
        Column("Suite"),
        Column("First session"),
        Column("Caveats"),
        Column("Model"),
        Column("Figure"),
        Column("Value", "right"),
        Column("Against"),
    )
    lead = Table.of("", columns, [_lead(e, line, link(e)) for e, line in readable])
    shown = tuple(name for name in draw.INDEX if name != "figure")
    table = draw.contest_table([line.contest for _, line in readable], shown, lead=lead)
    n = len(found)
    what = "1 run" if n == 1 else f"{draw.count(n)} runs"
    table = replace(
        table,
        caption=f"{what}: headline figures of their candidates",
        note=(
            "A click on a heading sorts. Differences: candidate minus baseline, paired on the "
            "samples both have; verdicts after Holm's correction within each run. Dates are UTC."
        ),
    )
    broken = [
        (Cell.text(str(e.folder)), Cell.text(f"unreadable: {e.error}")) for e in newest if e.error
    ]
    parts = [table_to_html(table)]
    if broken:
        heads = (Column("Folder", header=True), Column("Why it cannot be read"))
        parts.append(table_to_html(Table.of("Unreadable runs", heads, broken)))
    return page_html(
        "Runs",
        element("section", {"class": "part"}, parts),
        eyebrow=[str(place) for place in places],
        footer="Made by evalkit from stored runs. This file loads nothing.",
        assets=_assets(),
    )


def _lead(entry: Entry, line: Line, href: str) -> tuple[Cell, ...]:
    value, found = Cell.missing("no figure"), line.figure
    label = "" if line.key is None else draw.figure_label(line.key)
    if found is not None and found.value.point is not None:
        value = Cell(found.value.point, draw.figure(found.value.point, found.unit))
        label += draw.origin(found)
    contest = line.contest
    return (
        Cell(entry.run_id, entry.run_id, str(entry.folder), href=href),
        Cell.text(entry.suite),
        Cell.text(entry.date) if entry.date else Cell.missing("no session is stored"),
        Cell.text(", ".join(entry.marks), tone="warning" if entry.marks else ""),
        Cell.text(line.model),
        Cell.text(label),
        value,
        Cell.text("" if contest is None else contest.comparison.baseline),
    )


def relative_link(folder: Path) -> Callable[[Entry], str]:
    """Links from an index in `folder` to the reports below it; empty where one is not there."""

    def link(entry: Entry) -> str:
        page, place = (entry.folder / "index.html").resolve(), folder.resolve()
        if not page.is_file() or not page.is_relative_to(place):
            return ""
        return quote(os.fsencode(page.relative_to(place).as_posix()))

    return link


def index_policy() -> str:
    """The Content-Security-Policy of an index."""
    return policy(_assets())


@cache
def _assets() -> Assets:
    style, script = (
        (_STATIC / name).read_text(encoding="utf-8") for name in ("index.css", "index.js")
    )
    return Assets(style, script)


# --- side by side -------------------------------------------------------------------------------


def comparison_page(
    contests: Sequence[Contest],
    *,
    figures: Sequence[Figure] = (),
    notes: Sequence[str] = (),
    power: float = 0.8,
) -> str:
    """Contests of any runs as one HTML file: each pair's answer, chart and table.

    Args:
        contests: By baseline; details are shown in a table of their own.
        figures: Of both sides, shown side by side.
        notes: Sentences that must be read with them: what was not compared, and why.
        power: Of the minimum detectable effects.
    """
    sections = []
    pairs = list(dict.fromkeys(map(pair_of, contests)))
    for pair in pairs:
        mine = [c for c in contests if pair_of(c) == pair]
        headline = [c for c in mine if c.family != "detail"]
        details = [c for c in mine if c.family == "detail"]
        blocks: list[Block] = []
        if headline:
            blocks.append(Answer(draw.status(headline, figures)))
            blocks += score_tables(headline, figures)
            blocks.append(draw.contest_table(headline, COMPARE, power=power, caption="Comparisons"))
        if len(headline) > 1:
            blocks.append(Statements(tuple(headline)))
        if details:
            blocks.append(draw.contest_table(details, COMPARE, power=power, caption="Details"))
        sections.append(Section(f"{pair[0]} against {pair[1]}", tuple(blocks)))
    rest: list[Block] = [Text(text) for text in notes]
    if figures:
        rest.append(draw.side_by_side(figures, caption="Figures side by side"))
    if rest:
        sections.append(Section("Both sides", tuple(rest)))
    candidates = list(dict.fromkeys(a for a, _ in pairs))
    baselines = list(dict.fromkeys(b for _, b in pairs))
    title = f"{', '.join(candidates)} against {', '.join(baselines)}" if pairs else "Comparison"
    return page_html(
        title,
        Markup("").join(sections_html(tuple(sections))),
        sections=[(f"part-{i}", section.title) for i, section in enumerate(sections, 1)],
        footer="Made by evalkit from stored runs. This file loads nothing.",
    )
