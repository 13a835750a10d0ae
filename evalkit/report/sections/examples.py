"""A few answers side by side, by direction: what the candidate lost most on, and won most on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from statistics import fmean

from evalkit.core import Judgment, Record
from evalkit.draw import difference, figure, one_line
from evalkit.report.blocks import Block, Example, Reply, Section, Text, Turn
from evalkit.report.browser import sample_link
from evalkit.report.view import BenchmarkView, Measure, View
from evalkit.report.words import benchmark_label, metric_label, unit_text

__all__ = ["build", "chosen"]

_BRIEF = 120
"""Characters of a reply that stands as it is."""


@dataclass(frozen=True)
class _Found:
    task: str
    sample: str
    difference: float
    """Candidate minus baseline; positive: the candidate did better."""
    shown: float
    """The same in the metric's unit and with its own sign."""


def build(view: View) -> Section | None:
    """Examples of every benchmark; None where the suite wants none."""
    wanted = int(view.settings.get("examples", 6))
    if wanted <= 0:
        return None
    parts = tuple(
        Section(benchmark_label(b.name), tuple(_examples(view, b, wanted)))
        for b in view.benchmarks
        if any(task in view.records for task in ((b.name, t) for t in b.tasks))
    )
    if not parts:
        return None
    intro = Text(
        "Chosen by rule, not by taste: the samples on which candidate and baseline differ most, "
        "in both directions. What differs least is not shown here; records.jsonl has everything."
    )
    return Section("Answers side by side", (intro, *parts))


_HEADINGS = {
    -1: "Largest regressions",
    1: "Largest improvements",
    0: "No difference, or none that can be stated",
}


def _examples(view: View, benchmark: BenchmarkView, wanted: int) -> Iterator[Block]:
    """By direction; without a pair, or where nothing differs, plainly."""
    found = _ranked(view, benchmark)[:wanted]
    by_sign: dict[int, list[_Found]] = {sign: [] for sign in _HEADINGS}
    for f in found:
        by_sign[(f.difference > 0) - (f.difference < 0)].append(f)
    for sign, mine in by_sign.items():
        blocks = tuple(_example(view, benchmark, f) for f in mine)
        if not blocks:
            continue
        if not view.pairs:
            yield from blocks
        else:
            yield Section(_HEADINGS[sign], blocks)


def chosen(view: View, benchmark: BenchmarkView, wanted: int) -> list[tuple[str, str]]:
    """(task, sample), the largest differences first, the two directions taking turns.

    Equal differences go round the tasks, then by sample order.  Without a pair: the first
    samples of each task in turn.
    """
    return [(f.task, f.sample) for f in _ranked(view, benchmark)[:wanted]]


def _ranked(view: View, benchmark: BenchmarkView) -> list[_Found]:
    found = list(_differences(view, benchmark))
    up = [f for f in found if f.difference > 0]
    down = [f for f in found if f.difference < 0]
    turns = chain.from_iterable(zip_longest(_largest_first(up), _largest_first(down)))
    order = [f for f in turns if f is not None]
    return order + _largest_first([f for f in found if f.difference == 0])


def _largest_first(found: list[_Found]) -> list[_Found]:
    seen: Counter[tuple[str, float]] = Counter()
    ranked = []
    for position, f in enumerate(found):
        rank = seen[f.task, f.difference]
        seen[f.task, f.difference] += 1
        ranked.append((-abs(f.difference), rank, position, f))
    return [f for *_, f in sorted(ranked, key=lambda r: r[:3])]


def _differences(view: View, benchmark: BenchmarkView) -> Iterator[_Found]:
    pair = view.pairs[0] if view.pairs else None
    for measure in benchmark.measures:
        if not measure.metric.primary:
            continue
        for sample, by_model in view.records.get((benchmark.name, measure.task), {}).items():
            gap = _difference(by_model, pair, measure.metric.name)
            better = gap if measure.metric.higher_is_better else -gap
            yield _Found(measure.task, sample, better, gap * measure.metric.scale)


def _difference(by_model: dict[str, Record], pair: tuple[str, str] | None, metric: str) -> float:
    if pair is None:
        return 0.0
    a, b = (_value(by_model.get(name), metric) for name in pair)
    return 0.0 if a is None or b is None else a - b


def _value(record: Record | None, metric: str, part: str | None = None) -> float | None:
    if record is None:
        return None
    scores = record.outcome.scores
    values = [s.value for s in scores if s.metric == metric and part in (None, s.part)]
    return fmean(values) if values else None


def _example(view: View, benchmark: BenchmarkView, found: _Found) -> Example:
    task, sample = found.task, found.sample
    by_model = view.records[benchmark.name, task][sample]
    measure = next(m for m in benchmark.measures if m.task == task and m.metric.primary)
    names = [m.name for m in view.measured if m.name in by_model]
    first = by_model[names[0]]
    parts = [sample if len(benchmark.tasks) == 1 else f"{task} {sample}", first.category or ""]
    if found.difference:
        unit = measure.metric.unit
        parts.append(f"{difference(found.shown, unit)} {unit_text(unit, of_difference=True)}")
    title = ", ".join(part for part in parts if part)
    questions = _questions([by_model[name] for name in names], measure)
    turns = tuple(
        Turn(
            question,
            _at(first.outcome.reference, i, len(questions)),
            tuple(_reply(by_model[name], measure, i, len(questions)) for name in names),
        )
        for i, question in enumerate(questions)
    )
    return Example(f"Sample {title}", turns, sample_link(benchmark.name, task, sample))


def _questions(records: Sequence[Record], measure: Measure) -> list[str]:
    """One per turn where turns are scored apart; else the whole prompt, few-shot turns and all."""
    if len(measure.metric.parts) > 1:
        asked = [[m.content for m in r.outcome.conversation if m.role == "user"] for r in records]
        # A model that failed in its first turn was never asked the second.
        return max(asked, key=len) or [""]
    talk = records[0].outcome.conversation
    prompt = talk[:-1] if talk and talk[-1].role == "assistant" else talk
    if len(prompt) == 1:
        return [prompt[0].content]
    return ["\n\n".join(f"[{m.role}]\n{m.content}" for m in prompt)]


def _at(texts: tuple[str, ...], i: int, turns: int) -> str:
    if turns == 1:
        return "\n".join(texts)
    return texts[i] if i < len(texts) else ""


def _reply(record: Record, measure: Measure, i: int, turns: int) -> Reply:
    outcome = record.outcome
    part = f"turn_{i + 1}" if turns > 1 else None
    judgments = [j for j in outcome.judgments if part is None or j.part in ("", part)]
    value = _value(record, measure.metric.name, part)
    remarks = [_remark(j) for j in judgments]
    if outcome.truncated:
        remarks.append("Cut by the token limit.")
    reasons = [r for j in judgments for r in _reasons(j)]
    return Reply(
        model=record.model,
        text=_at(outcome.answers, i, turns),
        verdict=_verdict(record, measure, value, part),
        remarks=tuple(r for r in remarks if r),
        reasons=tuple(reasons),
    )


def _verdict(record: Record, measure: Measure, value: float | None, part: str | None) -> str:
    outcome = record.outcome
    if value is None:
        reason = f": {one_line(outcome.error, 300)}" if outcome.error else ""
        return f"no score ({outcome.status}{reason})"
    shown = figure(value * measure.metric.scale, measure.metric.unit)
    label = measure.metric.name.replace("_", " ") if part else metric_label(measure.metric)
    return f"{label} {shown}"


def _remark(judgment: Judgment) -> str:
    """That the judge failed, or all it said where that is a word or a number."""
    if judgment.error:
        return f"{judgment.judge}: {judgment.status}, {one_line(judgment.error, 300)}"
    replies = [e.reply for e in judgment.exchanges]
    if any(map(_is_text, replies)) or not any(replies):
        return ""
    return f"{judgment.judge}: {' / '.join(one_line(reply) for reply in replies)}"


def _reasons(judgment: Judgment) -> Iterator[tuple[str, str]]:
    """What the judge wrote, where it wrote more than a verdict."""
    replies = [e.reply for e in judgment.exchanges]
    if not any(map(_is_text, replies)):
        return
    both = len(judgment.votes) == len(replies) == 2
    orders = ("shown first", "shown second") if both else ("",) * len(replies)
    for order, reply in zip(orders, replies, strict=True):
        if reply:
            place = f", this answer {order}" if order else ""
            yield f"What {judgment.judge} wrote{place}", reply


def _is_text(reply: str) -> bool:
    return len(reply) > _BRIEF or "\n" in reply.strip()
