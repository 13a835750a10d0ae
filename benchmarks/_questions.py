"""The log-likelihood tasks that are measured: which, with how many worked examples, as requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from evalkit.benchmarks.lm_eval import LmEval, LmEvalSpec
from evalkit.core import Request
from evalkit.core.protocols import BenchmarkContext, DataPlaces

__all__ = ["TASKS", "documents", "load", "requests", "shots"]

TASKS = {
    "arc_challenge": ("arc_challenge",),
    "hellaswag": ("hellaswag",),
    "mmlu": ("mmlu",),
    "truthfulqa": ("truthfulqa_mc1", "truthfulqa_mc2"),
    "winogrande": ("winogrande",),
}
"""Open LLM Leaderboard, version 1, without GSM8K: lm-eval's names by ours."""
_SHOTS = {"arc": 25, "hellaswag": 10, "mmlu": 5, "winogrande": 5}
"""By the first word of a task's name; others have their own."""


def shots(name: str) -> int | None:
    """Worked examples of a task; None: the task's own number."""
    return _SHOTS.get(name.partition("_")[0])


def load(name: str, data: Path) -> LmEval:
    """A key of TASKS, or any task of lm-eval whose data is in `data`.

    Raises SuiteError or DataError as the benchmark does.
    """
    spec = LmEvalSpec(type="lm_eval", tasks=TASKS.get(name, (name,)), shots=shots(name))
    benchmark = LmEval(spec, BenchmarkContext(data, DataPlaces((data,)), None, 0))
    benchmark.load()
    return benchmark


def documents(benchmark: LmEval, limit: int | None) -> Iterator[Sequence[Request]]:
    """Log-likelihood requests of the first `limit` documents of each lm-eval task; None: all.

    A benchmark may have several tasks: MMLU has a task a subject.
    """
    seen: Counter[str] = Counter()
    for sample in benchmark.samples():
        seen[sample.task] += 1
        if limit is None or seen[sample.task] <= limit:
            flow = benchmark.flow(sample, "model")
            yield next(flow)
            flow.close()


def requests(benchmark: LmEval, limit: int | None) -> list[Request]:
    """Those of all documents in one list."""
    return [request for sent in documents(benchmark, limit) for request in sent]
