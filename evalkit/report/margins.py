"""The suite's gate in words: how large a loss it allows, and what the run says to that.

The rule is `gate`'s (which reports cannot import): one non-inferiority test a headline measure;
all that is required must pass, and a regression must hold after Holm's correction over what is
required.  `evalkit gate` decides; this shows on the page what it would say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from evalkit.compare import Row
from evalkit.compare.comparisons import degrees
from evalkit.core import Json
from evalkit.draw import difference
from evalkit.report.view import Measure, View, mapping, sequence
from evalkit.report.words import measure_label
from evalkit.stats import MarginRule, NonInferiority, Verdict, holm, non_inferiority

__all__ = ["Gate", "Margin", "gate_of", "gate_words", "margin_words"]

_SPANS = {"percent": 100.0, "points": 9.0}
"""Largest difference of one sample's scores, by unit."""


@dataclass(frozen=True)
class Margin:
    """What the gate allows of one measure, and what it finds."""

    measure: Measure
    allowed: float
    required: bool
    verdict: Verdict
    p_regression: float | None = None
    compared: bool = True

    @property
    def place(self) -> float:
        """On the axis of differences: a loss is left of zero, or right where lower is better."""
        return -self.allowed if self.measure.metric.higher_is_better else self.allowed


@dataclass(frozen=True)
class Gate:
    """All of it, for one pair."""

    margins: tuple[Margin, ...]
    alpha: float

    def of(self, measure: Measure) -> Margin | None:
        """The margin of one measure."""
        return next((m for m in self.margins if m.measure == measure), None)


def gate_of(view: View, pair: tuple[str, str]) -> Gate | None:
    """The gate's view of one pair; None where the suite has no gate, or another baseline."""
    spec = mapping(view.suite.get("gate"))
    if spec.get("baseline") != pair[1]:
        return None
    alpha = _number(spec.get("alpha"), 0.05)
    found = [_margin(view, pair, measure, spec) for measure in view.headlines]
    adjusted = holm([m.p_regression if m.required else None for m in found])
    return Gate(
        tuple(
            replace(m, verdict="inconclusive")
            if m.verdict == "regression" and p is not None and p > alpha
            else m
            for m, p in zip(found, adjusted, strict=True)
        ),
        alpha,
    )


def gate_words(gate: Gate) -> str:
    """Whether the gate passes, in a sentence."""
    required = [m for m in gate.margins if m.required]
    worse = [m for m in required if m.verdict == "regression"]
    bare = [m for m in required if not m.compared]
    open_ = [m for m in required if m.compared and m.verdict == "inconclusive"]
    if not required:
        return "Nothing that the suite's gate requires was measured."
    if worse:
        return f"The suite's gate finds a regression: {_labels(worse)}."
    if bare:
        tail = f"; undecided: {_labels(open_)}" if open_ else ""
        return f"The suite's gate is incomplete, no samples of both models: {_labels(bare)}{tail}."
    if open_:
        return f"The suite's gate is undecided: {_labels(open_)}."
    what = "its one required measure" if len(required) == 1 else f"all {len(required)} it requires"
    return f"The suite's gate passes: within its margins on {what}."


def margin_words(margin: Margin | None, unit: str) -> str:
    """One measure's margin and what was found of it."""
    if margin is None:
        return ""
    words = {"pass": "held", "regression": "exceeded", "inconclusive": "not shown"}
    found = words[margin.verdict] if margin.compared else "no samples of both"
    asked = "" if margin.required else ", not required"
    return f"{difference(margin.place, unit)}: {found}{asked}"


def _margin(
    view: View, pair: tuple[str, str], measure: Measure, spec: Mapping[str, Json]
) -> Margin:
    names = (f"{measure.benchmark}/{measure.task}", measure.benchmark, "default")
    margins = mapping(spec.get("margins"))
    allowed = next((_number(margins[n], 0.0) for n in names if n in margins), 0.0)
    required = bool(set(names[:2]) & {str(n) for n in sequence(spec.get("required"))})
    if not sequence(spec.get("required")):
        required = not set(names[:2]) & {str(n) for n in sequence(spec.get("warn_only"))}
    row = view.row(pair, measure)
    # What was not measured alike is as good as not there: the gate's command refuses it.
    if row is None or row.refused:
        return Margin(measure, allowed, required, "inconclusive", compared=False)
    found = _test(row, allowed, spec)
    return Margin(measure, allowed, required, found.verdict, found.p_regression)


def _test(row: Row, allowed: float, spec: Mapping[str, Json]) -> NonInferiority:
    c = row.comparison
    rule = MarginRule(
        allowed,
        _number(spec.get("alpha"), 0.05),
        _number(spec.get("power"), 0.8),
        _SPANS.get(c.unit),
    )
    sign = 1 if c.higher_is_better else -1
    gap = None if c.difference is None else sign * c.difference
    return non_inferiority(gap, c.standard_error, degrees(c), rule)


def _labels(margins: list[Margin]) -> str:
    return ", ".join(_shortened([measure_label(m.measure) for m in margins]))


def _shortened(labels: list[str], most: int = 4) -> Iterator[str]:
    yield from labels[:most]
    if len(labels) > most:
        yield f"and {len(labels) - most} more"


def _number(value: Json, default: float) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number else default
