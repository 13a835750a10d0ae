"""MT-Bench's scores: what its flow and recorded judgments share.

FastChat's averages (`fastchat/llm_judge/show_result.py`): a turn's score is the mean of that turn's
ratings, the score is the mean of all of them, and ratings of -1 are dropped.  A pair's win rate
counts ties neither way, the adjusted one counts them half.
"""

from __future__ import annotations

from evalkit.types import Metric, Score

__all__ = ["GUIDED", "METRICS", "PARTS", "TASK", "pair_metrics", "pair_scores", "scores"]

TASK = "mt_bench"
PARTS = ("turn_1", "turn_2")
GUIDED = frozenset({"math", "reasoning", "coding"})
"""Categories that are judged with reference answers."""
METRICS = (
    Metric("score", "points", primary=True, by_category=True, parts=PARTS),
    Metric("score_turn_1", "points"),
    Metric("score_turn_2", "points"),
)


def scores(turn: int, value: float, repeat: int = 1) -> tuple[Score, ...]:
    """Of one rating: the pooled score and its turn's.

    `repeat` numbers the judgments of one answer: FastChat's averages count each of them.
    """
    again = f"#{repeat}" if repeat > 1 else ""
    return (
        Score("score", value, part=f"turn_{turn}{again}"),
        Score(f"score_turn_{turn}", value, part=again),
    )


def pair_metrics(opponents: tuple[str, ...]) -> tuple[Metric, ...]:
    """Of pairwise comparison with `opponents`: adjusted win rate, wins, losses; by turn."""
    whole = tuple(f"{name}/{part}" for name in opponents for part in PARTS)
    return (
        Metric(
            "adjusted_win_rate",
            "percent",
            scale=100.0,
            primary=True,
            by_category=True,
            parts=whole,
        ),
        Metric("win_rate", "percent", scale=100.0, parts=whole),
        Metric("loss_rate", "percent", scale=100.0, higher_is_better=False, parts=whole),
        *(Metric(f"adjusted_win_rate_{p}", "percent", scale=100.0, parts=opponents) for p in PARTS),
    )


def pair_scores(opponent: str, part: str, value: float) -> tuple[Score, ...]:
    """Of one pair in both orders: `value` is 1 for a win, 0 for a loss, one half for a tie."""
    whole = f"{opponent}/{part}"
    return (
        Score("adjusted_win_rate", value, part=whole),
        Score("win_rate", float(value == 1), part=whole),
        Score("loss_rate", float(value == 0), part=whole),
        Score(f"adjusted_win_rate_{part}", value, part=opponent),
    )
