"""What is known without running: recorded answers, judgments and results, and published figures.

For each model and benchmark entry exactly one of these holds:

    live       an engine generates the answers, a live judge (if any) judges them
    replayed   recorded answers replace the model's, a live judge (if any) judges them
    evidence   a format's reader makes the records, or the figures, from files
    missing    nothing is known: its cells stay empty and are shown as missing

Published models have figures only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from evalkit import data
from evalkit.benchmarks.recorded import RecordedResultsSpec
from evalkit.core import Completion, Finding, Flow, Outcome, Record
from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.core.figures import Figure
from evalkit.core.protocols import DataPlaces
from evalkit.core.run import Description
from evalkit.core.specs import BenchmarkSpec, RecordedJudgeSpec, Suite, ThinkingSpec
from evalkit.engines._thinking import separated
from evalkit.engines.recorded import RecordedSpec
from evalkit.errors import RequestFailed, did_you_mean
from evalkit.formats import Answers, cross_findings, few, read_answers, reader

__all__ = ["Known", "gather", "has_samples", "is_run", "needed_files"]

_JUDGED = frozenset({"alpaca_eval", "mt_bench"})
"""Types of benchmarks whose judgments can be imported; their readers have the same names."""
Cell: TypeAlias = tuple[str, str]
"""(model, benchmark entry)."""


@dataclass(frozen=True)
class Known:
    """Everything a run has without sending requests."""

    evidence: tuple[Evidence, ...] = ()
    """In suite order: by benchmark entry, then model."""
    answers: Mapping[Cell, Answers] = field(default_factory=dict)
    """Recorded answers that a live judge judges."""
    published: tuple[Figure, ...] = ()

    def records(self, limit: int | None) -> list[Record]:
        """Of all evidence; the first `limit` of each model and task."""
        seen: dict[tuple[str, str, str], int] = {}
        kept = []
        for record in (r for e in self.evidence for r in e.records):
            place = (record.model, record.benchmark, record.task)
            seen[place] = seen.get(place, 0) + 1
            if limit is None or seen[place] <= limit:
                kept.append(record)
        return kept

    def of(self, entry: str) -> list[Evidence]:
        """Evidence of one benchmark entry."""
        return [e for e in self.evidence if e.entry == entry]


def _recorded_engine(suite: Suite, model: str) -> RecordedSpec | None:
    """The model's recorded answers and results; None for a live model."""
    spec = suite.models[model].engine or suite.engine
    return spec if isinstance(spec, RecordedSpec) else None


def _recorded_judge(suite: Suite, spec: BenchmarkSpec) -> RecordedJudgeSpec | None:
    judge = suite.judges.get(spec.judges[0]) if spec.judges else None  # a panel has none
    return judge if isinstance(judge, RecordedJudgeSpec) else None


def is_run(suite: Suite, model: str, spec: BenchmarkSpec) -> bool:
    """Whether flows run for this model and entry (live or replayed)."""
    if _recorded_judge(suite, spec) is not None:
        return False
    engine = _recorded_engine(suite, model)
    return engine is None or spec.entry in engine.answers


def has_samples(suite: Suite, model: str, spec: BenchmarkSpec) -> bool:
    """Whether this model and entry will have samples, as far as the suite tells.

    Files of results may hold some; published figures never do.
    """
    if is_run(suite, model, spec):
        return True
    judge = _recorded_judge(suite, spec)
    engine = _recorded_engine(suite, model)
    judged = judge is not None and model in judge.judgments.get(spec.entry, {})
    return judged or (engine is not None and spec.entry in engine.results)


def needed_files(suite: Suite) -> list[str]:
    """Files and data set names that recorded engines and judges of `suite` name."""
    engines = [e for name in suite.models if (e := _recorded_engine(suite, name)) is not None]
    named = [file for e in engines for file in e.answers.values()]
    named += [file for e in engines for files in e.results.values() for file in files]
    for judge in suite.judges.values():
        if isinstance(judge, RecordedJudgeSpec):
            named += [file for models in judge.judgments.values() for file in models.values()]
    return list(dict.fromkeys(named))


def gather(suite: Suite, root: Path, places: DataPlaces, models: Collection[str]) -> Known:
    """Read what is recorded or published for `models` (and every published model).

    Raises:
        DataError: files that are missing or cannot be read.
    """
    reader = _Reader(suite, root, places)
    evidence: list[Evidence] = []
    answers: dict[Cell, Answers] = {}
    for spec in suite.benchmarks:
        found = []
        for model in models:
            engine = _recorded_engine(suite, model)
            if is_run(suite, model, spec):
                if engine is not None:
                    file = reader.path(engine.answers[spec.entry])
                    answers[model, spec.entry] = read_answers(file)
            else:
                found += list(reader.evidence(model, spec, engine))
        evidence += _checked_together(found)
    return Known(tuple(evidence), answers, tuple(_published(suite, reader.level)))


def _checked_together(found: list[Evidence]) -> list[Evidence]:
    """With findings from comparing the models of an entry."""
    if len(found) < 2:
        return found
    extra = cross_findings(found)
    return [replace(e, findings=(*e.findings, *extra.get(e.model, ()))) for e in found]


class _Reader:
    """Finds and reads the files that a suite names as evidence."""

    def __init__(self, suite: Suite, root: Path, places: DataPlaces) -> None:
        self._suite, self._root, self._places = suite, root, places
        self.level = suite.report.level

    def path(self, named: str) -> Path:
        """The file that a suite's field names."""
        return data.evidence(named, self._root, self._places).path

    def evidence(
        self, model: str, spec: BenchmarkSpec, engine: RecordedSpec | None
    ) -> Iterator[Evidence]:
        """Judgments, else results, of one model for one entry; nothing where there are none."""
        judge = _recorded_judge(self._suite, spec)
        judgments = {} if judge is None else judge.judgments.get(spec.entry, {})
        answers = engine.answers.get(spec.entry) if engine is not None else None
        named = [judgments[model]] if model in judgments else []
        if engine is not None:
            named += engine.results.get(spec.entry, ())
        absent = self._absent(named)
        if absent:
            yield _not_here(model, spec, absent)
        elif model in judgments and spec.type in _JUDGED:
            companion = () if answers is None or self._absent([answers]) else (self.path(answers),)
            options = self._options(model, spec, companion)
            for evidence in reader(spec.type)([self.path(judgments[model])], options):
                yield _as_named(evidence, spec)
        elif engine is not None and engine.results.get(spec.entry):
            files = [self.path(file) for file in engine.results[spec.entry]]
            kind = spec.format if isinstance(spec, RecordedResultsSpec) else "lm_eval"
            for evidence in reader(kind)(files, self._options(model, spec, ())):
                yield _only_tasks(evidence, spec)

    def _absent(self, named: Sequence[str]) -> list[str]:
        """Public data sets that are unavailable here; a wrong path is an error."""
        public = [n for n in named if not (self._root / n).is_file() and data.is_known(n)]
        return data.missing(public, self._places)

    def _options(
        self, model: str, spec: BenchmarkSpec, companion: tuple[Path, ...]
    ) -> ImportOptions:
        return ImportOptions((model,), spec.entry, companion, self._places, self.level)


def _not_here(model: str, spec: BenchmarkSpec, absent: Sequence[str]) -> Evidence:
    """Empty evidence, with the reason."""
    message = (
        f"{', '.join(absent)} cannot be had where this ran, so these cells are empty: "
        f"`evalkit data pull SUITE --to DIR` where the network is, then EVALKIT_DATA=DIR"
    )
    return Evidence(
        model=model,
        entry=spec.entry,
        kind=spec.type,
        description=Description(type=spec.type, files=()),
        metrics={},
        findings=(Finding("not_available", message, damaged=False),),
    )


def _as_named(evidence: Evidence, spec: BenchmarkSpec) -> Evidence:
    """With findings where the judgments' version, evaluator or mode is not the entry's."""
    from evalkit.benchmarks.alpaca_eval import AlpacaEvalSpec
    from evalkit.benchmarks.mt_bench import MtBenchSpec

    stated = evidence.description
    wrong = []
    if isinstance(spec, AlpacaEvalSpec):
        version = str(stated.version or "").partition(".")[0]
        if version.isdigit() and version != str(spec.version):
            wrong.append(f"of AlpacaEval {version}, the suite says version {spec.version}")
        judged_by = stated.judging.evaluator
        if spec.evaluator and judged_by not in (None, "", "unknown", spec.evaluator):
            wrong.append(f"by {judged_by}, the suite says evaluator {spec.evaluator}")
    if isinstance(spec, MtBenchSpec) and stated.mode not in (None, spec.mode):
        wrong.append(f"of mode {stated.mode}, the suite says {spec.mode}")
    added = [Finding("other_settings", f"the recorded judgments are {w}") for w in wrong]
    return replace(evidence, findings=(*evidence.findings, *added))


def _only_tasks(evidence: Evidence, spec: BenchmarkSpec) -> Evidence:
    """The tasks that an `lm_eval` entry names, of files that may hold more; and their average."""
    from evalkit.benchmarks.lm_eval import LmEvalSpec

    if not isinstance(spec, LmEvalSpec):
        return evidence
    kept = {*spec.tasks, "open_llm_leaderboard"}
    lacking = [task for task in spec.tasks if task not in evidence.metrics]
    return replace(
        evidence,
        findings=(*evidence.findings, *(_no_task(task, evidence) for task in lacking)),
        metrics={task: found for task, found in evidence.metrics.items() if task in kept},
        records=tuple(r for r in evidence.records if r.task in kept),
        figures=tuple(f for f in evidence.figures if f.key.task in kept),
    )


def _no_task(task: str, evidence: Evidence) -> Finding:
    known = list(evidence.metrics)
    hint = did_you_mean(task, known) or f": they have {few(known)}"
    return Finding("no_task", f"the files have no task {task!r}{hint}", damaged=False)


def _published(suite: Suite, level: float) -> Iterator[Figure]:
    """Published figures; the suite's own replace those of the shipped leaderboards."""
    for model, spec in suite.models.items():
        if not spec.leaderboard and not spec.figures:
            continue
        from evalkit.formats import published

        own = list(published.suite_figures(model, spec, suite.benchmarks, level))
        yield from own
        if spec.leaderboard:
            row = spec.leaderboard if isinstance(spec.leaderboard, str) else model
            known = {figure.key for figure in own}
            for figure in published.row_figures(model, row, suite.benchmarks, level):
                if figure.key not in known:
                    yield figure


# --- recorded answers in a flow -------------------------------------------------------------


def replay(
    flow: Flow[Outcome],
    model: str,
    answers: Sequence[Completion],
    thinking: ThinkingSpec | None = None,
) -> Flow[Outcome]:
    """Drive `flow`, answering its requests to `model` from `answers`, in order.

    Thoughts in them, of the marks in `thinking` or known ones, are kept apart.  Requests to other
    engines (judges) are passed on.  A request beyond the last recorded answer
    fails as `excluded`.
    """
    left = iter(answers)
    failure: RequestFailed | None = None
    replies: Sequence[Completion] | None = None
    while True:
        try:
            if failure is not None:
                requests = flow.throw(failure)
            else:
                requests = next(flow) if replies is None else flow.send(replies)
        except StopIteration as ended:
            outcome: Outcome = ended.value
            return outcome
        failure = None
        try:
            forwarded = [request for request in requests if request.engine != model]
            others = iter((yield forwarded) if forwarded else ())
            replies = [
                separated(_recorded(left), request.stop, thinking)
                if request.engine == model
                else next(others)
                for request in requests
            ]
        except RequestFailed as error:
            failure = error
            if len(forwarded) < len(requests):
                failure.replies = ()  # they are those of the forwarded requests alone


def _recorded(left: Iterator[Completion]) -> Completion:
    for completion in left:
        return completion
    raise RequestFailed("excluded", "there is no recorded answer to this question")
