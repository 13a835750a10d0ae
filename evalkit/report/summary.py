"""The first screen: is the candidate better, by how much, what speaks against quoting it.

Its short forms too: what a terminal shows at the end of a run, and a comment on a pull request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from evalkit import draw
from evalkit.core.contests import Contest
from evalkit.core.run import Run
from evalkit.core.thoughts import odd_mark
from evalkit.draw import Cell, ColumnName, Group, Line, Table
from evalkit.draw.html import element, escaped, table_to_html
from evalkit.draw.svg import score_tables
from evalkit.report.content import (
    Block,
    Caveats,
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
"""Reasons and judges named in a sentence."""
_ALONE = "This run compares no candidate with a baseline."
_TOLD = 3
"""Findings told where no section tells them."""


def verdict(report: Report) -> Section:
    """What makes it no answer, the answers with their scores, what to know, how sure it is."""
    return Section("Verdict", tuple(_blocks(report)))


def state_note(report: Report) -> Iterator[Note]:
    """What comes before everything else: that the run is not finished, or not as it was sealed."""
    if said := draw.state_text(report.run):
        yield Note(said, "No verdict.")


def _blocks(report: Report) -> Iterator[Block]:
    yield from state_note(report)
    yield from [Caveats(grave)] if (grave := tuple(_grave(report))) else []
    compared = [pair for pair in report.pairs if report.headline(pair)]
    yield from first_few([list(_pair(report, pair)) for pair in compared], "{} more pairs")
    if not compared and report.run.state == "finished":
        yield Text(_ALONE)
        if figures := report.figures(report.run.headlines):
            yield draw.figure_table(figures, by_figure=False)
    yield from [Caveats(others)] if (others := tuple(_warnings(report))) else []
    yield from [Details("How sure?", sure)] if (sure := tuple(_sure(report))) else []


def _pair(report: Report, pair: Pair) -> Iterator[Block]:
    if answer := report.answers.get(pair):
        yield answer
        yield from [Text(_gate_text(report))] if report.gate_pair == pair else []
    yield from score_tables(report.items(pair), report.run.figures, link=report.link)


def _gate_text(report: Report) -> str:
    """The gate's answer; empty where there is none, or the run has no verdict."""
    gate = report.gate
    if gate is None or not report.answers:
        return ""
    reasons = f" Not passed: {_listed(gate.reasons, '; ')}." if gate.reasons else ""
    return draw.gate_sentence(gate) + reasons


def _sure(report: Report) -> Iterator[Block]:
    """Correction, power, counts and judges behind the first screen."""
    items = [item for pair in report.pairs for item in report.items(pair)]
    if items:
        gated = any(not isinstance(item, Contest) for item in items)
        columns: tuple[ColumnName, ...] = (*draw.SURE, "gate") if gated else draw.SURE
        yield draw.contest_table(items, columns, caption="Tests and counts", link=report.link)
        yield Statements(tuple(c for pair in report.pairs for c in report.headline(pair)))
    said = [
        f"{h.judge} on {draw.benchmark_label(h.benchmark)}, "
        f"{draw.judge_text(h.parsed, h.asked, h.figures)}"
        for h in report.health
    ]
    if said:
        yield Text(f"{_listed(said, '; ')}.", "Judge.")
    yield from _missing(report)


def _listed(names: Sequence[str], by: str) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return by.join(names[:_NAMED]) + more


# --- what speaks against a figure ---------------------------------------------------------------


def _grave(report: Report, *, alone: bool = False) -> Iterator[Note]:
    """What makes figures unfit to be quoted at all; `alone`: no report is around it."""
    run = report.run
    if run.manifest.limit is not None:
        yield Note(f"{draw.limit_text(run.manifest.limit).capitalize()}.", "Limited run.")
    elif not run.manifest.publishable:
        yield Note("The run's manifest marks it so.", "Not publishable.")
    if report.damages:
        yield Note(_damaged(report, alone=alone), "Damaged evidence.")


def _warnings(report: Report) -> Iterator[Note]:
    """What to know of the judges, the models and their answers."""
    run = report.run
    for h in report.health:
        if h.reasons:
            why = "; ".join(map(draw.judge_figure_text, h.reasons))
            yield Note(
                f"{why[0].upper()}{why[1:]}. No conclusion is drawn from its judgments.",
                f"Judge {h.judge} is not fit on {draw.benchmark_label(h.benchmark)}.",
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


# --- the end of a run, in a terminal ------------------------------------------------------------


_LONGEST_REASON = 240
"""Characters of why samples have no score."""


def status_lines(run: Run) -> list[Line]:
    """A line for each pair, and its strongest figure below it; empty where nothing is compared.

    Of a run that is not finished, or not as it was sealed, that alone.
    """
    if run.state != "finished":
        return [Cell.text(draw.state_text(run), tone="warning")]
    lines: list[Line] = []
    for answer in Report(run).answers.values():
        verdict, strongest = answer.status.verdict, answer.status.strongest
        lines.append(Cell.text(f"{draw.MARKS[verdict]} {answer.line}", tone=draw.tone(verdict)))
        lines += [f"  {strongest}"] if strongest else []
    return lines


def summary_lines(run: Run) -> list[Line]:
    """The first screen for a terminal: status, headline table, why samples have no score."""
    report = Report(run)
    lines = status_lines(run)
    if table := _table(report):
        lines.append(table)
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


def _table(report: Report) -> Table | None:
    """Every headline contest, or figure where nothing is compared; None where there is neither."""
    run = report.run
    if contests := [c for pair in report.pairs for c in report.headline(pair)]:
        return draw.contest_table(contests, draw.SUMMARY, figures=run.figures)
    figures = report.figures(run.headlines)
    return draw.figure_table(figures, by_figure=False) if figures else None


# --- a comment on a pull request ----------------------------------------------------------------

_LONGEST = 2_000
"""Characters of one sentence of a comment, before escaping."""
_LONGEST_NAME = 80


def comment(run: Run) -> str:
    """Markdown for a comment on a pull request: verdict, warnings, then one table.

    At most COMMENT_LIMIT characters: of more the rest is cut off, which it says.
    """
    report = Report(run)
    answers = [f"{note.lead} {note.text}" for note in state_note(report)]
    answers += [t for a in report.answers.values() for t in (a.line, a.status.strongest) if t]
    answers += filter(None, [_gate_text(report)])
    caveats = [*_grave(report, alone=True), *_warnings(report), *_missing(report, alone=True)]
    parts = [COMMENT_MARKER, f"### {_short(f'evalkit: {run.manifest.suite_name}')}"]
    parts += [f"**{_short(answer)}**" for answer in answers or [_ALONE]]
    if caveats:
        said = (f"> - {_short(f'{note.lead} {note.text}')}" for note in caveats)
        parts.append("\n".join(["> [!WARNING]", *said]))
    if table := _table(report):
        parts.append(draw.table_to_markdown(_with_short_names(table)))
    parts.append(_short(f"Run {run.manifest.run_id}. Its report has everything else."))
    return draw.fitted("\n\n".join(parts) + "\n")


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


def _short(text: str) -> str:
    return draw.escape_markdown(draw.one_line(draw.visible(text), _LONGEST))
