"""Benchmark by benchmark: figures, differences, categories, what is missing; leaderboard, examples.

Published figures stand beside computed ones, marked, with their source, and are never paired.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise, zip_longest
from statistics import fmean

from evalkit import draw
from evalkit.comparison.cautions import UNFINISHED
from evalkit.comparison.health import unfit, unvalidated
from evalkit.comparison.ranking import ELO, Pairing, Ranking, Strengths, floors, rankings, strengths
from evalkit.core import Judgment, Outcome, Record
from evalkit.core.contests import Contest
from evalkit.core.figures import (
    Comparison,
    Figure,
    FigureKey,
    Metric,
)
from evalkit.core.run import BenchmarkEntry, tasks_below
from evalkit.draw import Cell, Column, Group, Table
from evalkit.draw import level as draw_level
from evalkit.draw.svg import MODELS_DRAWN, category_bars
from evalkit.report.content import (
    Block,
    Chart,
    Details,
    Example,
    Note,
    Pair,
    Reply,
    Report,
    Section,
    Text,
    Turn,
    gap,
    sample_link,
    scores,
)

__all__ = ["answers", "leaderboard", "results"]

_LONG_THOUGHT = 2_000
"""Characters of a thought beside an answer; the sample browser has all of it."""


def results(report: Report) -> Section | None:
    """One subsection per benchmark entry."""
    parts = tuple(
        Section(draw.benchmark_label(entry.name), blocks)
        for entry in report.run.benchmarks
        if report.keys(entry) and (blocks := tuple(_blocks(report, entry)))
    )
    return Section("Results", parts) if parts else None


def _blocks(report: Report, entry: BenchmarkEntry) -> Iterator[Block]:
    keys = report.keys(entry)
    if report.run.figures:
        overview = tuple(_tasks(report, entry))
        yield from overview
        expected = dict.fromkeys(entry.headlines, report.measured)
        every = report.figures(keys, _models(report))
        table = draw.figure_table(every, caption="Models side by side", expected=expected)
        # What the overview shows of many tasks is not shown twice at first sight.
        yield Details("Every metric of every task", (table,)) if overview else table
    yield from (text for pair in report.pairs if (text := _lengths(report, entry, pair)))
    for key in keys:
        yield from _categories(report, key)
    contests = [c for c in report.contests if c.key in set(keys)]
    if contests:
        table = draw.contest_table(
            contests,
            draw.DETAILS,
            link=report.link,
            notes=["Other metrics and tasks are corrected separately."],
        )
        yield Details("Candidate against baseline on every metric", (table,))
    folded = (_missing(report, entry), _thoughts(report, entry), _sources(report, keys))
    yield from (Details(t.caption, (replace(t, caption=""),)) for t in folded if t.rows)


def _models(report: Report) -> tuple[str, ...]:
    return (*report.measured, *report.published)


def _tasks(report: Report, entry: BenchmarkEntry) -> Iterator[Block]:
    """A benchmark of several tasks as one table, tasks below an average folded away."""
    keys = report.keys(entry)
    below = {t for a in entry.averages if not a.columns for t in tasks_below(a, entry.averages)}
    if not entry.averages:  # imported figures: lm-eval names a group's tasks after it
        tasks = {key.task for key in keys}
        below = {t for t in tasks if any(t.startswith(f"{other}_") for other in tasks)}
    shown = [k for k in keys if k in entry.primaries or k.metric in ("normalised", "average")]
    if len({k.task for k in keys}) < 2 or not shown:
        return
    models = [m for m in _models(report) if report.figures(keys, (m,))]
    over = report.figures([k for k in shown if k.task not in below], models)
    under = report.figures([k for k in shown if k.task in below], models)
    if over:
        yield _overview(over, models, "Tasks")
    if under:
        n = len({f.key.task for f in under})
        summary = "1 subtask" if n == 1 else f"{draw.count(n)} subtasks"
        yield Details(summary, (_overview(under, models, "Subtasks"),))


def _overview(figures: Sequence[Figure], models: Sequence[str], caption: str) -> Table:
    table = draw.side_by_side(figures, models, caption=caption)
    said = [table.note]
    if any(f.key.metric == "normalised" for f in figures):
        said.append("Normalised: 0 at chance, 100 where all is right.")
    if any(f.published for f in figures):
        said.append("Some figures are published; “Models side by side” says which.")
    return replace(table, note=" ".join(text for text in said if text))


# --- win rates beside lengths -------------------------------------------------------------------
#
# Judges tend to prefer what is longer.  The length-controlled win rates are figures of whole models
# (`stats.length_controlled`), not means over samples, so that there is no paired interval of their
# difference; none is made up here.


def _lengths(report: Report, entry: BenchmarkEntry, pair: Pair) -> Text | None:
    """What the pair's lengths say of its win rates; None where it has not both."""
    keys = {key.metric: key for key in report.keys(entry)}
    rate, length = (
        report.contest(pair, keys[name]) if name in keys else None
        for name in ("win_rate", "avg_length")
    )
    if rate is None or length is None:
        return None
    left: float | None = None
    if key := keys.get("length_controlled_win_rate"):
        a, b = (report.run.figure(name, key) for name in pair)
        if a and b and a.value.point is not None and b.value.point is not None:
            left = a.value.point - b.value.point
    return Text(" ".join([draw.contest_sentence(length), *_explained(rate, left)]), "Length.")


def _explained(rate: Contest, left: float | None) -> Iterator[str]:
    """What is left of a lead when lengths are made equal."""
    raw = rate.comparison.difference.point
    if left is None or raw is None:
        yield "There is no length-controlled figure of both."
        return
    shown = (
        f"{draw.difference(left, 'percent')} percentage points with length controlled instead of "
        f"{draw.difference(raw, 'percent')}"
    )
    if rate.verdict not in ("better", "worse"):
        yield (
            f"The win rates do not differ significantly; their difference is {shown}, which has no "
            f"paired interval and settles nothing."
        )
        return
    leader = rate.comparison.candidate if raw > 0 else rate.comparison.baseline
    kept = left / raw
    if kept <= 0:
        yield f"The lead of {leader} disappears ({shown}): length alone may explain it."
    elif kept < 0.5:
        yield f"Most of the lead of {leader} disappears with length ({shown})."
    else:
        yield f"The lead of {leader} remains ({shown}); length does not explain it."


# --- categories ---------------------------------------------------------------------------------

_MOST_DRAWN = 24
"""Categories that are drawn; more have the tables alone."""


def _categories(report: Report, key: FigureKey) -> Iterator[Block]:
    """A chart with its table, and the differences; nothing where there are no categories."""
    figures = [f for f in report.run.figures if f.key.category is not None and f.key.whole == key]
    figures = [f for f in figures if f.model in report.measured]
    if not figures:
        return
    title = f"{draw.figure_label(key)} by category: {draw.metric_label(key.metric)}"
    models = [m for m in report.measured if any(f.model == m for f in figures)]
    table = draw.side_by_side(
        report.figures(dict.fromkeys(f.key for f in figures), models), models, caption=title
    )
    # Candidates, then baselines, then others: no more than there are fills.
    order = ("candidate", "baseline")
    drawn = sorted(
        models,
        key=lambda m: order.index(r) if (r := report.run.role(m)) in order else len(order),
    )[:MODELS_DRAWN]
    if len({f.key for f in figures}) > _MOST_DRAWN:
        yield table
    else:
        chart = category_bars(title, [f for f in figures if f.model in drawn], drawn)
        note = chart.note
        if len(drawn) < len(models):
            note += f" Drawn: {len(drawn)} of {len(models)} models; the table has all."
        yield Chart(title, chart.svg, table, note)
    contests = [c for c in report.contests if c.key.category is not None and c.key.whole == key]
    if contests:
        yield Details("Differences by category", (draw.contest_table(contests, draw.DETAILS),))


# --- what is missing, and where published figures come from -------------------------------------


def _missing(report: Report, entry: BenchmarkEntry) -> Table:
    counts: Counter[tuple[str, str, str]] = Counter()
    for task in dict.fromkeys(key.task for key in report.keys(entry)):
        by_sample = report.samples.get((entry.name, task), {})
        for model in report.measured:
            for record in (found[model] for found in by_sample.values() if model in found):
                if record.outcome.is_wrong:
                    counts[model, task, "unfinished, scored as wrong"] += 1
                elif record.outcome.status != "ok":
                    counts[model, task, record.outcome.status] += 1
                elif record.outcome.truncated:
                    counts[model, task, "truncated, scored"] += 1
    columns = (
        Column("Model", header=True),
        Column("Task"),
        Column("Status"),
        Column("Samples", "right"),
    )
    rows = [
        (Cell.text(model), Cell.text(task), Cell.text(status), Cell(n, draw.count(n)))
        for (model, task, status), n in counts.items()
    ]
    note = "A missing score is never counted as zero."
    return Table.of("Missing scores and truncated answers", columns, rows, note)


def _thoughts(report: Report, entry: BenchmarkEntry) -> Table:
    """How much each model thought, and how often a thought did not end; empty: none thinks."""
    rows = []
    for task in dict.fromkeys(key.task for key in report.keys(entry)):
        by_sample = report.samples.get((entry.name, task), {})
        for model in report.measured:
            mine = [found[model].outcome for found in by_sample.values() if model in found]
            lost = sum(outcome.status == "unfinished" for outcome in mine)
            thinking = [o for o in mine if o.thoughts or o.thought_tokens]
            if not lost and not thinking:
                continue
            counted = [o.thought_tokens for o in thinking if o.thought_tokens]
            mean = fmean(counted) if counted else None
            rows.append(
                (
                    Cell.text(model),
                    Cell.text(task),
                    Cell(len(thinking), draw.count(len(thinking))),
                    Cell(mean, draw.MISSING if mean is None else draw.count(round(mean))),
                    Cell(lost / len(mine), f"{draw.share(lost / len(mine))} ({draw.count(lost)})"),
                )
            )
    columns = (
        Column("Model", header=True),
        Column("Task"),
        Column("Samples with a thought", "right"),
        Column("Mean tokens of it", "right"),
        Column("Unfinished", "right"),
    )
    wrong = entry.judge is None
    note = (
        f"Thoughts are kept apart from answers: never scored, judged or measured. An unfinished "
        f"one leaves no answer, which {'is scored as wrong' if wrong else 'is missing'}; above "
        f"{draw.share(UNFINISHED)} of either side there is no verdict."
    )
    return Table.of("Thoughts", columns, rows, note)


def _sources(report: Report, keys: Sequence[FigureKey]) -> Table:
    """Where each published or recorded figure comes from."""
    groups = []
    for model in report.run.models:
        found: dict[str, list[str]] = {}
        for f in report.figures(keys, (model,)):
            if f.source is not None:
                found.setdefault(f.source.text, []).append(f"{f.key.task} {f.key.metric}")
        rows = tuple((Cell.text(s), Cell.text(", ".join(names))) for s, names in found.items())
        if rows:
            groups.append(Group(model, rows))
    columns = (Column("Source", header=True), Column("Figures"))
    note = "As the source states them; nothing here was computed from samples."
    caption = "Sources of published and recorded figures"
    return Table(caption, columns, tuple(groups), note)


# --- leaderboard --------------------------------------------------------------------------------

_ENOUGH = 3
"""Models from which on there is a leaderboard."""
_ALL_PAIRS = 10
"""Models up to which every pair is shown; with more, neighbours only."""


def leaderboard(report: Report) -> Section | None:
    """Several models in the order that the data show: rank ranges, published rows unranked."""
    run = report.run
    if not run.manifest.sealed or len(run.models) < _ENOUGH:
        return None
    floor = floors(report.contests)
    ranked = {
        key: (ranking, pairs)
        for key, ranking, pairs in rankings(run.records, run.benchmarks, report.level, floor)
    }
    references = {
        entry.name: f"{name} (reference)"
        for entry in run.benchmarks
        if (name := _reference(entry)) is not None
    }
    played = {
        (s.benchmark, s.task): s
        for s in strengths(run.records, run.benchmarks, report.level, references, floor)
    }
    parts = []
    for entry in run.benchmarks:
        blocks = [
            block
            for key in report.keys(entry)
            if report.scored_by(key)
            for block in _board_blocks(
                report, key, ranked.get(key), played.get((key.benchmark, key.task))
            )
        ]
        if blocks:
            parts.append(Section(draw.benchmark_label(entry.name), tuple(blocks)))
    if not parts:
        return None
    intro = Text(
        "A rank is a range where the data do not decide it: one model ranks above another only "
        "where their paired difference is significant after Holm's correction over all pairs of "
        "the table, and never where the verdict above is not. All ranges of a table hold together "
        f"with {draw_level(report.level)} confidence. Published figures have no samples to pair, "
        "and no rank."
    )
    return Section("Leaderboard", (intro, *parts))


def _reference(entry: BenchmarkEntry) -> str | None:
    """What the models of AlpacaEval were preferred to, by the name that is stored."""
    about = entry.description.all
    data = about.get("data")
    found = about.get("reference") or (data.get("file") if isinstance(data, dict) else None)
    return None if not found else str(found)


def _board_blocks(
    report: Report,
    key: FigureKey,
    ranked: tuple[Ranking, tuple[Comparison, ...]] | None,
    played: Strengths | None,
) -> Iterator[Block]:
    figures = report.figures([key])
    if sum(f.value.point is not None for f in figures) < _ENOUGH:
        return
    by_strength = played is not None and played.several_rivals
    ranking = None if ranked is None or by_strength else ranked[0]
    if why := draw.unfit_text(unfit(report.run, key.benchmark)):
        ranking, by_strength = None, False
        yield Note(f"No order is given: {why}.", f"{draw.JUDGE_UNFIT.capitalize()}.")
    if unvalidated(report.run, key.benchmark) and (ranking or by_strength):
        yield Note(
            "The order is what a model of the suite prefers, not what people would.",
            f"{draw.LOCAL_JUDGE.capitalize()}.",
        )
    yield _board(report, key, figures, ranking)
    if by_strength:
        yield Text(
            "These rates are against different opponents, which the strengths below take into "
            "account; so ranks are given there."
        )
    elif ranking is not None and ranked is not None:
        yield Text(_certain(ranking), "What is certain:")
        shown = "Every pair" if len(ranking.places) <= _ALL_PAIRS else "Every pair of neighbours"
        yield Details(shown, (_pairs(key, ranking, ranked[1]),))
    if played is not None:
        yield _strengths(played, report.level)


def _board(
    report: Report, key: FigureKey, figures: Sequence[Figure], ranking: Ranking | None
) -> Table:
    metric = report.run.benchmark(key.benchmark).metric(key.task, key.metric)
    sign = -1 if metric is None or metric.higher_is_better else 1
    known = {f.model: f for f in figures}
    ours = [known[p.model] for p in (ranking.places if ranking else ()) if p.model in known]
    rest = sorted(
        (f for f in figures if f not in ours),
        key=lambda f: (f.value.point is None, sign * (f.value.point or 0.0)),
    )
    table = draw.figure_table([*ours, *rest])
    roles = [report.run.role(f.model) for f in (*ours, *rest)]
    rows = [
        (_rank(f.model, ranking), *row, Cell.text(role))
        for f, row, role in zip((*ours, *rest), table.rows, roles, strict=True)
    ]
    label = (
        "Not ranked: published or recorded figures, without samples to pair"
        if all(f.source for f in rest)
        else "Not ranked"
    )
    groups = (Group("", tuple(rows[: len(ours)])), Group(label, tuple(rows[len(ours) :])))
    direction = ", lower is better" if sign == 1 else ""
    note = (
        f"In {draw.unit_words(figures[0].unit)}{direction}. The interval is of the figure alone: "
        f"models whose intervals overlap may still differ significantly, because differences are "
        f"paired."
    )
    return Table(
        f"{draw.figure_label(key)}: {draw.metric_label(key.metric)}",
        (Column("Rank", "right"), *table.columns, Column("Role")),
        tuple(g for g in groups if g.rows),
        note,
    )


def _rank(model: str, ranking: Ranking | None) -> Cell:
    place = ranking.place(model) if ranking else None
    if place is None:
        return Cell.missing("not ranked")
    if place.first == place.last:
        return Cell(place.first, draw.count(place.first))
    return Cell.text(f"{draw.count(place.first)} to {draw.count(place.last)}")


def _certain(ranking: Ranking) -> str:
    """The order of tiers in a sentence, and where pairs contradict each other."""
    tiers = ranking.tiers
    if not any(p.separated for p in ranking.pairings):
        return f"nothing; the order of {_and([p.model for p in ranking.places])} is open."
    if len(tiers) > 1:
        shown = (t[0] if len(t) == 1 else f"{_and(t)} (in no certain order)" for t in tiers)
        text = f"{', above '.join(shown)}."
    else:
        some = [f"{p.above} above {p.below}" for p in ranking.pairings if p.separated]
        rest = f" and {draw.count(len(some) - 5)} more pairs" if len(some) > 5 else ""
        text = f"only {', '.join(some[:5])}{rest}; no model is above all the others."
    if ranking.contradictory:
        text += (
            f" The samples that {_and(ranking.contradictory)} share contradict each other from "
            "pair to pair, so their order is open."
        )
    return text


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _pairs(key: FigureKey, ranking: Ranking, comparisons: Sequence[Comparison]) -> Table:
    columns = (
        Column("Pair", header=True),
        Column("Difference", "right"),
        Column(draw.ci(comparisons[0].difference.level), "right"),
        Column("p (Holm)", "right"),
        Column("n", "right"),
        Column("Order"),
    )
    places = [p.model for p in ranking.places]
    neighbours = set(pairwise(places))
    shown = [
        _pair_row(pairing, c)
        for pairing, c in zip(ranking.pairings, comparisons, strict=True)
        if len(places) <= _ALL_PAIRS or (pairing.above, pairing.below) in neighbours
    ]
    note = (
        "Differences are paired on the samples both have; intervals are of one pair, not "
        "corrected. p: of this order, corrected for all pairs, or for the headline comparisons "
        "where that gives a larger p."
    )
    return Table.of(f"{draw.figure_label(key)}: pairs", columns, shown, note)


def _pair_row(pairing: Pairing, c: Comparison) -> tuple[Cell, ...]:
    word = "significant" if pairing.separated else "open"
    if pairing.follows:
        word = "follows from a third model"
    d = c.difference
    return (
        Cell.text(f"{pairing.above} minus {pairing.below}"),
        Cell(d.point, draw.difference(d.point, c.unit), d.how),
        Cell(d.low, draw.bounds(d, c.unit, signed=True)),
        Cell(pairing.p_adjusted, draw.p_value(pairing.p_adjusted)),
        Cell(d.n, draw.count(d.n)),
        Cell.text(word, tone="" if pairing.separated else "unclear"),
    )


def _strengths(played: Strengths, level: float) -> Details | Table:
    """Folded away where plain rates say the same: against one reference."""
    result, ranking = played.result, played.ranking
    columns = (
        Column("Rank", "right"),
        Column("Player", header=True),
        Column("Strength", "right"),
        Column(draw.ci(level), "right"),
        Column("Games", "right"),
    )
    order = [p.model for p in ranking.places] if ranking else list(result.strengths)
    rows = []
    for model in order:
        s = result.strengths[model].times(ELO)
        rows.append(
            (
                _rank(model, ranking),
                Cell.text(model),
                Cell(s.point, draw.difference(s.point, "characters"), s.how),
                Cell(s.low, draw.interval(s.low, s.high, "characters", signed=True)),
                Cell(s.n, draw.count(s.n)),
            )
        )
    how = next((s.how for s in result.strengths.values()), "undefined: no games")
    note = (
        f"{how[:1].upper()}{how[1:]}. In Elo points from the mean of all "
        "players: 100 points more win 64 games of 100."
    )
    table = Table.of("Strengths from games between pairs", columns, rows, note)
    return table if played.several_rivals else Details("Strengths (Bradley-Terry)", (table,))


# --- answers side by side -----------------------------------------------------------------------

_TITLE = 90
"""Characters of a question that a heading shows."""
_BRIEF = 120
"""Characters of a judge's reply that stands as it is."""


@dataclass(frozen=True)
class _Found:
    task: str
    sample: str
    difference: float
    """Candidate minus baseline; positive: the candidate did better."""
    shown: float
    """The same in the metric's unit and with its own sign."""


def answers(report: Report) -> Section | None:
    """The samples that differ most, of every benchmark; None where the suite wants none."""
    wanted = report.run.manifest.suite.report.examples
    if wanted <= 0:
        return None
    found = ((e, list(_examples(report, e, wanted))) for e in report.run.benchmarks)
    parts = [(draw.benchmark_label(entry.name), examples) for entry, examples in found if examples]
    if not parts:
        return None
    first = parts[0][1]
    first[0] = replace(first[0], open=True)
    sections = tuple(Section(label, tuple(examples)) for label, examples in parts)
    intro = Text(
        "Chosen by rule: the samples on which candidate and baseline differ most, in both "
        "directions. They are not representative."
    )
    if not report.pairs:
        return Section("Answers", sections)
    return Section("Largest changes", (intro, *sections))


def _examples(report: Report, entry: BenchmarkEntry, wanted: int) -> Iterator[Example]:
    """Both directions in turn, the largest differences first.

    Equal ones go round the tasks, then by sample order.  Where nothing differs there is none;
    without a pair the first samples stand for all.
    """
    found = list(_differences(report, entry))
    up = _largest_first([f for f in found if f.difference > 0])
    down = _largest_first([f for f in found if f.difference < 0])
    order = [f for f in chain.from_iterable(zip_longest(up, down)) if f is not None]
    if not report.pairs:
        order = _largest_first(found)
    yield from (_example(report, entry, one) for one in order[:wanted])


def _largest_first(found: list[_Found]) -> list[_Found]:
    seen: Counter[tuple[str, float]] = Counter()
    ranked = []
    for position, f in enumerate(found):
        rank = seen[f.task, f.difference]
        seen[f.task, f.difference] += 1
        ranked.append((-abs(f.difference), rank, position, f))
    return [f for *_, f in sorted(ranked, key=lambda r: r[:3])]


def _differences(report: Report, entry: BenchmarkEntry) -> Iterator[_Found]:
    for key in report.keys(entry):
        metric = report.scored_by(key)
        if metric is None:
            continue
        for sample, by_model in report.samples.get((entry.name, key.task), {}).items():
            found = gap(by_model, report.pairs[0], metric) if report.pairs else None
            gained = found or 0.0
            better = gained if metric.higher_is_better else -gained
            yield _Found(key.task, sample, better, gained * metric.scale)


def _example(report: Report, entry: BenchmarkEntry, found: _Found) -> Example:
    task, sample = found.task, found.sample
    by_model = report.samples[entry.name, task][sample]
    metric = report.primary(entry.name, task)
    assert metric is not None, "samples without a metric have no difference"
    names = [m for m in report.measured if m in by_model]
    first = by_model[names[0]]
    of_one = len({key.task for key in report.keys(entry)}) == 1
    parts = [sample if of_one else f"{task} {sample}", first.category or ""]
    questions = _questions([by_model[name] for name in names], metric)
    title = draw.one_line(questions[0], _TITLE) or "(no question)"
    if found.difference:
        unit = draw.unit_words(metric.unit, of_difference=True)
        title = f"{draw.difference(found.shown, metric.unit)} {unit}: {title}"
    turns = tuple(
        Turn(
            question,
            _at(first.outcome.reference, i, len(questions)),
            tuple(_reply(by_model[name], metric, i, len(questions)) for name in names),
        )
        for i, question in enumerate(questions)
    )
    name = f"Sample {', '.join(part for part in parts if part)}"
    return Example(title, turns, name, sample_link(entry.name, task, sample))


def _questions(records: Sequence[Record], metric: Metric) -> list[str]:
    """One per turn where turns are scored apart; else the whole prompt, few-shot turns and all."""
    if len(metric.parts) > 1:
        said = [[m.content for m in r.outcome.conversation if m.role == "user"] for r in records]
        # A model that failed in its first turn has no second.
        return max(said, key=len) or [""]
    talk = records[0].outcome.conversation
    prompt = talk[:-1] if talk and talk[-1].role == "assistant" else talk
    if len(prompt) == 1:
        return [prompt[0].content]
    return ["\n\n".join(f"[{m.role}]\n{m.content}" for m in prompt)]


def _begin(text: str) -> str:
    return text if len(text) <= _LONG_THOUGHT else f"{text[:_LONG_THOUGHT]} …"


def thoughts_at(outcome: Outcome, turn: int, turns: int) -> tuple[str, ...]:
    """What the model thought in a turn, as far as it thought at all."""
    found = outcome.thoughts if turns == 1 else outcome.thoughts[turn : turn + 1]
    return tuple(thought for thought in found if thought)


def _at(texts: tuple[str, ...], i: int, turns: int) -> str:
    if turns == 1:
        return "\n".join(texts)
    return texts[i] if i < len(texts) else ""


def _reply(record: Record, metric: Metric, i: int, turns: int) -> Reply:
    outcome = record.outcome
    part = f"turn_{i + 1}" if turns > 1 else None
    judgments = [j for j in outcome.judgments if part is None or j.part in ("", part)]
    values = [v for name, v in scores(record, metric).items() if part in (None, name)]
    remarks = [remark for j in judgments if (remark := _remark(j))]
    if outcome.truncated:
        remarks.append("Cut by the token limit.")
    return Reply(
        model=record.model,
        text=draw.shortened(_at(outcome.answers, i, turns)),
        verdict=_found(outcome, metric, values, judgments),
        remarks=tuple(remarks),
        reasons=(
            *(("Thought", _begin(thought)) for thought in thoughts_at(outcome, i, turns)),
            *(r for j in judgments for r in _reasons(j)),
        ),
    )


def _found(
    outcome: Outcome, metric: Metric, values: Sequence[float], judgments: Sequence[Judgment]
) -> str:
    """What was found of an answer: by whom, and what it means; or why it has no score."""
    if not values:
        reason = f": {draw.one_line(outcome.error, 300)}" if outcome.error else ""
        return f"No score ({outcome.status}{reason})."
    value, by = fmean(values), ", ".join(dict.fromkeys(j.judge for j in judgments))
    shown = draw.figure(value * metric.scale, metric.unit)
    if by and metric.unit == "percent":
        liked = "no side" if value == 0.5 else "this answer" if value > 0.5 else "the reference"
        return f"{by} prefers {liked}: {shown} of 100 for this answer."
    if metric.unit == "percent" and value in (0, 1):
        return "Right." if value else "Wrong."
    return f"{by or draw.metric_label(metric.name)}: {shown} {draw.unit_words(metric.unit)}."


def _remark(judgment: Judgment) -> str:
    """That the judge failed, or all it said where that is a word or a number."""
    if judgment.error:
        return f"{judgment.judge}: {judgment.status}, {draw.one_line(judgment.error, 300)}"
    replies = [e.reply for e in judgment.exchanges]
    if any(map(_is_text, replies)) or not any(replies):
        return ""
    return f"{judgment.judge}: {' / '.join(draw.one_line(reply) for reply in replies)}"


def _reasons(judgment: Judgment) -> Iterator[tuple[str, str]]:
    """What the judge wrote, where it wrote more than a verdict."""
    replies = [e.reply for e in judgment.exchanges]
    if not any(map(_is_text, replies)):
        return
    both = len(judgment.votes) == len(replies) == 2
    orders = ("shown first", "shown second") if both else ("",) * len(replies)
    for order, reply in zip(orders, replies, strict=True):
        if reply:
            yield (
                f"What {judgment.judge} wrote{f', this answer {order}' if order else ''}",
                draw.shortened(reply),
            )


def _is_text(reply: str) -> bool:
    return len(reply) > _BRIEF or "\n" in reply.strip()
