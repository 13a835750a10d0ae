"""MT-Bench's scores: what its flow and recorded judgments share.

FastChat's averages (`fastchat/llm_judge/show_result.py`): a turn's score is the mean of that turn's
ratings, the score is the mean of all of them, and ratings of -1 are dropped.  Of all pairs a model
is in, its win and loss rates are the shares it wins and loses, and its adjusted win rate counts
ties half; pairs without a verdict in either order are dropped.
"""

from __future__ import annotations

from evalkit.core import Metric, Score

__all__ = [
    "GUIDED",
    "METRICS",
    "PARTS",
    "TASK",
    "pair_metrics",
    "pair_part",
    "pair_scores",
    "scores",
]

TASK = "mt_bench"
PARTS = ("turn_1", "turn_2")
GUIDED = frozenset({"math", "reasoning", "coding"})
"""Categories that are judged with reference answers."""
METRICS = (
    Metric("score", "points", primary=True, by_category=True, parts=PARTS),
    Metric("score_turn_1", "points"),
    Metric("score_turn_2", "points"),
)


PAIR_PRIMARY = "win_rate_adjusted"
"""Share of wins, ties counted half."""


def scores(turn: int, value: float, repeat: int = 1) -> tuple[Score, ...]:
    """Of one rating: the pooled score and its turn's.

    `repeat` numbers the judgments of one answer: FastChat's averages count each of them.
    """
    again = f"#{repeat}" if repeat > 1 else ""
    return (
        Score("score", value, part=f"turn_{turn}{again}"),
        Score(f"score_turn_{turn}", value, part=again),
    )


def pair_metrics() -> tuple[Metric, ...]:
    """Of pairwise comparison: FastChat's three rates over both turns, then of each turn."""
    rates = (("win_rate_adjusted", True), ("win_rate", True), ("loss_rate", False))
    pooled = tuple(
        Metric(
            name,
            "percent",
            scale=100.0,
            higher_is_better=better,
            primary=name == PAIR_PRIMARY,
            by_category=name == PAIR_PRIMARY,
            parts=PARTS,
        )
        for name, better in rates
    )
    return pooled + tuple(
        Metric(f"{name}_{part}", "percent", scale=100.0, higher_is_better=better)
        for part in PARTS
        for name, better in rates
    )


def pair_scores(rival: str, part: str, value: float) -> tuple[Score, ...]:
    """Of one pair in both orders: `value` is 1 for a win, 0 for a loss, one half for a tie."""
    rates = ((PAIR_PRIMARY, value), ("win_rate", value == 1), ("loss_rate", value == 0))
    return tuple(
        score for name, rate in rates for score in _pair_score(rival, part, name, float(rate))
    )


def _pair_score(rival: str, part: str, name: str, value: float) -> tuple[Score, ...]:
    """Pooled and of the turn; against several rivals, each is a repetition of the turn."""
    return (
        Score(name, value, part=pair_part(rival, part)),
        Score(f"{name}_{part}", value, part=f"#{rival}"),
    )


def pair_part(rival: str, part: str) -> str:
    """Names the judgment of one turn against one rival."""
    return f"{part}#{rival}"
