"""Facts in words: names, verdicts, sentences, cautions, methods, the gate; one function per fact.

    labels     benchmark_label, task_label, figure_label, contest_label, metric_label, unit_words
    intervals  ci, ends, bounds, is_too_wide
    contests   contest_sentence, status, contest_remarks, verdict_words, caution_text,
               caution_notes, holm_text, mde_text
    gate       gate_words; its sentences are in gate.py
    runs       state_text, STATES
    judges     judge_text, judge_figure_text, judge_interval, limit_text

Texts are plain: whoever places one in Markdown, HTML or a terminal escapes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit import catalogue
from evalkit.core.contests import (
    UNTESTED,
    Caution,
    Contest,
    Damaged,
    FewUnits,
    GateTest,
    GateVerdict,
    JudgeFigure,
    JudgeUnfit,
    Limited,
    LocalJudge,
    Measure,
    SettingsDiffer,
    StatedByOne,
    Unfinished,
    Unreliable,
    Verdict,
)
from evalkit.core.figures import Bridged, Comparison, Figure, FigureKey, Measured
from evalkit.core.run import Run, State
from evalkit.draw.numbers import (
    MISSING,
    count,
    difference,
    interval,
    level,
    percent,
    share,
    significant,
    size,
)

__all__ = [
    "ALL_AGREE",
    "JUDGE_UNFIT",
    "LOCAL_JUDGE",
    "MARKS",
    "MEASURES",
    "NOT_SIGNIFICANT",
    "N_COUNTS",
    "STATES",
    "TOO_WIDE",
    "VERDICTS",
    "Status",
    "Tone",
    "benchmark_label",
    "bounds",
    "caution_notes",
    "caution_text",
    "change",
    "ci",
    "contest_label",
    "contest_remarks",
    "contest_sentence",
    "ends",
    "figure_label",
    "gate_tone",
    "gate_words",
    "holm_text",
    "is_too_wide",
    "judge_figure_text",
    "judge_interval",
    "judge_text",
    "judged_locally",
    "limit_text",
    "margin_words",
    "mde_text",
    "metric_label",
    "origin",
    "preference_words",
    "settings_text",
    "sides_of",
    "state_text",
    "status",
    "task_label",
    "tone",
    "unfit_text",
    "unit_and_direction",
    "unit_words",
    "units_text",
    "verdict_words",
    "withheld_text",
]

Tone: TypeAlias = Literal["", "better", "worse", "unclear", "warning"]
"""A colour that repeats what a text says in words."""

NOT_SIGNIFICANT = "no significant difference"
LOCAL_JUDGE = "local judge, not validated against people"
JUDGE_UNFIT = "judge not fit"
MEASURES: dict[Measure, tuple[str, str]] = {
    "position_bias": ("position bias", "points"),
    "verdict_flips": ("verdict flips with order in", "% of pairs"),
    "vote_margin": ("votes", "points from a coin toss"),
    "length_bias": ("length bias", "points"),
    "self_agreement": ("agrees with itself in", "% of repeats"),
    "self_preference": ("self-preference", "points"),
    "unparsable": ("unparsable replies", "%"),
    "people": ("agrees with people in", "%"),
    "probe": ("right on", "% of the probe's pairs"),
}
"""What is said of a judge before and after a figure."""
VERDICTS: dict[Verdict, str] = {
    "better": "better",
    "worse": "worse",
    "longer": "longer",
    "shorter": "shorter",
    "not_significant": NOT_SIGNIFICANT,
    "undefined": "undefined",
}
MARKS: dict[Verdict, str] = {
    "better": "▲",
    "worse": "▼",
    "longer": "↔",
    "shorter": "↔",
    "not_significant": "○",
    "undefined": "?",
}
"""Shapes that repeat a verdict's word beside its colour."""
ALL_AGREE = "all samples agree"
"""Why there is no interval: what does not vary does not show how precise it is."""
TOO_WIDE = "too wide to be informative"
"""Of an interval from a handful of units, or of runs."""
N_COUNTS = "n: scores; a sample may have several (MT-Bench: one per turn)."
"""What the column n of every table counts."""
_GATE_VERDICTS: dict[GateVerdict, str] = {
    "pass": "pass",
    "regression": "REGRESSION",
    "inconclusive": "inconclusive",
    "missing": "MISSING",
    "unfit": JUDGE_UNFIT.upper(),
    "damaged": "DAMAGED",
}


# --- labels -------------------------------------------------------------------------------------


def benchmark_label(name: str) -> str:
    """A benchmark's proper name where its entry bears its type's; else the entry's name."""
    known = catalogue.BENCHMARKS.get(name)
    return name if known is None else known.label


def task_label(benchmark: str, task: str) -> str:
    """Benchmark, and task where the benchmark has tasks."""
    label = benchmark_label(benchmark)
    return label if task in (benchmark, "", "alpaca_eval", "mt_bench") else f"{label}: {task}"


def figure_label(key: FigureKey) -> str:
    """Benchmark, task and category; an average over a benchmark's tasks is called so."""
    label = task_label(key.benchmark, key.task)
    metric = catalogue.metric(key.metric)
    if metric.over_tasks:
        label = f"{benchmark_label(key.benchmark)} {metric.words}"
    return label if key.category is None else f"{label}, {key.category}"


def contest_label(contest: Contest) -> str:
    """`figure_label`, and the metric where it is not the one that speaks for its task."""
    label = figure_label(contest.key)
    return label if contest.primary else f"{label} ({metric_label(contest.key.metric)})"


def metric_label(name: str) -> str:
    """A metric in words."""
    return catalogue.metric(name).words


def unit_words(unit: str, *, of_difference: bool = False) -> str:
    """A unit in words; the difference of two percentages is in percentage points."""
    found = catalogue.unit(unit)
    return found.of_difference if of_difference else found.words


def unit_and_direction(c: Comparison) -> str:
    """What a label needs behind it: a unit other than percent, and that lower is better."""
    unit = catalogue.unit(c.unit)
    lower = unit.has_direction and not c.higher_is_better
    return f", {unit.words}" * (c.unit != "percent") + ", lower is better" * lower


def units_text(n: int, n_units: int) -> str:
    """What independent evidence a figure rests on: samples, or what several scores belong to."""
    one = "sample" if n == n_units else "independent unit"
    return f"{count(n_units)} {one if n_units == 1 else one + 's'}"


def _evidence(d: Measured) -> str:
    if d.n == d.n_units:
        return units_text(d.n, d.n)
    return f"{count(d.n)} scores of {units_text(d.n, d.n_units)}"


# --- intervals and methods ----------------------------------------------------------------------


def ci(confidence: float) -> str:
    """What an interval is called: `95% CI`."""
    return f"{level(confidence)} CI"


def is_too_wide(value: Measured, unit: str) -> bool:
    """An interval whose error is hardly known and that covers half of its unit's scale or more."""
    scale = catalogue.unit(unit)
    if not value.hardly_known or value.low is None or value.high is None:
        return False
    if scale.low is None or scale.high is None:
        return False
    return value.high - value.low >= (scale.high - scale.low) / 2


def ends(
    value: Measured, unit: str, *, signed: bool = False
) -> tuple[float, float] | tuple[None, None]:
    """Where the interval is shown to end: within what the unit allows; None where it says nothing.

    A t interval of few samples may leave the scale.  Its part within covers the true value as
    often, because that value is never outside (Mandelkern 2002, "Setting confidence intervals for
    bounded parameters", Statistical Science 17(2), section 3).  Stored figures stay uncut.

    Args:
        value: The figure, or the difference.
        unit: Its unit.
        signed: It is a difference: at most the scale's whole length, in either direction.
    """
    if value.low is None or value.high is None or not value.has_width or is_too_wide(value, unit):
        return None, None
    scale = catalogue.unit(unit)
    low, high = scale.low, scale.high
    if low is None or high is None:
        return value.low, value.high
    if signed:
        low, high = low - high, high - low
    return min(max(value.low, low), high), max(min(value.high, high), low)


def bounds(value: Measured, unit: str, *, signed: bool = False) -> str:
    """The interval as text (`ends`); where it says nothing, that there is none and why."""
    if is_too_wide(value, unit):
        return f"{MISSING} ({TOO_WIDE})"
    if value.low is not None and not value.has_width:
        return f"{MISSING} ({ALL_AGREE})"
    low, high = ends(value, unit, signed=signed)
    return interval(low, high, unit, signed=signed)


def origin(f: Figure) -> str:
    """What a name needs behind it: ` (published)`, ` (recorded)`, or ` (bridged)`.

    A bridged figure is on the scale of a judge that did not judge; a recorded one is read from
    result files, a published one from where someone states it.
    """
    if f.published:
        return " (published)"
    if f.bridged:
        return " (bridged)"
    return "" if f.source is None else " (recorded)"


# --- runs ---------------------------------------------------------------------------------------

STATES: dict[State, str] = {
    "finished": "",
    "unfinished": "not finished",
    "records missing": "records missing",
    "figures differ": "figures differ from records",
    "changed": "changed after it was finished",
}
"""What is wrong with a run, in a few words."""
_STATES: dict[State, str] = {
    "unfinished": "This run is not finished",
    "records missing": "The records of this run cannot be read",
    "figures differ": "Figures of this run are not what its records give",
    "changed": "This run was changed after it was finished",
}
_FAULTS = 3
"""Faults that are named; the rest is counted."""


def state_text(run: Run) -> str:
    """Why a run's figures may not be relied on, and what to do; empty where they may."""
    if run.state == "finished":
        return ""
    more = len(run.faults) - _FAULTS
    listed = "; ".join(run.faults[:_FAULTS]) + (f"; and {count(more)} more" if more > 0 else "")
    said = f"{_STATES[run.state]}{f' ({listed})' if listed else ''}, so there is no verdict."
    if run.state == "unfinished":
        return f"{said} Run the same command again to finish it."
    return (
        f"{said} Take another copy of it, or delete its records.jsonl and run its suite again: "
        f"answers come from the cache."
    )


# --- contests -----------------------------------------------------------------------------------


def tone(verdict: Verdict) -> Tone:
    """The colour that repeats a verdict."""
    if verdict in ("better", "worse"):
        return verdict
    return "unclear" if verdict == "not_significant" else ""


def verdict_words(contest: Contest) -> str:
    """A verdict for a cell of a table, with what must stand beside it in brackets."""
    said = VERDICTS[contest.verdict]
    if correction := _corrected(contest):
        said = f"not significant{correction}"
    return said + _marks(contest.cautions)


def preference_words(contest: Contest) -> str:
    """What a local judge, whose verdict is none, prefers."""
    c = contest.comparison
    sides = {"better": f"prefers {c.candidate}", "worse": f"prefers {c.baseline}"}
    if contest.verdict == "not_significant":
        return f"no significant preference{_corrected(contest)}"
    kept = (caution for caution in contest.cautions if not isinstance(caution, LocalJudge))
    return sides.get(contest.verdict, VERDICTS[contest.verdict]) + _marks(kept)


def _corrected(contest: Contest) -> str:
    """What is said where an interval excludes 0 and the corrected p does not decide."""
    d = contest.comparison.difference
    if contest.verdict != "not_significant" or contest.tests < 2:
        return ""
    if d.low is None or d.high is None or d.low <= 0 <= d.high:
        return ""
    return f" after correcting for {count(contest.tests)} tests"


def _marks(cautions: Iterable[Caution]) -> str:
    marks = {
        SettingsDiffer: "settings differ",
        JudgeUnfit: JUDGE_UNFIT,
        LocalJudge: "local judge",
        Limited: "limited run",
        Damaged: "damaged evidence",
        Bridged: "bridged",
        Unfinished: "unfinished thoughts",
    }
    cautions = tuple(cautions)
    kinds = {type(c) for c in cautions}
    found = [STATES[c.state] for c in cautions if isinstance(c, Unreliable)]
    found += [text for kind, text in marks.items() if kind in kinds]
    return f" ({', '.join(found)})" if found else ""


def judged_locally(contest: Contest) -> bool:
    """Whether a model of the suite judged, so that the verdict says only what it prefers."""
    return any(isinstance(caution, LocalJudge) for caution in contest.cautions)


def caution_text(caution: Caution) -> str:
    """A caution as a sentence."""
    match caution:
        case LocalJudge():
            return f"Judged by {caution.judge}: {LOCAL_JUDGE}; do not publish these scores."
        case JudgeUnfit():
            return f"J{unfit_text([caution])[1:]}; no conclusion is drawn from its judgments."
        case Limited():
            return f"Limited run: {limit_text(caution.limit)}."
        case Damaged():
            where = f"{caution.model}, {benchmark_label(caution.benchmark)}"
            return f"Damaged evidence: {where}: {caution.message.rstrip('.')}."
        case SettingsDiffer():
            return f"Settings differ: {settings_text(caution)}."
        case StatedByOne():
            return f"Only one side states {caution.field}: whether it is the same is not known."
        case Bridged() | Unfinished() | Unreliable():
            said = f"No verdict: {withheld_text([caution])}"
            if isinstance(caution, Bridged):
                said = f"Bridged: {caution.text}"
            elif isinstance(caution, Unreliable) and caution.accepted:
                said = f"Accepted with --accept-damaged: {withheld_text([caution])}"
            return f"{said}."
        case FewUnits():
            df = "" if caution.df is None else f" ({significant(caution.df, 3)} degrees of freedom)"
            return f"The standard error rests on few independent units{df} and is uncertain."


def withheld_text(cautions: Iterable[Caution]) -> str:
    """Why there is no verdict: whose thoughts did not end, which run is not as it was sealed."""
    found = list(cautions)
    runs = (
        f"run {c.run}: {STATES[c.state]}{f' ({c.faults[0]})' if c.faults else ''}"
        for c in found
        if isinstance(c, Unreliable)
    )
    thoughts = (
        f"{c.model}: {share(c.share)} of its thoughts on {benchmark_label(c.benchmark)} did not "
        f"end, and the others may be the easier ones"
        for c in found
        if isinstance(c, Unfinished)
    )
    return "; ".join((*runs, *thoughts))


def unfit_text(cautions: Iterable[Caution]) -> str:
    """Which judges are not fit, and why; empty where all are."""
    return "; ".join(
        f"judge {c.judge} is not fit: {', '.join(map(judge_figure_text, c.reasons))}"
        for c in cautions
        if isinstance(c, JudgeUnfit)
    )


def limit_text(limit: int) -> str:
    """How a limited run is limited."""
    return f"at most {count(limit)} samples per task; for trials, not for publication"


def settings_text(differ: SettingsDiffer) -> str:
    """A setting and both its values."""
    values = [repr(value) for value in (differ.candidate, differ.baseline)]
    shown = [text if len(text) <= 80 else f"{text[:77]}..." for text in values]
    return f"{differ.field}: {shown[0]} against {shown[1]}"


def caution_notes(contests: Iterable[Contest]) -> list[str]:
    """What to know of these contests, each thing once; a local judge with all its benchmarks."""
    judges: dict[str, dict[str, None]] = {}
    others: dict[str, None] = {}
    for contest in contests:
        for caution in contest.cautions:
            if isinstance(caution, LocalJudge):
                label = benchmark_label(contest.key.benchmark)
                judges.setdefault(caution.judge, {})[label] = None
            elif not isinstance(caution, StatedByOne | FewUnits):
                others[caution_text(caution)] = None
    judged = (
        f"{', '.join(labels)}: judged by {judge}, a model of the suite ({LOCAL_JUDGE}); do not "
        f"publish these scores."
        for judge, labels in judges.items()
    )
    return [*judged, *others]


def holm_text(contests: Sequence[Contest]) -> str:
    """Which comparisons Holm's correction is over; empty where nothing needs one."""
    headline = [c for c in contests if c.family == "headline" and c.p_adjusted is not None]
    tests = max((c.tests for c in headline), default=0)
    return f"Holm: p corrected for {count(tests)} headline comparisons." if tests > 1 else ""


def mde_text(mde: float, unit: str) -> str:
    """What a comparison could have found."""
    return f"minimum detectable effect (MDE) {size(mde, unit)}"


def sides_of(c: Comparison) -> str:
    """`A against B`."""
    return f"{c.candidate} against {c.baseline}"


def contest_sentence(contest: Contest) -> str:
    """The summary sentence of one contest, with its figures and what must be said with them."""
    return " ".join([_statement(contest), *contest_remarks(contest)])


def contest_remarks(contest: Contest) -> list[str]:
    """What must be said with its figures: settings that differ, a bridge, limits, damage."""
    is_said = contest.refused and not contest.unfit
    said = [
        c
        for c in contest.cautions
        if isinstance(c, Bridged | Limited | Damaged)
        or (isinstance(c, Unreliable) and c.accepted)
        or (isinstance(c, SettingsDiffer) and not is_said)
    ]
    said.sort(key=lambda c: not isinstance(c, SettingsDiffer))
    return [caution_text(c) for c in said]


def _statement(contest: Contest) -> str:
    c, d, label = contest.comparison, contest.comparison.difference, contest_label(contest)
    if contest.unfit:
        why = unfit_text(contest.cautions)
        return f"No conclusion about {sides_of(c)} on {label}: {why}."
    if contest.refused:
        differ = (settings_text(x) for x in contest.cautions if isinstance(x, SettingsDiffer))
        return f"{sides_of(c)} on {label}: settings differ: {'; '.join(differ)}."
    if contest.verdict == "undefined":
        why = withheld_text(contest.cautions) if contest.withheld else _why_undefined(c)
        return f"No conclusion about {sides_of(c)} on {label}: {why}."
    judged = judged_locally(contest)
    if c.ties == d.n > 0:
        same = f"{c.candidate} and {c.baseline} have the same score on each of {_evidence(d)}"
        return f"{same} of {label}{f' ({LOCAL_JUDGE})' if judged else ''}."
    claim = _claim(contest, label, judged=judged)
    if contest.verdict == "not_significant" and contest.mde is not None:
        parts = [_evidence(d), mde_text(contest.mde, c.unit)]
    else:
        parts = [_evidence(d)]
    if is_too_wide(d, c.unit):
        parts.append(f"{ci(d.level)} {TOO_WIDE}")
    elif d.has_width:
        parts.insert(0, f"{ci(d.level)} {bounds(d, c.unit, signed=True)}")
    else:
        parts[0] = f"the same on each of {parts[0]}"
    return f"{claim}: {_gap(c)}, {', '.join(parts)}."


def _claim(contest: Contest, label: str, *, judged: bool) -> str:
    c = contest.comparison
    if contest.verdict == "not_significant":
        aside = f" ({LOCAL_JUDGE})" if judged else ""
        return (
            f"No significant difference between {c.candidate} and {c.baseline} on {label}{aside}"
            f"{_corrected(contest)}"
        )
    if judged and contest.verdict in ("better", "worse"):
        sides = (c.candidate, c.baseline)
        liked, other = sides if contest.verdict == "better" else sides[::-1]
        return f"A {LOCAL_JUDGE}, prefers {liked} to {other} on {label}"
    return f"{c.candidate} is {VERDICTS[contest.verdict]} than {c.baseline} on {label}"


def _gap(c: Comparison) -> str:
    words = unit_words(c.unit, of_difference=True)
    return f"{difference(c.difference.point, c.unit)} {words}"


def _why_undefined(c: Comparison) -> str:
    d = c.difference
    if d.n == 0:
        return "no sample has a score from both"
    if d.point is None:
        return f"the difference is undefined on {_evidence(d)}"
    if d.standard_error == 0:
        return f"{_gap(c)}, the same on each of {_evidence(d)}, so that no error can be estimated"
    return f"{_gap(c)} on {_evidence(d)}, too few for an interval"


# --- a pair's status ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Status:
    """What the headline comparisons of a pair say together."""

    verdict: Verdict
    """Better or worse where the candidate is on some figure, and never the other."""
    line: str
    """`Better on 1 of 3 · no significant difference on 2 · no regression`."""
    strongest: str
    """`GSM8K 62.5 → 77.5, +15.0 percentage points, 95% CI +3.1 to +26.9`; empty: none is known."""


def status(contests: Sequence[Contest], figures: Iterable[Figure] = ()) -> Status:
    """The status of a pair; what a local judge prefers is no verdict and is not counted.

    Args:
        contests: Headline contests of one candidate and one baseline.
        figures: Both sides' figures, from which the strongest comparison takes its scores.
    """
    sound = [c for c in contests if not judged_locally(c)]
    counts = Counter(c.verdict for c in sound)
    verdicts = [verdict for verdict in VERDICTS if counts[verdict]]
    said: list[str] = []
    for verdict in verdicts:
        where, of = count(counts[verdict]), "" if said else f" of {count(len(sound))}"
        where = figure_label(sound[0].key) if len(sound) == 1 else where + of
        text = "no verdict" if verdict == "undefined" else VERDICTS[verdict]
        said.append(f"{text} on {where}")
    if len(sound) > 1 and counts["better"] and not counts["worse"] + counts["undefined"]:
        said.append("no regression")
    if judged := len(contests) - len(sound):
        apart = f"{count(judged)} more by a local judge"
        said.append(apart if sound else f"no verdict: judged by a {LOCAL_JUDGE}")
    found: set[Verdict] = set(verdicts) & {"better", "worse"}
    verdict = verdicts[0] if len(verdicts) == 1 or len(found) == 1 else "not_significant"
    strongest = max(sound, key=_strength, default=None)
    return Status(
        verdict if verdicts else "undefined",
        f"{said[0][:1].upper()}{' · '.join(said)[1:]}" if said else "Nothing is compared",
        "" if strongest is None else _scored(strongest, figures),
    )


def _strength(contest: Contest) -> tuple[bool, float]:
    """Significant ones first, then in units of their standard errors: units differ."""
    d = contest.comparison.difference
    ratio = abs(d.point) / d.standard_error if d.point and d.standard_error else 0.0
    return contest.verdict not in ("not_significant", "undefined"), ratio


def _scored(contest: Contest, figures: Iterable[Figure]) -> str:
    """A comparison's scores, difference and interval; empty where it has no difference."""
    c, d = contest.comparison, contest.comparison.difference
    if d.point is None:
        return ""
    known = {f.model: f.value for f in figures if f.key == c.key}
    scores = change(known.get(c.baseline), known.get(c.candidate), c.unit)
    label = f"{contest_label(contest)} {scores}".rstrip(f" {MISSING}")
    ends = f", {ci(d.level)} {bounds(d, c.unit, signed=True)}" if d.low is not None else ""
    return f"{label}, {_gap(c)}{ends}"


def change(before: Measured | None, after: Measured | None, unit: str) -> str:
    """`62.5 → 77.5`, with the digits of their difference; MISSING where one is not known."""
    points = [None if v is None else v.point for v in (before, after)]
    if None in points:
        return MISSING
    return " → ".join(size(point, unit) for point in points)


# --- the gate -----------------------------------------------------------------------------------


def gate_words(test: GateTest) -> str:
    """A test's verdict for a cell, with what must stand beside it in brackets."""
    cautions = () if test.contest is None else test.contest.cautions
    if test.verdict == "unfit":
        cautions = tuple(c for c in cautions if not isinstance(c, JudgeUnfit))
    return (
        _GATE_VERDICTS[test.verdict] + ("" if test.required else " (warns only)") + _marks(cautions)
    )


def gate_tone(verdict: GateVerdict) -> Tone:
    """The colour that repeats a test's verdict."""
    if verdict in UNTESTED:
        return "warning"
    if verdict == "inconclusive":
        return "unclear"
    return "better" if verdict == "pass" else "worse"


def margin_words(test: GateTest) -> str:
    """A margin as the difference that it allows, and what was found of it."""
    said = {
        "pass": "held",
        "regression": "exceeded",
        "inconclusive": "not shown",
        "missing": "no samples of both",
        "unfit": JUDGE_UNFIT,
        "damaged": "damaged",
    }[test.verdict]
    unit = "raw" if test.contest is None else test.contest.comparison.unit
    down = test.contest is None or test.contest.comparison.higher_is_better
    aside = "" if test.required else ", not required"
    return f"{difference(-test.margin if down else test.margin, unit)}: {said}{aside}"


# --- judges -------------------------------------------------------------------------------------


def judge_text(parsed: int, asked: int, figures: Iterable[JudgeFigure]) -> str:
    """How far a judge can be trusted, by its own judgments.

    Args:
        parsed: Judgments that could be read.
        asked: Judgments requested.
        figures: What was measured; unparsable replies are counted in the beginning.
    """
    parts = [f"{count(parsed)} of {count(asked)} replies usable"]
    parts += [_judge_figure(f) for f in figures if f.measure != "unparsable"]
    return ", ".join(parts)


def judge_figure_text(f: JudgeFigure) -> str:
    """A figure of a judge with its interval and what is required."""
    unit = MEASURES[f.measure][1][:1].replace("p", "")
    ends = f"{ci(f.value.level)} {judge_interval(f)}" if f.value.has_width else ""
    most = "at least" if f.at_least else "at most"
    limit = "" if f.limit is None else f"{most} {percent(f.limit)}{unit} required"
    aside = ", ".join(text for text in (ends, limit) if text)
    return _judge_figure(f) + (f" ({aside})" if aside else "")


def judge_interval(f: JudgeFigure) -> str:
    """The interval of a judge's figure."""
    return f"{percent(f.value.low)} to {percent(f.value.high)}"


def _judge_figure(f: JudgeFigure) -> str:
    before, after = MEASURES[f.measure]
    point = f.value.point or 0.0
    text = f"{before} {percent(abs(point))}{'' if after.startswith('%') else ' '}{after}"
    sides: dict[Measure, tuple[str, str]] = {
        "position_bias": ("answer shown first", "answer shown second"),
        "length_bias": ("longer answer", "shorter answer"),
    }
    if f.measure in sides and point:
        text += f" towards the {sides[f.measure][point < 0]}"
    return text
