"""The gate's result for people: a sentence, a table, warnings."""

from __future__ import annotations

from evalkit.compare.words import COUNTED, TOO_WIDE, metric_words, unit_text, units_text
from evalkit.draw import (
    MISSING,
    Cell,
    Column,
    Table,
    count,
    difference,
    escape_markdown,
    figure,
    table_to_markdown,
    table_to_text,
    visible,
)
from evalkit.gate.decisions import Decision, GateResult

__all__ = [
    "gate_bounds",
    "gate_headline",
    "gate_lines",
    "gate_markdown",
    "gate_table",
    "gate_warnings",
]

_MANY_MISSING = 0.02
"""Share of missing scores from which on it is said."""
_WORDS = {
    "pass": "pass",
    "regression": "REGRESSION",
    "inconclusive": "inconclusive",
    "missing": "MISSING",
}


def gate_headline(result: GateResult) -> str:
    """The verdict in a sentence; that something was not answered, in another."""
    said = _verdict(result)
    if not result.unanswered:
        return said
    samples = "sample" if result.unanswered == 1 else "samples"
    start = "But the" if result.verdict == "pass" else "The"
    return (
        f"{said} {start} run is not complete: {count(result.unanswered)} {samples} could not be "
        f"answered; the same command asks again."
    )


def _verdict(result: GateResult) -> str:
    pair = f"{result.candidate} against {result.baseline}"
    required = sum(d.required for d in result.decisions)
    if result.verdict == "pass":
        tests = "the one required test" if required == 1 else f"all {required} required tests"
        return f"Gate passed: {pair}, not worse by more than the margin on {tests}."
    regressed = sum(d.required and d.verdict == "regression" for d in result.decisions)
    if result.verdict == "regression":
        return f"Gate failed: {pair}, a regression on {regressed} of {required} required tests."
    missing = sum(d.required and d.verdict == "missing" for d in result.decisions)
    if result.verdict == "incomplete":
        return (
            f"Gate incomplete: {pair}, no samples that both have for {missing} of {required} "
            f"required tests."
        )
    tail = "" if result.fails_undecided else " (a warning, by the policy)"
    return f"Gate undecided{tail}: {pair}; the data show neither a pass nor a regression."


def gate_table(result: GateResult) -> Table:
    """One row a test."""
    confidence = f"{100 * (1 - result.alpha):.4g}%"
    columns = (
        Column("", header=True),
        Column("Metric"),
        Column("Difference", "right"),
        Column(f"Bounds ({confidence} each side)", "right"),
        Column("Margin", "right"),
        Column("Resolves", "right"),
        Column("n", "right"),
        Column("Missing", "right"),
        Column("Verdict"),
    )
    note = (
        f"Pass: the difference is above minus the margin with {confidence} confidence. Resolves: "
        f"the smallest margin at which an equal candidate passes with probability "
        f"{result.power:g}: this one-sided test's; the two-sided one of `compare` resolves less. "
        f"{COUNTED}"
    )
    return Table.of("", columns, [_row(d) for d in result.decisions], note)


def _row(d: Decision) -> tuple[Cell, ...]:
    word = _WORDS[d.verdict] + ("" if d.required else " (warns only)") + d.marks
    tone = {"pass": "better", "regression": "worse", "missing": "worse"}.get(d.verdict, "unclear")
    return (
        Cell.text(d.label),
        Cell.text(metric_words(d.metric)),
        Cell(d.difference, difference(d.difference, d.unit)),
        Cell(d.low, gate_bounds(d)),
        Cell(d.margin, figure(d.margin, d.unit)),
        Cell(d.resolvable, figure(d.resolvable, d.unit)),
        Cell(d.n, count(d.n)),
        Cell.text(", ".join(count(n) for n in d.n_missing or (None,))),
        Cell.text(word, tone=tone),  # type: ignore[arg-type]
    )


def gate_bounds(d: Decision) -> str:
    """The bounds as text; where they are of no use, that they are too wide."""
    if d.low is None or d.high is None:
        return MISSING
    if d.too_wide:
        return f"{MISSING} ({TOO_WIDE})"
    return f"{difference(d.low, d.unit)} to {difference(d.high, d.unit)}"


def gate_warnings(result: GateResult) -> list[str]:
    """What to know beside the verdict: margins under what the samples resolve, doubtful runs."""
    found = list(result.notes)
    for d in result.decisions:
        if d.underpowered:
            needed = f"; it would take {d.needed:,} samples" if d.needed else ""
            found.append(
                f"{d.label}: margin {figure(d.margin, d.unit)} "
                f"{unit_text(d.unit, of_difference=True)} is under the "
                f"{figure(d.resolvable, d.unit)} that {units_text(d.n, d.n_clusters)} "
                f"{'resolves' if d.n_clusters == 1 else 'resolve'}{needed}; "
                f"an equal candidate passes less often than {result.power:g}."
            )
        found += [f"{d.label}: measured differently: {what}." for what in d.unlike]
        if d.n and d.n_missing and max(d.n_missing) > _MANY_MISSING * (d.n + max(d.n_missing)):
            found.append(
                f"{d.label}: of the scores either side should have, the candidate lacks "
                f"{count(d.n_missing[0])} and the baseline {count(d.n_missing[1])}; the rest may "
                f"not stand for all."
            )
        if not d.required and d.verdict != "pass":
            found.append(f"{d.label}: {d.verdict} (warns only).")
    return found


def gate_lines(result: GateResult) -> list[str]:
    """For a terminal."""
    lines = [visible(gate_headline(result)), ""]
    lines += table_to_text(gate_table(result)).split("\n")
    lines += [f"because: {visible(reason)}" for reason in result.reasons]
    lines += [f"warning: {visible(warning)}" for warning in gate_warnings(result)]
    return lines


def gate_markdown(result: GateResult) -> str:
    """For a job summary or a comment."""
    parts = [
        f"**{escape_markdown(gate_headline(result))}**",
        "",
        table_to_markdown(gate_table(result)),
    ]
    notes = [*result.reasons, *gate_warnings(result)]
    if notes:
        parts += ["", *(f"- {escape_markdown(note)}" for note in notes)]
    return "\n".join(parts) + "\n"
