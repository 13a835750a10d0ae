"""The first screen: is the candidate better, by how much, what speaks against quoting it.

Its short forms too: what a terminal shows at the end of a run, and a comment on a pull request.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from evalkit import draw
from evalkit.comparison.health import unvalidated
from evalkit.core.contests import Contest
from evalkit.core.figures import Figure, FigureKey
from evalkit.core.run import Run
from evalkit.core.thoughts import odd_mark
from evalkit.draw import Cell, Column, ColumnName, Group, Line, Table
from evalkit.draw.html import element, escaped, table_to_html
from evalkit.draw.svg import forest_plots
from evalkit.report.content import (
    Answer,
    Block,
    Caveats,
    Chart,
    Details,
    Note,
    Pair,
    Report,
    Section,
    Statements,
    Text,
    first_few,
)

__all__ = [
    "COMMENT_MARKER",
    "comment",
    "headline_html",
    "state_note",
    "status_lines",
    "summary_lines",
    "verdict",
]

COMMENT_MARKER = "<!-- evalkit report -->"
"""First line of a comment, by which the next one finds it."""
_NAMED = 6
"""Figures and judges named in a sentence."""
_TOLD = 3
"""Findings told where no section tells them."""


def verdict(report: Report) -> Section:
    """The answers, what to know before quoting them, what they rest on, then the figures."""
    return Section("Verdict", tuple(_blocks(report)))


def state_note(report: Report) -> Iterator[Note]:
    """What comes before everything else: that the run is not finished, or not as it was sealed."""
    if said := draw.state_text(report.run):
        yield Note(said, "No verdict.")


def _blocks(report: Report) -> Iterator[Block]:
    run = report.run
    yield from state_note(report)
    found = {pair: contests for pair in report.pairs if (contests := report.headline(pair))}
    yield from _answers(report)
    warnings = tuple(_warnings(report))
    if warnings:
        yield Caveats(warnings)
    yield from _evidence(report, found)
    yield from _judges(report)
    items = {pair: report.items(pair) for pair in found}
    drawn = [
        [Chart(d.title, d.svg, None, d.note) for d in forest_plots(items[pair])] for pair in found
    ]
    yield from first_few(drawn, "Charts of {} more pairs")
    if found:
        has_gate = any(not isinstance(i, Contest) for shown in items.values() for i in shown)
        columns: tuple[ColumnName, ...] = (*draw.REPORT, "gate") if has_gate else draw.REPORT
        rows = [item for shown in items.values() for item in shown]
        yield draw.contest_table(
            rows, columns, caption="Headline figures", figures=run.figures, link=report.link
        )
    if any(len(contests) > 1 for contests in found.values()):
        # On a single figure the answer is that sentence.
        every = tuple(c for contests in found.values() for c in contests)
        yield Details("Each comparison in a sentence", (Statements(every),))
    judged = found if run.state == "finished" else ()
    lengths = [blocks for pair in judged if (blocks := tuple(_lengths(report, pair)))]
    yield from first_few(lengths, "Lengths of answers, {} more pairs")
    yield from _missing(report)


def _answers(report: Report) -> Iterator[Answer | Text]:
    if report.run.state != "finished":
        return
    gate = report.gate
    answered = False
    for pair in report.pairs:
        contests = report.headline(pair)
        if contests:
            status = draw.status(contests, report.run.figures)
            whose = "" if len(report.pairs) == 1 else f"{pair[0]} against {pair[1]}: "
            yield Answer(f"{whose}{status.line}", status.verdict)
            yield from [Text(status.strongest)] if status.strongest else []
            answered = True
        if gate is not None and (gate.candidate, gate.baseline) == pair:
            reasons = f" Not passed: {_listed(gate.reasons, '; ')}." if gate.reasons else ""
            yield Text(f"{draw.gate_sentence(gate)}{reasons}")
    if not answered:
        yield Text("This run compares no candidate with a baseline.")


# --- what speaks against a figure ---------------------------------------------------------------


def _warnings(report: Report, *, alone: bool = False) -> Iterator[Note]:
    """What makes a figure unfit to be quoted, the worst first; `alone`: no report is around it."""
    run = report.run
    if run.manifest.limit is not None:
        yield Note(f"{draw.limit_text(run.manifest.limit).capitalize()}.", "Limited run.")
    elif not run.manifest.publishable:
        yield Note("The run's manifest marks it so.", "Not publishable.")
    if report.damages:
        yield Note(_damaged(report, alone=alone), "Damaged evidence.")
    for h in report.health:
        if h.reasons:
            why = "; ".join(map(draw.judge_figure_text, h.reasons))
            yield Note(
                f"{why[0].upper()}{why[1:]}. No conclusion is drawn from its judgments.",
                f"Judge {h.judge} is not fit on {draw.benchmark_label(h.benchmark)}.",
            )
    for judge in sorted({unvalidated(run, entry.name) for entry in run.benchmarks} - {""}):
        yield Note(
            f"{draw.LOCAL_JUDGE.capitalize()}: judged scores say what this model "
            f"prefers, not what people would. Do not publish them.",
            f"Judge {judge}.",
        )
    yield from (Note(text, f"{model}:") for model, text in _thoughts_shown(run))
    for model in run.manifest.models:
        if model.trust_remote_code:
            yield Note("Code that came with the model was run.", f"{model.name}: remote code.")
        yield from (Note(warning, f"{model.name}:") for warning in model.provenance.warnings)
        for bos in sorted({str(p.bos) for p in model.first_prompts} & {"doubled", "missing"}):
            yield Note(f"Prompts begin with a {bos} BOS token.", f"{model.name}: BOS {bos}.")


def _thoughts_shown(run: Run) -> Iterator[tuple[str, str]]:
    """Models whose answers begin with a mark that looks like a thought's, and what to do."""
    found: dict[str, Counter[str]] = {}
    for record in run.records:
        for answer in record.outcome.answers:
            if mark := odd_mark(answer):
                found.setdefault(record.model, Counter())[mark] += 1
    for model, marks in found.items():
        ((mark, _),) = marks.most_common(1)
        n = marks.total()
        said = (
            f"{draw.count(n)} {'answer begins' if n == 1 else 'answers begin'} with {mark!r}, "
            f"which looks like the mark of a thought, and were scored as they are; if it is one, "
            f"write `thinking: {{start: MARK, end: MARK}}` under the model."
        )
        yield model, said


def _damaged(report: Report, *, alone: bool) -> str:
    """Where each is named; without a report around it, the first few and how many are left."""
    found = len(report.damages)
    what = "1 finding makes" if found == 1 else f"{draw.count(found)} findings make"
    said = f"{what} recorded figures unreliable"
    if not alone:
        return f"{said}; “Recorded evidence” below names each."
    start = "Damaged evidence: "
    named = " ".join(draw.caution_text(d).removeprefix(start) for d in report.damages[:_TOLD])
    more = f" The run's report names {draw.count(found - _TOLD)} more." if found > _TOLD else ""
    return f"{said}: {named}{more}"


def _missing(report: Report, *, alone: bool = False) -> Iterator[Note]:
    """How many samples lack a score; `alone`: no report is around it."""
    records = report.run.records
    failed = Counter(r.model for r in records if r.outcome.is_missing)
    if failed:
        parts = ", ".join(f"{model} {draw.count(n)}" for model, n in failed.items())
        where = "The run's report gives" if alone else "Each benchmark's section gives"
        yield Note(
            f"{draw.count(failed.total())} of {draw.count(len(records))} samples have no score; "
            f"they are left out, never counted as zero ({parts}). {where} the reasons.",
            "Missing samples.",
            "remark",
        )


# --- what the answer rests on -------------------------------------------------------------------


def _evidence(report: Report, found: Mapping[Pair, Sequence[Contest]]) -> Iterator[Text]:
    """On how many samples which figures rest, and which benchmarks have no difference."""
    sizes = {
        pair: {c.key: (draw.contest_label(c), c.comparison.difference.n_units) for c in contests}
        for pair, contests in found.items()
    }
    if len(sizes) > 1 and len({tuple(keys) for keys in sizes.values()}) == 1:
        # What holds of every pair is said once, with the fewest and the most.
        shown = []
        for key, (label, _) in next(iter(sizes.values())).items():
            units = [known[key][1] for known in sizes.values()]
            low, high = draw.count(min(units)), draw.count(max(units))
            shown.append(f"{label} {low if low == high else f'{low} to {high}'}")
        yield _rests_on(report, shown, next(iter(sizes.values())), "both models of a pair", "")
        return
    for pair, known in sizes.items():
        shown = [f"{label} {draw.count(units)}" for label, units in known.values()]
        whose = "" if len(report.pairs) == 1 else f", {pair[0]} and {pair[1]}"
        yield _rests_on(report, shown, known, "both models", whose)


def _rests_on(
    report: Report, shown: list[str], keys: Mapping[FigureKey, object], who: str, whose: str
) -> Text:
    used = {key.benchmark for key in keys}
    rest = [
        draw.benchmark_label(entry.name)
        for entry in report.run.benchmarks
        if report.keys(entry) and entry.name not in used
    ]
    text = f"Samples that {who} have a score for: {_listed(shown)}."
    if rest:
        text += f" No difference, because there are no such samples: {_listed(rest)}."
    return Text(text, f"Evidence{whose}.", small=True)


def _listed(names: Sequence[str], by: str = ", ") -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return by.join(names[:_NAMED]) + more


def _judges(report: Report) -> Iterator[Text]:
    """How far the judges can be trusted, in a line."""
    said = []
    for h in report.health:
        text = draw.judge_text(h.parsed, h.asked, h.figures)
        said.append(f"{h.judge} on {draw.benchmark_label(h.benchmark)}, {text}")
    if said:
        more = f"; {len(said) - _NAMED} more below" if len(said) > _NAMED else ""
        yield Text(f"{'; '.join(said[:_NAMED])}{more}.", "Judge.", small=True)


# --- win rates beside lengths -------------------------------------------------------------------
#
# Judges tend to prefer what is longer.  The length-controlled win rates are figures of whole models
# (`stats.length_controlled`), not means over samples, so that there is no paired interval of their
# difference; none is made up here.

_CONTROLLED = "length_controlled_win_rate"
_OF_LENGTH = ("win_rate", _CONTROLLED, "length_capped_win_rate", "avg_length")


def _lengths(report: Report, pair: Pair) -> Iterator[Block]:
    """A table and a sentence for each benchmark with win rates and lengths of both models."""
    for entry in report.run.benchmarks:
        keys = {k.metric: k for k in report.keys(entry) if k.metric in _OF_LENGTH}
        rate, length = (
            report.contest(pair, keys[name]) if name in keys else None
            for name in ("win_rate", "avg_length")
        )
        if rate is None or length is None:
            continue
        rows = []
        left = None
        for key in (keys[name] for name in _OF_LENGTH if name in keys):
            figures = [report.run.figure(model, key) for model in pair]
            if any(f is not None and f.value.point is not None for f in figures):
                rows.append(_length_row(report, pair, key, figures))
            if key.metric == _CONTROLLED:
                left = _minus(figures)
        columns = (
            Column("Figure", header=True),
            *(Column(name, "right") for name in pair),
            Column("Difference", "right"),
            Column(draw.ci(report.level), "right"),
        )
        yield Table.of(f"{draw.benchmark_label(entry.name)}: win rate and length", columns, rows)
        yield Text(" ".join([_longer(length), *_explained(rate, left)]))


def _length_row(
    report: Report, pair: Pair, key: FigureKey, figures: Sequence[Figure | None]
) -> tuple[Cell, ...]:
    unit = next(f.unit for f in figures if f is not None)
    label = draw.metric_label(key.metric) + (", %" if unit == "percent" else ", characters")
    shown = (
        Cell.missing("no figure")
        if f is None or f.value.point is None
        else Cell(f.value.point, draw.figure(f.value.point, f.unit), f.value.how)
        for f in figures
    )
    contest, gap = report.contest(pair, key), _minus(figures)
    if contest is not None:
        d = contest.comparison.difference
        interval = draw.bounds(d, unit, signed=True)
        ends = (
            Cell(d.point, draw.difference(d.point, unit), d.how),
            Cell(interval if d.has_width else None, interval, d.how),
        )
    else:
        how = "difference of two figures, not paired on samples"
        ends = (Cell(gap, draw.difference(gap, unit), how), Cell.missing("not a mean over samples"))
    return (Cell.text(label), *shown, *ends)


def _minus(figures: Sequence[Figure | None]) -> float | None:
    a, b = (None if f is None else f.value.point for f in figures)
    return None if a is None or b is None else a - b


def _longer(contest: Contest) -> str:
    c = contest.comparison
    if contest.verdict not in ("longer", "shorter") or c.difference.point is None:
        return (
            f"Answers of {c.candidate} and {c.baseline} do not differ significantly in their "
            f"average length."
        )
    by = draw.size(abs(c.difference.point), c.unit)
    return (
        f"Answers of {c.candidate} are {by} characters {contest.verdict} on average than those of "
        f"{c.baseline}."
    )


def _explained(rate: Contest, left: float | None) -> Iterator[str]:
    """What is left of a lead when lengths are made equal."""
    raw = rate.comparison.difference.point
    if left is None or raw is None:
        yield "There is no length-controlled figure of both."
        return
    shown = (
        f"{draw.difference(left, 'percent')} percentage points with length controlled instead of "
        f"{draw.difference(raw, 'percent')}"
    )
    if rate.verdict not in ("better", "worse"):
        yield (
            f"The win rates do not differ significantly; their difference is {shown}, which has no "
            f"paired interval and settles nothing."
        )
        return
    leader = rate.comparison.candidate if raw > 0 else rate.comparison.baseline
    kept = left / raw
    if kept <= 0:
        yield f"The lead of {leader} disappears ({shown}): length alone may explain it."
    elif kept < 0.5:
        yield f"Most of the lead of {leader} disappears with length ({shown})."
    else:
        yield f"The lead of {leader} remains ({shown}); length does not explain it."


# --- the end of a run, in a terminal ------------------------------------------------------------


_LONGEST_REASON = 240
"""Characters of why samples have no score."""


def status_lines(run: Run) -> list[Line]:
    """A line for each pair, and its strongest figure below it; empty where nothing is compared.

    Of a run that is not finished, or not as it was sealed, that alone.
    """
    if run.state != "finished":
        return [Cell.text(draw.state_text(run), tone="warning")]
    report = Report(run)
    lines: list[Line] = []
    for pair in report.pairs:
        if contests := report.headline(pair):
            found = draw.status(contests, run.figures)
            whose = "" if len(report.pairs) == 1 else f"{pair[0]} against {pair[1]}: "
            said = f"{draw.MARKS[found.verdict]} {whose}{found.line}"
            lines.append(Cell.text(said, tone=draw.tone(found.verdict)))
            lines += [f"  {found.strongest}"] if found.strongest else []
    return lines


def summary_lines(run: Run) -> list[Line]:
    """Every headline contest, or figure where nothing is compared, as a table for a terminal."""
    report = Report(run)
    columns: tuple[ColumnName, ...] = tuple("mde" if c == "missing" else c for c in draw.COMMENT)
    contests = [c for pair in report.pairs for c in report.headline(pair)]
    lines = status_lines(run)
    if contests:
        lines.append(draw.contest_table(contests, columns, figures=run.figures))
    elif figures := report.figures(run.headlines):
        lines.append(draw.figure_table(figures, by_figure=False))
    failed = Counter(r.outcome.error for r in run.records if r.outcome.is_missing)
    lines += (f"{model}: {text}" for model, text in _thoughts_shown(run))
    if failed:
        n = draw.count(failed.total())
        lines.append(f"{n} of {draw.count(len(run.records))} samples have no score")
    for error, n_of_it in failed.most_common(1):
        said = draw.one_line(draw.visible(error or "no reason given"), _LONGEST_REASON)
        lines.append(f"  {draw.count(n_of_it)} of them: {said}")
    if run.manifest.limit is not None:
        lines.append(f"limited run: {draw.limit_text(run.manifest.limit)}")
    return lines


def headline_html(run: Run) -> str:
    """What `summary_lines` says, for a notebook."""
    parts = []
    for line in summary_lines(run):
        if isinstance(line, Table):
            parts.append(table_to_html(line))
        else:
            text = escaped(line if isinstance(line, str) else line.shown)
            parts.append(element("p", {}, [text]))
    return "".join(parts)


# --- a comment on a pull request ----------------------------------------------------------------

_LONGEST = 2_000
"""Characters of one sentence of a comment, before escaping."""
_LONGEST_NAME = 80


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
    full = _whole(Report(run))
    if len(_written(full)) <= draw.COMMENT_LIMIT:
        return _written(full)
    fits = bisect(
        range(full.size), 0, key=lambda n: len(_written(_first(full, n))) > draw.COMMENT_LIMIT
    )
    return _written(_first(full, max(0, fits - 1)))


def _whole(report: Report) -> _Comment:
    run = report.run
    contests = [c for pair in report.pairs for c in report.headline(pair)]
    if contests:
        table = draw.contest_table(contests, draw.COMMENT, figures=run.figures)
    else:
        table = draw.figure_table(report.figures(run.headlines), by_figure=False)
    caveats = [*_warnings(report, alone=True), *_missing(report, alone=True)]
    return _Comment(
        title=f"evalkit: {run.manifest.suite_name or ''}",
        answers=tuple(
            a.text if isinstance(a, Answer) else f"{a.lead} {a.text}".strip()
            for a in (*state_note(report), *_answers(report))
        ),
        warnings=tuple(f"{note.lead} {note.text}" for note in caveats),
        table=_with_short_names(table),
        run=f"Run {run.manifest.run_id}. Its report has everything else.",
    )


def _with_short_names(table: Table) -> Table:
    def short(text: str) -> str:
        return draw.one_line(draw.visible(text), _LONGEST_NAME)

    groups = tuple(
        Group(
            " against ".join(short(name) for name in group.label.split(" against ", 1)),
            tuple(tuple(replace(c, shown=short(c.shown)) for c in row) for row in group.rows),
        )
        for group in table.groups
    )
    return replace(table, groups=groups, note=draw.one_line(draw.visible(table.note), _LONGEST))


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
        parts.append(draw.table_to_markdown(made.table))
    lost = [f"{draw.count(n)} {what}" for n, what in made.left_out if n]
    if lost:
        parts.append(f"**Left out, because a comment holds no more: {', '.join(lost)}.**")
    return "\n\n".join([*parts, _short(made.run)]) + "\n"


def _short(text: str) -> str:
    return draw.escape_markdown(draw.one_line(draw.visible(text), _LONGEST))
