"""A few answers side by side: where candidate and baseline differ most, in both directions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from statistics import fmean

from evalkit.report.blocks import Block, Example, Reply, Section, Text, Turn
from evalkit.report.view import BenchmarkView, Measure, View
from evalkit.report.words import benchmark_label, metric_label
from evalkit.tables import figure, one_line
from evalkit.types import Judgment, Record

__all__ = ["build", "chosen"]


@dataclass(frozen=True)
class _Found:
    task: str
    sample: str
    difference: float


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


def _examples(view: View, benchmark: BenchmarkView, wanted: int) -> Iterator[Block]:
    for task, sample in chosen(view, benchmark, wanted):
        yield _example(view, benchmark, task, sample)


def chosen(view: View, benchmark: BenchmarkView, wanted: int) -> list[tuple[str, str]]:
    """(task, sample), the largest differences first, the two directions taking turns.

    Equal differences go round the tasks, then by sample order.  Without a pair: the first
    samples of each task in turn.
    """
    found = list(_differences(view, benchmark))
    up = [f for f in found if f.difference > 0]
    down = [f for f in found if f.difference < 0]
    turns = chain.from_iterable(zip_longest(_largest_first(up), _largest_first(down)))
    order = [f for f in turns if f is not None]
    order += _largest_first([f for f in found if f.difference == 0])
    return [(f.task, f.sample) for f in order[:wanted]]


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
            yield _Found(measure.task, sample, _difference(by_model, pair, measure.metric.name))


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


def _example(view: View, benchmark: BenchmarkView, task: str, sample: str) -> Example:
    by_model = view.records[benchmark.name, task][sample]
    measure = next(m for m in benchmark.measures if m.task == task and m.metric.primary)
    names = [m.name for m in view.measured if m.name in by_model]
    first = by_model[names[0]]
    parts = [sample if len(benchmark.tasks) == 1 else f"{task} {sample}", first.category or ""]
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
    return Example(f"Sample {title}", turns)


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
    return Reply(
        model=record.model,
        text=_at(outcome.answers, i, turns),
        verdict=_verdict(record, measure, value, part),
        remarks=tuple(r for r in remarks if r),
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
    if judgment.error:
        return f"{judgment.judge}: {judgment.status}, {one_line(judgment.error, 300)}"
    replies = [one_line(e.reply, 400) for e in judgment.exchanges]
    return f"{judgment.judge}: {' / '.join(replies)}" if any(replies) else ""
