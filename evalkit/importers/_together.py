"""What only shows when the evidence of several models lies side by side."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from evalkit.core import Finding, Record
from evalkit.core.evidence import Evidence
from evalkit.importers._alpaca_findings import VERSIONS

__all__ = ["cross_findings"]

_ENOUGH = 5
"""Fewer equal judgments than this say nothing."""
_UNKNOWN = frozenset({"", "None", "unknown"})


def cross_findings(found: Sequence[Evidence]) -> dict[str, list[Finding]]:
    """Findings by model, for evidence of one benchmark entry.

    The same answers with the same judgments under two names are one model's results twice, or a
    file under a wrong name: a comparison of the two would be of a model with itself.  Win rates
    against two references, or by two judges, are on two scales.
    """
    seen: dict[tuple[str, tuple[Hashable, ...]], str] = {}
    findings: dict[str, list[Finding]] = {}
    for evidence in found:
        judged = tuple(_judged(record) for record in evidence.records if record.outcome.judgments)
        if len(judged) < _ENOUGH:
            continue
        first = seen.setdefault((evidence.entry, judged), evidence.model)
        if first != evidence.model:
            for model, other in ((first, evidence.model), (evidence.model, first)):
                findings.setdefault(model, []).append(_identical(model, other, len(judged)))
    for evidence in found:
        first_of = next(e for e in found if e.entry == evidence.entry)
        for finding in _other_scale(evidence, first_of):
            findings.setdefault(evidence.model, []).append(finding)
    return findings


def _other_scale(evidence: Evidence, first: Evidence) -> Iterator[Finding]:
    for what, read in (("judged against", _reference), ("judged by", _judge)):
        mine, theirs = read(evidence), read(first)
        if _UNKNOWN & {mine, theirs}:
            continue
        if VERSIONS.get(mine, mine) != VERSIONS.get(theirs, theirs):
            yield Finding(
                "other_scale",
                f"{evidence.model} was {what} {mine}, {first.model} {what} {theirs}: a difference "
                f"of the two says nothing",
            )


def _reference(evidence: Evidence) -> str:
    return str(evidence.description.reference or "")


def _judge(evidence: Evidence) -> str:
    judge = evidence.description.judge or {}
    return str(judge.get("model") or judge.get("evaluator") or "")


def _judged(record: Record) -> Hashable:
    outcome = record.outcome
    votes = tuple((j.part, j.value, tuple(e.reply for e in j.exchanges)) for j in outcome.judgments)
    return (record.sample, outcome.answers, votes)


def _identical(model: str, other: str, n: int) -> Finding:
    return Finding(
        "identical_judgments",
        f"all {n} answers and judgments of {model} are, letter for letter, those of {other}: "
        f"one of the two names is wrong, and a comparison of the two says nothing",
    )
