"""Where `Spending` was: for callers that are not moved yet."""

from evalkit.stats.decisions import Spending

__all__ = ["Spending"]
