"""How well a run's judges judge, from the run alone: biases, flips, repeats, other judges, labels.

    judgments of one judge on one benchmark ─▶ measures, each with its interval and limit ─▶ fit?

A judge is unfit where the whole 95% interval of a measure is beyond what the suite requires
(`core.specs.RequireSpec`).  What was not measured fails nothing.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

from evalkit.core import Judgment, Record
from evalkit.core.contests import JudgeFigure, JudgeUnfit, Measure
from evalkit.core.figures import Measured
from evalkit.core.run import Run
from evalkit.core.specs import RequireSpec
from evalkit.stats.means import contrast, is_binary, mean, share

__all__ = ["FAMILIES", "JudgeHealth", "health", "unfit", "unvalidated"]

_LEVEL = 0.95
_SIGNIFICANTLY_LONGER = 30
"""Characters; as alpaca_eval's `get_length_biases`."""
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "OpenAI": ("gpt-", "chatgpt", "o1", "o3", "o4", "text-davinci"),
    "Anthropic": ("claude",),
    "Google": ("gemini", "gemma", "palm"),
    "Meta": ("llama", "meta-llama", "codellama"),
    "Mistral": ("mistral", "mixtral", "ministral", "magistral", "codestral"),
    "Qwen": ("qwen", "qwq"),
    "DeepSeek": ("deepseek",),
    "SmolLM": ("smollm",),
}
"""How names of models begin, by who trains them; a fine-tuned model is of its base's family."""
_PROBES = frozenset({"judgebench"})
"""Types of benchmarks whose models are judges."""
_Row: TypeAlias = tuple[Record, Judgment]


@dataclass(frozen=True)
class JudgeHealth:
    """One judge on one benchmark, over all models it judged."""

    judge: str
    benchmark: str
    protocol: str
    asked: int
    """Judgments begun."""
    parsed: int
    unparsable: int
    """Replied, but not in the form the protocol asks for; never scored."""
    failed: int
    """Not answered (unreachable, refused, over-long, ...)."""
    figures: tuple[JudgeFigure, ...]
    """What could be measured, in the order of `Measure`."""

    @property
    def reasons(self) -> tuple[JudgeFigure, ...]:
        """What it fails; empty: it is not shown to be unfit."""
        return tuple(figure for figure in self.figures if figure.fails)


_KNOWN: dict[int, tuple[JudgeHealth, ...]] = {}
"""By `id` of runs that are in use: every figure of a run asks for the same rows."""


def health(run: Run) -> tuple[JudgeHealth, ...]:
    """A row per judge, benchmark and protocol, in order of first appearance; sealed or not."""
    if id(run) not in _KNOWN:
        _KNOWN[id(run)] = tuple(_rows(run))
        weakref.finalize(run, _KNOWN.pop, id(run), None)
    return _KNOWN[id(run)]


def unfit(run: Run, benchmark: str) -> tuple[JudgeUnfit, ...]:
    """The judges of a benchmark that do not meet what is required of them."""
    rows = [row for row in health(run) if row.benchmark == benchmark and row.reasons]
    return tuple(JudgeUnfit(row.judge, row.reasons) for row in rows)


def unvalidated(run: Run, benchmark: str) -> str:
    """A benchmark's judges that are models of the suite and that no people are known to agree with.

    Separated by commas; empty: none.
    """
    agreed = {
        row.judge
        for row in health(run)
        if row.benchmark == benchmark
        and any(f.measure == "people" and f.holds for f in row.figures)
    }
    return ", ".join(name for name in run.local_judges.get(benchmark, ()) if name not in agreed)


def _rows(run: Run) -> Iterator[JudgeHealth]:
    found: dict[tuple[str, str, str], list[_Row]] = {}
    values: dict[Hashable, dict[str, float]] = {}
    for record in run.records:
        for judgment in record.outcome.judgments:
            key = (judgment.judge, record.benchmark, judgment.protocol)
            found.setdefault(key, []).append((record, judgment))
            if judgment.status == "ok" and judgment.value is not None:
                held = values.setdefault((record.key, judgment.part), {})
                held[judgment.judge] = judgment.value
    agreed: dict[tuple[str, str], Measured] = {}
    if run.votes:
        from evalkit.comparison.votes import people

        agreed = {(p.judge, p.benchmark): p.with_judge.alike for p in people(run, _LEVEL)}
    probes = _probes(run)
    for (judge, benchmark, protocol), rows in found.items():
        states = [j.status for _, j in rows]
        parsed, unparsable = states.count("ok"), states.count("unparsable")
        measured = _measured(run, judge, rows, values)
        spec = run.manifest.suite.judges.get(judge)
        model = judge if spec is None else spec.model or judge
        if model in probes:
            measured["probe"] = probes[model]
        if (judge, benchmark) in agreed:
            measured["people"] = agreed[judge, benchmark].times(0.01)
        yield JudgeHealth(
            judge=judge,
            benchmark=benchmark,
            protocol=protocol,
            asked=len(rows),
            parsed=parsed,
            unparsable=unparsable,
            failed=len(rows) - parsed - unparsable,
            figures=tuple(_limited(measured, _required(run, judge, benchmark))),
        )


def _probes(run: Run) -> dict[str, Measured]:
    """By model, the share of a probe's pairs that it judged right."""
    found: dict[str, list[tuple[Record, float]]] = {}
    for record in run.records:
        if run.benchmark(record.benchmark).kind in _PROBES:
            for score in record.outcome.scores:
                found.setdefault(record.model, []).append((record, score.value))
    return {model: _share(rows) for model, rows in found.items()}


def _required(run: Run, judge: str, benchmark: str) -> RequireSpec:
    """What the suite requires; evidence may call a recorded judge by another name.

    Of the models that a probe compares nothing is required.
    """
    if run.benchmark(benchmark).kind in _PROBES:
        return RequireSpec(**dict.fromkeys(RequireSpec.model_fields))
    known = run.manifest.suite.judges
    names = (judge, *run.benchmark(benchmark).judges)
    return next((known[name].require for name in names if name in known), RequireSpec())


def _limited(measured: Mapping[Measure, Measured], required: RequireSpec) -> Iterator[JudgeFigure]:
    limits: dict[Measure, tuple[float | None, bool]] = {
        "position_bias": (required.position_bias, False),
        "verdict_flips": (required.verdict_flips, False),
        "vote_margin": (None, False),
        "length_bias": (required.length_bias, False),
        "self_agreement": (required.self_agreement, True),
        "self_preference": (required.self_preference, False),
        "unparsable": (required.unparsable, False),
        "people": (required.people, True),
        "probe": (required.probe, True),
    }
    for measure, (limit, at_least) in limits.items():
        value = measured.get(measure)
        if value is not None and value.point is not None:
            yield JudgeFigure(measure, value.times(100.0), limit, at_least)


# --- measures: shares of 1, turned into percent above ---------------------------------------------


def _measured(
    run: Run, judge: str, rows: Sequence[_Row], values: Mapping[Hashable, Mapping[str, float]]
) -> dict[Measure, Measured]:
    parsed = [(r, j) for r, j in rows if j.status == "ok" and j.value is not None]
    rates = any(j.value is not None and j.value > 1 for _, j in parsed)  # from 1 to 10
    answered = [(r, j) for r, j in rows if j.status in ("ok", "unparsable")]
    found: dict[Measure, Measured] = {
        "unparsable": _share([(r, float(j.status == "unparsable")) for r, j in answered]),
    }
    repeated = [(r, j) for r, j in parsed if j.repeats]
    if repeated:
        found["self_agreement"] = _self_agreement(repeated, rates=rates)
    preferred = _self_preference(run, judge, parsed, values, rates=rates)
    if preferred is not None:
        found["self_preference"] = preferred
    if not rates:
        # With votes v₁ (answer shown first) and v₂ (shown second), the preference for what stands
        # first is v₁ and 1 - v₂: their mean less ½ is (v₁ - v₂)/2; the answers' quality cancels.
        pairs = [(r, j.votes) for r, j in parsed if len(j.votes) == 2]
        biases = [(first - second) / 2 for _, (first, second) in pairs]
        found["position_bias"] = mean(biases, [_unit(r) for r, _ in pairs], _LEVEL, magnitude=1.0)
        flips = [(r, float((a - 0.5) * (b - 0.5) < 0)) for r, (a, b) in pairs]
        found["verdict_flips"] = _share(flips)
        margins = [(r, abs(vote - 0.5)) for r, votes in pairs for vote in votes]
        if any(0 < margin < 0.5 for _, margin in margins):  # probabilities, not written verdicts
            units = [_unit(r) for r, _ in margins]
            found["vote_margin"] = mean([m for _, m in margins], units, _LEVEL, scale=(0.0, 0.5))
        found["length_bias"] = _length_bias(parsed)
    return found


def _unit(record: Record) -> Hashable:
    return (record.task, record.cluster or record.sample)


def _share(rows: Sequence[tuple[Record, float]]) -> Measured:
    """Mean of shares; Wilson's interval where each is 0 or 1 and a sample of its own."""
    values, units = [v for _, v in rows], [_unit(r) for r, _ in rows]
    if is_binary(values, units):
        return share(values, units, _LEVEL)
    return mean(values, units, _LEVEL, scale=(0.0, 1.0))


def _length_bias(parsed: Sequence[_Row]) -> Measured:
    """How much a model's answers gain by being longer than the reference, less by being shorter.

    Half the difference of the mean preference for answers of one model that are longer than the
    reference by more than 30 characters, and for those that are shorter: alpaca_eval's probability
    to prefer the longer answer (`get_length_biases`), less ½, where the model's strength is taken
    out as Dubois et al. 2024 (arXiv:2404.04475) take it out.  0: length does not matter; ½: the
    longer answer always wins.  Quality that comes with length is in it.
    """
    kept = []
    for record, judgment in parsed:
        answers, reference = record.outcome.answers, record.outcome.reference
        if judgment.part == "" and len(answers) == len(reference) == 1:
            more = len(answers[0]) - len(reference[0])
            if abs(more) > _SIGNIFICANTLY_LONGER:
                kept.append((record, judgment.value or 0.0, more > 0))
    found = contrast(
        [value for _, value, _ in kept],
        [longer for _, _, longer in kept],
        [record.model for record, _, _ in kept],
        [_unit(record) for record, _, _ in kept],
        _LEVEL,
    )
    return found.times(0.5)


def _self_agreement(repeated: Sequence[_Row], *, rates: bool) -> Measured:
    """Of preferences the share of repeats with the same verdict, of ratings ICC(1).

    Every pair of the first judgment and its repeats counts, order by order.
    """
    from evalkit.stats.agreement import agreement, intraclass  # not for runs without repeats

    again = [(r, _trials(j)) for r, j in repeated]
    if rates:
        return intraclass([[v for v, *_ in trials] for _, trials in again], _LEVEL)
    choices = [
        (_unit(record), first, second)
        for record, trials in again
        for one, other in combinations(trials, 2)
        for first, second in zip(one, other, strict=False)
    ]
    return agreement(choices, _LEVEL).alike.times(0.01)


def _trials(judgment: Judgment) -> list[tuple[float, ...]]:
    """The first judgment and its repeats: of each the votes, or the one value."""
    first = judgment.votes if len(judgment.repeats[0]) == 2 else (judgment.value or 0.0,)
    return [first, *filter(None, judgment.repeats)]


def _self_preference(
    run: Run,
    judge: str,
    parsed: Sequence[_Row],
    values: Mapping[Hashable, Mapping[str, float]],
    *,
    rates: bool,
) -> Measured | None:
    """How much more than others a judge favours its own family's models over the other models.

    The judge's value less the mean of the other judges of the answer (a panel's, of other
    families), on its own family's answers less on the others': what answers deserve cancels, as
    where Zheng et al. 2023 (arXiv:2306.05685, section 3.3) compare with people's votes.

    Returns:
        None where the judge's family is unknown.
    """
    entry = next((j for j in run.manifest.judges if j.name == judge), None)
    spec = run.manifest.suite.judges.get(judge)
    served = () if entry is None else (entry.engine.model, entry.model)
    mine = _family(*served, None if spec is None else spec.model, judge)
    if mine is None:
        return None
    of_judge = {name: _family(spec.model, name) for name, spec in run.manifest.suite.judges.items()}
    of_model = {
        name: _family(spec.base, spec.path, name)
        for name, spec in run.manifest.suite.models.items()
    }
    kept = []
    for record, judgment in parsed:
        held = values[record.key, judgment.part]
        others = [v for name, v in held.items() if name != judge and of_judge.get(name) != mine]
        if others and judgment.value is not None:
            more = judgment.value - math.fsum(others) / len(others)
            kept.append((record, more / 9 if rates else more))
    return contrast(
        [more for _, more in kept],
        [of_model.get(record.model) == mine for record, _ in kept],
        [0] * len(kept),
        [_unit(record) for record, _ in kept],
        _LEVEL,
    )


def _family(*names: str | None) -> str | None:
    """The family of the first name that is known to belong to one."""
    for name in (name.lower().rsplit("/", 1)[-1] for name in names if name):
        for family, marks in FAMILIES.items():
            if name.startswith(marks):
                return family
    return None
