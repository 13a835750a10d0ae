"""Worked examples as the harness of 2023 drew them.

Source: EleutherAI/lm-evaluation-harness at b281b0921b636bc36ad05c0b0b0763bd6dd43463, the commit
the Open LLM Leaderboard of 2023 ran: `lm_eval/evaluator.py` seeds one generator a task (with 42),
shuffles the task's documents with it, and then, document by document in that shuffled order, draws
the examples from the same generator (`lm_eval/base.py`, `fewshot_context`).  Tasks whose examples
come from where the documents come from draw one more and leave the document itself out.

lm-eval today draws in document order from a generator seeded with 1234.  Tasks that take the first
examples of their dev split (MMLU) draw nothing, then as now.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from evalkit.benchmarks._lm_eval_tasks import LoadedTask

__all__ = ["Drawn", "draw", "draw_as_2023"]


class Drawn:
    """Stands in for a task's sampler: the examples of every document are drawn already."""

    def __init__(self, examples: Sequence[Sequence[Any]]) -> None:
        self._examples = examples
        self.document = 0
        """Index of the document whose prompt is built next."""

    def sample(self, n: int, eval_doc: Any = None, df: Any = None) -> Sequence[Any]:
        """The document's examples; what lm-eval calls."""
        del eval_doc, df
        return self._examples[self.document][:n]


def draw(
    documents: Sequence[Any], pool: Sequence[Any], n: int, seed: int, *, apart: bool
) -> list[list[Any]]:
    """The `n` examples of each document, in document order.

    Args:
        documents: those asked, in the data set's order.
        pool: those examples are drawn from.
        n: examples a document.
        seed: of the generator; 42 on the leaderboard.
        apart: `pool` is another split than `documents`.
    """
    random = Random(seed)  # noqa: S311 - nothing secret
    order = list(range(len(documents)))
    random.shuffle(order)
    drawn: list[list[Any]] = [[] for _ in documents]
    for index in order:
        if apart:
            drawn[index] = random.sample(pool, n)
        else:
            found = random.sample(pool, n + 1)
            drawn[index] = [one for one in found if one != documents[index]][:n]
    return drawn


def draw_as_2023(item: LoadedTask, seed: int) -> None:
    """Replace the sampler of a task that draws at random."""
    from lm_eval.api.samplers import ContextSampler

    task = item.task
    if type(task.sampler) is not ContextSampler:
        return
    pool = list(task.fewshot_docs())
    shots = int(task.config.num_fewshot or 0)
    apart = bool(task.has_training_docs()) and task.config.fewshot_split in (
        None,
        task.config.training_split,
    )
    task.sampler = Drawn(draw(item.docs, pool, shots, seed, apart=apart))
