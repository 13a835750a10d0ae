"""How far a judge can be trusted, measured on the judgments of the run itself.

A judge that prefers whatever stands first, or that turns its verdict when the answers trade
places, says little however tight the intervals are.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from evalkit.core import Judgment, Record
from evalkit.stats import mean_estimate

__all__ = ["JudgeHealth", "judge_health"]


@dataclass(frozen=True)
class JudgeHealth:
    """One judge on one benchmark, over all models it judged."""

    judge: str
    benchmark: str
    protocol: str
    asked: int
    """Judgments begun."""
    parsed: int
    unparsable: int
    """Replied, but not in the form the protocol asks for; never scored."""
    failed: int
    """Not answered (unreachable, refused, over-long, ...)."""
    pairs: int
    """Pairwise: parsed judgments with a vote in both orders; the figures below are of these."""
    position_bias: float | None
    """Percentage points: mean preference for whatever stands first, less 50.  0 is unbiased,
    +50 always prefers the first.  None: no pairs (a rating judge has none)."""
    position_bias_se: float | None
    """Standard error of `position_bias`, clustered by sample."""
    order_disagreement: float | None
    """Share of pairs (0 to 1) whose votes prefer different answers; an even vote prefers none."""
    vote_margin: float | None
    """Percentage points: mean distance of a vote from 50.  0 is undecided, 50 is certain."""


def judge_health(records: Sequence[Record]) -> list[JudgeHealth]:
    """A row per judge, benchmark and protocol, in order of first appearance.

    With votes v₁ (answer shown first) and v₂ (shown second), each the preference for the
    answer, the preference for what stands first is v₁ and 1 - v₂; a pair's bias is their mean
    less ½, (v₁ - v₂)/2, so the quality of the answers cancels.
    """
    found: dict[tuple[str, str, str], list[tuple[Hashable, Judgment]]] = {}
    for record in records:
        unit = (record.task, record.cluster or record.sample)
        for judgment in record.outcome.judgments:
            key = (judgment.judge, record.benchmark, judgment.protocol)
            found.setdefault(key, []).append((unit, judgment))
    return [_health(*key, rows) for key, rows in found.items()]


def _health(
    judge: str, benchmark: str, protocol: str, rows: Sequence[tuple[Hashable, Judgment]]
) -> JudgeHealth:
    parsed = [(unit, j) for unit, j in rows if j.status == "ok"]
    unparsable = sum(j.status == "unparsable" for _, j in rows)
    pairs = [(unit, j.votes) for unit, j in parsed if len(j.votes) == 2]
    biases = [100 * (first - second) / 2 for _, (first, second) in pairs]
    bias = mean_estimate(biases, [unit for unit, _ in pairs], 0.95, 100.0)
    disagree = sum((first - 0.5) * (second - 0.5) < 0 for _, (first, second) in pairs)
    margins = [100 * abs(vote - 0.5) for _, votes in pairs for vote in votes]
    return JudgeHealth(
        judge=judge,
        benchmark=benchmark,
        protocol=protocol,
        asked=len(rows),
        parsed=len(parsed),
        unparsable=unparsable,
        failed=len(rows) - len(parsed) - unparsable,
        pairs=len(pairs),
        position_bias=bias.point,
        position_bias_se=bias.standard_error,
        order_disagreement=disagree / len(pairs) if pairs else None,
        vote_margin=math.fsum(margins) / len(margins) if margins else None,
    )
