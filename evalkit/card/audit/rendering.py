"""An audit for people: lines for a terminal, Markdown for a comment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalkit.card.audit.shapes import Audit, Checked, ClaimChecked, Problem
from evalkit.draw import (
    MISSING,
    Cell,
    Column,
    Table,
    count,
    escape_markdown,
    one_line,
    table_to_markdown,
    table_to_text,
    visible,
)

__all__ = ["audit_lines", "audit_markdown", "headline"]

_VERDICTS = ("confirmed", "contradicted", "no evidence")
_REASONS = 5
"""Most reasons for "no evidence" that are listed."""
_TEXTS = 4
"""Most numbers that are listed with one."""


def headline(found: Audit) -> str:
    """The outcome in a sentence."""
    by = {v: sum(n.verdict == v for n in found.numbers) for v in _VERDICTS}
    wrong = sum(p.wrong for p in found.problems)
    claims = sum(c.answer != "supported" for c in found.claims)
    parts = [f"{count(by[v])} {v}" for v in _VERDICTS]
    text = f"{count(len(found.numbers))} numbers: {', '.join(parts)}"
    if wrong:
        text += f"; {count(wrong)} {'error' if wrong == 1 else 'errors'} of the card by itself"
    if found.claims:
        text += f"; {count(claims)} of {count(len(found.claims))} claims not supported"
    return text


def audit_lines(found: Audit, *, everything: bool = False) -> list[str]:
    """For a terminal: what is wrong first; with `everything` each number and how it matched."""
    lines = [headline(found)]
    lines += [f"contradicted: {_plain(text)}" for text in map(_number_text, _contradicted(found))]
    lines += [
        f"{'wrong' if p.wrong else 'note'}: line {p.line}: {_plain(p.message)}"
        for p in found.problems
    ]
    for claim in found.claims:
        lines.append(f"claim {claim.answer}: line {claim.line}: {_plain(claim.text)}")
        lines += [f"  {_plain(reason)}" for reason in claim.reasons]
    if not everything:
        lines += [f"no evidence: {text}" for text in _reasons(found)]
    elif found.numbers:
        lines += ["", table_to_text(_table(found.numbers))]
        lines += ["", *(f"{_plain(_how(n))}" for n in found.numbers)]
    lines.append(f"held against: {_plain('; '.join(found.sources))}")
    return lines


def audit_markdown(found: Audit, *, everything: bool = False) -> str:
    """The same as Markdown."""
    parts = [f"**{escape_markdown(headline(found))}**", ""]
    wrong = _contradicted(found)
    shown = list(found.numbers) if everything else wrong
    if shown:
        parts += [table_to_markdown(_table(shown)), ""]
    parts += [f"- {escape_markdown(_plain(text))}" for text in map(_number_text, wrong)]
    parts += [f"- {_problem(problem)}" for problem in found.problems]
    parts += [line for claim in found.claims for line in _claim(claim)]
    parts += [f"- no evidence: {escape_markdown(text)}" for text in _reasons(found)]
    parts += ["", f"Held against: {escape_markdown(_plain('; '.join(found.sources)))}."]
    return "\n".join(parts) + "\n"


def _problem(problem: Problem) -> str:
    word = "wrong" if problem.wrong else "note"
    return f"{word}, line {problem.line}: {escape_markdown(_plain(problem.message))}"


def _claim(claim: ClaimChecked) -> Iterator[str]:
    text = escape_markdown(_plain(claim.text))
    yield f"- claim {claim.answer}, line {claim.line}: {text}"
    for reason in claim.reasons:
        yield f"  - {escape_markdown(_plain(reason))}"


def _contradicted(found: Audit) -> list[Checked]:
    return [n for n in found.numbers if n.verdict == "contradicted"]


def _reasons(found: Audit) -> Iterator[str]:
    """Why numbers have no evidence, the most frequent reason first."""
    reasons: dict[str, list[str]] = {}
    for checked in found.numbers:
        if checked.verdict == "no evidence":
            number = checked.number
            place = f"table {number.table}" if number.table else "model-index"
            reasons.setdefault(f"{place}: {checked.why}", []).append(number.text)
    ordered = sorted(reasons, key=lambda reason: -len(reasons[reason]))
    for reason in ordered[:_REASONS]:
        texts = reasons[reason]
        more = f" and {count(len(texts) - _TEXTS)} more" if len(texts) > _TEXTS else ""
        yield _plain(f"{reason} ({', '.join(texts[:_TEXTS])}{more})")
    if len(ordered) > _REASONS:
        left = ordered[_REASONS:]
        rest = sum(len(reasons[reason]) for reason in left)
        yield f"{count(rest)} more numbers, for {count(len(left))} other reasons: see --all"


def _number_text(checked: Checked) -> str:
    number, fact = checked.number, checked.fact
    source = f" ({fact.source})" if fact is not None else ""
    why = f"; {checked.why}" if checked.why else ""
    return f"{number.where}: {number.text}, evidence has {checked.right}{source}{why}"


def _how(checked: Checked) -> str:
    how = "; ".join(checked.how) or checked.why
    return f"{checked.number.where}: {checked.number.text}: {checked.verdict}: {how}"


def _table(numbers: Sequence[Checked]) -> Table:
    columns = (
        Column("Table", "right"),
        Column("Model", header=True),
        Column("Heading"),
        Column("Printed", "right"),
        Column("Evidence", "right"),
        Column("Verdict"),
    )
    rows = [
        (
            Cell(n.number.table, str(n.number.table) if n.number.table else "index"),
            Cell.text(n.number.model or "(the card's)"),
            Cell.text(n.number.heading),
            Cell.text(n.number.text),
            Cell.text(n.right) if n.right else Cell(None, MISSING),
            Cell.text(n.verdict),
        )
        for n in numbers
    ]
    return Table.of("", columns, rows)


def _plain(text: str) -> str:
    return one_line(visible(text))
