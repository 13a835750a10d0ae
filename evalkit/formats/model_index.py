"""The hub's `model-index`: what runs publish of a model, and its entries.

    runs ─ gather ─▶ Material: candidate, Blocks of Items measured alike ─ make_index ─▶ Index

    - name: MODEL
      results:
      - task: {type, name}
        dataset: {name, type, config?, split?, revision?, args?}
        metrics: [{type, name, value, args}]
        source: {name, url}?

Source: https://github.com/huggingface/hub-docs/blob/main/modelcard.md and huggingface_hub 2.4.  The
hub identifies entries by task, data set, config, split and revision alone: of two with the same of
these the second's arguments and source are lost.  So there is one for each, the first in order of
runs and benchmarks.  Figures of a local judge have none; what is left out is said.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from evalkit import catalogue
from evalkit.comparison.cautions import doubts
from evalkit.comparison.guard import differences
from evalkit.comparison.health import unfit, unvalidated
from evalkit.comparison.resolve import Part
from evalkit.core.figures import Figure, FigureKey
from evalkit.core.requests import Json
from evalkit.core.run import BenchmarkEntry, DatasetDescription, Description, Run, TaskDescription
from evalkit.core.specs import PublishedFigure
from evalkit.draw import benchmark_label, settings_text, unfit_text
from evalkit.draw import figure as shown
from evalkit.errors import CardError

__all__ = [
    "LINK",
    "MARK",
    "Block",
    "Index",
    "Item",
    "Judge",
    "LeftOut",
    "Link",
    "Material",
    "gather",
    "identity",
    "is_ours",
    "make_index",
    "unpublishable",
]

MARK = "evalkit"
"""Key of a metric's `args` by which evalkit knows its own entries: the version that wrote it."""
LINK = re.compile(r"https?://[A-Za-z0-9._~/?#&=%:+@!;-]*[A-Za-z0-9/=#_-]")
"""An address that can stand in Markdown and YAML as it is."""
_SHOTS = re.compile(r"(\d+)[- ]shots?\b")
_LC = "length_controlled_win_rate"


# --- what runs have -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Link:
    """Where a figure leads back to; the hub takes a name only with a URL."""

    name: str
    url: str


@dataclass(frozen=True)
class Judge:
    """Who judged, and by whose prompts."""

    who: str
    protocol: str
    prompt_sha256: str


@dataclass(frozen=True)
class Item:
    """One figure of one model, and the run that has it."""

    run: Run
    figure: Figure

    @property
    def key(self) -> FigureKey:
        """Of the figure."""
        return self.figure.key

    @property
    def entry(self) -> BenchmarkEntry:
        """Its benchmark, as the run declares it."""
        return self.run.benchmark(self.key.benchmark)

    @property
    def published(self) -> bool:
        """Someone else measured it; its settings are theirs."""
        return self.figure.published

    @property
    def described(self) -> Description:
        """What decided it, as the benchmark or the import says."""
        return self.run.description(self.figure.model, self.key.benchmark)

    @property
    def of_task(self) -> TaskDescription:
        """What is said of its task."""
        return self.described.task(self.key.task)

    @property
    def own_data(self) -> str | None:
        """The suite's own data in place of the benchmark's public set; None: the public set."""
        specs = self.run.manifest.suite.benchmarks
        data = next((s.data for s in specs if s.entry == self.key.benchmark), None)
        return str(data) if data and not self.published else None

    @property
    def local_judge(self) -> str:
        """The model of the same suite that judged; empty: none did."""
        return "" if self.published else unvalidated(self.run, self.key.benchmark)

    @property
    def unfit_judge(self) -> str:
        """Why its judge is not fit; empty: it is, or nobody judged."""
        return "" if self.published else unfit_text(unfit(self.run, self.key.benchmark))

    @property
    def judge(self) -> Judge | None:
        """Who judged and by whose prompts; None where nobody is known."""
        said, names = self.described.judging, self.entry.judges
        entries = [j for j in self.run.manifest.judges if j.name in names]
        served: list[list[str | None]] = [
            [j.model for j in entries],
            [j.engine.model for j in entries],
            [*names],
        ]
        # An import that does not know who judged calls the judge by what it is.
        who = [said.evaluator] if said.evaluator else []
        models = (said.model, *(", ".join(map(str, of)) for of in served if all(of)))
        who += [m for m in models if m and m not in ("recorded", *who)][:1]
        said_by = dict.fromkeys(j.protocol for j in entries if j.protocol)
        protocol = said.protocol or ", ".join(said_by)
        if not who and not protocol:
            return None
        if self.figure.bridged:
            scored_by, scale = self.figure.bridged.scored_by, ", ".join(who)
            return Judge(f"{scored_by}, on the scale of {scale}", "", "")
        return Judge(", ".join(who) or "not stated", protocol, said.prompt_sha256 or "")

    @property
    def stated(self) -> PublishedFigure | None:
        """The suite's words for a figure that it states."""
        spec = self.run.manifest.suite.models.get(self.figure.model)
        kind = self.entry.kind
        for known in spec.figures if spec is not None else ():
            place = (known.task or kind, known.metric)
            if known.benchmark in (self.key.benchmark, kind) and place == (
                self.key.task, self.key.metric,
            ):  # fmt: skip
                return known
        return None

    @property
    def where(self) -> str:
        """Who states it; empty for what was computed here."""
        if self.stated is not None and self.stated.source:
            return str(self.stated.source)
        return self.figure.source.where if self.figure.source is not None else ""

    @property
    def shots(self) -> int | None:
        """Worked examples in the prompt, where that is known."""
        said = self.of_task.n_shots
        if said is not None:
            return said
        stated = self.stated
        match = _SHOTS.search((stated.settings if stated else "") or self.where)
        if match is not None:
            return int(match[1])
        described = self.described
        below = {
            described.task(name).n_shots
            for name in described.tasks if name.startswith(f"{self.key.task}_")
        } - {None}  # fmt: skip
        if len(below) == 1:
            return below.pop()
        info = catalogue.by_task(self.key.task)
        column = info.column if info is not None else None
        return column.shots if column and self.entry.kind == "open_llm_leaderboard" else None

    def link(self, published_at: str | None = None) -> Link | None:
        """Where it leads back to.

        Args:
            published_at: Where the runs that computed figures can be seen.
        """
        if not self.published:
            if published_at is not None:
                return Link("evalkit", published_at)
            url = self._evidence()
            return None if url is None else Link("evalkit, from published results", url)
        match = LINK.search(self.where)
        if match is not None:
            if "huggingface.co/datasets/open-llm-leaderboard/" in match[0]:
                return Link("Open LLM Leaderboard", match[0])
            name = str(self.stated.source) if self.stated else match[0]
            return Link(re.sub(r"https?://", "", name), match[0])
        if self.where.startswith("alpaca_eval "):
            return Link(
                self.where.partition(", row ")[0], "https://github.com/tatsu-lab/alpaca_eval"
            )
        return None

    def _evidence(self) -> str | None:
        """Address of the public file that it was read or computed from."""
        for one in self.run.manifest.evidence:
            if (one.model, one.entry) == (self.figure.model, self.key.benchmark):
                named = self.where.partition(",")[0]
                exact = [f for f in one.files if f.get("file") == named]
                for file in exact or one.files[:1]:
                    return _addresses().get(str(file.get("sha256")))
        return None


@functools.cache
def _addresses() -> Mapping[str, str]:
    """Address by sha256 of the file, of the public data sets that have one."""
    from evalkit.data import entries

    known = [entry for entry in entries().values() if entry.url]
    return {e.sha256: e.url for e in known} | {e.url_sha256: e.url for e in known}


@dataclass(frozen=True)
class Block:
    """Figures of one benchmark entry that were measured alike."""

    entry: str
    kind: str
    items: tuple[Item, ...]
    apart: str = ""
    """How it differs from an earlier block of the same entry; empty for the first."""

    @property
    def title(self) -> str:
        """The benchmark by its proper name."""
        name = benchmark_label(self.entry)
        if self.entry == self.kind == "alpaca_eval":
            name = f"{name} {_edition(self.items)}".rstrip()
        elif self.entry != self.kind:
            name = f"{name} ({benchmark_label(self.kind)})"
        own = any(item.own_data for item in self.items)
        said = [part for part in ("own questions" if own else "", self.apart) if part]
        return f"{name} ({'; '.join(said)})" if said else name

    @cached_property
    def models(self) -> tuple[str, ...]:
        """In order of the runs."""
        return tuple(dict.fromkeys(item.figure.model for item in self.items))

    @cached_property
    def keys(self) -> tuple[FigureKey, ...]:
        """The figures of its table, in order.

        A leaderboard's average comes first, then its columns, each by the leaderboard's own metric
        (DROP by f1) where there is such a figure, then other headline figures as the runs declare
        them.  A group (MMLU) stands for its tasks.  Of a benchmark that declares nothing every task
        has a column.  AlpacaEval's length-controlled win rate stands beside its win rate.
        """
        has = list(dict.fromkeys(item.key for item in self.items))
        entries = [item.entry for item in self.items]
        declared = [k for k in dict.fromkeys(k for e in entries for k in e.headlines) if k in has]
        defined = {item.key for item in self.items if item.figure.value.point is not None}
        averages = sorted(
            (k for k in has if self.is_average(k)),
            key=lambda k: (k not in defined, k not in declared, k.metric),
        )
        board = {c.task: c for n in (1, 2) for c in catalogue.columns(n, drop=True)}
        is_board = self.kind == "open_llm_leaderboard"
        tasks: dict[str, list[FigureKey]] = {k.task: [] for k in declared}
        for key in has:
            if key not in averages:
                tasks.setdefault(key.task, []).append(key)
        chosen: dict[str, list[FigureKey]] = {}
        for task in sorted(tasks, key=lambda t: list(board).index(t) if t in board else len(board)):
            column = board.get(task)
            wanted = {"alpaca_eval": "win_rate", "mt_bench": "score"}.get(self.kind, "")
            if column is not None:
                by_tasks = is_board or column.board == 2
                wanted = column.printed_metric if by_tasks else column.metric
            found = [k for k in tasks[task] if k.metric == wanted]
            found = found or [k for k in declared if k.task == task and k not in averages]
            if column is not None or not (declared or is_board):
                found = found or tasks[task][:1]
            if found:
                chosen[task] = found
        groups = {catalogue.group_of(task) for task in chosen} & set(chosen)
        shown = [k for t, keys in chosen.items() if catalogue.group_of(t) not in groups
                 or t in groups for k in keys]  # fmt: skip
        lc = [k for k in has if k.metric == _LC and self.kind == "alpaca_eval"]
        return tuple(dict.fromkeys([*averages[:1], *shown, *lc]))

    def is_average(self, key: FigureKey) -> bool:
        """Whether it is a leaderboard's average, which is no figure of one data set."""
        return (
            any(item.entry.whole == key for item in self.items)
            or catalogue.metric(key.metric).over_tasks
        )

    def find(self, model: str, key: FigureKey) -> Item | None:
        """A model's figure; None where there is none, or it is undefined."""
        for item in self.items:
            if item.figure.model == model and item.key == key:
                return item if item.figure.value.point is not None else None
        return None


def _edition(items: Sequence[Item]) -> str:
    return str(items[0].described.version or "").partition(".")[0] if items else ""


@dataclass(frozen=True)
class Material:
    """Everything a card is made from."""

    runs: tuple[Run, ...]
    candidate: str
    blocks: tuple[Block, ...]
    warnings: tuple[str, ...] = ()
    """Why the runs should not be published; empty for publishable ones."""


def gather(
    runs: Sequence[Run],
    model: str | None = None,
    only: Sequence[str] = (),
    *,
    allow_unpublishable: bool = False,
) -> Material:
    """The figures of `runs`.

    Args:
        runs: Sealed runs; several make one card.
        model: The card's model; None: the runs' candidate.
        only: Benchmark entries; empty: all.
        allow_unpublishable: Accept limited runs and damaged evidence; they are marked.

    Raises:
        CardError: a run is not finished or not publishable, the model or an entry is unknown, or
            two runs have different values of one figure.
    """
    # Naming a run twice adds nothing.
    runs = tuple({run.manifest.run_id: run for run in reversed(runs)}.values())[::-1]
    warnings = tuple(reason for run in runs for reason in unpublishable(run))
    if warnings and not allow_unpublishable:
        raise CardError(
            "not publishable:\n  " + "\n  ".join(warnings) + "\ncorrect the evidence or run the "
            "whole suite; or, for a card that is marked and stays here: --allow-unpublishable"
        )
    found = [block for run in runs for block in _blocks_of(run)]
    known = list(dict.fromkeys(block.entry for block in found))
    for entry in only:
        if entry not in known:
            raise CardError(
                f"--only {entry!r}: the runs have no such benchmark entry; expected one of: "
                f"{', '.join(known) or 'none'}"
            )
    joined: list[Block] = []
    for block in found:
        if not only or block.entry in only:
            _join(joined, block)
    candidate = _candidate(runs, model)
    if not any(item.figure.model == candidate for block in joined for item in block.items):
        raise CardError(
            f"{candidate!r} has no figures of {', '.join(only)}; leave --only out, or name others"
        )
    return Material(runs, candidate, tuple(joined), warnings)


def unpublishable(run: Run) -> list[str]:
    """Why a run should not be published; empty where nothing speaks against it.

    Raises:
        CardError: it is not finished, so that it has no figures at all.
    """
    if not run.manifest.sealed:
        raise CardError(
            f"{run.folder}: this run is not finished and has no figures yet; run the same command "
            f"again, then write its card"
        )
    # Not its folder: the same run has the same card wherever it lies.
    name = f"{run.manifest.suite_name}, run {run.manifest.run_id}"
    return [f"{name}: {reason}" for reason in doubts(run)]


def _candidate(runs: Sequence[Run], model: str | None) -> str:
    known = list(dict.fromkeys(f.model for run in runs for f in run.figures))
    folders = ", ".join(str(run.folder) for run in runs)
    if model is not None:
        if model not in known:
            raise CardError(
                f"model {model!r} has no figures in {folders}; expected one of: "
                f"{', '.join(known) or 'none'}"
            )
        return model
    named = (m.name for run in runs for m in run.manifest.models if m.role == "candidate")
    found = list(dict.fromkeys(named))
    if len(found) != 1:
        raise CardError(
            f"{len(found)} candidates in {folders}: {', '.join(found) or 'none'}; say whose card "
            f"it is with --model (models: {', '.join(known) or 'none'})"
        )
    return found[0]


def _blocks_of(run: Run) -> Iterator[Block]:
    for entry in run.benchmarks:
        rows = [f for f in run.figures if f.key.benchmark == entry.name and f.key.category is None]
        blocks: list[Block] = []
        for model in dict.fromkeys(f.model for f in rows):
            mine = tuple(Item(run, f) for f in rows if f.model == model)
            _join(blocks, Block(entry.name, entry.kind, mine))
        yield from blocks


def _join(blocks: list[Block], new: Block) -> None:
    """Add `new` to the block whose figures were measured alike, else after them."""
    apart = ""
    for n, block in enumerate(blocks):
        if block.entry != new.entry:
            continue
        apart = _difference(block, new)
        if not apart:
            _refuse_conflicts(block, new)
            known = {(i.figure.model, i.key) for i in block.items}
            extra = tuple(i for i in new.items if (i.figure.model, i.key) not in known)
            blocks[n] = replace(block, items=(*block.items, *extra))
            return
    blocks.append(replace(new, apart=apart))


def _refuse_conflicts(block: Block, new: Block) -> None:
    known = {(i.figure.model, i.key): i for i in block.items}
    for item in new.items:
        other = known.get((item.figure.model, item.key))
        if other is None or other.figure == item.figure or other.run is item.run:
            continue
        values = [shown(x.figure.value.point, x.figure.unit) for x in (other, item)]
        raise CardError(
            f"{item.figure.model!r} has {item.key.metric} of {item.key.task} ({new.entry!r}) "
            f"twice: {values[0]} in {other.run.folder}, {values[1]} in {item.run.folder}; name "
            f"only the run that is to be published, or leave that benchmark out with --only"
        )


def _difference(block: Block, new: Block) -> str:
    """Settings in which two blocks differ, in words; empty where none is known to."""
    ours = next((i for i in block.items if not i.published), None)
    theirs = next((i for i in new.items if not i.published), None)
    if ours is None or theirs is None:
        return ""
    parts = [Part(i.run, i.figure.model, block.entry) for i in (theirs, ours)]
    tasks = [dict.fromkeys(i.key.task for i in b.items) for b in (block, new)]
    found: dict[str, str] = {}
    for task in tasks[0]:
        if task in tasks[1]:
            for one in differences(parts[0], parts[1], task)[0]:
                found.setdefault(one.field, settings_text(one))
    return "; ".join(found.values())


# --- the index ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class LeftOut:
    """A figure that the index does not hold."""

    item: Item
    block: Block
    why: str

    @property
    def said(self) -> str:
        """Task, metric and value."""
        f = self.item.figure
        return f"{f.key.task} {f.key.metric} {shown(f.value.point, f.unit)}"


@dataclass(frozen=True)
class Index:
    """The entries of one model."""

    results: tuple[dict[str, Json], ...]
    figures: tuple[Item, ...]
    """What they are made from, in order of runs and benchmarks."""
    without: tuple[LeftOut, ...]
    undefined: tuple[str, ...]
    """Figures that have no value, and why, a sentence each."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """What is not in it, and why, a sentence each."""
        grouped: dict[tuple[str, str], list[str]] = {}
        for one in self.without:
            grouped.setdefault((one.block.title, one.why), []).append(one.said)
        said = (f"{title}: {', '.join(of)}: {why}" for (title, why), of in grouped.items())
        return (*said, *self.undefined)


_HAS_ONE = (
    "the index has an entry for these data already, and the hub keeps one; --only names benchmarks "
    "to choose"
)


def make_index(material: Material, published_at: str | None = None) -> Index:
    """The candidate's entries.

    Args:
        material: What there is.
        published_at: Where the runs can be seen; the source of figures computed in them.
    """
    results: dict[tuple[Any, ...], dict[str, Json]] = {}
    chosen: list[Item] = []
    without: list[LeftOut] = []
    undefined: list[str] = []
    for block in material.blocks:
        for key in block.keys:
            if block.is_average(key):
                continue
            item = block.find(material.candidate, key)
            if item is None:
                undefined += _undefined(block, material.candidate, key)
            elif item.local_judge:
                why = (
                    f"judged by {item.local_judge}, a model of the same suite: figures of such a "
                    f"judge are not published"
                )
                without.append(LeftOut(item, block, why))
            elif item.unfit_judge:
                without.append(LeftOut(item, block, item.unfit_judge))
            else:
                entry = _entry(item, block, material, published_at)
                known = results.setdefault(identity(entry), entry)
                if known is entry or _added(known, entry):
                    chosen.append(item)
                else:
                    without.append(LeftOut(item, block, _HAS_ONE))
    return Index(tuple(results.values()), tuple(chosen), tuple(without), tuple(undefined))


def _undefined(block: Block, model: str, key: FigureKey) -> Iterator[str]:
    for item in block.items:
        if item.figure.model == model and item.key == key:
            why = item.figure.value.how
            yield f"{key.task} {key.metric} of {key.benchmark}: undefined ({why})"


def identity(result: Mapping[str, Json]) -> tuple[Any, ...]:
    """What the hub identifies an entry by."""
    data = result["dataset"]
    parts = (data.get(key) for key in ("type", "config", "split", "revision"))
    return (result["task"]["type"], *parts)


def is_ours(result: Json) -> bool:
    """Whether evalkit wrote an entry, by the arguments of its metrics."""
    metrics = result.get("metrics") if isinstance(result, Mapping) else None
    if not isinstance(metrics, list) or not metrics:
        return False
    return all(
        isinstance(m, Mapping) and isinstance(m.get("args"), Mapping) and MARK in m["args"]
        for m in metrics
    )


def _added(known: dict[str, Json], entry: Mapping[str, Json]) -> bool:
    """Add the entry's metric to `known`; False where they differ in more than it."""
    (metric,) = entry["metrics"]
    same = {k: v for k, v in known.items() if k != "metrics"} == {
        k: v for k, v in entry.items() if k != "metrics"
    }
    if not same or metric["type"] in {m["type"] for m in known["metrics"]}:
        return False
    known["metrics"].append(metric)
    return True


def _entry(
    item: Item, block: Block, material: Material, published_at: str | None
) -> dict[str, Json]:
    f, point = item.figure, item.figure.value.point
    assert point is not None, "`Block.find` gives defined figures only"
    kind, name = catalogue.hub_metric(f.key.task, f.key.metric)
    args = _published(item) if item.published else _computed(item)
    if material.warnings:
        args["publishable"] = False
    version = item.run.manifest.versions.get("evalkit", "unknown")
    own = {MARK: version, "run": item.run.manifest.run_id, "model": f.model, "unit": f.unit}
    entry: dict[str, Json] = {
        "task": {"type": "text-generation", "name": "Text Generation"},
        "dataset": _dataset(item, block),
        "metrics": [
            {"type": kind, "name": name, "value": float(point),
             "args": _known({**own, **args})}
        ],
    }  # fmt: skip
    link = item.link(published_at)
    return entry | ({} if link is None else {"source": {"name": link.name, "url": link.url}})


def _dataset(item: Item, block: Block) -> dict[str, Json]:
    about = item.of_task.dataset or DatasetDescription()
    data = _data(item, block.kind, about)
    if item.own_data is not None:
        data = catalogue.HubData(f"{data.name}, own questions", "unknown", block.entry)
    return _known(
        {
            "name": data.name if item.shots is None else f"{data.name} ({item.shots}-shot)",
            "type": data.type,
            "config": data.config,
            "split": data.split,
            "revision": about.revision,
            "args": None if item.shots is None else {"num_few_shot": item.shots},
        }
    )


def _data(item: Item, kind: str, about: DatasetDescription) -> catalogue.HubData:
    """The data set of a task: the catalogue's, else as the benchmark describes it."""
    task = item.key.task
    known = catalogue.data_of(task)
    editions = catalogue.BENCHMARKS["alpaca_eval"].editions
    if kind == "alpaca_eval" and known is not None:
        edition = editions.get(_edition([item]))
        return replace(known, config=edition.hub_config if edition else None)
    if known is not None:
        return known
    path = about.path or ""
    if "/" in path and not path.startswith(("/", ".")):
        return catalogue.HubData(task, path, about.name or None)
    # The task stands for the config of a data set that is not on the hub: the hub identifies
    # entries by these fields alone.
    return catalogue.HubData(task, "unknown", task)


def _published(item: Item) -> dict[str, Json]:
    f, said = item.figure, item.stated
    found: dict[str, Json] = {"published": True, **_uncertainty(item)}
    if f.value.n:
        found["n"] = f.value.n
    where, _, row = item.where.partition(", row ")
    link = item.link()
    told = link is not None and where in (link.name, link.url)
    found |= {"stated_by": "" if told else where, "row": row.strip("'\"")}
    if said is not None:
        found |= {"date": str(said.date or ""), "settings": str(said.settings or "")}
    return {k: v for k, v in found.items() if v != ""}


def _computed(item: Item) -> dict[str, Json]:
    f, about, task, judge = item.figure, item.described, item.of_task, item.judge
    tools = {"lm_eval": about.lm_eval, "alpaca_eval": about.judging.alpaca_eval}
    remarks = task.dataset.remarks if task.dataset is not None else ()
    return {
        **_uncertainty(item),
        **({"n": f.value.n, "n_missing": f.value.n_missing} if f.value.n else {}),
        "method": f.value.how,
        "bridged": None if f.bridged is None else {**asdict(f.bridged)},
        "benchmark_version": about.version,
        "leaderboard_settings": about.settings,
        "reference": about.reference,
        "apply_chat_template": about.apply_chat_template,
        "task_version": None if task.version is None else str(task.version),
        "harness": next((f"{tool} {version}" for tool, version in tools.items() if version), None),
        "data_remarks": list(remarks) or None,
        "own_data": item.own_data,
        "from": item.where or None,
        "judge": judge.who if judge is not None else None,
        "judge_protocol": judge.protocol or None if judge is not None else None,
    }


def _uncertainty(item: Item) -> dict[str, Json]:
    value = item.figure.value
    found: dict[str, Json] = {}
    if value.standard_error:  # 0 where no sample differs from another: it measures nothing
        found["standard_error"] = float(value.standard_error)
    if value.low is not None and value.high is not None:
        found |= {"interval": [float(value.low), float(value.high)], "level": float(value.level)}
    return found


def _known(found: Mapping[str, Json]) -> dict[str, Json]:
    return {k: v for k, v in found.items() if v is not None}
