"""The decision: is the candidate not worse than the baseline by more than the margins?

Each headline figure (`compare.headline`) is one non-inferiority test (`stats.non_inferiority`),
and so is each task within a group that the policy names.  The gate passes when every required test
passes, which needs no correction for their number; it calls a regression when one of them
regressed after Holm's correction, which does.  Where something that is required has no samples of
both, the gate is incomplete: what is not there is no noise, and no policy lets it pass.  Anything
else is inconclusive: too few samples to know.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from evalkit.compare import Row
from evalkit.compare.comparisons import degrees, is_hardly_known
from evalkit.compare.words import covers_scale, figure_label, units_text
from evalkit.core import Comparison, Json
from evalkit.core.specs import GateSpec
from evalkit.stats import (
    MarginRule,
    Verdict,
    holm,
    non_inferiority,
    unit_variance,
    units_for_margin,
)

__all__ = ["Decision", "GateResult", "Policy", "decide"]

Place: TypeAlias = tuple[str, str]
"""(benchmark, task)"""
Found: TypeAlias = Verdict | Literal["missing"]
"""Of one test; missing: no samples that both sides have."""
Answer: TypeAlias = Verdict | Literal["incomplete"]
"""Of the gate; incomplete: a required test is missing, and none shows a regression."""
_SPANS = {"percent": 100.0, "points": 9.0}
"""Largest difference of one sample's scores, by unit."""
_UNSAID = ("marks", "df")
"""What of a decision is no field of the JSON."""


@dataclass(frozen=True)
class Policy:
    """What the gate demands, from the suite's `gate` section."""

    margins: Mapping[str, float] = field(default_factory=dict)
    """By `benchmark/task` (`benchmark/average` for an average over its tasks), benchmark, or
    `default`, in the metric's unit; 0 where none is given."""
    alpha: float = 0.05
    power: float = 0.8
    required: frozenset[str] = frozenset()
    """Benchmarks (or `benchmark/task`) that must pass; empty: all but `warn_only`."""
    warn_only: frozenset[str] = frozenset()
    """Benchmarks (or `benchmark/task`) that are shown and never fail the gate."""
    fails_undecided: bool = False
    """An inconclusive gate fails."""

    @classmethod
    def of(cls, spec: GateSpec) -> Policy:
        """The policy of a suite."""
        return cls(
            margins=spec.margins,
            alpha=spec.alpha,
            power=spec.power,
            required=frozenset(spec.required),
            warn_only=frozenset(spec.warn_only),
            fails_undecided=spec.on_inconclusive == "fail",
        )

    def margin(self, place: Place, metric: str = "") -> float:
        """Allowed loss of one task, or of an average."""
        names = (*_names(place, metric), place[0], "default")
        return next((self.margins[n] for n in names if n in self.margins), 0.0)

    def requires(self, place: Place, metric: str = "") -> bool:
        """Whether this task, or average, decides."""
        names = {*_names(place, metric), place[0]}
        if self.required:
            return bool(names & self.required)
        return not names & self.warn_only

    def mentions(self, place: Place, metric: str = "") -> bool:
        """Whether this task, or average, is named by itself."""
        named = {*self.margins, *self.required, *self.warn_only}
        return not named.isdisjoint(_names(place, metric))


def _names(place: Place, metric: str) -> tuple[str, ...]:
    """What a policy may call one task, or an average over tasks."""
    own = f"{place[0]}/{place[1]}"
    return (own, f"{place[0]}/{metric}") if metric.startswith("average") else (own,)


@dataclass(frozen=True)
class Decision:
    """One test, in the unit of its metric; differences are candidate minus baseline."""

    benchmark: str
    task: str
    metric: str
    unit: str
    higher_is_better: bool
    required: bool
    verdict: Found
    margin: float
    difference: float | None
    low: float | None
    """One-sided bounds at confidence 1 - alpha, on each side."""
    high: float | None
    p: float | None
    """Of the null "worse by the margin or more"."""
    p_regression: float | None
    """Of the null "not worse at all", corrected by Holm over the required tests."""
    n: int
    n_clusters: int
    n_missing: tuple[int, int] | None
    """Candidate, baseline; None: how many were asked is not known."""
    resolvable: float | None
    """Smallest margin at which an equal candidate passes with the wanted power."""
    needed: int | None
    """Units that would resolve the margin; None where it is resolved, or cannot be."""
    note: str
    """Why it is inconclusive, or what to know."""
    unlike: tuple[str, ...] = ()
    """Settings that differ between the sides and were allowed to."""
    flags: tuple[str, ...] = ()
    """Of the comparison (`compare.Row`)."""
    marks: str = ""
    """What the verdict's word needs beside it, in brackets."""
    df: float | None = None
    """Degrees of freedom of the error."""

    @property
    def place(self) -> Place:
        """Benchmark and task."""
        return self.benchmark, self.task

    @property
    def label(self) -> str:
        """Benchmark and task in words."""
        return figure_label(self.benchmark, self.task, self.metric)

    @property
    def underpowered(self) -> bool:
        """The margin is under what so many samples resolve."""
        return self.resolvable is not None and self.margin < self.resolvable

    @property
    def hardly_known(self) -> bool:
        """The error rests on so few units, or runs, that it says not what they resolve."""
        return self.difference is not None and is_hardly_known(self.df)

    @property
    def too_wide(self) -> bool:
        """The bounds are of no use, as `compare` says of such an interval."""
        return self.hardly_known and covers_scale(self.low, self.high, self.unit)


@dataclass(frozen=True)
class GateResult:
    """The gate's answer."""

    candidate: str
    baseline: str
    verdict: Answer
    decisions: tuple[Decision, ...]
    reasons: tuple[str, ...]
    """Why it is not a pass; empty for one."""
    alpha: float
    power: float
    fails_undecided: bool
    notes: tuple[str, ...] = ()
    """What to know of the runs behind it: limited, damaged evidence."""
    unanswered: int = 0
    """Samples that the suite's run, just made, could not get answered."""
    never_answered: int = 0
    """Samples of all runs behind it that were never answered; stored ones are judged as they are,
    so that by itself this does not change the exit code."""

    @property
    def exit_code(self) -> int:
        """0 passed, 1 regression, 3 incomplete, undecided where that fails, or unanswered."""
        if self.verdict == "regression":
            return 1
        undecided = self.verdict == "inconclusive" and self.fails_undecided
        return 3 if self.verdict == "incomplete" or undecided or self.unanswered else 0

    def to_json(self) -> dict[str, Json]:
        """By field name, decisions as objects."""
        lists = ("n_missing", "unlike", "flags")
        decisions = [
            {
                k: list(v) if k in lists and v is not None else v
                for k, v in vars(d).items()
                if k not in _UNSAID
            }
            for d in self.decisions
        ]
        apart = ("decisions", "reasons", "notes", "never_answered")
        mine = {k: v for k, v in vars(self).items() if k not in apart}
        return {
            **mine,
            "unanswered": max(self.unanswered, self.never_answered),
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "exit_code": self.exit_code,
            "decisions": decisions,
        }


def decide(
    sides: tuple[str, str],
    rows: Sequence[Row],
    policy: Policy,
    *,
    expected: Sequence[Place] = (),
    notes: Sequence[str] = (),
    repeated: bool = False,
) -> GateResult:
    """Apply a policy.

    Args:
        sides: Candidate and baseline, as the result should name them.
        rows: From `compare.compare` of these two; headline rows are used, and those of tasks that
            the policy names.
        policy: What is demanded.
        expected: Benchmarks and tasks that must be there; one that is required and has no row
            makes the gate incomplete.  An empty task stands for any of the benchmark.
        notes: What to know of the runs behind the rows.
        repeated: The noise of repeated runs is in the rows, which more samples do not lessen: no
            number of them is said to do.
    """
    gated = [row for row in rows if _is_gated(row, policy)]
    found = [
        replace(
            _decision(row.comparison, policy), unlike=row.unlike, flags=row.flags, marks=row.marks
        )
        for row in gated
    ]
    if repeated:
        found = [replace(decision, needed=None) for decision in found]
    present = {d.place for d in found} | {(d.benchmark, "") for d in found}
    present |= {(d.benchmark, d.metric) for d in found if d.metric.startswith("average")}
    found += [_absent(place, policy) for place in expected if place not in present]
    found = _corrected(found, policy)
    required = [d for d in found if d.required]
    reasons: list[str] = [_reason(d) for d in required if d.verdict != "pass"]
    if not required:
        reasons.append("Nothing required was compared.")
    return GateResult(
        candidate=sides[0],
        baseline=sides[1],
        verdict=_answer({d.verdict for d in required}, nothing=not found),
        decisions=tuple(found),
        reasons=tuple(reasons),
        alpha=policy.alpha,
        power=policy.power,
        fails_undecided=policy.fails_undecided,
        notes=tuple(notes),
    )


def _answer(required: Collection[Found], *, nothing: bool) -> Answer:
    """The gate's, from what its required tests found; `nothing` was there to test at all."""
    if "regression" in required:
        return "regression"
    if "missing" in required or nothing:
        return "incomplete"
    return "pass" if set(required) == {"pass"} else "inconclusive"


def _is_gated(row: Row, policy: Policy) -> bool:
    c = row.comparison
    return row.headline or (row.primary and policy.mentions((c.benchmark, c.task), c.metric))


def _decision(c: Comparison, policy: Policy) -> Decision:
    place = (c.benchmark, c.task)
    sign = 1 if c.higher_is_better else -1
    margin = policy.margin(place, c.metric)
    rule = MarginRule(margin, policy.alpha, policy.power, _SPANS.get(c.unit))
    difference = None if c.difference is None else sign * c.difference
    df = degrees(c)
    found = non_inferiority(difference, c.standard_error, df, rule)
    bounds = [None if b is None else sign * b for b in (found.low, found.high)]
    low, high = bounds if sign == 1 else bounds[::-1]
    decided = Decision(
        benchmark=c.benchmark,
        task=c.task,
        metric=c.metric,
        unit=c.unit,
        higher_is_better=c.higher_is_better,
        required=policy.requires(place, c.metric),
        verdict="missing" if difference is None else found.verdict,
        margin=margin,
        difference=c.difference,
        low=low,
        high=high,
        p=found.p,
        p_regression=found.p_regression,
        n=c.n,
        n_clusters=c.n_clusters,
        n_missing=(c.n_missing_candidate, c.n_missing_baseline),
        resolvable=None if is_hardly_known(df) else found.resolvable,
        needed=None,
        note="" if found.low is not None else found.method,
        df=df,
    )
    return replace(decided, needed=_needed(decided, c, policy))


def _needed(decided: Decision, c: Comparison, policy: Policy) -> int | None:
    variance = unit_variance(c.standard_error, c.n_clusters)
    if not decided.underpowered or not variance:
        return None
    return units_for_margin(variance, decided.margin, alpha=policy.alpha, power=policy.power)


def _absent(place: Place, policy: Policy) -> Decision:
    return Decision(
        benchmark=place[0],
        task=place[1],
        metric="",
        unit="raw",
        higher_is_better=True,
        required=policy.requires(place),
        verdict="missing",
        margin=policy.margin(place),
        difference=None,
        low=None,
        high=None,
        p=None,
        p_regression=None,
        n=0,
        n_clusters=0,
        n_missing=None,
        resolvable=None,
        needed=None,
        note="no samples that both have",
    )


def _corrected(found: Sequence[Decision], policy: Policy) -> list[Decision]:
    """Regressions hold after Holm's correction over the required tests, or are undecided.

    Where all samples agree there is no p: such a regression stands, since its bounds are exact.
    """
    adjusted = holm([d.p_regression if d.required else None for d in found])
    corrected = []
    for decision, p in zip(found, adjusted, strict=True):
        if not decision.required:
            corrected.append(decision)
            continue
        verdict, note = decision.verdict, decision.note
        if verdict == "regression" and p is not None and p > policy.alpha:
            verdict = "inconclusive"
            note = "worse on its own, not once all required tests are corrected for"
        corrected.append(replace(decision, verdict=verdict, p_regression=p, note=note))
    return corrected


def _reason(decision: Decision) -> str:
    if decision.verdict == "regression":
        return f"{decision.label}: worse beyond doubt, by more than the margin allows"
    if decision.note:
        return f"{decision.label}: {decision.note}"
    if decision.underpowered:
        needed = f"; it would take {decision.needed:,}" if decision.needed else ""
        return (
            f"{decision.label}: {units_text(decision.n, decision.n_clusters)} do not resolve the "
            f"margin{needed}"
        )
    if decision.hardly_known:
        many = not is_hardly_known(decision.n_clusters - 1)
        few = "the runs" if many else units_text(decision.n, decision.n_clusters)
        return f"{decision.label}: {few} are too few to know how precise the difference is"
    return f"{decision.label}: neither within the margin nor worse beyond doubt"
