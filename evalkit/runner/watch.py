"""Follows a training run: each new checkpoint is evaluated and gated, within one alpha for all.

    folder ─ whole, at rest ─▶ run of the suite ─ whole? ─▶ look (alpha is spent) ─ gate ─▶ verdict

All that must outlast the process is in the ledger (`watch_ledger.py`) and in the runs; the state
here (how folders looked a poll ago, what failed in this process) may be lost at any moment.  A
checkpoint that fails before its look spends nothing: one that does not load, or whose run lacks
answers, is a `Failure`, and is tried again.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeAlias

from evalkit import models, plugins, store
from evalkit import suite as suites
from evalkit.comparison import history
from evalkit.comparison.gate import gate, gate_json
from evalkit.comparison.history import Step, step_of
from evalkit.comparison.recompute import load
from evalkit.core import Json
from evalkit.core.contests import GateResult
from evalkit.core.run import Run
from evalkit.core.specs import GateSpec, Suite
from evalkit.draw import (
    Cell,
    Column,
    Line,
    Table,
    count,
    significant,
    state_text,
)
from evalkit.errors import DataError, EngineError, ModelError, SuiteError
from evalkit.models import FileHashes, digest
from evalkit.runner import pipeline
from evalkit.runner.assemble import Origin
from evalkit.runner.watch_ledger import LEAST_LEVEL, Failure, Ledger, Look, Plan, Verdict
from evalkit.stats.decisions import Spending

__all__ = [
    "Folder",
    "Listener",
    "Options",
    "Polled",
    "Settling",
    "Silent",
    "Standing",
    "Summary",
    "Training",
    "find_folders",
    "follow",
    "look_words",
    "summarise",
    "summary_json",
    "summary_lines",
    "summary_table",
    "training",
    "training_ended",
    "watch",
]

# --- checkpoints on disk ---------------------------------------------------------------------

_UNFINISHED_NAMES = ("tmp-", ".")
"""How trainers begin the name of a folder that they will rename when it is whole."""
State: TypeAlias = tuple[tuple[str, int, int], ...]
"""Name, size and modification time of each file."""


@dataclass(frozen=True)
class Folder:
    """A checkpoint on disk, whole or not."""

    path: Path
    step: Step

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name


def find_folders(place: Path) -> list[Folder]:
    """Checkpoints in `place`, in the order of training: by step, whenever they were written.

    Raises:
        DataError: there is no such folder.
    """
    try:
        inside = [path for path in place.iterdir() if path.is_dir()]
    except OSError as error:
        raise DataError(
            f"{str(place)!r} cannot be read ({error.strerror}); expected the folder into which a "
            f"training run writes checkpoint-500 and the like: make it, or name another"
        ) from error
    found = []
    for path in inside:
        step = step_of([path.name])
        if step is not None and not path.name.startswith(_UNFINISHED_NAMES):
            found.append(Folder(path, step))
    return sorted(found, key=lambda f: (f.step.kind, f.step.value, store.natural_key(f.name)))


@dataclass(frozen=True)
class Polled:
    """What one poll of the folder found of the given checkpoints."""

    ready: tuple[Folder, ...] = ()
    """Whole and at rest."""
    settling: tuple[str, ...] = ()
    """Whole, and not at rest for long enough."""
    lacking: Mapping[str, str] = field(default_factory=dict)
    """What each of the others lacks."""
    stuck: tuple[str, ...] = ()
    """Those of the others that do not change any more."""


@dataclass(frozen=True)
class _Known:
    """A folder as it was found."""

    state: State
    since: float
    lack: str


class Settling:
    """Remembers the files of folders, and since when they are unchanged."""

    def __init__(self, rest_s: float, *, adapter: bool) -> None:
        """`rest_s`: how long files stay as they are before they are taken for written.

        `adapter`: checkpoints are adapters, not whole models.
        """
        self._rest_s, self._adapter = rest_s, adapter
        self._known: dict[str, _Known] = {}

    def poll(self, found: Sequence[Folder], now: float) -> Polled:
        """Look at these folders; `now`: seconds of a clock that never goes back."""
        self._known = {folder.name: self._look(folder, now) for folder in found}
        resting = {n for n, known in self._known.items() if now - known.since >= self._rest_s}
        lacking = {n: known.lack for n, known in self._known.items() if known.lack}
        whole = [folder for folder in found if folder.name not in lacking]
        return Polled(
            ready=tuple(folder for folder in whole if folder.name in resting),
            settling=tuple(folder.name for folder in whole if folder.name not in resting),
            lacking=lacking,
            stuck=tuple(name for name in lacking if name in resting),
        )

    def _look(self, folder: Folder, now: float) -> _Known:
        state, before = state_of(folder, adapter=self._adapter), self._known.get(folder.name)
        if before is not None and before.state == state:
            return before
        # What it lacks depends on its files alone, so unchanged files are not read again.
        return _Known(state, now, models.unfinished(folder.path, adapter=self._adapter))


def state_of(folder: Folder, *, adapter: bool) -> State:
    """Name, size and modification time of each file that the model needs."""
    try:
        files = models.model_files(folder.path, adapter=adapter)
        stats = [(path.name, path.stat()) for path in files]
    except OSError:
        return ()
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def training_ended(found: Sequence[Folder]) -> bool:
    """Whether training has reached its last step, according to the last checkpoint.

    As the transformers Trainer writes it: `global_step` and `max_steps` of trainer_state.json.
    """
    if not found:
        return False
    state = trainer_state(found[-1].path)
    step, last = state.get("global_step"), state.get("max_steps")
    return isinstance(step, int) and isinstance(last, int) and 0 < last <= step


def trainer_state(folder: Path) -> Mapping[str, object]:
    """trainer_state.json of a checkpoint; empty where there is none, or it is half written."""
    try:
        found = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


# --- the training run and its suite ----------------------------------------------------------

_DECISIVE = ("models", "engine", "judges", "benchmarks", "seed")
"""Sections of a suite that decide answers and scores; `gate` is compared field by field."""


@dataclass(frozen=True)
class Training:
    """A training run and its suite."""

    place: Path
    """Folder that checkpoints appear in."""
    reference: str
    """The same as the suite would name it: as the user wrote it, relative to the suite's folder."""
    template: suites.Template
    origin: Origin

    @property
    def gate(self) -> GateSpec:
        """The suite's policy."""
        assert self.template.suite.gate is not None, "a suite without a gate section is refused"
        return self.template.suite.gate

    @property
    def reports(self) -> Path:
        """Folder of the suite's runs."""
        return self.origin.workspace / "reports" / self.template.suite.name

    @property
    def ledger_folder(self) -> Path:
        """One for each folder of checkpoints and candidate."""
        key = store.run_id([self.reference, self.template.candidate])[:8]
        return self.reports / f"watch-{Path(self.place).resolve().name}-{key}"

    def model(self, folder: Folder) -> str:
        """A checkpoint's model name in its run; contains the step."""
        plain = "".join("-" if c in ":/\\," or not c.isprintable() else c for c in folder.name)
        return f"{self.template.candidate}-{plain}"

    def suite(self, folder: Folder) -> Suite:
        """The suite of one checkpoint."""
        weights = f"{self.reference.rstrip('/')}/{folder.name}"
        return self.template.filled(self.model(folder), weights)

    def run_origin(self) -> Origin:
        """For the manifests of its runs."""
        return replace(self.origin, command=("evalkit", "watch", self.reference, self.origin.label))

    def plan(self, looks: int, spending: Spending) -> Plan:
        """What the first look fixes."""
        fixed = self.template.filled(self.template.candidate, "CHECKPOINT").decisive()
        return Plan(
            checkpoints=self.reference,
            candidate=self.template.candidate,
            baseline=self.gate.baseline,
            looks=looks,
            spending=spending,
            policy=self.gate.model_dump(mode="json"),
            suite={name: store.run_id(fixed[name]) for name in _DECISIVE},
        )

    def suggested_looks(self) -> int | None:
        """Number of checkpoints to expect from the trainer's own state; None: unknown."""
        for folder in find_folders(self.place):
            state = trainer_state(folder.path)
            last, every = state.get("max_steps"), state.get("save_steps")
            if isinstance(last, int) and isinstance(every, int) and 0 < every <= last:
                return last // every
        return None


def training(
    place: Path, suite: str, changes: tuple[str, ...] = (), candidate: str | None = None
) -> Training:
    """Read the suite that `place` is watched by.

    Args:
        place: Folder that checkpoints appear in.
        suite: A YAML file, or the name of a bundled suite.
        changes: `a.b=c` overrides.
        candidate: Model of the suite that the checkpoints are of; None: its only candidate.

    Raises:
        DataError: there is no such folder.
        SuiteError: everything wrong with the suite, or it has no gate section.
    """
    find_folders(place)
    file = suites.locate(suite)
    reference = _reference(place, file.parent)
    template = suites.load_template(file, changes, plugins, reference, candidate)
    if template.suite.gate is None:
        raise SuiteError(
            f"{suite}: has no gate section; write one, such as gate: {{baseline: MODEL, margins: "
            f"{{default: 2.0}}}}"
        )
    origin = Origin(suite, file.parent, store.find_workspace(), ("evalkit", "watch"))
    return Training(place, reference, template, origin)


def _reference(place: Path, root: Path) -> str:
    """`place` as a suite in `root` names it; never in the form of a hub repository."""
    if place.is_absolute():
        return str(place)
    found = Path(os.path.relpath(place.resolve(), root.resolve())).as_posix()
    return found if found.startswith("..") else f"./{found}"


# --- one checkpoint --------------------------------------------------------------------------


def contents(folder: Folder, training: Training) -> Mapping[str, str]:
    """SHA-256 of each file that decides what the checkpoint answers; empty where it is gone."""
    hashes = FileHashes(training.origin.workspace)
    try:
        return hashes.of(models.model_files(folder.path, adapter=training.template.adapter))
    except OSError:
        return {}


def fingerprint(found: Mapping[str, str]) -> str:
    """Of a checkpoint's contents."""
    return digest(["checkpoint", dict(found)])


def evaluate(
    folder: Folder, training: Training, ledger: Ledger, progress: pipeline.Progress
) -> Look | Failure:
    """Evaluate a checkpoint; spend a look on it where its run is complete.

    Raises:
        EvalkitError: A fault of something else: the suite, data, a judge, the disk.
    """
    before = contents(folder, training)
    mark = fingerprint(before)
    if not before:
        return _failed(ledger, Failure(folder.name, mark, "it was deleted before it was read"))
    failure = None
    try:
        result = pipeline.run_suite(training.suite(folder), training.run_origin(), progress)
    except (ModelError, EngineError) as error:
        failure = Failure(folder.name, mark, str(error))
    else:
        after = contents(folder, training)
        # Files that are gone by now were deleted; the model was in memory.
        if any(before.get(name) != found for name, found in after.items()):
            failure = Failure(folder.name, mark, "its files changed while it was evaluated")
        elif result.unanswered:
            failure = Failure(folder.name, mark, result.reasons, result.unanswered)
    if failure is not None:
        return _failed(ledger, failure)
    name, run_id = training.model(folder), result.run.manifest.run_id
    merged = result.models[name].path if name in result.models else None  # found finished
    if merged is not None:
        # A 7B adapter leaves 14 GB; a training run has many.
        models.discard(merged, training.origin.workspace)
    return ledger.open_look(folder.name, mark, name, run_id)


def _failed(ledger: Ledger, failure: Failure) -> Failure:
    ledger.fail(failure)
    return failure


def decide(look: Look, training: Training, ledger: Ledger) -> GateResult:
    """The gate at a look's level; written as its verdict.

    Raises:
        DataError: the look's run is not there any more.
    """
    run = load(training.reports / look.run)
    result = _decided(run, look, training)
    ledger.decide(
        Verdict(look.look, result.verdict, result.exit_code, result.reasons, gate_json(result))
    )
    return result


def _decided(run: Run, look: Look, training: Training) -> GateResult:
    level = max(look.level, LEAST_LEVEL)
    policy = training.gate.model_copy(update={"alpha": level})
    result = gate(run, policy, candidate=look.model)
    if look.level >= LEAST_LEVEL:
        return result
    reason = f"look {look.look} may spend next to nothing: the plan keeps alpha for later looks"
    if result.verdict == "incomplete":
        return replace(result, reasons=(*result.reasons, reason))
    return replace(result, verdict="inconclusive", reasons=(reason,))


# --- the loop --------------------------------------------------------------------------------

_TRIES = 3
"""How often a checkpoint that fails is tried in one process; another start tries it again."""


@dataclass(frozen=True)
class Options:
    """How to watch."""

    poll_s: float = 15.0
    """Seconds between two looks at the folder, and for which files must be at rest."""
    once: bool = False
    """Measure what is there, and end."""
    stop_on_regression: bool = False


class Listener(Protocol):
    """Receives what happens, as it happens."""

    def progress(self) -> pipeline.Progress:
        """For one checkpoint's run."""
        ...

    def note(self, text: str) -> None:
        """Something to know."""
        ...

    def decided(self, plan: Plan, look: Look, result: GateResult) -> None:
        """A checkpoint has its verdict."""
        ...


class Silent:
    """A listener that does nothing."""

    def progress(self) -> pipeline.Progress:
        """A silent one, too."""
        return pipeline.Silent()

    def note(self, text: str) -> None:
        """Nothing."""

    def decided(self, plan: Plan, look: Look, result: GateResult) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Standing:
    """The folder when the watch ended."""

    present: frozenset[str] = frozenset()
    """Checkpoints that are there."""
    lacking: Mapping[str, str] = field(default_factory=dict)
    """Incomplete ones, and what each lacks."""
    changed: tuple[str, ...] = ()
    """Those that have changed since their look."""
    beyond: tuple[str, ...] = ()
    """Complete ones for which the plan has no look left."""
    ended: str = ""
    """Why the watch ended."""


def watch(training: Training, ledger: Ledger, options: Options, listener: Listener) -> Standing:
    """Follow a training run; the ledger has its plan.

    Returns when nothing more is to come: all planned looks were used, training reached its last
    step, the first regression where that ends it, or, with `once`, what is there was measured.

    Raises:
        EvalkitError: What only the user can fix; the same call then resumes.
    """
    watching = _Watch(training, ledger, options, listener)
    for look in ledger.open_looks:
        watching.decide(look)
    return watching.follow()


class _Watch:
    def __init__(
        self, training: Training, ledger: Ledger, options: Options, listener: Listener
    ) -> None:
        self.training, self.ledger = training, ledger
        self.options, self.listener = options, listener
        self.adapter = training.template.adapter
        self.settling = Settling(options.poll_s, adapter=self.adapter)
        self.tried: Counter[str] = Counter()
        """How often a checkpoint has failed in this process."""
        self.resting: set[str] = set()
        """Failed since the last verdict; retried after the next one."""
        self.unchanged: dict[str, State] = {}
        """Files of a checkpoint when they were last seen unchanged since its look."""
        self.said: set[str] = set()

    def follow(self) -> Standing:
        """Poll until nothing more is to come."""
        waited = False
        while True:
            found = find_folders(self.training.place)
            polled = self._poll(found)
            self._say(found, polled)
            ready = [f for f in polled.ready if self._may_be_tried(f)]
            ended = self._over()
            if not ended and ready:
                # One, then poll again: the folder may change while it is evaluated.
                self._measure(ready[0])
                continue
            if not ended and not polled.settling:
                ended = self._nothing_to_come(found)
            if not ended and self.options.once and (waited or not polled.settling):
                ended = "what is there was evaluated"
            if ended:
                return self._standing(ended)
            time.sleep(self.options.poll_s)
            waited = True

    def _poll(self, found: Sequence[Folder]) -> Polled:
        return self.settling.poll([f for f in found if self._is_new(f)], time.monotonic())

    def _nothing_to_come(self, found: Sequence[Folder]) -> str:
        return "training has reached its last step" if training_ended(found) else ""

    def _is_new(self, folder: Folder) -> bool:
        return self.ledger.look_at(folder.name) is None

    def _may_be_tried(self, folder: Folder) -> bool:
        return folder.name not in self.resting and self.tried[folder.name] < _TRIES

    def _over(self) -> str:
        regressed = any(v.verdict == "regression" for v in self.ledger.verdicts.values())
        if self.options.stop_on_regression and regressed:
            return "a checkpoint regressed"
        return "all planned looks are used" if self.ledger.used_up else ""

    def _measure(self, folder: Folder) -> None:
        self.listener.note(f"evaluating {folder.name}")
        found = evaluate(folder, self.training, self.ledger, self.listener.progress())
        if isinstance(found, Failure):
            self.tried[folder.name] += 1
            self.resting.add(folder.name)
            self.listener.note(f"{folder.name} failed and spends nothing: {found.reason}")
            return
        self.decide(found)
        self.resting.clear()

    def decide(self, look: Look) -> None:
        """Open a look's gate."""
        assert self.ledger.plan is not None, "a plan is made before the first look"
        result = decide(look, self.training, self.ledger)
        self.listener.decided(self.ledger.plan, look, result)

    def _standing(self, ended: str) -> Standing:
        found = find_folders(self.training.place)
        polled = self._poll(found)
        return Standing(
            present=frozenset(f.name for f in found),
            lacking=polled.lacking,
            changed=tuple(f.name for f in found if self._changed(f)),
            beyond=tuple(f.name for f in polled.ready) if self.ledger.used_up else (),
            ended=ended,
        )

    def _say(self, found: Sequence[Folder], polled: Polled) -> None:
        """Note what the user should fix, each once."""
        notes = {name: f"not whole: {polled.lacking[name]}" for name in polled.stuck}
        notes |= {f.name: changed_text(f.name) for f in found if self._changed(f)}
        for note in notes.values():
            if note not in self.said:
                self.said.add(note)
                self.listener.note(note)

    def _changed(self, folder: Folder) -> bool:
        """Whether a checkpoint is whole and other than what its look was at."""
        look = self.ledger.look_at(folder.name)
        if look is None:
            return False
        state = state_of(folder, adapter=self.adapter)
        if self.unchanged.get(folder.name) == state:
            return False
        if models.unfinished(folder.path, adapter=self.adapter):
            return False
        if fingerprint(contents(folder, self.training)) == look.fingerprint:
            self.unchanged[folder.name] = state
            return False
        return True


def changed_text(name: str) -> str:
    """What a changed checkpoint means."""
    return (
        f"{name} has changed since it was evaluated: its verdict is not of the present files, "
        f"which have none; give new checkpoints a folder of their own"
    )


# --- what a watch has found ------------------------------------------------------------------

_Seen: TypeAlias = tuple[Look, Verdict]


@dataclass(frozen=True)
class Summary:
    """The state of a watch."""

    plan: Plan
    looks: tuple[_Seen, ...]
    """In the order in which alpha was spent."""
    failures: tuple[Failure, ...]
    """Of checkpoints that have no verdict."""
    standing: Standing
    series: tuple[history.Series, ...]
    """Each primary metric over the checkpoints, in the order of training."""
    notes: tuple[str, ...] = ()

    @property
    def spent(self) -> float:
        """Alpha spent so far."""
        return self.looks[-1][0].spent if self.looks else 0.0

    @property
    def left(self) -> float:
        """Alpha that the plan's other looks may spend."""
        return max(0.0, self.plan.alpha - self.spent)

    @property
    def open_failures(self) -> tuple[Failure, ...]:
        """Failures of checkpoints that are still there."""
        return tuple(f for f in self.failures if f.checkpoint in self.standing.present)

    @property
    def exit_code(self) -> int:
        """1: a regression; 3: undecided where that fails, or a checkpoint has no verdict; else 0.

        Incomplete checkpoints, and those the plan has no look for, do not count; having no verdict
        at all does.
        """
        codes = {verdict.exit_code for _, verdict in self.looks}
        if 1 in codes:
            return 1
        is_incomplete = not self.looks or self.open_failures or self.standing.changed
        return 3 if 3 in codes or is_incomplete else 0


def summarise(training: Training, ledger: Ledger, standing: Standing) -> Summary:
    """The state of a watch, from its ledger and its stored runs."""
    assert ledger.plan is not None, "a watch begins with its plan"
    seen = [(k, ledger.verdicts[k.look]) for k in ledger.looks if k.look in ledger.verdicts]
    checkpoints, notes = _checkpoints(seen, training)
    series: list[history.Series] = []
    try:
        series = history.history(checkpoints) if checkpoints else []
    except DataError as error:  # no primary metric has a figure
        notes.append(str(error))
    return Summary(ledger.plan, tuple(seen), ledger.failures, standing, tuple(series), tuple(notes))


def _checkpoints(
    seen: list[_Seen], training: Training
) -> tuple[list[history.Checkpoint], list[str]]:
    found: list[history.Checkpoint] = []
    notes: list[str] = []
    for look, _ in seen:
        try:
            run = load(training.reports / look.run)
        except DataError as error:
            notes.append(f"{look.checkpoint} is left out of the figures: {error}")
            continue
        if said := state_text(run):
            notes.append(f"{look.checkpoint} is left out of the figures: {said}")
            continue
        found += history.checkpoints([run], look.model).checkpoints
    found.sort(key=lambda c: (c.step.value if c.step else 0.0, store.natural_key(c.label)))
    return found, notes


# --- for people -----------------------------------------------------------------------------


def summary_table(summary: Summary) -> Table:
    """One row a look."""
    columns = (
        Column("Look", "right"),
        Column("Checkpoint", header=True),
        Column("Verdict"),
        Column("Tested at", "right"),
        Column("Spent", "right"),
        Column("Run"),
    )
    return Table.of("", columns, [_row(look, verdict) for look, verdict in summary.looks])


def _row(look: Look, verdict: Verdict) -> tuple[Cell, ...]:
    tone = {"pass": "better", "regression": "worse"}.get(verdict.verdict, "unclear")
    word = "REGRESSION" if verdict.verdict == "regression" else verdict.verdict
    return (
        Cell(look.look, count(look.look)),
        Cell.text(look.checkpoint),
        Cell.text(word, tone=tone),  # type: ignore[arg-type]
        Cell(look.level, significant(look.level)),
        Cell(look.spent, significant(look.spent)),
        Cell.text(look.run),
    )


def look_words(look: Look, plan: Plan) -> str:
    """A look's place in the plan."""
    return (
        f"{look.checkpoint}: look {look.look} of {plan.looks}, tested at one-sided "
        f"{significant(look.level)}; {significant(look.spent)} of alpha {plan.alpha:g} spent"
    )


def summary_lines(summary: Summary) -> list[Line]:
    """For a terminal: what was spent and found, then each figure over the checkpoints."""
    plan = summary.plan
    done = f"{len(summary.looks)} of {plan.looks} planned looks"
    spent, left = significant(summary.spent), significant(summary.left)
    head = f"{plan.candidate} in {plan.checkpoints}: {done}; alpha {plan.alpha:g}: {spent} spent, "
    kept = f"the probability of a false regression is at most {plan.alpha:g}, and so is that of a "
    blocks: list[Sequence[Line]] = [
        [
            f"{head}{left} left",
            f"Over all planned looks together {kept}false pass.",
        ],
        [summary_table(summary)] if summary.looks else [],
        [*_remarks(summary)],
        *(history.series_lines(series) for series in summary.series),
    ]
    shown = [["", *block] for block in blocks if block]
    return [line for block in shown for line in block][1:]


def _remarks(summary: Summary) -> Iterator[str]:
    for look, verdict in summary.looks:
        yield from (f"because: {look.checkpoint}: {reason}" for reason in verdict.reasons)
    if not summary.looks:
        yield "no checkpoint has a verdict yet"
    for failure in summary.failures:
        gone = failure.checkpoint not in summary.standing.present
        then = "it is not there any more" if gone else "the same command tries it again"
        what = f"{failure.unanswered} samples unanswered: " if failure.unanswered else ""
        yield f"failed: {failure.checkpoint}: {what}{failure.reason}; {then}"
    yield from (f"not whole yet: {lack}" for lack in summary.standing.lacking.values())
    yield from (f"changed: {changed_text(name)}" for name in summary.standing.changed)
    if summary.standing.beyond:
        yield (
            f"not evaluated: {', '.join(summary.standing.beyond)}: all {summary.plan.looks} "
            f"planned looks are used"
        )
    yield from (f"note: {note}" for note in summary.notes)


# --- for programs ---------------------------------------------------------------------------


def summary_json(summary: Summary) -> dict[str, Json]:
    """Plan, looks with their gates, what is open, and `history --json`'s series."""
    return {
        "exit_code": summary.exit_code,
        "ended": summary.standing.ended,
        "plan": {**asdict(summary.plan), "alpha": summary.plan.alpha},
        "spent": summary.spent,
        "left": summary.left,
        "looks": [
            {**asdict(look), **{k: v for k, v in asdict(verdict).items() if k != "look"}}
            for look, verdict in summary.looks
        ],
        "failures": [
            {**asdict(f), "gone": f.checkpoint not in summary.standing.present}
            for f in summary.failures
        ],
        "not_whole": dict(summary.standing.lacking),
        "changed": list(summary.standing.changed),
        "not_evaluated": list(summary.standing.beyond),
        **history.history_json(summary.series, summary.notes),
    }


# --- all of it in one call -------------------------------------------------------------------


def follow(
    training: Training,
    looks: int | None,
    spending: Spending | None,
    options: Options,
    listener: Listener,
) -> Summary:
    """Watch a training run, or resume watching it.

    Args:
        training: What is watched.
        looks: Planned in all; None: as many as the first call said.
        spending: How alpha is spread; None: as in the first call, `even` by default.
        options: How to watch.
        listener: Receives what happens.

    Raises:
        SuiteError: no plan, or another one than the first call's.
        EvalkitError: What ended the watch early; the same call resumes it.
    """
    with Ledger(training.ledger_folder) as ledger:
        ledger.begin(_plan(training, ledger.plan, looks, spending))
        listener.note(f"ledger: {ledger.path}")
        standing = watch(training, ledger, options, listener)
        return summarise(training, ledger, standing)


def _plan(
    training: Training, before: Plan | None, looks: int | None, spending: Spending | None
) -> Plan:
    if looks is None and before is not None:
        looks = before.looks
    if looks is None:
        suggested = training.suggested_looks()
        hint = f"; the trainer's state suggests {suggested}" if suggested else ""
        raise SuiteError(
            f"the number of looks is missing: alpha is spread over a planned number of "
            f"checkpoints, which must be given (--looks N) before the first of them{hint}"
        )
    if spending is None:
        spending = "even" if before is None else before.spending
    return training.plan(looks, spending)
