"""The one resolver of names: whose scores, and which figure.

    MODEL | RUN:MODEL                       a `Side`; RUN: a run's folder, its last part, or its id
    BENCHMARK[/TASK][/METRIC][/CATEGORY]    a `Place`: METRIC also after a blank, or by its words
    SUBJECT/PLACE, A-B/PLACE                a cell: one model's figure, or a difference

Names may hold slashes and blanks, so they are looked up, never split: as written or as evalkit
prints them, else in any case, else with space, hyphen and underscore taken for one another, else
as people call a benchmark (`catalogue`).  Claims, gate, evidence, history and cards all ask here.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias, TypeVar

from evalkit import catalogue
from evalkit.core import Record
from evalkit.core.figures import Figure, FigureKey, Unit
from evalkit.core.run import BenchmarkEntry, Description, Run
from evalkit.core.specs import GateSpec
from evalkit.draw import benchmark_label, figure_label
from evalkit.errors import ComparisonError, SuiteError, did_you_mean

__all__ = [
    "Names",
    "Part",
    "Place",
    "Side",
    "by_role",
    "find",
    "margin_of",
    "name_in",
    "names_of",
    "pick",
    "published",
    "recorded",
    "run_names",
    "the_candidate",
]

T = TypeVar("T")
_FEW, _NEAREST = 12, 5
"""All choices are listed where they are few, else the nearest."""


# --- whose scores -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """One model's records of one benchmark entry in one run."""

    run: Run
    model: str
    benchmark: str

    @property
    def records(self) -> tuple[Record, ...]:
        """In canonical order."""
        return self.run.records_of(self.model, self.benchmark)

    @property
    def entry(self) -> BenchmarkEntry:
        """The benchmark as the run's manifest declares it."""
        return self.run.benchmark(self.benchmark)

    @property
    def description(self) -> Description:
        """What decided the scores."""
        return self.run.description(self.model, self.benchmark)

    @property
    def fingerprint(self) -> str | None:
        """Of the model that answered; None where the run does not say (imports, baselines)."""
        entry = self.run.model(self.model)
        return None if entry is None else entry.fingerprint


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a model's records, from whichever runs have them."""

    label: str
    """As tables show it."""
    parts: Mapping[str, Part]
    """By benchmark entry."""
    repeats: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)
    """By benchmark entry, all runs of it where several are wanted; the first is the part's."""

    def figures(self, keys: Iterable[FigureKey]) -> Iterator[Figure]:
        """Its stored figures, under its label; none where runs repeat one measurement."""
        for key in dict.fromkeys(keys):
            part = self.parts.get(key.benchmark)
            if part is None or len(self.repeats.get(key.benchmark, ())) > 1:
                continue
            if (figure := part.run.figure(part.model, key)) is not None:
                yield replace(figure, model=self.label)


def recorded(runs: Sequence[Run]) -> list[str]:
    """Models with records, in order."""
    return list(dict.fromkeys(record.model for run in runs for record in run.records))


def published(runs: Sequence[Run]) -> list[str]:
    """Models known by their figures only."""
    specs = (item for run in runs for item in run.manifest.suite.models.items())
    found = dict.fromkeys(name for name, spec in specs if spec.role == "published")
    return [name for name in found if name not in recorded(runs)]


def by_role(runs: Sequence[Run], role: str) -> list[str]:
    """Models that the runs' suites give a role, and that have records."""
    return [name for name in recorded(runs) if any(run.role(name) == role for run in runs)]


def run_names(run: Run) -> tuple[str, ...]:
    """What may stand for the run in `RUN:MODEL`; the first is how evalkit writes it."""
    folder = Path(run.folder)
    names = (folder.name, str(folder), str(folder.resolve()), run.manifest.run_id)
    return tuple(dict.fromkeys(name for name in names if name))


def name_in(run: Run, wanted: str) -> str | None:
    """The model of this run that `MODEL` or `RUN:MODEL` names; None where it has none so called."""
    if wanted in run.models:
        return wanted
    for place in run_names(run):
        model = wanted.removeprefix(f"{place}:")
        if model != wanted and model in run.models:
            return model
    return None


def pick(
    runs: Sequence[Run], candidate: str | None, baselines: Sequence[str]
) -> tuple[str, list[str]]:
    """The candidate and the baselines: as named, else as the runs' suites say.

    Raises:
        ComparisonError: no candidate or no baseline is named, and the suites name none or several
            candidates.
    """
    candidate = candidate or the_candidate(runs, baselines)
    where = ", ".join(str(run.folder) for run in runs)
    chosen = list(baselines) or [n for n in by_role(runs, "baseline") if n != candidate]
    if not chosen:
        others = [name for name in recorded(runs) if name != candidate]
        raise ComparisonError(
            f"no baseline in {where}; say which with --baseline (models: "
            f"{', '.join(others) or 'no other'})"
        )
    return candidate, chosen


def the_candidate(runs: Sequence[Run], besides: Sequence[str] = ()) -> str:
    """The one candidate that the runs' suites name.  Raises ComparisonError: none, or several."""
    found = [name for name in by_role(runs, "candidate") if name not in besides]
    if len(found) != 1:
        where = ", ".join(str(run.folder) for run in runs)
        raise ComparisonError(
            f"{len(found)} candidates in {where}: {', '.join(found) or 'none'}; say which with "
            f"--candidate (models: {', '.join(recorded(runs)) or 'none'})"
        )
    return found[0]


def find(runs: Sequence[Run], wanted: str, *, repeats: bool = False) -> Side:
    """The side a name stands for.

    Args:
        runs: Where to look.
        wanted: `MODEL` or `RUN:MODEL`.
        repeats: Several runs of a benchmark repeat one measurement (a run given twice counts
            once); else they are ambiguous.

    Raises:
        ComparisonError: nothing has that name, or two runs have the same benchmark of it.
    """
    models = recorded(runs)
    if wanted in models:
        return _side(wanted, wanted, runs, repeats=repeats)
    place, _, model = wanted.rpartition(":")
    chosen = [run for run in runs if place in run_names(run)]
    if model in recorded(chosen):
        return _side(wanted, model, chosen, repeats=False)
    choices = ", ".join(models) or "none: no run has records"
    if any(run.role(wanted) == "published" for run in runs):
        raise ComparisonError(
            f"{wanted!r} is known by its published figures only, and without scores of single "
            f"samples there is no paired difference; import its judgments or samples with "
            f"`evalkit import`, or compare with one of: {choices}"
        )
    folders = ", ".join(str(run.folder) for run in runs)
    raise ComparisonError(
        f"model {wanted!r} has no records in {folders}{did_you_mean(wanted, models)}; expected one "
        f"of: {choices}; or RUN:MODEL with a run's folder or id"
    )


def _side(label: str, model: str, runs: Sequence[Run], *, repeats: bool) -> Side:
    found: dict[str, list[Part]] = {}
    for run in runs:
        for benchmark in dict.fromkeys(r.benchmark for r in run.records if r.model == model):
            if benchmark in found and not repeats:
                first = found[benchmark][0].run.folder
                raise ComparisonError(
                    f"{model!r} has {benchmark!r} in both {first} and {run.folder}; say which: "
                    f"{first.name}:{model} or {run.folder.name}:{model}; or, if they repeat one "
                    f"measurement, --repeats"
                )
            places = {part.run.folder.resolve() for part in found.get(benchmark, ())}
            if run.folder.resolve() not in places:
                found.setdefault(benchmark, []).append(Part(run, model, benchmark))
    parts = {name: several[0] for name, several in found.items()}
    return Side(label, parts, {name: tuple(several) for name, several in found.items()})


# --- which figures ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """What `BENCHMARK[/TASK][/METRIC][/CATEGORY]` names."""

    benchmark: str
    task: str | None = None
    """None: the benchmark as a whole."""
    metric: str | None = None
    """None: the one that speaks for the task."""
    category: str | None = None
    """None: all of the task."""

    def keys(self, entry: BenchmarkEntry) -> tuple[FigureKey, ...]:
        """The figures it means: of a benchmark its leaderboard's average, else its headlines."""
        if self.task is None:
            return entry.headlines if entry.whole is None else (entry.whole,)
        if self.metric is not None:
            return (FigureKey(self.benchmark, self.task, self.metric, self.category),)
        return tuple(key for key in entry.primaries if key.task == self.task)


def names_of(key: FigureKey, entry: BenchmarkEntry) -> tuple[str, ...]:
    """What a gate's policy may call a figure by itself: its task, or an average by its metric."""
    own = f"{key.benchmark}/{key.task}"
    averaged = any((a.task, a.metric.name) == (key.task, key.metric) for a in entry.averages)
    return (own, f"{key.benchmark}/{key.metric}") if averaged else (own,)


def margin_of(
    policy: GateSpec,
    key: FigureKey,
    entries: Mapping[str, BenchmarkEntry],
    unit: Unit | None = None,
) -> float | None:
    """The loss that a policy allows of a figure, by the most exact name; None: it says nothing.

    Args:
        policy: Has the margins.
        key: The figure.
        entries: By name, all that the policy is for.
        unit: The figure's; None: as its entry declares it.

    Raises:
        SuiteError: it is the default, which is no margin in all units of the figures it is for.
    """

    def entry(of: FigureKey) -> BenchmarkEntry:
        return entries.get(of.benchmark, BenchmarkEntry(name=of.benchmark))

    def name(of: FigureKey) -> str | None:
        names = (*names_of(of, entry(of)), of.benchmark, "default")
        return next((name for name in names if name in policy.margins), None)

    declared = entry(key).metric(key.task, key.metric)
    own = unit or (declared.unit if declared else None)
    chosen = name(key)
    if chosen == "default":
        every = [k for e in entries.values() for k in e.headlines if name(k) == chosen]
        metrics = {k: entry(k).metric(k.task, k.metric) for k in every}
        units = {k.benchmark: metric.unit for k, metric in metrics.items() if metric}
        if problem := policy.default_problem(units | ({key.benchmark: own} if own else {})):
            raise SuiteError(f"gate.margins.default: {problem}")
    given = policy.margins[chosen] if chosen else None
    if isinstance(given, Mapping):
        return given.get(own) if own else None
    return given


Known: TypeAlias = Mapping[str, frozenset[T]]
"""What each name stands for; several: it is ambiguous."""


@dataclass(frozen=True)
class Names:
    """Every name that some runs have."""

    runs: Sequence[Run]

    @cached_property
    def _models(self) -> Known[str]:
        figures = (f.model for run in self.runs for f in run.figures)
        every = (*recorded(self.runs), *published(self.runs), *figures)
        found = {name: frozenset([name]) for name in every}
        for run in self.runs:
            first, *_ = run_names(run)
            for name in dict.fromkeys([*recorded([run]), *(f.model for f in run.figures)]):
                for place in run_names(run):
                    found.setdefault(f"{place}:{name}", frozenset([f"{first}:{name}"]))
        return found

    @cached_property
    def _places(self) -> Known[Place]:
        """Exact names first: a printed label that is another's exact name stands for that."""
        exact: dict[str, Place] = {}
        labels: dict[str, dict[Place, None]] = {}
        for run in self.runs:
            for entry in run.benchmarks:
                said = _said(run, entry)
                for name, place in _ways(entry.name, entry, said) if said else ():
                    exact.setdefault(name, place)
                for name, place in _ways(benchmark_label(entry.name), entry, said) if said else ():
                    labels.setdefault(name, {})[place] = None
                for name, place in _printed(entry, said):
                    labels.setdefault(name, {})[place] = None
        found = {name: frozenset([place]) for name, place in exact.items()}
        return found | {name: frozenset(p) for name, p in labels.items() if name not in exact}

    def _called(self, text: str) -> frozenset[Place]:
        """The benchmarks, or tasks, that people call so; AlpacaEval with its version or without.

        A metric may stand before its benchmark: "length-controlled AlpacaEval".
        """
        info, edition = catalogue.by_name(text), catalogue.edition_of(text)
        found: list[Place] = []
        if info is None:
            first, _, rest = text.partition(" ")
            turned = f"{rest} {first}"
            is_metric = rest and catalogue.metric_by_name(first) is not None
            return _held(turned, self._places) if is_metric else frozenset()
        for run in self.runs:
            for entry in run.benchmarks:
                version = str(entry.description.version).partition(".")[0]
                if entry.kind == info.name and (edition is None or edition == version):
                    found.append(Place(entry.name))
                for task in dict.fromkeys(str(place.task) for place, _, _ in _said(run, entry)):
                    own = task == info.name or any(t.name == task for t in info.tasks)
                    if own and task not in (entry.name, entry.kind):
                        found.append(Place(entry.name, task))
        return frozenset(found)

    def _at(self, text: str) -> frozenset[Place]:
        return _held(text, self._places) or self._called(text)

    @property
    def models(self) -> tuple[str, ...]:
        """With records or figures, then `RUN:MODEL`, for one name in several runs."""
        found = [name for held in self._models.values() for name in sorted(held)]
        return tuple(dict.fromkeys(found))

    def is_model(self, text: str) -> bool:
        """Whether `text` names a model, ambiguously perhaps."""
        return bool(_held(text, self._models))

    def is_place(self, text: str) -> bool:
        """Whether `text` names a place, ambiguously perhaps."""
        return bool(self._at(text))

    def model(self, text: str) -> str:
        """The model.  Raises ComparisonError: unknown or ambiguous."""
        return _only("model", text, _held(text, self._models), self.models, str)

    def place(self, text: str) -> Place:
        """The place.  Raises ComparisonError: unknown or ambiguous."""
        return _only("benchmark", text, self._at(text), self._places, self.written)

    def written(self, place: Place) -> str:
        """How a place is named exactly."""
        return next((name for name, held in self._places.items() if held == {place}), str(place))

    def cell(self, text: str) -> tuple[tuple[str, ...], Place]:
        """The model, or candidate and baseline, and the place that `SUBJECT/PLACE` names.

        Raises ComparisonError: no such subject or place, or one of several.
        """
        plain = " ".join(text.split())
        for subject, rest in self._subjects(plain):
            if self.is_place(rest):
                return subject, self.place(rest)
        for subject, rest in self._subjects(plain):
            raise ComparisonError(
                f"{text!r}: no figure {rest!r} of {' minus '.join(subject)}; expected "
                f"{_choices(rest, self._places)}"
            )
        raise ComparisonError(
            f"{text!r} names no figure; expected MODEL/BENCHMARK[/TASK][/METRIC], or A-B/BENCHMARK "
            f"for a difference; models: {_choices(plain.partition('/')[0], self.models)}"
        )

    def _subjects(self, text: str) -> Iterator[tuple[tuple[str, ...], str]]:
        """Models, then differences, that a text begins with, and what follows the slash."""
        for model, after in self._prefixes(text):
            if after.startswith("/"):
                yield (model,), after[1:]
        for first, after in self._prefixes(text):
            for joint in ("-", " - ", " minus ", "\N{MINUS SIGN}", " \N{MINUS SIGN} "):
                if after.casefold().startswith(joint):
                    for second, rest in self._prefixes(after[len(joint) :]):
                        if rest.startswith("/"):
                            yield (first, second), rest[1:]

    def _prefixes(self, text: str) -> Iterator[tuple[str, str]]:
        """Longest first."""
        for name in sorted(self._models, key=len, reverse=True):
            if text[: len(name)].casefold() == name.casefold():
                yield min(self._models[name]), text[len(name) :]


_Said: TypeAlias = Sequence[tuple[Place, bool, Sequence[str]]]
"""Figures, whether each speaks for its task, and the categories it is also told by."""


def _said(run: Run, entry: BenchmarkEntry) -> _Said:
    """What the run declares, where it has records or figures of the benchmark; then its figures."""
    stored = [f.key for f in run.figures if f.key.benchmark == entry.name]
    told: dict[str, dict[str, None]] = {key.task: {} for key in stored}
    for record in run.records:
        if record.benchmark == entry.name:
            held = told.setdefault(record.task, {})
            if record.category:
                held[record.category] = None
    if not told:
        return ()
    found: dict[Place, tuple[bool, Sequence[str]]] = {}
    for task, metrics in entry.metrics.items():
        for m in metrics:
            by = sorted(told.get(task, ())) if m.by_category else ()
            found[Place(entry.name, task, m.name)] = m.primary, by
    for average in entry.averages:
        found.setdefault(Place(entry.name, average.task, average.metric.name), (True, ()))
    for key in stored:
        found.setdefault(Place(entry.name, key.task, key.metric), (False, ()))
    return [(place, *about) for place, about in found.items()]


def _ways(name: str, entry: BenchmarkEntry, said: _Said) -> Iterator[tuple[str, Place]]:
    """Every place of a benchmark that goes by `name`."""
    yield name, Place(entry.name)
    tasks = list(dict.fromkeys(str(place.task) for place, _, _ in said))
    for task in tasks:
        yield f"{name}/{task}", Place(entry.name, task)
    for place, speaks, categories in said:
        is_own = len(tasks) == 1 or place.task == entry.name
        heads = [f"{name}/{place.task}", *([name] if is_own else [])]
        for head in heads:
            for joint in "/ ":
                yield f"{head}{joint}{place.metric}", place
            for category in categories:
                own = Place(entry.name, place.task, place.metric, category)
                yield f"{head}/{place.metric}/{category}", own
                yield f"{head} {place.metric}/{category}", own
                if speaks:
                    yield f"{head}/{category}", own
                    yield f"{head} {category}", own
    if entry.whole is not None:
        own = Place(entry.name, entry.whole.task, entry.whole.metric)
        yield from ((f"{name}{joint}average", own) for joint in "/ ")


def _printed(entry: BenchmarkEntry, said: _Said) -> Iterator[tuple[str, Place]]:
    """The labels of rows; a task's alone is the task's, not a metric's."""
    for place, speaks, categories in said:
        metric = catalogue.metric(place.metric or "")
        label = figure_label(FigureKey(entry.name, place.task or "", place.metric or ""))
        if speaks and label != benchmark_label(entry.name):
            yield label, place if metric.over_tasks else Place(entry.name, place.task)
        for words in dict.fromkeys((metric.words, *metric.names)):
            yield f"{label} ({words})", place
            yield f"{label} {words}", place
        for category in categories:
            own = Place(entry.name, place.task, place.metric, category)
            if speaks:
                yield f"{label}, {category}", own
            yield f"{label}, {category} ({metric.words})", own


def _loosely(text: str) -> str:
    return " ".join(text.casefold().replace("-", " ").replace("_", " ").split())


_FOLDS: tuple[Callable[[str], str], ...] = (str.casefold, _loosely)
"""Ways of reading a name that is not written as it is, strictest first."""


def _held(text: str, known: Known[T]) -> frozenset[T]:
    """What `text` stands for, by the strictest way of reading that finds anything."""
    if text in known:
        return known[text]
    for folded in _FOLDS:
        wanted = folded(text)
        found = [held for name, held in known.items() if folded(name) == wanted] if wanted else []
        if found:
            return frozenset().union(*found)
    return frozenset()


def _only(
    kind: str, text: str, held: frozenset[T], known: Iterable[str], written: Callable[[T], str]
) -> T:
    if not held:
        raise ComparisonError(f"no {kind} is called {text!r}; expected {_choices(text, known)}")
    if len(held) > 1:
        listed = ", ".join(sorted(repr(written(one)) for one in held))
        raise ComparisonError(f"{text!r} may be any of {listed}; write one as it is")
    (found,) = held
    return found


def _choices(text: str, known: Iterable[str]) -> str:
    """All names where they are few; else the nearest, and where all are listed."""
    names = list(dict.fromkeys(known))
    if len(names) <= _FEW:
        return f"one of: {', '.join(names) or 'none'}"
    by_fold = {_loosely(name): name for name in reversed(names)}
    # A category or a metric by itself: where it is one.
    whole = [n for n in names if _loosely(n).endswith((f" {_loosely(text)}", f"/{_loosely(text)}"))]
    close = difflib.get_close_matches(_loosely(text), by_fold, _NEAREST, 0.4)
    near = whole[:_NEAREST] or [by_fold[folded] for folded in close] or names[:_NEAREST]
    return (
        f"one of {len(names)} names, the nearest: {', '.join(near)}; `evalkit compare RUN... --all "
        f"--json` lists what is compared"
    )
