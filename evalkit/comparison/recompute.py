"""A stored run held against its records: every figure and difference computed again.

    folder ─ load ─▶ Run, with what differs ─▶ everything that reads runs
    run ─ verify ─▶ what became of each figure

What is a mean over samples, a paired difference or an average over tasks needs the records alone,
and is computed whenever a run is loaded.  Other figures need their benchmark's code, which is a
callable that runner hands in (`Extra`), for `verify` and `evidence`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

from evalkit import store
from evalkit.comparison.figures import average_figures, comparisons, figures
from evalkit.core import Record
from evalkit.core.figures import Comparison, Estimator, Figure, FigureKey, Interval, Measured
from evalkit.core.run import Run
from evalkit.draw import significant
from evalkit.errors import EvalkitError

__all__ = ["Extra", "Recomputed", "Recomputing", "Row", "Verified", "cell", "load", "verify"]

Row: TypeAlias = Figure | Comparison
Outcome: TypeAlias = Literal["same", "differs", "not recomputed", "nothing computed"]
Extra: TypeAlias = Callable[[Run, str, str], Sequence[Figure]]
"""(run, model, benchmark entry) to the figures that are no means over samples, from records; may
raise EvalkitError where what they need besides is not here."""
_TOLERANCE = 1e-9
"""Relative: another machine may add in another order."""
_UNCERTAINTY = {"standard_error", "low", "high", "df", "p"}


def load(folder: Path) -> Run:
    """A run from its folder, with what its records contradict (`Run.differing`).

    Raises:
        DataError: as `store.load`.
    """
    run = store.load(folder)
    if not run.manifest.sealed or run.unreadable:
        return run
    return replace(run, differing=tuple(Recomputing(run).contradictions()))


def _stored(run: Run) -> list[Row]:
    return [*run.figures, *run.comparisons]


def cell(row: Row) -> str:
    """What names this row and no other of its run: `MODEL/BENCHMARK/TASK/METRIC[/CATEGORY]`."""
    key = row.key
    place = (key.benchmark, key.task, key.metric, key.category)
    return "/".join(["-".join(_models(row)), *(part for part in place if part is not None)])


def _models(row: Row) -> tuple[str, ...]:
    return (row.model,) if isinstance(row, Figure) else (row.candidate, row.baseline)


def _value(row: Row) -> Measured:
    return row.value if isinstance(row, Figure) else row.difference


@dataclass(frozen=True)
class Recomputed:
    """A figure computed again, and held against what results.json has."""

    outcome: Outcome
    row: Row | None
    """As computed now."""
    differences: tuple[str, ...]
    """Field by field, where it differs."""
    why: str
    """From what it was computed, or why not."""


@dataclass(frozen=True)
class Recomputing:
    """What the records of one run give, computed once for all its figures."""

    run: Run
    by_benchmark: Extra | None = None
    """For what only a benchmark's own code can compute; None: that is not recomputed."""

    @cached_property
    def _given(self) -> Mapping[tuple[tuple[str, ...], FigureKey], Row] | str:
        """By models and key; or why nothing can be computed."""
        run, rows = self.run, list[Row]()
        if run.unreadable:
            return f"the records cannot be read: {run.unreadable}"
        entries = run.manifest.benchmarks
        roles = {model: run.role(model) for model in run.models}
        levels = Counter(_value(row).level for row in _stored(run) if not _untouched(row))
        level = max(levels, key=lambda one: levels[one], default=run.manifest.suite.report.level)
        try:
            for entry in entries:
                for model in run.models:
                    mine = run.records_of(model, entry.name)
                    rows += average_figures(mine, entry.averages, level)
            rows += figures(run.records, entries, level)
            rows += comparisons(run.records, entries, roles, level)
        except (EvalkitError, ArithmeticError, ValueError) as error:
            return f"the records give no figures: {error}"
        return {(_models(row), row.key): row for row in rows}

    def contradictions(self) -> Iterator[str]:
        """What results.json has and the records do not give, and the other way round; in words.

        Headline figures come first.
        """
        if isinstance(self._given, str):
            if self.run.records:
                yield self._given
            return
        heads = set(self.run.headlines)
        for row in sorted(_stored(self.run), key=lambda row: row.key not in heads):
            found = self.of(row)
            if found.outcome == "differs":
                yield f"{cell(row)}: {found.differences[0]}"
        yield from (f"{name}: the records give it, results.json lacks it" for name in self.lacking)

    @cached_property
    def lacking(self) -> tuple[str, ...]:
        """Cells that the records give and results.json does not have.

        One that has no differences at all hides none, nor one without figures.
        """
        if isinstance(self._given, str):
            return ()
        kinds = {type(row) for row in _stored(self.run)}
        stored = {(_models(row), row.key) for row in _stored(self.run)}
        return tuple(
            cell(row)
            for name, row in self._given.items()
            if name not in stored and type(row) in kinds
            if isinstance(row, Comparison) or not self._is_average(row)
        )

    def of(self, row: Row) -> Recomputed:
        """What became of a row of results.json; `differs` is a verdict against it."""
        if why := _untouched(row):
            return Recomputed("nothing computed", None, (), why)
        if isinstance(self._given, str):
            return Recomputed("not recomputed", None, (), self._given)
        again = self._given.get((_models(row), row.key))
        if isinstance(row, Comparison):
            if again is None:
                return _gone("no sample of it has a score from both sides")
            return _held(row, again, f"from the {_value(again).n} scores both sides have")
        if again is None:
            return self._without_mean(row)
        if not self._is_average(row):
            return _held(row, again, f"from {_value(again).n} scores")
        held = _held(row, again, f"from {_value(again).n} scores of its tasks")
        if held.outcome == "differs" and _same(row.value.point, _value(again).point):
            # Its benchmark has an error of its own for it.
            return self._from_code(row)
        return held

    def _is_average(self, row: Row) -> bool:
        return self.run.benchmark(row.key.benchmark).average(row.key) is not None

    def _without_mean(self, row: Figure) -> Recomputed:
        """A figure that is no mean over samples."""
        key, run = row.key, self.run
        entry = run.benchmark(key.benchmark)
        task = entry.tasks.get(key.task)
        is_mean = task is not None and any(m.name == key.metric for m in task.metrics)
        mine = run.records_of(row.model, key.benchmark)
        # A figure of a group of tasks has no records of its own, but its benchmark has.
        if not any(r.task == key.task or not is_mean for r in mine):
            return _gone(f"of {row.model} there are none")
        found = self._from_code(row)
        of_task = [r for r in mine if r.task == key.task]
        is_unknown = found.outcome == "not recomputed" and entry.kind == "lm_eval"
        if is_unknown and of_task and not any(_holds(r, key) for r in of_task):
            return _gone(f"none of the {len(of_task)} has a value of {key.metric}")
        return found

    def _from_code(self, row: Figure) -> Recomputed:
        """By the benchmark's own code, where it may be used."""
        why = "it is no mean over samples, and its benchmark was not consulted"
        if self.by_benchmark is not None:
            try:
                for again in self.by_benchmark(self.run, row.model, row.key.benchmark):
                    if again.key == row.key:
                        n = again.value.n
                        return _held(row, again, f"from the answers and scores of {n} samples")
                why = "its benchmark gives no such figure now"
            except (EvalkitError, OSError) as error:
                why = f"it is no mean over samples, and what it needs besides is not here: {error}"
        return Recomputed("not recomputed", None, (), why)


def _untouched(row: Row) -> str:
    """Why a row does not come from the run's own records; empty where it does."""
    method = _value(row).method
    if method.estimator is Estimator.PUBLISHED:
        return "the source says so"
    if isinstance(row, Figure) and row.source is not None:
        return "its files hold the figure, not the samples; it was taken as it is"
    if method.bridged is not None:
        return "it is bridged between judges: `evalkit judge-bridge`, called as before, computes it"
    return ""


def _gone(what: str) -> Recomputed:
    return Recomputed("differs", None, (f"results.json has it, the records do not: {what}",), what)


def _holds(record: Record, key: FigureKey) -> bool:
    """Whether lm-eval computed anything of a metric for this document."""
    outcome = record.outcome
    return key.metric in outcome.data or any(s.metric == key.metric for s in outcome.scores)


def _held(row: Row, again: Row, why: str) -> Recomputed:
    ours, theirs = _fields(row), _fields(again)
    if ours["df"] is None:
        del ours["df"]  # younger than the run
    apart = [name for name, value in ours.items() if not _same(value, theirs[name])]
    differences = tuple(
        f"{name}: results.json has {a}, the records give {b}"
        for name in apart
        for a, b in [_told(ours[name], theirs[name])]
    )
    method = _value(row).method
    is_other = method.interval is not Interval.STATED and method != _value(again).method
    if apart and set(apart) <= _UNCERTAINTY and is_other:
        why = f"another version computed its interval another way ({_value(row).how})"
        return Recomputed("not recomputed", again, (), why)
    return Recomputed("differs" if apart else "same", again, differences, why)


def _fields(row: Row) -> dict[str, float | str | None]:
    """What a row says, by its names in results.json; texts on how it was computed left out."""
    value = _value(row)
    found: dict[str, float | str | None] = {
        "point" if isinstance(row, Figure) else "difference": value.point,
        "unit": row.unit,
        "n": value.n,
        "n_clusters": value.n_units,
        "n_missing": value.n_missing,
        "level": value.level,
        "standard_error": value.standard_error,
        "low": value.low,
        "high": value.high,
        "df": value.df,
    }
    if isinstance(row, Comparison):
        found |= {
            "higher_is_better": row.higher_is_better,
            "wins": row.wins,
            "losses": row.losses,
            "ties": row.ties,
            "n_missing_candidate": row.n_missing_candidate,
            "n_missing_baseline": row.n_missing_baseline,
            "p": row.p,
        }
    return found


def _told(a: float | str | None, b: float | str | None) -> tuple[str, str]:
    """In as few digits as tell them apart."""
    if isinstance(a, float) and isinstance(b, float):
        short = significant(a, 6), significant(b, 6)
        if short[0] != short[1]:
            return short
    return repr(a), repr(b)


def _same(a: float | str | None, b: float | str | None) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=1e-12)
    return a == b


# --- a whole run --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verified:
    """What became of a run since it was sealed."""

    digest: str | None
    """Of its SHA256SUMS, to be quoted where figures are published; None: an older run has none."""
    changed: tuple[str, ...]
    """Files that are not those that were sealed, or cannot be read, in words."""
    outcomes: Mapping[Outcome, tuple[tuple[str, Recomputed], ...]]
    """By outcome, the cells of results.json."""
    lacking: tuple[str, ...]
    """Cells that results.json should have and does not."""

    @property
    def holds(self) -> bool:
        """Nothing was changed, and no figure differs."""
        return not (self.changed or self.lacking or self.outcomes.get("differs"))


def verify(run: Run, extra: Extra | None = None) -> Verified:
    """Compare a sealed run with its digests, and compute every figure and difference again.

    Args:
        run: A stored run.
        extra: See `Recomputing`.
    """
    again, found = Recomputing(run, extra), dict[Outcome, list[tuple[str, Recomputed]]]()
    for row in _stored(run):
        made = again.of(row)
        found.setdefault(made.outcome, []).append((cell(row), made))
    outcomes = {outcome: tuple(cells) for outcome, cells in found.items()}
    changed = (run.unreadable, *run.changed) if run.unreadable else run.changed
    return Verified(store.digest(run.folder), changed, outcomes, again.lacking)
