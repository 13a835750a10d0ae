"""The library's functions: the commands, by their names and with their options."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from evalkit import formats, runner, store
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
from evalkit.errors import SuiteError
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


def load_suite(path: str | Path, set: Sequence[str] = (), *, trust_suite: bool = False) -> Suite:
    """Read and check a suite.

    Args:
        path: A YAML file, or the name of a bundled suite.
        set: Changes as `a.b=c`.
        trust_suite: Its own code may run, as with `--trust-suite`.

    Raises:
        SuiteError: Everything that is wrong with it.
    """
    with trusting(Trust(trust_suite)):
        return runner.opened(path, changes=set).suite


def run(
    suite: str | Path | Mapping[str, Any] | Suite | None = None,
    *,
    adapter: str | Path | None = None,
    base: str | Path | None = None,
    judge: str | None = None,
    without_judge: bool = False,
    max_cost: float | None = None,
    tasks: Sequence[str] = (),
    limit: int | None = None,
    set: Sequence[str] = (),
    out: str | Path | None = None,
    trust_suite: bool = False,
) -> Run:
    """Run a suite to its report, silently, as `evalkit run` does; resumes an interrupted run.

    Args:
        suite: A YAML file, the name of a bundled suite, or its content as a mapping; None: `quick`,
            for an adapter.
        adapter: An adapter (folder or hub repository) to compare with its base.
        base: The adapter's base; None: the one that it names.
        judge: A judge or a model of the suite, a vendor's model by its name, or TYPE:MODEL.
        without_judge: Generate answers only; a later call judges them.
        max_cost: USD that are spent at most.
        tasks: Only these: entries of the suite, and lm-eval's tasks.
        limit: First samples of each task; None: all.
        set: Changes as `a.b=c`.
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
    named = runner.DEFAULT_SUITE if suite is None else suite
    chosen = runner.Selection(limit, without_judge)
    folder = None if out is None else Path(out)
    with trusting(Trust(trust_suite)):
        opened = runner.opened(named, options, set, ("evalkit.run",))
        return runner.run_suite(opened.suite, opened.origin, runner.Silent(), chosen, folder).run


def judge(
    run: Stored,
    judge: str,
    *,
    suite: str | Path | None = None,
    models: Sequence[str] = (),
    settings: Mapping[str, Json] | None = None,
    out: Path | None = None,
) -> JudgedAgain:
    """Judge a stored run's answers again with another judge, as `evalkit judge` does.

    Args:
        run: A run or its folder; no model is loaded.
        judge: A judge of the run's suite, or of `suite`; or TYPE:MODEL, as `openai:MODEL`.
        suite: A suite that has the judge.
        models: Only these models' answers; empty: all.
        settings: Fields of the judge, in place of those found.
        out: Folder of the new run; None: reports/<suite>/<run id> in the workspace.

    Returns:
        The new run, how the two judges' scores relate, and how often they agree.

    Raises:
        SuiteError: No such judge, or nothing in the run is judged.
        EvalkitError: What ended the run early; everything finished is stored.
    """
    old = _typed(run)
    found = judging.find_judge(
        judge, [old], settings or {}, load_suite(suite).judges if suite is not None else {}
    )
    origin = judging.origin_of(old, str(old.folder), ("evalkit", "judge", str(old.folder)))
    return judging.judge(old, found, origin, runner.Silent(), models=models, out=out)


def judge_bridge(
    old_run: Stored,
    *,
    judge: str | None = None,
    to: Stored | None = None,
    sample: int = 100,
    models: Sequence[str] = (),
    settings: Mapping[str, Json] | None = None,
    out: Path | None = None,
) -> Bridging:
    """Make runs of a new judge comparable with an earlier judge's, as `evalkit judge-bridge` does.

    Args:
        old_run: A run or its folder, judged by the earlier judge.
        judge: The new judge, as for `judge`; None: the one of `to`.
        to: A run by the new judge, whose judged figures are stated on the earlier judge's scale.
        sample: Questions per task, whose answers the new judge judges.
        models: Only these models' answers; empty: all.
        settings: Fields of the judge, in place of those found.
        out: Folder of the bridge; None: reports/<suite>/<run id> in the workspace.

    Raises:
        SuiteError: No such judge, or nothing in the run is judged.
        ComparisonError: `to` was judged by another judge, or differs in more than its judge.
        EvalkitError: What ended it early; everything finished is stored.
    """
    old, target = _typed(old_run), None if to is None else _typed(to)
    runs = [old] if target is None else [target, old]
    found = judging.find_judge(judge, runs, settings or {})
    origin = judging.origin_of(old, str(old.folder), ("evalkit", "judge-bridge", str(old.folder)))
    return judging.judge_bridge(
        old, found, origin, runner.Silent(), to=target, models=models, sample=sample, out=out
    )


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


def load_run(run: str | Path | None = None) -> Run:
    """Read a stored run.  Raises DataError.

    Args:
        run: Its folder, a suite's name, its id, or `latest`; None: the newest finished one.
    """
    return load(store.find_run(run))


def compare(
    *runs: Stored,
    candidate: str | None = None,
    baselines: Sequence[str] = (),
    level: float = 0.95,
    allow_different: Collection[str] = (),
    repeats: bool = False,
) -> list[Contest]:
    """Compare models on the samples they share, as `evalkit compare` does.

    Args:
        runs: Runs, or what names them; none: the newest.  Sides may stand in different ones.
        candidate: `MODEL` or `RUN:MODEL`; None: the runs' candidate.
        baselines: The same, several; empty: the runs' baselines.
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
    ours, theirs = pick(stored, candidate, baselines)
    allowed = allowed_fields(stored, allow_different)
    options = Options(level, allow_different=allowed, repeats=repeats)
    return contests(stored, ours, theirs, options)


def export(
    *runs: Stored,
    kind: str,
    out: str | Path,
    models: Sequence[str] = (),
    settings: Mapping[str, Json] | None = None,
) -> list[Path]:
    """Write runs in a format that other tools read, as `evalkit export` does.

    Args:
        runs: Runs, or what names them; none: the newest.
        kind: csv, json, parquet, inspect, lm_eval, eval_results, every_eval_ever or argilla.
        out: Folder to write into.
        models: Only these; empty: all.
        settings: The format's own, and `figures_only` and `allow_unpublishable`.

    Returns:
        The files.

    Raises:
        ExportError: Nothing to write, not to be published, or a setting it does not have.
    """
    spec = formats.settings(kind, {**(settings or {}), "models": tuple(models)})
    return formats.write(formats.export([_typed(one) for one in runs or (None,)], spec), Path(out))


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


def gate(
    run: Stored | None = None,
    policy: Suite | None = None,
    *,
    candidate: str | None = None,
    baseline_run: Stored | Sequence[Stored] | None = None,
    allow_different: Collection[str] = (),
    repeats: Sequence[Stored] = (),
) -> GateResult:
    """Whether a candidate is worse than its baseline by more than the margins, as `evalkit gate`.

    To run a suite first: `gate(run(suite))`.

    Args:
        run: The run that has the candidate, or what names it; None: the newest.
        policy: Suite whose gate section decides; None: the run's own.
        candidate: `MODEL` or `RUN:MODEL`; None: the run's candidate.
        baseline_run: Run, folder or pinned `baseline.json` that has the baseline, or several that
            repeat its measurement; None: `run`.
        allow_different: Settings that may differ.
        repeats: More runs that repeat the measurement of `run`: their means are judged, and what a
            run shifts by by itself is in the bounds.

    Raises:
        SuiteError: There is no policy.
        ComparisonError: Sides that are not clear, or settings that differ.
    """
    if policy is not None and policy.gate is None:
        raise SuiteError(f"suite {policy.name!r} has no gate section; expected one as the policy")
    given = [baseline_run] if isinstance(baseline_run, Run | str | Path) else baseline_run or ()
    return gates.gate(
        _typed(run),
        None if policy is None else policy.gate,
        candidate=candidate,
        baseline=[
            b if isinstance(b, Run) else gates.read_baseline(store.find_run(b)) for b in given
        ],
        allow_different=allow_different,
        repeats=[_typed(more) for more in repeats],
    )


def watch(
    folder: str | Path,
    suite: str | Path,
    looks: int | None = None,
    *,
    rest_s: float = 15.0,
    trust_suite: bool = False,
) -> watching.Summary:
    """Evaluate and gate the checkpoints there are, silently, as `evalkit watch --once` does.

    Args:
        folder: Where a training run writes its checkpoints.
        suite: A YAML file whose candidate they take the place of, or the name of a bundled suite.
        looks: Checkpoints to be gated in all, which fixes what each may spend; None: as the first
            call for this folder said.
        rest_s: How long a checkpoint's files must be at rest to be taken.
        trust_suite: The suite's own code may run, as with `--trust-suite`.

    Raises:
        SuiteError: The suite is wrong, or the plan is another than the first call's.
        DataError: There is no such folder.
    """
    options = watching.Options(rest_s, once=True)
    with trusting(Trust(trust_suite)):
        training = watching.training(Path(folder), str(suite))
        return watching.follow(training, looks, None, options, watching.Silent())


def _typed(run: Stored | None) -> Run:
    return run if isinstance(run, Run) else load_run(run)
