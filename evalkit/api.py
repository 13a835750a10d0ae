"""The library's functions: the commands, by their names and with their options."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar

from evalkit import formats, report, runner, store
from evalkit import suite as suites
from evalkit.comparison import claim as claims
from evalkit.comparison import gate as gates
from evalkit.comparison.contests import Options, contests
from evalkit.comparison.guard import allowed_fields
from evalkit.comparison.recompute import load
from evalkit.comparison.resolve import pick
from evalkit.core import Json
from evalkit.core.contests import Contest, GateResult
from evalkit.core.run import Run
from evalkit.core.specs import Suite
from evalkit.core.trust import Trust, trusting
from evalkit.errors import SuiteError, did_you_mean
from evalkit.runner import importing, judging
from evalkit.runner import watch as watching
from evalkit.runner.judging import Bridging, JudgedAgain

__all__ = [
    "claim",
    "compare",
    "export",
    "gate",
    "import_votes",
    "judge",
    "judge_bridge",
    "load_run",
    "load_suite",
    "run",
    "watch",
]

Stored: TypeAlias = Run | str | Path
"""A run, or what names one as for the commands: folder, suite, id, `latest` (`store.find_run`)."""
Settings: TypeAlias = Mapping[str, Json]
"""What `--set` has: values by field, as `{"engine.dtype": "float32"}`."""
Named: TypeAlias = str | Path | Mapping[str, Any] | Suite
"""A suite: its YAML file, the name of a bundled one, its content."""
P = ParamSpec("P")
T = TypeVar("T")

Run.draw_html = staticmethod(report.headline_html)


def _public(function: Callable[P, T]) -> Callable[P, T]:
    """Its TypeErrors name the parameters that there are, and `trust_suite` is consent."""
    known = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        for name in kwargs:
            if name not in known:
                hint = did_you_mean(name, known) or ";"
                raise TypeError(
                    f"evalkit.{function.__name__}() has no parameter {name!r}{hint} it has "
                    f"{', '.join(known)}"
                )
        with trusting(Trust(bool(kwargs.get("trust_suite")))):
            return function(*args, **kwargs)

    return call


def _changes(set: Settings | None) -> tuple[str, ...]:
    return tuple(f"{name}={json.dumps(value)}" for name, value in (set or {}).items())


@_public
def load_suite(suite: Named, set: Settings | None = None, *, trust_suite: bool = False) -> Suite:
    """Read and check a suite.

    Args:
        suite: A YAML file, the name of a bundled suite, or its content.
        set: Values by field, in place of the suite's.
        trust_suite: Its own code may run, as with `--trust-suite`.

    Raises:
        SuiteError: Everything that is wrong with it.
    """
    return _opened(suite, set)


@_public
def run(
    suite: Named | None = None,
    *,
    adapter: str | Path | None = None,
    base: str | Path | None = None,
    judge: str | None = None,
    without_judge: bool = False,
    max_cost: float | None = None,
    tasks: Sequence[str] = (),
    limit: int | None = None,
    set: Settings | None = None,
    out: str | Path | None = None,
    trust_suite: bool = False,
) -> Run:
    """Run a suite to its report, silently, as `evalkit run` does; resumes an interrupted run.

    Args:
        suite: A YAML file, the name of a bundled suite, or its content; None: `quick`, for an
            adapter.
        adapter: An adapter (folder or hub repository) to compare with its base.
        base: The adapter's base; None: the one that it names.
        judge: A judge or a model of the suite, a vendor's model by its name, or TYPE:MODEL.
        without_judge: Generate answers only; a later call judges them.
        max_cost: USD that are spent at most.
        tasks: Only these: entries of the suite, and lm-eval's tasks.
        limit: First samples of each task; None: all.
        set: Values by field, in place of the suite's; paths are relative to the current folder.
        out: Run folder; None: reports/<suite>/<run id> in the workspace.
        trust_suite: The suite's own code may run, as with `--trust-suite`.

    Raises:
        EvalkitError: What ended the run early; everything finished is stored.
    """
    if suite is None and adapter is None:
        raise TypeError("evalkit.run() takes a suite, or adapter=FOLDER; got neither")
    options = suites.Options(
        adapter=None if adapter is None else str(adapter),
        base=None if base is None else str(base),
        judge=judge,
        max_cost=max_cost,
        tasks=tuple(tasks),
    )
    named = runner.DEFAULT_SUITE if suite is None else _suite(suite)
    chosen = runner.Selection(limit, without_judge)
    folder = None if out is None else Path(out)
    opened = runner.opened(named, options, _changes(set), ("evalkit.run",))
    return runner.run_suite(opened.suite, opened.origin, runner.Silent(), chosen, folder).run


@_public
def judge(
    run: Stored | None = None,
    *,
    judge: str,
    suite: Named | None = None,
    model: str | Sequence[str] = (),
    set: Settings | None = None,
    out: str | Path | None = None,
    trust_suite: bool = False,
) -> JudgedAgain:
    """Judge a stored run's answers again with another judge, as `evalkit judge` does.

    Args:
        run: A run, or what names it; None: the newest.  No model is loaded.
        judge: A judge of the run's suite, or of `suite`; or TYPE:MODEL, as `openai:MODEL`.
        suite: A suite that has the judge.
        model: Only this model's answers, or several models'; empty: all.
        set: Fields of the judge, in place of those found.
        out: Folder of the new run; None: reports/<suite>/<run id> in the workspace.
        trust_suite: The code of `suite` may run.

    Returns:
        The new run, how the two judges' scores relate, and how often they agree.

    Raises:
        SuiteError: No such judge, or nothing in the run is judged.
        EvalkitError: What ended the run early; everything finished is stored.
    """
    old = _typed(run)
    theirs = {} if suite is None else _opened(suite, None).judges
    found = judging.find_judge(judge, [old], set or {}, theirs)
    origin = judging.origin_of(old, str(old.folder), ("evalkit", "judge", str(old.folder)))
    place = None if out is None else Path(out)
    return judging.judge(old, found, origin, runner.Silent(), models=_several(model), out=place)


@_public
def judge_bridge(
    run: Stored | None = None,
    *,
    judge: str | None = None,
    to: Stored | None = None,
    sample: int = 100,
    model: str | Sequence[str] = (),
    set: Settings | None = None,
    out: str | Path | None = None,
) -> Bridging:
    """Make runs of a new judge comparable with an earlier judge's, as `evalkit judge-bridge` does.

    Args:
        run: A run, or what names it, judged by the earlier judge; None: the newest.
        judge: The new judge, as for `judge`; None: the one of `to`.
        to: A run by the new judge, whose judged figures are stated on the earlier judge's scale.
        sample: Questions per task, whose answers the new judge judges.
        model: Only this model's answers, or several models'; empty: all.
        set: Fields of the judge, in place of those found.
        out: Folder of the bridge; None: reports/<suite>/<run id> in the workspace.

    Raises:
        SuiteError: No such judge, or nothing in the run is judged.
        ComparisonError: `to` was judged by another judge, or differs in more than its judge.
        EvalkitError: What ended it early; everything finished is stored.
    """
    old, target = _typed(run), None if to is None else _typed(to)
    runs = [old] if target is None else [target, old]
    found = judging.find_judge(judge, runs, set or {})
    origin = judging.origin_of(old, str(old.folder), ("evalkit", "judge-bridge", str(old.folder)))
    return judging.judge_bridge(
        old,
        found,
        origin,
        runner.Silent(),
        to=target,
        models=_several(model),
        sample=sample,
        out=None if out is None else Path(out),
    )


@_public
def import_votes(run: Stored, *files: str | Path) -> Run:
    """Add people's votes on a run's answers, as `evalkit import votes` does.

    Args:
        run: A run or its folder.
        files: Of the report's voting page, tables, or alpaca_eval's cross-annotations.

    Returns:
        The run with its votes; `comparison.votes.people` says what they give.

    Raises:
        DataError: A file is none of votes, or is about another run.
    """
    return importing.import_votes([Path(file) for file in files], _typed(run).folder)[0]


@_public
def load_run(run: str | Path | None = None) -> Run:
    """Read a stored run.  Raises DataError.

    Args:
        run: Its folder, a suite's name, its id, or `latest`; None: the newest finished one.
    """
    return load(store.find_run(run))


@_public
def compare(
    *runs: Stored,
    candidate: str | None = None,
    baseline: str | Sequence[str] = (),
    level: float = 0.95,
    allow_different: Collection[str] = (),
    repeats: bool = False,
) -> list[Contest]:
    """Compare models on the samples they share, as `evalkit compare` does.

    Args:
        runs: Runs, or what names them; none: the newest.  Sides may stand in different ones.
        candidate: `MODEL` or `RUN:MODEL`; None: the runs' candidate.
        baseline: The same, one or several; empty: the runs' baselines.
        level: Confidence level of the intervals.
        allow_different: Settings that may differ, flagged wherever they show.
        repeats: Several runs of a model repeat one measurement: their noise is in the interval.

    Returns:
        A contest per baseline, benchmark, task, metric and category; `draw.contest_sentence` says
        each in words.

    Raises:
        ComparisonError: Names that are unknown or ambiguous, or settings that differ.
    """
    stored = [_typed(one) for one in runs or (None,)]
    ours, theirs = pick(stored, candidate, _several(baseline))
    allowed = allowed_fields(stored, allow_different)
    options = Options(level, allow_different=allowed, repeats=repeats)
    return contests(stored, ours, theirs, options)


@_public
def export(
    *runs: Stored,
    format: str,
    out: str | Path,
    model: str | Sequence[str] = (),
    figures_only: bool = False,
    allow_unpublishable: bool = False,
    set: Settings | None = None,
) -> list[Path]:
    """Write runs in a format that other tools read, as `evalkit export` does.

    Args:
        runs: Runs, or what names them; none: the newest.
        format: As csv, parquet or lm_eval; `evalkit list formats` has them all.
        out: Folder to write into.
        model: Only this one, or several; empty: all.
        figures_only: Leave out every question and answer.
        allow_unpublishable: Publish limited runs and damaged evidence too, marked.
        set: Settings of the format's own.

    Returns:
        The files.

    Raises:
        ExportError: Nothing to write, not to be published, or a setting it does not have.
    """
    common = {"figures_only": figures_only, "allow_unpublishable": allow_unpublishable}
    spec = formats.settings(format, {**(set or {}), **common, "models": _several(model)})
    return formats.write(formats.export([_typed(one) for one in runs or (None,)], spec), Path(out))


@_public
def claim(
    text: str,
    *runs: Stored,
    level: float = 0.95,
    allow_different: Collection[str] = (),
    accept_damaged: bool = False,
    repeats: bool = False,
) -> claims.ClaimResult:
    """Whether runs support a sentence such as "A beats B on alpaca_eval", as `evalkit claim` does.

    Args:
        text: The claim; `evalkit claim --help` lists its forms.
        runs: Runs, or what names them; none: the newest.
        level: Confidence level of the intervals.
        allow_different: Settings that may differ.
        accept_damaged: Judge on damaged evidence, too.
        repeats: Several runs of a model repeat one measurement.

    Raises:
        ComparisonError: It is not understood, names something unknown, or settings differ.
    """
    stored = [_typed(one) for one in runs or (None,)]
    allowed = allowed_fields(stored, allow_different)
    options = Options(
        level, allow_different=allowed, repeats=repeats, accept_damaged=accept_damaged
    )
    return claims.claim(stored, text, options)


@_public
def gate(
    *runs: Stored,
    candidate: str | None = None,
    baseline_run: Stored | Sequence[Stored] = (),
    policy: Named | None = None,
    allow_different: Collection[str] = (),
    trust_suite: bool = False,
) -> GateResult:
    """Whether a candidate is worse than its baseline by more than the margins, as `evalkit gate`.

    To run a suite first: `gate(run(suite))`.

    Args:
        runs: The run that has the candidate, or what names it; none: the newest.  More repeat its
            measurement: their means are judged, and what a run shifts by by itself is in the
            bounds.
        candidate: `MODEL` or `RUN:MODEL`; None: the run's candidate.
        baseline_run: Run, folder or pinned `baseline.json` that has the baseline, or several that
            repeat its measurement; empty: the run itself.
        policy: Suite whose gate section decides; None: the run's own.
        allow_different: Settings that may differ.
        trust_suite: The code of `policy` may run.

    Raises:
        SuiteError: There is no policy.
        ComparisonError: Sides that are not clear, or settings that differ.
    """
    deciding = None if policy is None else _opened(policy, None)
    if deciding is not None and deciding.gate is None:
        raise SuiteError(f"suite {deciding.name!r} has no gate section; expected one as the policy")
    given = [baseline_run] if isinstance(baseline_run, Run | str | Path) else baseline_run
    first, *repeats = runs or (None,)
    return gates.gate(
        _typed(first),
        None if deciding is None else deciding.gate,
        candidate=candidate,
        baseline=[
            b if isinstance(b, Run) else gates.read_baseline(store.find_run(b)) for b in given
        ],
        allow_different=allow_different,
        repeats=[_typed(more) for more in repeats],
    )


@_public
def watch(
    folder: str | Path,
    suite: str | Path,
    *,
    looks: int | None = None,
    spending: Literal["even", "pocock", "obrien_fleming"] | None = None,
    poll: float = 15.0,
    stop_on_regression: bool = False,
    candidate: str | None = None,
    set: Settings | None = None,
    trust_suite: bool = False,
) -> watching.Summary:
    """Evaluate and gate the checkpoints there are, silently, as `evalkit watch --once` does.

    Args:
        folder: Where a training run writes its checkpoints.
        suite: A YAML file whose candidate they take the place of, or the name of a bundled suite.
        looks: Checkpoints to be gated in all, which fixes what each may spend; None: as the first
            call for this folder said.
        spending: How alpha is spread over the looks; None: as the first call said, or `even`.
        poll: Seconds for which a checkpoint's files must be at rest to be taken.
        stop_on_regression: End at the first regression.
        candidate: Model of the suite whose checkpoints they are; None: its only candidate.
        set: Values by field, in place of the suite's.
        trust_suite: The suite's own code may run, as with `--trust-suite`.

    Raises:
        SuiteError: The suite is wrong, or the plan is another than the first call's.
        DataError: There is no such folder.
    """
    training = watching.training(Path(folder), str(suite), _changes(set), candidate)
    options = watching.Options(poll, once=True, stop_on_regression=stop_on_regression)
    return watching.follow(training, looks, spending, options, watching.Silent())


def _several(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _opened(suite: Named, set: Settings | None) -> Suite:
    return runner.opened(_suite(suite), changes=_changes(set)).suite


def _suite(suite: Named) -> Named:
    if isinstance(suite, str | Path | Mapping | Suite):
        return suite
    raise TypeError(
        f"suite: expected a YAML file's path, the name of a bundled suite, its content as a "
        f"mapping, or a Suite; got {type(suite).__name__}"
    )


def _typed(run: Stored | None) -> Run:
    if run is None or isinstance(run, str | Path):
        return load_run(run)
    if isinstance(run, Run):
        return run
    raise TypeError(
        f"run: expected a Run, a run's folder or id, a suite's name, or 'latest'; got "
        f"{type(run).__name__}"
    )
