"""Rows of AlpacaEval's leaderboard that had another figure before: cards quote what was there.

The table of November 2023, as argilla-io/notus keeps it (commit 5cd4912, `v1/eval/alpaca_eval/
leaderboard.csv`), beside the table that alpaca-eval ships today.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["SOURCE", "WIN_RATES"]

SOURCE = "AlpacaEval's leaderboard of November 2023"
WIN_RATES: Mapping[str, float] = {
    "alpaca-7b-neft": 61.92259675405742,
    "claude": 88.38509317,
    "falcon-7b-instruct": 23.60248447,
    "llama-2-chat-7b-evol70k-neft": 82.08955223880598,
    "minichat-3b": 76.9375,
    "notus-7b-v1": 91.4179104477612,
    "ultralm-13b-v2.0": 83.60248447,
    "ultralm-13b-v2.0-best-of-16": 92.29813665,
}
"""Win rate of version 1 in percent, by row."""
