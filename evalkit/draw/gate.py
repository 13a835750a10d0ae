"""The gate's answer for people: a sentence, a table, reasons and warnings; terminal and GitHub.

GitHub's limits: a job summary holds 1 MiB per step, a step shows 10 annotations of each kind, a
comment holds 65,536 characters (docs.github.com, workflow commands and REST API).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from evalkit.core.contests import (
    Contest,
    GateAnswer,
    GateResult,
    GateTest,
    GateVerdict,
    SettingsDiffer,
)
from evalkit.draw.numbers import count, figure, level
from evalkit.draw.tables import (
    GATE,
    Cell,
    Group,
    Table,
    contest_table,
    table_to_markdown,
)
from evalkit.draw.terminal import Line
from evalkit.draw.text import escape_markdown, one_line, visible
from evalkit.draw.words import (
    JUDGE_UNFIT,
    Tone,
    figure_label,
    settings_text,
    unit_words,
    units_text,
)

__all__ = [
    "COMMENT_LIMIT",
    "GATE_MARKER",
    "fitted",
    "gate_annotations",
    "gate_comment",
    "gate_job_summary",
    "gate_lines",
    "gate_markdown",
    "gate_reason",
    "gate_sentence",
    "gate_table",
    "gate_warnings",
]

COMMENT_LIMIT = 65_536
"""Characters of a comment on GitHub at most."""
GATE_MARKER = "<!-- evalkit gate -->"
"""First line of a comment, by which the next one finds it."""
_SUMMARY_BYTES = 2**20
_ANNOTATIONS = 10
_CUT = "\n\n(cut: the rest does not fit here)\n"
_TONES: dict[GateAnswer, Tone] = {
    "pass": "better",
    "regression": "worse",
    "inconclusive": "unclear",
    "incomplete": "warning",
}
_MANY_MISSING = 0.02
"""Share of missing scores from which on it is said."""


def gate_sentence(result: GateResult) -> str:
    """The gate's verdict in a sentence; that something was not answered, in another."""
    said = _gate_verdict(result)
    if not result.unanswered:
        return said
    samples = "sample" if result.unanswered == 1 else "samples"
    start = "But the" if result.verdict == "pass" else "The"
    return (
        f"{said} {start} run is not complete: {count(result.unanswered)} {samples} could not be "
        f"answered; run the same command again to resume."
    )


def _gate_verdict(result: GateResult) -> str:
    pair = f"{result.candidate} against {result.baseline}"
    required = [test.verdict for test in result.tests if test.required]
    if result.verdict == "pass":
        n = len(required)
        tests = "the one required test" if n == 1 else f"all {n} required tests"
        return f"Gate passed: {pair}, not worse by more than the margin on {tests}."
    of = f"of {len(required)} required tests"
    if result.verdict == "regression":
        return f"Gate failed: {pair}, a regression on {required.count('regression')} {of}."
    if result.verdict == "incomplete":
        why: dict[GateVerdict, str] = {
            "missing": "no samples that both have for",
            "unfit": f"{JUDGE_UNFIT} on",
            "damaged": "a run that was changed after it was sealed, on",
        }
        parts = [f"{said} {required.count(v)}" for v, said in why.items() if v in required]
        if not parts:
            return f"Gate incomplete: {pair}; nothing could be tested."
        return f"Gate incomplete: {pair}, {' and '.join(parts)} {of}."
    tail = "" if result.fails_undecided else " (a warning, by the policy)"
    return f"Gate inconclusive{tail}: {pair}; the data show neither a pass nor a regression."


def gate_reason(test: GateTest) -> str:
    """Why a test is not a pass."""
    label = figure_label(test.key)
    if test.verdict == "regression":
        return f"{label}: significantly worse, and not within the margin"
    if test.note:
        return f"{label}: {test.note}"
    if test.contest is None or test.verdict == "missing":
        return f"{label}: no samples that both have"
    d = test.contest.comparison.difference
    units = units_text(d.n, d.n_units)
    if _underpowered(test):
        needed = f"; it would take {count(test.needed)}" if test.needed else ""
        return f"{label}: {units} are too few for the margin{needed}"
    if d.hardly_known:
        few = "the runs" if d.n_units > 4 else units  # then a few runs are what it rests on
        return f"{label}: {few} are too few to know how precise the difference is"
    return f"{label}: neither within the margin nor significantly worse"


def _underpowered(test: GateTest) -> bool:
    return test.resolvable is not None and test.margin < test.resolvable


def gate_warnings(result: GateResult) -> list[str]:
    """What to know beside the verdict: margins too small for the samples, doubtful runs."""
    found = list(result.notes)
    for test in result.tests:
        label = figure_label(test.key)
        if test.contest is not None:
            found += (f"{label}: {text}" for text in _test_warnings(test, test.contest, result))
        if not test.required and test.verdict != "pass":
            found.append(f"{label}: {test.verdict} (warns only).")
    return found


def _test_warnings(test: GateTest, contest: Contest, result: GateResult) -> Iterator[str]:
    c = contest.comparison
    if _underpowered(test):
        units = units_text(c.difference.n, c.difference.n_units)
        more = f" ({count(test.needed)} would do)" if test.needed else ""
        yield (
            f"margin {figure(test.margin, c.unit)} {unit_words(c.unit, of_difference=True)} is "
            f"under {figure(test.resolvable, c.unit)}, the smallest that {units} can test with "
            f"{level(result.power)} power{more}; an equal candidate passes less often than that."
        )
    differ = (x for x in contest.cautions if isinstance(x, SettingsDiffer))
    yield from (f"settings differ: {settings_text(x)}." for x in differ)
    missing, n = (c.n_missing_candidate, c.n_missing_baseline), c.difference.n
    if n and max(missing) > _MANY_MISSING * (n + max(missing)):
        yield (
            f"of the scores either side should have, the candidate lacks {count(missing[0])} and "
            f"the baseline {count(missing[1])}; the rest may not be representative."
        )


def _beside_the_table(result: GateResult) -> list[str]:
    """The warnings that the table's note does not have."""
    note = gate_table(result).note
    return [warning for warning in gate_warnings(result) if warning not in note]


def gate_table(result: GateResult) -> Table:
    """The gate's tests, one row each."""
    confidence = level(1 - result.alpha)
    note = (
        f"Pass: the difference is above minus the margin with {confidence} confidence, which is "
        f"also that of each bound. Smallest margin: at which an equal candidate passes with "
        f"{level(result.power)} power; this test is one-sided, so that the MDE of `compare` is "
        f"larger."
    )
    table = contest_table(result.tests, GATE, figures=result.figures, notes=[note])
    return replace(table, groups=(Group("", table.rows),))  # all are of one pair


# --- terminal and GitHub ------------------------------------------------------------------------


def gate_lines(result: GateResult) -> list[Line]:
    """For a terminal."""
    lines: list[Line] = [Cell.text(gate_sentence(result), tone=_TONES[result.verdict]), ""]
    lines += [gate_table(result), ""] if result.tests else []
    lines += [f"because: {reason}" for reason in result.reasons]
    return [*lines, *(f"warning: {warning}" for warning in _beside_the_table(result))]


def gate_markdown(result: GateResult) -> str:
    """For a job summary or a comment."""
    table = table_to_markdown(gate_table(result))
    parts = [f"**{escape_markdown(gate_sentence(result))}**", "", table]
    notes = [*result.reasons, *_beside_the_table(result)]
    if notes:
        parts += ["", *(f"- {escape_markdown(note)}" for note in notes)]
    return "\n".join(parts) + "\n"


def gate_job_summary(result: GateResult, used: int = 0) -> str:
    """Markdown for $GITHUB_STEP_SUMMARY, of which `used` bytes are taken."""
    text = f"## evalkit gate\n\n{gate_markdown(result)}\n"
    room, raw = _SUMMARY_BYTES - used, text.encode()
    if len(raw) <= room:
        return text
    kept = raw[: max(0, room - len(_CUT.encode()))].decode(errors="ignore")
    return _whole_lines(kept) + _CUT if kept else ""


def gate_comment(result: GateResult) -> str:
    """Markdown for a comment, with a marker so that it can be updated in place."""
    text = f"{GATE_MARKER}\n### evalkit gate\n\n{gate_markdown(result)}"
    return fitted(text)


def fitted(comment: str) -> str:
    """A comment, cut behind its last line that fits and saying so."""
    if len(comment) <= COMMENT_LIMIT:
        return comment
    return _whole_lines(comment[: COMMENT_LIMIT - len(_CUT)]) + _CUT


def _whole_lines(text: str) -> str:
    """Without a last line that was cut in its middle."""
    return text[: text.rfind("\n")] if "\n" in text else text


def gate_annotations(result: GateResult) -> list[str]:
    """Workflow commands as GitHub reads them from a step's output, at most ten of a kind.

    Where there are more, the last stands for those left out.
    """
    errors = [gate_sentence(result), *result.reasons] if result.exit_code else []
    warnings = [*([] if errors else result.reasons), *gate_warnings(result)]
    return [*_commands("error", errors), *_commands("warning", warnings)]


def _commands(kind: str, messages: Sequence[str]) -> Iterator[str]:
    if len(messages) > _ANNOTATIONS:
        left = len(messages) - _ANNOTATIONS + 1
        messages = [*messages[: _ANNOTATIONS - 1], f"and {left} more: see the job summary"]
    for message in messages:
        # As GitHub's toolkit escapes a command's data.
        text = one_line(visible(message)).replace("%", "%25")
        yield f"::{kind} title=evalkit gate::{text}"
