"""What a card may say of its model against others: compare's sentences, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit import compare
from evalkit.card.figures import Material
from evalkit.card.footnotes import Markdown
from evalkit.compare.sides import find
from evalkit.core import Run
from evalkit.draw import escape_markdown, one_line, visible
from evalkit.errors import ComparisonError

__all__ = ["Claims", "claims"]


@dataclass(frozen=True)
class Claims:
    """Sentences, and why there are not more."""

    sentences: tuple[Markdown, ...]
    refused: str = ""
    """Why nothing was compared; empty where something was."""


def claims(material: Material) -> Claims:
    """A sentence for each headline comparison of the candidate with the runs' baselines.

    Where no run has any, every other model with records is one: imports of single models.
    """
    runs, candidate = material.runs, material.candidate
    others = compare.by_role(runs, "baseline") or compare.names(runs)
    baselines = [name for name in others if name != candidate]
    try:
        shared = [n for n in baselines if _shares(runs, candidate, n)]
        if not shared:
            return Claims((), "no other model has samples of the same benchmark")
        rows = compare.compare(runs, candidate, shared, compare.Options(_level(runs)))
    except ComparisonError as error:
        return Claims((), str(error))
    entries = {block.entry for block in material.blocks}
    wanted = [r for r in rows if r.headline and r.comparison.benchmark in entries]
    texts = (one_line(visible(row.sentence)) for row in wanted)
    return Claims(tuple(Markdown(escape_markdown(text)) for text in texts))


def _shares(runs: Sequence[Run], candidate: str, baseline: str) -> bool:
    ours, theirs = (find(runs, name) for name in (candidate, baseline))
    return bool(set(ours.parts) & set(theirs.parts))


def _level(runs: Sequence[Run]) -> float:
    levels = [row.level for run in runs for row in run.estimates]
    return levels[0] if levels else 0.95
