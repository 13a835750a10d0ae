"""The regression gate: is the candidate not worse than the baseline by more than the margins?

    runs, policy ─ sides ─▶ contests ─ non-inferiority ─▶ tests ─▶ pass, regression, ...

Each headline figure is one non-inferiority test (`stats.decisions.non_inferiority`), and so is each
task within a group that the policy names.  The gate passes when every required test passes, which
needs no correction for their number; it is a regression when one of them regressed after Holm's
correction, which does.  Where something that is required has no samples of both, the gate is
incomplete: what is not there is no noise, and no policy lets it pass.  Anything else is
inconclusive: too few samples to know.  A pinned baseline is one model's scores and what made them,
small enough to commit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from evalkit import catalogue, store
from evalkit.comparison.cautions import damages
from evalkit.comparison.contests import (
    Options,
    by_other_judges,
    caution_json,
    contests_of,
    unvaried,
    without_samples,
)
from evalkit.comparison.figures import scores_of
from evalkit.comparison.guard import WAYS_OUT, allowed_fields
from evalkit.comparison.recompute import load
from evalkit.comparison.resolve import (
    Side,
    find,
    margin_of,
    names_of,
    pick,
    recorded,
    the_candidate,
)
from evalkit.core import Json, Outcome, Record, Score, Status
from evalkit.core.contests import (
    UNTESTED,
    Contest,
    GateAnswer,
    GateResult,
    GateTest,
    GateVerdict,
    LocalJudge,
    SettingsDiffer,
)
from evalkit.core.figures import Bridged, FigureKey, Unit
from evalkit.core.run import BenchmarkEntry, Run, TaskEntry
from evalkit.core.specs import GateSpec
from evalkit.draw import (
    caution_notes,
    caution_text,
    gate_reason,
    settings_text,
    state_text,
    unfit_text,
    withheld_text,
)
from evalkit.errors import ComparisonError, DataError, SuiteError
from evalkit.stats.averages import paired_averages
from evalkit.stats.decisions import holm, non_inferiority, unit_variance, units_for_margin

__all__ = [
    "Policy",
    "decide",
    "gate",
    "gate_json",
    "gate_test",
    "gated",
    "pin",
    "read_baseline",
    "read_pinned",
]


@dataclass(frozen=True)
class Policy:
    """What a suite's `gate` section demands of a figure."""

    spec: GateSpec
    entries: Mapping[str, BenchmarkEntry]
    """By name, as runs declare them: they say which figures are averages."""

    def names(self, key: FigureKey) -> tuple[str, ...]:
        """What the section may call the figure by itself: see `resolve.names_of`."""
        return names_of(key, self.entry(key))

    def entry(self, key: FigureKey) -> BenchmarkEntry:
        """The figure's benchmark."""
        return self.entries.get(key.benchmark, BenchmarkEntry(name=key.benchmark))

    def margin(self, key: FigureKey, unit: Unit | None = None) -> float:
        """Allowed loss, in the metric's unit; 0 where none is given.  Raises as `margin_of`."""
        return margin_of(self.spec, key, self.entries, unit) or 0.0

    def check(self) -> None:
        """Raise SuiteError where the default margin is not in the unit of a headline figure."""
        for entry in self.entries.values():
            for key in entry.headlines:
                self.margin(key)

    def is_sound(self) -> bool:
        """Whether `check` passes."""
        try:
            self.check()
        except SuiteError:
            return False
        return True

    def requires(self, key: FigureKey) -> bool:
        """Whether its test decides."""
        names = {*self.names(key), key.benchmark}
        if self.spec.required:
            return bool(names & set(self.spec.required))
        return not names & set(self.spec.warn_only)

    def mentions(self, key: FigureKey) -> bool:
        """Whether it is named by itself."""
        named = {*self.spec.margins, *self.spec.required, *self.spec.warn_only}
        return not named.isdisjoint(self.names(key))


def gate(
    run: Run,
    spec: GateSpec | None = None,
    *,
    candidate: str | None = None,
    baseline: Sequence[Run] = (),
    allow_different: Collection[str] = (),
    repeats: Sequence[Run] = (),
) -> GateResult:
    """Whether a run's candidate is worse than the baseline by more than a policy's margins.

    Args:
        run: Has the candidate's scores.
        spec: The policy; None: the gate section of the run's suite.
        candidate: `MODEL` or `RUN:MODEL`; None: the run's candidate.
        baseline: Has the baseline's scores (`read_baseline`), several repeat them; empty: the run
            itself.
        allow_different: Settings that may differ; see `contests.Options`.
        repeats: More runs that repeat this one's measurement: a sample's score is its mean over
            them, and what runs shift by is in the bounds.

    Raises:
        SuiteError: there is no policy, or its default margin is for figures in several units.
        ComparisonError: candidate or baseline is not clear, or their settings differ.
    """
    spec = run.manifest.suite.gate if spec is None else spec
    if spec is None:
        raise SuiteError(
            f"{run.folder}: its suite has no gate section; write one (gate: {{baseline: MODEL, "
            f"margins: {{default: 2.0}}}}), or name a suite that has with --policy"
        )
    mine = [run, *repeats]
    behind = {one.folder.resolve(): one for one in (*mine, *baseline)}
    entries: dict[str, BenchmarkEntry] = {}
    for one in behind.values():
        entries = {**{entry.name: entry for entry in one.benchmarks}, **entries}
    policy = Policy(spec, entries)
    if any(one.unreadable for one in behind.values()) or (
        any(one.faults for one in behind.values()) and not policy.is_sound()
    ):
        return _without_records(spec, mine[0], candidate, list(behind.values()))
    ours, theirs = _sides(mine, spec, candidate, baseline)
    allowed = allowed_fields(list(behind.values()), allow_different)
    options = Options(1 - 2 * spec.alpha, spec.power, allowed, repeats=True)
    sizes = [max(len(side.repeats[name]) for name in side.parts) for side in (ours, theirs)]
    apart = by_other_judges(ours, theirs, options)
    alike = replace(ours, parts={n: part for n, part in ours.parts.items() if n not in apart})
    found = [] if apart and not alike.parts else contests_of(alike, [theirs], options)
    tests = [gate_test(one, policy, repeated=max(sizes) > 1) for one in gated(found, policy)]
    expected = [key for one in mine for key in one.headlines]
    tests += _missing(tests, expected, policy, ours, theirs, apart)
    tested = {test.key for test in tests}
    judged = (
        replace(one, cautions=tuple(c for c in one.cautions if isinstance(c, LocalJudge | Bridged)))
        for one in found
        if one.key in tested
    )
    notes = [*(note for one in behind.values() for note in _notes(one)), *caution_notes(judged)]
    if max(sizes) > 1:
        words = [f"{n} {'run' if n == 1 else 'runs'}" for n in sizes]
        said = (
            f"{words[0]} of {ours.label}, {words[1]} of {theirs.label}: scores are means over "
            f"them, and what a run shifts by is in the bounds."
        )
        notes = [said, *unvaried((ours, theirs)), *notes]
    result = decide(ours.label, theirs.label, tests, spec, notes)
    keys = [test.key for test in tests]
    return replace(
        result,
        never_answered=sum(map(_never_answered, behind.values())),
        figures=(*ours.figures(keys), *theirs.figures(keys)),
    )


def _without_records(
    spec: GateSpec, run: Run, candidate: str | None, behind: Sequence[Run]
) -> GateResult:
    """The answer where a damaged run leaves nothing that could be tested."""
    named = (m.name for m in run.manifest.models if m.role == "candidate")
    found = decide(candidate or next(named, ""), spec.baseline, [], spec)
    return replace(found, reasons=tuple(note for one in behind for note in _notes(one)))


def decide(
    candidate: str,
    baseline: str,
    tests: Sequence[GateTest],
    spec: GateSpec,
    notes: Sequence[str] = (),
) -> GateResult:
    """What the tests amount to, once regressions are corrected for several tests.

    Args:
        candidate: As the result should name it.
        baseline: Likewise.
        tests: Each by itself (`gate_test`).
        spec: The policy.
        notes: What to know of the runs behind them.
    """
    corrected = _corrected(tests, spec.alpha)
    required = [test for test in corrected if test.required]
    reasons = [gate_reason(test) for test in required if test.verdict != "pass"]
    return GateResult(
        candidate=candidate,
        baseline=baseline,
        verdict=_answer({test.verdict for test in required}, nothing=not tests),
        tests=tuple(corrected),
        reasons=tuple(reasons if required else ["Nothing required was compared."]),
        alpha=spec.alpha,
        power=spec.power,
        fails_undecided=spec.on_inconclusive == "fail",
        notes=tuple(dict.fromkeys(notes)),
    )


def _answer(required: Set[str], *, nothing: bool) -> GateAnswer:
    """From what the required tests found; `nothing` was there to test at all."""
    if "regression" in required:
        return "regression"
    if not required.isdisjoint(UNTESTED) or nothing:
        return "incomplete"
    return "pass" if required == {"pass"} else "inconclusive"


# --- tests --------------------------------------------------------------------------------------


def gated(contests: Sequence[Contest], policy: Policy) -> list[Contest]:
    """The headline contests, and those of tasks within a group that the policy names."""
    return [
        one
        for one in contests
        if one.family == "headline"
        or (one.primary and one.key.category is None and policy.mentions(one.key))
    ]


def gate_test(contest: Contest, policy: Policy, *, repeated: bool = False) -> GateTest:
    """The test of one contest, by itself.

    Args:
        contest: At a level of 1 - 2 alpha, if its interval is to be the bounds.
        policy: Margin, alpha, power.
        repeated: The noise of repeated runs is in the error, which more samples do not lessen (nor
            that of a bridge between judges): no number of them is said to do.
    """
    key, c, d, spec = contest.key, contest.comparison, contest.comparison.difference, policy.spec
    if contest.unfit:
        why = unfit_text(contest.cautions)
        return _without(key, policy, contest, "unfit", why)
    if contest.unreliable:
        return _without(key, policy, contest, "damaged", withheld_text(contest.cautions))
    margin, unit = policy.margin(key, c.unit), catalogue.unit(c.unit)
    span = None if unit.low is None or unit.high is None else unit.high - unit.low
    found = non_inferiority(
        d,
        margin,
        alpha=spec.alpha,
        power=spec.power,
        span=span,
        higher_is_better=c.higher_is_better,
    )
    resolvable = None if d.hardly_known else found.resolvable
    variance, needed = unit_variance(d.standard_error, d.n_units), None
    fixed = repeated or d.method.bridged is not None
    if variance and resolvable is not None and margin < resolvable and not fixed:
        needed = units_for_margin(variance, margin, alpha=spec.alpha, power=spec.power)
    missing = d.point is None
    note = "" if found.bounds.low is not None else found.bounds.how
    if contest.withheld:
        # Its bounds are of the samples that were finished.
        found = replace(found, verdict="inconclusive", p=None, p_regression=None)
        note = withheld_text(contest.cautions)
    return GateTest(
        key=key,
        required=policy.requires(key),
        margin=margin,
        contest=contest,
        verdict="missing" if missing else found.verdict,
        bounds=None if missing else found.bounds,
        p=found.p,
        p_regression=found.p_regression,
        resolvable=resolvable,
        needed=needed,
        note=d.method.detail if missing else note,
    )


def _missing(
    tests: Sequence[GateTest],
    expected: Sequence[FigureKey],
    policy: Policy,
    ours: Side,
    theirs: Side,
    apart: Mapping[str, SettingsDiffer],
) -> Iterator[GateTest]:
    """Headline figures that the run declares, and what the policy requires by name, without one."""
    present = {test.key for test in tests}
    keys = dict.fromkeys(key for key in expected if key not in present)
    for name in policy.spec.required:
        named = [key for key in (*present, *keys) if name in (*policy.names(key), key.benchmark)]
        if not named:
            benchmark, _, task = name.partition("/")
            entry = policy.entry(FigureKey(benchmark, task, ""))
            known = [k for k in entry.primaries if name in policy.names(k)]
            keys |= dict.fromkeys(known or [FigureKey(benchmark, task, "")])
    for key in keys:
        contest = _empty(key, policy, ours, theirs)
        is_known = contest is not None or not key.task or key.benchmark not in policy.entries
        unknown = "the runs have this benchmark, but no task or average of that name"
        why = "no samples that both have" if is_known else unknown
        if (differ := apart.get(key.benchmark)) is not None:
            why = f"two judges ({settings_text(differ)}): {WAYS_OUT}"
        yield _without(key, policy, contest, "missing", why)


def _without(
    key: FigureKey, policy: Policy, contest: Contest | None, verdict: GateVerdict, why: str
) -> GateTest:
    """A test that could not be made."""
    return GateTest(
        key=key,
        required=policy.requires(key),
        margin=policy.margin(key),
        contest=contest,
        verdict=verdict,
        bounds=None,
        p=None,
        p_regression=None,
        resolvable=None,
        needed=None,
        note=why,
    )


def _empty(key: FigureKey, policy: Policy, ours: Side, theirs: Side) -> Contest | None:
    """Metric, unit and missing scores of such a figure; None where nobody declares it."""
    entry = policy.entry(key)
    metric = entry.metric(key.task, key.metric)
    if metric is None:
        return None
    parts = [side.parts.get(key.benchmark) for side in (ours, theirs)]
    records = [() if part is None else part.records for part in parts]
    if entry.average(key) is not None:
        one = paired_averages(records[0], records[1], entry.averages, 0.95)[key.task, key.metric]
        lacking = one.missing_ours, one.missing_theirs
    else:
        task = TaskEntry(metrics=(replace(metric, by_category=False),))
        alone = BenchmarkEntry(name=key.benchmark, tasks={key.task: task})
        found = [[*scores_of([r for r in held if r.task == key.task], [alone])] for held in records]
        scored = [{p for of in each for held in of.scores.values() for p in held} for each in found]
        absent = {p for each in found for of in each for held in of.absent.values() for p in held}
        wanted = {p for p in (*scored[0], *scored[1], *absent) if "#" not in p[1]}
        lacking = len(wanted - scored[0]), len(wanted - scored[1])
    return without_samples(ours.label, theirs.label, key, metric, lacking)


def _corrected(tests: Sequence[GateTest], alpha: float) -> list[GateTest]:
    """Regressions hold after Holm's correction over the required tests, or are inconclusive.

    Where all samples agree there is no p: such a regression stands, since its bounds are exact.
    """
    adjusted = holm([test.p_regression if test.required else None for test in tests])
    found = []
    for test, p in zip(tests, adjusted, strict=True):
        if not test.required:
            found.append(test)
        elif test.verdict == "regression" and p is not None and p > alpha:
            note = "worse on its own, not once all required tests are corrected for"
            found.append(replace(test, p_regression=p, verdict="inconclusive", note=note))
        else:
            found.append(replace(test, p_regression=p))
    return found


# --- sides and notes ----------------------------------------------------------------------------


def _sides(
    mine: Sequence[Run], spec: GateSpec, candidate: str | None, baseline: Sequence[Run]
) -> tuple[Side, Side]:
    """Candidate and baseline, under labels that differ."""
    places = {one.folder.resolve() for one in mine}
    if not baseline or baseline[0].folder.resolve() in places:
        every = [*mine, *(run for run in baseline if run.folder.resolve() not in places)]
        found, (name,) = pick(every, candidate, [spec.baseline])
        ours, theirs = (find(every, one, repeats=True) for one in (found, name))
        return ours, theirs
    known = recorded(baseline)
    name = spec.baseline if spec.baseline in known else known[0] if len(known) == 1 else ""
    if not name:
        raise ComparisonError(
            f"{baseline[0].folder}: has no model {spec.baseline!r}, which the policy names; it has "
            f"{', '.join(known) or 'none'}"
        )
    candidate = candidate or the_candidate(mine)
    where = mine if candidate in recorded(mine) else [*mine, *baseline]
    ours = find(where, candidate, repeats=True)
    theirs = find(baseline, name, repeats=True)
    if candidate in known or name in recorded(mine):
        folders = [mine[0].folder, baseline[0].folder]
        if folders[0].name != folders[1].name:
            folders = [Path(folder.name) for folder in folders]
        ours = replace(ours, label=f"{folders[0]}:{candidate}")
        theirs = replace(theirs, label=f"{folders[1]}:{name}")
    return ours, theirs


def _never_answered(run: Run) -> int:
    return sum(bool(record.outcome.unanswered) for record in run.records)


def _notes(run: Run) -> Iterator[str]:
    """What makes a run's scores doubtful."""
    if run.manifest.limit is not None:
        yield (
            f"{run.folder}: limited to {run.manifest.limit} samples per task; for trials, not for "
            f"publication."
        )
    if unanswered := _never_answered(run):
        why = run.unanswered_reasons
        step = "run its suite again (`evalkit run`) to resume"
        if run.folder.is_file():
            step = "pin the baseline again (--write-baseline) from a run that is complete"
        yield f"{run.folder}: {unanswered} samples were never answered ({why}); {step}."
    if state_text(run):
        yield f"{run.folder}: {state_text(run)}"
    yield from (caution_text(damaged) for damaged in damages(run))


def gate_json(result: GateResult) -> dict[str, Json]:
    """By field name, tests as flat `decisions`."""
    return {
        "candidate": result.candidate,
        "baseline": result.baseline,
        "verdict": result.verdict,
        "alpha": result.alpha,
        "power": result.power,
        "fails_undecided": result.fails_undecided,
        "unanswered": max(result.unanswered, result.never_answered),
        "reasons": list(result.reasons),
        "notes": list(result.notes),
        "exit_code": result.exit_code,
        "decisions": [_test_json(test) for test in result.tests],
    }


def _test_json(test: GateTest) -> dict[str, Json]:
    contest, bounds = test.contest, test.bounds
    c = None if contest is None else contest.comparison
    lacking = None if c is None else [c.n_missing_candidate, c.n_missing_baseline]
    if test.verdict == "missing" and lacking == [0, 0]:
        lacking = None  # of scores that no record is for
    return {
        "benchmark": test.key.benchmark,
        "task": test.key.task,
        "metric": test.key.metric,
        "unit": None if c is None else c.unit,
        "higher_is_better": None if c is None else c.higher_is_better,
        "required": test.required,
        "verdict": test.verdict,
        "margin": test.margin,
        "difference": None if c is None else c.difference.point,
        "low": None if bounds is None else bounds.low,
        "high": None if bounds is None else bounds.high,
        "p": test.p,
        "p_regression": test.p_regression,
        "n": 0 if c is None else c.difference.n,
        "n_clusters": 0 if c is None else c.difference.n_units,
        "n_missing": lacking,
        "resolvable": test.resolvable,
        "needed": test.needed,
        "note": test.note,
        "cautions": [] if contest is None else [caution_json(x) for x in contest.cautions],
    }


# --- pinned baselines ---------------------------------------------------------------------------
#
#     {"format": 2, "kind": "evalkit baseline", "model": ..., "run": {"run_id", "records_sha256"},
#      "limit": ..., "judges": [...], "benchmarks": [...], "evidence": [...],
#      "records": {BENCHMARK: [[task, sample, category, cluster, status, [[metric, part, value]]]]}}
#
# A record has a seventh entry, {metric: values}, where an average needs values that are no score
# (`core.Average`; IFEval's instructions), and an eighth like the sixth where the second judge of a
# bridge scored it, too.  No question and no answer is in it.  `judges`, `benchmarks` and `evidence`
# are the manifest's entries, so that the guard reads a pinned baseline like a run.

_KIND = "evalkit baseline"
_FORMAT = 2


def pin(run: Run, model: str) -> bytes:
    """The file for one model of a run.  Raises ComparisonError where it has no records there."""
    mine = [record for record in run.records if record.model == model]
    if not mine:
        raise ComparisonError(
            f"model {model!r} has no records in {run.folder}; expected one of: "
            f"{', '.join(recorded([run])) or 'none'}"
        )
    records: dict[str, list[Json]] = {}
    for record in mine:
        averages = run.benchmark(record.benchmark).averages
        averaged = {metric for average in averages for _, metric in average.of}
        values = {name: v for name, v in record.outcome.data.items() if name in averaged}
        row: list[Json] = [
            record.task,
            record.sample,
            record.category,
            record.cluster,
            record.outcome.status,
            _rows(record.outcome.scores),
        ]
        if values or record.outcome.rejudged:
            row.append(values)
        if record.outcome.rejudged:
            row.append(_rows(record.outcome.rejudged))
        records.setdefault(record.benchmark, []).append(row)
    manifest = store.manifest_json(run.manifest)
    head: dict[str, Json] = {
        "format": _FORMAT,
        "kind": _KIND,
        "model": model,
        "run": {
            "run_id": run.manifest.run_id,
            "records_sha256": hashlib.sha256(store.canonical_json(records)).hexdigest(),
        },
        "limit": run.manifest.limit,
        "judges": manifest.get("judges", []),
        "benchmarks": [b for b in manifest.get("benchmarks", ()) if b["name"] in records],
        "evidence": [
            e for e in manifest.get("evidence", ()) if e["model"] == model and e["entry"] in records
        ],
    }
    # One record a line, so that a change shows as one.
    text = json.dumps(head, indent=1, ensure_ascii=False, sort_keys=True)
    parts = []
    for name, rows in records.items():
        lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        parts.append(f"{json.dumps(name, ensure_ascii=False)}: [\n{lines}\n]")
    return (text[:-2] + ',\n "records": {' + ",\n".join(parts) + "}\n}\n").encode(
        "utf-8",
        "backslashreplace",  # half of a surrogate pair, as the escape that JSON has for it
    )


def _rows(scores: Sequence[Score]) -> list[Json]:
    return [[s.metric, s.part, s.value] for s in scores]


def read_baseline(path: Path) -> Run:
    """A stored run, or a pinned `baseline.json`.  Raises DataError or StoreError."""
    if path.is_file() and path.name != store.MANIFEST_NAME:
        return read_pinned(path)
    return load(path)


def read_pinned(path: Path) -> Run:
    """A pinned baseline as a run with one model.  Raises DataError where it is none, or changed."""
    step = "write it again with --write-baseline"
    found = store.read_json(path, step)
    if not isinstance(found, dict) or found.get("kind") != _KIND:
        raise DataError(
            f"{path}: is no pinned baseline; expected what `evalkit gate RUN --write-baseline "
            f"FILE` writes"
        )
    if found.get("format") not in (1, _FORMAT):
        raise DataError(
            f"{path}: format {found.get('format')!r}; this evalkit reads 1 to {_FORMAT}: write it "
            f"again"
        )
    try:
        return _pinned(path, found)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{path}: is damaged ({type(error).__name__}: {error}); {step}") from error


def _pinned(path: Path, found: dict[str, Json]) -> Run:
    rows, model = found["records"], str(found["model"])
    seen = hashlib.sha256(store.canonical_json(rows)).hexdigest()
    if seen != found["run"]["records_sha256"]:
        raise ValueError(
            f"sha256 of its records is {seen}, expected {found['run']['records_sha256']}"
        )
    manifest = store.manifest_of(
        {
            "format": found["format"],
            "run_id": found["run"].get("run_id") or "",
            "sealed": True,
            "limit": found.get("limit"),
            "models": [{"name": model, "role": "baseline"}],
            "judges": found.get("judges", []),
            "benchmarks": found["benchmarks"],
            "evidence": found.get("evidence", []),
        },
        path,
    )
    records = tuple(
        _record(model, str(benchmark), row) for benchmark, given in rows.items() for row in given
    )
    return Run(path, manifest, records, (), ())


def _record(model: str, benchmark: str, row: Json) -> Record:
    task, sample, category, cluster, status, scores, *more = row
    values, rejudged = (more[0] if more else {}), (more[1] if len(more) > 1 else ())
    if status not in get_args(Status):
        raise ValueError(f"status {status!r} of sample {sample!r}")
    made, again = (
        tuple(Score(str(metric), float(value), str(part)) for metric, part, value in each)
        for each in (scores, rejudged)
    )
    outcome = Outcome(status, scores=made, rejudged=again, data=dict(values))
    return Record(model, benchmark, str(task), str(sample), category, cluster, outcome)
