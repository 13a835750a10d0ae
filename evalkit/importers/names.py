"""Names in a suite that benchmarks and judges alone know, looked up before anything is read.

Handed to the suite room (`suite.Names`), so that they are wrong at their line, together with all
else.  Names of lm-eval's tasks are left to the run: asking lm-eval for them takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from evalkit.core.specs import BenchmarkSpec, ModelSpec
from evalkit.errors import EvalkitError

__all__ = ["unknown_names"]

Wrong = tuple[tuple[str | int, ...], str]
"""Path of a field, and what is wrong with it."""


def unknown_names(
    models: Mapping[str, ModelSpec], benchmarks: Sequence[BenchmarkSpec | None]
) -> Iterator[Wrong]:
    """Metrics and tasks of figures, rows of leaderboards, and evaluators that there are not.

    `benchmarks`: None stands for an entry too wrong to say anything about; which rows there are
    is not known then.
    """
    entries = [spec for spec in benchmarks if spec is not None]
    all_known = len(entries) == len(benchmarks)
    for name, model in models.items():
        for field, message in _figures(model, entries):
            yield ("models", name, *field), message
        if all_known and (message := _row(name, model, entries)):
            yield ("models", name, "leaderboard"), message
    for n, spec in enumerate(benchmarks):
        evaluator = getattr(spec, "evaluator", None)
        if spec is not None and spec.type == "alpaca_eval" and evaluator is not None:
            yield from ((("benchmarks", n, "evaluator"), m) for m in _evaluator(evaluator))


def _figures(model: ModelSpec, entries: Sequence[BenchmarkSpec]) -> Iterator[Wrong]:
    if not model.figures:
        return
    from evalkit.importers import leaderboards

    for n, figure in enumerate(model.figures):
        for entry in leaderboards.entries_of(figure, entries):
            if wrong := leaderboards.unknown_term(figure, entry):
                yield ("figures", n, wrong[0]), wrong[1]


def _row(name: str, model: ModelSpec, entries: Sequence[BenchmarkSpec]) -> str:
    """What is wrong with the leaderboard row a model names; empty: nothing."""
    if not model.leaderboard:
        return ""
    from evalkit.importers import leaderboards

    row = model.leaderboard if isinstance(model.leaderboard, str) else name
    return leaderboards.unknown_row(row, entries)


def _evaluator(name: str) -> Iterator[str]:
    from evalkit.judges.pairwise_alpaca_eval import evaluator

    try:
        evaluator(name)
    except EvalkitError as error:
        yield str(error)
