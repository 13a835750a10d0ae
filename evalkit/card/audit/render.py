"""An audit for people: lines for a terminal, Markdown for a comment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from evalkit.card.audit.findings import Audit, Checked
from evalkit.draw import (
    MISSING,
    Cell,
    Column,
    Line,
    Table,
    Tone,
    count,
    escape_markdown,
    figure,
    one_line,
    table_to_markdown,
    visible,
)

__all__ = ["audit_lines", "audit_markdown", "headline"]

_TONES: dict[str, Tone] = {"confirmed": "better", "contradicted": "worse", "differs": "unclear"}
_REASONS, _TEXTS = 5, 4
"""Most reasons for "no evidence" that are listed, and most numbers with one."""


def headline(found: Audit) -> str:
    """The outcome in a sentence."""
    by = Counter(n.verdict for n in found.numbers)
    verdicts = [f"{count(by[v])} {v}" for v in ("confirmed", "contradicted")]
    verdicts += [f"{count(by['differs'])} differ from published figures"] if by["differs"] else []
    verdicts += [f"{count(by['no evidence'])} without evidence"]
    said = f"{count(len(found.numbers))} numbers: {', '.join(verdicts)}"
    wrong = sum(r.wrong for r in found.remarks)
    if wrong:
        said += f"; {count(wrong)} {'error' if wrong == 1 else 'errors'} of the card by itself"
    if found.unread:
        n = len(found.unread)
        said += f"; {count(n)} {'table' if n == 1 else 'tables'} not read"
    if found.claims:
        answers = Counter(c.answer for c in found.claims)
        said += f"; claims: {', '.join(f'{n} {answer}' for answer, n in answers.items())}"
    return said


def audit_lines(found: Audit, *, everything: bool = False) -> list[Line]:
    """For a terminal: what is wrong first; with `everything` each number and how it matched."""
    lines: list[Line] = [headline(found)]
    for text in _findings(found):
        is_wrong = text.startswith(("contradicted", "wrong", "claim not", "claim contr"))
        lines.append(Cell.text(text, tone="worse" if is_wrong else ""))
    if not everything:
        lines += [f"no evidence: {text}" for text in _reasons(found)]
    elif found.numbers:
        lines += ["", _table(found.numbers), ""]
        lines += [f"{_how(n)}: {n.verdict}: {n.how}" for n in found.numbers]
    return [*lines, f"held against: {'; '.join(found.sources)}"]


def audit_markdown(found: Audit, *, everything: bool = False) -> str:
    """The same as Markdown."""
    parts = [f"**{escape_markdown(headline(found))}**", ""]
    shown = [n for n in found.numbers if everything or n.verdict == "contradicted"]
    if shown:
        parts += [table_to_markdown(_table(shown)), ""]
    for text in _findings(found):
        indent = "  " if text.startswith("  ") else ""
        parts.append(f"{indent}- {escape_markdown(_plain(text))}")
    parts += [f"- no evidence: {escape_markdown(_plain(text))}" for text in _reasons(found)]
    parts += ["", f"Held against: {escape_markdown(_plain('; '.join(found.sources)))}."]
    return "\n".join(parts) + "\n"


def _findings(found: Audit) -> Iterator[str]:
    """Everything but single numbers, what is wrong first; reasons are indented."""
    for n in found.numbers:
        if n.verdict == "contradicted":
            yield f"contradicted: {_how(n)}, evidence has {n.how}"
    for r in found.remarks:
        if r.wrong:
            yield f"wrong: {_lined(r.line)}{r.message}"
    for n in found.numbers:
        if n.verdict == "differs":
            yield f"note: {_how(n)} differs from {n.how}"
    for r in found.remarks:
        if not r.wrong:
            yield f"note: {_lined(r.line)}{r.message}"
    for claim in found.claims:
        yield f"claim {claim.answer}: line {claim.line}: {claim.text}"
        yield from (f"  {reason}" for reason in claim.reasons)
    for unread in found.unread:
        yield f"not read: line {unread.line}: table {unread.table}: {unread.why}"


def _lined(line: int) -> str:
    return f"line {line}: " if line else ""


def _how(n: Checked) -> str:
    return f"{n.stated.where}: {n.stated.said}: {n.stated.text}"


def _reasons(found: Audit) -> Iterator[str]:
    """Why numbers have no evidence, the most frequent reason first."""
    reasons: dict[str, list[str]] = {}
    for n in found.numbers:
        if n.verdict == "no evidence":
            reasons.setdefault(f"{n.stated.place}: {n.how}", []).append(n.stated.text)
    ordered = sorted(reasons, key=lambda reason: -len(reasons[reason]))
    for reason in ordered[:_REASONS]:
        texts = reasons[reason]
        more = f" and {count(len(texts) - _TEXTS)} more" if len(texts) > _TEXTS else ""
        yield f"{reason} ({', '.join(texts[:_TEXTS])}{more})"
    if len(ordered) > _REASONS:
        rest = sum(len(reasons[reason]) for reason in ordered[_REASONS:])
        yield f"{count(rest)} more numbers, for other reasons: see --all"


def _table(numbers: Sequence[Checked]) -> Table:
    columns = (
        Column("Place", rank=1), Column("Line", "right"), Column("Model", header=True),
        Column("Heading"),
        Column("Printed", "right"), Column("Evidence", "right"), Column("Verdict"),
    )  # fmt: skip
    rows = [
        (
            Cell.text(n.stated.place),
            Cell(n.stated.line, count(n.stated.line)),
            Cell.text(n.stated.model or "(the card's)"),
            Cell.text(n.stated.heading),
            Cell.text(n.stated.text),
            Cell.text(figure(n.fact.value, n.fact.unit)) if n.fact else Cell(None, MISSING),
            Cell.text(n.verdict, tone=_TONES.get(n.verdict, "")),
        )
        for n in numbers
    ]
    return Table.of("", columns, rows)


def _plain(text: str) -> str:
    indent = "  " if text.startswith("  ") else ""
    return indent + one_line(visible(text))
