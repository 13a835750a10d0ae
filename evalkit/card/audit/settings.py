"""What a card leaves out of how its numbers were measured: remarks, one for each table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from evalkit.card.audit.benchmarks import BENCHMARKS
from evalkit.card.audit.labels import Vocabulary, judging_lines, names_judge
from evalkit.card.audit.layout import Layout
from evalkit.card.audit.shapes import Card, Checked, Number, Problem

__all__ = ["settings_problems"]

_DATED = re.compile(
    r"gpt-?4[\w.-]*-(?:\d{4}|20\d\d-\d\d-\d\d)|alpaca_eval_gpt4|claude[\w. -]*\d{8}|"
    r"llama[\w. -]*\d|qwen[\w. -]*\d|prometheus",
    re.IGNORECASE,
)
"""Judges of which there is one version only, as they are named."""
_BY = re.compile(
    r"\b(?:judged|graded|rated|annotated) by (?!(?:the|a|an|its?|our|this|us)\b)[`*]*\w",
    re.IGNORECASE,
)
"""A judge of any name; only of those that `names_judge` knows are there versions to be told."""
_SAMPLES = re.compile(
    r"\b(?:805|80|160)\b|\bn\s*=\s*\d|\b\d+ (?:samples|instructions|questions|prompts)\b|±|^n$",
    re.MULTILINE,
)
_JUDGED = ("alpaca_eval", "mt_bench")


def settings_problems(
    card: Card, layout: Layout, checked: Sequence[Checked], words: Vocabulary
) -> Iterator[Problem]:
    """What is not said of the benchmarks of a table."""
    numbers = [n for n in layout.numbers if not n.doubt]
    if not numbers:
        return
    said = "\n".join((*(b.text for b in card.blocks), layout.table.before, layout.table.after))
    missing: list[str] = []
    alpaca = [n for n in numbers if n.label.bench == "alpaca_eval"]
    if alpaca and not any(n.label.version for n in alpaca) and not set(words.versions(said)):
        missing.append(f"which version of AlpacaEval{_by_figures(checked)}")
    missing += _judging(numbers, said)
    judged = [n for n in numbers if n.label.bench in _JUDGED]
    if judged and not _SAMPLES.search("\n".join((said, *_cells(layout)))):
        missing.append("on how many samples")
    shots = [n for n in numbers if _has_shots(n) and n.label.shots is None]
    if shots and layout.board is None and "shot" not in said.casefold():
        names = dict.fromkeys(n.heading for n in shots)
        missing.append(f"how many shots {', '.join(list(names)[:6])}")
    if missing:
        message = f"table {layout.table.number} does not say {'; '.join(missing)}"
        yield Problem("settings", wrong=False, line=layout.table.line, message=message)


def _judging(numbers: Sequence[Number], said: str) -> Iterator[str]:
    judged = [n for n in numbers if n.label.bench in _JUDGED]
    if not judged:
        return
    names = " and ".join(dict.fromkeys(_name(n) for n in judged))
    stated = {n.label.judge for n in judged} - {None}
    is_known = bool(stated) or names_judge(said)
    if not is_known and not _BY.search(said):
        yield f"who judged {names}"
    elif is_known and not _DATED.search("\n".join((judging_lines(said), *map(str, stated)))):
        yield f"which version of the judge judged {names}"


def _cells(layout: Layout) -> Iterator[str]:
    for row in (*layout.table.head, *layout.table.rows):
        yield from (cell.text for cell in row)


def _by_figures(checked: Sequence[Checked]) -> str:
    versions = {c.fact.version for c in checked if c.verdict == "confirmed" and c.fact is not None}
    known = versions - {None}
    return f" (by its figures {next(iter(known))})" if len(known) == 1 else ""


def _name(number: Number) -> str:
    return "AlpacaEval" if number.label.bench == "alpaca_eval" else "MT-Bench"


def _has_shots(number: Number) -> bool:
    bench = BENCHMARKS.get(number.label.bench or "")
    return bench is not None and bench.board_shots is not None
