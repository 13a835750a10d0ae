"""From a published figure to everything it rests on.

`cells` finds the figure that a reader means, `recomputing` computes it again from records, `chain`
gathers samples, judgments, prompts, models, data and versions, `text` sets that out.
"""

from __future__ import annotations

from evalkit.evidence.cells import find
from evalkit.evidence.chain import Chain, chain, records_behind
from evalkit.evidence.figures import Figure
from evalkit.evidence.recomputing import Extra, Recomputed, recompute
from evalkit.evidence.text import chain_lines

__all__ = [
    "Chain",
    "Extra",
    "Figure",
    "Recomputed",
    "chain",
    "chain_lines",
    "find",
    "recompute",
    "records_behind",
]
