"""Figures: what metrics are, and every number that is computed from records.

Metric, Average ─ what a benchmark declares
FigureKey       ─ the only way to name a figure
Measured        ─ a number with its uncertainty, and the Method that gave it
Figure          ─ a model's figure: computed here, or published by someone (then with a Source)
Comparison      ─ candidate minus baseline, as stored: not corrected for several comparisons
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal, TypeAlias

from evalkit.core.requests import STORED, Level, Moderate

__all__ = [
    "Average",
    "Bridged",
    "Comparison",
    "Estimator",
    "Figure",
    "FigureKey",
    "Finding",
    "Interval",
    "Measured",
    "Method",
    "Metric",
    "Source",
    "Unit",
]

Unit: TypeAlias = Literal["percent", "points", "characters", "raw"]
"""`percent`: 0 to 100; `points`: MT-Bench's 1 to 10; `characters`: a length; `raw`: any other."""
_FEWEST_DF = 4


@dataclass(frozen=True)
class Metric:
    """How the per-sample scores of one name become a figure."""

    __pydantic_config__ = STORED

    name: str
    unit: Unit
    scale: Moderate = 1.0
    """Multiplies per-sample values into the unit."""
    higher_is_better: bool = True
    primary: bool = False
    """The headline metric of its task; exactly one per task."""
    by_category: bool = False
    """Also reported per category."""
    parts: tuple[str, ...] = ("",)
    """Scores every record should have of this metric, by `Score.part`; what a record lacks of
    them is `n_missing`."""
    whole: bool = False
    """The figure is cut to a whole number, as its leaderboard prints it."""


@dataclass(frozen=True)
class Average:
    """A figure over other figures of one benchmark: what a group or a leaderboard computes."""

    __pydantic_config__ = STORED

    task: str
    """The group's name, shown beside the tasks."""
    metric: Metric
    """`scale` multiplies the figures it is made of; `primary`: it is a headline figure, and the
    tasks it is made of are its details."""
    of: tuple[tuple[str, str], ...]
    """(task, metric) of each figure that is averaged: of samples, or an average listed before."""
    by_size: bool = False
    """Weighted by the number of documents; else every figure counts once."""
    chance: float | None = None
    """The one figure s in `of` is set against chance: max(0, (s - chance) / (1 - chance))."""
    columns: bool = False
    """The figures it is made of stay headline figures beside it: a leaderboard's columns."""


@dataclass(frozen=True, order=True)
class FigureKey:
    """Names a figure within a run."""

    __pydantic_config__ = STORED

    benchmark: str
    """Entry of the suite."""
    task: str
    metric: str
    category: str | None = None
    """None: all categories together."""

    @property
    def whole(self) -> FigureKey:
        """The same figure over all categories."""
        return FigureKey(self.benchmark, self.task, self.metric)


class Estimator(Enum):
    """How a point and its standard error come about."""

    MEAN = "mean"
    """Mean of the scores; clustered: CR1 (Cameron and Miller 2015, eq. 11)."""
    SHARE = "share"
    """Share of binary scores (interval: Wilson 1927)."""
    PAIRED = "paired"
    """Mean of paired differences, two-sided t test."""
    TASKS = "tasks"
    """Mean of task means (Cochran 1977, eq. 5.7; degrees of freedom: Satterthwaite 1946)."""
    CORPUS = "corpus"
    """The metric over all samples, as its benchmark defines it."""
    LENGTH_CONTROLLED = "length_controlled"
    """Dubois et al. 2024."""
    STRENGTH = "strength"
    """Bradley and Terry 1952."""
    PREDICTION_POWERED = "prediction_powered"
    """Angelopoulos et al. 2023."""
    BRIDGED = "bridged"
    """On the scale of an earlier judge: a prediction-powered mean or difference."""
    KAPPA = "kappa"
    """Cohen 1960; error: jackknife over units."""
    NON_INFERIORITY = "non_inferiority"
    """Difference between one-sided t bounds."""
    RECORDED = "recorded"
    """As the evidence states it."""
    PUBLISHED = "published"
    """As its publisher states it."""


class Interval(Enum):
    """How low and high come about."""

    NONE = "none"
    T = "t"
    WILSON = "wilson"
    BOOTSTRAP = "bootstrap"
    NORMAL = "normal"
    STATED = "stated"
    """As stated where the figure comes from; `Method.detail` alone says how it was computed."""


@dataclass(frozen=True)
class Bridged:
    """What was scored by one judge stands on the scale of the judge before it."""

    __pydantic_config__ = STORED

    scored_by: str
    """The judge that scored the answers."""
    scale_of: str
    """The earlier judge."""
    n: int
    """Scores that both judges gave."""
    correlation: float
    """Pearson's, of the two judges' scores of an answer, within models."""
    answers_of: tuple[str, ...]
    """Whose answers those are."""
    own: bool
    """They are answers of the model itself: the interval is for the earlier judge's mean over the
    model's answers of this run.  Else it is for such questions in general, and holds as far as
    the judges differ on the model's answers as they do on those."""

    @property
    def text(self) -> str:
        """All of it, and which population the interval covers."""
        models = ", ".join(self.answers_of)
        population = f"covers {self.scale_of}'s mean over the answers of this run"
        if not self.own:
            population = f"covers such questions, if the judges differ as on {models}'s answers"
        return (
            f"scored by {self.scored_by}, on the scale of {self.scale_of}: {self.n} scores by both "
            f"on answers of {models}, item correlation {self.correlation:.2f}; {population}"
        )


@dataclass(frozen=True)
class Method:
    """How a `Measured` was computed; every field is a fact that `Measured.how` says."""

    __pydantic_config__ = STORED

    estimator: Estimator
    interval: Interval = Interval.NONE
    clustered: bool = False
    """Several scores share a unit of resampling."""
    paired: bool = False
    """Of differences on common samples."""
    tasks: int | None = None
    """Tasks averaged."""
    by_size: bool = False
    """Tasks are weighted by their size."""
    replicates: int | None = None
    """Bootstrap replicates."""
    runs: tuple[int, int] | None = None
    """Runs of the candidate and of the baseline whose noise is in the error."""
    no_variation: bool = False
    """All units agree; a width of 0 is then no evidence of precision."""
    cut_to_scale: bool = False
    """The interval is cut to the metric's scale."""
    cap_quantile: float | None = None
    """Lengths beyond this quantile count as it."""
    penalty: float | None = None
    """C, the inverse strength of an L1 penalty, chosen by cross-validation."""
    bridged: Bridged | None = None
    """With `Estimator.BRIDGED`: between which judges."""
    detail: str = ""
    """Why something is undefined, or how a source says it was computed."""


@dataclass(frozen=True)
class Measured:
    """A number with its uncertainty, in the unit of its figure.

    What a method adds (a p, wins and losses) is a small class of its own that holds a Measured.
    """

    __pydantic_config__ = STORED

    point: float | None
    """None: undefined, never 0."""
    standard_error: float | None
    low: float | None
    high: float | None
    level: Level
    """Confidence level of [low, high], 0 to 1."""
    n: int
    """Scores that entered; 0 where only the number is known."""
    n_units: int
    """Units of resampling among them."""
    n_missing: int
    """Scores that should be there and are not (failed, unparsable, excluded)."""
    method: Method
    df: float | None = None
    """Degrees of freedom of the t statistic; None: undefined, or not a t method."""

    @property
    def has_width(self) -> bool:
        """Whether there is an interval with a width: there is none where all units agree."""
        return self.low is not None and not (self.standard_error == 0 and self.low == self.high)

    @property
    def hardly_known(self) -> bool:
        """Whether the standard error rests on so few units, or runs, that it is uncertain itself.

        That is under 4 degrees of freedom; False for a number without units.
        """
        df = self.n_units - 1 if self.df is None else self.df
        return self.n_units > 0 and df < _FEWEST_DF

    @property
    def how(self) -> str:
        """How it was computed, in words: the `method` of results.json."""
        method = self.method
        if method.interval is Interval.STATED:
            return method.detail or method.estimator.value
        bounds = self.point if method.estimator is not Estimator.NON_INFERIORITY else self.low
        if bounds is None:
            return f"undefined: {method.detail}" if method.detail else "undefined"
        return "; ".join(text for text, holds in _facts(self) if holds and text)

    def times(self, factor: float) -> Measured:
        """In another unit; a negative factor also turns the sign."""
        numbers = (self.point, self.low, self.high)
        point, low, high = (None if v is None else factor * v for v in numbers)
        error = None if self.standard_error is None else abs(factor) * self.standard_error
        low, high = (low, high) if factor >= 0 else (high, low)
        return replace(self, point=point, standard_error=error, low=low, high=high)


_NAMES = {
    Estimator.MEAN: "mean",
    Estimator.SHARE: "share",
    Estimator.PAIRED: "paired mean",
    Estimator.CORPUS: "over all samples, as the benchmark defines it",
    Estimator.LENGTH_CONTROLLED: "alpaca_eval's length_controlled_v1",
    Estimator.STRENGTH: "Bradley-Terry, ties half a win",
    Estimator.PREDICTION_POWERED: "prediction-powered mean (PPI++)",
    Estimator.BRIDGED: "bridged between judges, prediction-powered",
    Estimator.KAPPA: "Cohen's kappa, jackknife over units",
    Estimator.NON_INFERIORITY: "non-inferiority",
    Estimator.RECORDED: "recorded",
    Estimator.PUBLISHED: "published",
}


def _facts(value: Measured) -> tuple[tuple[str, object], ...]:
    """Texts in reading order, each with whether it holds."""
    method, error = value.method, value.standard_error
    tasks = method.estimator is Estimator.TASKS
    analytic = error is not None and method.replicates is None
    simple = analytic and method.estimator in (Estimator.MEAN, Estimator.SHARE, Estimator.PAIRED)
    weights = "weighted by size" if method.by_size else "unweighted"
    ours, theirs = method.runs or (0, 0)
    t = "one-sided t bounds" if method.estimator is Estimator.NON_INFERIORITY else "t interval"
    df = "" if value.df is None else f", {value.df:.4g} df"
    intervals = {
        Interval.T: t + df + (" (Satterthwaite)" if df and (tasks or method.runs) else ""),
        Interval.WILSON: "Wilson interval",
        Interval.BOOTSTRAP: "percentile interval",
        Interval.NORMAL: "normal interval",
    }
    flat = "all units agree, so the width 0 is no evidence of precision"
    cap, penalty = method.cap_quantile, method.penalty
    return (
        ("paired by document", tasks and method.paired),
        (f"{weights} mean of {method.tasks} task means", tasks),
        (_NAMES.get(method.estimator, ""), not tasks),
        (f"SE clustered (CR1, {value.n_units} clusters)", simple and method.clustered),
        ("SE = sd/√n, independent samples", simple and not method.clustered),
        ("SE of a stratified mean", analytic and tasks),
        (
            f"bootstrap over {value.n_units} units, {method.replicates} replicates",
            method.replicates,
        ),
        (f"{ours} runs of the candidate, {theirs} of the baseline, noise added", method.runs),
        (flat if method.no_variation else intervals.get(method.interval, ""), True),
        ("two-sided t test", method.estimator is Estimator.PAIRED and error),
        ("cut to the scale", method.cut_to_scale),
        (f"lengths capped at their {cap or 0:g} quantile", cap is not None),
        (f"C {penalty or 0:.4g} by cross-validation", penalty is not None),
        (method.bridged.text if method.bridged else "", True),
        (method.detail, True),
    )


@dataclass(frozen=True)
class Source:
    """Where someone else published a figure."""

    __pydantic_config__ = STORED

    where: str
    """A URL, a citation, or the table it stands in."""
    date: str | None = None
    """YYYY-MM-DD."""
    settings: str | None = None
    """Shots, judge, template, as far as it states them."""

    @property
    def text(self) -> str:
        """All of it in one line: the `source` of results.json."""
        return ", ".join(part for part in (self.where, self.date, self.settings) if part)


@dataclass(frozen=True)
class Figure:
    """A model's figure."""

    __pydantic_config__ = STORED

    model: str
    key: FigureKey
    unit: Unit
    value: Measured
    source: Source | None = None
    """None: computed by evalkit.  Of a recorded figure the file that states it."""

    @property
    def published(self) -> bool:
        """Someone else measured it; its settings are theirs."""
        return self.value.method.estimator is Estimator.PUBLISHED

    @property
    def bridged(self) -> Bridged | None:
        """Between which judges it was carried over; None: it was not."""
        return self.value.method.bridged


@dataclass(frozen=True)
class Comparison:
    """Candidate minus baseline on the samples both have, not corrected for several comparisons."""

    __pydantic_config__ = STORED

    candidate: str
    """MODEL or RUN:MODEL, as is `baseline`."""
    baseline: str
    key: FigureKey
    unit: Unit
    higher_is_better: bool
    difference: Measured
    """`n`: scores both have; `n_missing`: of both sides together."""
    p: float | None
    """Two-sided; None: undefined."""
    wins: int
    """Scores on which the candidate is better in the metric's own sense; ties are equal."""
    losses: int
    ties: int
    n_missing_candidate: int
    n_missing_baseline: int


@dataclass(frozen=True)
class Finding:
    """A fault of imported evidence, or a remark on it."""

    __pydantic_config__ = STORED

    code: str
    """Kind of finding: `identical_judgments`, `mostly_unparsable`, `repeated_rows`, ..."""
    message: str
    """What was found, where, and what it means for the figures."""
    damaged: bool = True
    """Figures from this evidence should not be published; False: a remark."""
