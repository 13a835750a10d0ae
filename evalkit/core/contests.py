"""Judged comparisons: cautions, the corrected verdict, the gate's tests.

Contests are made in `compare` only; everything above selects and draws them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit.core.figures import Bridged, Comparison, Figure, FigureKey, Measured
from evalkit.core.requests import Json
from evalkit.core.run import State

__all__ = [
    "UNTESTED",
    "Caution",
    "Contest",
    "Damaged",
    "Family",
    "FewUnits",
    "GateAnswer",
    "GateResult",
    "GateTest",
    "GateVerdict",
    "JudgeFigure",
    "JudgeUnfit",
    "Limited",
    "LocalJudge",
    "Measure",
    "SettingsDiffer",
    "StatedByOne",
    "Unfinished",
    "Unreliable",
    "Verdict",
]


@dataclass(frozen=True)
class LocalJudge:
    """A model of the suite judged: not validated against people."""

    judge: str
    """Its name in the suite."""


Measure: TypeAlias = Literal[
    "position_bias",
    "verdict_flips",
    "vote_margin",
    "length_bias",
    "self_agreement",
    "self_preference",
    "unparsable",
    "people",
    "probe",
]
"""What is measured of a judge; the words are `draw`'s, thresholds are in `RequireSpec`."""


@dataclass(frozen=True)
class JudgeFigure:
    """One thing measured of a judge, and what is required of it."""

    measure: Measure
    value: Measured
    """In percent, or percentage points."""
    limit: float | None
    """In the same unit: the most there may be of what is bad, the least of what is good.  None:
    nothing is required."""
    at_least: bool = False
    """More is better."""

    @property
    def fails(self) -> bool:
        """Whether the interval is beyond the limit: the judge is shown not to meet it.

        What is undefined, or known from under five units, fails nothing.
        """
        v = self.value
        if self.limit is None or v.low is None or v.high is None or v.hardly_known:
            return False
        if self.at_least:
            return v.high < self.limit
        return v.low > self.limit or v.high < -self.limit

    @property
    def holds(self) -> bool:
        """Whether the interval is within the limit: the judge is shown to meet it."""
        v = self.value
        if self.limit is None or v.low is None or v.high is None or v.hardly_known:
            return False
        if self.at_least:
            return v.low >= self.limit
        return max(v.high, -v.low) <= self.limit


@dataclass(frozen=True)
class JudgeUnfit:
    """The judge does not meet what is required of it, so there is no verdict."""

    judge: str
    reasons: tuple[JudgeFigure, ...]
    """Those that fail."""


@dataclass(frozen=True)
class Limited:
    """The run used part of the samples only."""

    limit: int
    """Samples per task at most."""


@dataclass(frozen=True)
class Damaged:
    """One model's evidence had a fault when it was imported."""

    model: str
    benchmark: str
    message: str
    """What was found and what it means, a sentence without its full stop."""


@dataclass(frozen=True)
class SettingsDiffer:
    """A setting that both sides state, with different values."""

    field: str
    """Dotted name, as `--allow-different` takes it."""
    candidate: Json
    baseline: Json


@dataclass(frozen=True)
class StatedByOne:
    """A setting that only one side states: whether it differs is unknown."""

    field: str


@dataclass(frozen=True)
class FewUnits:
    """The standard error rests on so few units, or runs, that it is uncertain itself."""

    df: float | None
    """Degrees of freedom."""


@dataclass(frozen=True)
class Unfinished:
    """So many thoughts of one side did not end that there is no verdict: what is left is easier."""

    model: str
    benchmark: str
    share: float
    """Of its samples of the compared tasks, 0 to 1."""


@dataclass(frozen=True)
class Unreliable:
    """A side's run is not finished, or not as it was sealed: there is no verdict."""

    run: str
    """Its run id."""
    state: State
    faults: tuple[str, ...]
    """See `Run.faults`."""
    accepted: bool = False
    """Whoever compares said that damage is no matter: there is a verdict all the same."""


Caution: TypeAlias = (
    LocalJudge
    | JudgeUnfit
    | Limited
    | Damaged
    | SettingsDiffer
    | StatedByOne
    | FewUnits
    | Bridged
    | Unfinished
    | Unreliable
)
"""A caveat of a contest; its text is made in `draw`."""

Verdict: TypeAlias = Literal["better", "worse", "longer", "shorter", "not_significant", "undefined"]
"""`longer` and `shorter` are for lengths, which are neither better nor worse."""
Family: TypeAlias = Literal["headline", "detail", "history", "claim"]
"""The set that Holm's correction is over."""


@dataclass(frozen=True)
class Contest:
    """A comparison within its family."""

    comparison: Comparison
    family: Family
    tests: int
    """Comparisons with a p that the correction is over, this one included."""
    p_adjusted: float | None
    """By Holm; None where there is no p, or where settings differ and were not allowed to: then
    it is no test."""
    mde: float | None
    """Minimum detectable effect with the target power, in the comparison's unit."""
    verdict: Verdict
    cautions: tuple[Caution, ...] = ()
    primary: bool = False
    """Its metric is the primary one of its task or group, be it a headline or a detail."""

    @property
    def key(self) -> FigureKey:
        """The compared figure."""
        return self.comparison.key

    @property
    def unfit(self) -> bool:
        """Not tested, because its judge is not fit."""
        return any(isinstance(c, JudgeUnfit) for c in self.cautions)

    @property
    def unreliable(self) -> bool:
        """Without a verdict, because a run is not finished or not as it was sealed."""
        return any(isinstance(c, Unreliable) and not c.accepted for c in self.cautions)

    @property
    def withheld(self) -> bool:
        """Without a verdict: for that, or because thoughts of one side did not end."""
        return self.unreliable or any(isinstance(c, Unfinished) for c in self.cautions)

    @property
    def refused(self) -> bool:
        """Not tested, because the sides' settings differ or the judge is not fit."""
        differ = any(isinstance(c, SettingsDiffer) for c in self.cautions)
        return self.unfit or (self.p_adjusted is None and differ)


GateVerdict: TypeAlias = Literal[
    "pass", "regression", "inconclusive", "missing", "unfit", "damaged"
]
"""Of one test; `missing`: no common samples; `unfit`: the judge is not; `damaged`: a run is not
finished, or not as it was sealed."""
UNTESTED: frozenset[GateVerdict] = frozenset({"missing", "unfit", "damaged"})
"""Of tests that could not be made: a required one leaves the gate incomplete."""
GateAnswer: TypeAlias = Literal["pass", "regression", "inconclusive", "incomplete"]
"""Of the gate; `incomplete`: a required test is missing or damaged or its judge is not fit, and
none shows a regression."""


@dataclass(frozen=True)
class GateTest:
    """One non-inferiority test: is the candidate worse by the margin or more?"""

    key: FigureKey
    required: bool
    margin: float
    """Allowed loss, in the metric's unit."""
    contest: Contest | None
    """None: no common samples."""
    verdict: GateVerdict
    bounds: Measured | None
    """The difference with one-sided bounds, each at confidence 1 - alpha."""
    p: float | None
    """Of the null "worse by the margin or more"."""
    p_regression: float | None
    """Of the null "not worse at all", corrected by Holm over the required tests."""
    resolvable: float | None
    """Smallest margin at which an equal candidate passes with the target power."""
    needed: int | None
    """Units at which an equal candidate would pass with the target power; None: enough already, or
    no number suffices."""
    note: str
    """Why it is inconclusive or missing, or a remark."""


@dataclass(frozen=True)
class GateResult:
    """The gate's answer."""

    candidate: str
    baseline: str
    verdict: GateAnswer
    tests: tuple[GateTest, ...]
    reasons: tuple[str, ...]
    """Why it is not a pass; empty for one."""
    alpha: float
    power: float
    fails_undecided: bool
    """An inconclusive gate fails."""
    notes: tuple[str, ...] = ()
    """Remarks on the runs behind it."""
    unanswered: int = 0
    """Samples left unanswered by the run that this command has just made."""
    cause: str = ""
    """Why they are."""
    input_error: bool = False
    """What they lack the user has to correct: a key, a model's name."""
    never_answered: int = 0
    """Unanswered samples of all runs behind it.  Stored runs are judged as they are, so this alone
    does not change the exit code."""
    figures: tuple[Figure, ...] = ()
    """Of both sides, under the names above; none of runs that repeat one measurement."""

    @property
    def exit_code(self) -> int:
        """0 passed, 1 regression, 3 incomplete, undecided where that fails, or unanswered.

        2 where it is unanswered for the user's own input.
        """
        if self.verdict == "regression":
            return 1
        if self.input_error:
            return 2
        undecided = self.verdict == "inconclusive" and self.fails_undecided
        return 3 if self.verdict == "incomplete" or undecided or self.unanswered else 0
