"""What a page is made of: a run with what `compare` says of it, and the blocks that show it.

Every section reads a `Report` and returns a `Section` of blocks; `render.py` writes blocks as HTML
and Markdown.  Every string of a block may be hostile: a renderer escapes all but `Chart.svg`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Literal, TypeAlias
from urllib.parse import quote

from markupsafe import Markup

from evalkit.comparison.cautions import damages
from evalkit.comparison.contests import stored
from evalkit.comparison.gate import gate
from evalkit.comparison.health import JudgeHealth, health
from evalkit.core import Record, Suspicion, suspicions
from evalkit.core.contests import Contest, Damaged, GateResult
from evalkit.core.figures import Figure, FigureKey, Metric
from evalkit.core.run import BenchmarkEntry, Run
from evalkit.draw import ColumnName, Item, Status, Table, status, visible
from evalkit.errors import SuiteError

__all__ = [
    "Answer",
    "Block",
    "Caveats",
    "Chart",
    "Code",
    "Details",
    "Example",
    "Note",
    "Pair",
    "Reply",
    "Report",
    "Section",
    "Statements",
    "Text",
    "Turn",
    "first_few",
    "gap",
    "pair_of",
    "sample_link",
    "samples_link",
    "scores",
]

Pair: TypeAlias = tuple[str, str]
"""Candidate and baseline."""


@dataclass(frozen=True)
class Report:
    """A run, and what is said of it: everything a section reads."""

    run: Run
    browsable: bool = False
    """The page holds the samples, so that a figure may link to those it counts."""

    @cached_property
    def contests(self) -> tuple[Contest, ...]:
        """The comparisons that the run stores, corrected; in its order."""
        return tuple(stored(self.run))

    @cached_property
    def gate(self) -> GateResult | None:
        """What the suite's gate says of this run; None where it has none, or another baseline.

        Raises:
            ComparisonError: the sides' settings differ.
        """
        spec = self.run.manifest.suite.gate
        compared = {baseline for _, baseline in self.pairs}
        if spec is None or spec.baseline not in compared:
            return None
        try:
            return gate(self.run)
        except SuiteError:
            return None  # its default margin is not for these figures' units

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """(candidate, baseline) of the comparisons, in order."""
        return tuple(dict.fromkeys((c.candidate, c.baseline) for c in self.run.comparisons))

    @property
    def gate_pair(self) -> Pair | None:
        """Whom the gate is about; None where there is no gate."""
        return None if self.gate is None else (self.gate.candidate, self.gate.baseline)

    def headline(self, pair: Pair) -> list[Contest]:
        """One pair's headline contests."""
        return [c for c in self.contests if c.family == "headline" and pair_of(c) == pair]

    @cached_property
    def answers(self) -> Mapping[Pair, Answer]:
        """The status of every pair with headline contests; none of a run without a verdict."""
        several = len(self.pairs) > 1
        if self.run.state != "finished":
            return {}
        return {
            (a, b): Answer(status(found, self.run.figures), f"{a} against {b}" if several else "")
            for a, b in self.pairs
            if (found := self.headline((a, b)))
        }

    def contest(self, pair: Pair, key: FigureKey) -> Contest | None:
        """One pair's contest on one figure."""
        return self._by_place.get((pair, key))

    @cached_property
    def _by_place(self) -> dict[tuple[Pair, FigureKey], Contest]:
        return {(pair_of(c), c.key): c for c in self.contests}

    def items(self, pair: Pair) -> list[Item]:
        """One pair's headline contests, as the gate tests them where it tests this pair.

        Behind them tasks that its policy names.  Intervals and verdicts are the report's: the
        gate's contests are at its own level.  What a side has no samples of is not here.
        """
        found = self.headline(pair)
        answer = self.gate
        if answer is None or self.gate_pair != pair:
            return list(found)
        tests = {
            test.key: replace(test, contest=contest)
            for test in answer.tests
            if (contest := self.contest(pair, test.key)) is not None
        }
        items: list[Item] = [tests.pop(contest.key, contest) for contest in found]
        return [*items, *tests.values()]

    @cached_property
    def level(self) -> float:
        """Confidence level of the intervals."""
        for c in self.run.comparisons:
            return c.difference.level
        for figure in self.run.figures:
            return figure.value.level
        return self.run.manifest.suite.report.level

    @property
    def measured(self) -> tuple[str, ...]:
        """Models that are not known by published figures alone."""
        return tuple(m for m in self.run.models if self.run.role(m) != "published")

    @property
    def published(self) -> tuple[str, ...]:
        """Models known by their published figures alone."""
        return tuple(m for m in self.run.models if self.run.role(m) == "published")

    @cached_property
    def health(self) -> tuple[JudgeHealth, ...]:
        """A row per judge, benchmark and protocol."""
        return health(self.run)

    @cached_property
    def damages(self) -> tuple[Damaged, ...]:
        """What makes stored figures unreliable."""
        return tuple(damages(self.run))

    @cached_property
    def suspicious(self) -> Mapping[tuple[str, str, str, str], tuple[Suspicion, ...]]:
        """By key of a judged record: what in its answers may be meant for the judge."""
        judged = (r for r in self.run.records if r.outcome.judgments)
        found = ((r.key, suspicions(r.outcome.answers)) for r in judged)
        return {key: kinds for key, kinds in found if kinds}

    def keys(self, entry: BenchmarkEntry) -> tuple[FigureKey, ...]:
        """Figures of a benchmark, task by task, the primary metric first; no categories.

        In the order of the run's figures: an object on disk need not keep the order of its keys.
        """
        return self._keys.get(entry.name, ())

    @cached_property
    def _keys(self) -> dict[str, tuple[FigureKey, ...]]:
        found: dict[str, tuple[FigureKey, ...]] = {}
        for entry in self.run.benchmarks:
            stated = (f.key.whole for f in self.run.figures if f.key.benchmark == entry.name)
            declared = sorted(
                FigureKey(entry.name, task, metric.name)
                for task, metrics in entry.metrics.items()
                for metric in metrics
            )
            keys = list(dict.fromkeys([*stated, *declared]))
            tasks = list(dict.fromkeys(key.task for key in keys))
            primary = entry.primaries
            keys.sort(key=lambda k: (tasks.index(k.task), k not in primary))
            found[entry.name] = tuple(keys)
        return found

    def figures(self, keys: Iterable[FigureKey], models: Sequence[str] = ()) -> list[Figure]:
        """What there is of these figures, figure by figure, then model by model (all)."""
        found = ((self.run.figure(m, key)) for key in keys for m in models or self.run.models)
        return [figure for figure in found if figure is not None]

    @cached_property
    def samples(self) -> dict[tuple[str, str], dict[str, dict[str, Record]]]:
        """(benchmark, task) → sample → model → record, all in canonical order."""
        found: dict[tuple[str, str], dict[str, dict[str, Record]]] = {}
        for r in self.run.records:
            task = found.setdefault((r.benchmark, r.task), {})
            task.setdefault(r.sample, {})[r.model] = r
        return found

    def primary(self, benchmark: str, task: str) -> Metric | None:
        """The metric that samples of a task are ordered by; None where nothing says which."""
        about = self.run.benchmark(benchmark).tasks.get(task)
        metrics = about.metrics if about else ()
        return next((m for m in metrics if m.primary), metrics[0] if metrics else None)

    def scored_by(self, key: FigureKey) -> Metric | None:
        """The declared primary metric of a task's samples, where `key` is its figure."""
        metric = self.primary(key.benchmark, key.task)
        return metric if metric and metric.primary and metric.name == key.metric else None

    def link(self, contest: Contest, column: ColumnName) -> str:
        """The address of the samples that a cell counts; empty where the page has none.

        Where a sample has a score for each turn, comparisons count turns and the list of samples
        does not: then only the figure's name leads there, all categories together.
        """
        verdicts: dict[ColumnName, str] = {"wins": "win", "ties": "tie", "losses": "loss"}
        key, filters = contest.key, {"benchmark": contest.key.benchmark}
        if not self.browsable or key.category is not None:
            return ""
        in_task = (key.benchmark, key.task) in self.samples
        if in_task:
            filters["task"] = key.task
        elif not any(benchmark == key.benchmark for benchmark, _ in self.samples):
            return ""
        place = self.pairs.index(pair_of(contest))
        if place:
            filters["pair"] = str(place)
        if column in verdicts:
            metric = self.primary(key.benchmark, key.task)
            if metric is None or metric.name != key.metric or metric.parts != ("",) or not in_task:
                return ""
            filters["verdict"] = verdicts[column]
        return samples_link(**filters)


def scores(record: Record | None, metric: Metric | None) -> dict[str, float]:
    """Scores of one metric by part, not scaled to its unit; what is excluded has none."""
    if record is None or metric is None or record.outcome.status == "excluded":
        return {}
    return {s.part: s.value for s in record.outcome.scores if s.metric == metric.name}


def gap(records: Mapping[str, Record], pair: Pair, metric: Metric | None) -> float | None:
    """Candidate minus baseline on one sample, not scaled; None where it is undefined.

    The mean over the parts that both have a score for, as in comparisons.
    """
    ours, theirs = (scores(records.get(name), metric) for name in pair)
    both = [ours[part] - theirs[part] for part in ours if part in theirs]
    return fmean(both) if both else None


def pair_of(contest: Contest) -> Pair:
    """Its candidate and baseline."""
    return contest.comparison.candidate, contest.comparison.baseline


# --- addresses within the page ------------------------------------------------------------------


def sample_link(benchmark: str, task: str, sample: str) -> str:
    """The address of one sample, stable over runs and versions.

    What stands after the `#` is `&`-separated, percent-encoded, and read by `50_address.js`.
    """
    return "#sample=" + "/".join(_quoted(part) for part in (benchmark, task, sample))


def samples_link(**filters: str) -> str:
    """The address of the list of samples with `filters` set.

    Args:
        filters: `benchmark`, `task`, `category` by name; `pair` by its place among the run's;
            `verdict` (`win`, `loss`, `tie`, `none`); `status` (a status, or `failed` for any but
            `ok`); `flag` (`truncated`, `orders`,
            `suspicious`); `sort` (`worst`, `best`, `largest`, `run`); `q`.
    """
    return "#samples" + "".join(f"&{name}={_quoted(text)}" for name, text in filters.items())


def _quoted(text: str) -> str:
    return quote(visible(text), safe="")


# --- blocks -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    lead: str = ""
    """Set in bold before `text`."""


@dataclass(frozen=True)
class Note:
    """A paragraph that must not be missed (`warning`), or a remark."""

    text: str
    lead: str = "Note."
    kind: Literal["warning", "remark"] = "warning"


@dataclass(frozen=True)
class Answer:
    """The answer to the page's question: a line, and the strongest figure."""

    status: Status
    whose: str = ""
    """Of which pair, where a page has several."""

    @property
    def line(self) -> str:
        """What it says, of whom."""
        return f"{self.whose}: {self.status.line}" if self.whose else self.status.line


@dataclass(frozen=True)
class Caveats:
    """What a reader must know before quoting anything: notes in one box."""

    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Code:
    """Text shown exactly as it is."""

    text: str
    caption: str = ""


@dataclass(frozen=True)
class Statements:
    """The summary sentences of contests, one below the other."""

    contests: tuple[Contest, ...]


@dataclass(frozen=True)
class Chart:
    """A drawing, and the same figures as a table."""

    title: str
    svg: Markup
    """Made by `draw.svg`, which escapes every text in it."""
    table: Table | None = None
    """Stands in for the drawing in Markdown, and below it in HTML; None: a table follows."""
    note: str = ""
    """How to read the drawing."""
    fixed: bool = False
    """Drawn in a size of its own: it scrolls where there is no room for that."""


@dataclass(frozen=True)
class Reply:
    """What one model answered to one turn."""

    model: str
    text: str
    verdict: str
    """What was found of it, in words, or why nothing was."""
    remarks: tuple[str, ...] = ()
    """That the answer was cut, that the judge failed."""
    reasons: tuple[tuple[str, str], ...] = ()
    """What stands folded below: what the model thought, and what the judge wrote of which answer
    or order; each text as it is."""


@dataclass(frozen=True)
class Turn:
    """One question with every model's answer."""

    question: str
    reference: str
    replies: tuple[Reply, ...]


@dataclass(frozen=True)
class Example:
    """One sample, side by side."""

    title: str
    turns: tuple[Turn, ...]
    name: str
    """Of the sample."""
    href: str
    """Its address in the browser of all samples."""
    open: bool = False
    """Seen without a click."""


@dataclass(frozen=True)
class Details:
    """Blocks that are folded away at first."""

    summary: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; may hold sections itself."""

    title: str
    blocks: tuple[Block, ...]
    folded: bool = False
    """Its heading alone is seen at first."""


Block: TypeAlias = (
    Text | Answer | Note | Caveats | Statements | Chart | Code | Table | Example | Details | Section
)


def first_few(parts: Sequence[Sequence[Block]], summary: str, most: int = 3) -> Iterator[Block]:
    """Those of many pairs would push all else off the screen: the rest is folded away.

    Args:
        parts: Blocks by pair.
        summary: Of what is folded away, with `{}` for how many pairs.
        most: Pairs shown open.
    """
    for blocks in parts[:most]:
        yield from blocks
    rest = tuple(block for blocks in parts[most:] for block in blocks)
    if rest:
        yield Details(summary.format(len(parts) - most), rest)
