"""AlpacaEval's scores of one answer: what its flow and recorded annotations share.

Raw preferences are alpaca_eval's: 1 the reference is better, 2 the answer is, between the two
weighted; 1.5 a draw, 0 too in old annotations; null not judged.  Here they are 0 to 1.
"""

from __future__ import annotations

import math

from evalkit.core import Json, Metric, Score

__all__ = ["METRICS", "TASK", "preference", "sample_id", "scores"]

TASK = "alpaca_eval"
METRICS = (
    Metric("win_rate", "percent", scale=100.0, primary=True),
    Metric("discrete_win_rate", "percent", scale=100.0),
    Metric("avg_length", "characters", whole=True),
)
"""The means over samples; `_alpaca_extra.py` has the figures that are none."""


def sample_id(index: int) -> str:
    """Of the instruction at this position of the canonical order (or of own data)."""
    return f"{index:04d}"


def preference(raw: Json) -> float | None:
    """alpaca_eval's `preference` of one annotation, for the answer, 0 to 1.

    Numbers may be written as text.  Null, an absent preference, text that is no number, and
    numbers that are neither 0 nor from 1 to 2 are None, a missing judgment, as in
    `alpaca_eval.metrics.helpers.describe_head2head`.
    """
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None
    try:
        value = float(raw)
    except (ValueError, OverflowError):
        return None
    if value == 0:
        return 0.5
    return value - 1 if math.isfinite(value) and 1 <= value <= 2 else None


def scores(answer: str, preferred: float | None) -> tuple[Score, ...]:
    """Of one answer: preference for it (0 to 1), the same as win, loss or draw, its length.

    Without a preference only the length: a pair that was not judged leaves the win rates.
    A discrete win counts 1, a preference of exactly one half counts half.
    """
    length = Score("avg_length", float(len(answer)))
    if preferred is None:
        return (length,)
    discrete = 0.5 if preferred == 0.5 else float(preferred > 0.5)
    return (Score("win_rate", preferred), Score("discrete_win_rate", discrete), length)
